//! Jepsen's log: a line for each event, `INFO  jepsen.util - 3 :invoke :cas [1 2]`, with spaces or tabs.
//! Lines of a logger about something else are counted; anything that is neither is an error.

use super::datum::Datum;
use super::edn::Reader;
use super::effect::{Builder, Manner};
use super::event::{self, Event, Kind, Pairs};
use super::{ImportError, Imported};
use crate::judges::linearizable::Model;

const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// What Jepsen says at last, without a logger.
const ENDS: [&str; 3] = ["Everything looks good!", "Analysis invalid!", "Errors occurred during analysis"];

/// Reads a log.
pub(super) fn read(text: &str, model: Model, initial: Option<&str>) -> Result<Imported, ImportError> {
    let manner = Manner { nil_agrees: false, failed_swap_observes: true, empty_is_nil: false };
    let initial = initial.map(event::initial).transpose()?.unwrap_or(Datum::Nil);
    let mut pairs = Pairs::new(Builder::new(model, manner, initial));
    let mut was_other = false;
    for (number, line) in (1..).zip(text.lines()) {
        // What a logger writes may have many lines, all but the first indented.
        let parsed = parse(number, line, was_other && line.starts_with(char::is_whitespace))?;
        was_other = matches!(parsed, Line::Other);
        match parsed {
            Line::Event(event) => pairs.add(event)?,
            Line::Other => pairs.builder.other_line(),
            Line::Blank => {}
        }
    }
    pairs.finish()
}

enum Line {
    Event(Event),
    Other,
    Blank,
}

/// Words with the column, from 1, in which each begins, and its place in bytes.
fn words(line: &str) -> Vec<(u64, usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (column, (place, char)) in (1..).zip(line.char_indices().chain([(line.len(), ' ')])) {
        match (char.is_whitespace(), start) {
            (false, None) => start = Some((column, place)),
            (true, Some((column, from))) => {
                words.push((column, from, line.get(from..place).unwrap_or_default()));
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// `goes_on`: it may belong to the line before, which is no event.
fn parse(number: u64, line: &str, goes_on: bool) -> Result<Line, ImportError> {
    // A value may have many words; what is looked for comes before it.
    let head = words(line);
    let Some((first, ..)) = head.first() else { return Ok(Line::Blank) };
    let kind = |word: &str| Kind::of(word.strip_prefix(':')?);
    let Some((place, found)) = head.iter().enumerate().find_map(|(place, (_, _, word))| Some((place, kind(word)?)))
    else {
        return if goes_on || is_other(&head) || is_trace(&head) || ENDS.iter().any(|end| line.starts_with(end)) {
            Ok(Line::Other)
        } else {
            Err(ImportError::at(
                (number, *first),
                "is no event: `PROCESS :invoke|:ok|:fail|:info :f VALUE` is expected",
            ))
        };
    };
    let before = place.checked_sub(1).and_then(|place| head.get(place));
    let process = match before {
        Some((_, _, word)) if word.starts_with(':') => return Ok(Line::Other),
        Some((column, _, word)) => word.parse().map_err(|_| {
            ImportError::at((number, *column), format!("the process `{word}` is no number from 0 to {}", u32::MAX))
        })?,
        None => return Err(ImportError::at((number, *first), "the event has no process")),
    };
    let (at, after) = head.get(place).map_or((*first, line.len()), |(column, from, word)| (*column, from + word.len()));
    let f = match head.get(place + 1) {
        Some((_, _, word)) if word.starts_with(':') && word.len() > 1 => word.trim_start_matches(':').to_owned(),
        Some((column, _, word)) => {
            return Err(ImportError::at(
                (number, *column),
                format!("`{word}` is no operation: `:read`, say, is expected"),
            ));
        }
        None => return Err(ImportError::at((number, at), "the event has no operation")),
    };
    let value = match head.get(place + 2) {
        Some((column, from, _)) => Reader::new(line.get(*from..).unwrap_or_default(), number, *column).form()?,
        None => {
            return Err(ImportError::at(
                (number, line.get(..after).unwrap_or_default().chars().count() as u64 + 1),
                "the event has no value",
            ));
        }
    };
    Ok(Line::Event(Event { at: (number, *first), process, kind: found, f, key: String::new(), value }))
}

/// A line of a stack trace, as a logger of Java writes it below its own.
fn is_trace(head: &[(u64, usize, &str)]) -> bool {
    let word = |place: usize| head.get(place).map_or("", |(_, _, word)| *word);
    match (word(0), word(1)) {
        ("at", place) => place.contains('('),
        ("Caused" | "Suppressed:", _) | ("...", _) => true,
        (first, _) => {
            let name = first.trim_end_matches(':');
            name.contains('.') && (name.ends_with("Exception") || name.ends_with("Error"))
        }
    }
}

/// A logger's line that tells of no operation.
fn is_other(head: &[(u64, usize, &str)]) -> bool {
    let is_level = |word: &str| LEVELS.contains(&word);
    let is_operation = head.iter().any(|(_, _, word)| word.trim_end_matches(':') == "jepsen.util");
    head.iter().take(4).any(|(_, _, word)| is_level(word)) && !is_operation
}
