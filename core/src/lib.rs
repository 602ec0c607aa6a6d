//! driftkv's protocols, sans-IO: no clock, task, socket or file. The driver hands in inputs, time and a store,
//! and delivers the effects. Reading order: `causality`, `record`, `message`, `effect`, `node`, then `coordinator`.
mod antientropy;
mod bootstrap;
pub mod causality;
pub mod codec;
pub mod config;
mod coordinator;
pub mod effect;
pub mod fence;
mod hints;
pub mod id;
pub mod layout;
pub mod membership;
pub mod message;
mod minting;
pub mod node;
mod pace;
mod peers;
pub mod planted;
mod quorum;
pub mod record;
mod replica;
pub mod ring;
pub mod store;
pub mod time;
pub mod tree;

pub use coordinator::{decode_forwarded_outcome, decode_forwarded_put};
