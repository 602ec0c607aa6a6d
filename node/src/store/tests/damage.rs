//! Store files cut short and with bytes flipped: what a damaged disk may answer.
//! Invariant: an opened store answers a key with a value that was written for it, with an error or with nothing; no panic.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::*;

const COMMITS: u64 = 1_200;
const KEYS: u64 = 400;

/// The value of commit `n`: long enough for the files to hold mostly values, and different in every commit.
fn value(n: u64) -> Bytes {
    Bytes::from(bytes(n).repeat(128))
}

/// A directory with journals and, for the small memtables, tables too.
fn written(path: &TempDir) {
    let dir = DataDir::open(path.path()).unwrap();
    let (mut store, mut syncer) = disk::open(&dir, 128 << 10).unwrap();
    for n in 1..=COMMITS {
        store.put(Space::Data, bytes(n % KEYS), value(n));
        store.commit().unwrap();
        if n % 8 == 0 {
            syncer.sync().unwrap();
        }
    }
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

/// Cuts the file, or flips one to eight of its bytes. Says what it did.
fn damage(file: &Path, rng: &mut SmallRng) -> String {
    let mut content = fs::read(file).unwrap();
    let said = if rng.random_range(0..2) == 0 {
        let len = rng.random_range(0..content.len());
        content.truncate(len);
        format!("{} cut to {len} bytes", file.display())
    } else {
        let flips = rng.random_range(1..=8);
        for _ in 0..flips {
            let at = rng.random_range(0..content.len());
            content[at] ^= rng.random_range(1..=255u8);
        }
        format!("{} with {flips} bytes flipped", file.display())
    };
    fs::write(file, content).unwrap();
    said
}

/// What the damaged store served: whether it opened, and the keys it answered with a value.
fn serve(path: &Path) -> Result<usize, String> {
    let dir = DataDir::open(path).map_err(|e| e.to_string())?;
    let (store, _syncer) = disk::open(&dir, 128 << 10).map_err(|e| e.to_string())?;
    let mut served = 0;
    for key in 0..KEYS {
        let Ok(Some(found)) = store.get(Space::Data, &bytes(key)) else { continue };
        let written = (1..=COMMITS).filter(|n| n % KEYS == key).any(|n| value(n) == found);
        assert!(written, "key {key} answered with {} bytes never written for it", found.len());
        served += 1;
    }
    Ok(served)
}

#[test]
fn a_damaged_store_never_serves_what_was_not_written() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (trials, seed) = (number("DAMAGE_TRIALS", 50), number("SEED", 1));
    let whole = TempDir::new().unwrap();
    written(&whole);
    assert_eq!(serve(whole.path()), Ok(KEYS as usize), "undamaged");
    let (mut refused, mut opened, mut failures) = (0, 0, Vec::new());
    for trial in 0..trials {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(trial));
        let copied = TempDir::new().unwrap();
        copy(whole.path(), copied.path());
        let mut all = Vec::new();
        files(&copied.path().join("db"), &mut all);
        let said = damage(&all[rng.random_range(0..all.len())], &mut rng);
        match catch_unwind(AssertUnwindSafe(|| serve(copied.path()))) {
            Ok(Ok(_)) => opened += 1,
            Ok(Err(_)) => refused += 1,
            Err(_) => failures.push(format!("trial {trial}: {said}")),
        }
    }
    println!("seed {seed}: {trials} trials, {refused} refused, {opened} opened");
    assert!(failures.is_empty(), "seed {seed}: wrong data or a panic in {}:\n{}", failures.len(), failures.join("\n"));
    assert!(opened > 0 && refused > 0, "the damage must reach both ends: {refused} refused, {opened} opened");
}
