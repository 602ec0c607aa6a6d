//! Every decoder takes what nobody should send: valid encodings with flipped bits, cut short, spliced and with raised lengths.
//! Invariants: no panic; no memory asked for that the input does not pay for; no peer's bytes make a node take its own disk for
//! damaged. `PROPTEST_CASES` (256) for each decoder; a failure is shrunk to the fewest edits and kept in `proptest-regressions/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod binary;
mod memory;
mod mutate;
mod node;
mod talk;
mod text;
mod wire;
