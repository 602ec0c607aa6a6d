//! A forwarded request is executed or refused, never forwarded again: a node forwards a put at most as often as
//! clients asked it for that put.
//! Source: design.md, Put; `core/src/coordinator/forward.rs`.

use std::collections::BTreeMap;

use driftkv_core::decode_forwarded_put;
use driftkv_core::effect::{Put, Request};
use driftkv_core::id::RequestId;
use driftkv_core::message::Message;

/// Which puts were forwarded, and how often each node was asked for one.
#[derive(Debug, Default)]
pub struct Forwards {
    asked: BTreeMap<(usize, RequestId), u32>,
    sent: BTreeMap<(usize, RequestId), u32>,
    puts: BTreeMap<(usize, u64), Put>,
}

impl Forwards {
    /// A client asks a node.
    pub fn asked(&mut self, node: usize, request: &Request) {
        if let Request::Put(put) = request {
            *self.asked.entry((node, put.request)).or_default() += 1;
        }
    }

    /// A message leaves; says what is wrong with it.
    pub fn sends(&mut self, from: usize, to: usize, message: &Message) -> Option<String> {
        let Message::Forward { op, put, .. } = message else { return None };
        let Ok(put) = decode_forwarded_put(put.clone()) else {
            return Some(format!("n{from} forwards what is no put"));
        };
        let request = put.request;
        self.puts.insert((from, *op), put);
        let count = self.sent.entry((from, request)).or_default();
        *count += 1;
        let asked = self.asked.get(&(from, request)).copied().unwrap_or(0);
        (*count > asked).then(|| {
            format!(
                "n{from} forwards put {} to n{to}; clients asked it {asked} times, it forwarded {count} times",
                request.0 >> 64
            )
        })
    }

    /// The put that `from` forwarded as operation `op`.
    pub fn put(&self, from: usize, op: u64) -> Option<&Put> {
        self.puts.get(&(from, op))
    }

    /// Whether `node` ever forwarded this put: an answer it gives may be another node's.
    pub fn has_forwarded(&self, node: usize, request: RequestId) -> bool {
        self.sent.contains_key(&(node, request))
    }
}
