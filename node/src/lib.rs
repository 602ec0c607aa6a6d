//! `driftkv-node`: gRPC, disk, timers and telemetry around core. Reading order: `config`, `server`, `driver`, `peers`, `api`.
pub mod api;
pub mod config;
pub mod connections;
pub mod convert;
pub mod driver;
pub mod faults;
pub mod metrics;
pub mod peers;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod traces;
