//! What the demo asks of one chosen node, and how it waits.
//! Invariant: every wait has a deadline, and looks at what nodes say, never at a clock alone.

use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::client::{Client, GetOptions, PutOptions};
use driftkv_proto::{BUCKET_DEFAULT, v1};
use tokio::time::{Instant, timeout_at};

use crate::admin;
use crate::error::Failure;
use crate::ring::Place;
use crate::style::{self, hex};
use crate::up::plan::NodePlan;
use crate::up::settle::{Candidate, poll_ticks};

/// Puts through `node`.
pub async fn put(node: &NodePlan, key: &str, value: &str, context: Bytes) -> Result<v1::PutReply, Failure> {
    let options = PutOptions { context, ..PutOptions::default() };
    let reply = client(node)?.put(BUCKET_DEFAULT, key.to_owned(), value.to_owned(), options).await;
    reply.map_err(|error| Failure::kv(&error))
}

/// Gets through `node`; `r` 0 is the cluster's default.
pub async fn get(node: &NodePlan, key: &str, r: u32) -> Result<v1::GetReply, Failure> {
    let options = GetOptions { r, ..GetOptions::default() };
    client(node)?.get(BUCKET_DEFAULT, key.to_owned(), options).await.map_err(|error| Failure::kv(&error))
}

fn client(node: &NodePlan) -> Result<Client, Failure> {
    Client::connect(vec![node.client()]).map_err(|error| Failure::kv(&error))
}

/// The values of all siblings.
pub fn values(reply: &v1::GetReply) -> Vec<String> {
    reply.siblings.iter().map(|sibling| style::value(&sibling.value, 0)).collect()
}

/// Fails unless the siblings are exactly these values, in any order.
pub fn expect(reply: &v1::GetReply, expected: &[&str]) -> Result<(), Failure> {
    let mut found: Vec<&[u8]> = reply.siblings.iter().map(|sibling| sibling.value.as_ref()).collect();
    let mut wanted: Vec<&[u8]> = expected.iter().map(|value| value.as_bytes()).collect();
    found.sort();
    wanted.sort();
    if found == wanted {
        return Ok(());
    }
    let [expected, found] = [expected.join(" | "), values(reply).join(" | ")];
    Err(Failure::failed(format!("this is not what was told: expected {expected}, found {found}")))
}

/// The nodes that own the partition of `place`, first primary first.
pub fn owners(nodes: &[NodePlan], place: &Place) -> Vec<NodePlan> {
    let node = |name: &str| nodes.iter().find(|node| node.name == name).cloned();
    place.primaries.iter().filter_map(|member| node(&member.name)).collect()
}

/// The digests that `nodes` have of a partition, with the nodes' names.
pub async fn digests(nodes: &[NodePlan], partition: u32) -> Result<Vec<(String, v1::DigestReply)>, Failure> {
    let endpoints: Vec<_> = nodes.iter().map(NodePlan::admin_endpoint).collect();
    let question =
        move |mut client: admin::AdminClient| async move { client.digest(v1::DigestRequest { partition }).await };
    let answers = admin::ask_all(&endpoints, question).await;
    answers.into_iter().map(|(node, answer)| Ok((node.name, answer?))).collect()
}

/// The same in words, a line a node.
pub async fn digests_text(when: &str, nodes: &[NodePlan], partition: u32) -> Result<String, Failure> {
    let mut out = format!("digests of partition {partition} {when}:");
    for (name, digest) in digests(nodes, partition).await? {
        let root = if digest.is_built { hex(&digest.root) } else { "(being built)".to_owned() };
        out += &format!("\n  {name}  {root}");
    }
    Ok(out)
}

/// Whether all of `nodes` store the same of a partition.
pub async fn agree(nodes: &[NodePlan], partition: u32) -> Result<Option<()>, Failure> {
    let digests = digests(nodes, partition).await?;
    let first = digests.first().map(|(_, digest)| digest.root.clone());
    let is_same = digests.iter().all(|(_, digest)| digest.is_built && Some(&digest.root) == first.as_ref());
    Ok(is_same.then_some(()))
}

/// The hints that `nodes` keep for the node of that name.
pub async fn hints_for(nodes: &[NodePlan], name: &str) -> Result<u64, Failure> {
    let endpoints: Vec<_> = nodes.iter().map(NodePlan::admin_endpoint).collect();
    let mut sum = 0;
    for (_, answer) in admin::statuses(&endpoints).await {
        sum += answer?.hints.iter().filter(|hint| hint.name == name).map(|hint| hint.hints).sum::<u64>();
    }
    Ok(sum)
}

/// Asks again and again until there is an answer; `problem` is the sentence if there is none in time.
pub async fn until<T>(
    limit: Duration,
    problem: &str,
    mut probe: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + limit;
    let late = || Failure::unavailable(format!("after {} s {problem}", limit.as_secs()));
    let mut ticks = poll_ticks();
    loop {
        ticks.tick().await;
        if let Some(answer) = timeout_at(deadline, probe()).await.map_err(|_| late())?? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(late());
        }
    }
}
