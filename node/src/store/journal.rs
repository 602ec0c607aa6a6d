//! Reads fjall's journals before fjall does, because fjall believes them too readily: what it cannot read it silently takes
//! for the end of a journal, even in the middle of one or with younger journals behind it, and it checks no batch's number.
//! Follows the format of fjall 3 (`journal/entry.rs`): `Start(items, seqno) | items | End(checksum, magic)`, little endian.
//! Invariant: after `check` the journals are whole batches, and their commits follow one another without a hole; only the
//! last batch of the newest journal may have been cut off, which is a commit that was never synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use driftkv_core::store::StoreError;
use twox_hash::XxHash3_64;

use super::LOST;
use super::disk::{CommitRange, LAST_COMMIT};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const MAGIC: &[u8] = b"FJL\x03";
/// Tag, number of items, sequence number.
const START_BYTES: usize = 13;
/// Tag, type, compression, keyspace, lengths of key, value and stored value.
const ITEM_BYTES: usize = 21;
/// Tag, checksum, magic.
const END_BYTES: usize = 13;
/// Batches take their number from a counter that flushes and compactions also use, but never so often.
const SEQNO_GAP_MAX: u64 = 1 << 20;
/// Larger than any value and key that is stored.
const ITEM_BYTES_MAX: usize = 1 << 30;

/// What one whole batch says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the engine orders it by.
    pub seqno: u64,
    /// What it makes durable.
    pub commits: CommitRange,
}

/// Where reading a journal ended.
#[derive(Debug, PartialEq, Eq)]
enum Tail {
    /// At its end, or before the zeros that fjall reserves.
    Clean,
    /// At bytes from here on that are no whole batch.
    Broken { from: u64 },
}

/// Checks all journals in `db`, oldest first, and cuts off what a crash left of a batch that was never synced.
/// Errors: damage that a crash does not leave, by file and place; nothing was changed.
pub(super) fn check(db: &Path) -> Result<(), StoreError> {
    let journals = journals(db).map_err(|error| io_failed(db, &error))?;
    let mut last: Option<Batch> = None;
    let newest = journals.last().cloned();
    for path in journals {
        let before = last;
        match read(&path, &mut last).map_err(|error| io_failed(&path, &error))? {
            Ok(Tail::Clean) if last == before && Some(&path) != newest.as_ref() => {
                return Err(damaged(&path, 0, "an old journal without a single batch"));
            }
            Ok(Tail::Clean) => {}
            Ok(Tail::Broken { from }) if Some(&path) == newest.as_ref() => mend(&path, from)?,
            Ok(Tail::Broken { from }) => return Err(damaged(&path, from, "not a batch")),
            Err((from, what)) => return Err(damaged(&path, from, what)),
        }
    }
    Ok(())
}

fn io_failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError(format!("reading {}: {error}", path.display()))
}

fn damaged(path: &Path, at: u64, what: &str) -> StoreError {
    StoreError(format!(
        "{} is damaged at byte {at} ({what}); nothing was changed. Check the disk. {LOST}",
        path.display()
    ))
}

/// The journals in `db`, oldest first. Errors: the directory cannot be read; none if there is no directory yet.
pub fn journals(db: &Path) -> io::Result<Vec<PathBuf>> {
    if !db.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(db)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|end| end == "jnl")) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Reads one journal; `last` becomes its last whole batch. The inner error: a whole batch that does not follow the one before.
fn read(path: &Path, last: &mut Option<Batch>) -> io::Result<Result<Tail, (u64, &'static str)>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut at = 0;
    while let Some((batch, bytes)) = read_batch(&mut file)? {
        if let Some(before) = last.as_ref()
            && let Err(what) = follows(before, &batch)
        {
            return Ok(Err((at, what)));
        }
        *last = Some(batch);
        at += bytes;
    }
    file.seek(SeekFrom::Start(at))?;
    Ok(Ok(if is_zero(&mut file)? { Tail::Clean } else { Tail::Broken { from: at } }))
}

fn follows(before: &Batch, batch: &Batch) -> Result<(), &'static str> {
    if batch.commits.first != before.commits.last.wrapping_add(1) || batch.commits.last < batch.commits.first {
        return Err("commits are missing before it");
    }
    if batch.seqno <= before.seqno || batch.seqno - before.seqno > SEQNO_GAP_MAX {
        return Err("the batch's number does not follow");
    }
    Ok(())
}

/// The next batch and its size; `None`: what comes is not a whole one. Errors: `from` cannot be read.
pub fn read_batch(from: &mut impl Read) -> io::Result<Option<(Batch, u64)>> {
    let Some(start) = take::<START_BYTES>(from)?.filter(|start| tag(start) == START) else { return Ok(None) };
    let (items, seqno) = (u32_at(&start, 1), u64_at(&start, 5));
    let (mut body, mut commits) = (Vec::new(), None);
    for _ in 0..items {
        let Some(head) = take::<ITEM_BYTES>(from)?.filter(|head| tag(head) == ITEM) else { return Ok(None) };
        let (key_bytes, value_bytes) = (u16_at(&head, 11), u32_at(&head, 17) as usize);
        let from_here = body.len() + ITEM_BYTES;
        body.extend_from_slice(&head);
        let wanted = usize::from(key_bytes) + value_bytes;
        // Not reserved beforehand: a damaged length must find the bytes it promises.
        if wanted > ITEM_BYTES_MAX || from.take(wanted as u64).read_to_end(&mut body)? < wanted {
            return Ok(None);
        }
        let (key, value) = body.split_at(from_here).1.split_at(usize::from(key_bytes));
        if key == LAST_COMMIT {
            commits = CommitRange::decode(value);
        }
    }
    let Some(end) = take::<END_BYTES>(from)?.filter(|end| tag(end) == END && end.ends_with(MAGIC)) else {
        return Ok(None);
    };
    let is_whole = u64_at(&end, 1) == XxHash3_64::oneshot(&body);
    let bytes = (START_BYTES + body.len() + END_BYTES) as u64;
    Ok(commits.filter(|_| is_whole).map(|commits| (Batch { seqno, commits }, bytes)))
}

/// The newest journal ends in something that is no batch. A crash leaves that of the one batch that was being written; if
/// another whole batch comes behind it, that one was synced and this is damage.
fn mend(path: &Path, from: u64) -> Result<(), StoreError> {
    let failed = |error: &io::Error| io_failed(path, error);
    let mut file = File::open(path).map_err(|error| failed(&error))?;
    file.seek(SeekFrom::Start(from)).map_err(|error| failed(&error))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).map_err(|error| failed(&error))?;
    if let Some(offset) = later_batch(&rest) {
        return Err(damaged(path, from, &format!("a whole batch follows at byte {}", from + offset as u64)));
    }
    let file = OpenOptions::new().write(true).open(path).map_err(|error| failed(&error))?;
    file.set_len(from).and_then(|()| file.sync_all()).map_err(|error| failed(&error))?;
    tracing::info!(journal = %path.display(), bytes = from, "cut off what a crash left of a commit that was never synced");
    Ok(())
}

fn later_batch(rest: &[u8]) -> Option<usize> {
    let starts = rest.windows(START_BYTES + 1).enumerate().skip(1);
    let mut likely = starts.filter(|(_, bytes)| bytes.first() == Some(&START) && bytes.last() == Some(&ITEM));
    likely.find_map(|(at, _)| {
        let mut from = rest.get(at..)?;
        matches!(read_batch(&mut from), Ok(Some(_))).then_some(at)
    })
}

/// Whether only zeros follow.
fn is_zero(from: &mut impl Read) -> io::Result<bool> {
    let mut chunk = vec![0; 1 << 16];
    loop {
        let bytes = from.read(&mut chunk)?;
        if bytes == 0 {
            return Ok(true);
        }
        if chunk.iter().take(bytes).any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
}

/// The next `N` bytes; `None` if there are fewer.
fn take<const N: usize>(from: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn tag(bytes: &[u8]) -> u8 {
    bytes.first().copied().unwrap_or_default()
}

/// The little-endian number in the bytes from `at` on; the callers' arrays are long enough.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(number(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(number(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number(bytes, at))
}
