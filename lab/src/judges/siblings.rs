//! False siblings (research/lab.md 3.9): a read that brought two values of which one had covered the other.
//! Covers: what the writer had certainly seen, by the contexts of the history, and what the writers of that had. A write that replaced
//! everything proves nothing here: what it had seen nobody knows.
//! A write that was sent more than once may have been applied again after it was covered; that is no false sibling, so its value is passed over.

use std::collections::{HashMap, HashSet};

use super::account::{Covers, Did, Key, Operation, Seen, Value};

/// How many reads of `key` brought false siblings. `is_doubtful`: by the source of a write, whether it may have been applied twice.
pub fn false_siblings(key: &Key, is_doubtful: &impl Fn(u64) -> bool) -> u64 {
    let reads = key.operations.iter().filter_map(|operation| match &operation.did {
        Did::Read(Seen::Many(values)) if values.len() > 1 => Some(values.as_ref()),
        _ => None,
    });
    let mut reads = reads.peekable();
    if reads.peek().is_none() {
        return 0;
    }
    let writes: HashMap<Value, &Operation> = key.operations.iter().filter_map(written).collect();
    let is_known = |value: &&Value| writes.get(*value).is_some_and(|write| !is_doubtful(write.source));
    let has_false = |values: &&[Value]| {
        let known: HashSet<Value> = values.iter().filter(is_known).copied().collect();
        known.len() > 1 && values.iter().any(|value| covers_one(&writes, *value, &known))
    };
    reads.filter(has_false).count() as u64
}

fn written(operation: &Operation) -> Option<(Value, &Operation)> {
    match &operation.did {
        Did::Replace { id, .. } => Some((*id, operation)),
        _ => None,
    }
}

/// Whether the writer of `value` had seen another one of `sought`.
fn covers_one(writes: &HashMap<Value, &Operation>, value: Value, sought: &HashSet<Value>) -> bool {
    let start = |value: &Value| writes.get(value).map(|write| write.start);
    // Whoever covers a write started after it: beyond the oldest that is sought nothing is found.
    let Some(oldest) = sought.iter().filter_map(start).min() else { return false };
    let (mut left, mut met) = (vec![value], HashSet::from([value]));
    while let Some(next) = left.pop() {
        let Some(Did::Replace { covers: Covers::These(covers), .. }) = writes.get(&next).map(|write| &write.did) else {
            continue;
        };
        for covered in covers.iter().filter(|covered| start(covered).is_some_and(|start| start >= oldest)) {
            if *covered != value && sought.contains(covered) {
                return true;
            }
            if met.insert(*covered) {
                left.push(*covered);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Covers, Did, Key, Operation, Seen, Value, false_siblings};

    fn operation(at: i64, did: Did) -> Operation {
        Operation { process: 0, source: at as u64, start: 10 * at, end: 10 * at + 5, did }
    }

    fn put(at: i64, covers: Covers) -> Operation {
        operation(at, Did::Replace { id: Value(at as u32), is_delete: false, covers })
    }

    fn of(covers: &[u32]) -> Covers {
        Covers::These(covers.iter().copied().map(Value).collect())
    }

    /// 1, 2 over it, 3 over that, 4 beside all; and a read.
    fn key(third: Covers, brought: &[u32]) -> Key {
        let read = operation(9, Did::Read(Seen::Many(brought.iter().copied().map(Value).collect())));
        let operations = vec![put(1, of(&[])), put(2, of(&[1])), put(3, third), put(4, of(&[])), read];
        Key { operations, ..Key::default() }
    }

    #[test]
    fn a_value_beside_one_that_covers_it_is_a_false_sibling() {
        let sure = |_| false;
        assert_eq!(false_siblings(&key(of(&[2]), &[2, 3]), &sure), 1);
        assert_eq!(false_siblings(&key(of(&[2]), &[1, 3]), &sure), 1, "by way of 2");
        assert_eq!(false_siblings(&key(of(&[2]), &[3, 4]), &sure), 0, "neither has seen the other");
        assert_eq!(false_siblings(&key(of(&[2]), &[3]), &sure), 0);
    }

    #[test]
    fn what_replaced_everything_and_what_was_sent_twice_proves_nothing() {
        assert_eq!(false_siblings(&key(Covers::Everything, &[2, 3]), &|_| false), 0);
        assert_eq!(false_siblings(&key(of(&[2]), &[2, 3]), &|source| source == 2), 0);
    }
}
