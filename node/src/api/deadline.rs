//! The deadline that a unary call carries in its `grpc-timeout` header.
//! Follows the gRPC over HTTP/2 specification: at most 8 digits and a unit.

use tonic::metadata::MetadataMap;

const HEADER: &str = "grpc-timeout";
const DIGITS_MAX: usize = 8;
/// Kept back so that our own account of what was missing arrives before the client's patience ends: a tenth, at most this.
const GRACE_MS_MAX: u64 = 50;

/// The timeout of a request: the shorter of what its options say (0: nothing) and what the call's header leaves it.
///
/// A header that cannot be read counts as none: gRPC has the same rule.
pub fn timeout_ms(options_ms: u32, metadata: &MetadataMap) -> u32 {
    let header = metadata.get(HEADER).and_then(|value| value.to_str().ok()).and_then(milliseconds);
    let Some(header_ms) = header else { return options_ms };
    let left_ms = header_ms.saturating_sub((header_ms / 10).min(GRACE_MS_MAX)).max(1);
    let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
    if options_ms == 0 { left_ms } else { options_ms.min(left_ms) }
}

fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.is_empty() || number.len() > DIGITS_MAX || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => number * 3_600_000,
        "M" => number * 60_000,
        "S" => number * 1_000,
        "m" => number,
        "u" => number / 1_000,
        "n" => number / 1_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::timeout_ms;
    use tonic::metadata::MetadataMap;

    fn with_header(options_ms: u32, header: &str) -> u32 {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", header.parse().unwrap());
        timeout_ms(options_ms, &metadata)
    }

    #[test]
    fn the_shorter_of_options_and_header_counts() {
        assert_eq!(timeout_ms(70, &MetadataMap::new()), 70);
        assert_eq!(with_header(70, "1S"), 70);
        assert_eq!(with_header(5_000, "1S"), 950);
        assert_eq!(with_header(0, "1S"), 950);
    }

    #[test]
    fn every_unit_is_read_and_a_little_is_kept_back() {
        let left = ["2H", "3M", "4S", "500m", "20000u", "9000000n"].map(|header| with_header(0, header));
        assert_eq!(left, [7_199_950, 179_950, 3_950, 450, 18, 9]);
        assert_eq!(with_header(0, "1n"), 1);
        assert_eq!(with_header(0, "99999999H"), u32::MAX);
    }

    #[test]
    fn a_header_that_cannot_be_read_counts_as_none() {
        for header in ["", "S", "10", "1.5S", "-1S", "123456789m", "5s", "5é"] {
            let mut metadata = MetadataMap::new();
            let Ok(value) = tonic::metadata::MetadataValue::try_from(header) else { continue };
            metadata.insert("grpc-timeout", value);
            assert_eq!(timeout_ms(70, &metadata), 70, "{header:?}");
        }
    }
}
