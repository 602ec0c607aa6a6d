//! Whether two experiments did the same: where their resolved specs differ, by path.
//! Invariant: no difference of what is done is passed over; beyond a limit they are counted. Not here: whether a difference matters.

use serde_json::Value;

/// Fields that change nothing of what a run does: what is asked and expected of it, how often it is run, and what is kept.
const WORDS: [&str; 5] = ["question", "expect", "quick", "repetitions", "histories"];
const TOLD_MAX: usize = 50;
const LETTERS_MAX: usize = 60;

/// In words, by path: `load.rate: 1000, then 2000`.
pub(super) fn differences(a: &Value, b: &Value) -> Vec<String> {
    let mut told = Vec::new();
    let done = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !WORDS.contains(&name.as_str()));
        }
        spec
    };
    walk("", &done(a), &done(b), &mut told);
    if told.len() > TOLD_MAX {
        let left = told.len() - TOLD_MAX;
        told.truncate(TOLD_MAX);
        told.push(format!("and {left} more"));
    }
    told
}

fn walk(path: &str, a: &Value, b: &Value, told: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(of_a), Value::Object(of_b)) => {
            for (name, value) in of_a {
                walk(&within(path, name), value, of_b.get(name).unwrap_or(&Value::Null), told);
            }
            for (name, value) in of_b.iter().filter(|(name, _)| !of_a.contains_key(*name)) {
                walk(&within(path, name), &Value::Null, value, told);
            }
        }
        (Value::Array(of_a), Value::Array(of_b)) if of_a.len() == of_b.len() => {
            for (index, (a, b)) in of_a.iter().zip(of_b).enumerate() {
                walk(&within(path, &index.to_string()), a, b, told);
            }
        }
        _ if a != b => {
            told.push(format!("{}: {}, then {}", if path.is_empty() { "spec" } else { path }, short(a), short(b)))
        }
        _ => {}
    }
}

fn within(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn short(value: &Value) -> String {
    if value.is_null() {
        return "nothing".to_owned();
    }
    let text = value.to_string();
    let clipped: String = text.chars().take(LETTERS_MAX).collect();
    if clipped.len() < text.len() { clipped + "…" } else { clipped }
}
