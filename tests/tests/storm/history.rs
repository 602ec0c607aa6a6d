//! What the writers did, and whether what is found at the end is what they were promised.
//! An acknowledged write may be absent only if a later write, whose context had seen it, took its place and is itself accounted
//! for in the same way. Writes without an acknowledgement may be there or not, unless the node said that they are not.
//! What an acknowledged write covers must be gone, and so must what that had covered: a context that has seen a value has seen
//! what the value's own context had. Not so for values that were perhaps sent twice: the second may arrive after the cover.

use std::collections::{BTreeMap, BTreeSet};

/// The unique number that a write carries as its value.
pub type Id = u64;

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged,
    MaybeApplied,
    /// The node said that it was not and will not be applied.
    Refused,
}

/// One put or delete.
#[derive(Clone, Debug)]
pub struct Write {
    pub key: String,
    pub id: Id,
    pub is_delete: bool,
    /// The values its context had seen.
    pub covers: BTreeSet<Id>,
    pub outcome: Outcome,
    /// No retry can have written it a second time.
    pub is_sent_once: bool,
}

#[derive(Debug, Default)]
pub struct History {
    writes: BTreeMap<Id, Write>,
}

impl History {
    pub fn push(&mut self, write: Write) {
        self.writes.insert(write.id, write);
    }

    pub fn join(&mut self, other: History) {
        self.writes.extend(other.writes);
    }

    pub fn keys(&self) -> BTreeSet<&str> {
        self.writes.values().map(|write| write.key.as_str()).collect()
    }

    pub fn acknowledged(&self) -> usize {
        self.count(Outcome::Acknowledged)
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.writes.values().filter(|write| write.outcome == outcome).count()
    }

    pub fn summary(&self) -> String {
        let (unknown, refused) = (self.count(Outcome::MaybeApplied), self.count(Outcome::Refused));
        format!("{} writes acknowledged, {unknown} of unknown outcome, {refused} refused", self.acknowledged())
    }

    /// Everything that should not be. `found`: the live values of each key at the end.
    pub fn judge(&self, found: &BTreeMap<String, BTreeSet<Id>>) -> Vec<String> {
        let accounted = self.accounted(found);
        let mut wrong = Vec::new();
        for write in self.writes.values() {
            if write.outcome == Outcome::Acknowledged && !write.is_delete && !accounted.contains(&write.id) {
                wrong.push(format!("{}: {} was acknowledged and is lost", write.key, write.id));
            }
        }
        let gone = self.gone();
        for (key, id) in found.iter().flat_map(|(key, ids)| ids.iter().map(move |id| (key, id))) {
            match self.writes.get(id) {
                Some(write) if &write.key == key && !write.is_delete => {
                    if write.outcome == Outcome::Refused {
                        wrong.push(format!("{key}: {id} was refused and is there"));
                    }
                    if let Some(by) = gone.get(id).filter(|_| write.is_sent_once) {
                        let end = if self.writes[by].is_delete { "deleted" } else { "replaced" };
                        wrong.push(format!("{key}: {id} was {end} by {by} and is back"));
                    }
                }
                _ => wrong.push(format!("{key}: {id} was never written there")),
            }
        }
        wrong
    }

    /// Writes that are there or were covered by one that is accounted for. Ids grow with what they cover, so later ones come first.
    fn accounted(&self, found: &BTreeMap<String, BTreeSet<Id>>) -> BTreeSet<Id> {
        let mut accounted: BTreeSet<Id> = BTreeSet::new();
        let mut covered: BTreeSet<Id> = BTreeSet::new();
        for (id, write) in self.writes.iter().rev() {
            let is_there = found.get(&write.key).is_some_and(|ids| ids.contains(id));
            let was_applied = write.is_delete && write.outcome != Outcome::Refused;
            if is_there || was_applied || covered.contains(id) {
                accounted.insert(*id);
                covered.extend(&write.covers);
            }
        }
        accounted
    }

    /// What was covered for certain, and by which acknowledged write. Ids grow with what they cover, so later ones come first.
    fn gone(&self) -> BTreeMap<Id, Id> {
        let mut gone = BTreeMap::new();
        for (id, write) in self.writes.iter().rev() {
            let by = if write.outcome == Outcome::Acknowledged { Some(*id) } else { gone.get(id).copied() };
            let Some(by) = by else { continue };
            for covered in &write.covers {
                gone.entry(*covered).or_insert(by);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: Id, covers: &[Id], outcome: Outcome) -> Write {
        let (key, covers) = ("k".to_owned(), covers.iter().copied().collect());
        Write { key, id, is_delete: false, covers, outcome, is_sent_once: true }
    }

    fn delete(id: Id, covers: &[Id], outcome: Outcome) -> Write {
        Write { is_delete: true, ..write(id, covers, outcome) }
    }

    fn judge(writes: Vec<Write>, found: &[Id]) -> Vec<String> {
        let mut history = History::default();
        writes.into_iter().for_each(|write| history.push(write));
        history.judge(&BTreeMap::from([("k".to_owned(), found.iter().copied().collect())]))
    }

    use Outcome::{Acknowledged, MaybeApplied, Refused};

    #[test]
    fn a_lost_write_is_told_from_one_that_was_covered() {
        let chain = || vec![write(1, &[], Acknowledged), write(2, &[1], MaybeApplied), write(3, &[2], Acknowledged)];
        assert!(judge(chain(), &[3]).is_empty());
        assert!(judge(chain(), &[1]).contains(&"k: 3 was acknowledged and is lost".to_owned()));
        assert_eq!(judge(vec![write(1, &[], Acknowledged), write(2, &[], Acknowledged)], &[2]).len(), 1);
        assert_eq!(judge(vec![write(1, &[], Refused)], &[1]), ["k: 1 was refused and is there"]);
        assert_eq!(judge(vec![], &[7]), ["k: 7 was never written there"]);
        assert!(judge(vec![write(1, &[], Acknowledged), delete(2, &[1], MaybeApplied)], &[]).is_empty());
        let beside = vec![write(1, &[], Acknowledged), write(2, &[], Acknowledged), delete(3, &[1], MaybeApplied)];
        assert_eq!(judge(beside, &[]), ["k: 2 was acknowledged and is lost"], "a delete excuses only what it covers");
        let refused = vec![write(1, &[], Acknowledged), delete(2, &[1], Refused)];
        assert_eq!(judge(refused, &[]), ["k: 1 was acknowledged and is lost"]);
    }

    #[test]
    fn what_an_acknowledged_write_covers_must_be_gone() {
        let deleted = |outcome| vec![write(1, &[], Acknowledged), delete(2, &[1], outcome)];
        assert_eq!(judge(deleted(Acknowledged), &[1]), ["k: 1 was deleted by 2 and is back"]);
        assert!(judge(deleted(MaybeApplied), &[1]).is_empty());
        let replaced = |outcome| vec![write(1, &[], Acknowledged), write(2, &[1], outcome)];
        assert_eq!(judge(replaced(Acknowledged), &[1, 2]), ["k: 1 was replaced by 2 and is back"]);
        assert!(judge(replaced(MaybeApplied), &[1]).is_empty());
        assert!(judge(vec![write(1, &[], Acknowledged), write(2, &[], Acknowledged)], &[1, 2]).is_empty());
    }

    /// Whoever has seen 2 has seen what 2 had seen, even if nobody acknowledged 2.
    #[test]
    fn what_was_covered_by_something_covered_must_be_gone_too() {
        let chain = || vec![write(1, &[], Acknowledged), write(2, &[1], MaybeApplied), write(3, &[2], Acknowledged)];
        assert_eq!(judge(chain(), &[1, 3]), ["k: 1 was replaced by 3 and is back"]);
        assert_eq!(judge(chain(), &[2, 3]), ["k: 2 was replaced by 3 and is back"]);
    }

    #[test]
    fn a_retry_that_arrives_after_its_cover_is_no_finding() {
        let twice = Write { is_sent_once: false, ..write(1, &[], Acknowledged) };
        assert!(judge(vec![twice, delete(2, &[1], Acknowledged)], &[1]).is_empty());
    }
}
