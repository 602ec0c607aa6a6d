//! The words of an expectation, with their places.

use super::parser::ExpressionError;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(f64),
    /// In milliseconds, and as it is written.
    Time(f64, String),
    Name(String),
    /// An operator, a comparison, a bracket.
    Sign(&'static str),
}

/// In an order in which the longer ones come first.
const SIGNS: [&str; 13] = ["<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "(", ")", "="];

/// The words of `text`, each with the number of its first character, from 1.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let place = text.chars().count() - rest.chars().count() + 1;
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (token, length) = match first {
            '0'..='9' | '.' => number(rest, place)?,
            'a'..='z' | 'A'..='Z' | '_' => name(rest),
            _ => sign(rest, place)?,
        };
        tokens.push((place, token));
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn name(text: &str) -> (Token, usize) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let length = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    (Token::Name(text.get(..length).unwrap_or_default().to_owned()), length)
}

fn sign(text: &str, place: usize) -> Result<(Token, usize), ExpressionError> {
    match SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
        Some("=") => Err(ExpressionError::new(place, "`=` compares nothing: write ==, or <=, >=, !=")),
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => {
            let first: String = text.chars().take(1).collect();
            Err(ExpressionError::new(place, format!("`{first}` is no part of an expectation")))
        }
    }
}

/// Digits with a point, and a unit: `%` is a hundredth, `s` and `ms` make it a time.
fn number(text: &str, place: usize) -> Result<(Token, usize), ExpressionError> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let unit = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '%').unwrap_or(rest.len());
    let unit = rest.get(..unit).unwrap_or_default();
    let value: f64 = number.parse().map_err(|_| ExpressionError::new(place, format!("`{number}` is not a number")))?;
    let token = match unit {
        "" => Token::Number(value),
        "%" => Token::Number(value * 0.01),
        "ms" => Token::Time(value, format!("{number}{unit}")),
        "s" => Token::Time(value * 1e3, format!("{number}{unit}")),
        _ => return Err(ExpressionError::new(place, format!("`{number}{unit}`: units are %, ms and s"))),
    };
    Ok((token, digits + unit.len()))
}
