//! Faults of a run in their time: begun with their phase, seen to take effect, ended with it.
//! Invariants: times in records are those of evidence, not of the schedule; what was not begun is not ended, and makes the run inconclusive.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use driftkv_proto::faults::Fault;
use driftkv_proto::v1;

use super::super::schedule::Window;
use crate::faults::{Evidence, FaultRecord, State, nanos};
use crate::run_dir::RunDir;
use crate::target::{Answers, Target};

/// Between two looks at whether the run was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// What all faults of a run share.
pub(super) struct Shared<'a> {
    pub(super) dir: &'a RunDir,
    pub(super) say: &'a (dyn Fn(&str) + Sync),
    pub(super) stop: &'a AtomicBool,
    pub(super) open: &'a Open,
}

/// The faults that are open now, for whoever looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Open(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Open {
    fn begin(&self, id: &str, faults: &[String]) {
        self.lock().insert(id.to_owned(), faults.to_vec());
    }

    fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// In words.
    pub(super) fn now(&self) -> Vec<String> {
        self.lock().values().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Injected {
    pub(super) records: Vec<FaultRecord>,
    pub(super) trouble: Vec<String>,
}

/// Injects each of `windows` in its time after `started`.
pub(super) async fn all<T: Target>(target: &T, started: Instant, windows: &[Window], shared: &Shared<'_>) -> Injected {
    let mut injected = Injected::default();
    for window in windows {
        if !sleep_until(started + window.from, shared.stop).await {
            return injected;
        }
        if injected.begin(target, started, window, shared).await {
            injected.probe(target, started, window, shared).await;
            sleep_until(started + window.to, shared.stop).await;
            injected.heal(target, started, window, shared).await;
        }
    }
    injected
}

/// False if the run was stopped before.
async fn sleep_until(moment: Instant, stop: &AtomicBool) -> bool {
    loop {
        let now = Instant::now();
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        if now >= moment {
            return true;
        }
        tokio::time::sleep((moment - now).min(LOOK)).await;
    }
}

impl Injected {
    fn add(&mut self, record: FaultRecord, shared: &Shared<'_>) {
        if let Err(error) = shared.dir.add_fault(&record) {
            self.trouble.push(error.to_string());
        }
        self.records.push(record);
    }

    async fn begin<T: Target>(&mut self, target: &T, started: Instant, window: &Window, shared: &Shared<'_>) -> bool {
        let requested_ns = nanos(started.elapsed());
        let id = window.experiment.id.clone();
        let result = target.apply(&window.text).await;
        match &result {
            Ok(_) => {
                let record = FaultRecord::began(
                    &window.experiment,
                    &window.text,
                    target.nodes(),
                    requested_ns,
                    nanos(started.elapsed()),
                );
                let faults: Vec<String> = window.experiment.faults.iter().map(Fault::describe).collect();
                (shared.say)(&format!("{}: {}", window.phase, faults.join("; ")));
                shared.open.begin(&id, &faults);
                self.add(record, shared);
            }
            Err(error) => {
                let why = error.to_string();
                self.trouble.push(format!("phase {}: its faults did not begin: {why}", window.phase));
                self.add(FaultRecord::Refused { id, requested_ns: Some(requested_ns), why }, shared);
            }
        }
        result.is_ok()
    }

    /// Asks the nodes during the phase whom they reach, until those are gone that should be: what a cut or a pause looks like from outside.
    async fn probe<T: Target>(&mut self, target: &T, started: Instant, window: &Window, shared: &Shared<'_>) {
        let mut left: Vec<(usize, &Fault)> = window.experiment.faults.iter().enumerate().filter(isolates).collect();
        let last = started + window.from + (window.to - window.from).mul_f64(0.9);
        while !left.is_empty() {
            let seen = Seen::of(target.statuses().await);
            let is_over = Instant::now() >= last || shared.stop.load(Ordering::Relaxed);
            for (fault, is_effective) in left.iter().map(|(index, fault)| (*index, seen.shows(fault))) {
                if is_effective || is_over {
                    let (id, at_ns, saw) = (window.experiment.id.clone(), nanos(started.elapsed()), seen.sentence());
                    self.add(FaultRecord::Probed { id, fault, at_ns, is_effective, saw }, shared);
                }
            }
            left.retain(|(_, fault)| !is_over && !seen.shows(fault));
            tokio::time::sleep(LOOK * 2).await;
        }
    }

    async fn heal<T: Target>(&mut self, target: &T, started: Instant, window: &Window, shared: &Shared<'_>) {
        let (requested_ns, id) = (nanos(started.elapsed()), window.experiment.id.clone());
        let evidence = target.clear(&id).await;
        shared.open.end(&id);
        for Evidence { node, state, .. } in &evidence {
            if let State::Unknown(why) = state {
                self.trouble
                    .push(format!("phase {}: {node} did not say whether its faults ended: {why}", window.phase));
            }
        }
        let now_ns = nanos(started.elapsed());
        self.add(FaultRecord::healed(&window.experiment, &self.records, requested_ns, now_ns, evidence), shared);
    }
}

/// A shorter pause may be over before anybody misses the node.
const PAUSE_SEEN_MS: u64 = 3_000;

/// Others should no longer reach somebody.
fn isolates((_, fault): &(usize, &Fault)) -> bool {
    match fault {
        Fault::Partition(_) => true,
        Fault::Pause { down_ms, .. } => *down_ms >= PAUSE_SEEN_MS,
        _ => false,
    }
}

/// Who does not reach whom; the peers of a node that did not answer are all of them.
struct Seen {
    silent: Vec<String>,
    unreachable: Vec<(String, String)>,
}

impl Seen {
    fn of(answers: Answers<v1::StatusReply>) -> Self {
        let mut seen = Self { silent: Vec::new(), unreachable: Vec::new() };
        for (node, answer) in answers {
            let Ok(status) = answer else {
                seen.silent.push(node);
                continue;
            };
            let gone = status.peers.into_iter().filter(|peer| !peer.is_reachable);
            seen.unreachable.extend(gone.map(|peer| (node.clone(), peer.name)));
        }
        seen
    }

    fn shows(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Pause { node, .. } => {
                self.silent.contains(node) || self.unreachable.iter().any(|(_, gone)| gone == node)
            }
            // A node that is away for another reason is no cut: the pair must be one that the fault parts, either way.
            fault => {
                self.unreachable.iter().any(|(from, to)| fault.matches_link(from, to) || fault.matches_link(to, from))
            }
        }
    }

    fn sentence(&self) -> String {
        let pairs: Vec<String> =
            self.unreachable.iter().map(|(from, to)| format!("{from} does not reach {to}")).collect();
        let silent: Vec<String> = self.silent.iter().map(|node| format!("{node} does not answer")).collect();
        match pairs.is_empty() && silent.is_empty() {
            true => "all nodes reach each other".to_owned(),
            false => [silent, pairs].concat().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::load::Quorums;
    use crate::target::TargetNode;

    /// Has no nodes, and notes which faults are open whenever it is asked for anything.
    struct Observant {
        open: Open,
        seen: Mutex<Vec<Vec<String>>>,
    }

    impl Observant {
        fn look(&self) {
            self.seen.lock().unwrap().push(self.open.now());
        }
    }

    impl Target for Observant {
        type Error = String;

        fn nodes(&self) -> &[TargetNode] {
            &[]
        }

        fn quorums(&self) -> Quorums {
            Quorums::default()
        }

        async fn apply(&self, experiment: &str) -> Result<String, String> {
            self.look();
            if experiment.contains("refused") { Err("no".to_owned()) } else { Ok(String::new()) }
        }

        async fn clear(&self, _: &str) -> Vec<Evidence> {
            self.look();
            Vec::new()
        }

        async fn statuses(&self) -> Answers<v1::StatusReply> {
            Vec::new()
        }

        async fn digests(&self) -> Answers<v1::DigestsReply> {
            Vec::new()
        }

        async fn peek(&self, _: &str, _: &[String]) -> Answers<v1::PeekReply> {
            Vec::new()
        }
    }

    fn window(id: &str, from_ms: u64, to_ms: u64) -> Window {
        let text =
            format!("{{id: {id}, for: 1s, faults: [{{kind: slow-disk, node: a, law: exponential, mean: 9ms}}]}}");
        let experiment = driftkv_proto::faults::Experiment::parse(&text).unwrap();
        let (from, to) = (Duration::from_millis(from_ms), Duration::from_millis(to_ms));
        Window { phase: "slow".to_owned(), from, to, text, experiment }
    }

    #[test]
    fn a_cut_is_seen_only_where_it_cuts() {
        let text = "{id: cut, for: 1s, faults: [{kind: partition, groups: [[a], [b]]}]}";
        let experiment = driftkv_proto::faults::Experiment::parse(text).unwrap();
        let seen =
            |from: &str, to: &str| Seen { silent: Vec::new(), unreachable: vec![(from.to_owned(), to.to_owned())] };
        assert!(seen("a", "b").shows(&experiment.faults[0]) && seen("b", "a").shows(&experiment.faults[0]));
        assert!(!seen("a", "c").shows(&experiment.faults[0]), "c is away for a reason of its own");
    }

    #[tokio::test]
    async fn a_fault_is_open_from_when_it_was_applied_until_it_is_healed_and_one_that_was_refused_never() {
        let home = tempfile::tempdir().unwrap();
        let dir = RunDir::create(&home.path().join("run")).unwrap();
        let (open, stop) = (Open::default(), AtomicBool::new(false));
        let shared = Shared { dir: &dir, say: &|_| {}, stop: &stop, open: &open };
        let windows = [window("first", 0, 10), window("refused", 20, 30)];
        let target = Observant { open: open.clone(), seen: Mutex::default() };
        let injected = all(&target, Instant::now(), &windows, &shared).await;
        let fault = "slow-disk a: exponential, mean 9ms".to_owned();
        assert_eq!(*target.seen.lock().unwrap(), [vec![], vec![fault], vec![]], "applied, cleared, refused");
        assert_eq!(open.now(), Vec::<String>::new());
        assert_eq!(injected.trouble, ["phase slow: its faults did not begin: no"]);
    }
}
