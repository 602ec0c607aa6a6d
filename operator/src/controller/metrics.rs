//! What the operator counts and times, as OpenMetrics text. docs/operator.md lists the names.
//! Invariant: a cluster that was not looked at for [`FORGET_AFTER`] is forgotten: no finalizer tells of its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::names::Names;
use super::plan::CHAOS_ACTIVE;
use crate::crd::KVClusterStatus;

/// Ten times the longest time between two passes over a settled cluster.
pub const FORGET_AFTER: Duration = Duration::from_secs(300);

type Labels = Vec<(&'static str, String)>;

/// All of it. Clones share.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Counter,
    failures: Family<Labels, Counter>,
    seconds: Histogram,
    leader: Gauge,
    nodes: Family<Labels, Gauge>,
    conditions: Family<Labels, Gauge>,
    success: Family<Labels, Gauge<f64, AtomicU64>>,
    seen: Arc<Mutex<BTreeMap<(String, String), Instant>>>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("driftkv_operator");
        let seconds = Histogram::new(exponential_buckets(0.005, 2.0, 13));
        let metrics = Metrics {
            passes: Counter::default(),
            failures: Family::default(),
            leader: Gauge::default(),
            nodes: Family::default(),
            conditions: Family::default(),
            success: Family::default(),
            seen: Arc::default(),
            seconds: seconds.clone(),
            registry: Arc::default(),
        };
        registry.register("passes", "Passes over a KVCluster", metrics.passes.clone());
        registry.register("failures", "Passes that failed, by kind of error", metrics.failures.clone());
        registry.register_with_unit("pass", "How long passes take", Unit::Seconds, seconds);
        registry.register("leader", "1 if this process holds the lease", metrics.leader.clone());
        registry.register("cluster_nodes", "Nodes: desired, ready, updated", metrics.nodes.clone());
        registry.register("cluster_condition", "1 if the condition is True", metrics.conditions.clone());
        let success = metrics.success.clone();
        registry.register_with_unit("last_success_timestamp", "When a pass last succeeded", Unit::Seconds, success);
        Metrics { registry: Arc::new(registry), ..metrics }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A pass has ended; `failure`: the kind of its error.
    pub fn passed(&self, took: Duration, failure: Option<&'static str>) {
        self.passes.inc();
        self.seconds.observe(took.as_secs_f64());
        if let Some(kind) = failure {
            self.failures.get_or_create(&vec![("kind", kind.to_owned())]).inc();
        }
    }

    /// What is said of a cluster now.
    pub fn tell(&self, names: &Names, replicas: u32, status: &KVClusterStatus, succeeded: bool) {
        let labels = |more: Option<(&'static str, &str)>| {
            let mut labels: Labels = vec![("namespace", names.namespace.clone()), ("cluster", names.cluster.clone())];
            labels.extend(more.map(|(key, value)| (key, value.to_owned())));
            labels
        };
        let counts = [("desired", replicas), ("ready", status.ready_replicas), ("updated", status.updated_replicas)];
        for (state, count) in counts {
            self.nodes.get_or_create(&labels(Some(("state", state)))).set(i64::from(count));
        }
        for condition in &status.conditions {
            let gauge = self.conditions.get_or_create(&labels(Some(("type", &condition.type_)))).clone();
            gauge.set(i64::from(condition.status == "True"));
        }
        if succeeded {
            self.success.get_or_create(&labels(None)).set(Timestamp::now().as_second() as f64);
        }
        let key = (names.namespace.clone(), names.cluster.clone());
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
    }

    /// Whether this process holds the lease.
    pub fn lead(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The page. Errors: none that is known.
    pub fn page(&self) -> Result<String, fmt::Error> {
        self.forget(Instant::now());
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }

    fn forget(&self, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(namespace, cluster), at| {
            let is_kept = now.saturating_duration_since(*at) < FORGET_AFTER;
            if !is_kept {
                let base: Labels = vec![("namespace", namespace.clone()), ("cluster", cluster.clone())];
                let with = |key, value: &str| base.iter().cloned().chain([(key, value.to_owned())]).collect::<Labels>();
                for state in ["desired", "ready", "updated"] {
                    self.nodes.remove(&with("state", state));
                }
                for kind in ["Available", "Progressing", "Degraded", "Ready", CHAOS_ACTIVE] {
                    self.conditions.remove(&with("type", kind));
                }
                self.success.remove(&base);
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, Instant};

    use super::{FORGET_AFTER, Metrics, Names};
    use crate::crd::KVClusterStatus;

    #[test]
    fn a_page_tells_of_passes_and_clusters_and_forgets_those_that_are_gone() {
        let metrics = Metrics::default();
        let names = Names { cluster: "demo".to_owned(), namespace: "db".to_owned() };
        metrics.passed(Duration::from_millis(20), Some("deadline"));
        metrics.tell(&names, 3, &KVClusterStatus { ready_replicas: 2, ..KVClusterStatus::default() }, true);
        let page = metrics.page().unwrap();
        for line in [
            "driftkv_operator_passes_total 1",
            "driftkv_operator_failures_total{kind=\"deadline\"} 1",
            "driftkv_operator_cluster_nodes{namespace=\"db\",cluster=\"demo\",state=\"ready\"} 2",
            "driftkv_operator_pass_seconds_count 1",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        metrics.forget(Instant::now() + FORGET_AFTER);
        assert!(!metrics.page().unwrap().contains("demo"));
    }
}
