//! What can go wrong in a pass, and what follows: a reason for the status, a label for metrics, and when to try again.
//! Invariant: every call ends by a deadline of ours; the client's own retries are off, for they take minutes.

use std::time::Duration;

use tokio::time::timeout;

use super::reason::Reason;

/// The longest that one call of the API server may take.
pub const CALL_MAX: Duration = Duration::from_secs(10);
/// The first pause after an error, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why a pass ended early. What it had applied until then stays; the next pass begins anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses this very request: trying again as it is does not help.
    #[error("{what}: the API server refuses it: {why}")]
    Rejected {
        /// What was asked.
        what: String,
        /// Its words.
        why: String,
    },
    /// Our service account lacks a right.
    #[error("{what}: not allowed: {why}")]
    Forbidden {
        /// What was asked.
        what: String,
        /// The server's words.
        why: String,
    },
    /// Somebody else changed the object meanwhile.
    #[error("{what}: it changed meanwhile: {why}")]
    Conflict {
        /// What was asked.
        what: String,
        /// The server's words.
        why: String,
    },
    /// The API server is busy, away, or broken.
    #[error("{what}: {why}")]
    Unavailable {
        /// What was asked.
        what: String,
        /// Its words, or the connection's.
        why: String,
    },
    /// A node did not take its layout.
    #[error("bootstrap: {why}")]
    Bootstrap {
        /// Each node's words.
        why: String,
    },
    /// An object of a name that we need belongs to somebody else.
    #[error("{what} exists and is not the operator's; rename it, or the KVCluster")]
    NameTaken {
        /// Kind and name.
        what: String,
    },
    /// A node knows of an operator with a newer lease. Nothing was changed there.
    #[error("{why}; if somebody deleted the Lease, this operator takes a newer term by itself")]
    Fenced {
        /// The node's words.
        why: String,
    },
    /// No answer in [`CALL_MAX`].
    #[error("{what}: no answer in {} s", CALL_MAX.as_secs())]
    Deadline {
        /// What was asked.
        what: String,
    },
    /// The API server showed a KVCluster older than one that it had shown before.
    #[error(
        "read the KVCluster: generation {read}, after generation {newest} was read before; nothing was done, reading again"
    )]
    Stale {
        /// What it showed now.
        read: i64,
        /// The newest until now.
        newest: i64,
    },
    /// An object that cannot be written as JSON, or an answer that cannot be read: a bug, or a strange API server.
    #[error("{what}: {why}")]
    Unreadable {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Of a failed call.
    pub fn new(what: impl Into<String>, error: kube::Error) -> Error {
        let what = what.into();
        match error {
            kube::Error::Api(status) => {
                let why = status.message.clone();
                match status.code {
                    400 | 404 | 405 | 413 | 415 | 422 => Error::Rejected { what, why },
                    401 | 403 => Error::Forbidden { what, why },
                    409 => Error::Conflict { what, why },
                    _ => Error::Unavailable { what, why },
                }
            }
            kube::Error::SerdeError(error) => Error::Unreadable { what, why: error.to_string() },
            error => Error::Unavailable { what, why: error.to_string() },
        }
    }

    /// What the status says.
    pub fn reason(&self) -> Reason {
        match self {
            Error::Rejected { .. } | Error::Unreadable { .. } => Reason::ApplyRejected,
            Error::Forbidden { .. } => Reason::Forbidden,
            Error::Bootstrap { .. } => Reason::BootstrapRefused,
            Error::NameTaken { .. } => Reason::NameTaken,
            Error::Fenced { .. } => Reason::LeaseLost,
            Error::Conflict { .. } | Error::Unavailable { .. } | Error::Deadline { .. } | Error::Stale { .. } => {
                Reason::ApiUnavailable
            }
        }
    }

    /// What metrics call it.
    pub fn label(&self) -> &'static str {
        match self {
            Error::Rejected { .. } => "rejected",
            Error::Forbidden { .. } => "forbidden",
            Error::Conflict { .. } => "conflict",
            Error::Unavailable { .. } => "unavailable",
            Error::Bootstrap { .. } => "bootstrap",
            Error::NameTaken { .. } => "name_taken",
            Error::Fenced { .. } => "fenced",
            Error::Deadline { .. } => "deadline",
            Error::Stale { .. } => "stale",
            Error::Unreadable { .. } => "unreadable",
        }
    }
}

/// One call of the API server, with its deadline. `what`: for people.
pub async fn call<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match timeout(CALL_MAX, request).await {
        Ok(answer) => answer.map_err(|error| Error::new(what, error)),
        Err(_) => Err(Error::Deadline { what: what.to_owned() }),
    }
}

/// As [`call`]; an object that is not there is `None`.
pub async fn call_opt<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, Error> {
    let or_none = async {
        match request.await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            answer => answer.map(Some),
        }
    };
    call(what, or_none).await
}

/// How long to wait after the `failures`-th failure in a row (from 1) of the same object, a little different each time.
///
/// `spread`: from 0 to 1, by chance.
pub fn pause(failures: u32, spread: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(PAUSE_MAX);
    doubled.mul_f64(0.75 + 0.5 * spread.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use kube::core::Status;

    use super::{CALL_MAX, Error, PAUSE_MAX, call, call_opt, pause};

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("words", "Reason").with_code(code).boxed())
    }

    #[test]
    fn answers_of_the_server_are_told_apart() {
        let label = |code| Error::new("x", api(code)).label();
        assert_eq!(
            [422, 403, 409, 429, 503].map(label),
            ["rejected", "forbidden", "conflict", "unavailable", "unavailable"]
        );
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        assert!(pause(1, 0.5) < pause(2, 0.5) && pause(2, 0.5) < pause(4, 0.5));
        assert!(pause(u32::MAX, 1.0) <= PAUSE_MAX.mul_f64(1.25));
        assert!(pause(1, 0.0) >= Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_ends() {
        let began = tokio::time::Instant::now();
        let error = call::<()>("x", std::future::pending()).await.unwrap_err();
        assert_eq!((error.label(), began.elapsed()), ("deadline", CALL_MAX));
        assert!(call_opt::<()>("x", async { Err(api(404)) }).await.unwrap().is_none());
    }
}
