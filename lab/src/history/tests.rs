#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::{ContextIn, Header, Intent, Op, Reader, Record, Replicas, Returned, VERSION, Writer};
use crate::load::Status;
use crate::plan::{Pace, Plan, Request, Until, Workload};

fn header() -> Header {
    Header {
        driftkv_history: VERSION,
        run: "00000000000000ab".to_owned(),
        started_unix_ms: 1,
        plan: Plan {
            seed: 3,
            workload: Workload::default(),
            pace: Pace::Closed { until: Until::Ops(5) },
            request: Request::default(),
        },
        targets: vec!["127.0.0.1:7400".to_owned()],
        read_mode: "eventual".to_owned(),
        timeout_ms: 5_000,
    }
}

fn record(seq: u64) -> Record {
    Record {
        run: header().run,
        worker: 1,
        session: 1,
        seq,
        op: Op::Put,
        key: "key-0000000001".to_owned(),
        value_id: Some(format!("1.{seq}")),
        ctx_in: Some(ContextIn { intent: Intent::WithContext, seq: Some(0), ctx: "AQ".to_owned() }),
        target: "127.0.0.1:7400".to_owned(),
        n: Some(3),
        r: None,
        w: Some(2),
        intended_ns: Some(10),
        sent_ns: Some(11),
        recv_ns: 12,
        attempts: 1,
        status: Status::Ok,
        error: None,
        coordinator: None,
        term: None,
        replicas: Some(Replicas { primaries: 2, fallbacks: 0 }),
        returned: vec![Returned { value_id: "0.0".to_owned(), dot: None }],
        ctx_out: Some("Ag".to_owned()),
        degraded: Some(false),
        truncated: false,
    }
}

async fn write(dir: &TempDir, records: u64) -> std::path::PathBuf {
    let path = dir.path().join("history.jsonl");
    let writer = Writer::create(&path, &header(), Arc::default()).unwrap();
    for seq in 0..records {
        writer.push(record(seq)).await;
    }
    let written = writer.end().await.unwrap();
    assert_eq!((written.records, written.bytes), (records, fs::metadata(&path).unwrap().len()));
    path
}

fn seqs(path: &Path) -> (Vec<u64>, Option<u64>) {
    let mut reader = Reader::open(path).unwrap();
    assert_eq!(reader.header(), &header());
    let seqs = reader.by_ref().map(|record| record.unwrap().seq).collect();
    (seqs, reader.torn_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_read_again() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 20_000).await;
    assert_eq!(Reader::open(&path).unwrap().next().unwrap().unwrap(), record(0));
    assert_eq!(seqs(&path), ((0..20_000).collect(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_cut_anywhere_gives_the_whole_lines_before_and_says_what_was_torn() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 3).await;
    let bytes = fs::read(&path).unwrap();
    let header_end = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for end in (0..=bytes.len()).rev() {
        fs::write(&path, &bytes[..end]).unwrap();
        if end < header_end {
            assert!(Reader::open(&path).is_err());
            continue;
        }
        let whole = bytes[header_end..end].iter().filter(|byte| **byte == b'\n').count() as u64;
        let torn = end - bytes[..end].iter().rposition(|byte| *byte == b'\n').unwrap() - 1;
        assert_eq!(seqs(&path), ((0..whole).collect(), (torn > 0).then_some(torn as u64)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_within_a_history_is_named_with_its_line() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 3).await;
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"seq\":1,", "\"seq\":x,", 1)).unwrap();
    let errors: Vec<String> = Reader::open(&path).unwrap().filter_map(Result::err).map(|e| e.to_string()).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("history.jsonl:3: no record"), "{}", errors[0]);
    fs::write(&path, text.replacen("\"driftkv_history\":1", "\"driftkv_history\":9", 1)).unwrap();
    assert!(Reader::open(&path).unwrap_err().to_string().contains("version 9"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_on_the_file_soon_although_the_run_goes_on() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("history.jsonl");
    let writer = Writer::create(&path, &header(), Arc::default()).unwrap();
    writer.push(record(0)).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while seqs(&path).0.is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing was flushed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    writer.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_never_overwrites_another() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 1).await;
    assert!(Writer::create(&path, &header(), Arc::default()).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_cannot_be_written_stops_the_run_and_says_why() {
    let (reader, pipe) = std::io::pipe().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = Writer::begin(File::from(OwnedFd::from(pipe)), &header(), Arc::clone(&stop)).unwrap();
    drop(reader);
    writer.push(record(0)).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !stop.load(Ordering::Relaxed) {
        assert!(std::time::Instant::now() < deadline, "the run goes on without a history");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    writer.push(record(1)).await;
    assert_eq!(writer.end().await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

async fn refused(dir: &TempDir, of: impl Fn(&str) -> String) -> String {
    let path = write(dir, 3).await;
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, of(&text)).unwrap();
    let errors: Vec<String> = Reader::open(&path).unwrap().filter_map(Result::err).map(|e| e.to_string()).collect();
    fs::remove_file(path).unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_not_as_long_as_its_end_says_is_refused_with_both() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, 3).await;
    let bytes = fs::metadata(&path).unwrap().len();
    fs::write(dir.path().join("history.end"), format!("{{\"records\":3,\"bytes\":{bytes}}}")).unwrap();
    assert_eq!(seqs(&path), ((0..3).collect(), None));
    fs::remove_file(&path).unwrap();
    let without_last = |text: &str| text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    let refused = refused(&dir, without_last).await;
    let said = format!("history.end says 3 records in {bytes} bytes");
    assert!(refused.contains("with 2 records in ") && refused.contains(&said), "{refused}");
    let cut = self::refused(&dir, |text| text[..text.len() - 1].to_owned()).await;
    assert!(cut.contains("with 2 records in "), "{cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_another_run_or_twice_there_or_answered_before_they_were_sent_are_refused() {
    let dir = TempDir::new().unwrap();
    let second = |from: &'static str, to: &'static str| {
        move |text: &str| {
            let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
            lines[2] = lines[2].replacen(from, to, 1);
            lines.concat()
        }
    };
    let other = refused(&dir, second("\"run\":\"00000000000000ab\"", "\"run\":\"cd\"")).await;
    assert!(other.contains("history.jsonl:3: no record of an operation: it is of the run \"cd\""), "{other}");
    let twice = refused(&dir, second("\"seq\":1,", "\"seq\":0,")).await;
    assert!(twice.contains("a line of the operation 0 before it"), "{twice}");
    let written = refused(&dir, second("\"1.1\"", "\"1.0\"")).await;
    assert!(written.contains("the write \"1.0\" has a line before it"), "{written}");
    let early = refused(&dir, second("\"recv_ns\":12", "\"recv_ns\":10")).await;
    assert!(early.contains("recv_ns is below sent_ns"), "{early}");
}

#[test]
fn where_there_is_no_history_it_is_said_what_to_name_or_why() {
    let dir = TempDir::new().unwrap();
    let said = || Reader::open(&dir.path().join("history.jsonl")).unwrap_err().to_string();
    assert!(!said().contains("; "), "{}", said());
    fs::write(dir.path().join("run.json"), "{}").unwrap();
    assert!(said().contains("was not kept"), "{}", said());
    fs::write(dir.path().join("spec.yaml"), "").unwrap();
    fs::create_dir(dir.path().join("cells")).unwrap();
    assert!(said().contains("cells/CELL/seed-N"), "{}", said());
}
