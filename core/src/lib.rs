//! driftkv's protocols, sans-IO.
pub mod id;
pub mod time;
