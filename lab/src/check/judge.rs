//! Accounts for every acknowledged write (research/lab.md 3.9): it is there, or a write that had seen it is accounted for, or it is lost.
//! Lenient only where nobody can know: a delete leaves no trace, so one that was not refused counts as there; what an
//! `overwrite_all` found is not told, so it may have replaced anything that was sent before it ended; what is missing where somebody else
//! wrote or deleted may have been replaced by that, and is not judged. A key of which there is no trace was touched by nobody: that is a loss.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::final_read::DELETED;
use super::writes::{Covers, Write, Written};
use super::{Found, Place, SHOWN_MAX, Verdict};
use crate::load::Status;

/// Of `keys`. Gives also those of which an acknowledged write is missing.
pub(super) fn judge<'a>(
    written: &Written,
    keys: impl Iterator<Item = &'a String>,
    found: &Found,
) -> (Verdict, Vec<String>) {
    let mut verdict = Verdict { runs: written.runs, keys: written.keys.len(), ..Verdict::default() };
    let mut missing = Vec::new();
    for (key, writes) in keys.filter_map(|key| written.keys.get_key_value(key)) {
        let lost_before = verdict.lost_count;
        let there = found.there.get(key).map(Vec::as_slice).unwrap_or_default();
        let before = found.before.get(key).into_iter().flatten().filter(|name| !there.contains(name));
        let before: BTreeSet<&str> = before.map(String::as_str).collect();
        judge_key(&mut verdict, key, writes, (there, &before), Known::of(written));
        if verdict.lost_count > lost_before {
            missing.push(key.clone());
        }
    }
    (verdict, missing)
}

/// Whether the lines are all that was written.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Nobody else writes here.
    is_alone: bool,
    /// What has no line may have replaced what is missing, but not without a trace: a put leaves a value, a delete a context.
    is_unfinished: bool,
}

impl Known {
    fn of(written: &Written) -> Self {
        Self { is_alone: written.is_alone, is_unfinished: written.unfinished > 0 }
    }

    /// Nobody wrote the value of this name, which no line of its key has. The value of another key is none of this one.
    fn is_of_nobody(self, name: &str) -> bool {
        self.is_alone && (!self.is_unfinished || name.starts_with("unknown "))
    }
}

/// `before`: what was there in earlier readings, and is not now; it accounts for nothing.
fn judge_key(
    verdict: &mut Verdict,
    key: &str,
    writes: &[Write],
    (there, before): (&[String], &BTreeSet<&str>),
    known: Known,
) {
    let by_id: HashMap<&str, &Write> = writes.iter().map(|write| (write.id.as_str(), write)).collect();
    for (name, is_there) in
        there.iter().map(|name| (name.as_str(), true)).chain(before.iter().map(|name| (*name, false)))
    {
        match by_id.get(name) {
            _ if name == DELETED => {}
            _ if name.starts_with("damaged") => wrong(verdict, key, name, "differs from what was written"),
            Some(write) if write.status == Status::Fail => wrong(verdict, key, name, "was refused and is there"),
            Some(write) if write.is_delete => wrong(verdict, key, name, "is a delete and has a value"),
            Some(_) => verdict.values += u64::from(is_there),
            None if known.is_of_nobody(name) => wrong(verdict, key, name, "was written by nobody"),
            None => verdict.foreign += u64::from(is_there),
        }
    }
    let accounted = accounted(writes, &by_id, there);
    let names = || there.iter().map(String::as_str).chain(before.iter().copied());
    let has_own_delete = writes.iter().any(|write| write.is_delete && write.status != Status::Fail);
    let is_of_others = |name: &str| match name {
        // With a run of its own nobody else deletes, unless in a line that is missing.
        DELETED => !has_own_delete && (!known.is_alone || known.is_unfinished),
        name => !name.starts_with("damaged") && !by_id.contains_key(name) && !known.is_of_nobody(name),
    };
    let is_shared = names().any(is_of_others) || (known.is_unfinished && !there.is_empty());
    for write in writes {
        verdict.acknowledged += u64::from(write.status == Status::Ok);
        verdict.unknown += u64::from(write.status == Status::Info);
        match write.status == Status::Ok && !accounted.contains(write.id.as_str()) {
            true if is_shared => verdict.unjudged_count += 1,
            true => {
                verdict.lost_count += 1;
                note(&mut verdict.lost, key, &write.id, "was acknowledged and is lost");
            }
            false => {}
        }
    }
}

/// Whether what is `there` accounts for every write that was acknowledged until `until_ns`.
pub(super) fn covers(writes: &[Write], there: &[String], until_ns: u128) -> bool {
    let by_id: HashMap<&str, &Write> = writes.iter().map(|write| (write.id.as_str(), write)).collect();
    let accounted = accounted(writes, &by_id, there);
    let mut due = writes.iter().filter(|write| write.status == Status::Ok && write.ended_ns <= until_ns);
    due.all(|write| accounted.contains(write.id.as_str()))
}

/// The writes that are there, and all that these had seen.
fn accounted<'a>(writes: &'a [Write], by_id: &HashMap<&str, &'a Write>, there: &'a [String]) -> HashSet<&'a str> {
    let mut by_sent: Vec<&Write> = writes.iter().filter(|write| write.sent_ns.is_some()).collect();
    by_sent.sort_by_key(|write| write.sent_ns);
    let deletes = writes.iter().filter(|write| write.is_delete && write.status != Status::Fail);
    let mut left: Vec<&str> = there.iter().map(String::as_str).chain(deletes.map(|write| write.id.as_str())).collect();
    let mut accounted: HashSet<&str> = left.iter().copied().collect();
    // So many of `by_sent` are accounted for: a write that covers anything before it covers a longer part of them, or nothing new.
    let mut prefix = 0;
    while let Some(id) = left.pop() {
        // A value of somebody else is there, and tells nothing of what these runs wrote.
        let Some(write) = by_id.get(id) else { continue };
        match &write.covers {
            Covers::These(ids) => left.extend(ids.iter().map(String::as_str).filter(|id| accounted.insert(id))),
            Covers::AnythingBefore => {
                let longer =
                    by_sent.partition_point(|before| before.sent_ns.is_some_and(|sent| sent <= write.ended_ns));
                let new = by_sent.get(prefix..longer).unwrap_or_default();
                left.extend(new.iter().map(|before| before.id.as_str()).filter(|id| accounted.insert(id)));
                prefix = prefix.max(longer);
            }
        }
    }
    accounted
}

fn wrong(verdict: &mut Verdict, key: &str, name: &str, why: &'static str) {
    verdict.wrong_count += 1;
    note(&mut verdict.wrong, key, name, why);
}

fn note(places: &mut Vec<Place>, key: &str, value_id: &str, why: &'static str) {
    if places.len() < SHOWN_MAX {
        places.push(Place { key: key.to_owned(), value_id: value_id.to_owned(), why });
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Covers, DELETED, Known, Status, Verdict, Write, judge_key};

    fn write(id: &str, covers: &[&str], status: Status, from: u128) -> Write {
        let covers = Covers::These(covers.iter().map(|id| (*id).to_owned()).collect());
        Write { id: id.to_owned(), is_delete: false, status, sent_ns: Some(from), ended_ns: from + 5, covers }
    }

    fn judge(writes: &[Write], there: &[&str]) -> Verdict {
        let mut verdict = Verdict::default();
        let there: Vec<String> = there.iter().map(|id| (*id).to_owned()).collect();
        judge_key(&mut verdict, "k", writes, (&there, &BTreeSet::new()), Known::default());
        verdict
    }

    fn lost(writes: &[Write], there: &[&str]) -> Vec<String> {
        let verdict = judge(writes, there);
        assert_eq!(verdict.lost_count as usize, verdict.lost.len());
        verdict.lost.into_iter().map(|place| place.value_id).collect()
    }

    #[test]
    fn a_replica_covers_what_was_acknowledged_until_then_by_what_it_holds_and_what_that_had_seen() {
        let writes = [
            write("a", &[], Status::Ok, 10),
            write("b", &["a"], Status::Ok, 20),
            write("c", &[], Status::Ok, 30),
            write("u", &[], Status::Info, 12),
        ];
        let covers = |there: &[&str], until: u128| {
            let there: Vec<String> = there.iter().map(|name| (*name).to_owned()).collect();
            super::covers(&writes, &there, until)
        };
        assert!(covers(&[], 14), "nothing was acknowledged yet");
        assert!(covers(&["a"], 15) && covers(&["b"], 15) && !covers(&[], 15) && !covers(&["u"], 15));
        assert!(covers(&["b"], 25) && !covers(&["a"], 25));
        assert!(covers(&["b", "c"], 35) && !covers(&["b"], 35) && !covers(&["c"], 35));
    }

    #[test]
    fn a_lost_write_is_told_from_one_that_was_replaced() {
        let chain = [
            write("r/1", &[], Status::Ok, 0),
            write("r/2", &["r/1"], Status::Info, 10),
            write("r/3", &["r/2"], Status::Ok, 20),
        ];
        assert!(lost(&chain, &["r/3"]).is_empty());
        assert!(lost(&chain, &["r/3", "r/1"]).is_empty(), "two was replaced before it arrived");
        assert_eq!(lost(&chain, &["r/1"]), ["r/3"]);
        assert_eq!(lost(&chain, &["r/2"]), ["r/3"]);
        assert_eq!(lost(&chain, &[]), ["r/1", "r/3"]);
        let beside = [write("r/1", &[], Status::Ok, 0), write("r/2", &[], Status::Ok, 10)];
        assert_eq!(lost(&beside, &["r/2"]), ["r/1"], "two had not seen one");
    }

    #[test]
    fn what_an_overwrite_found_is_what_was_sent_before_it_ended() {
        let overwrite =
            |status, ended_ns| Write { covers: Covers::AnythingBefore, ended_ns, ..write("r/2", &[], status, 10) };
        let early = || write("r/1", &[], Status::Ok, 3);
        let late = || write("r/3", &[], Status::Ok, 30);
        assert_eq!(lost(&[early(), overwrite(Status::Ok, 20), late()], &["r/2"]), ["r/3"]);
        assert!(lost(&[early(), overwrite(Status::Info, u128::MAX), late()], &["r/2"]).is_empty());
        let unseen = [early(), overwrite(Status::Info, u128::MAX), late()];
        assert_eq!(lost(&unseen, &[]), ["r/1", "r/3"], "an overwrite that is not there replaced nothing");
    }

    #[test]
    fn a_delete_that_was_not_refused_accounts_for_what_it_had_seen() {
        let delete = |status| Write { is_delete: true, ..write("r/2", &["r/1"], status, 10) };
        assert!(lost(&[write("r/1", &[], Status::Ok, 0), delete(Status::Info)], &[]).is_empty());
        assert_eq!(lost(&[write("r/1", &[], Status::Ok, 0), delete(Status::Fail)], &[]), ["r/1"]);
    }

    #[test]
    fn a_value_of_somebody_else_hides_nothing_of_what_a_sibling_of_it_had_seen() {
        let chain = [write("r/1", &[], Status::Ok, 0), write("r/2", &["r/1"], Status::Ok, 10)];
        for there in [["other/1", "r/2"], ["r/2", "other/1"]] {
            assert!(lost(&chain, &there).is_empty(), "{there:?}");
        }
    }

    /// It may have replaced them: a second run on the same keys was once taken for the loss of what the first had written.
    #[test]
    fn what_is_missing_where_somebody_else_wrote_is_not_judged() {
        let chain = [write("r/1", &[], Status::Ok, 0), write("r/2", &["r/1"], Status::Ok, 10)];
        for there in ["other/1", "unknown 77", "r/3"] {
            let verdict = judge(&chain, &[there]);
            assert_eq!((verdict.lost_count, verdict.unjudged_count, verdict.foreign), (0, 2, 1), "{there}");
        }
        let damaged = judge(&chain, &["damaged r/2"]);
        assert_eq!((damaged.lost_count, damaged.unjudged_count, damaged.wrong_count), (2, 0, 1));
        let beside = judge(&chain, &["other/1", "r/1"]);
        assert_eq!((beside.lost_count, beside.unjudged_count), (0, 1), "the last is missing, the first is there");
    }

    /// A person's `driftkv delete` after a load was once taken for losses.
    #[test]
    fn what_somebody_else_deleted_is_not_judged_and_what_left_no_trace_is_lost() {
        let chain = [write("r/1", &[], Status::Ok, 0), write("r/2", &["r/1"], Status::Ok, 10)];
        let verdict = judge(&chain, &[DELETED]);
        assert_eq!((verdict.lost_count, verdict.unjudged_count, verdict.foreign, verdict.values), (0, 2, 0, 0));
        assert_eq!(judge(&chain, &[]).lost_count, 2);
        let early = Write { is_delete: true, ..write("r/0", &[], Status::Ok, 0) };
        let own = judge(&[early, write("r/1", &[], Status::Ok, 10)], &[DELETED]);
        assert_eq!((own.lost_count, own.unjudged_count), (1, 0), "an own delete that had not seen it takes nothing");
    }

    /// A killed loader beside a store that has lost everything was once nothing that could be judged.
    #[test]
    fn of_an_unfinished_run_a_key_without_any_trace_is_lost() {
        let chain = [write("r/1", &[], Status::Ok, 0), write("r/2", &["r/1"], Status::Ok, 10)];
        for (there, lost, unjudged) in
            [(vec![], 2, 0), (vec![DELETED.to_owned()], 0, 2), (vec!["r/1".to_owned()], 0, 1)]
        {
            let mut verdict = Verdict::default();
            let known = Known { is_unfinished: true, ..Known::default() };
            judge_key(&mut verdict, "k", &chain, (&there, &BTreeSet::new()), known);
            assert_eq!((verdict.lost_count, verdict.unjudged_count), (lost, unjudged), "{there:?}");
        }
    }

    #[test]
    fn what_was_wrong_in_an_earlier_reading_stays_wrong_and_accounts_for_nothing() {
        let mut verdict = Verdict::default();
        let writes = [write("r/1", &[], Status::Ok, 0), write("r/2", &[], Status::Fail, 9)];
        let before = BTreeSet::from(["damaged r/1", "r/1", "r/2"]);
        judge_key(&mut verdict, "k", &writes, (&[], &before), Known::default());
        assert_eq!((verdict.lost_count, verdict.wrong_count, verdict.values), (1, 2, 0));
        let mut verdict = Verdict::default();
        judge_key(&mut verdict, "k", &writes, (&[], &BTreeSet::from(["other/1"])), Known::default());
        assert_eq!((verdict.lost_count, verdict.unjudged_count, verdict.foreign), (0, 1, 0), "others wrote meanwhile");
    }

    /// `lab run` gives each run a bucket of its own: what no line has there, the store made up, or brought from another key.
    #[test]
    fn in_a_bucket_of_the_runs_own_a_stranger_is_wrong_and_excuses_nothing() {
        let writes = [write("r/1", &[], Status::Ok, 0)];
        let alone = |is_unfinished, there: &[&str]| {
            let mut verdict = Verdict::default();
            let there: Vec<String> = there.iter().map(|id| (*id).to_owned()).collect();
            let known = Known { is_alone: true, is_unfinished };
            judge_key(&mut verdict, "k", &writes, (&there, &BTreeSet::new()), known);
            [verdict.wrong_count, verdict.lost_count, verdict.unjudged_count, verdict.foreign]
        };
        for stranger in ["other/1", "unknown 77", "r/9"] {
            assert_eq!(alone(false, &[stranger]), [1, 1, 0, 0], "{stranger}");
            assert_eq!(alone(false, &[stranger, "r/1"]), [1, 0, 0, 0], "{stranger}");
        }
        assert_eq!(alone(false, &[DELETED]), [0, 1, 0, 0], "nobody deleted it");
        assert_eq!(alone(true, &["r/9"]), [0, 0, 1, 1], "it may be of a line that is missing");
        assert_eq!(alone(true, &["unknown 77"]), [1, 0, 1, 0], "no value of a run has this form");
    }

    #[test]
    fn what_should_not_be_there_is_told() {
        let verdict = judge(&[write("r/1", &[], Status::Fail, 0)], &["r/1", "damaged r/2", "other/1"]);
        assert_eq!((verdict.wrong_count, verdict.foreign, verdict.values), (2, 1, 0));
    }
}
