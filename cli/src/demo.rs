//! `driftkv demo`: what a leaderless store does, told on five real processes in under a minute.
//! Each step says what it does, waits for a condition with a deadline, shows what one sees, and fails if that is not what
//! it told; the commands shown are those that do the same. Ends clean: processes stopped, directory gone. After a failure
//! the directory stays, for its logs.
//! Reading order: here the beginning, then `cut` and `kill`.

mod cut;
mod kill;
mod stage;
mod talk;

use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::v1::{Layout, StatusReply};

use crate::error::Failure;
use crate::ring::{self, Place};
use crate::style::{self, Paint};
use crate::up::settle;
use crate::up::signals::Signals;
use crate::{admin, show};
use stage::Stage;

const BUCKET: &str = driftkv_proto::BUCKET_DEFAULT;
/// For nodes to notice that others came or went.
const NOTICE_MAX: Duration = Duration::from_secs(25);
/// For replicas to become equal.
const CONVERGE_MAX: Duration = Duration::from_secs(20);

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
    let (key, place) = cut::divided_key(&layout, &stage.plan.nodes)?;
    let context = put_and_get(stage, &key).await?;
    who_owns_it(stage, &layout, &key, &place).await?;
    cut::cut(stage).await?;
    cut::diverge(stage, &key, &context).await?;
    let context = cut::heal(stage, &key, &place).await?;
    cut::resolve(stage, &key, context).await?;
    let orders = kill::kill_and_write(stage, &layout).await?;
    kill::bring_back(stage, &orders).await
}

async fn begin(stage: &mut Stage) -> Result<(), Failure> {
    stage.step("Five nodes from one manifest")?;
    stage.say("No node is special: any of them takes reads and writes for any key.")?;
    stage.command("driftkv up -f examples/local.yaml")?;
    stage.start().await?;
    let table = stage.plan.table(Paint::stdout(), &stage.pids());
    stage.see(&table)?;
    let others = stage.plan.nodes.len() - 1;
    let knows_all = |status: &StatusReply| status.peers.iter().filter(|peer| peer.rumour == "alive").count() == others;
    settle::wait_for(&stage.plan.nodes, NOTICE_MAX, "hears of all others", knows_all).await?;
    stage.see("by gossip each has heard of every other")
}

async fn put_and_get(stage: &mut Stage, key: &str) -> Result<Bytes, Failure> {
    stage.step("Put through one node, get through another")?;
    let [first, last] = [stage.node(0)?, stage.last_node()?];
    stage.command(&format!("driftkv put {key} bread --endpoint {}", first.client()))?;
    let put = talk::put(&first, key, "bread", Bytes::new()).await?;
    stage.see(&show::achieved(put.achieved.unwrap_or_default(), "written: on disk at"))?;
    stage.command(&format!("driftkv get {key} --endpoint {}", last.client()))?;
    let get = talk::get(&last, key, 0).await?;
    stage.see(&talk::values(&get).join("\n"))?;
    stage.see(&show::achieved(get.achieved.unwrap_or_default(), "answered by"))?;
    talk::expect(&get, &["bread"])?;
    Ok(get.context)
}

async fn who_owns_it(stage: &mut Stage, layout: &Layout, key: &str, place: &Place) -> Result<(), Failure> {
    stage.step("Which nodes own the key")?;
    stage.say(
        "The ring has 256 slices; the MD5 of a key says in which it lies. Its primaries keep\n\
         the key; the other nodes stand in, in this order, while primaries are away.",
    )?;
    stage.command(&format!("driftkv ring {key}"))?;
    let paint = Paint::stdout();
    stage.see(&ring::picture(paint, layout, Some(place)))?;
    stage.see(&ring::describe(paint, layout, place, BUCKET, key))?;
    let owners = talk::owners(&stage.plan.nodes, place);
    let partition = place.partition;
    talk::until(CONVERGE_MAX, "an owner does not have the key", async || talk::agree(&owners, partition).await).await?;
    let keys: u64 = talk::digests(&owners, partition).await?.iter().map(|(_, digest)| digest.keys).sum();
    if keys != owners.len() as u64 {
        return Err(Failure::failed(format!("{} owners store {keys} keys, not one each", owners.len())));
    }
    let names: Vec<&str> = owners.iter().map(|node| node.name.as_str()).collect();
    stage.see(&format!("by now it is on all of {}: their digests are equal", names.join(", ")))
}

/// A token too long for one line, as one sees it in a command.
fn short(token: &str) -> String {
    const SHOWN: usize = 12;
    if token.chars().count() <= SHOWN {
        style::shell(token)
    } else {
        token.chars().take(SHOWN).collect::<String>() + "…"
    }
}
