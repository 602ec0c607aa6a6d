//! Opaque bytes as words of a command line: contexts in base64url, request ids in hexadecimal digits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use driftkv_proto::REQUEST_ID_BYTES;

use crate::error::Failure;
use crate::style::hex;

/// A context as it is printed.
pub fn of_context(context: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(context)
}

/// The context that was printed as `text`.
pub fn to_context(text: &str) -> Result<Bytes, Failure> {
    let decoded = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).map(Bytes::from);
    decoded.map_err(|error| {
        Failure::usage(format!("{} is not one: {error}", crate::program::context_flag()))
            .hint("Pass it exactly as `get` or `put` printed it.")
    })
}

/// A value's bytes in JSON, where they are not text.
pub fn of_value(value: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(value)
}

/// A fresh trace id, and the W3C `traceparent` that begins it and has it recorded.
pub fn new_trace() -> (String, String) {
    let trace = format!("{:032x}", rand::random_range(1..=u128::MAX));
    let traceparent = format!("00-{trace}-{:016x}-01", rand::random_range(1..=u64::MAX));
    (trace, traceparent)
}

/// A fresh request id.
pub fn new_request_id() -> Bytes {
    Bytes::copy_from_slice(&rand::random::<u128>().to_be_bytes())
}

/// The request id that was printed as `text`.
pub fn to_request_id(text: &str) -> Result<Bytes, Failure> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 2 * REQUEST_ID_BYTES);
    match number {
        Some(number) if !text.starts_with('+') => Ok(Bytes::copy_from_slice(&number.to_be_bytes())),
        _ => Err(Failure::usage(format!("--request-id has {} hexadecimal digits", 2 * REQUEST_ID_BYTES))),
    }
}

/// A request id as it is printed.
pub fn of_request_id(id: &[u8]) -> String {
    hex(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{new_request_id, of_context, of_request_id, to_context, to_request_id};

    #[test]
    fn tokens_are_read_as_printed() {
        let context = [0xfb, 0xff, 0x00, 0x01];
        assert_eq!(of_context(&context), "-_8AAQ");
        assert_eq!(to_context("-_8AAQ").unwrap(), context.as_slice());
        assert_eq!(to_context(" -_8AAQ==\n").unwrap(), context.as_slice());
        let id = new_request_id();
        assert_eq!(to_request_id(&of_request_id(&id)).unwrap(), id);
    }

    #[test]
    fn damaged_tokens_are_refused() {
        assert!(to_context("a+b").is_err());
        for wrong in ["", "12", "+1234567890123456789012345678901", "g0000000000000000000000000000000"] {
            assert!(to_request_id(wrong).is_err(), "{wrong}");
        }
    }
}
