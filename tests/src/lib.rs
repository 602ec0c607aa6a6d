//! The simulator: many nodes on one thread (`world`), seeded clients and faults (`run`), and what must hold (`judge`).
#![allow(clippy::indexing_slicing, clippy::expect_used)]
pub mod binaries;
pub mod cluster;
pub mod judge;
pub mod run;
pub mod world;
