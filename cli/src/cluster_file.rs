//! `cluster.json`: what `driftkv up` leaves in its data directory, for other commands and for its own next start.
//! Invariant: replaced whole, never written in place.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// Its name in the data directory.
pub const NAME: &str = "cluster.json";
const VERSION: u32 = 1;

/// A cluster of local processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFile {
    /// Of this format.
    pub version: u32,
    /// From the manifest.
    pub name: String,
    /// Node i has the ports from `base_port + 10 * i` on.
    pub base_port: u16,
    /// Slices of the ring.
    pub partitions: u32,
    /// N.
    pub replication_factor: u32,
    /// R unless a request says otherwise.
    pub read_quorum: u32,
    /// W unless a request says otherwise.
    pub write_quorum: u32,
    /// In the manifest's order.
    pub nodes: Vec<NodeEntry>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// `demo-0`.
    pub name: String,
    /// May be empty.
    pub zone: String,
    /// `HOST:PORT` for clients.
    pub client: String,
    /// `HOST:PORT` for peers.
    pub peer: String,
    /// `HOST:PORT` for operators.
    pub admin: String,
    /// `HOST:PORT` for metrics and HTTP health; empty in a file of an earlier version.
    #[serde(default)]
    pub metrics: String,
}

impl ClusterFile {
    /// The version that is written today.
    pub const VERSION: u32 = VERSION;

    /// The file in `data`; `None` if there is none.
    pub fn read(data: &Path) -> Result<Option<Self>, Failure> {
        let path = data.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io(&path, &error)),
        };
        let damaged = |why: String| {
            let hint =
                format!("`driftkv up` writes it; name the nodes with --endpoint, or move {} aside.", path.display());
            Failure::failed(format!("{}: {why}", path.display())).hint(hint)
        };
        let file: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if file.version != VERSION {
            return Err(damaged(format!("version {} is not {VERSION}; another driftkv wrote it", file.version)));
        }
        Ok(Some(file))
    }

    /// Writes the file into `data`.
    pub fn write(&self, data: &Path) -> Result<(), Failure> {
        let path = data.join(NAME);
        let new = data.join(format!("{NAME}.new"));
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::failed(error.to_string()))?;
        fs::write(&new, text + "\n").and_then(|()| fs::rename(&new, &path)).map_err(|error| Failure::io(&path, &error))
    }
}
