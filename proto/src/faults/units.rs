//! How durations, rates and fractions are written in the fault vocabulary, both ways.
//! Invariant: `parse(format(x)) == x`; a number without its unit is refused, because nobody knows whether 20 means ms or s.

/// Milliseconds of `20ms`, `5s`, `1m`, `1h`, also with a fraction: `1.5s`.
///
/// Errors: a sentence that names the text and says what is allowed. Less than a millisecond is refused.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a duration: a number and one of ms, s, m, h, such as 20ms or 5s");
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: f64 = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return Err(wrong()),
    };
    let ms = plain_number(number).ok_or_else(wrong)? * unit_ms;
    if ms != 0.0 && ms.round() < 1.0 {
        return Err(format!("`{text}` is less than 1ms"));
    }
    if ms > 1e12 {
        return Err(format!("`{text}` is too long"));
    }
    Ok(ms.round() as u64)
}

/// Milliseconds of a duration that may carry a sign: `-5s`.
pub(super) fn signed_duration_ms(text: &str) -> Result<i64, String> {
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    Ok(sign * i64::try_from(duration_ms(magnitude)?).unwrap_or(i64::MAX))
}

/// The probability in `5%` or `0.05`: above 0, at most 1.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let wrong =
        || format!("`{text}` is not a rate: a percentage such as 5%, or a number above 0 and at most 1 such as 0.05");
    let rate = match text.strip_suffix('%') {
        Some(percent) => plain_number(percent).ok_or_else(wrong)? / 100.0,
        None => plain_number(text).ok_or_else(wrong)?,
    };
    if rate > 0.0 && rate <= 1.0 { Ok(rate) } else { Err(wrong()) }
}

/// A finite number of digits and at most one point: no sign, no exponent, no `inf`.
pub(super) fn plain_number(text: &str) -> Option<f64> {
    let is_plain =
        text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// The shortest exact writing: 60000 is `1m`, 1500 is `1500ms`.
pub(super) fn format_ms(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// A percentage where that is exact, else the number.
pub(super) fn format_rate(rate: f64) -> String {
    let percent = format!("{}%", (rate * 1e11).round() / 1e9);
    if self::rate(&percent) == Ok(rate) { percent } else { rate.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{duration_ms, format_ms, format_rate, rate, signed_duration_ms};

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration_ms("20ms"), Ok(20));
        assert_eq!(duration_ms("5s"), Ok(5_000));
        assert_eq!(duration_ms("1.5m"), Ok(90_000));
        assert_eq!(duration_ms("1h"), Ok(3_600_000));
        assert_eq!(duration_ms("0s"), Ok(0));
        assert_eq!(signed_duration_ms("-5s"), Ok(-5_000));
        for wrong in ["", "5", "s", "5 s", "-5s", "5d", "1e3s", "infs", "0.1ms", "99999999999h", "1.2.3s"] {
            let error = duration_ms(wrong).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn rates_are_percentages_or_numbers_up_to_one() {
        assert_eq!(rate("5%"), Ok(0.05));
        assert_eq!(rate("0.05"), Ok(0.05));
        assert_eq!(rate("100%"), Ok(1.0));
        for wrong in ["0", "0%", "101%", "1.5", "-1%", "5 %", "nan", "five"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for ms in [0, 1, 20, 1_500, 5_000, 60_000, 90_000, 3_600_000] {
            assert_eq!(duration_ms(&format_ms(ms)), Ok(ms));
        }
        for x in [0.05, 0.07, 0.1, 1.0, 0.001, 0.123_456_789, 1e-9] {
            assert_eq!(rate(&format_rate(x)), Ok(x));
        }
    }
}
