//! What a process has used so far, as the system counts it (`/proc`, see proc(5)).
//! Processor time comes in hundredths of a second: measure over seconds.

use std::fs;
use std::iter::Sum;
use std::ops::Sub;

/// The unit of processor time in `/proc/PID/stat`; USER_HZ is 100 on every Linux of today.
const TICK_US: u64 = 10_000;

/// Of one process, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all its threads, user and system.
    pub cpu_us: u64,
    /// Bytes it caused to be written to the disk.
    pub written_bytes: u64,
    /// Memory it has now.
    pub resident_bytes: u64,
}

impl Usage {
    /// Of the process `pid`. Panics if there is none: whoever measures has started it.
    pub fn of(pid: u32) -> Usage {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a process that runs");
        let (stat, io, status) = (read("stat"), read("io"), read("status"));
        // The second field is the program's name, in parentheses, and may hold anything.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).expect("proc(5)");
        Usage {
            cpu_us: (ticks(11) + ticks(12)) * TICK_US,
            written_bytes: field(&io, "write_bytes:"),
            resident_bytes: field(&status, "VmRSS:") * 1024,
        }
    }

    /// Of all of them together.
    pub fn of_all(pids: &[u32]) -> Usage {
        pids.iter().map(|pid| Usage::of(*pid)).sum()
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("proc(5)");
    line.trim().trim_end_matches(" kB").parse().expect("proc(5)")
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(all: I) -> Usage {
        all.fold(Usage::default(), |a, b| Usage {
            cpu_us: a.cpu_us + b.cpu_us,
            written_bytes: a.written_bytes + b.written_bytes,
            resident_bytes: a.resident_bytes + b.resident_bytes,
        })
    }
}

impl Sub for Usage {
    type Output = Usage;

    /// What was used between `before` and this; memory is not used up, it stays what it is now.
    fn sub(self, before: Usage) -> Usage {
        Usage {
            cpu_us: self.cpu_us.saturating_sub(before.cpu_us),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            resident_bytes: self.resident_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn work_shows_in_the_processor_time() {
        let before = Usage::of(std::process::id());
        let mut x = 1_u64;
        while (Usage::of(std::process::id()) - before).cpu_us < 30_000 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(Usage::of(std::process::id()).resident_bytes > 1 << 20);
    }
}
