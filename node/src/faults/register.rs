//! The experiments a node knows: those active, and the last that ended.
//! Invariants: at most `ACTIVE_MAX` are active; none has an effect after its end, even if nobody has noticed the end yet; effects of several
//! add up; no message is held longer than until the last of them ends.
//! No clock: the caller says what time it is.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use driftkv_proto::{
    faults::{Experiment, Fault},
    v1,
};
use tokio::time::Instant;

use super::{Copy, Fate, FaultError, disk::Held, injected::Injected};

/// The most experiments active at once.
pub(super) const ACTIVE_MAX: usize = 8;

/// How many that ended are still reported.
const ENDED_MAX: usize = 16;

/// How many ids are remembered, so that they do not start again.
const IDS_MAX: usize = 1_024;

/// The experiments of the node `here`.
#[derive(Debug)]
pub(super) struct Register {
    here: String,
    /// In the order they began.
    active: Vec<Active>,
    /// The last first.
    ended: VecDeque<Ended>,
    /// All that were begun, the oldest first.
    ids: VecDeque<String>,
    /// What clocks that jumped ahead keep: a clock never runs back, and a steady lead disturbs nobody.
    kept_lead_ms: i64,
}

#[derive(Debug)]
struct Active {
    experiment: Experiment,
    text: String,
    started: Instant,
    ends: Instant,
    faults: Vec<Injected>,
}

#[derive(Debug)]
struct Ended {
    experiment: Experiment,
    report: v1::ActiveExperiment,
}

impl Register {
    /// Without any experiment.
    pub(super) fn new(here: &str) -> Self {
        let (active, ended, ids) = (Vec::new(), VecDeque::new(), VecDeque::new());
        Self { here: here.to_owned(), active, ended, ids, kept_lead_ms: 0 }
    }

    /// Whether the experiment was begun before, and is still listed.
    ///
    /// Errors: its id was, but with other content, or so long ago that the content is forgotten: to say "known" of that would pass for a beginning.
    pub(super) fn knows(&self, experiment: &Experiment) -> Result<bool, FaultError> {
        let active = self.active.iter().map(|active| &active.experiment);
        let mut known = active.chain(self.ended.iter().map(|ended| &ended.experiment));
        match known.find(|known| known.id == experiment.id) {
            Some(known) if known == experiment => Ok(true),
            None if !self.ids.contains(&experiment.id) => Ok(false),
            _ => Err(FaultError::IdTaken { id: experiment.id.clone() }),
        }
    }

    /// The ids of all active experiments, and their faults.
    pub(super) fn active(&self) -> (Vec<String>, Vec<Fault>) {
        let ids = self.active.iter().map(|active| active.experiment.id.clone()).collect();
        let faults = self.active.iter().flat_map(|active| &active.experiment.faults).cloned().collect();
        (ids, faults)
    }

    /// Begins an experiment that is not known yet. `left`: of its time, if less than it says.
    pub(super) fn start(
        &mut self,
        experiment: Experiment,
        text: &str,
        left: Duration,
        now: Instant,
    ) -> Result<(), FaultError> {
        if self.active.len() >= ACTIVE_MAX {
            return Err(FaultError::TooMany);
        }
        self.ids.push_back(experiment.id.clone());
        if self.ids.len() > IDS_MAX {
            self.ids.pop_front();
        }
        let active = Active::new(experiment, text, &self.here, left, now);
        tracing::info!(id = active.experiment.id, for_ms = active.experiment.for_ms, "an experiment begins");
        for injected in active.faults.iter().filter(|injected| injected.counters.applies_here) {
            tracing::info!(id = active.experiment.id, "a fault begins: {}", injected.fault.describe());
        }
        self.active.push(active);
        Ok(())
    }

    /// Ends those whose time is up.
    pub(super) fn expire(&mut self, now: Instant) {
        self.end("expired", |active| active.ends <= now);
    }

    /// Ends the experiment `id`, or all with the empty id.
    ///
    /// Errors: the id is neither active nor among those that ended.
    pub(super) fn clear(&mut self, id: &str) -> Result<(), FaultError> {
        let is_active = self.active.iter().any(|active| active.experiment.id == id);
        let is_known = is_active || self.ids.iter().any(|known| known == id);
        if !id.is_empty() && !is_known {
            return Err(FaultError::NotFound { id: id.to_owned() });
        }
        self.end("cleared", |active| id.is_empty() || active.experiment.id == id);
        Ok(())
    }

    /// Whether a message of this node may meet a fault.
    pub(super) fn meets_messages(&self) -> bool {
        self.active.iter().flat_map(|active| &active.faults).any(Injected::meets_messages)
    }

    /// What happens to one message to `to`. First what is lost is lost, then what is left may be doubled, then each copy is held.
    pub(super) fn outgoing(&mut self, to: &str, now: Instant) -> Fate {
        let (mut met, left) = self.met(to, now);
        if met.is_empty() {
            return Fate::Pass;
        }
        if met.iter_mut().any(|injected| injected.loses(to)) {
            return Fate::Drop;
        }
        let extra: usize = met.iter_mut().map(|injected| usize::from(injected.duplicates(to))).sum();
        let mut hold = || {
            let mut copy = Copy::default();
            met.iter_mut().for_each(|injected| injected.hold(to, &mut copy));
            copy.within(left)
        };
        Fate::Deliver((0..=extra).map(|_| hold()).collect())
    }

    /// The active faults on the link to `to`, and how long until the last of their experiments ends.
    fn met(&mut self, to: &str, now: Instant) -> (Vec<&mut Injected>, Duration) {
        let (mut met, mut left) = (Vec::new(), Duration::ZERO);
        for active in self.active.iter_mut().filter(|active| now < active.ends) {
            for injected in active.faults.iter_mut().filter(|injected| injected.fault.matches_link(&self.here, to)) {
                met.push(injected);
                left = left.max(active.ends - now);
            }
        }
        (met, left)
    }

    /// Whether a message from `from` is lost on arrival.
    pub(super) fn loses_incoming(&mut self, from: &str, now: Instant) -> bool {
        let here = &self.here;
        let active = self.active.iter_mut().filter(|active| now < active.ends);
        active.flat_map(|active| &mut active.faults).any(|injected| injected.loses_incoming(from, here))
    }

    /// Whether this node stands still now.
    pub(super) fn is_paused(&mut self, now: Instant) -> bool {
        let mut is_paused = false;
        for active in self.active.iter_mut() {
            let elapsed = now.saturating_duration_since(active.started);
            for injected in &mut active.faults {
                // Order: every fault is asked, because each counts its own pauses.
                is_paused = injected.pauses(&self.here, elapsed) || is_paused;
            }
        }
        is_paused
    }

    /// Whether a sync of this node may meet a fault.
    pub(super) fn meets_disk(&self) -> bool {
        self.active.iter().flat_map(|active| &active.faults).any(Injected::meets_disk)
    }

    /// By how much the next sync is held back, by experiment.
    pub(super) fn hold_disk(&mut self, now: Instant) -> Vec<Held> {
        let mut held = Vec::new();
        for active in self.active.iter_mut().filter(|active| now < active.ends) {
            let delays = active.faults.iter_mut().filter_map(Injected::hold_disk);
            held.extend(delays.map(|delay| Held { id: active.experiment.id.clone(), delay }));
        }
        held
    }

    /// How long to wait until the hold on a sync that began at `began` is over, or one of the experiments that hold it ends.
    pub(super) fn disk_wait(&self, held: &[Held], began: Instant, now: Instant) -> Duration {
        let (mut hold, mut next_end) = (Duration::ZERO, Duration::MAX);
        for active in self.active.iter().filter(|active| now < active.ends) {
            for held in held.iter().filter(|held| held.id == active.experiment.id) {
                hold = hold.saturating_add(held.delay);
                next_end = next_end.min(active.ends - now);
            }
        }
        hold.saturating_sub(now.saturating_duration_since(began)).min(next_end)
    }

    /// The fault that fails this sync, as written.
    pub(super) fn take_disk_error(&mut self, now: Instant) -> Option<String> {
        let active = self.active.iter_mut().filter(|active| now < active.ends);
        active.flat_map(|active| &mut active.faults).find_map(|injected| {
            let fails = injected.fails_disk();
            fails.then(|| injected.counters.fault.clone())
        })
    }

    /// How far this node's clock is from the true one.
    pub(super) fn skew_ms(&self) -> i64 {
        let faults = self.active.iter().flat_map(|active| &active.faults);
        faults.fold(self.kept_lead_ms, |sum, injected| sum.saturating_add(injected.skew_ms()))
    }

    /// How many experiments are active.
    pub(super) fn active_count(&self) -> usize {
        self.active.len()
    }

    /// How many active faults of each kind touch this node.
    pub(super) fn kinds_here(&self) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        let faults = self.active.iter().flat_map(|active| &active.faults);
        for injected in faults.filter(|injected| injected.counters.applies_here) {
            *kinds.entry(injected.fault.kind()).or_default() += 1;
        }
        kinds
    }

    /// The crashes that are due, each once, as written.
    pub(super) fn take_crashes(&mut self, now: Instant) -> Vec<String> {
        let mut crashes = Vec::new();
        for active in &mut self.active {
            let elapsed = now.saturating_duration_since(active.started);
            for injected in &mut active.faults {
                if injected.take_crash(&self.here, elapsed) {
                    crashes.push(injected.counters.fault.clone());
                }
            }
        }
        crashes
    }

    /// When an experiment ends, or a pause or crash of it begins or ends, next.
    pub(super) fn next_turn(&self, now: Instant) -> Option<Instant> {
        let turns = |active: &Active| {
            let faults =
                active.faults.iter().filter_map(|injected| injected.next_turn(&self.here, active.started, now));
            faults.chain([active.ends]).min()
        };
        self.active.iter().filter_map(turns).min()
    }

    /// The active experiments, then the last that ended, newest first.
    pub(super) fn report(&self, now: Instant) -> Vec<v1::ActiveExperiment> {
        let active = self.active.iter().map(|active| active.report("active", now));
        active.chain(self.ended.iter().map(|ended| ended.report.clone())).collect()
    }

    fn end(&mut self, state: &str, is_over: impl Fn(&Active) -> bool) {
        for active in self.active.extract_if(.., |active| is_over(active)) {
            tracing::info!(id = active.experiment.id, state, "an experiment ends");
            for injected in active.faults.iter().filter(|injected| injected.counters.applies_here) {
                tracing::info!(id = active.experiment.id, counters = ?injected.counters, "a fault ends");
            }
            // What has ended has no time left, whatever the clock says.
            let report = active.report(state, active.ends);
            let leads = active.faults.iter().map(|injected| injected.skew_ms().max(0));
            self.kept_lead_ms = leads.fold(self.kept_lead_ms, i64::saturating_add);
            self.ended.push_front(Ended { experiment: active.experiment, report });
        }
        self.ended.truncate(ENDED_MAX);
    }
}

impl Active {
    fn new(experiment: Experiment, text: &str, here: &str, left: Duration, now: Instant) -> Self {
        let inject = |(index, fault)| Injected::new(fault, here, &experiment, index);
        let faults = experiment.faults.iter().enumerate().map(inject).collect();
        let ends = now + Duration::from_millis(experiment.for_ms).min(left);
        Self { experiment, text: text.to_owned(), started: now, ends, faults }
    }

    fn report(&self, state: &str, now: Instant) -> v1::ActiveExperiment {
        v1::ActiveExperiment {
            id: self.experiment.id.clone(),
            remaining_ms: self.ends.saturating_duration_since(now).as_micros().div_ceil(1_000) as u64,
            text: self.text.clone(),
            state: state.to_owned(),
            faults: self.faults.iter().map(|injected| injected.counters.clone()).collect(),
        }
    }
}
