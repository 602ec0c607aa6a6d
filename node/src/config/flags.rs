//! Every flag, its variable in the environment, its default, and the words of `--help`.
//! Not here: what a combination of them must obey (`rules`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Parser};
use driftkv_core::config::{ClusterConfig, Limits};
use driftkv_proto::{ADMIN_PORT, CLIENT_PORT, METRICS_PORT, PEER_PORT};

use super::ratio::Ratio;
use super::span::Span;
use crate::telemetry::LogFormat;

const NODE: &str = "This node";
const ADDRESSES: &str = "Addresses (IP:PORT to listen on, HOST:PORT to be reached under)";
const CLUSTER: &str = "The cluster (the same on every node)";
const LIMITS: &str = "Limits (the same on every node; sizes in bytes)";
const WORK: &str = "Time and memory (durations with a unit: 250ms, 5s, 1m)";
const FAULTS: &str = "Faults";
const TRACES: &str = "Traces";
const LOGS: &str = "Logs (to stderr)";

/// Where settings come from and what the program ends with.
const AFTER: &str = "\
A setting may stand in three places: as a flag, as a variable of the environment, or in the --config file, there as a \
key spelled like the flag without its dashes. The flag wins over the variable, the variable over the file.

SIGTERM and SIGINT stop in order: requests in flight are finished, new ones refused.
Exit codes: 0 stopped in order, 1 failed, 2 wrong configuration, 3 the disk was rolled back and must not serve.

Example: one node of three on this machine, the others named and numbered alike
  driftkv-node --name demo-0 --zone a --data ./demo-0 --replicas 3 --log-level info \\
    --listen-client 127.0.0.1:7400 --listen-peer 127.0.0.1:7401 --listen-admin 127.0.0.1:7402 \\
    --listen-metrics 127.0.0.1:7403
With a file, node.yaml, and the environment:
  name: demo-0
  data: ./demo-0
  read-quorum: 1
  request-timeout: 2s
and
  DRIFTKV_ZONE=a driftkv-node --config node.yaml
Nodes start empty and wait; a bootstrap on the admin port makes them one cluster. `driftkv up` does all of it.";

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

fn cluster() -> ClusterConfig {
    ClusterConfig::default()
}

fn limits() -> Limits {
    Limits::default()
}

/// One node of a driftkv cluster: stores its share of the keys, answers clients, talks to its peers.
#[derive(Debug, Parser)]
#[command(name = "driftkv-node", version, after_help = AFTER, max_term_width = 120)]
pub struct Flags {
    /// A YAML file with any of the settings below
    #[arg(long, env = "DRIFTKV_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Its name, unique in the cluster: a-z, A-Z, 0-9, `-`, `_` and `.`. Required
    #[arg(long, env = "DRIFTKV_NAME", help_heading = NODE)]
    pub name: Option<String>,
    /// Where it fails together with others; a bootstrap that says another zone is refused
    #[arg(long, env = "DRIFTKV_ZONE", help_heading = NODE)]
    pub zone: Option<String>,
    /// Its share of partitions, relative to the others'; a bootstrap that says another is refused
    #[arg(long, env = "DRIFTKV_CAPACITY", help_heading = NODE, value_name = "N")]
    pub capacity: Option<u32>,
    /// Where it keeps its data; made if absent, and used by one process at a time. Required
    #[arg(long, env = "DRIFTKV_DATA", help_heading = NODE, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// For clients: Kv, health, reflection
    #[arg(long, env = "DRIFTKV_LISTEN_CLIENT", help_heading = ADDRESSES, value_name = "IP:PORT",
          default_value_t = any(CLIENT_PORT))]
    pub listen_client: SocketAddr,
    /// For the other nodes
    #[arg(long, env = "DRIFTKV_LISTEN_PEER", help_heading = ADDRESSES, value_name = "IP:PORT",
          default_value_t = any(PEER_PORT))]
    pub listen_peer: SocketAddr,
    /// For operators: Admin, health, reflection. Faults come in here; let only operators reach it
    #[arg(long, env = "DRIFTKV_LISTEN_ADMIN", help_heading = ADDRESSES, value_name = "IP:PORT",
          default_value_t = any(ADMIN_PORT))]
    pub listen_admin: SocketAddr,
    /// For scrapers and probes: /metrics, /livez, /readyz over HTTP/1
    #[arg(long, env = "DRIFTKV_LISTEN_METRICS", help_heading = ADDRESSES, value_name = "IP:PORT",
          default_value_t = any(METRICS_PORT))]
    pub listen_metrics: SocketAddr,
    /// Under which clients reach it; a bootstrap that says another address is refused
    #[arg(long, env = "DRIFTKV_ADVERTISE_CLIENT", help_heading = ADDRESSES,
          value_name = "HOST:PORT")]
    pub advertise_client: Option<String>,
    /// Under which the other nodes reach it; likewise
    #[arg(long, env = "DRIFTKV_ADVERTISE_PEER", help_heading = ADDRESSES,
          value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// Under which operators reach it; likewise
    #[arg(long, env = "DRIFTKV_ADVERTISE_ADMIN", help_heading = ADDRESSES,
          value_name = "HOST:PORT")]
    pub advertise_admin: Option<String>,
    /// A file with a token a line: Admin answers only callers that show one (`authorization: Bearer TOKEN`). Read again when it
    /// changes. Without it everybody who reaches the admin port may ask
    #[arg(long, env = "DRIFTKV_ADMIN_TOKEN_FILE", help_heading = ADDRESSES, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Number of nodes
    #[arg(long, env = "DRIFTKV_REPLICAS", help_heading = CLUSTER, value_name = "NODES",
          default_value_t = cluster().replicas)]
    pub replicas: u32,
    /// Slices of the ring, a power of two; fixed for the cluster's life
    #[arg(long, env = "DRIFTKV_PARTITIONS", help_heading = CLUSTER, value_name = "Q",
          default_value_t = cluster().partitions)]
    pub partitions: u32,
    /// Nodes that own each key; fixed for the cluster's life
    #[arg(long, env = "DRIFTKV_REPLICATION_FACTOR", help_heading = CLUSTER, value_name = "N",
          default_value_t = cluster().replication_factor)]
    pub replication_factor: u32,
    /// Answers a get waits for, unless it says otherwise
    #[arg(long, env = "DRIFTKV_READ_QUORUM", help_heading = CLUSTER, value_name = "R",
          default_value_t = cluster().read_quorum)]
    pub read_quorum: u32,
    /// Nodes that must have a put on disk before it is answered, unless it says otherwise
    #[arg(long, env = "DRIFTKV_WRITE_QUORUM", help_heading = CLUSTER, value_name = "W",
          default_value_t = cluster().write_quorum)]
    pub write_quorum: u32,
    /// Whether stand-ins count toward a quorum while owners are unreachable
    #[arg(long, env = "DRIFTKV_SLOPPY", help_heading = CLUSTER, action = ArgAction::Set,
          value_name = "BOOL", default_value_t = cluster().sloppy)]
    pub sloppy: bool,

    /// Longest key, and longest bucket name
    #[arg(long, env = "DRIFTKV_KEY_BYTES_MAX", help_heading = LIMITS, value_name = "BYTES",
          default_value_t = limits().key_bytes_max)]
    pub key_bytes_max: u32,
    /// Longest value
    #[arg(long, env = "DRIFTKV_VALUE_BYTES_MAX", help_heading = LIMITS, value_name = "BYTES",
          default_value_t = limits().value_bytes_max)]
    pub value_bytes_max: u32,
    /// Siblings of one key; a put that covers none and would add one more is refused
    #[arg(long, env = "DRIFTKV_SIBLINGS_MAX", help_heading = LIMITS, value_name = "SIBLINGS",
          default_value_t = limits().siblings_max)]
    pub siblings_max: u32,
    /// Hints this node keeps for each other node
    #[arg(long, env = "DRIFTKV_HINT_BYTES_MAX", help_heading = LIMITS, value_name = "BYTES",
          default_value_t = limits().hint_bytes_max)]
    pub hint_bytes_max: u64,

    /// Time of a request that names none
    #[arg(long, env = "DRIFTKV_REQUEST_TIMEOUT", help_heading = WORK, value_name = "DURATION",
          default_value_t = Span(5_000))]
    pub request_timeout: Span,
    /// The longest a request may ask for; more is cut to this
    #[arg(long, env = "DRIFTKV_REQUEST_TIMEOUT_MAX", help_heading = WORK,
          value_name = "DURATION", default_value_t = Span(60_000))]
    pub request_timeout_max: Span,
    /// After this a silent replica is suspected and a stand-in asked
    #[arg(long, env = "DRIFTKV_REPLICA_TIMEOUT", help_heading = WORK, value_name = "DURATION",
          default_value_t = Span(500))]
    pub replica_timeout: Span,
    /// Client requests under way at a time; more are refused at once
    #[arg(long, env = "DRIFTKV_IN_FLIGHT_MAX", help_heading = WORK, value_name = "REQUESTS",
          default_value_t = 4_096)]
    pub in_flight_max: u32,
    /// Bytes a table holds in memory before it goes to disk; more memory, steadier writes
    #[arg(long, env = "DRIFTKV_MEMTABLE_BYTES", help_heading = WORK, value_name = "BYTES",
          default_value_t = 64 << 20)]
    pub memtable_bytes: u64,
    /// Bytes of tables kept in memory once they are read; data that fits is never read twice
    #[arg(long, env = "DRIFTKV_CACHE_BYTES", help_heading = WORK, value_name = "BYTES",
          default_value_t = 128 << 20)]
    pub cache_bytes: u64,

    /// Let operators inject faults: lose and delay messages, pause, crash
    #[arg(long, env = "DRIFTKV_ALLOW_FAULTS", help_heading = FAULTS, action = ArgAction::Set,
          value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false)]
    pub allow_faults: bool,

    /// Where traces go: an OpenTelemetry collector that takes OTLP over gRPC; without one, none are recorded
    /// [env: also OTEL_EXPORTER_OTLP_ENDPOINT]
    #[arg(long, env = "DRIFTKV_OTLP_ENDPOINT", help_heading = TRACES, value_name = "http://HOST:PORT")]
    pub otlp_endpoint: Option<String>,
    /// The variable that set it, if that is not one of ours.
    #[arg(skip)]
    pub otlp_variable: Option<&'static str>,
    /// Of requests that come without a trace of their own, how many begin one, such as 0.05 or 5%
    #[arg(long, env = "DRIFTKV_OTLP_SAMPLE", help_heading = TRACES, value_name = "SHARE",
          default_value_t = Ratio(10_000))]
    pub otlp_sample: Ratio,

    /// Lines for people (text), or JSON objects (json)
    #[arg(long, env = "DRIFTKV_LOG_FORMAT", help_heading = LOGS, value_enum, hide_possible_values = true,
          value_name = "FORMAT", default_value_t = LogFormat::default())]
    pub log_format: LogFormat,
    /// Which lines: error, warn, info, debug, trace, or a filter such as driftkv_node=debug,info
    #[arg(long, env = "DRIFTKV_LOG_LEVEL", help_heading = LOGS, value_name = "FILTER",
          default_value = "info")]
    pub log_level: String,
}
