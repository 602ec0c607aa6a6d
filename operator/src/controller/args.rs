//! Every flag of the operator, its variable in the environment, and the words of `--help`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Makes clusters of KVCluster resources, and keeps them so.
#[derive(Clone, Debug, Parser)]
#[command(name = "driftkv-operator", version, max_term_width = 120)]
pub struct Args {
    /// What to do instead
    #[command(subcommand)]
    pub command: Option<Command>,
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
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "http://HOST:PORT", value_parser = collector)]
    pub otlp_endpoint: Option<String>,
    /// Which lines are logged: error, warn, info, debug, trace, or a filter
    #[arg(long, env = "DRIFTKV_OPERATOR_LOG_LEVEL", value_name = "FILTER", default_value = "info")]
    pub log_level: String,
    /// Lines for people (text), or JSON objects (json)
    #[arg(long, env = "DRIFTKV_OPERATOR_LOG_FORMAT", value_name = "FORMAT", default_value = "text",
          value_parser = ["text", "json"])]
    pub log_format: String,
}

/// What else the program does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Makes a KVCluster of three nodes, writes to it and reads from it through quorums, and deletes it with its data: what `helm test` runs
    Selftest(Selftest),
}

/// Of a selftest.
#[derive(Clone, Debug, clap::Args)]
pub struct Selftest {
    /// Where: a namespace that an operator watches
    #[arg(long = "namespace", id = "selftest-namespace", value_name = "NAMESPACE")]
    pub namespace: String,
    /// What the KVCluster is called. One of this name that an earlier selftest left is deleted first; any other, and volumes of that name without one, are not touched
    #[arg(long, value_name = "NAME", default_value = "selftest")]
    pub name: String,
    /// The image of its nodes; the operator's choice if absent
    #[arg(long = "image", id = "selftest-image", value_name = "IMAGE")]
    pub image: Option<String>,
    /// The volume of each node
    #[arg(long, value_name = "SIZE", default_value = "64Mi")]
    pub storage_size: String,
    /// The StorageClass of the volumes; the default one if absent
    #[arg(long, value_name = "NAME")]
    pub storage_class: Option<String>,
    /// From its beginning to the last read; deleting what it made has 90 s more
    #[arg(long, value_name = "TIME", default_value = "180s", value_parser = time)]
    pub timeout: Duration,
}

/// As the nodes want it (`node/src/config/rules.rs`), so that what one takes the other takes.
fn collector(text: &str) -> Result<String, String> {
    let uri = text.parse::<hyper::Uri>().ok();
    let is_address = uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.port().is_some());
    let refusal = || "allowed is http://HOST:PORT, such as http://localhost:4317".to_owned();
    is_address.then(|| text.to_owned()).ok_or_else(refusal)
}

/// `90s` or `3m`.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = |number: &str, unit: u64| number.parse::<u64>().ok()?.checked_mul(unit);
    let seconds = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => seconds(number, 1),
        (_, Some(number)) => seconds(number, 60),
        _ => None,
    };
    let in_bounds = seconds.filter(|seconds| (1..=86_400).contains(seconds));
    in_bounds.map(Duration::from_secs).ok_or_else(|| "a time such as 90s or 3m, from 1s to a day".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::time::Duration;

    use clap::{CommandFactory, Parser};

    use super::{Args, Command, time};

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_selftest_has_a_namespace_of_its_own() {
        let words = ["driftkv-operator", "--namespace=a", "selftest", "--namespace=b", "--timeout=3m"];
        let args = Args::try_parse_from(words).unwrap();
        let Some(Command::Selftest(selftest)) = args.command else { panic!("{args:?}") };
        assert_eq!((args.namespaces, selftest.namespace), (vec!["a".to_owned()], "b".to_owned()));
        assert_eq!(selftest.timeout, Duration::from_secs(180));
        assert!(Args::try_parse_from(["driftkv-operator", "selftest"]).is_err(), "it must be told where");
    }

    #[test]
    fn a_collector_that_is_no_address_is_refused_with_what_is_allowed() {
        for wrong in ["foo", "localhost:4317", "https://localhost:4317", "http://localhost", ""] {
            let error = Args::try_parse_from(["driftkv-operator", &format!("--otlp-endpoint={wrong}")]).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("http://HOST:PORT, such as http://localhost:4317"), "{wrong}: {said}");
            assert_eq!(error.exit_code(), 2);
        }
        assert!(Args::try_parse_from(["driftkv-operator", "--otlp-endpoint=http://localhost:4317"]).is_ok());
    }

    #[test]
    fn times_carry_their_unit() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "90", "s", "-1s", "0s", "1h", "99999999999999999999m", "1441m"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
