//! From processes to a cluster: all live, one layout, all serving.
//! Follows design.md, Layouts: one bootstrap, fenced by the cluster id; the same request again is answered the same, so
//! a bootstrap that was cut off halfway is finished with the layout that some nodes already have.
//! Invariant: a directory that was emptied or swapped is never given a layout that names another incarnation.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::v1::{BootstrapRequest, Layout, Member, StatusReply};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::process::log_tail;
use crate::admin;
use crate::endpoints::AdminEndpoint;
use crate::error::Failure;
use crate::style::hex;

const LIVE_MAX: Duration = Duration::from_secs(30);
const SERVING_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A node on its way into a cluster.
pub trait Candidate: Clone {
    /// Its admin port, and what to call it.
    fn admin_endpoint(&self) -> AdminEndpoint;
    /// What a new layout says of it.
    fn member(&self, incarnation: u64) -> Member;
    /// Where its data is, in words.
    fn place(&self) -> String;
    /// Its log, if that is a file of ours.
    fn log(&self) -> Option<&Path>;
}

/// How the nodes became a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// They were empty.
    Bootstrapped(Bytes),
    /// They had been one before.
    Adopted(Bytes),
}

impl Settled {
    /// For a person.
    pub fn sentence(&self) -> String {
        match self {
            Self::Bootstrapped(id) => format!("all nodes serve; new cluster {}", hex(id)),
            Self::Adopted(id) => format!("all nodes serve; cluster {}, as before", hex(id)),
        }
    }
}

/// Waits until all nodes are live, gives them their layout if they have none, and waits until all serve.
pub async fn settle<N: Candidate>(nodes: &[N], partitions: u32, replication_factor: u32) -> Result<Settled, Failure> {
    let statuses = wait_for(nodes, LIVE_MAX, "answers", |_| true).await?;
    let settled = match common_cluster(nodes, &statuses)? {
        None => {
            let id = Bytes::copy_from_slice(&rand::random::<u128>().to_be_bytes());
            let members = nodes.iter().zip(&statuses).map(|(node, status)| node.member(status.incarnation)).collect();
            let request = BootstrapRequest { cluster_id: id.clone(), partitions, replication_factor, members };
            bootstrap(nodes, &request).await?;
            Settled::Bootstrapped(id)
        }
        Some(id) => {
            let layout = admin::layout(&admin_endpoints(nodes)).await?;
            check_members(nodes, &statuses, &layout)?;
            let pairs = nodes.iter().zip(&statuses);
            let empty = pairs.filter(|(_, status)| status.cluster_id.is_empty()).map(|(node, _)| node.clone());
            bootstrap(&empty.collect::<Vec<_>>(), &request_of(layout)).await?;
            Settled::Adopted(id)
        }
    };
    wait_for(nodes, SERVING_MAX, "serves", |status| status.state == "serving").await?;
    Ok(settled)
}

/// Polls until every node's status passes, and returns the statuses in the nodes' order.
pub async fn wait_for<N: Candidate>(
    nodes: &[N],
    limit: Duration,
    what: &str,
    passes: impl Fn(&StatusReply) -> bool,
) -> Result<Vec<StatusReply>, Failure> {
    let endpoints = admin_endpoints(nodes);
    let deadline = Instant::now() + limit;
    let mut ticks = poll_ticks();
    loop {
        ticks.tick().await;
        let answers = timeout_at(deadline, admin::statuses(&endpoints)).await.unwrap_or_default();
        let passed: Vec<Option<StatusReply>> =
            answers.into_iter().map(|(_, answer)| answer.ok().filter(|status| passes(status))).collect();
        let late = passed.iter().position(Option::is_none).or_else(|| passed.is_empty().then_some(0));
        match late.and_then(|index| nodes.get(index)) {
            None => return Ok(passed.into_iter().flatten().collect()),
            Some(node) if Instant::now() >= deadline => return Err(late_failure(node, limit, what)),
            Some(_) => {}
        }
    }
}

fn late_failure<N: Candidate>(node: &N, limit: Duration, what: &str) -> Failure {
    let (name, seconds) = (node.admin_endpoint().name, limit.as_secs());
    match node.log() {
        Some(log) => {
            Failure::unavailable(format!("{name} neither {what} nor ends after {seconds} s")).hint(log_tail(log))
        }
        None => Failure::unavailable(format!("{name}: waited {seconds} s in vain until it {what}"))
            .hint("Does it run, and can its admin port be reached from here? Its log may say more."),
    }
}

fn admin_endpoints<N: Candidate>(nodes: &[N]) -> Vec<AdminEndpoint> {
    nodes.iter().map(N::admin_endpoint).collect()
}

/// The rhythm in which conditions are looked at.
pub fn poll_ticks() -> tokio::time::Interval {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The cluster that the nodes belong to; `None` if all are empty.
fn common_cluster<N: Candidate>(nodes: &[N], statuses: &[StatusReply]) -> Result<Option<Bytes>, Failure> {
    let mut ids: Vec<&Bytes> = statuses.iter().map(|status| &status.cluster_id).filter(|id| !id.is_empty()).collect();
    ids.sort();
    ids.dedup();
    match ids.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        _ => {
            let lines = nodes.iter().zip(statuses);
            let lines = lines.map(|(node, status)| format!("\n  {}: {}", node.place(), hex(&status.cluster_id)));
            let message = format!("the data directories belong to different clusters:{}", lines.collect::<String>());
            Err(Failure::failed(message)
                .hint("Put back the directories that belong together, or begin with empty ones."))
        }
    }
}

/// Refuses nodes whose data directory is not the one that the layout names.
fn check_members<N: Candidate>(nodes: &[N], statuses: &[StatusReply], layout: &Layout) -> Result<(), Failure> {
    for (node, status) in nodes.iter().zip(statuses) {
        let now = node.member(status.incarnation);
        let Some(expected) = layout.members.iter().find(|member| member.name == now.name) else {
            return Err(Failure::failed(format!("the layout has no member {}", now.name)));
        };
        if expected.incarnation != status.incarnation {
            let (name, path) = (&now.name, node.place());
            let message = match status.cluster_id.is_empty() {
                true => format!("{name}: {path} is empty, but the cluster knows another directory by that name"),
                false => format!("{name}: {path} is not the directory that the cluster knows by that name"),
            };
            let hint = "A node's data cannot be replaced by an empty directory: its acknowledged writes would be lost.\n\
                        Put the directory back, or start a new cluster in other directories.";
            return Err(Failure::failed(message).hint(hint));
        }
        if expected.peer_address != now.peer_address {
            let (name, known, now) = (&now.name, &expected.peer_address, &now.peer_address);
            let message = format!("{name}: the cluster knows it at {known}, now it would be {now}");
            return Err(
                Failure::failed(message).hint("Start it with the addresses (`up`: the --base-port) it was made with.")
            );
        }
    }
    Ok(())
}

async fn bootstrap<N: Candidate>(nodes: &[N], request: &BootstrapRequest) -> Result<(), Failure> {
    let endpoints = admin_endpoints(nodes);
    let request = request.clone();
    let question = move |mut client: admin::AdminClient| {
        let request = request.clone();
        async move { client.bootstrap(request).await }
    };
    let mut hashes = Vec::new();
    for (_, answer) in admin::ask_all(&endpoints, question).await {
        hashes.push(answer?.layout_hash);
    }
    hashes.dedup();
    match hashes.len() {
        0 | 1 => Ok(()),
        _ => Err(Failure::failed("the nodes made different layouts of the same bootstrap")
            .hint("Are all nodes of the same version?")),
    }
}

/// The bootstrap that made this layout.
fn request_of(layout: Layout) -> BootstrapRequest {
    BootstrapRequest {
        cluster_id: layout.cluster_id,
        partitions: layout.partitions,
        replication_factor: layout.replication_factor,
        members: layout.members,
    }
}
