//! One acting operator among several: a Lease that is held, renewed, and given back.
//! Follows client-go's leader election in its rules: the expiry of another's lease is judged by how long *we* have seen it unchanged, never
//! by its clock; each write replaces the very version that was read.
//! Invariants: whoever could not renew until [`Times::renew_deadline`] stops acting, before anybody else may begin, and writes nothing
//! meanwhile (`fence`); a lease is no fence, so what destroys has preconditions of its own (`apply`), and nodes are told the [`Term`]
//! and refuse older ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::error::{Error, call};

#[cfg(test)]
mod tests;

/// The times of an election. Invariant: `retry < renew_deadline < lease`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long a lease that is not renewed keeps others out.
    pub lease: Duration,
    /// How long the holder goes on acting without having renewed it.
    pub renew_deadline: Duration,
    /// How often it is looked at.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times { lease: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// What is known of the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Its version; `None`: there is no lease.
    pub version: Option<String>,
    /// How long the holder claims it for.
    pub duration: Duration,
    /// For how long we have seen this very version.
    pub unchanged: Duration,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Make it: there is none.
    Create,
    /// Take it: it is free, or its holder has been silent for too long.
    Take,
    /// Renew it: it is ours.
    Renew,
    /// Leave it: somebody else holds it.
    Wait,
}

/// The decision of `me`.
pub fn decide(seen: &Seen, me: &str) -> Decision {
    match seen {
        Seen { version: None, .. } => Decision::Create,
        Seen { holder, .. } if holder == me => Decision::Renew,
        Seen { holder, .. } if holder.is_empty() => Decision::Take,
        Seen { duration, unchanged, .. } if unchanged >= duration => Decision::Take,
        _ => Decision::Wait,
    }
}

/// The term of the lease that this process holds: how often it changed hands. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// 0: it never held one.
    current: AtomicU64,
    /// The newest that a node has seen. Above ours if somebody deleted the Lease, and its count began anew.
    seen: AtomicU64,
    /// Until when nobody else may begin; `None`: it was never held.
    until: Mutex<Option<Instant>>,
}

impl Term {
    /// What nodes are told; `None`: there is no election.
    pub fn get(&self) -> Option<u64> {
        Some(self.0.current.load(Ordering::SeqCst)).filter(|term| *term > 0)
    }

    /// A node knows of this term. Whoever holds the lease takes it over with its next renewal; whoever has lost it cannot.
    pub fn raise(&self, seen: u64) {
        self.0.seen.fetch_max(seen, Ordering::SeqCst);
    }

    /// Whether nobody else can hold the lease yet.
    pub fn is_held(&self) -> bool {
        let until = *self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// The lease was written with this term, and is to be renewed by `until`.
    pub(super) fn hold(&self, term: i32, until: Instant) {
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.0.current.store(u64::try_from(term).unwrap_or_default(), Ordering::SeqCst);
    }

    fn at_least(&self, term: i32) -> i32 {
        term.max(i32::try_from(self.0.seen.load(Ordering::SeqCst)).unwrap_or(i32::MAX))
    }
}

/// Who takes part, and with which lease.
pub struct Election {
    api: Api<Lease>,
    name: String,
    me: String,
    times: Times,
    /// The version that was last seen, and since when.
    observed: Option<(String, Instant)>,
    /// When the write began that last made, took or renewed the lease: others may count from then.
    renewed: Instant,
    term: Term,
}

impl Election {
    /// Of the lease `name` in the namespace of `api`. `me`: different for each process.
    pub fn new(api: Api<Lease>, name: String, me: String, times: Times) -> Election {
        Election { api, name, me, times, observed: None, renewed: Instant::now(), term: Term::default() }
    }

    /// Tells `term` how often the lease has changed hands, as long as it is ours.
    pub fn telling(self, term: Term) -> Election {
        Election { term, ..self }
    }

    /// Waits until this process holds the lease, or `stop` turns true. True: it holds it.
    pub async fn win(&mut self, stop: &mut watch::Receiver<bool>) -> bool {
        loop {
            match self.step().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the lease cannot be had; trying again"),
            }
            tokio::select! {
                () = sleep(self.times.retry) => {}
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
    }

    /// Renews until it is too late to be sure, or somebody else has it. Never returns while the lease is held.
    pub async fn hold(&mut self) {
        loop {
            sleep(self.times.retry).await;
            let left = (self.renewed + self.times.renew_deadline).saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.step()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return tracing::error!("somebody else has the lease"),
                Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
                Err(_) => {}
            }
            // Order: asked after the attempt, so that a process that was stopped for long does not act once more.
            if self.renewed.elapsed() >= self.times.renew_deadline {
                return tracing::error!("the lease was not renewed for {} s", self.times.renew_deadline.as_secs());
            }
        }
    }

    /// Gives it back, so that the next need not wait; only if it is still ours.
    pub async fn release(&self) {
        let given = async {
            let Some(mut lease) = call("read the lease", self.api.get_opt(&self.name)).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.me) {
                spec.holder_identity = Some(String::new());
                call("release the lease", self.api.replace(&self.name, &PostParams::default(), &lease)).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = given.await {
            tracing::warn!(%error, "the lease was not given back; others wait until it expires");
        }
    }

    /// Looks, decides, and does it. True: the lease is ours now.
    async fn step(&mut self) -> Result<bool, Error> {
        let began = Instant::now();
        let lease = call("read the lease", self.api.get_opt(&self.name)).await?;
        let seen = self.observe(lease.as_ref(), Instant::now());
        let next = |spec: Option<LeaseSpec>| self.next(spec.unwrap_or_default(), Timestamp::now());
        let written = match (decide(&seen, &self.me), lease) {
            (Decision::Wait, _) => return Ok(false),
            (Decision::Create, _) | (_, None) => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(next(None)) };
                call("make the lease", self.api.create(&PostParams::default(), &lease)).await
            }
            (Decision::Take | Decision::Renew, Some(mut lease)) => {
                lease.spec = Some(next(lease.spec));
                call("write the lease", self.api.replace(&self.name, &PostParams::default(), &lease)).await
            }
        };
        match written {
            Ok(lease) => {
                self.observe(Some(&lease), Instant::now());
                self.renewed = began;
                let term = lease.spec.and_then(|spec| spec.lease_transitions).unwrap_or_default();
                self.term.hold(term, began + self.times.renew_deadline);
                Ok(true)
            }
            // Somebody was faster.
            Err(Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn observe(&mut self, lease: Option<&Lease>, now: Instant) -> Seen {
        let Some(lease) = lease else { return Seen::default() };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.observed {
            Some((known, since)) if *known == version => *since,
            _ => now,
        };
        self.observed = Some((version.clone(), since));
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Seen {
            holder: spec.holder_identity.unwrap_or_default(),
            version: Some(version),
            duration: seconds.map_or(self.times.lease, Duration::from_secs),
            unchanged: now.saturating_duration_since(since),
        }
    }

    /// The lease as it is written by us.
    fn next(&self, before: LeaseSpec, now: Timestamp) -> LeaseSpec {
        let is_ours = before.holder_identity.as_deref() == Some(&self.me);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: Some(i32::try_from(self.times.lease.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if is_ours { before.acquire_time } else { Some(MicroTime(now)) },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(self.term.at_least(if is_ours {
                transitions
            } else {
                transitions.saturating_add(1)
            })),
            ..LeaseSpec::default()
        }
    }
}
