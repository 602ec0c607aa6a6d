//! Store files cut short, with bytes flipped and with pages lost: what a damaged disk may answer.
//! Invariant: a store that opens holds exactly what the commits up to its own last number wrote, or answers with an error; it
//! holds fewer than were written only if the newest journal was damaged, which peers notice. No panic leaves it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::*;

const COMMITS: u64 = 1_600;
const KEYS: u64 = 400;
const SMALL: Memory = Memory { memtable_bytes: 1 << 20, cache_bytes: 1 << 20 };
const PAGE: u64 = 4_096;

/// What commit `n` does to which key: its own value, or at times a deletion.
fn write_of(n: u64) -> (u64, Option<Bytes>) {
    let mut rng = SmallRng::seed_from_u64(n);
    let key = rng.random_range(0..KEYS);
    (key, (!n.is_multiple_of(11)).then(|| Bytes::from(bytes(n).repeat(rng.random_range(1..250)))))
}

/// What is held after commit `last`.
fn model(last: u64) -> BTreeMap<u64, Bytes> {
    let mut held = BTreeMap::new();
    for n in 1..=last {
        match write_of(n) {
            (key, Some(value)) => drop(held.insert(key, value)),
            (key, None) => drop(held.remove(&key)),
        }
    }
    held
}

fn commit(store: &mut DiskStore, n: u64) {
    match write_of(n) {
        (key, Some(value)) => store.put(Space::Data, bytes(key), value),
        (key, None) => store.delete(Space::Data, bytes(key)),
    }
    assert_eq!(store.commit().unwrap(), CommitNo(n));
}

/// A directory with an old journal, a new one and, for the small memtables, tables of the older half.
fn written(path: &Path) {
    let dir = DataDir::open(path).unwrap();
    let (mut store, mut syncer) = disk::open(&dir, SMALL).unwrap();
    for n in 1..=COMMITS {
        commit(&mut store, n);
        if n.is_multiple_of(8) {
            syncer.sync().unwrap();
        }
    }
    drop((store, syncer));
    split_journal(&path.join("db"));
}

/// fjall begins a new journal after 64 MB; here the end of a small one becomes the next; both hold what no table holds yet.
fn split_journal(db: &Path) {
    let journals = journal::journals(db).unwrap();
    let [only] = journals.as_slice() else { panic!("{journals:?}") };
    let content = fs::read(only).unwrap();
    let mut from = content.as_slice();
    let mut at = 0;
    while let Ok(Some((_, bytes))) = journal::read_batch(&mut from)
        && at < used(&content) / 8 * 7
    {
        at += bytes;
    }
    let number: u64 = only.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    fs::write(only.with_file_name(format!("{}.jnl", number + 1)), &content[at as usize..used(&content) as usize])
        .unwrap();
    fs::write(only, &content[..at as usize]).unwrap();
}

/// Up to the last byte that is not zero.
fn used(content: &[u8]) -> u64 {
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, into);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            into.push(path);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Cuts the file, flips one to eight of its bytes or loses a page. Says what it did.
fn damage(file: &Path, rng: &mut SmallRng) -> String {
    let content = fs::read(file).unwrap();
    let used = used(&content).max(1);
    let mut open = OpenOptions::new().write(true).open(file).unwrap();
    let mut write_at = |at: u64, with: &[u8]| {
        open.seek(SeekFrom::Start(at)).unwrap();
        open.write_all(with).unwrap();
    };
    match rng.random_range(0..5) {
        0 | 1 => {
            let len = rng.random_range(0..used);
            open.set_len(len).unwrap();
            format!("{} cut to {len} of {used} bytes", file.display())
        }
        2 => {
            let page = rng.random_range(0..used.div_ceil(PAGE)) * PAGE;
            write_at(page, &vec![0; PAGE.min(used - page) as usize]);
            format!("{} with the page at {page} of {used} lost", file.display())
        }
        _ => {
            let flips: Vec<u64> = (0..rng.random_range(1..=8)).map(|_| rng.random_range(0..used)).collect();
            flips.iter().for_each(|at| write_at(*at, &[content[*at as usize] ^ rng.random_range(1..=255u8)]));
            format!("{} with bytes {flips:?} of {used} flipped", file.display())
        }
    }
}

/// What the damaged store answers: the number of its last commit, if it opens and every read succeeds.
fn serve(path: &Path) -> Result<u64, String> {
    let dir = DataDir::open(path).map_err(|e| e.to_string())?;
    let (mut store, mut syncer) = disk::open(&dir, SMALL).map_err(|e| e.to_string())?;
    let last = store.last_commit().0;
    let held = model(last);
    for key in 0..KEYS {
        let found = store.get(Space::Data, &bytes(key)).map_err(|e| e.to_string())?;
        assert!(found == held.get(&key).cloned(), "at commit {last}, key {key} has {:?} bytes", found.map(|v| v.len()));
    }
    let scanned = store.scan(Space::Data, b"", None, usize::MAX).map_err(|e| e.to_string())?;
    let expected = held.into_iter().map(|(key, value)| (bytes(key), value));
    assert!(scanned.into_iter().eq(expected), "at commit {last} a scan differs from the reads");
    commit(&mut store, last + 1);
    syncer.sync().map_err(|e| e.to_string())?;
    Ok(last)
}

/// Serves it, and if that goes well, what one more commit and a restart make of it.
fn serve_twice(path: &Path) -> Result<u64, String> {
    let last = serve(path)?;
    assert_eq!(serve(path), Ok(last + 1), "after one more commit and a restart");
    Ok(last)
}

fn setting(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map_or(or, |text| text.parse().unwrap())
}

#[test]
fn a_damaged_store_serves_what_its_last_commit_says_or_nothing() {
    let (trials, seed) = (setting("DAMAGE_TRIALS", 50), setting("SEED", 1));
    let whole = TempDir::new().unwrap();
    written(whole.path());
    let (mut refused, mut shorter, mut complete, mut failures) = (0, 0, 0, Vec::new());
    for trial in 0..trials {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(trial));
        let copied = TempDir::new().unwrap();
        copy(whole.path(), copied.path());
        let mut all = Vec::new();
        files(&copied.path().join("db"), &mut all);
        let journals = journal::journals(&copied.path().join("db")).unwrap();
        // Half of all damage meets the journals: they hold most of what can go wrong.
        let pool = if rng.random_range(0..2) == 0 { &journals } else { &all };
        let file = &pool[rng.random_range(0..pool.len())];
        let said = damage(file, &mut rng);
        match catch_unwind(AssertUnwindSafe(|| serve_twice(copied.path()))) {
            Ok(Ok(COMMITS)) => complete += 1,
            Ok(Ok(_)) if Some(file) == journals.last() => shorter += 1,
            Ok(Ok(last)) => failures.push(format!("trial {trial}: only {last} commits, unnoticed; {said}")),
            Ok(Err(_)) => refused += 1,
            Err(_) => failures.push(format!("trial {trial}: wrong data or a panic; {said}")),
        }
    }
    println!("seed {seed}: {trials} trials, {refused} refused, {complete} complete, {shorter} a shorter prefix");
    assert!(failures.is_empty(), "seed {seed}, {} of {trials} trials:\n{}", failures.len(), failures.join("\n"));
    assert!(complete > 0 && refused > 0 && shorter > 0, "the damage must reach all ends");
}

/// A written directory, and the path of its old and its new journal.
fn two_journals() -> (TempDir, PathBuf, PathBuf) {
    let path = TempDir::new().unwrap();
    written(path.path());
    let journals = journal::journals(&path.path().join("db")).unwrap();
    let [old, new] = journals.as_slice() else { panic!("{journals:?}") };
    (path, old.clone(), new.clone())
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    File::open(file).unwrap().read_to_end(&mut content).unwrap();
    change(&mut content);
    fs::write(file, content).unwrap();
}

#[test]
fn a_hole_between_journals_is_refused_by_file_and_place() {
    let (path, old, _) = two_journals();
    change(&old, |content| content.truncate(content.len() - 1));
    let why = serve(path.path()).unwrap_err();
    assert!(why.contains(&old.display().to_string()) && why.contains("lost to its cluster"), "{why}");
}

#[test]
fn an_old_journal_that_ends_early_at_a_whole_batch_is_refused() {
    let (path, old, new) = two_journals();
    let mut from = fs::read(&old).unwrap();
    let (_, first) = journal::read_batch(&mut from.as_slice()).unwrap().unwrap();
    from.truncate(first as usize);
    fs::write(&old, from).unwrap();
    let why = serve(path.path()).unwrap_err();
    assert!(why.contains(&new.display().to_string()) && why.contains("commits are missing"), "{why}");
}

#[test]
fn a_changed_number_of_a_batch_is_refused_though_no_checksum_of_the_engine_covers_it() {
    let (path, _, new) = two_journals();
    change(&new, |content| content[9] ^= 1);
    let why = serve(path.path()).unwrap_err();
    assert!(why.contains("number does not follow"), "{why}");
}

#[test]
fn a_batch_that_lost_a_page_in_a_crash_is_cut_off_and_the_store_opens() {
    let (path, _, new) = two_journals();
    change(&new, |content| {
        // The last batch holds eight commits; its end stays as it is.
        let at = content.len() - 60;
        content[at..at + 20].fill(0);
    });
    assert_eq!(serve_twice(path.path()), Ok(COMMITS - 8));
}

#[test]
fn tables_that_are_ahead_of_the_journal_are_refused() {
    let (path, old, new) = two_journals();
    fs::remove_file(new).unwrap();
    change(&old, |content| {
        let (_, first) = journal::read_batch(&mut content.as_slice()).unwrap().unwrap();
        content.truncate(first as usize);
    });
    let why = serve(path.path()).unwrap_err();
    assert!(why.contains("but tables hold commit"), "{why}");
}
