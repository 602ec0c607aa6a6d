//! Parts the machine's processors, so that a load does not take from the nodes what it wants to measure of them.
//! A thread's processors are those of the threads and processes it starts from then on; sched_setaffinity(2).

use std::io;

/// Half of the processors this process may use, each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The first, and the odd one if there is one: for the nodes.
    First,
    /// The others: for the load.
    Second,
}

/// From now on the calling thread, and all that it starts, runs on this half. Errors: there is only one processor, or the system
/// has no such call.
#[cfg(target_os = "linux")]
pub fn keep_to(half: Half, all: &Processors) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut chosen = CpuSet::new();
    let (first, second) = all.0.split_at(all.0.len().div_ceil(2));
    if second.is_empty() {
        return Err(io::Error::other("there is one processor only"));
    }
    for processor in if half == Half::First { first } else { second } {
        chosen.set(*processor);
    }
    Ok(sched_setaffinity(None, &chosen)?)
}

/// Nothing is parted here.
#[cfg(not(target_os = "linux"))]
pub fn keep_to(_: Half, _: &Processors) -> io::Result<()> {
    Err(io::Error::other("processors can be parted on Linux only"))
}

/// Those that this process may use, by number.
#[derive(Clone, Debug)]
pub struct Processors(#[allow(dead_code, reason = "not read where nothing is parted")] Vec<usize>);

impl Processors {
    /// Those of the calling thread. Errors: the system does not say.
    #[cfg(target_os = "linux")]
    pub fn of_this_thread() -> io::Result<Processors> {
        let set = rustix::thread::sched_getaffinity(None)?;
        Ok(Processors((0..rustix::thread::CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect()))
    }

    /// Not known here.
    #[cfg(not(target_os = "linux"))]
    pub fn of_this_thread() -> io::Result<Processors> {
        Ok(Processors(Vec::new()))
    }
}
