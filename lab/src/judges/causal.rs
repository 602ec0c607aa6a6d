//! What each write of a key had seen: down(x) is x and everything that its context covers, and that these had seen, derived from the values
//! that clients really read and not from the store's clocks (research/lab.md 3.8).
//! Lenient where nobody can know: a delete leaves no trace in what is read, so any that had begun may have taken effect; a write that replaced
//! everything may have seen whatever had begun before it ended, and no more: what others had seen of which it took over had begun before, too. One
//! that was sent more than once may be applied again, whenever, and have seen anything. That excuses who misses a write; it obliges nobody (`certain`).
//! Bounded: a key that would take more than `BITS_MAX` is not judged.

use std::collections::HashMap;

use super::account::{Covers, Did, Key, NEVER, Seen, Value};
use super::bits::Bits;

/// Sets for each write and each read, of as many bits as there are writes: 256 MiB at most.
const BITS_MAX: usize = 1 << 31;

/// What it may have seen and what it has, what deletes up to it had, and what `sessions` keeps of it: its own write, and two needs.
const SETS_PER_WRITE: usize = 6;
/// What it brought, what that had seen, and again what it brought, in the order of a session.
const SETS_PER_READ: usize = 3;

/// A write of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// Its place among the key's operations.
    pub(super) place: usize,
    pub(super) process: u32,
    pub(super) start: i64,
    pub(super) end: i64,
    is_delete: bool,
}

impl Write {
    pub(super) fn is_acknowledged(&self) -> bool {
        self.end < NEVER
    }
}

/// A read of a key.
pub(super) struct Read {
    /// Its place among the key's operations.
    pub(super) place: usize,
    pub(super) process: u32,
    pub(super) start: i64,
    pub(super) end: i64,
    /// The writes whose values it brought.
    pub(super) shown: Bits,
    /// What these had seen, and what deletes may have taken away.
    pub(super) down: Bits,
}

/// The writes of a key, in the order of their starts, and its reads.
pub(super) struct Causes {
    pub(super) writes: Vec<Write>,
    numbers: HashMap<Value, usize>,
    rows: Vec<Bits>,
    /// What each had certainly seen, where that is less; none: it is the same everywhere.
    certain: Vec<Bits>,
    /// Some replaced everything.
    has_everything: bool,
    /// Down of the deletes that started before each: added up.
    deletes: Vec<(i64, Bits)>,
}

impl Causes {
    /// `None`: there is too much of it.
    pub(super) fn new(key: &Key) -> Option<Self> {
        let mut found: Vec<(Write, Value, &Covers)> = Vec::new();
        for (place, operation) in key.operations.iter().enumerate() {
            if let Did::Replace { id, is_delete, covers } = &operation.did {
                let (process, start, end) = (operation.process, operation.start, operation.end);
                found.push((Write { place, process, start, end, is_delete: *is_delete }, *id, covers));
            }
        }
        let sets = SETS_PER_WRITE * found.len() + SETS_PER_READ * (key.operations.len() - found.len());
        if sets.saturating_mul(found.len()) > BITS_MAX {
            return None;
        }
        found.sort_by_key(|(write, ..)| write.start);
        let numbers: HashMap<Value, usize> =
            found.iter().enumerate().map(|(number, (_, id, _))| (*id, number)).collect();
        let mut causes = Self {
            writes: Vec::with_capacity(found.len()),
            numbers,
            rows: Vec::new(),
            certain: Vec::new(),
            has_everything: found.iter().any(|(_, _, covers)| **covers == Covers::Everything),
            deletes: Vec::new(),
        };
        let is_repeated = |id: &Value| key.repeated.binary_search(id).is_ok();
        let covers: Vec<(&Covers, bool)> = found.iter().map(|(_, id, covers)| (*covers, is_repeated(id))).collect();
        causes.writes.extend(found.into_iter().map(|(write, ..)| write));
        for (number, (covers, is_repeated)) in covers.iter().enumerate() {
            let row = causes.row(number, covers, *is_repeated);
            causes.rows.push(row);
        }
        if causes.has_everything {
            for (number, (covers, _)) in covers.into_iter().enumerate() {
                let row = causes.certain_row(number, covers);
                causes.certain.push(row);
            }
        }
        causes.sum_up_deletes();
        Some(causes)
    }

    fn row(&self, number: usize, covers: &Covers, is_repeated: bool) -> Bits {
        let mut row = Bits::new(self.writes.len());
        row.insert(number);
        match covers {
            Covers::These(values) => {
                for covered in values.iter().filter_map(|value| self.numbers.get(value)) {
                    row.insert(*covered);
                    // Whoever covers a write has seen it, and started later.
                    self.rows.get(*covered).into_iter().for_each(|covered| row.insert_all(covered));
                }
            }
            Covers::Everything => {
                let end = self.writes.get(number).filter(|_| !is_repeated).map_or(NEVER, |write| write.end);
                row.insert_below(self.writes.partition_point(|write| write.start <= end));
            }
        }
        row
    }

    /// As `row`, of what clients really read: one that replaced everything said nothing of it.
    fn certain_row(&self, number: usize, covers: &Covers) -> Bits {
        let mut row = Bits::new(self.writes.len());
        row.insert(number);
        let Covers::These(values) = covers else { return row };
        for covered in values.iter().filter_map(|value| self.numbers.get(value)) {
            row.insert(*covered);
            self.certain.get(*covered).into_iter().for_each(|covered| row.insert_all(covered));
        }
        row
    }

    fn sum_up_deletes(&mut self) {
        let mut sum = Bits::new(self.writes.len());
        for (write, row) in self.writes.iter().zip(&self.rows).filter(|(write, _)| write.is_delete) {
            sum.insert_all(row);
            self.deletes.push((write.start, sum.clone()));
        }
    }

    /// What `number` had certainly seen, itself included: whoever sees it owes these.
    pub(super) fn certain(&self, number: usize) -> Option<&Bits> {
        if self.has_everything { self.certain.get(number) } else { self.rows.get(number) }
    }

    /// What `number` may have seen, itself included.
    pub(super) fn down(&self, number: usize) -> Option<&Bits> {
        self.rows.get(number)
    }

    pub(super) fn none(&self) -> Bits {
        Bits::new(self.writes.len())
    }

    /// The reads of which it is known what they mean, in the order of their starts.
    pub(super) fn reads(&self, key: &Key) -> Vec<Read> {
        let mut reads: Vec<Read> = Vec::new();
        for (place, operation) in key.operations.iter().enumerate() {
            let Did::Read(Seen::Many(values)) = &operation.did else { continue };
            if values.iter().any(|value| key.foreign.binary_search(value).is_ok()) {
                continue;
            }
            let mut shown = self.none();
            let mut down = self.may_be_deleted(operation.end);
            for number in values.iter().filter_map(|value| self.numbers.get(value)) {
                shown.insert(*number);
                self.rows.get(*number).into_iter().for_each(|row| down.insert_all(row));
            }
            let (process, start, end) = (operation.process, operation.start, operation.end);
            reads.push(Read { place, process, start, end, shown, down });
        }
        reads.sort_by_key(|read| read.start);
        reads
    }

    fn may_be_deleted(&self, until: i64) -> Bits {
        let count = self.deletes.partition_point(|(start, _)| *start <= until);
        count.checked_sub(1).and_then(|last| self.deletes.get(last)).map_or_else(|| self.none(), |(_, sum)| sum.clone())
    }
}
