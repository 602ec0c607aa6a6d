//! Where the nodes are: from flags, else the environment, else the `cluster.json` that `driftkv up` wrote.
//! A node is named by its client address; its admin port is the client port + 2 unless --admin says otherwise.
//! Not here: talking to them (`kv`, `admin`).

use std::path::{Path, PathBuf};

use driftkv_proto::{ADMIN_PORT, CLIENT_PORT};

use crate::admin;
use crate::args::Connection;
use crate::cluster_file::ClusterFile;
use crate::error::Failure;

/// The directory of `up` unless `--data` names another.
pub const DATA_DEFAULT: &str = ".driftkv";

/// The nodes a command may talk to; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// `HOST:PORT` of client ports.
    pub client: Vec<String>,
    /// `HOST:PORT` of admin ports, with the node's name where it is known.
    pub admin: Vec<AdminEndpoint>,
    /// What `up` knows of the cluster, if the endpoints came from there.
    pub file: Option<ClusterFile>,
}

/// One admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminEndpoint {
    /// The node's name; the address until the node has said it.
    pub name: String,
    /// `HOST:PORT`.
    pub address: String,
}

impl Endpoints {
    /// Finds the nodes: flags first, then `DRIFTKV_ENDPOINTS`, then the data directory. The token of their admin ports with them.
    pub fn find(connection: &Connection) -> Result<Self, Failure> {
        admin::speak(connection.admin_token_file.as_deref())?;
        let environment = std::env::var("DRIFTKV_ENDPOINTS").unwrap_or_default();
        Self::choose(connection, &environment)
    }

    /// The same; `None` if no nodes were named and `up` left no cluster in the default directory.
    pub fn find_any(connection: &Connection) -> Result<Option<Self>, Failure> {
        admin::speak(connection.admin_token_file.as_deref())?;
        let environment = std::env::var("DRIFTKV_ENDPOINTS").unwrap_or_default();
        match Self::are_named(connection) || ClusterFile::read(&data_dir(None))?.is_some() {
            true => Self::choose(connection, &environment).map(Some),
            false => Ok(None),
        }
    }

    /// Flags or the environment name nodes.
    pub fn are_named(connection: &Connection) -> bool {
        let is_flag = !connection.endpoint.is_empty() || !connection.admin.is_empty() || connection.data.is_some();
        is_flag || std::env::var("DRIFTKV_ENDPOINTS").is_ok_and(|words| !words.trim().is_empty())
    }

    /// Nodes at these client addresses; their admin ports are beside them.
    pub fn of_clients(client: Vec<String>) -> Result<Self, Failure> {
        let connection = Connection { endpoint: client, admin: Vec::new(), data: None, admin_token_file: None };
        Self::find(&connection)
    }

    fn choose(connection: &Connection, environment: &str) -> Result<Self, Failure> {
        let is_named = !connection.endpoint.is_empty() || !connection.admin.is_empty();
        let listed: Vec<&str> = match is_named {
            true => connection.endpoint.iter().map(String::as_str).collect(),
            false if connection.data.is_some() => Vec::new(),
            false => environment.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
        };
        if !is_named && listed.is_empty() {
            return Self::from_data(&data_dir(connection.data.as_deref()));
        }
        let client = listed.into_iter().map(|text| parse(text, CLIENT_PORT)).collect::<Result<Vec<_>, _>>()?;
        let admin = match connection.admin.is_empty() {
            true => client.iter().map(|address| beside(address)).collect::<Result<Vec<_>, _>>()?,
            false => connection.admin.iter().map(|text| parse(text, ADMIN_PORT)).collect::<Result<Vec<_>, _>>()?,
        };
        let unnamed = |address: String| AdminEndpoint { name: address.clone(), address };
        Ok(Self { client, admin: admin.into_iter().map(unnamed).collect(), file: None })
    }

    fn from_data(data: &Path) -> Result<Self, Failure> {
        let Some(file) = ClusterFile::read(data)? else {
            let path = data.join(crate::cluster_file::NAME);
            return Err(Failure::usage(format!("no cluster: there is no {}", path.display())).hint(
                "Start one with `driftkv up -f examples/local.yaml`, or name its nodes:\n\
                 --data DIR of `driftkv up`, --endpoint HOST:PORT, or DRIFTKV_ENDPOINTS=HOST:PORT,HOST:PORT",
            ));
        };
        let client = file.nodes.iter().map(|node| node.client.clone()).collect();
        let admin = file.nodes.iter().map(|node| (node.name.clone(), node.admin.clone()));
        let admin = admin.map(|(name, address)| AdminEndpoint { name, address }).collect();
        Ok(Self { client, admin, file: Some(file) })
    }

    /// The client addresses.
    ///
    /// Errors: only admin addresses were named.
    pub fn clients(&self) -> Result<&[String], Failure> {
        match self.client.is_empty() {
            true => Err(Failure::usage("--admin alone names no client port").hint("Add --endpoint HOST:PORT.")),
            false => Ok(&self.client),
        }
    }
}

/// The data directory of `up` that a command means.
pub fn data_dir(flag: Option<&Path>) -> PathBuf {
    flag.map_or_else(|| PathBuf::from(DATA_DEFAULT), Path::to_owned)
}

/// `HOST:PORT` of what a person wrote: a scheme `http://` is taken off, an absent port is `port`.
pub fn parse(text: &str, port: u16) -> Result<String, Failure> {
    let wrong = |why: &str| {
        Err(Failure::usage(format!("endpoint `{text}`: {why}")).hint("An endpoint is HOST, HOST:PORT or [IPV6]:PORT."))
    };
    let rest = text.trim().strip_prefix("http://").unwrap_or(text.trim());
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains("://") {
        return wrong("only http is spoken");
    }
    let (host, written) = match rest.strip_prefix('[').map(|inside| inside.split_once(']')) {
        Some(Some((inside, ""))) => (format!("[{inside}]"), None),
        Some(Some((inside, after))) => (format!("[{inside}]"), after.strip_prefix(':').or(Some(""))),
        Some(None) => return wrong("the bracket is not closed"),
        None if rest.matches(':').count() > 1 => return wrong("an IPv6 address stands in brackets"),
        None => match rest.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (rest.to_owned(), None),
        },
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]%".contains(c);
    if host.trim_matches(['[', ']']).is_empty() || !host.chars().all(is_host) {
        return wrong("there is no host");
    }
    match written.map_or(Some(port), |text| text.parse().ok().filter(|port| *port != 0)) {
        Some(port) => Ok(format!("{host}:{port}")),
        None => wrong("the port is not a number from 1 to 65535"),
    }
}

/// The admin port beside a client port.
fn beside(client: &str) -> Result<String, Failure> {
    let port = client.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match port.and_then(|(host, port)| Some((host, port.checked_add(ADMIN_PORT - CLIENT_PORT)?))) {
        Some((host, port)) => Ok(format!("{host}:{port}")),
        None => {
            Err(Failure::usage(format!("endpoint `{client}` leaves no admin port; name it with --admin HOST:PORT")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Connection, Endpoints, parse};
    use crate::error::Exit;

    #[test]
    fn an_endpoint_is_a_host_with_or_without_a_port() {
        for (text, expected) in [
            ("localhost", "localhost:7400"),
            ("10.0.0.1:99", "10.0.0.1:99"),
            ("http://demo-0.demo:7400/", "demo-0.demo:7400"),
            ("[::1]", "[::1]:7400"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(parse(text, 7400).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_endpoint_says_so_and_how_to_write_one() {
        for text in ["", ":7400", "a:b", "a:0", "a:70000", "https://a", "::1", "[::1", "[]:1", "a b", "a/b", "[::1]x"] {
            let failure = parse(text, 7400).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            assert!(failure.message.contains(&format!("`{text}`")), "{}", failure.message);
            assert!(failure.hint.contains("HOST:PORT"));
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_the_admin_port_is_beside() {
        let flags = Connection { endpoint: vec!["a:1".to_owned()], ..Connection::default() };
        let found = Endpoints::choose(&flags, "b:2").unwrap();
        assert_eq!(found.client, ["a:1"]);
        assert_eq!(found.admin.first().unwrap().address, "a:3");
        let found = Endpoints::choose(&Connection::default(), "b:2, c").unwrap();
        assert_eq!(found.client, ["b:2", "c:7400"]);
    }

    #[test]
    fn without_any_the_failure_tells_all_three_ways() {
        let data = std::env::temp_dir().join("driftkv-no-such-directory");
        let failure = Endpoints::choose(&Connection { data: Some(data), ..Connection::default() }, "b:2").unwrap_err();
        for way in ["driftkv up", "--endpoint", "DRIFTKV_ENDPOINTS"] {
            assert!(failure.hint.contains(way));
        }
    }
}
