//! What proxies do to reads.

use std::time::{Duration, Instant};

use bytes::Bytes;
use driftkv_proto::v1::session_reply::Reply;
use driftkv_proto::v1::session_request::Request;
use driftkv_proto::v1::{Achieved, GetReply, GetRequest, Options};

use super::{Bug, Kept, Store};

/// How long a cache keeps an answer.
const CACHED: Duration = Duration::from_millis(50);
/// How long the other view lacks a put.
const BEHIND: Duration = Duration::from_millis(20);
/// Of rare bugs: one read in so many.
const RARE: u64 = 20;
const OFTEN: u64 = 4;

impl Store {
    pub(super) async fn get(&self, bug: Bug, node: usize, mut get: GetRequest) -> Reply {
        let key = get.key.clone();
        if bug == Bug::WritesInMemory {
            let unwritten = self.unwritten(&key);
            let mut writes = unwritten.lock().await;
            self.flush(node, &mut writes).await;
            return self.pass_on(node, Request::Get(get)).await;
        }
        if bug == Bug::LowersQuorums {
            get.options = Some(Options { r: 1, ..get.options.unwrap_or_default() });
        }
        if let Some(kept) = self.instead(bug, node, &key) {
            return Reply::Get(kept);
        }
        match self.pass_on(node, Request::Get(get)).await {
            Reply::Get(reply) => Reply::Get(self.changed(bug, (node, key), reply)),
            other => other,
        }
    }

    /// An answer for which no node is asked.
    fn instead(&self, bug: Bug, node: usize, key: &Bytes) -> Option<GetReply> {
        let (kept, place) = (self.kept(), (node, key.clone()));
        let within = |limit: Duration| {
            let (since, answer) = kept.answers.get(&place)?;
            (since.elapsed() < limit).then(|| answer.clone())
        };
        match bug {
            Bug::ReadsFromCache => within(CACHED),
            Bug::ReadsOtherView => within(BEHIND),
            Bug::StepsBack if self.is_turn(OFTEN) => kept.older.get(&place).cloned(),
            _ => None,
        }
    }

    /// What becomes of a node's answer.
    fn changed(&self, bug: Bug, place: (usize, Bytes), mut reply: GetReply) -> GetReply {
        let mut kept = self.kept();
        match bug {
            Bug::ReadsFromCache | Bug::StepsBack => kept.remember(place, &reply),
            Bug::HidesSiblings => reply.siblings.truncate(1),
            Bug::GivesOldContexts => {
                let old = kept.contexts.entry(place.1).or_insert_with(|| reply.context.clone());
                let newest = reply.context.clone();
                if self.is_turn(OFTEN) {
                    reply.context = std::mem::replace(old, newest);
                }
            }
            Bug::MixesUpKeys => kept.mix_up(place.1, &mut reply, self.is_turn(RARE)),
            Bug::FlipsBytes if self.is_turn(RARE) => reply.siblings.iter_mut().for_each(|sibling| {
                let mut bytes = sibling.value.to_vec();
                bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
                sibling.value = bytes.into();
            }),
            Bug::FindsNothing if self.is_turn(RARE) => reply.siblings.clear(),
            Bug::LowersQuorums => reply.achieved = Some(Achieved { primaries: 2, fallbacks: 0, strict: true }),
            _ => {}
        }
        reply
    }
}

impl Kept {
    pub(super) fn remember(&mut self, place: (usize, Bytes), reply: &GetReply) {
        if let Some((_, older)) = self.answers.insert(place.clone(), (Instant::now(), reply.clone())) {
            self.older.insert(place, older);
        }
    }

    fn mix_up(&mut self, key: Bytes, reply: &mut GetReply, is_turn: bool) {
        if let Some((_, other)) = self.last.as_ref().filter(|(other, _)| is_turn && *other != key) {
            reply.siblings.clone_from(&other.siblings);
        } else if !reply.siblings.is_empty() {
            self.last = Some((key, reply.clone()));
        }
    }
}
