//! `driftkv demo`: what a leaderless store does, told on five real processes in under a minute.
//! Each step says what it does, waits for a condition with a deadline, and shows what one sees; the commands shown are
//! those that do the same. Ends clean: processes stopped, directory gone. After a failure the directory stays, for its logs.

mod stage;
mod talk;

use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::faults::Experiment;
use driftkv_proto::v1::{Layout, StatusReply};

use crate::error::Failure;
use crate::ring::{self, Place};
use crate::style::{self, Paint, count, hex};
use crate::up::plan::NodePlan;
use crate::up::settle;
use crate::up::signals::Signals;
use crate::{admin, chaos, show};
use stage::Stage;

const BUCKET: &str = driftkv_proto::BUCKET_DEFAULT;
const NOTICE_MAX: Duration = Duration::from_secs(15);
const CONVERGE_MAX: Duration = Duration::from_secs(20);
const ORDERS: usize = 20;
/// How many of the nodes are cut off from the others.
const SMALL_SIDE: usize = 2;

/// Runs the command.
pub async fn run() -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut stage = Stage::open()?;
    let outcome = tokio::select! {
        outcome = story(&mut stage) => outcome,
        () = signals.next() => Err(Failure::failed("interrupted")),
    };
    stage.close(outcome).await
}

async fn story(stage: &mut Stage) -> Result<(), Failure> {
    begin(stage).await?;
    let layout = admin::layout(&stage.plan.admin_endpoints()).await?;
    let (key, place) = divided_key(&layout, &stage.plan.nodes)?;
    let context = put_and_get(stage, &key).await?;
    who_owns_it(stage, &layout, &key, &place)?;
    cut(stage).await?;
    diverge(stage, &key, &context).await?;
    let context = heal(stage, &key, &place).await?;
    resolve(stage, &key, context).await?;
    let victim = largest_owner(&layout, &stage.plan.nodes);
    let orders = kill_and_write(stage, &layout, victim).await?;
    bring_back(stage, victim, &orders).await
}

async fn begin(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Five nodes from one manifest")?;
    stage.command("driftkv up -f examples/local.yaml")?;
    stage.say("No node is special: any of them takes reads and writes for any key.")?;
    stage.start().await?;
    let table = stage.plan.table(Paint::stdout(), &stage.pids());
    style::print(table)
}

/// A key with owners on both sides of the cut to come.
fn divided_key(layout: &Layout, nodes: &[NodePlan]) -> Result<(String, Place), Failure> {
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

async fn put_and_get(stage: &mut Stage, key: &str) -> Result<Bytes, Failure> {
    stage.step("Put through one node, get through another")?;
    let [first, last] = [stage.node(0)?, stage.node(stage.plan.nodes.len() - 1)?];
    stage.command(&format!("driftkv put {key} bread --endpoint {}", first.client()))?;
    let put = talk::put(&first, key, "bread", Bytes::new()).await?;
    stage.see(&show::achieved(put.achieved.unwrap_or_default(), "written: on disk at"))?;
    stage.command(&format!("driftkv get {key} --endpoint {}", last.client()))?;
    let get = talk::get(&last, key, 0).await?;
    stage.see(&talk::values(&get).join(", "))?;
    stage.see(&show::achieved(get.achieved.unwrap_or_default(), "answered by"))?;
    Ok(get.context)
}

fn who_owns_it(stage: &mut Stage, layout: &Layout, key: &str, place: &Place) -> Result<(), Failure> {
    stage.step("Which nodes own the key")?;
    stage.command(&format!("driftkv ring {key}"))?;
    let paint = Paint::stdout();
    style::print(
        ring::picture(paint, layout, Some(place)) + "\n" + &ring::describe(paint, layout, place, BUCKET, key),
    )?;
    stage.say("Its three primaries keep it, each in another zone; fallbacks stand in for those that are away.")
}

fn side_names(nodes: &[NodePlan]) -> (Vec<&str>, Vec<&str>) {
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let (small, large) = names.split_at(SMALL_SIDE.min(names.len()));
    (small.to_vec(), large.to_vec())
}

async fn cut(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Cut the network in two")?;
    let nodes = stage.plan.nodes.clone();
    let (small, large) = side_names(&nodes);
    let text = format!(
        "id: cut\nfor: 1m\nallowQuorumLoss: true\nfaults:\n  - kind: partition\n    groups: [[{}], [{}]]\n",
        small.join(", "),
        large.join(", ")
    );
    stage.command("driftkv chaos apply -f cut.yaml")?;
    stage.see(text.trim_end())?;
    let experiment = Experiment::parse(&text).map_err(|error| Failure::failed(error.to_string()))?;
    chaos::apply(&stage.plan.admin_endpoints(), &text, &experiment).await?;
    let is_split = |status: &StatusReply| {
        let is_small = |name: &str| small.contains(&name);
        let mine = is_small(&status.name);
        status.peers.iter().all(|peer| peer.is_reachable == (is_small(&peer.name) == mine))
    };
    settle::wait_for(&nodes, NOTICE_MAX, "notices the cut", is_split).await?;
    stage.see("every node has noticed: each reaches its own side only")
}

async fn diverge(stage: &mut Stage, key: &str, context: &Bytes) -> Result<(), Failure> {
    stage.step("Write the same key on both sides")?;
    stage.say("Both writers have read \"bread\", neither can see the other; the store takes both writes.")?;
    for (index, value) in [(0, "bread, milk"), (SMALL_SIDE, "bread, eggs")] {
        let node = stage.node(index)?;
        let token = crate::token::of_context(context);
        stage.command(&format!("driftkv put {key} '{value}' --context {token} --endpoint {}", node.client()))?;
        let put = talk::put(&node, key, value, context.clone()).await?;
        stage.see(&show::achieved(put.achieved.unwrap_or_default(), "written: on disk at"))?;
    }
    for index in [0, SMALL_SIDE] {
        let node = stage.node(index)?;
        let get = talk::get(&node, key, 0).await?;
        stage.see(&format!("{} reads: {}", node.name, talk::values(&get).join(" | ")))?;
    }
    Ok(())
}

async fn heal(stage: &mut Stage, key: &str, place: &Place) -> Result<Bytes, Failure> {
    stage.step("Heal, and wait for the replicas to agree")?;
    let nodes = stage.plan.nodes.clone();
    let owners = talk::owners(&nodes, place);
    stage.see(&format!(
        "digests of partition {} now: {}",
        place.partition,
        talk::digests_text(&owners, place.partition).await?
    ))?;
    stage.command("driftkv chaos clear cut")?;
    for (_, answer) in chaos::clear(&stage.plan.admin_endpoints(), "cut").await {
        answer?;
    }
    let is_whole = |status: &StatusReply| status.peers.iter().all(|peer| peer.is_reachable);
    settle::wait_for(&nodes, NOTICE_MAX, "notices the heal", is_whole).await?;
    stage.see(
        "every node reaches every other again; nobody reads or writes while hints and anti-entropy do their work",
    )?;
    let is_drained = |status: &StatusReply| status.hints.iter().all(|hint| hint.hints == 0);
    settle::wait_for(&nodes, CONVERGE_MAX, "hands over its hints", is_drained).await?;
    let partition = place.partition;
    talk::until(CONVERGE_MAX, "the owners' digests are not equal", async || talk::agree(&owners, partition).await)
        .await?;
    stage.see(&format!("digests of partition {partition} now: {}", talk::digests_text(&owners, partition).await?))?;
    stage.command(&format!("driftkv get {key}"))?;
    let get = talk::get(&stage.node(stage.plan.nodes.len() - 1)?, key, 0).await?;
    stage.see(&format!("{}, nothing was thrown away:", count(get.siblings.len() as u64, "sibling")))?;
    for (number, value) in (1..).zip(talk::values(&get)) {
        stage.see(&format!("  {number}  {value}"))?;
    }
    match get.siblings.len() {
        2 => Ok(get.context),
        found => Err(Failure::failed(format!("expected 2 siblings, found {found}"))),
    }
}

async fn resolve(stage: &mut Stage, key: &str, context: Bytes) -> Result<(), Failure> {
    stage.step("Resolve: put what it should be, with the context that saw both")?;
    let merged = "bread, milk, eggs";
    stage.command(&format!("driftkv put {key} '{merged}' --context {}", crate::token::of_context(&context)))?;
    talk::put(&stage.node(0)?, key, merged, context).await?;
    let node = stage.node(SMALL_SIDE)?;
    let get = talk::get(&node, key, stage.plan.spec.replication_factor).await?;
    stage.see(&format!("{} asks all owners and reads: {}", node.name, talk::values(&get).join(" | ")))?;
    match get.siblings.len() {
        1 => Ok(()),
        found => Err(Failure::failed(format!("expected one value, found {found}"))),
    }
}

/// The index of the node with the most copies.
fn largest_owner(layout: &Layout, nodes: &[NodePlan]) -> usize {
    let tokens = |node: &NodePlan| {
        let is_it = |owner: &&u32| layout.members.get(**owner as usize).is_some_and(|member| member.name == node.name);
        layout.owners.iter().filter(is_it).count()
    };
    nodes.iter().enumerate().max_by_key(|(_, node)| tokens(node)).map_or(0, |(index, _)| index)
}

async fn kill_and_write(stage: &mut Stage, layout: &Layout, victim: usize) -> Result<Vec<(String, Place)>, Failure> {
    let node = stage.node(victim)?;
    stage.step(&format!("Kill a node, and go on writing to its keys ({})", node.name))?;
    stage.command(&format!("kill -9 {}", stage.pid(victim)))?;
    stage.kill(victim).await?;
    let others = stage.others(victim);
    let has_noticed = |status: &StatusReply| {
        status.peers.iter().all(|peer| if peer.name == node.name { !peer.is_reachable } else { peer.is_reachable })
    };
    settle::wait_for(&others, NOTICE_MAX, "notices the death", has_noticed).await?;
    stage.see(&format!("the others no longer reach {}", node.name))?;
    let keys = (1..10_000).map(|number| format!("order-{number}"));
    let placed = keys.map(|key| (ring::place(layout, BUCKET, &key), key));
    let owned = placed.filter(|(place, _)| place.primaries.iter().any(|member| member.name == node.name));
    let orders: Vec<(String, Place)> = owned.take(ORDERS).map(|(place, key)| (key, place)).collect();
    let writer = others.first().cloned().ok_or_else(|| Failure::failed("no node is left"))?;
    stage.command(&format!("for each of {}: driftkv put order-… paid --endpoint {}", orders.len(), writer.client()))?;
    for (key, _) in &orders {
        talk::put(&writer, key, "paid", Bytes::new()).await?;
    }
    stage.see(&format!("{} of {} acknowledged: fallbacks stand in and keep hints", orders.len(), orders.len()))?;
    let expected = orders.len() as u64;
    let name = node.name.clone();
    let all = async || Ok(Some(talk::hints_for(&others, &name).await?).filter(|hints| *hints >= expected));
    let hints = talk::until(NOTICE_MAX, "hints are missing", all).await?;
    stage.command("driftkv status")?;
    stage.see(&format!("{} wait for {}", count(hints, "hint"), node.name))?;
    Ok(orders)
}

async fn bring_back(stage: &mut Stage, victim: usize, orders: &[(String, Place)]) -> Result<(), Failure> {
    let node = stage.node(victim)?;
    stage.step(&format!("Bring it back on its disk, and watch its hints arrive ({})", node.name))?;
    stage.restart(victim)?;
    let others = stage.others(victim);
    let mut last = u64::MAX;
    let nothing_waits = async || {
        let hints = talk::hints_for(&others, &node.name).await?;
        if hints != last {
            stage.see(&format!("{} wait for {}", count(hints, "hint"), node.name))?;
            last = hints;
        }
        Ok((hints == 0).then_some(()))
    };
    talk::until(CONVERGE_MAX, "hints are left", nothing_waits).await?;
    let nodes = stage.plan.nodes.clone();
    settle::wait_for(&nodes, NOTICE_MAX, "serves", |status| status.state == "serving").await?;
    for (_, place) in orders {
        let owners = talk::owners(&nodes, place);
        talk::until(CONVERGE_MAX, "the owners' digests are not equal", async || {
            talk::agree(&owners, place.partition).await
        })
        .await?;
    }
    stage.see(&format!(
        "all {} are on {} too: in each partition its digest equals the other owners'",
        orders.len(),
        node.name
    ))?;
    if let Some((key, place)) = orders.first() {
        let root = talk::digests(&talk::owners(&nodes, place), place.partition).await?;
        let root = root.first().map(|(_, digest)| hex(&digest.root)).unwrap_or_default();
        let get = talk::get(&node, key, 0).await?;
        stage.see(&format!(
            "{key}, partition {}, digest {root}: {}",
            place.partition,
            talk::values(&get).join(" | ")
        ))?;
    }
    Ok(())
}
