//! The disk against the contract, against the memory store, and over restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use std::sync::mpsc;

use bytes::Bytes;
use driftkv_core::id::CommitNo;
use driftkv_core::store::{MemStore, Space, Store, contract};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::dir::{DataDir, DirError};
use super::disk::{self, DiskStore, Memory, Syncer, Written};
use super::journal;

mod damage;

const MEMORY: Memory = Memory { memtable_bytes: 8 << 20, cache_bytes: 8 << 20 };

fn open(path: &TempDir) -> (DataDir, DiskStore, Syncer) {
    let dir = DataDir::open(path.path()).unwrap();
    let (store, syncer) = disk::open(&dir, MEMORY).unwrap();
    (dir, store, syncer)
}

fn bytes(n: u64) -> Bytes {
    Bytes::from(n.to_be_bytes().to_vec())
}

#[test]
fn passes_the_contract() {
    let mut kept = Vec::new();
    contract::check(|| {
        let path = TempDir::new().unwrap();
        let (dir, store, syncer) = open(&path);
        kept.push((path, dir, syncer));
        store
    })
    .unwrap();
}

#[test]
fn what_was_synced_is_there_after_a_restart_and_the_rest_is_gone_whole() {
    let path = TempDir::new().unwrap();
    {
        let (_dir, mut store, mut syncer) = open(&path);
        for n in 1..=3u64 {
            store.put(Space::Data, bytes(n), bytes(n));
            store.put(Space::Hints, bytes(n), Bytes::new());
            assert_eq!(store.commit().unwrap(), CommitNo(n));
        }
        assert_eq!(syncer.sync().unwrap(), CommitNo(3));
        store.put(Space::Data, bytes(4), bytes(4));
        store.delete(Space::Data, bytes(1));
        store.commit().unwrap();
    }
    let (_dir, store, _syncer) = open(&path);
    assert_eq!(store.last_commit(), CommitNo(3));
    assert_eq!(store.scan(Space::Data, b"", None, 10).unwrap().len(), 3);
    assert_eq!(store.get(Space::Hints, &bytes(2)).unwrap(), Some(Bytes::new()));
    assert!(store.scan(Space::Meta, b"", None, 10).unwrap().is_empty(), "our own facts are hidden");
}

#[test]
fn reads_and_scans_agree_with_memory_while_another_thread_syncs() {
    let path = TempDir::new().unwrap();
    let (_dir, mut store, mut syncer) = open(&path);
    let (wake, woken) = mpsc::sync_channel::<()>(1);
    let thread = std::thread::spawn(move || {
        while woken.recv().is_ok() {
            syncer.sync().unwrap();
        }
    });
    let (mut model, mut rng) = (MemStore::default(), SmallRng::seed_from_u64(7));
    for step in 0..10_000u64 {
        let key = bytes(rng.random_range(0..64));
        match rng.random_range(0..6) {
            0 | 1 => {
                store.put(Space::Data, key.clone(), bytes(step));
                model.put(Space::Data, key, bytes(step));
            }
            2 => {
                store.delete(Space::Data, key.clone());
                model.delete(Space::Data, key);
            }
            3 => assert_eq!(store.get(Space::Data, &key).unwrap(), model.get(Space::Data, &key).unwrap()),
            4 => {
                let (to, limit) = (bytes(rng.random_range(0..64)), rng.random_range(0..20));
                let found = store.scan(Space::Data, &key, Some(&to), limit).unwrap();
                assert_eq!(found, model.scan(Space::Data, &key, Some(&to), limit).unwrap());
            }
            _ => {
                assert_eq!(store.commit().unwrap(), model.commit().unwrap());
                let _ = wake.try_send(());
            }
        }
    }
    drop(wake);
    thread.join().unwrap();
}

#[test]
fn a_sync_tells_how_many_records_and_bytes_it_made_durable() {
    let path = TempDir::new().unwrap();
    let (_dir, mut store, mut syncer) = open(&path);
    for value in [1, 2] {
        store.put(Space::Data, bytes(7), bytes(value));
        store.commit().unwrap();
    }
    store.delete(Space::Hints, bytes(7));
    store.commit().unwrap();
    syncer.sync().unwrap();
    let size = bytes(0).len() as u64;
    assert_eq!(syncer.last(), Written { records: 3, bytes: 5 * size }, "two pairs and a key");
    syncer.sync().unwrap();
    assert_eq!(syncer.last(), Written::default(), "there was nothing to do");
}

#[test]
fn a_directory_is_one_process_s_and_keeps_its_incarnation() {
    let path = TempDir::new().unwrap();
    let first = DataDir::open(path.path()).unwrap();
    assert!(matches!(DataDir::open(path.path()), Err(DirError::Locked(_))));
    let incarnation = first.incarnation();
    drop(first);
    assert_eq!(DataDir::open(path.path()).unwrap().incarnation(), incarnation);
}

#[test]
fn a_damaged_or_missing_incarnation_is_refused() {
    let path = TempDir::new().unwrap();
    drop(open(&path));
    std::fs::write(path.path().join("incarnation"), "nonsense").unwrap();
    assert!(matches!(DataDir::open(path.path()), Err(DirError::Damaged(_))));
    std::fs::remove_file(path.path().join("incarnation")).unwrap();
    let missing = DataDir::open(path.path()).unwrap_err();
    assert!(matches!(missing, DirError::NoIncarnation(_)));
    assert!(
        missing.to_string().contains("lost to its cluster"),
        "nobody is told to begin with an empty one: {missing}"
    );
}

#[test]
fn a_directory_of_a_version_that_left_no_mark_has_one_as_soon_as_it_is_opened() {
    let path = TempDir::new().unwrap();
    {
        let (_dir, mut store, mut syncer) = open(&path);
        store.put(Space::Data, bytes(1), bytes(1));
        store.commit().unwrap();
        syncer.sync().unwrap();
    }
    std::fs::remove_file(path.path().join("written")).unwrap();
    drop(open(&path));
    std::fs::remove_dir_all(path.path().join("db")).unwrap();
    let dir = DataDir::open(path.path()).unwrap();
    assert!(disk::open(&dir, MEMORY).map(drop).unwrap_err().to_string().contains("gone or empty"));
}

/// Root may look everywhere: a name that is too long, through a link, fails for everybody.
#[test]
fn what_cannot_be_looked_at_is_not_taken_for_absent() {
    let unseen = "x".repeat(300);
    let path = TempDir::new().unwrap();
    drop(open(&path));
    std::os::unix::fs::symlink(&unseen, path.path().join("written")).unwrap();
    let dir = DataDir::open(path.path()).unwrap();
    let refused = disk::open(&dir, MEMORY).map(drop).unwrap_err().to_string();
    assert!(refused.contains("cannot be looked at") && !refused.contains("lost to its cluster"), "{refused}");
    drop(dir);
    let path = TempDir::new().unwrap();
    std::os::unix::fs::symlink(&unseen, path.path().join("db")).unwrap();
    assert!(matches!(DataDir::open(path.path()), Err(DirError::Io { .. })));
    assert!(!path.path().join("incarnation").exists(), "no fresh incarnation over data");
}

/// Dots that it has given once would be given again.
#[test]
fn a_node_whose_database_is_gone_does_not_begin_anew_under_its_old_incarnation() {
    for gone in ["db", "db/keyspaces"] {
        let path = TempDir::new().unwrap();
        {
            let (_dir, mut store, mut syncer) = open(&path);
            assert!(!path.path().join("written").exists(), "until something is durable it may begin anew");
            store.put(Space::Data, bytes(1), bytes(1));
            store.commit().unwrap();
            syncer.sync().unwrap();
        }
        drop(open(&path));
        std::fs::remove_dir_all(path.path().join(gone)).unwrap();
        for _ in 0..2 {
            let dir = DataDir::open(path.path()).unwrap();
            let refused = disk::open(&dir, MEMORY).map(drop).unwrap_err().to_string();
            assert!(refused.contains("gone or empty") && refused.contains("lost to its cluster"), "{gone}: {refused}");
            assert!(!path.path().join(gone).exists(), "nothing was made in its place");
        }
    }
}

/// Whoever ends the process while a slow disk holds a sync back leaves its bytes in the journal, not yet durable.
#[test]
fn a_sync_that_is_held_back_has_written_its_bytes() {
    let path = TempDir::new().unwrap();
    let (_dir, mut store, mut syncer) = open(&path);
    store.put(Space::Data, bytes(1), bytes(1));
    let commit = store.commit().unwrap();
    let mut written = CommitNo(0);
    let durable = syncer.sync_held(|| {
        let journals = journal::journals(&path.path().join("db")).unwrap();
        let content = std::fs::read(journals.last().unwrap()).unwrap();
        let mut from = content.as_slice();
        while let Ok(Some((batch, _))) = journal::read_batch(&mut from) {
            written = CommitNo(batch.commits.last);
        }
    });
    assert_eq!((durable.unwrap(), written), (commit, commit));
}
