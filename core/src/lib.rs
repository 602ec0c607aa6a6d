//! driftkv's protocols, sans-IO: no clock, task, socket or file. The driver hands in inputs, time and a store,
//! and delivers the effects. Reading order: `message`, `effect`, `node`, then `coordinator/put`.
pub mod causality;
pub mod codec;
pub mod id;
pub mod planted;
pub mod store;
pub mod time;
