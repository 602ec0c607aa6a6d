//! Invocations and their ends, as Jepsen records them, into operations. Time is the position in the history: no two events have the same.
//! A process has one operation at a time; one that has no end at the end of the history is of unknown outcome.
//! Histories of many keys may have each key in its values (`[key value]`, Jepsen's independent keys): they do if a read is invoked with `[key nil]`.

use std::collections::BTreeMap;

use super::datum::Datum;
use super::edn::Reader;
use super::effect::{Act, Builder, End, Manner};
use super::{Format, ImportError, Imported};
use crate::judges::linearizable::Model;

/// One line of a history.
pub(super) struct Event {
    pub(super) at: (u64, u64),
    pub(super) process: u32,
    pub(super) kind: Kind,
    pub(super) f: String,
    pub(super) key: String,
    pub(super) value: Datum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

impl Kind {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "invoke" => Self::Invoke,
            "ok" => Self::Ok,
            "fail" => Self::Fail,
            "info" => Self::Info,
            _ => return None,
        })
    }
}

/// Pairs events.
pub(super) struct Pairs {
    pub(super) builder: Builder,
    open: BTreeMap<u32, (i64, Event)>,
    position: i64,
    /// Whole ones; what they mean depends on whether values have keys.
    acts: Vec<Act>,
    has_keys_in_values: bool,
}

impl Pairs {
    pub(super) fn new(builder: Builder) -> Self {
        Self { builder, open: BTreeMap::new(), position: 0, acts: Vec::new(), has_keys_in_values: false }
    }

    /// Takes the next event. Errors: it does not fit to what its process did before.
    pub(super) fn add(&mut self, event: Event) -> Result<(), ImportError> {
        self.position += 1;
        let process = event.process;
        if event.kind == Kind::Invoke {
            let is_read = matches!(event.f.as_str(), "read" | "get" | "r");
            self.has_keys_in_values |= is_read && matches!(pair(&event.value), Some((_, Datum::Nil)));
            return match self.open.insert(process, (self.position, event)) {
                None => Ok(()),
                Some((_, before)) => {
                    let at = self.open.get(&process).map_or(before.at, |(_, event)| event.at);
                    let what =
                        format!("process {process} begins, but what it began in line {} has no end", before.at.0);
                    Err(ImportError::at(at, what))
                }
            };
        }
        match self.open.remove(&process) {
            Some((_, begun)) if begun.f != event.f => {
                let what = format!("process {process} ends {}, but began {} in line {}", event.f, begun.f, begun.at.0);
                Err(ImportError::at(event.at, what))
            }
            Some((start, begun)) => {
                self.acts.push(act(start, begun, Some((self.position, event))));
                Ok(())
            }
            // Jepsen's own processes tell what they did without having begun it.
            None if event.kind == Kind::Info => Ok(()),
            None => Err(ImportError::at(event.at, format!("process {process} ends what it never began"))),
        }
    }

    pub(super) fn finish(mut self) -> Result<Imported, ImportError> {
        let open = std::mem::take(&mut self.open).into_values().map(|(start, begun)| act(start, begun, None));
        for mut act in std::mem::take(&mut self.acts).into_iter().chain(open) {
            if self.has_keys_in_values {
                take_key(&mut act)?;
            }
            self.builder.add(&act)?;
        }
        self.builder.finish()
    }
}

fn pair(value: &Datum) -> Option<(&Datum, &Datum)> {
    match value {
        Datum::List(values) => match values.as_slice() {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    }
}

/// Makes the key of an operation what its values say it is.
fn take_key(act: &mut Act) -> Result<(), ImportError> {
    let refuse = |value: &Datum, why: &str| {
        ImportError::at(act.at, format!("the values of this history are [key value], and {} {why}", short(value)))
    };
    let Some((key, asked)) = pair(&act.asked) else { return Err(refuse(&act.asked, "is none")) };
    let answer = match pair(&act.answer) {
        Some((of, answer)) if of == key => answer.clone(),
        Some(_) if act.how == End::Ok => return Err(refuse(&act.answer, "is of another key")),
        None if act.how == End::Ok && act.answer != Datum::Nil => return Err(refuse(&act.answer, "is none")),
        // What went wrong is told in any words.
        _ => Datum::Nil,
    };
    if !act.key.is_empty() {
        return Err(refuse(&act.asked, "has a :key beside it"));
    }
    let (key, asked) = (name(key), asked.clone());
    (act.key, act.asked, act.answer) = (key, asked, answer);
    Ok(())
}

fn name(key: &Datum) -> String {
    match key {
        Datum::Text(key) => key.clone(),
        other => other.to_string(),
    }
}

fn act(start: i64, begun: Event, ended: Option<(i64, Event)>) -> Act {
    let Event { at, process, f, key, value: asked, .. } = begun;
    let (end, kind, answer) =
        ended.map_or((start, Kind::Info, Datum::Nil), |(end, event)| (end, event.kind, event.value));
    let how = match kind {
        Kind::Ok => End::Ok,
        Kind::Fail => End::Failed,
        Kind::Invoke | Kind::Info => End::Unknown,
    };
    // A write may be told only at its end.
    let asked = if asked == Datum::Nil && how == End::Ok && !f.starts_with('r') { answer.clone() } else { asked };
    Act { process, at, start, end, how, f, key, asked, answer }
}

/// Reads maps: Jepsen's EDN, and Porcupine's key-value lines.
pub(super) fn read(text: &str, format: Format, model: Model, initial: Option<&str>) -> Result<Imported, ImportError> {
    let is_jepsen = format == Format::JepsenEdn;
    let manner = Manner { nil_agrees: is_jepsen, failed_swap_observes: !is_jepsen, empty_is_nil: !is_jepsen };
    let initial = match initial {
        Some(words) if is_jepsen => self::initial(words)?,
        Some(words) => Datum::Text(words.to_owned()),
        None => Datum::Nil,
    };
    let mut pairs = Pairs::new(Builder::new(model, manner, initial));
    let mut reader = Reader::new(text, 1, 1);
    let close = match (reader.takes('['), reader.takes('(')) {
        (true, _) => Some(']'),
        (_, true) => Some(')'),
        _ => None,
    };
    loop {
        match (reader.peek(), close) {
            (None, None) => break,
            (None, Some(close)) => {
                return Err(ImportError::at(
                    reader.here(),
                    format!("ends before the `{close}` that closes the history"),
                ));
            }
            (Some(next), Some(close)) if next == close => {
                reader.takes(close);
                if reader.peek().is_some() {
                    return Err(ImportError::at(reader.here(), "something follows the end of the history"));
                }
                break;
            }
            _ => {
                let at = reader.here();
                let form = reader.form()?;
                if let Some(event) = event(at, &form)? {
                    pairs.add(event)?;
                }
            }
        }
    }
    pairs.finish()
}

/// `--initial` in the notation of the history.
pub(super) fn initial(words: &str) -> Result<Datum, ImportError> {
    let wrong =
        |error: ImportError| ImportError::at((0, error.column), format!("the initial value {words:?}: {}", error.what));
    let mut reader = Reader::new(words, 0, 1);
    let datum = reader.form().map_err(wrong)?;
    match reader.peek() {
        None => Ok(datum),
        Some(_) => Err(wrong(ImportError::at(reader.here(), "is more than one value"))),
    }
}

/// `None`: not of a client.
fn event(at: (u64, u64), form: &Datum) -> Result<Option<Event>, ImportError> {
    let refuse = |what: String| ImportError::at(at, what);
    let Datum::Map(_) = form else { return Err(refuse(format!("{} is no operation: a map is expected", short(form)))) };
    let missing = |name: &str| refuse(format!("the operation has no :{name}"));
    let process = match form.field("process").ok_or_else(|| missing("process"))? {
        Datum::Plain(number) => {
            number.parse().map_err(|_| refuse(format!("the process {number} is no number from 0 to {}", u32::MAX)))?
        }
        // The nemesis, and whoever else is no client.
        Datum::Keyword(_) | Datum::Nil => return Ok(None),
        other => return Err(refuse(format!("the process {} is no number", short(other)))),
    };
    let word = |name: &str| form.field(name).and_then(Datum::word).ok_or_else(|| missing(name));
    let kind = word("type")?;
    let kind = Kind::of(kind).ok_or_else(|| refuse(format!("the type {kind} is none of invoke, ok, fail, info")))?;
    let key = match form.field("key") {
        None | Some(Datum::Nil) => String::new(),
        Some(key) => name(key),
    };
    let value = form.field("value").cloned().unwrap_or(Datum::Nil);
    Ok(Some(Event { at, process, kind, f: word("f")?.to_owned(), key, value }))
}

fn short(datum: &Datum) -> String {
    let words = datum.to_string();
    let start: String = words.chars().take(40).collect();
    if start.len() < words.len() { start + "…" } else { start }
}
