//! How much memory a decoder asks for, touched or not: the process's largest address space, as the kernel counts it.
//! A length that is believed shows there at once, since such a piece is mapped by itself. Small ones hide below what the
//! process has already used, so the bound is coarse; the inputs are a few kilobytes, and what they can ask for is gigabytes.

use std::fs;
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

#[test]
fn a_length_that_is_believed_is_noticed() {
    let believed =
        std::panic::catch_unwind(|| bounded(|| std::hint::black_box(Vec::<u8>::with_capacity(1 << 30)).capacity()));
    assert!(believed.is_err());
}
