//! What the clients of a run saw, as the laboratory's judges take it: the same checkers that judge real runs (docs/verdicts.md).
//! A put is one operation however often it was sent: from its first request to the first success that its client heard. Answers that no
//! client waits for any more are not heard. Source: docs/verdicts.md, What is promised.
//! Invariant: nothing here looks at a node, a disk or a message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use driftkv_core::config::ClusterConfig;
use driftkv_core::effect::{Failure, Intent, Put, Reply, Request};
use driftkv_core::id::{Key, RequestId};
use driftkv_core::time::Time;
use driftkv_lab::judges::account::{self, Account, Covers, Did, NEVER, Names, Operation, Seen, Value};
use driftkv_lab::judges::{sessions, staleness};
use driftkv_lab::offline::{Conditions, Property};

use crate::invariants::is_certain;

/// One operation of a client.
#[derive(Debug)]
struct Told {
    client: usize,
    key: Key,
    start: Time,
    end: Option<Time>,
    attempts: u64,
    refusals: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// `None`: it was never answered.
    Get {
        is_monotonic: bool,
        brought: Option<BTreeSet<RequestId>>,
    },
    Put {
        request: RequestId,
        is_delete: bool,
        intent: Intent,
        seen: BTreeSet<RequestId>,
    },
}

/// All operations of a run.
#[derive(Debug, Default)]
pub struct History {
    told: Vec<Told>,
    places: HashMap<RequestId, usize>,
    asked: HashMap<u64, usize>,
    conditions: Conditions,
}

impl History {
    /// Requests ask for this cluster's quorums, unless they say otherwise.
    pub fn new(config: &ClusterConfig) -> History {
        let (n, r, w) = (config.replication_factor, config.read_quorum, config.write_quorum);
        let conditions = Conditions { n: Some(n), r: Some(r), w: Some(w), ..Conditions::default() };
        History { conditions, ..History::default() }
    }

    /// A client asks; `seen`: what its context had been shown with.
    pub fn asked(&mut self, token: u64, client: usize, request: &Request, seen: &BTreeSet<RequestId>, now: Time) {
        let place = match request {
            Request::Get(get) => {
                lower(&mut self.conditions.r, get.r);
                let what = What::Get { is_monotonic: get.is_monotonic, brought: None };
                self.begin(client, get.key.clone(), now, what)
            }
            Request::Put(put) => match self.places.get(&put.request) {
                Some(place) => *place,
                None => self.put(client, put, seen.clone(), now),
            },
        };
        self.told[place].attempts += 1;
        self.conditions.retried_writes += u64::from(self.told[place].attempts == 2);
        self.asked.insert(token, place);
    }

    fn put(&mut self, client: usize, put: &Put, seen: BTreeSet<RequestId>, now: Time) -> usize {
        lower(&mut self.conditions.r, put.r);
        lower(&mut self.conditions.w, put.w);
        let (request, is_delete, intent) = (put.request, put.value.is_none(), put.intent);
        let place = self.begin(client, put.key.clone(), now, What::Put { request, is_delete, intent, seen });
        self.places.insert(request, place);
        place
    }

    fn begin(&mut self, client: usize, key: Key, start: Time, what: What) -> usize {
        self.told.push(Told { client, key, start, end: None, attempts: 0, refusals: 0, what });
        self.told.len() - 1
    }

    /// Its client hears the answer to `token`.
    pub fn heard(&mut self, token: u64, outcome: &Result<Reply, Failure>, now: Time) {
        let Some(told) = self.asked.get(&token).map(|place| &mut self.told[*place]) else { return };
        match outcome {
            Ok(Reply::Get { siblings, achieved, .. }) => {
                self.conditions.sloppy_answers += u64::from(!achieved.is_strict);
                told.end = Some(now);
                if let What::Get { brought, .. } = &mut told.what {
                    *brought = Some(siblings.iter().map(|sibling| sibling.request).collect());
                }
            }
            Ok(Reply::Put { achieved, .. }) => {
                self.conditions.sloppy_answers += u64::from(!achieved.is_strict);
                told.end = told.end.or(Some(now));
            }
            Err(failure) => told.refusals += u64::from(is_certain(failure)),
        }
    }

    /// What the judges have to say against it.
    pub fn broken(&self) -> Vec<String> {
        let monotonic = Conditions { read_mode: "monotonic".to_owned(), ..self.conditions.clone() };
        let mut broken = judged(&self.account(|_| true), &self.conditions);
        broken.extend(judged(&self.account(|is_monotonic| is_monotonic), &monotonic));
        broken
    }

    /// All writes, and the reads that are wanted.
    fn account(&self, is_wanted: impl Fn(bool) -> bool) -> Account {
        let (mut names, mut keys) = (Names::default(), BTreeMap::<String, account::Key>::new());
        for (place, told) in self.told.iter().enumerate() {
            let did = match &told.what {
                What::Get { is_monotonic, brought: Some(brought) } if is_wanted(*is_monotonic) => {
                    Did::Read(Seen::Many(values(&mut names, brought)))
                }
                What::Put { request, is_delete, intent, seen } if told.refusals < told.attempts => {
                    let covers = match intent {
                        Intent::OverwriteAll => Covers::Everything,
                        _ => Covers::These(values(&mut names, seen)),
                    };
                    Did::Replace { id: value(&mut names, *request), is_delete: *is_delete, covers }
                }
                _ => continue,
            };
            let name = String::from_utf8_lossy(told.key.key()).into_owned();
            let key = keys.entry(name.clone()).or_insert_with(|| account::Key { name, ..account::Key::default() });
            let end = told.end.map_or(NEVER, |end| end.0 as i64);
            let (process, source, start) = (told.client as u32, place as u64, told.start.0 as i64);
            key.operations.push(Operation { process, source, start, end, did });
        }
        Account { keys: keys.into_values().collect(), names }
    }
}

/// What a request asks for; 0: the cluster's own.
fn lower(quorum: &mut Option<u32>, asked: u32) {
    *quorum = quorum.iter().copied().chain((asked > 0).then_some(asked)).min();
}

fn value(names: &mut Names, request: RequestId) -> Value {
    names.value(&format!("{:032x}", request.0))
}

/// In ascending order.
fn values(names: &mut Names, requests: &BTreeSet<RequestId>) -> Box<[Value]> {
    let values: BTreeSet<Value> = requests.iter().map(|request| value(names, *request)).collect();
    values.into_iter().collect()
}

/// Every promise that is not kept.
fn judged(account: &Account, conditions: &Conditions) -> Vec<String> {
    let (reads, sessions) = (staleness::check(account), sessions::check(account));
    // A retry through another coordinator may write what was replaced once more.
    let revived = if conditions.retried_writes == 0 { reads.revived } else { 0 };
    let (written, fresh) = (reads.phantom + reads.future, reads.real_time.stale.max(reads.causal.stale).max(revived));
    let found = [
        (Property::Written, written, format!("{:?}", reads.strange)),
        (
            Property::Fresh,
            fresh,
            format!("{:?} {:?} {:?}", reads.real_time.shown, reads.causal.shown, reads.revived_shown),
        ),
        (
            Property::ReadYourWrites,
            sessions.read_your_writes.violations,
            format!("{:?}", sessions.read_your_writes.shown),
        ),
        (
            Property::MonotonicReads,
            sessions.monotonic_reads.violations,
            format!("{:?}", sessions.monotonic_reads.shown),
        ),
    ];
    let broken =
        found.into_iter().filter(|(property, count, _)| *count > 0 && conditions.promise(*property) == Some(true));
    broken
        .map(|(property, count, shown)| format!("{} is promised and {count} times broken: {shown}", property.name()))
        .collect()
}
