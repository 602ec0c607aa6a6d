//! A duration as people write it: a whole number and its unit.
//! Invariant: `parse(format(x)) == x`; a number without a unit is refused, since nobody knows whether 20 means ms or s.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a duration: a whole number and one of ms, s, m, h, such as 250ms or 5s");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms));
        ms.map(Span).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    /// The largest unit that is exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit_ms) =
            UNITS.iter().find(|(_, ms)| self.0 > 0 && self.0.is_multiple_of(*ms)).unwrap_or(&("ms", 1));
        write!(f, "{}{name}", self.0 / unit_ms)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
