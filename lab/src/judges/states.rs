//! The sequential models: what each operation does to a state. States are numbers, and equal states have equal numbers.
//! Siblings follow research/lab.md 3.7: a put removes what its writer had seen and adds its value; a read must equal the set.

use std::collections::HashMap;

use super::account::{Covers, Did, Key, NIL, Seen, Texts, Value};

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Reads and writes.
    Register,
    /// With compare-and-set.
    CasRegister,
    /// A text, or a list, that grows at its end.
    Append,
    /// A set that grows.
    Set,
    /// Siblings; a read shows all of them.
    Siblings,
    /// Siblings of which a read need only show the newest value, whatever it shows beside it. Where a delete took the newest away, any that is
    /// left may be shown: so whatever is possible for [`Model::Siblings`] is possible here. Without deletes it is the register of research/lab.md 3.7.
    AnySibling,
}

/// The states of one key.
#[derive(Debug)]
pub(super) struct States {
    model: Model,
    texts: Texts,
    sets: Vec<Box<[Value]>>,
    numbers: HashMap<Box<[Value]>, u32>,
    set_bytes: usize,
}

impl States {
    pub(super) fn new(key: &Key, model: Model) -> Self {
        let texts = if model == Model::Append { key.texts.clone() } else { Texts::default() };
        let mut states = Self { model, texts, sets: Vec::new(), numbers: HashMap::new(), set_bytes: 0 };
        // Number 0 is the empty set, as NIL is no value.
        states.number(Box::default());
        states
    }

    pub(super) fn initial(&mut self, key: &Key) -> u32 {
        match self.model {
            Model::Set if !key.initial_elements.is_empty() => self.number(key.initial_elements.clone().into()),
            Model::Set | Model::Siblings if key.initial != NIL => self.number(Box::new([key.initial])),
            Model::AnySibling if key.initial != NIL => self.number(Box::new([key.initial, key.initial])),
            Model::AnySibling => self.number(Box::default()),
            _ => key.initial.0,
        }
    }

    /// The state after `did`; `None`: not possible in this one.
    pub(super) fn step(&mut self, state: u32, did: &Did) -> Option<u32> {
        match did {
            Did::Read(seen) => self.shows(state, seen).then_some(state),
            Did::Write(value) => Some(value.0),
            Did::Swap { from, to } => (from.0 == state).then_some(to.0),
            Did::Differs(value) => (value.0 != state).then_some(state),
            Did::Append(symbols) => Some(self.texts.append(Value(state), symbols).0),
            Did::Add(value) => Some(self.replace(state, &[], Some(*value))),
            Did::Replace { id, is_delete, covers } if self.model == Model::AnySibling => {
                Some(self.replace_newest(state, covers, (!is_delete).then_some(*id)))
            }
            Did::Replace { id, is_delete, covers } => {
                let value = (!is_delete).then_some(*id);
                Some(match covers {
                    Covers::These(covers) => self.replace(state, covers, value),
                    Covers::Everything => self.replace(NIL.0, &[], value),
                })
            }
        }
    }

    /// `state` can become one that shows `seen`, if nothing is replaced on the way: texts and sets only grow.
    pub(super) fn leads_to(&self, state: u32, seen: &Seen) -> bool {
        match (self.model, seen) {
            (Model::Append, Seen::One(text)) => self.texts.begins_with(*text, Value(state)),
            (Model::Set, Seen::Many(values)) => self.set(state).iter().all(|value| values.binary_search(value).is_ok()),
            _ => true,
        }
    }

    fn shows(&self, state: u32, seen: &Seen) -> bool {
        match (self.model, seen) {
            (_, Seen::Anything) => true,
            (Model::AnySibling, Seen::One(NIL)) => self.set(state).is_empty(),
            (Model::AnySibling, Seen::One(value)) => self.shows_newest(state, &[*value]),
            (Model::AnySibling, Seen::Many(values)) => self.shows_newest(state, values),
            (_, Seen::One(value)) => value.0 == state,
            (Model::Set | Model::Siblings, Seen::Many(values)) => self.set(state) == &values[..],
            (_, Seen::Many(values)) => values.contains(&Value(state)) || (values.is_empty() && state == NIL.0),
        }
    }

    fn shows_newest(&self, state: u32, values: &[Value]) -> bool {
        match self.set(state) {
            [] => values.is_empty(),
            [NIL, live @ ..] => live.iter().any(|value| values.contains(value)),
            [newest, ..] => values.contains(newest),
        }
    }

    /// Such a state is the newest value, or `NIL` if it was taken away, and then all that are there.
    fn replace_newest(&mut self, state: u32, covers: &Covers, value: Option<Value>) -> u32 {
        let (newest, held) = self.set(state).split_first().map_or((NIL, &[][..]), |(newest, held)| (*newest, held));
        let is_left = |held: &Value| matches!(covers, Covers::These(covers) if covers.binary_search(held).is_err());
        let mut left: Vec<Value> = held.iter().copied().filter(is_left).chain(value).collect();
        left.sort_unstable();
        left.dedup();
        if left.is_empty() {
            return self.number(Box::default());
        }
        let newest = value.unwrap_or(if left.binary_search(&newest).is_ok() { newest } else { NIL });
        left.insert(0, newest);
        self.number(left.into())
    }

    fn set(&self, state: u32) -> &[Value] {
        self.sets.get(state as usize).map(Box::as_ref).unwrap_or_default()
    }

    fn replace(&mut self, state: u32, covers: &[Value], value: Option<Value>) -> u32 {
        let held = self.set(state);
        let mut left: Vec<Value> = held.iter().copied().filter(|held| covers.binary_search(held).is_err()).collect();
        if let Some(value) = value
            && let Err(place) = left.binary_search(&value)
        {
            left.insert(place, value);
        }
        self.number(left.into())
    }

    fn number(&mut self, set: Box<[Value]>) -> u32 {
        if let Some(number) = self.numbers.get(&set) {
            return *number;
        }
        let number = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.set_bytes += 2 * (set.len() * size_of::<Value>() + 48);
        self.sets.push(set.clone());
        self.numbers.insert(set, number);
        number
    }

    /// About how much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.set_bytes + self.texts.bytes()
    }

    /// What `state` is called.
    pub(super) fn describe(&self, state: u32, name: &dyn Fn(Value) -> String) -> String {
        match self.model {
            Model::Set | Model::Siblings => {
                let names: Vec<_> = self.set(state).iter().map(|value| name(*value)).collect();
                format!("{{{}}}", names.join(" "))
            }
            Model::AnySibling => {
                let live = self.set(state).get(1..).unwrap_or_default();
                let names: Vec<_> = live.iter().map(|value| name(*value)).collect();
                format!("{{{}}}", names.join(" "))
            }
            Model::Append => format!("{} symbols", self.texts.symbols(Value(state)).len()),
            _ => name(Value(state)),
        }
    }
}
