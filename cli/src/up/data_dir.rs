//! The data directory of `up`: made if absent, and used by one `up` at a time.
//! Invariant: the lock is held as long as the value lives, and goes with the process however that ends.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::Failure;

const LOCK: &str = "up.lock";

/// An open, locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens `path`, making it if it is absent.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(|error| Failure::io(path, &error))?;
        let path = fs::canonicalize(path).map_err(|error| Failure::io(path, &error))?;
        let file = path.join(LOCK);
        let is_strange = !file.exists() && fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if is_strange {
            let message = format!("{}: this directory holds other things than a cluster", path.display());
            return Err(
                Failure::usage(message).hint("Give --data a directory that is empty or absent. Nothing was started.")
            );
        }
        let lock = File::create(&file).map_err(|error| Failure::io(&file, &error))?;
        match lock.try_lock() {
            Ok(()) => {
                // Data never belongs into a repository that happens to lie around it.
                let ignore = path.join(".gitignore");
                fs::write(&ignore, "*\n").map_err(|error| Failure::io(&ignore, &error))?;
                Ok(Self { path, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                let message = format!("{}: another `driftkv up` runs on this data directory", path.display());
                Err(Failure::usage(message).hint("Stop that one, or give this one its own --data DIR and --base-port."))
            }
            Err(TryLockError::Error(error)) => Err(Failure::io(&file, &error)),
        }
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::DataDir;

    #[test]
    fn a_data_directory_serves_one_up_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("made/if/absent");
        let first = DataDir::open(&path).unwrap();
        let failure = DataDir::open(&path).unwrap_err();
        assert!(failure.message.contains("another `driftkv up`"), "{}", failure.message);
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::write(parent.path().join("thesis.txt"), "mine").unwrap();
        let failure = DataDir::open(parent.path()).unwrap_err();
        assert!(failure.message.contains("other things"), "{}", failure.message);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
