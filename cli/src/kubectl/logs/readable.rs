//! A line as a person reads it: the time, the node in a colour of its own, and, of what a node wrote as JSON, level, message and fields.
//! Invariant: no control character of a log reaches the terminal.

use serde_json::{Map, Value};

use super::lines::Line;
use crate::style::{Paint, one_line};

/// Told before the message, or not at all: `target` is where in our code it was written.
const TOLD: [&str; 4] = ["timestamp", "level", "message", "target"];

/// The line, with its end.
pub fn line(paint: Paint, node: &str, width: usize, line: &Line) -> String {
    let time = line.time.map(|time| time.strftime("%H:%M:%S%.3f").to_string()).unwrap_or_default();
    let name = paint.one_of_many(&format!("{:width$}", one_line(node)), node);
    let said = serde_json::from_str::<Map<String, Value>>(&line.text).ok();
    let said = said.and_then(|fields| told(paint, &fields)).unwrap_or_else(|| one_line(&line.text));
    format!("{}  {name}  {said}\n", paint.dim(&format!("{time:12}")))
}

/// `WARN  peer missed a deadline  peer=demo-1`; `None`: it is none of a node's lines.
fn told(paint: Paint, fields: &Map<String, Value>) -> Option<String> {
    let text = |field: &str| fields.get(field).and_then(Value::as_str).map(one_line);
    let (level, message) = (text("level")?, text("message")?);
    let level = match level.as_str() {
        "ERROR" => paint.red("ERROR"),
        "WARN" => paint.yellow("WARN "),
        _ => format!("{level:5}"),
    };
    let rest = fields.iter().filter(|(name, _)| !TOLD.contains(&name.as_str()));
    let field = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("  {}={}", one_line(name), one_line(&value))
    };
    Some(rest.map(field).fold(format!("{level} {message}"), |out, field| out + &field))
}

#[cfg(test)]
mod tests {
    use super::{Line, Paint, line};

    fn shown(text: &str) -> String {
        let time = "2026-01-01T12:00:01.25Z".parse().ok();
        line(Paint::off(), "demo-1", 7, &Line { time, text: text.to_owned() })
    }

    #[test]
    fn what_a_node_wrote_for_machines_is_read_by_people() {
        let json = r#"{"timestamp":"2026-01-01T12:00:01Z","level":"WARN","message":"peer missed a deadline","after_ms":500,"peer":"demo-2","target":"driftkv_node"}"#;
        assert_eq!(shown(json), "12:00:01.250  demo-1   WARN  peer missed a deadline  after_ms=500  peer=demo-2\n");
    }

    #[test]
    fn other_lines_are_shown_as_they_are_without_control_characters() {
        assert_eq!(shown("thread main panicked\x1b[2J"), "12:00:01.250  demo-1   thread main panicked\\u{1b}[2J\n");
        assert_eq!(shown(r#"{"a":1}"#), "12:00:01.250  demo-1   {\"a\":1}\n");
        assert_eq!(shown(r#"{"level":"INFO","message":"a\u001bb"}"#), "12:00:01.250  demo-1   INFO  a\\u{1b}b\n");
    }
}
