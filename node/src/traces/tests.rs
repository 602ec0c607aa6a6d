//! The text of a span, and a collector that is not there.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use driftkv_core::effect::{Achieved, Reply};
use driftkv_core::id::CommitNo;
use driftkv_core::message::Trace;

use super::{Exporter, Spans, format, parse};
use crate::metrics::Operation;

const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_span_is_written_as_it_is_read() {
    let trace = Trace { id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, span: 0x00f0_67aa_0ba9_02b7 };
    assert_eq!((parse(TEXT), format(&trace).as_str()), (Some(trace), TEXT));
    assert_eq!(parse(&format!("01{}-more", &TEXT[2..])), Some(trace), "a later version may say more");
}

#[test]
fn what_is_no_recorded_span_is_ignored() {
    let not_recorded = TEXT.replace("-01", "-00");
    let [upper, more] = [TEXT.to_uppercase(), format!("{TEXT}-more")];
    let (no_trace, no_span) = (
        TEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        TEXT.replace("00f067aa0ba902b7", &"0".repeat(16)),
    );
    let (no_version, letters, signs) =
        (format!("ff{}", &TEXT[2..]), TEXT.replace("4b", "4g"), TEXT.replace("-4b", "-+b"));
    let dashes = TEXT.replace("2b7-01", "2b-701");
    for text in
        [&not_recorded, &upper, &more, &no_trace, &no_span, &no_version, &letters, &signs, &dashes, "", "00-", "\u{e9}"]
    {
        assert_eq!(parse(text), None, "{text:?}");
    }
}

/// One request whose answer is known, as the engine tells it.
fn request(spans: &mut Spans, token: u64, caller: Option<Trace>) {
    let now = Instant::now();
    spans.client(token, Operation::Put, caller, now, now);
    spans.stepped(now, now, CommitNo(token), CommitNo(0));
    spans.synced(CommitNo(token));
    let achieved = Achieved { primaries: 2, fallbacks: 0, is_strict: true };
    let reply = Reply::Put { context: bytes::Bytes::new(), siblings: 1, achieved, was_applied: false };
    spans.answered(token, &Ok(reply), now);
}

#[tokio::test]
async fn without_a_collector_spans_are_dropped_and_counted_and_nobody_waits() {
    let (exporter, task) = Exporter::new("http://127.0.0.1:1", "n0").unwrap();
    let dropped = exporter.dropped_later();
    let mut spans = Spans::new(exporter, 0);
    let begin = Instant::now();
    for token in 1..=5_000 {
        request(&mut spans, token, parse(TEXT));
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "20,000 spans took {:?}", begin.elapsed());
    assert_eq!(dropped.load(Ordering::Relaxed), 20_000 - 8_192, "queue, store, sync and put; the queue takes 8,192");
    assert_eq!((spans.sweep(begin), spans.sweep(begin)), (20_000 - 8_192, 0), "the metric counts each once");
    drop(spans);
    // The task has no one to export to, and still comes to its end.
    tokio::time::timeout(Duration::from_secs(120), task.run()).await.unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 20_000);
}

#[tokio::test]
async fn only_the_sampled_and_those_that_bring_a_trace_are_recorded() {
    let (exporter, _task) = Exporter::new("http://127.0.0.1:1", "n0").unwrap();
    let queued = exporter.clone();
    let mut spans = Spans::new(exporter.clone(), 0);
    (1..=100).for_each(|token| request(&mut spans, token, None));
    assert_eq!(queued.queued(), 0);
    request(&mut spans, 1, parse(TEXT));
    assert_eq!(queued.queued(), 4);
    let mut all = Spans::new(exporter, 1_000_000);
    (1..=100).for_each(|token| request(&mut all, token, None));
    assert_eq!(queued.queued(), 404);
}

/// What is logged by this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("are dropped")).map(str::to_owned).collect()
    }
}

/// A collector that takes connections and never answers: no batch fails for as long as this test lasts.
#[tokio::test]
async fn the_log_says_how_many_found_the_queue_full_and_how_many_were_left_at_the_end() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (exporter, task) = Exporter::new(&format!("http://{}", silent.local_addr().unwrap()), "n0").unwrap();
    let mut spans = Spans::new(exporter, 0);
    (1..=2_500).for_each(|token| request(&mut spans, token, parse(TEXT)));
    let exporting = tokio::spawn(task.run());
    let deadline = Instant::now() + Duration::from_secs(60);
    while log.lines().is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(log.lines().first().is_some_and(|line| line.contains("dropped=1808 ")), "{:?}", log.lines());
    drop(spans);
    tokio::time::timeout(Duration::from_secs(60), exporting).await.unwrap().unwrap();
    let lines = log.lines();
    assert!(lines.len() == 2 && lines.last().is_some_and(|line| line.contains("dropped=10000 ")), "{lines:?}");
}
