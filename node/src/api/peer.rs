//! The `Peer` service: accepts the streams of other nodes, after a handshake, and reads them.
//! Invariant: nothing is read before the handshake is judged; a refusal says why and ends the stream.

use std::sync::Arc;
use std::time::Duration;

use driftkv_core::id::Incarnation;
use driftkv_core::message::Class;
use driftkv_proto::v1::peer_server::Peer;
use driftkv_proto::v1::{Handshake, PeerFrame};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::driver::Handle;
use crate::faults::Faults;
use crate::peers::Identity;
use crate::peers::identity::{ANSWERS_MAX, Back};
use crate::peers::inbound::Inbound;

/// How long a caller may take to shake hands.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

type Answers = ReceiverStream<Result<PeerFrame, Status>>;

/// Serves `Peer`.
pub struct PeerApi {
    identity: Arc<Identity>,
    faults: Faults,
    handle: Handle,
}

impl PeerApi {
    /// Hands what arrives to the engine behind `handle`.
    pub fn new(identity: Arc<Identity>, faults: Faults, handle: Handle) -> PeerApi {
        PeerApi { identity, faults, handle }
    }

    async fn accept(&self, class: Class, mut frames: Streaming<PeerFrame>) -> Result<Response<Answers>, Status> {
        let first = timeout(HANDSHAKE_TIMEOUT, frames.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no handshake in time"))??;
        let Some(theirs) = first.and_then(|frame| frame.handshake) else {
            return Err(Status::invalid_argument("the first frame of a stream must be a handshake"));
        };
        let (answers, outgoing) = mpsc::channel(ANSWERS_MAX);
        let refusal = match self.identity.judge(&theirs) {
            Ok(caller) => {
                self.read(class, caller.incarnation, caller.name, frames, answers.clone());
                String::new()
            }
            Err(why) => {
                tracing::warn!(caller = %Incarnation(theirs.incarnation), %why, "a stream was refused");
                why
            }
        };
        let ours = self.identity.handshake(Incarnation(theirs.incarnation), refusal);
        let _ = answers.try_send(Ok(hello(ours)));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    /// Reads on in the background until either side ends the stream.
    fn read(
        &self,
        class: Class,
        from: Incarnation,
        name: Option<String>,
        mut frames: Streaming<PeerFrame>,
        answers: Back,
    ) {
        let (identity, faults, handle) = (Arc::clone(&self.identity), self.faults.clone(), self.handle.clone());
        tokio::spawn(async move {
            if class == Class::Foreground {
                identity.called_by(from, answers.clone());
            }
            let mut inbound = Inbound::new(from, name);
            loop {
                tokio::select! {
                    frame = frames.message() => {
                        let Ok(Some(frame)) = frame else { break };
                        if let Err(why) = inbound.take(frame, &faults, &handle).await {
                            let _ = answers.try_send(Err(Status::aborted(why)));
                            break;
                        }
                    }
                    () = answers.closed() => break,
                }
            }
            identity.gone(from, &answers);
        });
    }
}

fn hello(handshake: Handshake) -> PeerFrame {
    PeerFrame { handshake: Some(handshake), ..PeerFrame::default() }
}

#[tonic::async_trait]
impl Peer for PeerApi {
    type ForegroundStream = Answers;
    type BackgroundStream = Answers;

    async fn foreground(&self, request: Request<Streaming<PeerFrame>>) -> Result<Response<Answers>, Status> {
        self.accept(Class::Foreground, request.into_inner()).await
    }

    async fn background(&self, request: Request<Streaming<PeerFrame>>) -> Result<Response<Answers>, Status> {
        self.accept(Class::Background, request.into_inner()).await
    }
}
