//! The demo's third part: a node dies without warning, the cluster takes its writes, and hands them over when it is back.
//! Follows Dynamo (SOSP 2007) 4.6, hinted handoff.

use std::collections::BTreeSet;

use bytes::Bytes;
use driftkv_proto::v1::{Layout, StatusReply};

use super::stage::Stage;
use super::{BUCKET, CONVERGE_MAX, NOTICE_MAX, talk};
use crate::error::Failure;
use crate::ring::{self, Place};
use crate::style::{Paint, count};
use crate::up::plan::NodePlan;
use crate::up::settle;
use crate::{admin, status};

/// Which node dies.
const VICTIM: usize = 3;
const ORDERS: usize = 20;
const VALUE: &str = "paid";

/// Kills a node and writes keys that it owns. Returns them with their places.
pub async fn kill_and_write(stage: &mut Stage, layout: &Layout) -> Result<Vec<(String, Place)>, Failure> {
    let victim = stage.node(VICTIM)?;
    stage.step("Kill a node, and go on writing to its keys")?;
    stage.say(&format!("{} gets no warning. Writes to the keys it owns still need two disks.", victim.name))?;
    stage.command(&format!("kill -9 {}", stage.pid(VICTIM)))?;
    stage.kill(VICTIM).await?;
    let others = stage.others(VICTIM);
    let has_noticed = |status: &StatusReply| {
        status.peers.iter().any(|peer| peer.name == victim.name)
            && status.peers.iter().all(|peer| peer.is_reachable == (peer.name != victim.name))
    };
    settle::wait_for(&others, NOTICE_MAX, "notices the death", has_noticed).await?;
    stage.see(&format!("the others no longer reach {}", victim.name))?;
    let orders = orders_of(layout, &victim);
    let writer = stage.node(0)?;
    let [Some((first, _)), Some((last, _))] = [orders.first(), orders.last()] else {
        return Err(Failure::failed(format!("{} owns no order", victim.name)));
    };
    let client = writer.client();
    stage
        .command(&format!("driftkv put {first} {VALUE} --endpoint {client}    # … to {last}: {} keys", orders.len()))?;
    for (key, _) in &orders {
        talk::put(&writer, key, VALUE, Bytes::new()).await?;
    }
    stage.see(&format!("{} of {} acknowledged: fallbacks stand in and keep hints", orders.len(), orders.len()))?;
    let expected = orders.len() as u64;
    let all = async || Ok(Some(talk::hints_for(&others, &victim.name).await?).filter(|hints| *hints >= expected));
    talk::until(NOTICE_MAX, "hints are missing", all).await?;
    stage.command("driftkv status")?;
    let answers = admin::statuses(&stage.plan.admin_endpoints()).await;
    stage.see(&status::text(Paint::stdout(), &answers))?;
    Ok(orders)
}

/// Keys that `victim` owns.
fn orders_of(layout: &Layout, victim: &NodePlan) -> Vec<(String, Place)> {
    let keys = (1..10_000).map(|number| format!("order-{number}"));
    let placed = keys.map(|key| (ring::place(layout, BUCKET, &key), key));
    let owned = placed.filter(|(place, _)| place.primaries.iter().any(|member| member.name == victim.name));
    owned.take(ORDERS).map(|(place, key)| (key, place)).collect()
}

/// Starts the node again and waits until all that it missed is on its disk.
pub async fn bring_back(stage: &mut Stage, orders: &[(String, Place)]) -> Result<(), Failure> {
    let node = stage.node(VICTIM)?;
    stage.step("Bring it back on its disk, and watch its hints arrive")?;
    stage.say(&format!("{} asks the others first whether its disk is as new as they remember.", node.name))?;
    stage.restart(VICTIM)?;
    let others = stage.others(VICTIM);
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
        let partition = place.partition;
        talk::until(CONVERGE_MAX, "the owners' digests are not equal", async || talk::agree(&owners, partition).await)
            .await?;
    }
    let partitions: BTreeSet<u32> = orders.iter().map(|(_, place)| place.partition).collect();
    stage.see(&format!(
        "all {} are on {}: its digests of {} equal the other owners'",
        orders.len(),
        node.name,
        count(partitions.len() as u64, "partition")
    ))?;
    for (number, (key, _)) in orders.iter().enumerate() {
        let get = talk::get(&node, key, 0).await?;
        talk::expect(&get, &[VALUE])?;
        if number == 0 {
            stage.command(&format!("driftkv get {key} --endpoint {}", node.client()))?;
            stage.see(&talk::values(&get).join("\n"))?;
        }
    }
    let is_whole = |status: &StatusReply| status.peers.iter().all(|peer| peer.is_reachable);
    settle::wait_for(&nodes, NOTICE_MAX, "reaches all others", is_whole).await?;
    stage.command("driftkv status")?;
    stage.see(&status::text(Paint::stdout(), &admin::statuses(&stage.plan.admin_endpoints()).await))
}
