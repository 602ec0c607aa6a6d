//! A store that is one copy, to which each operation happens at one moment: no guarantee is ever broken, whatever replaces what, and whatever
//! comes to no answer.

use std::collections::BTreeSet;

use super::told;
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::sessions;
use crate::judges::tests::random::{Random, histories};

const PROCESSES: usize = 3;
const OPERATIONS: usize = 24;

struct Planned {
    key: usize,
    process: usize,
    start: i64,
    end: i64,
    /// When it happens; `None`: never.
    at: Option<i64>,
    draw: usize,
}

/// Operations of sessions, one after the other in each; a fifth of them get no answer, and happen much later or never.
fn plan(random: &mut Random) -> Vec<Planned> {
    let mut free = [0; PROCESSES];
    let mut planned: Vec<Planned> = Vec::new();
    for _ in 0..OPERATIONS {
        let process = random.below(PROCESSES);
        let start = free[process] + 1 + random.below(8) as i64 * 10;
        let end = start + 2 + random.below(8) as i64 * 10;
        free[process] = end;
        let is_lost = random.chance(20);
        let at = match is_lost {
            true => random.chance(60).then(|| start + 1 + random.below(300) as i64),
            false => Some(start + random.below((end - start) as usize + 1) as i64),
        };
        let end = if is_lost { NEVER } else { end };
        planned.push(Planned { key: random.below(2), process, start, end, at, draw: random.below(100) });
    }
    planned.sort_by_key(|operation| operation.at.unwrap_or(NEVER));
    planned
}

/// What the clients see of it.
fn run(random: &mut Random) -> Vec<Key> {
    let mut keys =
        [("a", Key::default()), ("b", Key::default())].map(|(name, key)| Key { name: name.to_owned(), ..key });
    let mut state: [BTreeSet<u32>; 2] = Default::default();
    let mut known: [[BTreeSet<u32>; 2]; PROCESSES] = Default::default();
    for (number, planned) in plan(random).into_iter().enumerate() {
        let Planned { key, process, start, end, at, draw } = planned;
        let (id, live) = (number as u32 + 1, &mut state[key]);
        let did = match draw {
            0..50 if end == NEVER => continue,
            0..50 => {
                known[process][key].clone_from(live);
                Did::Read(Seen::Many(live.iter().map(|value| Value(*value)).collect()))
            }
            50..75 => {
                // One that happens long after it was sent does not know what its session has read since: it knows nothing.
                let seen = if end == NEVER { BTreeSet::new() } else { known[process][key].clone() };
                if at.is_some() {
                    live.retain(|value| !seen.contains(value));
                    live.insert(id);
                }
                let covers = Covers::These(seen.into_iter().map(Value).collect());
                Did::Replace { id: Value(id), is_delete: false, covers }
            }
            _ => {
                let is_delete = draw >= 95;
                if at.is_some() {
                    live.clear();
                    live.extend((!is_delete).then_some(id));
                }
                Did::Replace { id: Value(id), is_delete, covers: Covers::Everything }
            }
        };
        keys[key].operations.push(Operation { process: process as u32, source: u64::from(id), start, end, did });
    }
    keys.into()
}

#[test]
fn one_copy_breaks_no_guarantee_though_writes_replace_everything_and_get_no_answer() {
    let mut opportunities = 0;
    for seed in 0..histories() {
        let keys = run(&mut Random(seed));
        let found = sessions::check(&Account { keys: keys.clone(), ..Account::default() });
        assert_eq!(told(&found), [0; 4], "seed {seed}: {found:#?} {keys:#?}");
        opportunities += found.monotonic_writes.opportunities + found.writes_follow_reads.opportunities;
    }
    assert!(opportunities > histories(), "hardly anything was judged: {opportunities}");
}
