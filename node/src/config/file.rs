//! The `--config` file: one YAML mapping, each key a flag without its dashes.
//! Invariant: an unknown or doubled key, or a value of the wrong kind, is an error with its line and column.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::LoadError;
use super::flags::Flags;
use super::ratio::Ratio;
use super::span::Span;
use crate::telemetry::LogFormat;

/// Most bytes of a file: far above any that makes sense, far below what hurts.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Declares what may stand in a file, and how it fills flags that nobody set.
macro_rules! settings {
    ($($field:ident: $kind:ty),* $(,)?) => {
        /// What a file sets; `None`: it does not.
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub struct File {
            $($field: Option<$kind>,)*
        }

        impl File {
            /// Puts its settings where `is_open` says that neither flag nor environment gave one.
            pub fn fill(self, flags: &mut Flags, is_open: impl Fn(&str) -> bool) {
                $(if let Some(value) = self.$field && is_open(stringify!($field)) {
                    flags.$field = value.into();
                })*
            }
        }
    };
}

settings! {
    name: String,
    zone: String,
    capacity: u32,
    data: PathBuf,
    listen_client: SocketAddr,
    listen_peer: SocketAddr,
    listen_admin: SocketAddr,
    listen_metrics: SocketAddr,
    advertise_client: String,
    advertise_peer: String,
    advertise_admin: String,
    admin_token_file: PathBuf,
    replicas: u32,
    partitions: u32,
    replication_factor: u32,
    read_quorum: u32,
    write_quorum: u32,
    sloppy: bool,
    key_bytes_max: u32,
    value_bytes_max: u32,
    siblings_max: u32,
    hint_bytes_max: u64,
    request_timeout: Span,
    request_timeout_max: Span,
    replica_timeout: Span,
    in_flight_max: u32,
    memtable_bytes: u64,
    cache_bytes: u64,
    allow_faults: bool,
    otlp_endpoint: String,
    otlp_sample: Ratio,
    log_format: LogFormat,
    log_level: String,
}

/// The settings of the file at `path`. Errors: it cannot be read, or is not such a file.
pub fn read(path: &Path) -> Result<File, LoadError> {
    let unreadable = |error: std::io::Error| LoadError::File(format!("--config {}: {error}", path.display()));
    let mut text = String::new();
    // The limit holds while reading: a device or a pipe has no size, and may have no end.
    let mut file = std::fs::File::open(path).map_err(unreadable)?.take(FILE_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(unreadable)?;
    if file.limit() == 0 {
        let path = path.display();
        return Err(LoadError::File(format!(
            "--config {path}: it has more bytes than the {FILE_BYTES_MAX} that are allowed"
        )));
    }
    parse(&text, &path.display().to_string())
}

/// `file`: its name in errors.
fn parse(text: &str, file: &str) -> Result<File, LoadError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let parsed = serde_saphyr::from_str_with_options::<Option<File>>(text, options);
    parsed.map(Option::unwrap_or_default).map_err(|error| {
        let words = error.to_string();
        let Some(at) = error.location() else { return LoadError::File(format!("{file}: {words}")) };
        let (line, column) = (at.line(), at.column());
        // The parser puts the place last; a place is read first.
        let words = words.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&words);
        // Its advice to programmers helps nobody here.
        let words = words.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
        LoadError::File(format!("{file}:{line}:{column}: {words}"))
    })
}
