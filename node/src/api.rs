//! The services of a node: `Kv` for clients, `Peer` for other nodes, `Admin` for operators, health and reflection; metrics over HTTP.
//! Requests become core's (`convert`), go to the engine (`driver`), and come back as replies or errors that say everything.
//! Not here: what requests mean (core), which port serves what (`server`).

pub mod admin;
mod deadline;
pub mod health;
pub mod kv;
#[cfg(test)]
pub(crate) mod loopback;
pub mod peer;
pub mod port;
pub mod replies;
mod status;
pub mod web;
