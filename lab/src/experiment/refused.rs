//! A setting that is refused, by its place among the settings; which line of a file that is, `place` finds.

use std::fmt;

use serde_json::Value;
use serde_path_to_error::Segment;

use super::spec::Spec;

/// Why a setting is refused. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Names and indices from the outermost on; empty: the whole.
    pub at: Vec<String>,
    /// What is wrong there.
    pub why: String,
}

impl Refused {
    /// `at`: a dotted path, such as `phases.1.for`.
    pub fn at(at: &str, why: impl Into<String>) -> Self {
        Self { at: parts(at), why: why.into() }
    }

    /// The same, with the settings that these are a part of.
    pub fn within(mut self, outer: &str) -> Self {
        self.at.splice(0..0, parts(outer));
        self
    }

    /// The same, at the place where the file says so.
    pub fn given(self, origins: &Origins) -> Self {
        Self { at: origins.of(&self.at), why: self.why }
    }

    /// The same; without a place of its own it is `place`.
    pub fn or_at(self, place: &[String]) -> Self {
        if self.at.is_empty() { Self { at: place.to_vec(), why: self.why } } else { self }
    }

    /// The same, with a word in front that says of what it is told.
    pub fn of(mut self, what: &str) -> Self {
        self.why = format!("{what}: {}", self.why);
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.why)
    }
}

/// Settings that were given elsewhere than where they stand: by a slice, an axis, `quick` or a flag.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<(Vec<String>, Vec<String>)>);

impl Origins {
    /// `path` is as `place` says; an empty place is not in the file.
    pub fn add(&mut self, path: &str, place: Vec<String>) {
        self.0.push((parts(path), place));
    }

    /// Where in the file that is said which stands at `at`.
    pub fn of(&self, at: &[String]) -> Vec<String> {
        let given =
            self.0.iter().rev().find(|(path, _)| at.starts_with(path) || !at.is_empty() && path.starts_with(at));
        match given {
            Some((path, place)) if !place.is_empty() => {
                [place.as_slice(), at.get(path.len()..).unwrap_or_default()].concat()
            }
            Some(_) => Vec::new(),
            None => at.to_vec(),
        }
    }
}

/// The parts of a dotted path.
pub fn parts(path: &str) -> Vec<String> {
    path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Plain values as settings. Errors: the place of the first that cannot be one.
pub fn settings(value: &Value) -> Result<Spec, Refused> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let at: Vec<String> = error.path().iter().filter_map(part).collect();
        let why = error.into_inner().to_string();
        let why = if at.is_empty() { why } else { format!("{}: {why}", at.join(".")) };
        Refused { at, why }
    })
}

fn part(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}
