//! The verdict of one stored run: its history is read once, each judge sees all of it that it can judge, and what is left out is counted.
//! Order: what needs values as siblings comes first; then the keys that are registers are made so, and the others are searched.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::asked::Asked;
use super::findings::{self, Findings};
use super::leaders::{self, Leaders};
use super::measures::{Distance, Example, StaleReads, Values, example};
use super::register::{as_register, is_register};
use super::{Conditions, Judged, Outcome, Property};
use crate::history::{ReadError, Record};
use crate::import::{self, RunHistory};
use crate::judges::account::{Account, Did, Key, Names, Seen, Value};
use crate::judges::linearizable::{self, Choice, Model, Report};
use crate::judges::sessions::{self, Guarantee, Sessions, Violation};
use crate::judges::siblings;
use crate::judges::staleness::{self, Revived, Staleness};
use crate::judges::{self, Budget};

/// All that is found of one run.
#[derive(Clone, Debug, Serialize)]
pub struct RunVerdict {
    /// Its number, as its values name it.
    pub run: String,
    /// The greatest of what is promised or expected.
    pub verdict: Outcome,
    /// How it asked.
    pub conditions: Conditions,
    /// Operations that were judged.
    pub operations: usize,
    /// Keys that they are of.
    pub keys: usize,
    /// What was not judged.
    pub left_out: Left,
    /// Each property, in the order of [`Property::ALL`].
    pub properties: Vec<Judged>,
    /// What reads brought.
    pub values: Values,
    /// Some of the phantom, future and revived ones.
    pub value_examples: Vec<Example>,
    /// Stale reads as regular registers have them.
    pub stale_in_real_time: StaleReads,
    /// Stale reads as siblings have them.
    pub stale_by_causes: StaleReads,
    /// The session guarantees.
    pub sessions: Sessions,
    /// Some of their violations.
    pub session_examples: Vec<Example>,
    /// Keys that are plain registers, by zones.
    pub registers: Report,
    /// All other keys, by search, as sets of siblings: a read must show all of them (research/lab.md 3.7, strict).
    pub siblings: Report,
    /// The same keys leniently: a read need only show the newest value, what else it shows does not matter. No property goes by it.
    pub siblings_leniently: Report,
    /// Gamma and Delta of the registers.
    pub distance: Distance,
    /// Of a store with leaders; `None`: nothing tells of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaders: Option<Leaders>,
}

/// What was not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Operations that say nothing: not done, or reads without an answer.
    pub operations: u64,
    /// Keys with values of other runs, or of nobody: what was written beside this history is not known. Only phantoms and the
    /// like of them are judged.
    pub keys_of_others: u64,
    /// Keys with too many writes for causes and sessions.
    pub keys_too_large: u64,
    /// Bytes of a torn last line: the loader was killed.
    pub torn_bytes: u64,
    /// The history has no end: the loader was killed, and its last requests have no line.
    pub is_unfinished: bool,
    /// Of such a history: keys with values of which no line tells. They are among the keys of others.
    pub keys_without_lines: u64,
}

/// Judges the run in `directory` (or the history at that path). `expected`: what must hold, in place of what the run's quorums promise.
/// Errors: its history cannot be read.
pub fn judge(
    directory: &Path,
    expected: Option<&[Property]>,
    budget: &Budget,
    choice: Choice,
) -> Result<RunVerdict, ReadError> {
    judge_with(directory, expected, budget, choice, |_, _| {}).map(|(verdict, _)| verdict)
}

/// As [`judge`], and shows each record to `look` too, after the header: the file is read once.
pub(crate) fn judge_with(
    directory: &Path,
    expected: Option<&[Property]>,
    budget: &Budget,
    choice: Choice,
    mut look: impl FnMut(u64, &Record),
) -> Result<(RunVerdict, Findings), ReadError> {
    let path = if directory.is_file() { directory.to_owned() } else { directory.join("history.jsonl") };
    let mut conditions = Conditions::default();
    let (mut line, mut doubtful, mut known) = (1, HashSet::new(), judges::leaders::Leaders::default());
    let mut asked = Asked::default();
    let history = import::read_run(&path, |record| {
        line += 1;
        conditions.add(record);
        if record.attempts > 1 {
            doubtful.insert(line);
        }
        leaders::note(&mut known, line, record);
        asked.note(line, record);
        look(line, record);
    })?;
    conditions.read_mode.clone_from(&history.header.read_mode);
    let has_samples = leaders::add_samples(&mut known, &path, &history.header.run)?;
    let leaders = leaders::told(&history.imported.account, &known, has_samples);
    let (mut verdict, mut findings) = judged(history, conditions, &doubtful, leaders, expected, budget, choice);
    asked.tell_all(&mut verdict);
    let around = findings.nearby.iter_mut().flat_map(|nearby| &mut nearby.operations);
    around.for_each(|near| asked.tell(&mut near.shown));
    Ok((verdict, findings))
}

fn judged(
    history: RunHistory,
    conditions: Conditions,
    doubtful: &HashSet<u64>,
    leaders: Option<Leaders>,
    expected: Option<&[Property]>,
    budget: &Budget,
    choice: Choice,
) -> (RunVerdict, Findings) {
    let RunHistory { header, imported, torn_bytes, is_unfinished, keys_without_lines } = history;
    let Account { keys, names } = imported.account;
    let (operations, key_count) = (keys.iter().map(|key| key.operations.len()).sum(), keys.len());
    let (own, others): (Vec<Key>, Vec<Key>) = keys.into_iter().partition(|key| key.foreign.is_empty());
    let shared = Account { keys: others, names };
    let values_of_shared = staleness::check(&shared);
    let examples_of_shared = strange(&shared, &values_of_shared);
    let keys_with_strangers = shared.keys.iter().filter(|key| shows_strangers(key)).count() as u64;
    let account = Account { keys: own, names: shared.names };
    let (staleness, sessions) = (staleness::check(&account), sessions::check(&account));
    let left_out = Left {
        operations: imported.left_out,
        keys_of_others: shared.keys.len() as u64,
        keys_too_large: staleness.undecided_keys,
        torn_bytes: torn_bytes.unwrap_or_default(),
        is_unfinished,
        keys_without_lines,
    };
    let values = Values::of(&staleness) + Values::of(&values_of_shared);
    let stale_in_real_time = StaleReads::of(&account, &staleness.real_time);
    let stale_by_causes = StaleReads::of(&account, &staleness.causal);
    let value_examples = [strange(&account, &staleness), examples_of_shared].concat();
    let session_examples = examples(&account, &sessions);
    let of_key = |key: &Key| siblings::false_siblings(key, &|source| doubtful.contains(&source));
    let false_siblings = account.keys.iter().chain(&shared.keys).map(of_key).sum();
    drop(shared.keys);
    let linearizability = Linearizability::of(account, budget, choice);
    let mut properties =
        properties(&conditions, &staleness, (&values, keys_with_strangers), &sessions, &linearizability, &left_out);
    properties.extend(one_leader(leaders.as_ref(), &left_out, expected));
    for judged in &mut properties {
        if operations == 0 {
            // Nothing was done, so nothing was kept.
            *judged = Judged::untold(judged.property);
        }
        judged.is_expected = match expected {
            Some(expected) => Some(judged.property == Property::Written || expected.contains(&judged.property)),
            None => conditions.promise(judged.property),
        };
    }
    let Linearizability { registers, siblings, siblings_leniently, distance, judged } = linearizability;
    let verdict = RunVerdict {
        run: header.run.clone(),
        verdict: properties.iter().map(Judged::verdict).max().unwrap_or_default(),
        conditions,
        operations,
        keys: key_count,
        left_out,
        properties,
        values,
        value_examples,
        stale_in_real_time,
        stale_by_causes,
        sessions,
        session_examples,
        registers,
        siblings,
        siblings_leniently,
        distance,
        leaders,
    };
    let nearby = findings::nearby(&verdict, &judged);
    (verdict, Findings { header, real_time: staleness.real_time, false_siblings, nearby })
}

struct Linearizability {
    registers: Report,
    siblings: Report,
    siblings_leniently: Report,
    distance: Distance,
    /// All keys, those that are registers as such.
    judged: Account,
}

impl Linearizability {
    fn of(account: Account, budget: &Budget, choice: Choice) -> Self {
        let Account { keys, names } = account;
        let (plain, mut others): (Vec<Key>, Vec<Key>) = keys.into_iter().partition(is_register);
        let plain = plain.into_iter().map(as_register).collect();
        // The small ones first: a large one may use up the time of all.
        others.sort_by_key(|key| key.operations.len());
        let began = Instant::now();
        let check = |keys: Vec<Key>, names: Names, model: Model| {
            let account = Account { keys, names };
            (linearizable::check(&account, model, budget, choice), account)
        };
        let (registers, plain) = check(plain, names, Model::Register);
        let distance = Distance::of(&plain);
        let (siblings, mut judged) = check(others, plain.names, Model::Siblings);
        let budget = Budget { time: budget.time.saturating_sub(began.elapsed()), ..*budget };
        let siblings_leniently = leniently(&mut judged, &siblings, &budget, choice);
        judged.keys.extend(plain.keys);
        Self { registers, siblings, siblings_leniently, distance, judged }
    }
}

/// Whatever holds strictly holds leniently: asked of the other keys alone, as far as `strictly` names them all.
fn leniently(judged: &mut Account, strictly: &Report, budget: &Budget, choice: Choice) -> Report {
    let names: HashSet<&str> = strictly.findings.iter().map(|found| found.key.as_str()).collect();
    let is_all = names.len() == strictly.invalid + strictly.unknown;
    let (doubtful, valid): (Vec<Key>, Vec<Key>) =
        std::mem::take(&mut judged.keys).into_iter().partition(|key| !is_all || names.contains(key.name.as_str()));
    judged.keys = doubtful;
    let found = linearizable::check(judged, Model::AnySibling, budget, choice);
    let more = if is_all { strictly.valid } else { 0 };
    judged.keys.extend(valid);
    Report { valid: found.valid + more, operations: strictly.operations, ..found }
}

fn properties(
    conditions: &Conditions,
    staleness: &Staleness,
    (values, keys_with_strangers): (&Values, u64),
    sessions: &Sessions,
    linearizability: &Linearizability,
    left: &Left,
) -> Vec<Judged> {
    let Linearizability { registers, siblings, .. } = linearizability;
    let (real_time, causal) = (&staleness.real_time, &staleness.causal);
    let unjudged = left.keys_of_others + left.keys_too_large;
    let guarantee = |of: &Guarantee| (of.opportunities, of.violations, unjudged);
    let across = |of: &Guarantee| (of.opportunities, of.violations, unjudged + sessions.undecided_across);
    let of = |property| {
        Some(match property {
            Property::Written => (values.reads, values.phantom + values.future, keys_with_strangers),
            Property::Fresh => {
                let revived = if conditions.retried_writes == 0 { values.revived } else { 0 };
                // A read may be wrong by several definitions: it is counted by the one that finds most of them.
                let stale = real_time.stale.max(causal.stale).max(revived);
                (real_time.reads.max(causal.reads), stale, unjudged)
            }
            Property::ReadYourWrites => guarantee(&sessions.read_your_writes),
            Property::MonotonicReads => guarantee(&sessions.monotonic_reads),
            Property::MonotonicWrites => across(&sessions.monotonic_writes),
            Property::WritesFollowReads => across(&sessions.writes_follow_reads),
            Property::Linearizable => {
                let [valid, invalid, unknown] = [
                    registers.valid + siblings.valid,
                    registers.invalid + siblings.invalid,
                    registers.unknown + siblings.unknown,
                ]
                .map(|count| count as u64);
                (valid + invalid + unknown, invalid, unknown + left.keys_of_others)
            }
            // Of some runs only.
            Property::OneLeader => return None,
        })
    };
    Property::ALL
        .into_iter()
        .filter_map(|property| {
            let (opportunities, violations, unknown) = of(property)?;
            Some(Judged::new(property, opportunities, violations, unknown))
        })
        .collect()
}

/// A read brought what others may have written, or nobody.
fn shows_strangers(key: &Key) -> bool {
    let is_strange = |value: &Value| key.foreign.binary_search(value).is_ok();
    key.operations.iter().any(|operation| match &operation.did {
        Did::Read(Seen::Many(values)) => values.iter().any(is_strange),
        _ => false,
    })
}

/// Said only where something tells of leaders, or somebody expects it.
fn one_leader(leaders: Option<&Leaders>, left: &Left, expected: Option<&[Property]>) -> Option<Judged> {
    let property = Property::OneLeader;
    let is_expected = expected.is_some_and(|expected| expected.contains(&property));
    match leaders {
        Some(told) => Some(Judged::new(property, told.answered, told.violations(), left.keys_of_others)),
        None => is_expected.then(|| Judged::untold(property)),
    }
}

fn examples(account: &Account, sessions: &Sessions) -> Vec<Example> {
    let of = |words: &str, guarantee: &Guarantee| -> Vec<Example> {
        let shown = guarantee.shown.iter().take(EXAMPLES_MAX);
        let told = |Violation { key, read, missed, seen, beside }: &Violation| match beside {
            None => {
                let why = format!("{words}: the read misses the first of these");
                example(account, key, why, &[Some(*missed), *seen, Some(*read)])
            }
            Some((other, seen)) => {
                let why = format!(
                    "{words}: the read misses the first of these, and its session had seen the last, of {other}"
                );
                let mut of_both = example(account, key, why, &[Some(*missed), Some(*read)]);
                of_both.operations.extend(example(account, other, String::new(), &[Some(*seen)]).operations);
                of_both
            }
        };
        shown.map(told).collect()
    };
    [
        of("read your writes", &sessions.read_your_writes),
        of("monotonic reads", &sessions.monotonic_reads),
        of("monotonic writes", &sessions.monotonic_writes),
        of("writes follow reads", &sessions.writes_follow_reads),
    ]
    .concat()
}

fn strange(account: &Account, staleness: &Staleness) -> Vec<Example> {
    let strange = staleness.strange.iter().take(EXAMPLES_MAX).map(|(key, place)| {
        let why = "never written, refused, or read before it was written".to_owned();
        example(account, key, why, &[Some(*place)])
    });
    let revived = staleness.revived_shown.iter().take(EXAMPLES_MAX).map(|Revived { key, write, by, read }| {
        let why = "the first of these is back, though the second had replaced it".to_owned();
        example(account, key, why, &[Some(*write), Some(*by), Some(*read)])
    });
    strange.chain(revived).collect()
}

/// Of each session guarantee.
const EXAMPLES_MAX: usize = 3;
