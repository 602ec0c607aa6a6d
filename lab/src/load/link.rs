//! One stream to one node, opened again when it ends: with back-off, and for all workers at once.
//! Not here: what becomes of the operations that were on it (`perform`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use driftkv_proto::client::Session;
use driftkv_proto::error::KvError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Code;

const BACK_OFF_FIRST: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_millis(500);

/// A stream that comes back.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    current: watch::Receiver<Option<Session>>,
    keeper: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    endpoint: String,
    in_flight: usize,
    lost: Notify,
    /// Why the last attempt to connect failed.
    failure: Mutex<Option<KvError>>,
}

impl Link {
    /// Begins to connect to `endpoint`.
    pub(crate) fn open(endpoint: String, in_flight: usize) -> Self {
        let shared = Arc::new(Shared { endpoint, in_flight, lost: Notify::new(), failure: Mutex::default() });
        let (sender, current) = watch::channel(None);
        let keeper = tokio::spawn(keep(Arc::clone(&shared), sender));
        Self { shared, current, keeper }
    }

    /// The stream, as soon as there is one.
    ///
    /// Errors: there is none until `deadline`; nothing was sent.
    pub(crate) async fn session(&self, deadline: Instant) -> Result<Session, KvError> {
        if let Some(session) = &*self.current.borrow() {
            return Ok(session.clone());
        }
        let mut current = self.current.clone();
        let found = timeout_at(deadline, current.wait_for(Option::is_some)).await;
        let found = found.ok().and_then(Result::ok).and_then(|session| session.clone());
        found.ok_or_else(|| {
            let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
            failure.unwrap_or_else(|| KvError::no_answer(Code::Unavailable, "no connection in time", false))
        })
    }

    /// Says that an operation failed on `session`, which may have ended.
    pub(crate) fn look_after(&self, session: &Session) {
        if session.is_closed() {
            self.shared.lost.notify_one();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(link: Arc<Shared>, current: watch::Sender<Option<Session>>) {
    let mut back_off = BACK_OFF_FIRST;
    loop {
        match Session::connect(&link.endpoint, link.in_flight).await {
            Ok(session) => {
                back_off = BACK_OFF_FIRST;
                current.send_replace(Some(session.clone()));
                while !session.is_closed() {
                    link.lost.notified().await;
                }
                current.send_replace(None);
            }
            Err(error) => *link.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
        // Also after a stream that was there: a node may accept and end one again and again.
        sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}
