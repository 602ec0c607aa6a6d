//! Every flag of the operator, its variable in the environment, and the words of `--help`.

use std::net::SocketAddr;

use clap::Parser;

/// Makes clusters of KVCluster resources, and keeps them so.
#[derive(Clone, Debug, Parser)]
#[command(name = "driftkv-operator", version, max_term_width = 120)]
pub struct Args {
    /// A namespace to watch; may be repeated. Without any: all of them, which needs a ClusterRole
    #[arg(long = "namespace", env = "DRIFTKV_OPERATOR_NAMESPACES", value_name = "NAMESPACE", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// The image of nodes whose spec names none
    #[arg(long, env = "DRIFTKV_OPERATOR_IMAGE", value_name = "IMAGE",
          default_value = concat!("driftkv:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// For scrapers and probes: /metrics, /healthz, /readyz over HTTP/1
    #[arg(long, env = "DRIFTKV_OPERATOR_LISTEN", value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Whether only the holder of the lease acts; needed as soon as two operators may run at once
    #[arg(long, env = "DRIFTKV_OPERATOR_ELECTION", action = clap::ArgAction::Set, value_name = "BOOL",
          default_value_t = true)]
    pub election: bool,
    /// The lease's namespace; that of the operator itself if absent
    #[arg(long, env = "DRIFTKV_OPERATOR_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// The lease's name: operators with the same one take turns
    #[arg(long, env = "DRIFTKV_OPERATOR_LEASE_NAME", value_name = "NAME", default_value = "driftkv-operator")]
    pub lease_name: String,
    /// Which of them this is; the name of the host, which is that of the pod, if absent
    #[arg(long, env = "DRIFTKV_OPERATOR_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
    /// Whether experiments are obeyed (annotation chaos.driftkv.io/experiment): the first of three consents; the others are the
    /// namespace's label chaos.driftkv.io/allowed=true and spec.allowFaults
    #[arg(long, env = "DRIFTKV_OPERATOR_ALLOW_CHAOS", action = clap::ArgAction::Set, value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value_t = false)]
    pub allow_chaos: bool,
    /// Where traces of passes go: an OpenTelemetry collector that takes OTLP over gRPC; without one, none are recorded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "http://HOST:PORT")]
    pub otlp_endpoint: Option<String>,
    /// Which lines are logged: error, warn, info, debug, trace, or a filter
    #[arg(long, env = "DRIFTKV_OPERATOR_LOG_LEVEL", value_name = "FILTER", default_value = "info")]
    pub log_level: String,
    /// Lines for people (text), or JSON objects (json)
    #[arg(long, env = "DRIFTKV_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "text",
          value_parser = ["text", "json"])]
    pub log_format: String,
}
