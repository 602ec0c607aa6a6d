//! A node's data directory: its lock, and the incarnation that was made with it.
//! Follows design.md, Identity: a directory is created with a random incarnation, synced before anything else is written.
//! Invariant: one process at a time; a directory with data and no incarnation is never adopted, nor one whose database is gone: the
//! same incarnation would give its dots a second time.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use driftkv_core::id::Incarnation;

use super::LOST;

const INCARNATION: &str = "incarnation";
/// There since the first commit was durable.
const WRITTEN: &str = "written";

/// Why the directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The file system refused.
    #[error("data directory {path}: {error}")]
    Io {
        /// Which path.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// Another node runs on it.
    #[error("data directory {0} is locked: another process is using it; stop that one or choose another directory")]
    Locked(PathBuf),
    /// The incarnation file is not one of ours.
    #[error(
        "{0} is damaged: it should hold 16 hexadecimal digits; put it back as it was, it never changes; without it: {LOST}"
    )]
    Damaged(PathBuf),
    /// There is a database but nothing that says whose.
    #[error(
        "data directory {0} holds a database but no incarnation; put that file back as it was, it never changes; without it: {LOST}"
    )]
    NoIncarnation(PathBuf),
}

/// An open, locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    incarnation: Incarnation,
    _lock: File,
}

impl DataDir {
    /// Opens `path`, making it with a fresh incarnation if it is empty or absent.
    pub fn open(path: &Path) -> Result<DataDir, DirError> {
        let io = |error| DirError::Io { path: path.to_owned(), error };
        fs::create_dir_all(path).map_err(io)?;
        let lock = File::create(path.join("LOCK")).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DirError::Locked(path.to_owned()),
            TryLockError::Error(error) => io(error),
        })?;
        let file = path.join(INCARNATION);
        let incarnation = match fs::read_to_string(&file) {
            Ok(text) => parse(&text).ok_or(DirError::Damaged(file))?,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(DirError::Damaged(file)),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            // What may not be looked at is not absent.
            Err(_) if path.join("db").try_exists().map_err(io)? => {
                return Err(DirError::NoIncarnation(path.to_owned()));
            }
            Err(_) => create(path).map_err(io)?,
        };
        Ok(DataDir { path: path.to_owned(), incarnation, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its database has ever held a commit. Errors: it cannot be looked at.
    pub fn is_written(&self) -> std::io::Result<bool> {
        self.path.join(WRITTEN).try_exists()
    }

    /// Whose it is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

/// The database in `path` holds a commit, durably.
pub(super) fn mark_written(path: &Path) -> std::io::Result<()> {
    File::create(path.join(WRITTEN))?.sync_all()?;
    File::open(path)?.sync_all()
}

fn parse(text: &str) -> Option<Incarnation> {
    let digits = text.trim_end();
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?.filter(|n| *n != 0).map(Incarnation)
}

/// Order: write, sync, rename, sync the directory; a crash leaves either nothing or the whole file.
fn create(path: &Path) -> std::io::Result<Incarnation> {
    let incarnation = Incarnation(rand::random::<u64>().max(1));
    let draft = path.join("incarnation.new");
    let mut file = File::create(&draft)?;
    writeln!(file, "{incarnation}")?;
    file.sync_all()?;
    fs::rename(&draft, path.join(INCARNATION))?;
    File::open(path)?.sync_all()?;
    Ok(incarnation)
}
