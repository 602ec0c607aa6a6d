//! The wire contract of driftkv, the Rust client, and the fault vocabulary.
//! The contract itself is `proto/driftkv/v1/*.proto`; `v1` is generated from it by `build.rs`.
//! Depends on nothing of ours: nodes, operator, laboratory and command line all meet here.
//! Not here: the protocols (`core`), and what a node does with a request or a fault (`node`).

pub mod client;
pub mod error;
pub mod faults;

/// Messages, clients and servers of the contract, generated.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::too_many_lines, clippy::wildcard_imports)]
pub mod v1 {
    tonic::include_proto!("driftkv.v1");
}

/// The encoded `FileDescriptorSet` of the contract, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/driftkv.bin"));

/// The version of the protocol between nodes, carried by every handshake.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest gRPC message either side sends or accepts, in bytes. Larger states travel in fragments.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The largest answer to a get, in bytes: the siblings of one key add up to at most 1 GiB, whatever the cluster's limits.
pub const REPLY_BYTES_MAX: usize = 1024 * 1024 * 1024 + 16 * 1024 * 1024;

/// The length of a request id, in bytes.
pub const REQUEST_ID_BYTES: usize = 16;

/// The bucket an empty bucket name means.
pub const BUCKET_DEFAULT: &str = "default";

/// The default port of the client contract (`Kv`).
pub const CLIENT_PORT: u16 = 7400;

/// The default port of the streams between nodes (`Peer`).
pub const PEER_PORT: u16 = 7401;

/// The default port of `Admin`.
pub const ADMIN_PORT: u16 = 7402;

/// The default port of metrics and HTTP health.
pub const METRICS_PORT: u16 = 7403;
