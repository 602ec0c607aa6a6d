//! What the settings must obey together.
//! Invariant: every broken rule is told, not just the first, and each sentence begins with the flag to change.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use driftkv_core::config::{ClusterConfig, Field, Limits};
use driftkv_core::layout::MEMBER_TEXT_BYTES_MAX;
use tonic::codegen::http;

use super::Config;
use super::flags::Flags;
use super::span::Span;
use crate::store::disk::Memory;

const HOUR_MS: u64 = 3_600_000;
const IN_FLIGHT_CEILING: u64 = 1 << 20;
/// A smaller memtable goes to disk every few writes; a larger one takes minutes to recover.
const MEMTABLE_BYTES: RangeInclusive<u64> = (1 << 20)..=(4 << 30);
/// Less holds not even the filters and indexes of the tables.
const CACHE_BYTES: RangeInclusive<u64> = (1 << 20)..=(1 << 40);

/// The configuration, or every broken rule.
pub fn check(flags: Flags) -> Result<Config, Vec<String>> {
    let mut problems = Problems(Vec::new());
    let cluster = cluster(&flags);
    problems.identity(&flags);
    problems.addresses(&flags);
    let broken = cluster.validate().err().unwrap_or_default();
    problems.0.extend(broken.iter().map(|error| error.describe(flag_name)));
    problems.times(&flags);
    problems.resources(&flags);
    problems.telemetry(&flags);
    if !problems.0.is_empty() {
        return Err(problems.0);
    }
    Ok(Config {
        name: flags.name.unwrap_or_default(),
        zone: flags.zone,
        capacity: flags.capacity,
        data: flags.data.unwrap_or_default(),
        listen_client: flags.listen_client,
        listen_peer: flags.listen_peer,
        listen_admin: flags.listen_admin,
        listen_metrics: flags.listen_metrics,
        advertise_client: flags.advertise_client,
        advertise_peer: flags.advertise_peer,
        advertise_admin: flags.advertise_admin,
        admin_token_file: flags.admin_token_file,
        cluster,
        request_timeout_ms: milliseconds(flags.request_timeout),
        request_timeout_ms_max: milliseconds(flags.request_timeout_max),
        replica_timeout_ms: milliseconds(flags.replica_timeout).into(),
        in_flight_max: flags.in_flight_max,
        memory: Memory { memtable_bytes: flags.memtable_bytes, cache_bytes: flags.cache_bytes },
        allow_faults: flags.allow_faults,
        otlp_endpoint: flags.otlp_endpoint,
        otlp_sample: flags.otlp_sample.0,
        log_format: flags.log_format,
        log_level: flags.log_level,
    })
}

/// What all nodes of a cluster have in common.
fn cluster(flags: &Flags) -> ClusterConfig {
    ClusterConfig {
        replicas: flags.replicas,
        partitions: flags.partitions,
        replication_factor: flags.replication_factor,
        read_quorum: flags.read_quorum,
        write_quorum: flags.write_quorum,
        sloppy: flags.sloppy,
        limits: Limits {
            key_bytes_max: flags.key_bytes_max,
            value_bytes_max: flags.value_bytes_max,
            siblings_max: flags.siblings_max,
            hint_bytes_max: flags.hint_bytes_max,
        },
    }
}

/// Of a span that is known to be at most an hour.
fn milliseconds(span: Span) -> u32 {
    u32::try_from(span.0).unwrap_or(u32::MAX)
}

/// A cluster's setting as a flag.
pub fn flag_name(field: Field) -> &'static str {
    match field {
        Field::Replicas => "--replicas",
        Field::Partitions => "--partitions",
        Field::ReplicationFactor => "--replication-factor",
        Field::ReadQuorum => "--read-quorum",
        Field::WriteQuorum => "--write-quorum",
        Field::KeyBytesMax => "--key-bytes-max",
        Field::ValueBytesMax => "--value-bytes-max",
        Field::SiblingsMax => "--siblings-max",
        Field::HintBytesMax => "--hint-bytes-max",
    }
}

struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    fn identity(&mut self, flags: &Flags) {
        self.name(flags.name.as_deref());
        if flags.data.as_ref().is_none_or(|path| path.as_os_str().is_empty()) {
            self.add("--data is missing: the directory where this node keeps its data, such as --data ./demo-0");
        }
        self.text("--zone", flags.zone.as_deref());
        if flags.capacity == Some(0) {
            self.add("--capacity is 0; allowed is 1 or more");
        }
    }

    fn addresses(&mut self, flags: &Flags) {
        self.listen(&[
            ("--listen-client", flags.listen_client),
            ("--listen-peer", flags.listen_peer),
            ("--listen-admin", flags.listen_admin),
            ("--listen-metrics", flags.listen_metrics),
        ]);
        self.address("--advertise-client", flags.advertise_client.as_deref());
        self.address("--advertise-peer", flags.advertise_peer.as_deref());
        self.address("--advertise-admin", flags.advertise_admin.as_deref());
    }

    fn times(&mut self, flags: &Flags) {
        let (request, request_max) = (flags.request_timeout, flags.request_timeout_max);
        self.span("--request-timeout", request);
        self.span("--request-timeout-max", request_max);
        self.span("--replica-timeout", flags.replica_timeout);
        self.at_most("--request-timeout", request, "--request-timeout-max", request_max);
        self.at_most("--replica-timeout", flags.replica_timeout, "--request-timeout", request);
    }

    fn resources(&mut self, flags: &Flags) {
        self.range("--in-flight-max", flags.in_flight_max.into(), 1..=IN_FLIGHT_CEILING);
        self.range("--memtable-bytes", flags.memtable_bytes, MEMTABLE_BYTES);
        self.range("--cache-bytes", flags.cache_bytes, CACHE_BYTES);
    }

    fn telemetry(&mut self, flags: &Flags) {
        self.collector(flags.otlp_variable.unwrap_or("--otlp-endpoint"), flags.otlp_endpoint.as_deref());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&flags.log_level) {
            self.add(format!("--log-level is {:?}: {error}", flags.log_level));
        }
    }

    fn name(&mut self, name: Option<&str>) {
        let Some(name) = name else {
            return self.add("--name is missing: every node needs one, such as --name demo-0");
        };
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > MEMBER_TEXT_BYTES_MAX || !name.bytes().all(is_allowed) {
            self.add(format!(
                "--name is {name:?}; allowed are a-z, A-Z, 0-9, -, _ and ., 1 to {MEMBER_TEXT_BYTES_MAX} characters"
            ));
        }
    }

    fn text(&mut self, flag: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|text| text.is_empty() || text.len() > MEMBER_TEXT_BYTES_MAX) {
            self.add(format!("{flag} has {} bytes; allowed is 1 to {MEMBER_TEXT_BYTES_MAX}", text.len()));
        }
    }

    fn address(&mut self, flag: &str, address: Option<&str>) {
        self.text(flag, address);
        let is_address = |text: &str| {
            let parts = text.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if let Some(address) = address.filter(|address| !is_address(address)) {
            self.add(format!("{flag} is {address:?}; allowed is HOST:PORT, such as demo-0.demo:7401"));
        }
    }

    fn collector(&mut self, flag: &str, endpoint: Option<&str>) {
        let is_address = |text: &str| {
            let uri = text.parse::<http::Uri>().ok();
            uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.port().is_some())
        };
        if let Some(endpoint) = endpoint.filter(|endpoint| !is_address(endpoint)) {
            self.add(format!("{flag} is {endpoint:?}; allowed is http://HOST:PORT, such as http://localhost:4317"));
        }
    }

    /// Two listeners cannot share an address; port 0 is a different free port each time.
    fn listen(&mut self, listeners: &[(&str, SocketAddr)]) {
        for (index, (flag, address)) in listeners.iter().enumerate() {
            for (other_flag, other) in listeners.iter().take(index) {
                let is_same_host =
                    address.ip() == other.ip() || address.ip().is_unspecified() || other.ip().is_unspecified();
                if address.port() != 0 && address.port() == other.port() && is_same_host {
                    self.add(format!("{flag} is {address}, the port of {other_flag}; each needs its own"));
                }
            }
        }
    }

    fn span(&mut self, flag: &str, span: Span) {
        if !(1..=HOUR_MS).contains(&span.0) {
            self.add(format!("{flag} is {span}; allowed is 1ms to 1h"));
        }
    }

    fn at_most(&mut self, flag: &str, span: Span, bound_flag: &str, bound: Span) {
        if span > bound {
            self.add(format!("{flag} is {span}; allowed is at most {bound_flag}, which is {bound}"));
        }
    }

    fn range(&mut self, flag: &str, value: u64, allowed: RangeInclusive<u64>) {
        if !allowed.contains(&value) {
            self.add(format!("{flag} is {value}; allowed is {} to {}", allowed.start(), allowed.end()));
        }
    }
}
