//! One page of metrics: what was recorded, and beside it what is only true now, asked of the engine for each page.
//! Invariant: what the engine does not answer is left out; a page never shows what was true some time ago as if it were now.
//! Not here: HTTP (`api/web`).

use std::time::Duration;

use driftkv_core::effect::{AdminReply, AdminRequest, Status};
use driftkv_proto::faults::kinds;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::driver::Handle;
use crate::faults::Faults;

/// How long the engine may take to say how it is: less than the patience of who scrapes.
const ANSWER_MAX: Duration = Duration::from_secs(2);

type Labels = [(&'static str, String); 1];

/// What is true now.
#[derive(Debug)]
pub struct Snapshot {
    /// Takes client requests.
    pub is_ready: bool,
    /// `None`: the engine did not answer.
    pub status: Option<Box<Status>>,
    /// Injected faults that touch this node, by kind; those without any may be missing.
    pub faults: Vec<(&'static str, u64)>,
    /// Jobs that wait for the engine.
    pub queued: usize,
}

impl Snapshot {
    /// Asks the engine.
    pub async fn take(handle: &Handle, faults: &Faults) -> Snapshot {
        let is_ready = *handle.serving().borrow();
        let asked = tokio::time::timeout(ANSWER_MAX, handle.admin(AdminRequest::Status)).await;
        let status = match asked {
            Ok(Some(AdminReply::Status(status))) => Some(status),
            _ => None,
        };
        Snapshot { is_ready, status, faults: faults.active_kinds(), queued: handle.queued() }
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("driftkv");
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let words = "1 while this node takes client requests";
        registry.register("ready", words, gauge(u64::from(self.is_ready)));
        let words = "Requests and messages that wait for the engine";
        registry.register("jobs_queued", words, gauge(self.queued as u64));
        let active = |kind: &str| self.faults.iter().find(|(known, _)| *known == kind).map_or(0, |(_, count)| *count);
        let faults = kinds().map(|kind| (kind.to_owned(), active(kind)));
        registry.register("faults_active", "Injected faults that touch this node", family("kind", faults));
        if let Some(status) = &self.status {
            tell(&mut registry, status);
        }
        registry
    }
}

fn tell(registry: &mut Registry, status: &Status) {
    let owed = |part: fn(u64, u64) -> u64| {
        let of = |peer: &driftkv_core::effect::PeerStatus| {
            let held = status.hints.iter().find(|(target, _, _)| *target == peer.incarnation);
            let (hints, bytes) = held.map_or((0, 0), |(_, hints, bytes)| (*hints, *bytes));
            (peer.name.clone(), part(hints, bytes))
        };
        family("target", status.peers.iter().filter(|peer| !peer.name.is_empty()).map(of))
    };
    registry.register("hints_owed", "Hints this node holds for another", owed(|hints, _| hints));
    let words = "Hints this node holds for another, with their keys";
    registry.register_with_unit("hints_owed", words, Unit::Bytes, owed(|_, bytes| bytes));
    let reachable = status.peers.iter().filter(|peer| peer.is_reachable).count() as u64;
    let away = status.peers.len() as u64 - reachable;
    let peers = [("reachable", reachable), ("unreachable", away)].map(|(state, count)| (state.to_owned(), count));
    registry.register("peers", "Other nodes, as requests are routed", family("state", peers));
    let (owned, built) = (status.partitions_owned.into(), status.partitions_built.into());
    let partitions = [("owned", owned), ("built", built), ("dirty", status.partitions_dirty.into())]
        .map(|(state, count)| (state.to_owned(), count));
    let words =
        "Partitions this node owns, those whose hash tree is built, and those likely to differ from another owner's";
    registry.register("partitions", words, family("state", partitions));
    registry.register("keys", "Keys in the built hash trees", gauge(status.keys));
    let words = "Client operations under way on this node";
    registry.register("operations_in_flight", words, gauge(status.in_flight));
    registry.register("layout_version", "Version of the layout; 0: none", gauge(status.layout_version));
    registry.register("boots", "Starts of this data directory", gauge(status.boot.into()));
}

fn gauge(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

fn family(label: &'static str, values: impl IntoIterator<Item = (String, u64)>) -> Family<Labels, Gauge> {
    let family = Family::<Labels, Gauge>::default();
    for (value, count) in values {
        family.get_or_create(&[(label, value)]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    family
}

impl super::Metrics {
    /// The page in OpenMetrics text.
    ///
    /// Errors: none that writing to memory can have.
    pub fn page(&self, now: &Snapshot) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.0.registry)?;
        encode_registry(&mut text, &now.registry())?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}
