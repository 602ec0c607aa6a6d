//! Porcupine's operations as JSON: an array of objects, or one object after the other, with `ClientId`, `Input`, `Call`, `Output`, `Return`.
//! Names of fields are compared without case and underscores. `Input`: `op` (a word, or the number that Porcupine's own models use), `key`,
//! `value`, or `arg1`, `arg2`; `Output`: a value, or an object with `value` or `values`, `ok`, `exists`, `unknown`, `error`. Without a `Return`, or with
//! the largest number there is, or where the output tells of an error, the outcome is unknown. What else an output says is an error of the file.

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::datum::Datum;
use super::effect::{Act, Builder, End, Manner};
use super::{ImportError, Imported};
use crate::judges::linearizable::Model;

/// Reads operations.
pub(super) fn read(bytes: &[u8], model: Model, initial: Option<&str>) -> Result<Imported, ImportError> {
    let manner = Manner { nil_agrees: false, failed_swap_observes: true, empty_is_nil: true };
    // A word without quotes is taken for a text.
    let initial =
        initial.map(|words| serde_json::from_str(words).map_or_else(|_| Datum::Text(words.to_owned()), datum));
    let mut sink =
        Sink { builder: Builder::new(model, manner, initial.unwrap_or(Datum::Nil)), model, error: None, count: 0 };
    let is_array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let parsed = if is_array {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        json.deserialize_seq(&mut sink).and_then(|()| json.end())
    } else {
        serde_json::Deserializer::from_slice(bytes)
            .into_iter::<Json>()
            .try_for_each(|operation| sink.take(&operation?).map_err(serde_json::Error::custom))
    };
    match (sink.error, parsed) {
        // The place is that of the whole operation, which has been read to its end.
        (Some(error), Err(place)) if place.line() > 0 => {
            Err(ImportError::at((place.line() as u64, place.column().max(1) as u64), error.what))
        }
        (Some(error), _) => Err(ImportError::at((1, 1), format!("operation {} {}", sink.count, error.what))),
        (None, Err(error)) => Err(ImportError::at((error.line() as u64, error.column().max(1) as u64), plain(&error))),
        (None, Ok(())) => sink.builder.finish(),
    }
}

/// What serde says, without the place, which is told apart.
fn plain(error: &serde_json::Error) -> String {
    let words = error.to_string();
    words.split(" at line ").next().unwrap_or(&words).to_owned()
}

struct Sink {
    builder: Builder,
    model: Model,
    error: Option<ImportError>,
    count: u64,
}

impl Sink {
    fn take(&mut self, operation: &Json) -> Result<(), String> {
        self.count += 1;
        let taken =
            act(operation, self.model, self.count).and_then(|act| self.builder.add(&act).map_err(|error| error.what));
        taken.inspect_err(|what| self.error = Some(ImportError::at((0, 0), what.clone())))
    }
}

impl<'de> Visitor<'de> for &mut Sink {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "an array of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut operations: A) -> Result<(), A::Error> {
        // One at a time: the tree of the whole is never there.
        while let Some(operation) = operations.next_element::<Json>()? {
            self.take(&operation).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

fn field<'a>(object: &'a Json, names: &[&str]) -> Option<&'a Json> {
    object.as_object()?.iter().find(|(key, _)| is_of(key, names)).map(|(_, value)| value)
}

/// Without case and underscores.
fn is_of(key: &str, names: &[&str]) -> bool {
    let is_it = |name: &str| key.chars().filter(|char| *char != '_').flat_map(char::to_lowercase).eq(name.chars());
    names.iter().any(|name| is_it(name))
}

/// Errors: a number that reading has rounded, so that another could be taken for it.
fn exact(json: &Json) -> Result<(), String> {
    match json {
        Json::Number(number) if number.is_f64() && number.as_f64().is_none_or(|value| value.abs() > WHOLE_MAX) => {
            Err(format!("has the number {number}, which cannot be told from its neighbours: write it as a text"))
        }
        Json::Array(values) => values.iter().try_for_each(exact),
        Json::Object(fields) => fields.values().try_for_each(exact),
        _ => Ok(()),
    }
}

fn act(operation: &Json, model: Model, number: u64) -> Result<Act, String> {
    if !operation.is_object() {
        return Err("is no object".to_owned());
    }
    let input = field(operation, &["input"]).ok_or("has no Input")?;
    let output = field(operation, &["output"]).unwrap_or(&Json::Null);
    [input, output].into_iter().try_for_each(exact)?;
    let answers = ["value", "values", "ok", "exists", "unknown", "error", "err"];
    if let Some(other) = output.as_object().and_then(|fields| fields.keys().find(|name| !is_of(name, &answers))) {
        return Err(format!("has an Output with `{other}`, which is not known"));
    }
    let is_nothing = |error: &Json| matches!(error, Json::Null | Json::Bool(false)) || error.as_str() == Some("");
    let has_failed = field(output, &["error", "err"]).is_some_and(|error| !is_nothing(error));
    // What never came is the largest number there is, with or without a sign.
    let is_never = |time: &Json| time.as_u64() == Some(u64::MAX);
    let time = |name: &str| field(operation, &[name]).filter(|time| !time.is_null() && !is_never(time));
    let whole = |name: &str, time: &Json| {
        time.as_i64().ok_or_else(|| format!("has the {name} {time}, which is no whole number of 64 bits"))
    };
    let start = whole("Call", time("call").ok_or("has no Call")?)?;
    let end = time("return").map(|end| whole("Return", end)).transpose()?.filter(|end| *end != i64::MAX);
    let client = field(operation, &["clientid", "client", "process"]).map_or(Some(0), Json::as_u64);
    let process =
        client.and_then(|client| u32::try_from(client).ok()).ok_or("has a ClientId that is no number of 32 bits")?;
    let says = |name: &str| field(output, &[name]).and_then(Json::as_bool);
    let f = f(input, model)?;
    let is_done = says("ok").or_else(|| output.as_bool());
    let is_refused = f == "cas" && is_done == Some(false);
    if f == "cas" && is_done.is_none() && end.is_some() && says("unknown") != Some(true) && !has_failed {
        return Err("is a cas of which Output does not say whether it was done: by `ok`, or by itself".to_owned());
    }
    let how = match end {
        None => End::Unknown,
        Some(_) if says("unknown") == Some(true) || has_failed => End::Unknown,
        Some(_) if is_refused => End::Failed,
        Some(_) => End::Ok,
    };
    let asked = asked(input, &f)?;
    let answer = match &asked {
        pair if is_refused => pair.clone(),
        _ if says("exists") == Some(false) => Datum::Nil,
        _ if output.is_object() => field(output, &["value", "values"]).cloned().map_or(Datum::Nil, datum),
        _ => datum(output.clone()),
    };
    let key = match field(input, &["key"]) {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(number)) => word(number),
        Some(other) => other.to_string(),
    };
    Ok(Act { process, at: (number, 1), start, end: end.unwrap_or(start), how, f, key, asked, answer })
}

fn f(input: &Json, model: Model) -> Result<String, String> {
    let op = field(input, &DOES).ok_or("has an Input without op")?;
    let of_number = |number: u64| match (number, model) {
        (0, _) => Some("read"),
        (1, Model::Set) => Some("add"),
        (1, _) => Some("write"),
        (2, Model::Append) => Some("append"),
        (2, Model::CasRegister) => Some("cas"),
        _ => None,
    };
    let known = match op {
        Json::String(word) => return Ok(word.to_lowercase()),
        // Porcupine's register: false is a put. Its set: true is one.
        Json::Bool(is_add) if model == Model::Set => Some(if *is_add { "add" } else { "read" }),
        Json::Bool(is_read) => Some(if *is_read { "read" } else { "write" }),
        Json::Number(number) => number.as_u64().and_then(of_number),
        _ => None,
    };
    known.map(str::to_owned).ok_or_else(|| format!("has the op {op}, which the model does not know"))
}

/// Fields of an `Input` that say what is done, and to which key.
const DOES: [&str; 4] = ["op", "f", "kind", "type"];

fn asked(input: &Json, f: &str) -> Result<Datum, String> {
    let first = field(input, &["value", "arg1", "from", "old", "expected"]).cloned().map(datum);
    if f != "cas" {
        let is_read = matches!(f, "read" | "get" | "r");
        let known = [&DOES[..], &["key"]].concat();
        return match first {
            Some(first) => Ok(first),
            None if is_read => Ok(Datum::Nil),
            None => without_value(&format!("a {f}"), "Input", input, &known),
        };
    }
    let first = first.unwrap_or(Datum::Nil);
    let from = field(input, &["arg1", "from", "old", "expected"]).cloned().map(datum);
    let to = field(input, &["arg2", "to", "new"]).cloned().map(datum);
    match (from, to, first) {
        (Some(from), Some(to), _) => Ok(Datum::List(vec![from, to])),
        (None, None, pair @ Datum::List(_)) => Ok(pair),
        _ => Err("is a cas without two values".to_owned()),
    }
}

/// Programs leave out what is empty; but a value under a name that is not known is not nothing.
fn without_value(what: &str, place: &str, fields: &Json, known: &[&str]) -> Result<Datum, String> {
    let is_known = |name: &String| known.iter().any(|known| name.eq_ignore_ascii_case(known));
    match fields.as_object().into_iter().flatten().map(|(name, _)| name).find(|name| !is_known(name)) {
        Some(other) => Err(format!("is {what} without a `value`; its {place} has `{other}`, which is not known")),
        None => Ok(Datum::Nil),
    }
}

/// JSON has one kind of number (RFC 8259, 6): 1.0 is 1.
fn word(number: &serde_json::Number) -> String {
    let is_whole = |value: &f64| value.fract() == 0.0 && value.abs() <= WHOLE_MAX;
    match number.as_f64().filter(is_whole) {
        // Not -0.
        Some(value) if number.is_f64() => format!("{:.0}", value + 0.0),
        _ => number.to_string(),
    }
}

/// Up to here each whole number has a float of its own.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;

fn datum(json: Json) -> Datum {
    match json {
        Json::Null => Datum::Nil,
        Json::Number(number) => Datum::Plain(word(&number)),
        Json::Bool(_) => Datum::Plain(json.to_string()),
        Json::String(text) => Datum::Text(text),
        Json::Array(values) => Datum::List(values.into_iter().map(datum).collect()),
        Json::Object(entries) => {
            Datum::Map(entries.into_iter().map(|(key, value)| (Datum::Text(key), datum(value))).collect())
        }
    }
}
