//! `driftkv`: the command line.
fn main() {}
