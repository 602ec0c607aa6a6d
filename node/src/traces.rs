//! Traces: one request followed from its client through its coordinator to the replicas, told to an OpenTelemetry collector.
//! Follows W3C Trace Context (the `traceparent` that clients and nodes pass on) and OTLP over gRPC.
//! Invariants: without an endpoint nothing here runs and nothing is allocated; nothing waits for the collector, and what it does
//! not take in time is dropped and counted.
//! Not here: which spans there are (`traces/spans`), batches and the collector (`traces/export`).

use std::time::Duration;

use driftkv_core::message::Trace;

mod export;
mod spans;
#[cfg(test)]
mod tests;

pub use export::{ExportTask, Exporter};
pub use spans::Spans;

/// The header, and its name in gRPC metadata.
pub const HEADER: &str = "traceparent";
/// `version-trace-span-flags`, in characters.
const TEXT_BYTES: usize = 55;
const SAMPLED: u8 = 1;

/// How long the last spans may take on their way to the collector when the node stops.
pub const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Reads a `traceparent`. `None`: it is none, says nothing of this version, or says that this trace is not recorded.
pub fn parse(text: &str) -> Option<Trace> {
    let bytes = text.as_bytes();
    let is_whole = bytes.len() == TEXT_BYTES || (bytes.len() > TEXT_BYTES && !text.starts_with("00"));
    let has_dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
    let is_hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b) || *b == b'-';
    if !is_whole || !has_dashes || text.starts_with("ff") || !bytes.iter().take(TEXT_BYTES).all(is_hex) {
        return None;
    }
    let id = u128::from_str_radix(text.get(3..35)?, 16).ok()?;
    let span = u64::from_str_radix(text.get(36..52)?, 16).ok()?;
    let flags = u8::from_str_radix(text.get(53..55)?, 16).ok()?;
    (id != 0 && span != 0 && flags & SAMPLED != 0).then_some(Trace { id, span })
}

/// Writes a `traceparent` that says that the trace is recorded.
pub fn format(trace: &Trace) -> String {
    format!("00-{:032x}-{:016x}-{SAMPLED:02x}", trace.id, trace.span)
}
