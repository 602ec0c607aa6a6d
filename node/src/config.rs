//! The node's one validated configuration: a flag wins over the environment, that over the file, that over the default.
//! Invariants: nothing unknown is ignored, whichever source it is in; all broken rules are told at once, in the flags' spelling.
//! Not here: the rules of a cluster (`driftkv_core::config`, shared with CLI and CRD).

mod environment;
mod file;
mod flags;
mod ratio;
mod rules;
mod span;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use driftkv_core::config::ClusterConfig;
use driftkv_core::id::Incarnation;
use driftkv_core::node::Settings;

use crate::store::disk::Memory;
use crate::telemetry::LogFormat;
use flags::Flags;

/// The exit code for a configuration that cannot be used.
pub const EXIT_USAGE: i32 = 2;

/// Everything a node is told from outside. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Unique in its cluster.
    pub name: String,
    /// Where it fails together with others; `None`: whatever the bootstrap says.
    pub zone: Option<String>,
    /// Its share of partitions; `None`: whatever the bootstrap says.
    pub capacity: Option<u32>,
    /// Where it keeps its data.
    pub data: PathBuf,
    /// For clients.
    pub listen_client: SocketAddr,
    /// For peers.
    pub listen_peer: SocketAddr,
    /// For operators.
    pub listen_admin: SocketAddr,
    /// For metrics and HTTP health.
    pub listen_metrics: SocketAddr,
    /// `host:port` under which clients reach it; `None`: whatever the bootstrap says.
    pub advertise_client: Option<String>,
    /// `host:port` under which peers reach it; `None`: whatever the bootstrap says.
    pub advertise_peer: Option<String>,
    /// `host:port` under which operators reach it; `None`: whatever the bootstrap says.
    pub advertise_admin: Option<String>,
    /// A token a line: whoever asks the admin port must show one; `None`: everybody may ask.
    pub admin_token_file: Option<PathBuf>,
    /// Valid by its own rules.
    pub cluster: ClusterConfig,
    /// Of a request that names none.
    pub request_timeout_ms: u32,
    /// The longest a request may ask for.
    pub request_timeout_ms_max: u32,
    /// After this a silent replica is suspected and replaced.
    pub replica_timeout_ms: u64,
    /// Client requests under way at a time.
    pub in_flight_max: u32,
    /// What the disk's engine may keep in memory.
    pub memory: Memory,
    /// Whether faults may be injected.
    pub allow_faults: bool,
    /// Where traces go, `http://host:port`; `None`: nowhere, and none are recorded.
    pub otlp_endpoint: Option<String>,
    /// Of requests that come without a trace, how many in a million begin one.
    pub otlp_sample: u32,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which lines are logged, as `tracing` filters are written.
    pub log_level: String,
}

/// Why there is no configuration. Nothing was touched; whoever started the node should act.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A flag or a variable of the environment cannot be read, or help was asked for.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// The file cannot be read, or is not of the right shape: `FILE:LINE:COLUMN: what`.
    #[error("{0}")]
    File(String),
    /// Rules are broken, each a sentence that begins with a flag.
    #[error("{}", .0.join("\n       "))]
    Rules(Vec<String>),
}

impl LoadError {
    /// Ends the process: 0 after help or version, else [`EXIT_USAGE`] with the reason on stderr.
    pub fn exit(self) -> ! {
        if let LoadError::Flags(error) = self {
            error.exit();
        }
        eprintln!("error: {self}\n\nFor all settings, try 'driftkv-node --help'. Nothing was started.");
        std::process::exit(EXIT_USAGE);
    }
}

impl Config {
    /// From this process's arguments and environment, and the file they name.
    pub fn load() -> Result<Config, LoadError> {
        Config::from_args(std::env::args_os())
    }

    /// From these arguments, the first being the program's name, the environment, and the file they name.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Config, LoadError> {
        let command = Flags::command();
        let known: Vec<String> =
            command.get_arguments().filter_map(|flag| Some(flag.get_env()?.to_str()?.to_owned())).collect();
        let matches = command.try_get_matches_from(args)?;
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let misspelt = environment::misspelt(names, &known);
        if !misspelt.is_empty() {
            return Err(LoadError::Rules(misspelt));
        }
        let mut flags = Flags::from_arg_matches(&matches)?;
        if let Some(path) = flags.config.take() {
            let is_open = |id: &str| matches!(matches.value_source(id), None | Some(ValueSource::DefaultValue));
            file::read(&path)?.fill(&mut flags, is_open);
        }
        if flags.otlp_endpoint.is_none()
            && let Some((variable, endpoint)) = environment::otlp_endpoint(|name| std::env::var(name).ok())
        {
            (flags.otlp_endpoint, flags.otlp_variable) = (Some(endpoint), Some(variable));
        }
        rules::check(flags).map_err(LoadError::Rules)
    }

    /// What core is told.
    pub fn settings(&self, incarnation: Incarnation) -> Settings {
        Settings {
            timeout_ms: self.request_timeout_ms,
            timeout_ms_max: self.request_timeout_ms_max,
            replica_timeout_ms: self.replica_timeout_ms,
            in_flight_max: self.in_flight_max,
            is_traced: self.otlp_endpoint.is_some(),
            seed: rand::random(),
            ..Settings::new(incarnation, self.cluster)
        }
    }
}
