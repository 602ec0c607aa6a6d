//! The newest generation of each KVCluster that this process has read: an older one is not acted upon.
//! An API server answers plain reads with what is true now; one behind a cache that lags, or restored from a copy, does not, and a
//! pass over an older spec would take a newer one back.
//! Bound: an entry a KVCluster, forgotten when it is seen to be gone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::error::Error;

/// Generations by UID.
#[derive(Debug, Default)]
pub struct Newest {
    generations: Mutex<BTreeMap<String, i64>>,
}

impl Newest {
    /// Takes note of what was read. Errors: a newer one was read before.
    pub fn check(&self, uid: &str, generation: i64) -> Result<(), Error> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = generations.entry(uid.to_owned()).or_insert(generation);
        if generation < *newest {
            return Err(Error::Stale { read: generation, newest: *newest });
        }
        *newest = generation;
        Ok(())
    }

    /// It is gone.
    pub fn forget(&self, uid: &str) {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::Newest;

    #[test]
    fn an_older_generation_is_refused_and_the_same_or_a_newer_one_is_not() {
        let newest = Newest::default();
        let read = |generations: [i64; 4]| generations.map(|generation| newest.check("a", generation).is_ok());
        assert_eq!(read([3, 3, 4, 3]), [true, true, true, false]);
        assert!(newest.check("a", 4).is_ok(), "a refusal changes nothing");
        assert!(newest.check("b", 1).is_ok(), "another KVCluster");
        newest.forget("a");
        assert!(newest.check("a", 1).is_ok(), "one that was gone");
    }
}
