//! Takes ended spans to the collector, in batches, on a task of its own.
//! Invariants: the queue is bounded and never waited for: a span that finds it full is dropped and counted; a batch that the collector
//! does not take in time is dropped, and said once in a while.
//! Not here: what a span says (`spans`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// Spans that wait for the collector.
const QUEUE_MAX: usize = 8_192;
/// Spans in one message to it.
const BATCH_MAX: usize = 512;
/// How long a batch waits for more spans after its first.
const BATCH_WAIT: Duration = Duration::from_millis(250);
/// How long the collector may take for a batch.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// The way to the collector. Clones share it; it ends with the last one.
#[derive(Clone, Debug)]
pub struct Exporter {
    queue: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

/// The other end of an [`Exporter`].
pub struct ExportTask {
    queue: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    endpoint: String,
    dropped: Arc<AtomicU64>,
    failed: u64,
}

impl Exporter {
    /// To the collector at `endpoint`, `http://host:port`, as the node `name`. Connects when there is a first span, and again after a
    /// loss. Needs a tokio runtime. Errors: the endpoint is no address.
    pub fn new(endpoint: &str, name: &str) -> Result<(Exporter, ExportTask), ExporterBuildError> {
        let builder = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_MAX);
        let mut exporter = builder.build()?;
        let about = [
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", name.to_owned()),
        ];
        exporter
            .set_resource(&Resource::builder_empty().with_service_name("driftkv-node").with_attributes(about).build());
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let dropped = Arc::<AtomicU64>::default();
        let task = ExportTask {
            queue: waiting,
            exporter,
            endpoint: endpoint.to_owned(),
            dropped: Arc::clone(&dropped),
            failed: 0,
        };
        Ok((Exporter { queue, dropped }, task))
    }

    /// Spans that never reached the collector.
    #[cfg(test)]
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Spans that wait for the collector.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        QUEUE_MAX - self.queue.capacity()
    }

    /// Hands over a span that has ended; drops it if too many wait.
    pub fn send(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ExportTask {
    /// Exports until the last [`Exporter`] is gone and what it left is told.
    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let until = Instant::now() + BATCH_WAIT;
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(Some(span)) = timeout_at(until, self.queue.recv()).await
            {
                batch.push(span);
            }
            self.export(batch).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let why = match timeout(EXPORT_MAX, self.exporter.export(batch)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", EXPORT_MAX.as_secs()),
        };
        self.failed += 1;
        let lost = self.dropped.fetch_add(count, Ordering::Relaxed) + count;
        if self.failed.is_power_of_two() {
            tracing::warn!(endpoint = %self.endpoint, lost, %why, "spans do not reach the collector; they are dropped, all else goes on");
        }
    }
}
