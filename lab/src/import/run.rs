//! Our own histories (`history.jsonl` of a run), as siblings with contexts.
//! A session is a process; what a write covers is what the answer showed whose context it carried: the values of a read, or an own write.
//! Left out: reads that brought nothing, writes that were refused or never sent. Values of other runs, and of nobody, are foreign, but in a bucket
//! of the run's own (as `lab run` gives each), where nobody else writes: there they are phantoms; of a history without its end so are values of which no line tells, and, where deletes were asked for, whatever a delete without a line may have done.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::Imported;
use crate::history::{ContextIn, Header, Intent, Op, ReadError, Reader, Record};
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Names, Operation, Seen, TIME_MAX, Value};
use crate::load::Status;

#[cfg(test)]
mod tests;

/// A history of ours, to be judged.
#[derive(Debug)]
pub struct RunHistory {
    /// Its first line.
    pub header: Header,
    /// All others.
    pub imported: Imported,
    /// Of a last line that is cut off, and left out.
    pub torn_bytes: Option<u64>,
    /// It has no end: requests were sent of which no line tells.
    pub is_unfinished: bool,
    /// Then: keys with values of which no line tells.
    pub keys_without_lines: u64,
}

/// Reads the history at `path`, and shows each record to `look` too. Errors: it cannot be read, or has a line that is no record; or one that came to
/// its end has a write with the context of an operation without a line.
pub fn read_run(path: &Path, mut look: impl FnMut(&Record)) -> Result<RunHistory, ReadError> {
    let mut reader = Reader::open(path)?;
    let mut run = Run { is_alone: is_alone(reader.header()), ..Run::default() };
    for (line, record) in (2..).zip(&mut reader) {
        let record = record?;
        look(&record);
        run.add(line, &record);
    }
    let (header, is_unfinished) = (reader.header().clone(), reader.is_unfinished());
    let deletes = header.plan.workload.mix.delete > 0;
    let keys_without_lines = if is_unfinished { run.take_unwritten_for_foreign(deletes) } else { 0 };
    let torn_bytes = reader.torn_bytes();
    if let (Some(Pending { line, seq, .. }), false) =
        (run.take_missing_for_unknown(|seq| reader.has(seq)), is_unfinished)
    {
        let why = format!("its context is of the operation {seq}, of which there is no line: the history is damaged");
        return Err(ReadError::Line { path: path.to_owned(), line, why });
    }
    let imported = run.finish();
    Ok(RunHistory { header, imported, torn_bytes, is_unfinished, keys_without_lines })
}

/// A write whose context is looked up when all answers are known.
struct Pending {
    key: usize,
    place: usize,
    seq: u64,
    line: u64,
}

#[derive(Default)]
struct Run {
    names: Names,
    keys: Vec<Key>,
    places: BTreeMap<String, usize>,
    foreign: Vec<BTreeSet<Value>>,
    /// What the answer of each operation showed.
    shown: HashMap<u64, Vec<Value>>,
    pending: Vec<Pending>,
    /// All that have a line, refused ones too.
    written: HashSet<Value>,
    left_out: u64,
    /// Nobody else writes to its bucket.
    is_alone: bool,
}

/// Its bucket is named for it.
pub(crate) fn is_alone(header: &Header) -> bool {
    header.plan.workload.bucket == format!("lab-{}", header.run)
}

/// It names itself as somebody else's.
fn is_of_others(value_id: &str) -> bool {
    value_id.contains('/') || value_id.starts_with("unknown ")
}

impl Run {
    fn add(&mut self, line: u64, record: &Record) {
        let is_write = matches!(record.op, Op::Put | Op::Delete | Op::RmwPut);
        let is_nothing = record.status == Status::Fail || (!is_write && record.status != Status::Ok);
        if let (true, Some(id)) = (is_write, &record.value_id) {
            self.written.insert(self.names.value(id));
        }
        let (Some(sent), false) = (record.sent_ns, is_nothing) else {
            self.left_out += 1;
            return;
        };
        let place = self.place(&record.key);
        let did = if is_write { self.write(place, line, record) } else { self.read(place, record) };
        let time = |ns: u64| i64::try_from(ns).unwrap_or(TIME_MAX).min(TIME_MAX);
        let end = if record.status == Status::Info { NEVER } else { time(record.recv_ns) };
        if let Some(key) = self.keys.get_mut(place) {
            key.operations.push(Operation { process: record.session, source: line, start: time(sent), end, did });
        }
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.places.insert(name.to_owned(), self.keys.len());
        self.keys.push(Key { name: name.to_owned(), ..Key::default() });
        self.foreign.push(BTreeSet::new());
        self.keys.len() - 1
    }

    fn read(&mut self, place: usize, record: &Record) -> Did {
        let mut values = BTreeSet::new();
        for returned in &record.returned {
            let value = self.names.value(&returned.value_id);
            values.insert(value);
            let is_foreign = !self.is_alone && is_of_others(&returned.value_id);
            if let (true, Some(foreign)) = (is_foreign, self.foreign.get_mut(place)) {
                foreign.insert(value);
            }
        }
        self.shown.entry(record.seq).or_default().extend(&values);
        Did::Read(Seen::Many(values.into_iter().collect()))
    }

    fn write(&mut self, place: usize, line: u64, record: &Record) -> Did {
        let id = self.names.value(record.value_id.as_deref().unwrap_or_default());
        if record.status == Status::Ok {
            self.shown.entry(record.seq).or_default().push(id);
        }
        let operations = self.keys.get(place).map_or(0, |key| key.operations.len());
        let covers = match &record.ctx_in {
            Some(ContextIn { intent: Intent::OverwriteAll, .. }) => {
                let is_repeated = record.attempts > 1;
                self.keys.get_mut(place).into_iter().for_each(|key| key.repeated.extend(is_repeated.then_some(id)));
                Covers::Everything
            }
            Some(ContextIn { intent: Intent::WithContext, seq: Some(seq), .. }) => {
                self.pending.push(Pending { key: place, place: operations, seq: *seq, line });
                Covers::These(Box::default())
            }
            Some(ContextIn { intent: Intent::WithContext, seq: None, .. }) => {
                // Of an earlier run: it covers what nobody here knows.
                self.keys.get_mut(place).into_iter().for_each(|key| key.has_unknown_contexts = true);
                Covers::Everything
            }
            Some(ContextIn { intent: Intent::AddSibling, .. }) | None => Covers::These(Box::default()),
        };
        Did::Replace { id, is_delete: record.op == Op::Delete, covers }
    }

    /// Whatever was written without a line is as what others write. Gives the number of keys with such values.
    ///
    /// `deletes`: there may be deletes without a line, of any key, and a delete leaves no trace.
    fn take_unwritten_for_foreign(&mut self, deletes: bool) -> u64 {
        let mut keys = 0;
        let of_nobody = self.names.value("a delete of which no line tells");
        for (key, foreign) in self.keys.iter().zip(&mut self.foreign) {
            let brought = key.operations.iter().filter_map(|operation| match &operation.did {
                Did::Read(Seen::Many(values)) => Some(values),
                _ => None,
            });
            let unwritten = brought.flatten().filter(|value| !self.written.contains(value));
            // What differs from what was written is wrong, whoever wrote it.
            let is_wrong = |name: &str| name.starts_with("damaged ") || (self.is_alone && is_of_others(name));
            let unwritten = unwritten.filter(|value| !is_wrong(self.names.name(**value)));
            let known = foreign.len();
            foreign.extend(unwritten);
            keys += u64::from(foreign.len() > known);
            foreign.extend(deletes.then_some(of_nobody));
        }
        keys
    }

    /// Whose context is of an operation without a line covers what nobody knows, as one of an earlier run does. Gives the first of these.
    fn take_missing_for_unknown(&mut self, has_line: impl Fn(u64) -> bool) -> Option<Pending> {
        let is_missing = |pending: &mut Pending| !has_line(pending.seq);
        let missing: Vec<Pending> = self.pending.extract_if(.., is_missing).collect();
        for Pending { key, place, .. } in &missing {
            let Some(key) = self.keys.get_mut(*key) else { continue };
            key.has_unknown_contexts = true;
            if let Some(Did::Replace { covers, .. }) = key.operations.get_mut(*place).map(|write| &mut write.did) {
                *covers = Covers::Everything;
            }
        }
        missing.into_iter().next()
    }

    fn finish(mut self) -> Imported {
        for Pending { key, place, seq, .. } in &self.pending {
            let operation = self.keys.get_mut(*key).and_then(|key| key.operations.get_mut(*place));
            let Some(Did::Replace { id, covers, .. }) = operation.map(|operation| &mut operation.did) else { continue };
            let shown = self.shown.get(seq).into_iter().flatten().copied();
            let shown: BTreeSet<Value> = shown.filter(|value| value != id).collect();
            *covers = Covers::These(shown.into_iter().collect());
        }
        for (key, foreign) in self.keys.iter_mut().zip(self.foreign) {
            key.foreign = foreign.into_iter().collect();
            key.repeated.sort_unstable();
        }
        self.keys.sort_by(|one, other| one.name.cmp(&other.name));
        let account = Account { keys: self.keys, names: self.names };
        Imported { account, left_out: self.left_out, other_lines: 0 }
    }
}
