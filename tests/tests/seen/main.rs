//! What operators see of real nodes from outside: metrics, health, traces.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod collector;
mod health;
mod metrics;
mod traces;
