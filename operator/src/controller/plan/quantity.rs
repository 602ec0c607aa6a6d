//! Quantities that are the same in other words: the API server writes `1000m` as `1`, and `1024Mi` as `1Gi`.

/// Whether both are quantities of the same amount.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    amount(a).is_some_and(|a| Some(a) == amount(b))
}

/// In thousandths of the unit. `None`: no quantity, or one that this does not need (exponents, below a thousandth).
fn amount(text: &str) -> Option<i128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 18 || part.len() > 3 {
        return None;
    }
    let thousandths: i128 = format!("{whole}{part:0<3}").parse().ok()?;
    let (factor, divisor) = match unit {
        "" => (1, 1),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        _ => return None,
    };
    thousandths.checked_mul(factor).filter(|amount| amount % divisor == 0).map(|amount| amount / divisor)
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn the_same_amount_in_other_words_is_the_same() {
        for (a, b) in [("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("2k", "2000")] {
            assert!(is_same(a, b), "{a} {b}");
        }
        for (a, b) in [("1", "2"), ("1Gi", "1G"), ("100m", "1"), ("a", "b"), ("1x", "1x"), ("", "")] {
            assert!(!is_same(a, b), "{a} {b}");
        }
    }
}
