//! What an operation means to a model.

use std::collections::{HashMap, HashSet};

use super::datum::Datum;
use crate::judges::account::{Did, Key, LIST_SYMBOLS, NEVER, NIL, Operation, Seen, TIME_MAX, Value};
use crate::judges::linearizable::Model;

use super::{ImportError, Imported};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Ok,
    /// Certainly not done; of a swap, perhaps since something else was there.
    Failed,
    Unknown,
}

/// An operation as it was recorded.
pub(super) struct Act {
    pub(super) process: u32,
    pub(super) at: (u64, u64),
    pub(super) start: i64,
    /// Meaningless if `how` is `Unknown`.
    pub(super) end: i64,
    pub(super) how: End,
    pub(super) f: String,
    pub(super) key: String,
    /// What was asked to be written, added, swapped.
    pub(super) asked: Datum,
    /// What came back.
    pub(super) answer: Datum,
}

/// What the formats take differently.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// A read of nil from a register says nothing (Knossos), instead of that nothing was there (Porcupine).
    pub(super) nil_agrees: bool,
    /// A swap that failed found something else (Porcupine), instead of saying nothing (Knossos).
    pub(super) failed_swap_observes: bool,
    /// An empty text is what was there at first.
    pub(super) empty_is_nil: bool,
}

/// Collects operations.
pub(super) struct Builder {
    model: Model,
    manner: Manner,
    initial: Datum,
    places: HashMap<String, usize>,
    imported: Imported,
    first: Option<i64>,
}

impl Builder {
    pub(super) fn new(model: Model, manner: Manner, initial: Datum) -> Self {
        Self { model, manner, initial, places: HashMap::new(), imported: Imported::default(), first: None }
    }

    pub(super) fn other_line(&mut self) {
        self.imported.other_lines += 1;
    }

    /// The whole, keys in the order of their names. Errors: it has no operations.
    pub(super) fn finish(mut self) -> Result<Imported, ImportError> {
        let account = &mut self.imported.account;
        if account.keys.is_empty() && self.imported.left_out == 0 {
            return Err(ImportError::at((1, 1), "there is no operation in it"));
        }
        account.keys.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(self.imported)
    }

    /// Takes an operation. Errors: the model has none like it.
    pub(super) fn add(&mut self, act: &Act) -> Result<(), ImportError> {
        let refuse = |what: String| ImportError::at(act.at, what);
        if act.how != End::Unknown && act.end < act.start {
            return Err(refuse("ends before it begins".to_owned()));
        }
        let place = self.place(&act.key).map_err(refuse)?;
        let Some(did) = self.did(act, place).map_err(refuse)? else {
            self.imported.left_out += 1;
            return Ok(());
        };
        // Clocks begin anywhere: times count from that of the first operation.
        let first = *self.first.get_or_insert(act.start);
        let since = |time: i64| time.checked_sub(first).filter(|time| time.abs() <= TIME_MAX);
        let end = if act.how == End::Unknown { Some(NEVER) } else { since(act.end) };
        let (Some(start), Some(end)) = (since(act.start), end) else {
            return Err(refuse("is too far in time from the first operation".to_owned()));
        };
        if let Some(key) = self.imported.account.keys.get_mut(place) {
            let (process, source) = (act.process, act.at.0);
            key.operations.push(Operation { process, source, start, end, did });
        }
        Ok(())
    }

    fn place(&mut self, name: &str) -> Result<usize, String> {
        if let Some(place) = self.places.get(name) {
            return Ok(*place);
        }
        let place = self.imported.account.keys.len();
        self.imported.account.keys.push(Key { name: name.to_owned(), ..Key::default() });
        self.places.insert(name.to_owned(), place);
        let initial = self.initial.clone();
        if let (Model::Set, Datum::Set(elements) | Datum::List(elements)) = (self.model, &initial) {
            let mut elements: Vec<Value> =
                elements.iter().map(|value| self.value(place, value)).collect::<Result<_, _>>()?;
            elements.sort_unstable();
            elements.dedup();
            self.imported
                .account
                .keys
                .get_mut(place)
                .into_iter()
                .for_each(|key| key.initial_elements.clone_from(&elements));
            return Ok(place);
        }
        let initial = self.value(place, &initial)?;
        self.imported.account.keys.get_mut(place).into_iter().for_each(|key| key.initial = initial);
        Ok(place)
    }

    /// In ascending order. What is there twice is a value that nobody adds: no set has it (Porcupine's TestSetModel).
    fn elements(&mut self, place: usize, values: &[Datum]) -> Result<Vec<Value>, String> {
        let (mut elements, mut seen) = (Vec::with_capacity(values.len()), HashSet::new());
        for value in values {
            let known = self.value(place, value)?;
            if seen.insert(known) {
                elements.push(known);
            } else {
                // No word of a value has this form: texts have quotes.
                elements.push(self.imported.account.names.value(&format!("{value} twice")));
            }
        }
        elements.sort_unstable();
        elements.dedup();
        Ok(elements)
    }

    /// `None`: it says nothing.
    fn did(&mut self, act: &Act, place: usize) -> Result<Option<Did>, String> {
        let did = match (act.f.as_str(), self.model) {
            ("read" | "get" | "r", _) => {
                // Without an answer it says nothing.
                return if act.how == End::Ok {
                    self.seen(place, &act.answer).map(|seen| Some(Did::Read(seen)))
                } else {
                    Ok(None)
                };
            }
            ("write" | "put" | "w" | "set", Model::Register | Model::CasRegister | Model::Append) => {
                Did::Write(self.value(place, &act.asked)?)
            }
            ("cas" | "compare-and-set", Model::CasRegister) => return self.swap(act, place),
            ("append", Model::Append) => Did::Append(self.symbols(&act.asked, false)?.into()),
            ("add", Model::Set) => Did::Add(self.value(place, &act.asked)?),
            (f, model) => return Err(format!("`{f}` is no operation of the model {}", name(model))),
        };
        Ok((act.how != End::Failed).then_some(did))
    }

    fn swap(&mut self, act: &Act, place: usize) -> Result<Option<Did>, String> {
        let Datum::List(pair) = &act.asked else { return Err(format!("cas has {} instead of two values", act.asked)) };
        let [from, to] = &pair[..] else { return Err(format!("cas has {} instead of two values", act.asked)) };
        let (from, to) = (self.value(place, from)?, self.value(place, to)?);
        Ok(match act.how {
            End::Ok | End::Unknown => Some(Did::Swap { from, to }),
            // An error in place of the pair says that it was not tried.
            End::Failed if self.manner.failed_swap_observes && matches!(act.answer, Datum::List(_)) => {
                Some(Did::Differs(from))
            }
            End::Failed => None,
        })
    }

    fn seen(&mut self, place: usize, answer: &Datum) -> Result<Seen, String> {
        match (self.model, answer) {
            (Model::Register | Model::CasRegister | Model::Set, Datum::Nil) if self.manner.nil_agrees => {
                Ok(Seen::Anything)
            }
            (Model::Set, Datum::Nil) => Ok(Seen::Many(Box::default())),
            (Model::Set, Datum::List(values) | Datum::Set(values)) => {
                Ok(Seen::Many(self.elements(place, values)?.into()))
            }
            (Model::Set, other) => Err(format!("a read of a set has {other}, which is no set and no list")),
            (_, answer) => self.value(place, answer).map(Seen::One),
        }
    }

    fn value(&mut self, place: usize, datum: &Datum) -> Result<Value, String> {
        if self.model == Model::Append {
            let symbols = self.symbols(datum, true)?;
            let key = self.imported.account.keys.get_mut(place);
            return Ok(key.map_or(NIL, |key| key.texts.append(NIL, &symbols)));
        }
        match datum {
            Datum::Nil => Ok(NIL),
            Datum::Text(text) if text.is_empty() && self.manner.empty_is_nil => Ok(NIL),
            other => Ok(self.imported.account.names.value(&other.to_string())),
        }
    }

    /// `is_whole`: a list is all there is; otherwise one value of it.
    fn symbols(&mut self, datum: &Datum, is_whole: bool) -> Result<Vec<u32>, String> {
        let names = &mut self.imported.account.names;
        let mut of_list = |value: &Datum| names.value(&value.to_string()).0.checked_add(LIST_SYMBOLS);
        let symbols: Option<Vec<u32>> = match datum {
            Datum::Nil => Some(Vec::new()),
            Datum::Text(text) => Some(text.chars().map(u32::from).collect()),
            Datum::List(values) if is_whole => values.iter().map(of_list).collect(),
            other if is_whole => return Err(format!("{other} is no text and no list")),
            other => of_list(other).map(|symbol| vec![symbol]),
        };
        symbols.ok_or_else(|| "there are too many values".to_owned())
    }
}

fn name(model: Model) -> &'static str {
    match model {
        Model::Register => "register",
        Model::CasRegister => "cas-register",
        Model::Append => "append",
        Model::Set => "set",
        Model::Siblings | Model::AnySibling => "siblings",
    }
}
