//! Reads EDN (github.com/edn-format/edn), one form after the other. Tags are read over: their form stands for itself.
//! Invariant: nesting is bounded, so that no input overflows the stack.

use std::iter::Peekable;
use std::str::Chars;

use super::datum::Datum;
use super::{DEPTH_MAX, ImportError};

pub(super) struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: u64,
    column: u64,
}

type Read<T> = Result<T, ImportError>;

/// Where `text` ends: line and column from 1.
pub(super) fn position(text: &str) -> (u64, u64) {
    let mut reader = Reader::new(text, 1, 1);
    while reader.take().is_some() {}
    reader.here()
}

impl<'a> Reader<'a> {
    /// Reads `text`, which begins at this line and column of the whole.
    pub(super) fn new(text: &'a str, line: u64, column: u64) -> Self {
        Self { rest: text.chars().peekable(), line, column }
    }

    /// Line and column of what comes next.
    pub(super) fn here(&self) -> (u64, u64) {
        (self.line, self.column)
    }

    fn take(&mut self) -> Option<char> {
        let taken = self.rest.next()?;
        if taken == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(taken)
    }

    /// The next character that is no white space, comma or comment.
    pub(super) fn peek(&mut self) -> Option<char> {
        loop {
            match self.rest.peek().copied()? {
                ';' => while self.take().is_some_and(|taken| taken != '\n') {},
                blank if blank.is_whitespace() || blank == ',' => {
                    self.take();
                }
                other => return Some(other),
            }
        }
    }

    /// Takes `wanted` if it comes next.
    pub(super) fn takes(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.take();
        }
        is_next
    }

    /// The next form.
    pub(super) fn form(&mut self) -> Read<Datum> {
        self.nested(0)
    }

    fn nested(&mut self, depth: usize) -> Read<Datum> {
        loop {
            let start = {
                self.peek();
                self.here()
            };
            if depth > DEPTH_MAX {
                return Err(ImportError::at(start, format!("is nested deeper than {DEPTH_MAX}")));
            }
            let Some(first) = self.take() else { return Err(ImportError::at(start, "ends where a value is expected")) };
            return match first {
                '(' => self.until(')', start, depth).map(Datum::List),
                '[' => self.until(']', start, depth).map(Datum::List),
                '{' => self.map(start, depth),
                '"' => self.text(start).map(Datum::Text),
                '\\' => Ok(Datum::Plain(format!("\\{}", self.character()))),
                '#' => match self.rest.peek().copied() {
                    Some('{') => {
                        self.take();
                        self.until('}', start, depth).map(Datum::Set)
                    }
                    Some('_') => {
                        // Leaves out the next form; in a list nothing may follow it, so what does is asked for again.
                        self.take();
                        self.nested(depth + 1)?;
                        if depth > 0 && matches!(self.peek(), Some(')' | ']' | '}')) {
                            return Err(ImportError::at(start, "#_ at the end of a list is not understood"));
                        }
                        continue;
                    }
                    // ##Inf, ##-Inf, ##NaN.
                    Some('#') => Ok(Datum::Plain(self.word('#'))),
                    _ => {
                        self.word('#');
                        self.nested(depth + 1)
                    }
                },
                ')' | ']' | '}' => Err(ImportError::at(start, format!("`{first}` closes nothing"))),
                ':' => Ok(Datum::Keyword(self.word(':').split_off(1))),
                other => plain(self.word(other)).map_err(|what| ImportError::at(start, what)),
            };
        }
    }

    fn until(&mut self, close: char, start: (u64, u64), depth: usize) -> Read<Vec<Datum>> {
        let mut values = Vec::new();
        while !self.takes(close) {
            if self.peek().is_none() {
                return Err(ImportError::at(start, format!("is not closed: `{close}` is missing")));
            }
            values.push(self.nested(depth + 1)?);
        }
        Ok(values)
    }

    fn map(&mut self, start: (u64, u64), depth: usize) -> Read<Datum> {
        let values = self.until('}', start, depth)?;
        if values.len() % 2 != 0 {
            return Err(ImportError::at(start, "is a map with a key that has no value"));
        }
        let (mut values, mut entries) = (values.into_iter(), Vec::new());
        while let (Some(key), Some(value)) = (values.next(), values.next()) {
            entries.push((key, value));
        }
        Ok(Datum::Map(entries))
    }

    fn text(&mut self, start: (u64, u64)) -> Read<String> {
        let mut text = String::new();
        loop {
            let here = self.here();
            match self.take() {
                None => return Err(ImportError::at(start, "is a string without its closing `\"`")),
                Some('"') => return Ok(text),
                Some('\\') => {
                    text.push(self.escape().ok_or_else(|| ImportError::at(here, "is no escape of a string"))?)
                }
                Some(other) => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.take()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            same @ ('"' | '\\' | '/') => same,
            'u' => {
                let digits = (0..4).map(|_| self.take()).collect::<Option<String>>()?;
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            _ => return None,
        })
    }

    fn character(&mut self) -> String {
        let first = self.take().unwrap_or(' ');
        self.word(first)
    }

    /// `first` and all that follows up to a delimiter.
    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(next) = self.rest.peek().copied() {
            if next.is_whitespace() || ",;()[]{}\"".contains(next) {
                break;
            }
            word.push(next);
            self.take();
        }
        word
    }
}

/// A word outside of strings.
fn plain(word: String) -> Result<Datum, String> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(&word);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return match word.as_str() {
            "nil" => Ok(Datum::Nil),
            _ if word.starts_with(|first: char| first.is_alphabetic() || "*+!_?<>=$&%-./'@^`~|".contains(first)) => {
                Ok(Datum::Plain(word))
            }
            _ => Err(format!("`{word}` is no value")),
        };
    }
    // Clojure's own, such as the identity in #object[java.lang.Object 0x4f9a "…"].
    if digits
        .strip_prefix("0x")
        .is_some_and(|hex| !hex.is_empty() && hex.chars().all(|digit| digit.is_ascii_hexdigit()))
    {
        return Ok(Datum::Plain(word));
    }
    // Arbitrary precision is a suffix, and says nothing about the value.
    let number = word.trim_end_matches(['N', 'M']).trim_start_matches('+');
    let is_number = number.chars().all(|digit| digit.is_ascii_digit() || "+-.eE/".contains(digit));
    if is_number { Ok(Datum::Plain(number.to_owned())) } else { Err(format!("`{word}` is no number")) }
}
