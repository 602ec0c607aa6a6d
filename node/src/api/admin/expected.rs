//! What a node was started with and a bootstrap must not contradict: adopted once, a layout cannot be corrected.
//! Invariant: all contradictions are told at once, each with the flag that says otherwise.
//! What was not said at the start (zone, capacity, addresses) the bootstrap decides.

use driftkv_core::id::Incarnation;
use driftkv_core::layout::{Layout, Member};

use driftkv_proto::v1::StartedWith;

use crate::config::Config;

/// The facts of one node.
#[derive(Clone, Debug)]
pub struct Expected {
    incarnation: Incarnation,
    partitions: u32,
    replication_factor: u32,
    name: String,
    zone: Option<String>,
    capacity: Option<u32>,
    client_address: Option<String>,
    peer_address: Option<String>,
    admin_address: Option<String>,
}

impl Expected {
    /// As the node was started.
    pub fn new(config: &Config, incarnation: Incarnation) -> Expected {
        Expected {
            incarnation,
            partitions: config.cluster.partitions,
            replication_factor: config.cluster.replication_factor,
            name: config.name.clone(),
            zone: config.zone.clone(),
            capacity: config.capacity,
            client_address: config.advertise_client.clone(),
            peer_address: config.advertise_peer.clone(),
            admin_address: config.advertise_admin.clone(),
        }
    }

    /// Errors: every contradiction in one text. A layout without this node is core's to refuse.
    pub fn check(&self, layout: &Layout) -> Result<(), String> {
        let mut wrong = Vec::new();
        let mut number = |flag, ours: u32, theirs: u32| compare(&mut wrong, flag, &ours, &theirs);
        number("--partitions", self.partitions, layout.partitions);
        number("--replication-factor", self.replication_factor, layout.replication_factor);
        if let Some(member) = layout.member(self.incarnation) {
            self.check_member(member, &mut wrong);
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("the bootstrap contradicts what this node was started with: {}", wrong.join("; ")))
    }

    fn check_member(&self, member: &Member, wrong: &mut Vec<String>) {
        compare(wrong, "--name", &self.name, &member.name);
        if let Some(capacity) = self.capacity {
            compare(wrong, "--capacity", &capacity, &member.capacity);
        }
        for (flag, ours, theirs) in [
            ("--zone", &self.zone, &member.zone),
            ("--advertise-client", &self.client_address, &member.client_address),
            ("--advertise-peer", &self.peer_address, &member.peer_address),
            ("--advertise-admin", &self.admin_address, &member.admin_address),
        ] {
            if let Some(ours) = ours {
                compare(wrong, flag, ours, theirs);
            }
        }
    }
}

/// The same facts for whoever is to bootstrap this node.
pub fn started_with(config: &Config) -> StartedWith {
    let address = |advertised: &Option<String>, listens: &std::net::SocketAddr| {
        advertised.clone().unwrap_or_else(|| listens.to_string())
    };
    StartedWith {
        replicas: config.cluster.replicas,
        partitions: config.cluster.partitions,
        replication_factor: config.cluster.replication_factor,
        capacity: config.capacity.unwrap_or(0),
        client_address: address(&config.advertise_client, &config.listen_client),
        peer_address: address(&config.advertise_peer, &config.listen_peer),
        admin_address: address(&config.advertise_admin, &config.listen_admin),
    }
}

fn compare<T: PartialEq + std::fmt::Display>(wrong: &mut Vec<String>, flag: &str, ours: &T, theirs: &T) {
    if ours != theirs {
        wrong.push(format!("{flag} is {ours}, the bootstrap says {theirs}"));
    }
}
