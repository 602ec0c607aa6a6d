//! Probing: a write through one node, and after a planned time one read through another, key by key.
//! A key has one writer, and its writes come one after the other, so the newest is known. A write carries the context of the one before, so
//! that siblings do not grow; the first of a key, and one after a write of unknown outcome, replace all that there is instead (which reads R
//! replicas before it writes). Values are unique over all runs.
//! Invariant: `t` is from after the acknowledgement was understood to before the read was handed over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use driftkv_proto::client::{GetOptions, PutOptions};
use driftkv_proto::error::KvError;
use driftkv_proto::v1::{GetReply, Intent, PutReply};
use tokio::task::JoinSet;

use super::plan::{Planned, probes};
use super::{Sample, Visibility, VisibilitySpec};
use crate::load::Link;

/// Keys of each writer: so many that partitions of all owners are met.
const KEYS: usize = 16;
const GRID_MS_MAX: f64 = 600_000.0;
const WRITERS_MAX: u32 = 10_000;
const SAMPLES_MAX: u64 = 1_000_000;
/// A timer wakes up to a millisecond late; the rest is waited for awake.
const AWAKE: Duration = Duration::from_micros(1_500);

/// Why nothing was probed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// What is asked for cannot be probed; nothing was sent.
    #[error("{0}")]
    Spec(&'static str),
    /// A probing task panicked; the samples are worthless.
    #[error("the prober failed: {0}")]
    Broken(String),
}

/// Probes the nodes at `endpoints` (client ports; two or more) until all samples are there, or `stop` is set.
///
/// Needs a tokio runtime with time and I/O. Errors: only before the first request; what the store does is in the answer.
pub async fn probe(
    spec: &VisibilitySpec,
    endpoints: &[String],
    stop: &Arc<AtomicBool>,
) -> Result<Visibility, ProbeError> {
    check(spec, endpoints)?;
    let in_flight = spec.writers as usize;
    let links = endpoints.iter().map(|endpoint| Link::open(endpoint.clone(), in_flight)).collect();
    let prober = Arc::new(Prober { spec: spec.clone(), links, nonce: rand::random(), stop: Arc::clone(stop) });
    let planned = probes(spec, endpoints.len());
    let mut writers = JoinSet::new();
    for writer in 0..in_flight {
        let own: Vec<Planned> = planned.iter().skip(writer).step_by(in_flight).copied().collect();
        let prober = Arc::clone(&prober);
        writers.spawn(async move { (writer, prober.write_and_read(writer, &own).await) });
    }
    let mut parts = Vec::new();
    while let Some(part) = writers.join_next().await {
        parts.push(part.map_err(|error| ProbeError::Broken(error.to_string()))?);
    }
    parts.sort_by_key(|(writer, _)| *writer);
    let mut all = Visibility { spec: spec.clone(), ..Visibility::default() };
    for (_, part) in parts {
        all.samples.extend(part.samples);
        all.failed_writes += part.failed_writes;
        all.failed_reads += part.failed_reads;
    }
    Ok(all)
}

fn check(spec: &VisibilitySpec, endpoints: &[String]) -> Result<(), ProbeError> {
    if endpoints.len() < 2 {
        return Err(ProbeError::Spec(TWO_NODES));
    }
    check_plan(spec.samples as u64, &spec.grid_ms, spec.writers).map_err(ProbeError::Spec)
}

/// Of a cluster of one node nothing is to be seen.
pub(crate) const TWO_NODES: &str = "a read goes to another node than its write: there must be two or more";

/// Whether so many samples at these times by so many writers can be planned. Errors: why not.
pub(crate) fn check_plan(samples: u64, grid_ms: &[f64], writers: u32) -> Result<(), &'static str> {
    let is_time = |ms: &f64| (0.0..=GRID_MS_MAX).contains(ms);
    if samples == 0 || samples > SAMPLES_MAX || grid_ms.is_empty() {
        return Err("there must be from 1 to 1,000,000 samples, and one time or more");
    }
    if !grid_ms.iter().all(is_time) {
        return Err("times must be from 0 to 600,000 ms");
    }
    if writers == 0 || writers > WRITERS_MAX {
        return Err("there must be from 1 to 10,000 writers");
    }
    Ok(())
}

struct Prober {
    spec: VisibilitySpec,
    links: Vec<Link>,
    /// Tells the values of this run from those of any other.
    nonce: u64,
    stop: Arc<AtomicBool>,
}

impl Prober {
    async fn write_and_read(&self, writer: usize, own: &[Planned]) -> Visibility {
        let mut part = Visibility::default();
        let mut contexts: HashMap<usize, Bytes> = HashMap::new();
        for (number, planned) in own.iter().enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let place = number % KEYS;
            let key = Bytes::from(format!("{}{writer:05}-{place:03}", self.spec.key_prefix));
            let value = Bytes::from(format!("{:016x}/{writer}/{number}", self.nonce));
            let begun = Instant::now();
            let context = contexts.remove(&place).unwrap_or_default();
            let Ok(reply) = self.put(planned.writer, &key, &value, context).await else {
                part.failed_writes += 1;
                continue;
            };
            let written = Instant::now();
            contexts.insert(place, reply.context);
            wait_until(written + Duration::from_secs_f64(planned.planned_ms / 1e3)).await;
            let read = Instant::now();
            let Ok(reply) = self.get(planned.reader, &key).await else {
                part.failed_reads += 1;
                continue;
            };
            part.samples.push(Sample {
                t_ms: ms(read - written),
                planned_ms: planned.planned_ms,
                is_fresh: reply.siblings.iter().any(|sibling| sibling.value == value),
                write_ms: ms(written - begun),
                read_ms: ms(read.elapsed()),
                writer: planned.writer,
                reader: planned.reader,
            });
        }
        part
    }

    async fn put(&self, node: usize, key: &Bytes, value: &Bytes, context: Bytes) -> Result<PutReply, KvError> {
        let intent = if context.is_empty() { Intent::OverwriteAll } else { Intent::WithContext };
        let (r, w, timeout) = (self.spec.r, self.spec.w, Some(self.spec.timeout));
        let options = PutOptions { context, intent, r, w, timeout, ..PutOptions::default() };
        let (link, session) = self.session(node).await?;
        let reply = session.put(&self.spec.bucket, key.clone(), value.clone(), options).await;
        link.look_after(&session);
        reply
    }

    async fn get(&self, node: usize, key: &Bytes) -> Result<GetReply, KvError> {
        let options = GetOptions { r: self.spec.r, timeout: Some(self.spec.timeout), ..GetOptions::default() };
        let (link, session) = self.session(node).await?;
        let reply = session.get(&self.spec.bucket, key.clone(), options).await;
        link.look_after(&session);
        reply
    }

    async fn session(&self, node: usize) -> Result<(&Link, driftkv_proto::client::Session), KvError> {
        let link = self.links.get(node).ok_or_else(|| KvError::invalid_argument("the plan names no such node"))?;
        Ok((link, link.session(tokio::time::Instant::now() + self.spec.timeout).await?))
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Wakes as near to `when` as it can.
async fn wait_until(when: Instant) {
    if let Some(asleep) = when.checked_sub(AWAKE).filter(|asleep| *asleep > Instant::now()) {
        tokio::time::sleep_until(asleep.into()).await;
    }
    while Instant::now() < when {
        tokio::task::yield_now().await;
    }
}
