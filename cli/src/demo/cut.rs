//! The demo's second part: a cluster cut in two takes writes on both sides, and loses none when it heals.
//! Follows Dynamo (SOSP 2007) 4.4 to 4.6: siblings, sloppy quorums and hints.

use bytes::Bytes;
use driftkv_proto::faults::Experiment;
use driftkv_proto::v1::{Layout, StatusReply};

use super::stage::Stage;
use super::{BUCKET, CONVERGE_MAX, NOTICE_MAX, short, talk};
use crate::error::Failure;
use crate::ring::{self, Place};
use crate::style::count;
use crate::up::plan::NodePlan;
use crate::up::settle;
use crate::{chaos, show, token};

/// How many of the nodes, from the first on, are cut off from the others.
const SMALL_SIDE: usize = 2;
/// What is written at the first node of each side.
const WRITES: [(usize, &str); 2] = [(0, "bread, milk"), (SMALL_SIDE, "bread, eggs")];
const MERGED: &str = "bread, milk, eggs";

/// A key with owners on both sides of the cut to come.
pub fn divided_key(layout: &Layout, nodes: &[NodePlan]) -> Result<(String, Place), Failure> {
    let is_small = |name: &str| nodes.iter().take(SMALL_SIDE).any(|node| node.name == name);
    for number in 1..1000 {
        let key = if number == 1 { "cart".to_owned() } else { format!("cart-{number}") };
        let place = ring::place(layout, BUCKET, &key);
        let small = place.primaries.iter().filter(|member| is_small(&member.name)).count();
        if small > 0 && small < place.primaries.len() {
            return Ok((key, place));
        }
    }
    Err(Failure::failed("no key has owners on both sides of the cut"))
}

/// Cuts the network and waits until every node has noticed.
pub async fn cut(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Cut the network in two")?;
    let nodes = stage.plan.nodes.clone();
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let (small, large) = names.split_at(SMALL_SIDE.min(names.len()));
    let text = format!(
        "id: cut\nfor: 1m\nallowQuorumLoss: true\nfaults:\n- {{kind: partition, groups: [[{}], [{}]]}}\n",
        small.join(", "),
        large.join(", ")
    );
    stage.say("Faults are part of the API: the nodes themselves drop what would cross the cut.")?;
    stage.command("cat cut.yaml")?;
    stage.see(&text)?;
    stage.command("driftkv chaos apply -f cut.yaml")?;
    let experiment = Experiment::parse(&text).map_err(|error| Failure::failed(error.to_string()))?;
    let (told, verdict) = chaos::apply(&stage.plan.admin_endpoints(), &text, &experiment).await;
    stage.see(&told)?;
    verdict?;
    let is_split = |status: &StatusReply| {
        let is_mine = |name: &str| small.contains(&name) == small.contains(&status.name.as_str());
        status.peers.len() + 1 == names.len()
            && status.peers.iter().all(|peer| peer.is_reachable == is_mine(&peer.name))
    };
    settle::wait_for(&nodes, NOTICE_MAX, "notices the cut", is_split).await?;
    stage.see("every node has noticed: each reaches its own side only")
}

/// Writes the key on both sides, with the same context.
pub async fn diverge(stage: &mut Stage, key: &str, context: &Bytes) -> Result<(), Failure> {
    stage.step("Write the same key on both sides")?;
    stage.say("Both writers have read \"bread\", neither can see the other. Both writes are taken:\nfallbacks stand in for the primaries of the other side, and keep hints for them.")?;
    let token = short(&token::of_context(context));
    for (index, value) in WRITES {
        let node = stage.node(index)?;
        stage.command(&format!("driftkv put {key} '{value}' --context {token} --endpoint {}", node.client()))?;
        let put = talk::put(&node, key, value, context.clone()).await?;
        stage.see(&show::achieved(put.achieved.unwrap_or_default(), "written: on disk at"))?;
    }
    for (index, value) in WRITES {
        let node = stage.node(index)?;
        stage.command(&format!("driftkv get {key} --endpoint {}", node.client()))?;
        let get = talk::get(&node, key, 0).await?;
        stage.see(&talk::values(&get).join("\n"))?;
        talk::expect(&get, &[value])?;
    }
    Ok(())
}

/// Ends the cut, waits until the owners are equal without anybody reading, and shows both values. Returns their context.
pub async fn heal(stage: &mut Stage, key: &str, place: &Place) -> Result<Bytes, Failure> {
    stage.step("Heal, and wait for the replicas to agree")?;
    stage.say("Nobody reads or writes meanwhile: hints and anti-entropy do the work.")?;
    let (nodes, partition) = (stage.plan.nodes.clone(), place.partition);
    let owners = talk::owners(&nodes, place);
    stage.see(&talk::digests_text("before", &owners, partition).await?)?;
    stage.command("driftkv chaos clear cut")?;
    for (_, answer) in chaos::clear(&stage.plan.admin_endpoints(), "cut").await {
        answer?;
    }
    let is_whole = |status: &StatusReply| {
        status.peers.len() + 1 == nodes.len() && status.peers.iter().all(|peer| peer.is_reachable)
    };
    settle::wait_for(&nodes, NOTICE_MAX, "notices the heal", is_whole).await?;
    stage.see("every node reaches every other again")?;
    let is_drained = |status: &StatusReply| status.hints.iter().all(|hint| hint.hints == 0);
    settle::wait_for(&nodes, CONVERGE_MAX, "hands over its hints", is_drained).await?;
    talk::until(CONVERGE_MAX, "the owners' digests are not equal", async || talk::agree(&owners, partition).await)
        .await?;
    stage.see(&talk::digests_text("after", &owners, partition).await?)?;
    let last = stage.last_node()?;
    stage.command(&format!("driftkv get {key} --endpoint {}", last.client()))?;
    let get = talk::get(&last, key, 0).await?;
    stage.see(&format!("{}, nothing was thrown away:", count(get.siblings.len() as u64, "sibling")))?;
    for (number, value) in (1..).zip(talk::values(&get)) {
        stage.see(&format!("  {number}  {value}"))?;
    }
    talk::expect(&get, &WRITES.map(|(_, value)| value))?;
    Ok(get.context)
}

/// Replaces both values by one.
pub async fn resolve(stage: &mut Stage, key: &str, context: Bytes) -> Result<(), Failure> {
    stage.step("Resolve: put what it should be, with the context that saw both")?;
    let token = short(&token::of_context(&context));
    stage.command(&format!("driftkv put {key} '{MERGED}' --context {token}"))?;
    let put = talk::put(&stage.node(0)?, key, MERGED, context).await?;
    stage.see(&show::achieved(put.achieved.unwrap_or_default(), "written: on disk at"))?;
    let node = stage.node(SMALL_SIDE)?;
    let all = stage.plan.spec.replication_factor;
    stage.command(&format!("driftkv get {key} -r {all} --endpoint {}", node.client()))?;
    let get = talk::get(&node, key, all).await?;
    stage.see(&talk::values(&get).join("\n"))?;
    talk::expect(&get, &[MERGED])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{SMALL_SIDE, divided_key};
    use crate::up::plan::{Plan, manifest};
    use driftkv_proto::v1::{Layout, Member};
    use std::path::Path;

    const LOCAL: &str = include_str!("../../../examples/local.yaml");

    #[test]
    fn the_key_of_the_demo_has_owners_on_both_sides() {
        let plan = Plan::new(&manifest(LOCAL, "local.yaml").unwrap(), Path::new("/data"), 7400).unwrap();
        let member = |index: u32| Member { name: format!("demo-{index}"), ..Member::default() };
        // Partitions from 0 on belong to demo-2, 3 and 4 alone but for one in four.
        let owners = (0..256).flat_map(|p| if p % 4 == 0 { [0, 2, 3] } else { [2, 3, 4] }).collect();
        let members = (0..5).map(member).collect();
        let layout = Layout { partitions: 256, replication_factor: 3, members, owners, ..Layout::default() };
        let (_, place) = divided_key(&layout, &plan.nodes).unwrap();
        assert_eq!(place.partition % 4, 0);
        assert_eq!(SMALL_SIDE, 2);
    }
}
