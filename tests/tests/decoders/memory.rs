//! How much memory a decoder asks for, touched or not: the process's largest address space, as the kernel counts it.
//! A length that is believed shows there at once, since such a piece is mapped by itself. Small ones hide below what the
//! process has already used, so the bound is coarse; the inputs are a few kilobytes, and what they can ask for is gigabytes.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What the threads of the test itself may add.
const GROWTH_MAX_KB: u64 = 192 << 10;
static ALONE: Mutex<()> = Mutex::new(());

fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says what a process uses");
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).expect("its peak");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Does `decode` with nothing else of this suite beside it. Panics if it asks for much memory.
pub fn bounded<T>(decode: impl FnOnce() -> T) -> T {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = peak_kb();
    let decoded = decode();
    let grown = peak_kb() - before;
    assert!(grown < GROWTH_MAX_KB, "a few kilobytes asked for {} MiB", grown >> 10);
    decoded
}

/// Set in the process that uses too much on purpose. A peak never falls again: here it would hide as much from every later look.
const WASTEFUL: &str = "DECODERS_TEST_WASTES";

#[test]
fn memory_that_is_believed_or_used_is_noticed() {
    if std::env::var_os(WASTEFUL).is_some() {
        let believed = || bounded(|| std::hint::black_box(Vec::<u8>::with_capacity(400 << 20)).capacity());
        assert!(std::panic::catch_unwind(believed).is_err(), "400 MiB asked for and not touched");
        let used = || bounded(|| std::hint::black_box(vec![1_u8; 900 << 20]).len());
        assert!(std::panic::catch_unwind(used).is_err(), "900 MiB touched");
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let name = "memory::memory_that_is_believed_or_used_is_noticed";
    let mut wasteful = Command::new(program);
    wasteful.args([name, "--exact", "--nocapture"]).env(WASTEFUL, "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = bounded(|| wasteful.output().expect("it runs"));
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ended.stderr));
}
