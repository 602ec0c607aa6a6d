//! The parts of `driftkv-node`: gRPC, disk, timers and telemetry around `driftkv-core`.
pub mod convert;
pub mod faults;
pub mod store;
