//! The loops against a node that answers at once, or stands still when it is told to, over real loopback connections.
#![allow(clippy::unwrap_used)]

mod fake;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use driftkv_proto::v1::ErrorCode;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::{LoadError, Options, Outcome, Progress, Sessions, run};
use crate::history::{Intent, Op, Reader, Record};
use crate::judges::Budget;
use crate::judges::linearizable::Choice;
use crate::offline;
use crate::plan::{Arrivals, Mix, Pace, Plan, Request, Until, Workload, Writes};
use crate::run_dir::RunDir;
use fake::Fake;

fn plan(pace: Pace) -> Plan {
    let workload = Workload { keys: 100, workers: 8, sessions: 8, value_bytes: 100, ..Workload::default() };
    Plan { seed: 7, workload, pace, request: Request::default() }
}

fn open(rate: f64, seconds: u64, in_flight: usize) -> Plan {
    plan(Pace::Open { arrivals: Arrivals::Constant { rate }, duration: Duration::from_secs(seconds), in_flight })
}

async fn load(plan: &Plan, fake: &Fake, options: Options) -> Outcome {
    run(plan, &[fake.address()], options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operations_waited_for_a_stalled_node_counts_in_the_response_and_not_in_the_service() {
    let fake = Fake::start().await;
    let stall = fake.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(800)).await;
        stall.stand_still(true);
        tokio::time::sleep(Duration::from_millis(800)).await;
        stall.stand_still(false);
    });
    let outcome = load(&open(300.0, 3, 4), &fake, Options::default()).await;
    let (response, service) = outcome.stats.all();
    assert_eq!((response.count(), service.count()), (900, 900), "every operation of the plan, and none twice");
    assert_eq!(fake.requests(), 900);
    // A quarter of the operations were due within the stall; four of them were on their way.
    let (corrected, uncorrected) = (response.quantile(0.95).unwrap().us, service.quantile(0.95).unwrap().us);
    assert!(corrected >= 300_000, "95 % of the responses within {corrected} us");
    assert!(uncorrected * 2 < corrected, "service {uncorrected} us beside response {corrected} us");
    assert!(outcome.is_open && !response.max().unwrap().is_at_least);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_that_are_never_sent_are_counted_with_what_they_waited_as_a_lower_bound() {
    let fake = Fake::start().await;
    fake.stand_still(true);
    let mut plan = open(100.0, 1, 2);
    plan.request.timeout = Duration::from_millis(300);
    let outcome = load(&plan, &fake, Options::default()).await;
    let (stats, health) = (&outcome.stats, outcome.health.unwrap());
    assert_eq!((stats.ended(), health.due), (100, 100));
    let count = |name| stats.errors().get(name).map_or(0, |errors| errors.count);
    assert!(count("not_sent") > 50 && count("timeout") >= 2, "{:?}", stats.errors());
    assert_eq!(count("not_sent") + count("timeout") + count("deadline_exceeded"), 100, "{:?}", stats.errors());
    let (response, _) = stats.all();
    assert_eq!(response.censored(), 100);
    let (median, max) = (response.quantile(0.5).unwrap(), response.max().unwrap());
    assert!(median.is_at_least && median.to_string().starts_with(">= "));
    assert!(max.us >= 800_000, "the first unsent one waited {max}");
    assert!(health.is_saturated && health.achieved_rate == 0.0 && health.late == 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_come_at_once_are_told_with_their_words_and_are_no_backlog() {
    let fake = Fake::start().await;
    fake.refuse(ErrorCode::TooLarge, "it holds\nat most 3");
    let outcome = load(&open(100.0, 1, 50), &fake, Options::default()).await;
    let (stats, health) = (&outcome.stats, outcome.health.unwrap());
    let errors = stats.errors().get("too_large").unwrap();
    assert!(errors.count == 100 && errors.first.contains("it holds at most 3"), "{errors:?}");
    assert_eq!((stats.fail(), health.achieved_rate), (100, 0.0));
    assert!(!health.is_saturated, "{health:?}");
    let (response, service) = stats.all();
    assert_eq!((response.quantile(0.99), service.max(), response.mean_us()), (None, None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_as_overloaded_is_saturated_though_it_answers_at_once() {
    let fake = Fake::start().await;
    fake.refuse(ErrorCode::Overloaded, "too many wait");
    let outcome = load(&open(100.0, 1, 50), &fake, Options::default()).await;
    let health = outcome.health.unwrap();
    assert!(health.is_saturated && health.late == 100, "{health:?}");
    assert_eq!(outcome.stats.errors().get("overloaded").unwrap().count, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_keeps_up_is_not_called_saturated() {
    let fake = Fake::start().await;
    let health = load(&open(100.0, 2, 50), &fake, Options::default()).await.health.unwrap();
    assert!(!health.is_saturated, "{health:?}");
    assert_eq!(health.due, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_either_loop_in_order_with_what_was_measured() {
    let fake = Fake::start().await;
    for pace in [
        Pace::Open { arrivals: Arrivals::Constant { rate: 100.0 }, duration: Duration::from_secs(600), in_flight: 9 },
        Pace::Closed { until: Until::After(Duration::from_secs(600)) },
    ] {
        let stop = Arc::new(AtomicBool::new(false));
        let wish = Arc::clone(&stop);
        let options = Options {
            stop,
            on_progress: Some(Box::new(move |_| wish.store(true, Ordering::Relaxed))),
            ..Options::default()
        };
        let outcome = load(&plan(pace), &fake, options).await;
        assert!(outcome.stats.ok() > 0 && outcome.elapsed < Duration::from_secs(60), "{:?}", outcome.elapsed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_asks_exactly_what_was_planned() {
    let fake = Fake::start().await;
    let mut plan = plan(Pace::Closed { until: Until::Ops(1_000) });
    plan.workload.mix = Mix { get: 1, put: 1, delete: 1, rmw: 1 };
    let outcome = load(&plan, &fake, Options::default()).await;
    assert_eq!((outcome.stats.ok(), outcome.stats.ended()), (1_000, 1_000));
    let rmws = outcome.stats.op(crate::plan::Action::Rmw).ok;
    assert_eq!(fake.requests(), 1_000 + rmws, "a read-modify-write is two requests");
    assert!(outcome.health.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_cannot_begin_sends_nothing() {
    let fake = Fake::start().await;
    let plan = plan(Pace::Closed { until: Until::Ops(10) });
    let refused = |endpoints: Vec<String>, options| {
        let plan = plan.clone();
        async move { run(&plan, &endpoints, options).await.unwrap_err() }
    };
    assert!(matches!(refused(vec![], Options::default()).await, LoadError::Options(_)));
    let strange = Options { sessions: Some(Sessions::new(3)), ..Options::default() };
    assert!(matches!(refused(vec![fake.address()], strange).await, LoadError::Options(_)));
    let mut impatient = plan.clone();
    impatient.request.timeout = Duration::ZERO;
    let refused = run(&impatient, &[fake.address()], Options::default()).await;
    assert!(matches!(refused.unwrap_err(), LoadError::Plan(error) if error.field == "timeout"));
    assert_eq!(fake.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_a_directory_keeps_every_request_every_second_and_its_plan() {
    let (fake, home) = (Fake::start().await, tempfile::TempDir::new().unwrap());
    let dir = RunDir::create(&home.path().join("runs/1")).unwrap();
    let mut plan = open(200.0, 2, 50);
    plan.workload.mix = Mix { get: 1, put: 1, delete: 1, rmw: 1 };
    let outcome = load(&plan, &fake, Options { out: Some(dir.clone()), run: 9, ..Options::default() }).await;
    assert_eq!(outcome.stats.ok(), 400, "{:?}", outcome.stats.errors());

    let kept: Plan = serde_json::from_slice(&std::fs::read(dir.path().join("plan.json")).unwrap()).unwrap();
    assert_eq!(kept, plan);
    let mut reader = Reader::open(&dir.history()).unwrap();
    assert_eq!((&reader.header().plan, reader.header().run.as_str()), (&plan, "0000000000000009"));
    let records: Vec<Record> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len() as u64, fake.requests());
    assert_eq!(outcome.history.unwrap().records, fake.requests());
    let firsts: BTreeSet<u64> = records.iter().filter(|r| r.op != Op::RmwPut).map(|record| record.seq).collect();
    assert_eq!(firsts, (0..400).collect());
    let is_ordered = |r: &Record| r.intended_ns <= r.sent_ns && r.sent_ns <= Some(r.recv_ns);
    assert!(records.iter().all(is_ordered));
    assert_contexts(&records);

    for name in ["get", "put", "delete", "rmw"] {
        for what in ["response", "service"] {
            let text = std::fs::read(dir.path().join(format!("hdr/{name}-{what}.hlog"))).unwrap();
            let action = crate::plan::Action::ALL.into_iter().find(|action| action.name() == name).unwrap();
            assert_eq!(logged(&text), outcome.stats.op(action).ok, "{name}-{what}");
        }
    }
    assert!(RunDir::create(dir.path()).is_err(), "a run never overwrites another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contexts_are_handed_on_to_the_next_run() {
    let (fake, home) = (Fake::start().await, tempfile::TempDir::new().unwrap());
    let mut plan = plan(Pace::Closed { until: Until::Ops(20) });
    plan.workload.mix = Mix::gets_and_puts(0, 1);
    (plan.workload.keys, plan.workload.workers, plan.workload.sessions) = (1, 1, 1);
    let mut sessions = None;
    for run in [1, 2] {
        let dir = RunDir::create(&home.path().join(run.to_string())).unwrap();
        let options = Options { run, sessions, out: Some(dir.clone()), ..Options::default() };
        sessions = Some(load(&plan, &fake, options).await.sessions);
        let first = Reader::open(&dir.history()).unwrap().next().unwrap().unwrap().ctx_in.unwrap();
        let expected = if run == 1 { Intent::OverwriteAll } else { Intent::WithContext };
        assert_eq!((first.intent, first.seq), (expected, None), "run {run}: an earlier run's answer has no seq here");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stale_share_that_is_told_meanwhile_is_the_one_that_is_judged_afterwards() {
    let (fake, home) = (Fake::start_stale().await, tempfile::TempDir::new().unwrap());
    let dir = RunDir::create(&home.path().join("run")).unwrap();
    let mut plan = plan(Pace::Closed { until: Until::Ops(8_000) });
    plan.workload.mix = Mix { get: 5, put: 4, delete: 0, rmw: 1 };
    plan.workload.writes = Writes::Overwrite;
    let told = Arc::new(Mutex::new((0, 0)));
    let sum = Arc::clone(&told);
    let on_progress = move |progress: &Progress| {
        let mut sum = sum.lock().unwrap();
        *sum = (sum.0 + progress.stale.0, sum.1 + progress.stale.1);
    };
    let options = Options { out: Some(dir.clone()), on_progress: Some(Box::new(on_progress)), ..Options::default() };
    let outcome = load(&plan, &fake, options).await;
    let (stale, reads) = outcome.stats.stale();
    assert_eq!(*told.lock().unwrap(), (stale, reads), "each look tells what is new");
    let verdict = offline::judge(dir.path(), None, &Budget::default(), Choice::Fastest).unwrap();
    let judged = verdict.stale_in_real_time;
    assert!(judged.stale > 300, "{judged:?}");
    // A write is known to be over a moment after it was.
    assert!(reads.abs_diff(judged.reads) * 100 <= judged.reads, "{reads} reads, judged {}", judged.reads);
    assert!(stale <= judged.stale && stale * 100 >= judged.stale * 97, "{stale} stale, judged {}", judged.stale);
    let unwatched = load(&plan, &fake, Options::default()).await;
    assert_eq!(unwatched.stats.stale(), (0, 0));
}

/// Every context that a write carried is one that the operation it names was answered with.
fn assert_contexts(records: &[Record]) {
    let mut carried = 0;
    for basis in records.iter().filter_map(|record| record.ctx_in.as_ref()) {
        let Some(seq) = basis.seq else { continue };
        carried += 1;
        assert!(records.iter().any(|from| from.seq == seq && from.ctx_out.as_ref() == Some(&basis.ctx)));
    }
    assert!(carried > 100, "{carried} writes carried a context");
}

/// How many values an interval log holds, as any reader of the format sees it.
fn logged(text: &[u8]) -> u64 {
    let mut decoder = hdrhistogram::serialization::Deserializer::new();
    let mut count = 0;
    for entry in IntervalLogIterator::new(text) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram()).unwrap();
            let histogram: Histogram<u64> = decoder.deserialize(&mut bytes.as_slice()).unwrap();
            count += histogram.len();
        }
    }
    count
}
