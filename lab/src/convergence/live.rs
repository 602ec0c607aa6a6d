//! The live mode of research/lab.md 3.10: how long, after a heal, until every replica holds what was acknowledged before it, while clients go on.
//! Seen are the values that each replica itself holds of some keys, poll by poll (`live-convergence.json` of a run); whether they account for the
//! writes before the heal is asked of the history when the run is over. Digests do not help here: they differ as long as anybody writes.
//! Invariant: a key counts as a partition does in the frozen mode (`super`): it converged if all its owners told and all account for everything.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Converged, Convergence, Counters, PartitionDigest, Poll, measure};
use crate::history::ReadError;
use crate::report::Figure;
use crate::run_dir::{self, FileError};

const FILE: &str = "live-convergence.json";
/// In place of a digest: it accounts for all writes before the heal.
const COVERED: u64 = 0;

/// What was seen of a heal while clients went on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// When probes saw that the faults were over, in nanoseconds since the run began.
    pub heal_ns: u64,
    /// How long after the heal all must hold it, in nanoseconds.
    pub deadline_ns: u64,
    /// Owners of each key.
    pub replicas: usize,
    /// Which keys were looked at.
    pub keys: Vec<String>,
    /// In the order of time.
    pub looks: Vec<Look>,
    /// By node: who mended what, at the heal.
    pub before: Counters,
    /// By node: the same after the last look.
    pub after: Counters,
}

/// What replicas held at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When the last of them had answered, in nanoseconds since the run began.
    pub at_ns: u64,
    /// By node, those that answered: for each of the keys the names of its values (`RUN/ID`); `None`: the node does not own it.
    pub held: Vec<(String, Vec<Option<Vec<String>>>)>,
}

impl Live {
    /// What was kept in the run `directory`; `None`: nothing was. Errors: the file cannot be read, or is something else.
    pub fn read(directory: &Path) -> Result<Option<Self>, ReadError> {
        run_dir::read_json(&directory.join(FILE))
    }

    /// Keeps it in the run `directory`.
    pub fn write(&self, directory: &Path) -> Result<(), FileError> {
        run_dir::write_json(&directory.join(FILE), self)
    }

    /// Measures it as `convergence.live.*`. `is_covered`: whether values of a key account for the writes before the heal.
    pub fn measure(&self, is_covered: impl Fn(&str, &[String]) -> bool) -> Converged {
        let polls = self.looks.iter().map(|look| self.poll(look, &is_covered)).collect();
        let found = measure(&Convergence {
            heal_ns: self.heal_ns,
            deadline_ns: self.deadline_ns,
            replicas: self.replicas,
            partitions: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            polls,
            before: self.before.clone(),
            after: self.after.clone(),
        });
        let live = |name: String| name.replacen("convergence.", "convergence.live.", 1);
        Converged {
            metrics: found.metrics.into_iter().map(|(name, metric)| (live(name), metric)).collect(),
            figure: found.figure.map(figure),
            ..found
        }
    }

    fn poll(&self, look: &Look, is_covered: &impl Fn(&str, &[String]) -> bool) -> Poll {
        let per_replica = (1..).zip(&look.held).map(|(number, (node, held))| {
            let of_key = |((partition, key), values): ((u32, &String), &Option<Vec<String>>)| {
                // What is missing here may be there at another: no two are alike.
                let root = if is_covered(key, values.as_ref()?) { COVERED } else { number };
                Some(PartitionDigest { partition, root, keys: 0, is_built: true })
            };
            (node.clone(), (0..).zip(&self.keys).zip(held).filter_map(of_key).collect())
        });
        Poll { at_ns: look.at_ns, per_replica_digest: per_replica.collect() }
    }
}

fn figure(figure: Figure) -> Figure {
    let mut figure = Figure {
        id: "convergence-live".to_owned(),
        title: "Convergence after the heal, while clients went on".to_owned(),
        says: "Share of keys of which every owner held all that was acknowledged before the heal, by the values that each of them held itself."
            .to_owned(),
        ..figure
    };
    figure.y.label = "keys that all owners hold".to_owned();
    figure
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::{Live, Look};
    use crate::offline::Outcome;

    const S: u64 = 1_000_000_000;

    /// At `at` seconds: of each node what it holds of the keys `a` and `b`; `-` of what it does not own.
    fn look(at: u64, nodes: &[[&str; 2]]) -> Look {
        let values = |text: &&str| (*text != "-").then(|| text.split_whitespace().map(str::to_owned).collect());
        let held = nodes.iter().enumerate().map(|(node, held)| (format!("n{node}"), held.iter().map(values).collect()));
        Look { at_ns: at * S, held: held.collect() }
    }

    /// Two keys of two owners each among three nodes, healed at 10 s. `old` was written before; `new` had seen it.
    fn seen(looks: Vec<Look>) -> Live {
        let keys = ["a", "b"].map(str::to_owned).to_vec();
        Live { heal_ns: 10 * S, deadline_ns: 8 * S, replicas: 2, keys, looks, ..Live::default() }
    }

    fn covered(_: &str, there: &[String]) -> bool {
        there.iter().any(|name| name == "old" || name == "new")
    }

    #[test]
    fn a_key_converged_when_the_last_of_its_owners_accounts_for_what_was_before_the_heal() {
        let live = seen(vec![
            look(11, &[["old", "-"], ["", "old"], ["-", ""]]),
            look(12, &[["new", "-"], ["", "new"], ["-", "old"]]),
            look(14, &[["new later", "-"], ["new", "new"], ["-", "new"]]),
        ]);
        let found = live.measure(covered);
        let of = |name: &str| (found.metrics[name].value, found.metrics[name].interval);
        assert_eq!(of("convergence.live.p50_s"), (2.0, Some((1.0, 2.0))), "b: what they hold need not be alike");
        assert_eq!(of("convergence.live.all_s"), (4.0, Some((2.0, 4.0))));
        assert_eq!(
            (found.outcome, found.metrics["convergence.live.converged.share"].share),
            (Outcome::Holds, Some((2, 2)))
        );
        assert_eq!(found.figure.unwrap().id, "convergence-live");
        assert!(found.metrics.keys().all(|name| name.starts_with("convergence.live.")));
    }

    #[test]
    fn what_no_owner_has_is_a_difference_and_what_was_not_told_is_unknown() {
        let nowhere = look(17, &[["", "-"], ["", "old"], ["-", "old"]]);
        let found = seen(vec![nowhere.clone(), Look { at_ns: 18 * S, ..nowhere }]).measure(covered);
        assert_eq!((found.outcome, found.differing), (Outcome::Violated, vec![0]));
        let silent = seen(vec![look(18, &[["old", "-"], ["old", "old"]])]).measure(covered);
        assert_eq!((silent.outcome, silent.unknown), (Outcome::Unknown, vec![1]));
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Live::read(directory.path()).unwrap(), None);
        let live = seen(vec![look(11, &[["old", "-"], ["", "old"], ["-", ""]])]);
        live.write(directory.path()).unwrap();
        assert_eq!(Live::read(directory.path()).unwrap(), Some(live));
    }
}
