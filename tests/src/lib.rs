//! The simulator: many nodes on one thread (`world`), seeded clients and faults (`run`), what the world saw (`facts`),
//! and what must hold (`invariants`, one a file). `trace` makes a run readable. The same seed gives the same run, byte for byte.
//! Beside it `cluster`, which runs real processes for the tests in `tests/tests/`, `page`, which reads their metrics, `proxy`, which plants bugs before them,
//! and `processors`, which parts them from their load.
#![allow(clippy::indexing_slicing, clippy::expect_used)]
pub mod bench;
pub mod binaries;
pub mod cluster;
pub mod facts;
pub mod invariants;
pub mod page;
pub mod processors;
pub mod proxy;
pub mod run;
pub mod trace;
pub mod world;
