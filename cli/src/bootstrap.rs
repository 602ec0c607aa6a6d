//! `driftkv bootstrap`: nodes that somebody else started (containers, machines) become one cluster.
//! All that a layout says of a node the node says itself, so that nothing is said twice and nothing can differ.
//! Not here: the steps of a bootstrap (`up::settle`), which this shares with `up`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use driftkv_proto::v1::{Member, StartedWith, StatusReply};
use serde_json::json;

use crate::args::{BootstrapArgs, Output};
use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::Failure;
use crate::style::{self, count, hex};
use crate::up::settle::{self, Candidate, Settled};

/// A node that runs somewhere.
#[derive(Clone, Debug)]
struct Remote {
    endpoint: AdminEndpoint,
    zone: String,
    started_with: StartedWith,
}

/// Runs the command.
pub async fn run(args: &BootstrapArgs) -> Result<(), Failure> {
    let endpoints = Endpoints::find(&args.connection)?.admin;
    let unknown = endpoints.into_iter().map(Remote::unknown).collect::<Vec<_>>();
    let statuses = settle::wait_for(&unknown, args.timeout, "answers", |_| true).await?;
    let nodes: Vec<Remote> =
        unknown.iter().zip(&statuses).map(|(node, status)| node.known(status)).collect::<Result<_, _>>()?;
    let common = check(&nodes, &statuses)?;
    let settled = settle::settle(&nodes, common.partitions, common.replication_factor).await?;
    style::print(match args.output {
        Output::Text => {
            let nodes = count(nodes.len() as u64, "node");
            format!(
                "{nodes}, N={}, {} partitions: {}\n",
                common.replication_factor,
                common.partitions,
                settled.sentence()
            )
        }
        Output::Json | Output::Yaml => {
            let (Settled::Bootstrapped(id) | Settled::Adopted(id)) = &settled;
            let is_new = matches!(settled, Settled::Bootstrapped(_));
            let json = json!({ "clusterId": hex(id), "isNew": is_new, "nodes": nodes.len() });
            style::one_for_programs(args.output, &json)?
        }
    })
}

/// What all nodes were started with, if they are as many as they say and agree.
fn check(nodes: &[Remote], statuses: &[StatusReply]) -> Result<StartedWith, Failure> {
    let mut seen: BTreeMap<u64, &Remote> = BTreeMap::new();
    for (node, status) in nodes.iter().zip(statuses) {
        if let Some(other) = seen.insert(status.incarnation, node) {
            let (a, b) = (&other.endpoint.address, &node.endpoint.address);
            return Err(
                Failure::usage(format!("{a} and {b} are the same node, {}", status.name)).hint("Name each node once.")
            );
        }
    }
    let first = nodes.first().map(|node| node.started_with.clone()).unwrap_or_default();
    let facts = |with: &StartedWith| (with.replicas, with.partitions, with.replication_factor);
    if nodes.iter().any(|node| facts(&node.started_with) != facts(&first)) {
        let line = |node: &Remote| {
            let StartedWith { replicas, partitions, replication_factor, .. } = node.started_with;
            let name = &node.endpoint.name;
            format!(
                "\n  {name}: --replicas {replicas} --partitions {partitions} --replication-factor {replication_factor}"
            )
        };
        let lines: String = nodes.iter().map(line).collect();
        return Err(Failure::usage(format!("the nodes were started for different clusters:{lines}"))
            .hint("Start all of them with the same numbers. Nothing was bootstrapped."));
    }
    if first.replicas as usize != nodes.len() {
        let (named, wanted) = (count(nodes.len() as u64, "node"), first.replicas);
        return Err(Failure::usage(format!("{named} named, but they were started for a cluster of {wanted}"))
            .hint("Name all nodes with --endpoint, or start them with another --replicas. Nothing was bootstrapped."));
    }
    Ok(first)
}

impl Remote {
    /// Named by its address until it has said more.
    fn unknown(endpoint: AdminEndpoint) -> Remote {
        Remote { endpoint, zone: String::new(), started_with: StartedWith::default() }
    }

    fn known(&self, status: &StatusReply) -> Result<Remote, Failure> {
        let address = self.endpoint.address.clone();
        let Some(started_with) = status.started_with.clone() else {
            return Err(Failure::failed(format!(
                "{address}: version {} does not say how it was started",
                status.version
            )));
        };
        let endpoint = AdminEndpoint { name: status.name.clone(), address };
        Ok(Remote { endpoint, zone: status.zone.clone(), started_with })
    }

    /// An address of the node as others reach it: one that means every address stands for the host it was asked at.
    fn reached_at(&self, address: &str) -> String {
        let host = self.endpoint.address.rsplit_once(':').map_or("", |(host, _)| host);
        match address.parse::<SocketAddr>() {
            Ok(listens) if listens.ip().is_unspecified() => format!("{host}:{}", listens.port()),
            _ => address.to_owned(),
        }
    }
}

impl Candidate for Remote {
    fn admin_endpoint(&self) -> AdminEndpoint {
        self.endpoint.clone()
    }

    fn member(&self, incarnation: u64) -> Member {
        let with = &self.started_with;
        Member {
            incarnation,
            name: self.endpoint.name.clone(),
            zone: self.zone.clone(),
            capacity: with.capacity.max(1),
            client_address: self.reached_at(&with.client_address),
            peer_address: self.reached_at(&with.peer_address),
            admin_address: self.reached_at(&with.admin_address),
        }
    }

    fn place(&self) -> String {
        format!("the data at {}", self.endpoint.address)
    }

    fn log(&self) -> Option<&Path> {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{AdminEndpoint, Candidate, Remote, StartedWith, StatusReply, check};

    fn remote(address: &str, client: &str) -> Remote {
        let mut remote = Remote::unknown(AdminEndpoint { name: "n".to_owned(), address: address.to_owned() });
        remote.started_with = StartedWith {
            replicas: 2,
            partitions: 64,
            replication_factor: 1,
            client_address: client.to_owned(),
            ..StartedWith::default()
        };
        remote
    }

    #[test]
    fn a_node_that_listens_everywhere_is_reached_where_it_was_asked() {
        let client = |asked: &str, client: &str| remote(asked, client).member(1).client_address;
        assert_eq!(client("n0:7402", "0.0.0.0:7400"), "n0:7400");
        assert_eq!(client("[::1]:7402", "[::]:7400"), "[::1]:7400");
        assert_eq!(client("n0:7402", "10.0.0.7:7400"), "10.0.0.7:7400");
        assert_eq!(client("n0:7402", "store.example:1"), "store.example:1");
    }

    #[test]
    fn nodes_must_be_all_there_once_and_agree() {
        let status = |incarnation| StatusReply { incarnation, name: "n".to_owned(), ..StatusReply::default() };
        let (a, b) = (remote("a:2", "a:1"), remote("b:2", "b:1"));
        let mut other = b.clone();
        other.started_with.partitions = 128;
        let told = |nodes: &[Remote], statuses: &[StatusReply]| check(nodes, statuses).unwrap_err().message;
        assert!(check(&[a.clone(), b.clone()], &[status(1), status(2)]).is_ok());
        assert!(told(&[a.clone(), b], &[status(1), status(1)]).contains("a:2 and b:2 are the same node"));
        assert!(told(&[a.clone(), other], &[status(1), status(2)]).contains("--partitions 128"));
        assert!(told(&[a], &[status(1)]).contains("1 node named, but they were started for a cluster of 2"));
    }
}
