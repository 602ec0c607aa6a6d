//! How often this disk makes an appended block durable: the bound of any store that syncs before it answers.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const BLOCK_BYTES: usize = 4_096;

/// Appends 4 KiB and calls fdatasync, over and over for `time`, in a file of its own in `dir`. Gives syncs a second.
pub fn syncs_per_second(dir: &Path, time: Duration) -> std::io::Result<f64> {
    let mut file = File::create(dir.join("syncs"))?;
    let block = [7_u8; BLOCK_BYTES];
    let (start, mut syncs) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        file.write_all(&block)?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Duration, syncs_per_second};

    #[test]
    fn a_disk_syncs_at_all() {
        let dir = tempfile::TempDir::new().unwrap();
        assert!(syncs_per_second(dir.path(), Duration::from_millis(50)).unwrap() > 0.0);
    }
}
