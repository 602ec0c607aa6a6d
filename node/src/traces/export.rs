//! Takes ended spans to the collector, in batches, on a task of its own.
//! Invariants: the queue is bounded and never waited for; whatever does not reach the collector, be the queue full, the batch refused or
//! the time up when the node stops, is counted and said, once in a while and at the end.
//! Not here: what a span says (`spans`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::FLUSH_MAX;

/// Spans that wait for the collector.
const QUEUE_MAX: usize = 8_192;
/// Spans in one message to it.
const BATCH_MAX: usize = 512;
/// How long a batch waits for more spans after its first.
const BATCH_WAIT: Duration = Duration::from_millis(250);
/// How long the collector may take for a batch.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// How long the last spans may take once there are no more: less than the node waits for it (`FLUSH_MAX`), to say what was left.
const END_MAX: Duration = FLUSH_MAX.saturating_sub(Duration::from_millis(200));
/// The log hears of dropped spans no more often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The way to the collector. Clones share it; it ends with the last one.
#[derive(Clone, Debug)]
pub struct Exporter {
    queue: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
    /// Closed with the last clone.
    _life: watch::Sender<()>,
}

/// The other end of an [`Exporter`].
pub struct ExportTask {
    queue: mpsc::Receiver<SpanData>,
    life: watch::Receiver<()>,
    exporter: SpanExporter,
    endpoint: String,
    dropped: Arc<AtomicU64>,
    /// Taken out of the queue, and not exported yet.
    batch: Vec<SpanData>,
    /// In the message that is under way.
    sending: u64,
    /// Why the last batch failed.
    failure: Option<String>,
    /// Dropped spans that the log has heard of, and when it may hear more.
    said: u64,
    say_at: Instant,
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
        let (life, alive) = watch::channel(());
        let dropped = Arc::<AtomicU64>::default();
        let task = ExportTask {
            queue: waiting,
            life: alive,
            exporter,
            endpoint: endpoint.to_owned(),
            dropped: Arc::clone(&dropped),
            batch: Vec::new(),
            sending: 0,
            failure: None,
            said: 0,
            say_at: Instant::now(),
        };
        Ok((Exporter { queue, dropped, _life: life }, task))
    }

    /// Spans that never reached the collector, so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The same, to be read when the exporter is gone.
    #[cfg(test)]
    pub(super) fn dropped_later(&self) -> Arc<AtomicU64> {
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
    /// Exports until the last [`Exporter`] is gone and what it left is told, or the time for that is up.
    pub async fn run(mut self) {
        let mut life = self.life.clone();
        let end = async move {
            while life.changed().await.is_ok() {}
            sleep(END_MAX).await;
        };
        tokio::select! {
            () = self.export_all() => {}
            () = end => {}
        }
        let mut left = self.sending + self.batch.len() as u64;
        while self.queue.try_recv().is_ok() {
            left += 1;
        }
        self.dropped.fetch_add(left, Ordering::Relaxed);
        self.say();
    }

    async fn export_all(&mut self) {
        loop {
            self.say_in_time();
            let is_told = self.said == self.dropped.load(Ordering::Relaxed);
            let first = tokio::select! {
                first = self.queue.recv() => first,
                () = sleep_until(self.say_at), if !is_told => continue,
            };
            let Some(first) = first else { return };
            self.batch.push(first);
            let until = Instant::now() + BATCH_WAIT;
            while self.batch.len() < BATCH_MAX
                && let Ok(Some(span)) = timeout_at(until, self.queue.recv()).await
            {
                self.batch.push(span);
            }
            self.export().await;
        }
    }

    async fn export(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.sending = batch.len() as u64;
        self.failure = match timeout(EXPORT_MAX, self.exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer in {} s", EXPORT_MAX.as_secs())),
        };
        let sent = std::mem::take(&mut self.sending);
        if self.failure.is_some() {
            self.dropped.fetch_add(sent, Ordering::Relaxed);
        }
    }

    fn say_in_time(&mut self) {
        if Instant::now() >= self.say_at {
            self.say();
        }
    }

    /// Says how many spans were dropped, if that is news.
    fn say(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.said {
            (self.said, self.say_at) = (dropped, Instant::now() + SAY_EVERY);
            let why = self.failure.as_deref().unwrap_or("there are more than it takes in time");
            tracing::warn!(endpoint = %self.endpoint, dropped, %why, "spans do not reach the collector; they are dropped, all else goes on");
        }
    }
}
