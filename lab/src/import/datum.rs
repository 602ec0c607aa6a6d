//! A value as EDN and JSON write it.

use std::fmt;

/// One value. Displayed as EDN writes it, parts of sets and maps in the order of their words, so that equal values are called the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Datum {
    Nil,
    /// A number, a boolean, a symbol, a character: anything else without parts.
    Plain(String),
    /// Without its colon.
    Keyword(String),
    Text(String),
    /// A list or a vector.
    List(Vec<Datum>),
    Set(Vec<Datum>),
    Map(Vec<(Datum, Datum)>),
}

impl Datum {
    /// What a map has under the keyword, or the text, `name`; its first, if there are several.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        let is_it = |key: &Self| matches!(key, Self::Keyword(word) | Self::Text(word) if word == name);
        entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value)
    }

    /// A keyword, symbol or text, without what marks it.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Keyword(word) | Self::Text(word) | Self::Plain(word) => Some(word),
            _ => None,
        }
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => write!(out, "nil"),
            Self::Plain(word) => write!(out, "{word}"),
            Self::Keyword(word) => write!(out, ":{word}"),
            Self::Text(text) => write!(out, "{text:?}"),
            Self::List(values) => {
                let words: Vec<String> = values.iter().map(Self::to_string).collect();
                write!(out, "[{}]", words.join(" "))
            }
            Self::Set(values) => write!(out, "#{{{}}}", sorted(values.iter().map(Self::to_string)).join(" ")),
            Self::Map(entries) => {
                let words = entries.iter().map(|(key, value)| format!("{key} {value}"));
                write!(out, "{{{}}}", sorted(words).join(", "))
            }
        }
    }
}

fn sorted(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.collect();
    words.sort_unstable();
    words
}
