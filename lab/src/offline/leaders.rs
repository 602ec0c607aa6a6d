//! Who led a store with leaders, as it is told: gathered from the terms of a history and the samples beside it, judged, and put into words.
//! Of a run that has neither nothing is told.

use std::path::Path;

use serde::Serialize;

use super::Example;
use crate::history::{ReadError, Record};
use crate::judges::account::{Account, TIME_MAX};
use crate::judges::leaders::{self, At, Led, Lost, Moment, Overlooked, Overtaken, Sample, SplitBrain};
use crate::judges::linearizable::{Shown, shown};
use crate::leadership::{self, Role};

/// How many examples of each kind are told.
const EXAMPLES_MAX: usize = 3;

/// Whether a store with leaders was split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaders {
    /// In one word.
    pub verdict: SplitBrain,
    /// No node was asked who leads: only what clients were told is known.
    pub is_client_only: bool,
    /// Operations whose answers say under which term.
    pub answered: u64,
    /// Terms that somebody led.
    pub terms: u64,
    /// Terms that two nodes led.
    pub rival_terms: u64,
    /// Answers of leaders, to clients or to samples, after a higher term had one.
    pub stale_answers: u64,
    /// The longest for which two nodes certainly led at once, by samples, in nanoseconds.
    pub together_ns: u64,
    /// Writes that an older leader acknowledged though a newer one had acknowledged some before they began.
    pub late_writes: u64,
    /// Reads of an older leader that miss a write of a newer one.
    pub stale_reads: u64,
    /// Acknowledged writes that a newer leader did not have and that nobody saw again.
    pub lost_writes: u64,
    /// Late and lost writes, each once.
    pub harmed_writes: u64,
    /// Some of each.
    pub examples: Vec<Example>,
}

impl Leaders {
    /// How often a rule was broken.
    pub(super) fn violations(&self) -> u64 {
        self.rival_terms + self.late_writes + self.stale_reads + self.lost_writes
    }

    /// The verdict in words.
    pub(super) fn sentence(&self) -> String {
        let harm = format!(
            "{} writes lost, {} acknowledged by an older leader, {} of its reads stale",
            self.lost_writes, self.late_writes, self.stale_reads
        );
        match self.verdict {
            SplitBrain::None => "no split-brain".to_owned(),
            SplitBrain::StaleLeader => {
                format!("a stale leader ({} answers after a newer term had a leader), without harm", self.stale_answers)
            }
            SplitBrain::SplitBrain => format!("split-brain: {harm}"),
            SplitBrain::SafetyViolation => {
                format!("safety violation: {} terms had two leaders; {harm}", self.rival_terms)
            }
        }
    }
}

/// Takes note of who answered the operation in `line`.
pub(super) fn note(known: &mut leaders::Leaders, line: u64, record: &Record) {
    if let Some(term) = record.term {
        let node = record.coordinator.as_deref().map(|name| known.nodes.value(name));
        known.answered.insert(line, Led { term, node });
    }
}

/// Adds the samples beside the `history` of `run`; whether there are any. Errors: they cannot be read.
pub(super) fn add_samples(known: &mut leaders::Leaders, history: &Path, run: &str) -> Result<bool, ReadError> {
    let Some(answers) = leadership::read(&leadership::beside(history), run)? else { return Ok(false) };
    let time = |ns: u64| i64::try_from(ns).unwrap_or(TIME_MAX).min(TIME_MAX);
    for (source, answer) in answers {
        known.samples.push(Sample {
            source,
            node: known.nodes.value(&answer.node),
            start: time(answer.sent_ns),
            end: time(answer.recv_ns),
            is_leader: answer.role == Role::Leader,
            term: answer.term,
        });
    }
    Ok(true)
}

/// The verdict; `None`: nobody told anything of leaders.
pub(super) fn told(account: &Account, known: &leaders::Leaders, has_samples: bool) -> Option<Leaders> {
    if known.answered.is_empty() && !has_samples {
        return None;
    }
    let found = leaders::check(account, known);
    Some(Leaders {
        verdict: found.verdict(),
        is_client_only: !has_samples,
        answered: found.answered,
        terms: found.terms,
        rival_terms: found.rivals.len() as u64,
        stale_answers: found.stale.len() as u64,
        together_ns: u64::try_from(found.together).unwrap_or_default(),
        late_writes: found.late.len() as u64,
        stale_reads: found.overlooked.len() as u64,
        lost_writes: found.lost.len() as u64,
        harmed_writes: found.harmed_writes(),
        examples: Telling { account, known }.examples(&found),
    })
}

struct Telling<'a> {
    account: &'a Account,
    known: &'a leaders::Leaders,
}

impl Telling<'_> {
    fn examples(&self, found: &leaders::Leadership) -> Vec<Example> {
        let rivals = found.rivals.iter().map(|(one, other)| self.example("two leaders of one term", &[one, other]));
        let late = found.late.iter().map(|Overtaken { old, by }| {
            self.example("the second was acknowledged under an older term, though it began after the first", &[by, old])
        });
        let overlooked = found.overlooked.iter().map(|Overlooked { key, write, read }| {
            self.of_key("the read was answered under an older term than the write, and misses it", *key, *write, *read)
        });
        let lost = found.lost.iter().map(|Lost { key, write, read }| {
            self.of_key(
                "lost: the read was answered under a newer term, misses the write, and nobody saw it again",
                *key,
                *write,
                *read,
            )
        });
        let stale = found.stale.iter().map(|Overtaken { old, by }| {
            self.example("a stale leader: the second answered though the first had, under a newer term", &[by, old])
        });
        let harm = late.take(EXAMPLES_MAX).chain(overlooked.take(EXAMPLES_MAX)).chain(lost.take(EXAMPLES_MAX));
        let mut examples: Vec<Example> = rivals.take(EXAMPLES_MAX).chain(harm).collect();
        if examples.is_empty() {
            examples.extend(stale.take(EXAMPLES_MAX));
        }
        examples
    }

    /// Two operations of a key.
    fn of_key(&self, why: &str, key: usize, write: usize, read: usize) -> Example {
        let operations = [write, read].map(|place| self.operation(key, place)).into_iter().flatten().collect();
        Example { key: self.key(key).to_owned(), why: why.to_owned(), operations }
    }

    /// Moments, those of samples in words.
    fn example(&self, why: &str, moments: &[&Moment]) -> Example {
        let (mut keys, mut operations, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for moment in moments {
            match moment.at {
                At::Operation { key, place } => {
                    keys.push(self.key(key));
                    operations.extend(self.operation(key, place));
                }
                At::Sample(line) => words.push(format!("{} by {}:{line}", self.led(moment.led), leadership::FILE)),
            }
        }
        keys.dedup();
        let why = [vec![why.to_owned()], words].concat().join("; ");
        Example { key: keys.join(", "), why, operations }
    }

    fn key(&self, key: usize) -> &str {
        self.account.keys.get(key).map_or("", |key| key.name.as_str())
    }

    fn operation(&self, key: usize, place: usize) -> Option<Shown> {
        let key = self.account.keys.get(key)?;
        let mut shown = shown(self.account, key, &[place]).pop()?;
        if let Some(led) = self.known.answered.get(&shown.source) {
            shown.what += &format!(" ({})", self.led(*led));
        }
        Some(shown)
    }

    fn led(&self, led: Led) -> String {
        match led.node {
            Some(node) => format!("{} in term {}", self.known.nodes.name(node), led.term),
            None => format!("in term {}", led.term),
        }
    }
}
