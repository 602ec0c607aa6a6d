//! Whether what a replica holds of a key accounts for what a run wrote until some moment: by the same rule as lost writes (`judge`), but of one
//! replica, and while clients go on. Lenient where nobody can know, as that is; deletes leave no trace, so runs with deletes cannot be asked.

use std::path::Path;

use super::judge;
use super::writes::{self, Written};
use crate::history::ReadError;

/// What a run wrote, and until when it counts.
pub struct Coverage {
    written: Written,
    until_ns: u128,
}

impl Coverage {
    /// Of the run in `directory`, until so many nanoseconds after it began. Errors: its history cannot be read.
    pub fn of(directory: &Path, until_ns: u64) -> Result<Self, ReadError> {
        let (written, start_ns) = writes::of_run(directory)?;
        Ok(Self { written, until_ns: start_ns + u128::from(until_ns) })
    }

    /// Whether the values that are `there` account for every write of `key` that was acknowledged until then.
    pub fn has(&self, key: &str, there: &[String]) -> bool {
        let writes = self.written.keys.get(key).map(Vec::as_slice).unwrap_or_default();
        judge::covers(writes, there, self.until_ns)
    }
}
