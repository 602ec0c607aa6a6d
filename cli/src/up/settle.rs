//! From processes to a cluster: all live, one layout, all serving.
//! Follows design.md, Layouts: one bootstrap, fenced by the cluster id; the same request again is answered the same, so
//! a bootstrap that was cut off halfway is finished with the layout that some nodes already have.
//! Invariant: a directory that was emptied or swapped is never given a layout that names another incarnation.

use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::v1::{BootstrapRequest, Layout, Member, StatusReply};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::plan::{NodePlan, Plan};
use super::process::log_tail;
use crate::admin;
use crate::error::Failure;
use crate::style::hex;

const LIVE_MAX: Duration = Duration::from_secs(30);
const SERVING_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

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
pub async fn settle(nodes: &[NodePlan], plan: &Plan) -> Result<Settled, Failure> {
    let statuses = wait_for(nodes, LIVE_MAX, "answers", |_| true).await?;
    let settled = match common_cluster(nodes, &statuses)? {
        None => {
            let id = Bytes::copy_from_slice(&rand::random::<u128>().to_be_bytes());
            let members = nodes.iter().zip(&statuses).map(|(node, status)| member(node, status.incarnation)).collect();
            let request = BootstrapRequest {
                cluster_id: id.clone(),
                partitions: plan.spec.partitions,
                replication_factor: plan.spec.replication_factor,
                members,
            };
            bootstrap(nodes, &request).await?;
            Settled::Bootstrapped(id)
        }
        Some(id) => {
            let layout = admin::layout(&plan.admin_endpoints()).await?;
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
pub async fn wait_for(
    nodes: &[NodePlan],
    limit: Duration,
    what: &str,
    passes: impl Fn(&StatusReply) -> bool,
) -> Result<Vec<StatusReply>, Failure> {
    let endpoints: Vec<_> = nodes.iter().map(NodePlan::admin_endpoint).collect();
    let deadline = Instant::now() + limit;
    let mut ticks = poll_ticks();
    loop {
        ticks.tick().await;
        let answers = timeout_at(deadline, admin::statuses(&endpoints)).await.unwrap_or_default();
        let passed: Vec<StatusReply> =
            answers.iter().filter_map(|(_, answer)| answer.clone().ok()).filter(|status| passes(status)).collect();
        if passed.len() == nodes.len() {
            return Ok(passed);
        }
        if Instant::now() < deadline {
            continue;
        }
        let late = nodes.iter().find(|node| !passed.iter().any(|status| status.name == node.name));
        let name = late.map(|node| node.name.as_str()).unwrap_or_default();
        let failure = Failure::unavailable(format!("{name} neither {what} nor ends after {} s", limit.as_secs()));
        return Err(failure.hint(late.map(|node| log_tail(&node.log)).unwrap_or_default()));
    }
}

/// The rhythm in which conditions are looked at.
pub fn poll_ticks() -> tokio::time::Interval {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The cluster that the nodes belong to; `None` if all are empty.
fn common_cluster(nodes: &[NodePlan], statuses: &[StatusReply]) -> Result<Option<Bytes>, Failure> {
    let mut ids: Vec<&Bytes> = statuses.iter().map(|status| &status.cluster_id).filter(|id| !id.is_empty()).collect();
    ids.sort();
    ids.dedup();
    match ids.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        _ => {
            let lines = nodes.iter().zip(statuses);
            let lines = lines.map(|(node, status)| format!("\n  {}: {}", node.data.display(), hex(&status.cluster_id)));
            let message = format!("the data directories belong to different clusters:{}", lines.collect::<String>());
            Err(Failure::failed(message)
                .hint("Put back the directories that belong together, or use another --data DIR."))
        }
    }
}

/// Refuses nodes whose data directory is not the one that the layout names.
fn check_members(nodes: &[NodePlan], statuses: &[StatusReply], layout: &Layout) -> Result<(), Failure> {
    for (node, status) in nodes.iter().zip(statuses) {
        let Some(expected) = layout.members.iter().find(|member| member.name == node.name) else {
            return Err(Failure::failed(format!("the layout has no member {}", node.name)));
        };
        if expected.incarnation != status.incarnation {
            let path = node.data.display();
            let message = match status.cluster_id.is_empty() {
                true => format!("{}: {path} is empty, but the cluster knows another directory by that name", node.name),
                false => format!("{}: {path} is not the directory that the cluster knows by that name", node.name),
            };
            let hint = "A node's data cannot be replaced by an empty directory: its acknowledged writes would be lost.\n\
                        Put the directory back, or start a new cluster with another --data DIR.";
            return Err(Failure::failed(message).hint(hint));
        }
        if expected.peer_address != node.peer() {
            let (known, now) = (&expected.peer_address, node.peer());
            let message = format!("{}: the cluster knows it at {known}, now it would be {now}", node.name);
            return Err(Failure::failed(message).hint("Start it with the --base-port it was made with."));
        }
    }
    Ok(())
}

async fn bootstrap(nodes: &[NodePlan], request: &BootstrapRequest) -> Result<(), Failure> {
    let endpoints: Vec<_> = nodes.iter().map(NodePlan::admin_endpoint).collect();
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

fn member(node: &NodePlan, incarnation: u64) -> Member {
    Member {
        incarnation,
        name: node.name.clone(),
        zone: node.zone.clone(),
        capacity: 1,
        client_address: node.client(),
        peer_address: node.peer(),
        admin_address: node.admin(),
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
