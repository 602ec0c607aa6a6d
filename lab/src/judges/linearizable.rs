//! Linearizability of an account, key by key: zones of registers, inclusion of sets that grow, the search elsewhere; keys are judged side by side.
//! Invariant: the verdict of an account is the greatest of its keys' (`Invalid` > `Unknown` > `Valid`), whatever order they are judged in.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::account::{Account, Key, Operation, Value};
use super::inclusion;
use super::search::{self, Limit, Outcome, Stuck};
use super::zones::{self, Fault};
use super::{Budget, Verdict};

mod words;

pub use super::states::Model;

/// How a key was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The zone test.
    Zones,
    /// By what reads of a growing set include.
    Inclusion,
    /// The search.
    Search,
}

/// Which judges may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Zones and inclusion where they apply.
    #[default]
    Fastest,
    /// The search for every key: a second opinion.
    SearchOnly,
}

/// What was found of one key that is not plainly valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub key: String,
    /// Invalid or unknown.
    pub verdict: Verdict,
    /// Who says so.
    pub method: Method,
    /// In words.
    pub why: String,
    /// The operations that it is about: ten at most.
    pub witness: Vec<Shown>,
}

/// An operation, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Who did it.
    pub process: u32,
    /// Where it begins in the file.
    pub source: u64,
    /// When it started.
    pub start: i64,
    /// When it ended; `None`: nobody knows.
    pub end: Option<i64>,
    /// What it was.
    pub what: String,
    /// The node that was asked, as a run's history names it; of other histories nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// The verdict of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The greatest of all keys.
    pub verdict: Verdict,
    /// Operations that were judged.
    pub operations: usize,
    /// Keys that are linearizable.
    pub valid: usize,
    /// Keys that are not.
    pub invalid: usize,
    /// Keys of which nobody knows.
    pub unknown: usize,
    /// Keys judged by zones.
    pub by_zones: usize,
    /// Keys judged by inclusion.
    pub by_inclusion: usize,
    /// Of the keys that are not valid: the invalid ones first.
    pub findings: Vec<Finding>,
}

/// How many findings are kept.
pub const FINDINGS_MAX: usize = 20;

/// Judges all keys of `account`.
pub fn check(account: &Account, model: Model, budget: &Budget, choice: Choice) -> Report {
    let deadline = Instant::now() + budget.time;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(account.keys.len()).max(1);
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::default());
    let work = || {
        while let Some(key) = account.keys.get(next.fetch_add(1, Ordering::Relaxed)) {
            let bounds = Bounds { deadline, memory_bytes: budget.memory_bytes / threads };
            let (method, finding) = check_key(account, key, model, bounds, choice);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.add(key.operations.len(), method, finding);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.findings.sort_by(|one, other| (other.verdict, &one.key).cmp(&(one.verdict, &other.key)));
    report.findings.truncate(FINDINGS_MAX);
    report
}

#[derive(Clone, Copy)]
struct Bounds {
    deadline: Instant,
    memory_bytes: usize,
}

fn check_key(account: &Account, key: &Key, model: Model, bounds: Bounds, choice: Choice) -> (Method, Option<Finding>) {
    if !key.foreign.is_empty() || key.has_unknown_contexts {
        let why =
            "it holds values of others, or was written with contexts of which the history does not say what they cover";
        return (Method::Search, Some(finding(account, key, Method::Search, Verdict::Unknown, why.to_owned(), &[])));
    }
    let has_zones = choice == Choice::Fastest && matches!(model, Model::Register | Model::CasRegister);
    if has_zones && let Ok((clusters, fault)) = zones::check(key) {
        let finding = fault.map(|fault| {
            let places = zones::witness(key, &clusters, fault);
            finding(
                account,
                key,
                Method::Zones,
                Verdict::Invalid,
                words::of_fault(account, key, &clusters, fault),
                &places,
            )
        });
        return (Method::Zones, finding);
    }
    let name = |value: Value| words::value(account, key, model, value);
    if choice == Choice::Fastest
        && model == Model::Set
        && let Ok(fault) = inclusion::check(key)
    {
        let of = |fault: inclusion::Fault| {
            finding(account, key, Method::Inclusion, Verdict::Invalid, fault.words(&name), &fault.witness())
        };
        return (Method::Inclusion, fault.map(of));
    }
    let outcome = search::check(key, model, bounds.deadline, bounds.memory_bytes, &name);
    (Method::Search, of_outcome(account, key, model, outcome))
}

fn of_outcome(account: &Account, key: &Key, model: Model, outcome: Outcome) -> Option<Finding> {
    match outcome {
        Outcome::Valid => None,
        Outcome::Unknown(limit) => {
            let what = if limit == Limit::Time { "time" } else { "memory" };
            let why = format!("the {what} was used up before all orders were tried");
            Some(finding(account, key, Method::Search, Verdict::Unknown, why, &[]))
        }
        Outcome::Invalid(Stuck { ordered, last, state, next }) => {
            let why = format!(
                "no order explains all answers; the longest has {ordered} operations and leaves {}, where nothing that could come next explains what is read: the last {} shown",
                if model == Model::Append { format!("a text of {state}") } else { state },
                next.len(),
            );
            let places: Vec<usize> = last.into_iter().chain(next).collect();
            Some(finding(account, key, Method::Search, Verdict::Invalid, why, &places))
        }
    }
}

fn finding(account: &Account, key: &Key, method: Method, verdict: Verdict, why: String, places: &[usize]) -> Finding {
    Finding { key: key.name.clone(), verdict, method, why, witness: shown(account, key, places) }
}

/// Operations of `key`, by their places, as they are told.
pub fn shown(account: &Account, key: &Key, places: &[usize]) -> Vec<Shown> {
    let operations = places.iter().filter_map(|place| key.operations.get(*place));
    let shown = |operation: &Operation| Shown {
        process: operation.process,
        source: operation.source,
        start: operation.start,
        end: operation.is_known().then_some(operation.end),
        what: words::did(account, key, &operation.did),
        asked: None,
    };
    operations.map(shown).collect()
}

impl Report {
    fn add(&mut self, operations: usize, method: Method, finding: Option<Finding>) {
        let verdict = finding.as_ref().map_or(Verdict::Valid, |finding| finding.verdict);
        self.verdict = self.verdict.max(verdict);
        self.operations += operations;
        self.by_zones += usize::from(method == Method::Zones);
        self.by_inclusion += usize::from(method == Method::Inclusion);
        match verdict {
            Verdict::Valid => self.valid += 1,
            Verdict::Unknown => self.unknown += 1,
            Verdict::Invalid => self.invalid += 1,
        }
        // Bounded: an invalid one may still push out an unknown one.
        if let Some(finding) = finding {
            self.findings.push(finding);
            if self.findings.len() > 2 * FINDINGS_MAX {
                self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
                self.findings.truncate(FINDINGS_MAX);
            }
        }
    }
}

/// The verdict of one key by inclusion; `None`: it does not apply.
pub fn by_inclusion(key: &Key) -> Option<bool> {
    inclusion::check(key).ok().map(|fault| fault.is_none())
}

/// The verdict of one key by the zone test; `None`: it does not apply.
pub fn by_zones(key: &Key) -> Option<bool> {
    zones::check(key).ok().map(|(_, fault): (_, Option<Fault>)| fault.is_none())
}
