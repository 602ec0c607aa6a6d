//! Logs: text for people or JSON lines for machines, and what core observes as log lines.
//! Core does not log; its events are counted there (`Status`) and told here.

use std::io::IsTerminal;

use driftkv_core::effect::Event;
use driftkv_core::id::Incarnation;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stderr. `level`: a filter such as `info` or `driftkv_node=debug,info`.
/// Errors: the filter cannot be read; nothing is logged.
pub fn init(format: LogFormat, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("log level `{level}`: {error}"))?;
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !is_plain;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| format!("logging cannot start: {error}"))
}

/// Tells what core observed. `name`: of a peer.
pub fn event(event: Event, name: impl Fn(Incarnation) -> String) {
    match event {
        Event::PeerUp(peer) => tracing::info!(peer = name(peer), "peer is up, says the gossip"),
        Event::PeerDown(peer) => tracing::warn!(peer = name(peer), "peer is down, says the gossip"),
        Event::PeerSuspected(peer) => tracing::warn!(peer = name(peer), "peer missed a deadline; others are asked"),
        Event::FencePassed => tracing::info!("a majority knows no newer state of this disk: serving"),
        Event::LayoutAdopted(version) => tracing::info!(version, "layout adopted"),
        Event::HintsDrained(peer) => tracing::info!(peer = name(peer), "all hints for the peer are delivered"),
        Event::HintDropped(peer) => {
            tracing::warn!(peer = name(peer), "a surplus hint was dropped; anti-entropy will mend it")
        }
        Event::HintRefused(peer) => tracing::debug!(peer = name(peer), "no room for a hint"),
        Event::DotCorrupt(partition) => {
            tracing::error!(partition = partition.0, "one dot names two values: both are kept; report this");
        }
        Event::TreeMismatch(partition) => {
            tracing::warn!(partition = partition.0, "a hash tree differed from its records and was rebuilt");
        }
        Event::MalformedMessage(peer) => tracing::warn!(peer = name(peer), "a message of the peer made no sense"),
        other => tracing::trace!(event = other.counter()),
    }
}
