//! A share of all, as people write it: `0.05` or `5%`.
//! Invariant: `parse(format(x)) == x`; exact to a millionth.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

const ALL: f64 = 1_000_000.0;

/// In parts of a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub u32);

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a share: a number from 0 to 1, such as 0.05, or a percentage such as 5%");
        let (digits, unit) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
        let is_plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number: f64 = digits.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
        let share = number / unit;
        if share > 1.0 { Err(wrong()) } else { Ok(Ratio((share * ALL).round() as u32)) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / ALL)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    /// A number, or the text of one.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Ratio;

    #[test]
    fn a_share_is_written_as_it_is_read() {
        for (text, share) in [("0", 0), ("0.05", 50_000), ("1", 1_000_000), ("0.000001", 1)] {
            assert_eq!(text.parse(), Ok(Ratio(share)));
            assert_eq!(Ratio(share).to_string(), text);
        }
        assert_eq!("12.5%".parse(), Ok(Ratio(125_000)));
        for text in ["", "%", "-0.1", "1.1", "101%", "1e-3", "nan", "inf", "a"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }
}
