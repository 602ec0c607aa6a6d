//! driftkv's protocols, sans-IO: no clock, task, socket or file. The driver hands in inputs, time and a store,
//! and delivers the effects. Reading order: `causality`, `record`, `message`.
pub mod causality;
pub mod codec;
pub mod config;
pub mod id;
pub mod layout;
pub mod membership;
pub mod message;
pub mod planted;
pub mod record;
pub mod ring;
pub mod store;
pub mod time;
pub mod tree;
