//! Linearizability of any model, by search (Wing & Gong 1993, Lowe 2017), within a budget (research/lab.md 3.6).
//! A configuration is what has taken effect so far, and the state; configurations from which there is no way on are remembered.
//! Next may come whatever started before the first end among the known operations that are left. Three rules keep the search small
//! and change no verdict:
//! - A known operation that only observes, and is possible, comes at once: moved to the front of any way on it leaves all others as they are.
//!   (Not so a write of what is there: where it stood it may have been what a later read needs.)
//! - Of operations with unknown outcome and the same effect the one that started first comes first: they have no end, so they can be exchanged.
//! - An operation with unknown outcome that would change nothing does not come now: it may as well come later or never.
//! - Texts and sets only grow until something replaces them: what leads to a state that the next known reads contradict does not come.
//! - Of registers without refused swaps, an operation with unknown outcome whose value nobody reads or expects never comes (0.2).
//!
//! At a quiescent point configurations differ only in their state (and in what is unknown): the memory carries the possible states across.
//! Invariant: `Valid` and `Invalid` are exact; a budget that is used up is `Unknown`.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::account::{Did, Key, NEVER, Operation, Seen, Value};
use super::states::{Model, States};

mod config;

use config::Config;

/// What a remembered configuration takes beside its words.
const ENTRY_BYTES: usize = 48;

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is an order.
    Valid,
    /// There is none.
    Invalid(Stuck),
    /// The budget was used up.
    Unknown(Limit),
}

/// What was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The time.
    Time,
    /// The memory.
    Memory,
}

/// Where the longest order ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// Its length.
    pub ordered: usize,
    /// Its last operations, by their places.
    pub last: Vec<usize>,
    /// The state after them.
    pub state: String,
    /// What could come next by its time, and cannot, or not so that what is read afterwards is explained: the first such read is among it.
    pub next: Vec<usize>,
}

/// How many operations of each kind `Stuck` names.
const SHOWN_MAX: usize = 5;

/// Searches for an order of `key`'s operations in which `model` explains all answers. `name`: what values are called.
pub fn check(
    key: &Key,
    model: Model,
    deadline: Instant,
    memory_bytes: usize,
    name: &dyn Fn(Value) -> String,
) -> Outcome {
    let mut states = States::new(key, model);
    let state = states.initial(key);
    let mut search = Search {
        config: Config::new(key, model, state),
        states,
        visited: HashSet::new(),
        visited_bytes: 0,
        frames: Vec::new(),
        candidates: Vec::new(),
        stuck: None,
    };
    search.run(deadline, memory_bytes, name)
}

/// One choice: where it was made, and what is left to try.
struct Frame {
    mark: config::Mark,
    /// Its candidates lie from here to the top of the stack of candidates, once those of later frames are gone.
    from: usize,
}

struct Search<'a> {
    config: Config<'a>,
    states: States,
    visited: HashSet<Box<[u64]>>,
    visited_bytes: usize,
    frames: Vec<Frame>,
    /// What to apply, and the state that it leads to.
    candidates: Vec<(config::Move, u32)>,
    stuck: Option<Stuck>,
}

impl Search<'_> {
    fn run(&mut self, deadline: Instant, memory_bytes: usize, name: &dyn Fn(Value) -> String) -> Outcome {
        loop {
            // One step may look at thousands of candidates, each a large state: the clock is cheap beside it.
            if Instant::now() >= deadline {
                return Outcome::Unknown(Limit::Time);
            }
            if self.bytes() > memory_bytes {
                return Outcome::Unknown(Limit::Memory);
            }
            let from = self.candidates.len();
            self.config.observe(&mut self.states, &mut self.candidates);
            if self.config.is_done() {
                return Outcome::Valid;
            }
            match self.candidates.len() - from {
                0 => self.note_stuck(name),
                1 => {
                    // No choice: undone with the frame below.
                    self.advance();
                    continue;
                }
                _ if self.is_new() => self.frames.push(Frame { mark: self.config.mark(), from }),
                _ => self.candidates.truncate(from),
            }
            if !self.try_next() {
                return Outcome::Invalid(self.stuck.take().unwrap_or_default());
            }
        }
    }

    /// About how much memory it takes: what is remembered, and the way to where it is.
    fn bytes(&self) -> usize {
        let candidates = self.candidates.len() * size_of::<(config::Move, u32)>();
        let way = self.frames.len() * size_of::<Frame>() + self.config.ordered() * size_of::<config::Move>();
        self.visited_bytes + self.states.bytes() + candidates + way
    }

    /// Goes back to the last choice with something left, and takes that. False: there is none.
    fn try_next(&mut self) -> bool {
        while let Some(frame) = self.frames.last() {
            self.config.back_to(&frame.mark);
            if self.candidates.len() > frame.from {
                return self.advance();
            }
            self.frames.pop();
        }
        // What had to be done before the first choice needs no undoing.
        false
    }

    fn advance(&mut self) -> bool {
        self.candidates.pop().map(|(next, state)| self.config.apply(next, state)).is_some()
    }

    fn is_new(&mut self) -> bool {
        let words = self.config.words();
        let bytes = words.len() * size_of::<u64>() + ENTRY_BYTES;
        let is_new = self.visited.insert(words);
        self.visited_bytes += if is_new { bytes } else { 0 };
        is_new
    }

    fn note_stuck(&mut self, name: &dyn Fn(Value) -> String) {
        let ordered = self.config.ordered();
        if self.stuck.as_ref().is_none_or(|stuck| stuck.ordered < ordered) {
            let mut next = self.config.waiting(SHOWN_MAX);
            // Some of these may come next, and lead nowhere: to what is read soon after.
            if let Some(read) = self.config.next_read().filter(|read| !next.contains(read)) {
                next.truncate(SHOWN_MAX - 1);
                next.push(read);
            }
            let state = self.states.describe(self.config.state(), name);
            self.stuck = Some(Stuck { ordered, last: self.config.last(SHOWN_MAX), state, next });
        }
    }
}

/// Operations of unknown outcome by their effect, each group in the order of their starts.
fn groups(operations: &[Operation], model: Model) -> Vec<Vec<usize>> {
    let mut numbers: HashMap<&Did, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let observed = observed(operations, model);
    let is_needed = |operation: &Operation| match (&operation.did, &observed) {
        (Did::Write(value) | Did::Swap { to: value, .. }, Some(observed)) => observed.contains(value),
        _ => true,
    };
    let mut unknown: Vec<(usize, &Operation)> = operations.iter().enumerate().collect();
    unknown.retain(|(_, operation)| operation.end >= NEVER && is_needed(operation));
    unknown.sort_by_key(|(_, operation)| operation.start);
    for (place, operation) in unknown {
        let number = *numbers.entry(&operation.did).or_insert(groups.len());
        match groups.get_mut(number) {
            Some(group) => group.push(place),
            None => groups.push(vec![place]),
        }
    }
    groups
}

/// The values of a register that somebody reads or expects; `None`: other values matter too.
fn observed(operations: &[Operation], model: Model) -> Option<HashSet<Value>> {
    let is_register = matches!(model, Model::Register | Model::CasRegister);
    let is_plain = is_register && !operations.iter().any(|operation| matches!(operation.did, Did::Differs(_)));
    let value = |operation: &Operation| match operation.did {
        Did::Read(Seen::One(value)) | Did::Swap { from: value, .. } => Some(value),
        _ => None,
    };
    is_plain.then(|| operations.iter().filter_map(value).collect())
}
