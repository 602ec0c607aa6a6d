//! Writers: each goes to a random node with every request, on keys that all share, and covers what it has read.
//! One half writes as clients do, which repeat what failed; the other through sessions, which send once, so that whatever is
//! covered is known to be the only one of its kind.
//! Not here: judging (`history`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::client::{Client, GetOptions, PutOptions, Session};
use driftkv_proto::error::KvError;
use driftkv_proto::v1::{GetReply, Intent, PutReply};
use driftkv_tests::cluster::{Cluster, eventually};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, timeout};

use crate::history::{History, Id, Outcome, Write};

const KEYS: u64 = 40;
const BUCKET: &str = "storm";
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between a writer's requests: a loaded machine must have time for the cluster as well.
const PAUSE: Duration = Duration::from_millis(1);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What a writer knows of a key: a context, and the values it covers.
#[derive(Clone, Default)]
struct Seen {
    context: Bytes,
    values: BTreeSet<Id>,
}

/// The way to one node.
struct Node {
    address: String,
    client: Client,
    /// For writers that send once; a new one after every failure.
    session: Option<Session>,
    sends_once: bool,
}

impl Node {
    fn new(address: &str, sends_once: bool) -> Node {
        let client = Client::connect(vec![address.to_owned()]).expect("an address");
        Node { address: address.to_owned(), client, session: None, sends_once }
    }

    /// `None`: nothing was sent.
    async fn write(&mut self, key: &str, value: Option<Id>, options: PutOptions) -> Option<Result<PutReply, KvError>> {
        let (key, value) = (key.to_owned(), value.map(|id| id.to_string()));
        if !self.sends_once {
            return Some(match value {
                Some(value) => self.client.put(BUCKET, key, value, options).await,
                None => self.client.delete(BUCKET, key, options).await,
            });
        }
        let session = match self.session.take() {
            Some(session) => session,
            None => timeout(TIMEOUT, Session::connect(&self.address, 1)).await.ok()?.ok()?,
        };
        let answer = match value {
            Some(value) => session.put(BUCKET, key, value, options).await,
            None => session.delete(BUCKET, key, options).await,
        };
        self.session = answer.is_ok().then_some(session);
        Some(answer)
    }
}

/// Writes until told to stop; gives what it did.
pub async fn write(addresses: Vec<String>, writer: u64, seed: u64, stop: Arc<AtomicBool>) -> History {
    let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(writer));
    let mut nodes: Vec<Node> = addresses.iter().map(|address| Node::new(address, writer.is_multiple_of(2))).collect();
    let (mut history, mut seen) = (History::default(), BTreeMap::<String, Seen>::new());
    while !stop.load(Ordering::Relaxed) {
        let chosen = rng.random_range(0..nodes.len());
        let node = &mut nodes[chosen];
        let key = format!("k{}", rng.random_range(0..KEYS));
        match rng.random_range(0..10) {
            0..=3 => {
                if let Ok(reply) = node.client.get(BUCKET, key.clone(), get_options(0)).await {
                    seen.insert(key, Seen { values: values(&reply).collect(), context: reply.context });
                }
            }
            4 => one(node, key, true, &mut seen, &mut history).await,
            5 => {
                seen.remove(&key);
                one(node, key, false, &mut seen, &mut history).await;
            }
            _ => one(node, key, false, &mut seen, &mut history).await,
        }
        sleep(PAUSE).await;
    }
    history
}

/// One put or delete with what is known of the key. A blind one covers nothing.
async fn one(node: &mut Node, key: String, is_delete: bool, seen: &mut BTreeMap<String, Seen>, history: &mut History) {
    let known = seen.remove(&key).unwrap_or_default();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let intent = if known.context.is_empty() { Intent::AddSibling } else { Intent::WithContext };
    let options = PutOptions { context: known.context, intent, timeout: Some(TIMEOUT), ..PutOptions::default() };
    let value = (!is_delete).then_some(id);
    let Some(answer) = node.write(&key, value, options).await else { return };
    let outcome = match &answer {
        Ok(_) => Outcome::Acknowledged,
        Err(error) if error.maybe_applied => Outcome::MaybeApplied,
        Err(_) => Outcome::Refused,
    };
    if let Ok(reply) = answer
        && !reply.context.is_empty()
    {
        let values = if is_delete { BTreeSet::new() } else { BTreeSet::from([id]) };
        seen.insert(key.clone(), Seen { context: reply.context, values });
    }
    let is_sent_once = node.sends_once;
    history.push(Write { key, id, is_delete, covers: known.values, outcome, is_sent_once });
}

fn get_options(r: u32) -> GetOptions {
    GetOptions { r, timeout: Some(TIMEOUT), ..GetOptions::default() }
}

fn values(reply: &GetReply) -> impl Iterator<Item = Id> {
    reply.siblings.iter().map(|sibling| std::str::from_utf8(&sibling.value).expect("text").parse().expect("a number"))
}

/// What all owners of each key hold.
pub async fn read_all(cluster: &Cluster, history: &History) -> BTreeMap<String, BTreeSet<Id>> {
    let client = cluster.client(0);
    let mut found = BTreeMap::new();
    for key in history.keys() {
        let read = async || client.get(BUCKET, key.to_owned(), get_options(3)).await.ok();
        let reply = eventually(&format!("{key} is read from all its owners"), read).await;
        found.insert(key.to_owned(), values(&reply).collect());
    }
    found
}
