//! Exchanges between nodes are tested in `node/tests.rs` and the simulator.
