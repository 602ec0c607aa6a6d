//! What proxies do to writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::v1::session_reply::Reply;
use driftkv_proto::v1::session_request::Request;
use driftkv_proto::v1::{Achieved, DeleteRequest, Error, ErrorCode, GetRequest, Intent, Options, PutRequest};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{Bug, Store, acknowledgement};

/// How much later something happens that should have happened at once, or not at all.
const LATER: Duration = Duration::from_millis(30);
/// Of rare bugs: one write in so many.
const RARE: u64 = 20;
const OFTEN: u64 = 4;

impl Store {
    pub(super) async fn put(self: &Arc<Self>, bug: Bug, node: usize, put: PutRequest) -> Reply {
        match bug {
            Bug::DropsPuts if self.is_turn(RARE) => acknowledgement(&put.request_id),
            Bug::WritesLate if self.is_turn(OFTEN) => {
                let reply = acknowledgement(&put.request_id);
                self.later(node, put);
                reply
            }
            Bug::WritesInMemory => {
                let (reply, unwritten) = (acknowledgement(&put.request_id), self.unwritten(&put.key));
                let mut writes = unwritten.lock().await;
                self.flush(node, &mut writes).await;
                writes.push(put);
                reply
            }
            Bug::RefusesAndApplies if self.is_turn(RARE) => {
                self.pass_on(node, Request::Put(put)).await;
                let (code, message) = (ErrorCode::NotReady.into(), "the node is starting".to_owned());
                Reply::Error(Error { code, message, ..Error::default() })
            }
            Bug::AppliesTwice if self.is_turn(RARE) => {
                let again = PutRequest { request_id: Bytes::new(), ..beside(put.clone()) };
                let reply = self.pass_on(node, Request::Put(put)).await;
                self.later(node, again);
                reply
            }
            Bug::LosesContexts if self.is_turn(OFTEN) => self.pass_on(node, Request::Put(beside(put))).await,
            Bug::MergesContexts => {
                let put = PutRequest { context: Bytes::new(), intent: Intent::OverwriteAll.into(), ..put };
                self.pass_on(node, Request::Put(put)).await
            }
            Bug::ReadsOtherView => {
                self.keep_view(node, &put).await;
                self.pass_on(node, Request::Put(put)).await
            }
            Bug::LowersQuorums => self.put_once(node, put).await,
            _ => self.pass_on(node, Request::Put(put)).await,
        }
    }

    pub(super) async fn delete(self: &Arc<Self>, bug: Bug, node: usize, delete: DeleteRequest) -> Reply {
        match bug {
            Bug::ForgetsDeletes if self.is_turn(OFTEN) => acknowledgement(&delete.request_id),
            Bug::RevivesDeleted if self.is_turn(OFTEN) => self.delete_for_a_while(node, delete).await,
            Bug::DeletesUnseen => {
                let delete = DeleteRequest { context: Bytes::new(), intent: Intent::OverwriteAll.into(), ..delete };
                self.pass_on(node, Request::Delete(delete)).await
            }
            _ => self.pass_on(node, Request::Delete(delete)).await,
        }
    }

    /// Passes `put` on when the client has long been answered.
    fn later(self: &Arc<Self>, node: usize, put: PutRequest) {
        let store = Arc::clone(self);
        tokio::spawn(async move {
            sleep(LATER).await;
            store.pass_on(node, Request::Put(put)).await;
        });
    }

    /// Writes that a key waits for.
    pub(super) fn unwritten(&self, key: &Bytes) -> Arc<Mutex<Vec<PutRequest>>> {
        Arc::clone(self.kept().unwritten.entry(key.clone()).or_default())
    }

    pub(super) async fn flush(&self, node: usize, writes: &mut Vec<PutRequest>) {
        for put in writes.drain(..) {
            self.pass_on(node, Request::Put(put)).await;
        }
    }

    /// What was there before `put` is what this node's readers see for a while.
    async fn keep_view(&self, node: usize, put: &PutRequest) {
        let before = self.pass_on(node, Request::Get(read(&put.bucket, &put.key))).await;
        if let Reply::Get(before) = before {
            self.kept().remember((node, put.key.clone()), &before);
        }
    }

    /// One replica has it, and two are said to.
    async fn put_once(&self, node: usize, mut put: PutRequest) -> Reply {
        put.options = Some(Options { r: 1, w: 1, ..put.options.unwrap_or_default() });
        let mut reply = self.pass_on(node, Request::Put(put)).await;
        if let Reply::Put(reply) = &mut reply {
            reply.achieved = Some(Achieved { primaries: 2, fallbacks: 0, strict: true });
        }
        reply
    }

    async fn delete_for_a_while(self: &Arc<Self>, node: usize, delete: DeleteRequest) -> Reply {
        let (bucket, key) = (delete.bucket.clone(), delete.key.clone());
        let before = self.pass_on(node, Request::Get(read(&bucket, &key))).await;
        let reply = self.pass_on(node, Request::Delete(delete)).await;
        let Reply::Get(before) = before else { return reply };
        if let Some(sibling) = before.siblings.into_iter().next() {
            self.later(node, beside(PutRequest { bucket, key, value: sibling.value, ..PutRequest::default() }));
        }
        reply
    }
}

/// The same put, which replaces nothing.
fn beside(put: PutRequest) -> PutRequest {
    PutRequest { context: Bytes::new(), intent: Intent::AddSibling.into(), ..put }
}

fn read(bucket: &str, key: &Bytes) -> GetRequest {
    GetRequest { bucket: bucket.to_owned(), key: key.clone(), ..GetRequest::default() }
}
