//! The gRPC services of a node: `Kv` for clients, `Peer` for other nodes, `Admin` for operators, and health and reflection.
//! Not here: what requests mean (`convert`, core), which port serves what (`server`).

pub mod peer;
