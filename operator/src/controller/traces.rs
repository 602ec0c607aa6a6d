//! Traces of passes, for an OpenTelemetry collector: one span a pass, with a child for each of its phases.
//! Invariant: spans are handed over after the pass; one that the collector does not take is dropped, and no pass waits for it.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanBuilder, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::error::Error;

/// How long the collector may take for a batch.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// The phases of one pass, as they were timed.
#[derive(Clone, Debug, Default)]
pub struct Phases(Vec<(&'static str, SystemTime, SystemTime)>);

impl Phases {
    /// Times `phase`.
    pub async fn time<T>(&mut self, name: &'static str, phase: impl Future<Output = T>) -> T {
        let began = SystemTime::now();
        let outcome = phase.await;
        self.0.push((name, began, SystemTime::now()));
        outcome
    }
}

/// The way to the collector, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// To the collector at `endpoint`, `http://host:port`. Needs a tokio runtime. Errors: the endpoint is no address.
    pub fn to(endpoint: &str) -> Result<Traces, ExporterBuildError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_MAX).build()?;
        let about = [KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
        let resource = Resource::builder_empty().with_service_name("driftkv-operator").with_attributes(about).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Traces { provider: Some(provider) })
    }

    /// Tells of a pass over the KVCluster `name` that began at `began` and has just ended.
    pub fn tell(&self, namespace: &str, name: &str, began: SystemTime, phases: &Phases, error: Option<&Error>) {
        let Some(provider) = &self.provider else { return };
        let tracer = provider.tracer("driftkv-operator");
        let about = [("k8s.namespace.name", namespace), ("driftkv.cluster", name)];
        let attributes = about.map(|(key, value)| KeyValue::new(key, value.to_owned()));
        let builder = SpanBuilder::from_name("reconcile").with_start_time(began).with_attributes(attributes);
        let mut span = tracer.build_with_context(builder, &Context::new());
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error.label()));
            span.set_status(Status::error(error.to_string()));
        }
        let context = Context::new().with_span(span);
        for (name, began, ended) in &phases.0 {
            let builder = SpanBuilder::from_name(*name).with_start_time(*began);
            tracer.build_with_context(builder, &context).end_with_timestamp(*ended);
        }
        context.span().end();
    }

    /// Hands over what is left. Blocks for as long as the collector takes.
    pub fn end(&self) {
        if let Some(Err(error)) = self.provider.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use opentelemetry::trace::Status;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

    use super::{Error, Phases, Traces};

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_pass_is_one_trace_with_its_phases_in_it_and_its_error() {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        let traces = Traces { provider: Some(provider) };
        let (began, mut phases) = (SystemTime::now(), Phases::default());
        assert_eq!(phases.time("observe", async { 7 }).await, 7);
        phases.time("apply", async {}).await;
        traces.tell("db", "demo", began, &phases, Some(&Error::Deadline { what: "list pods".to_owned() }));
        let spans = kept.0.lock().unwrap();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["observe", "apply", "reconcile"]);
        let root = spans.last().unwrap();
        assert!(matches!(&root.status, Status::Error { description } if description.contains("list pods")));
        assert!(
            root.attributes.iter().any(|pair| pair.key.as_str() == "driftkv.cluster" && pair.value.as_str() == "demo")
        );
        for child in spans.iter().take(2) {
            assert_eq!(child.parent_span_id, root.span_context.span_id());
            assert_eq!(child.span_context.trace_id(), root.span_context.trace_id());
            assert!(child.start_time >= began && child.end_time <= root.end_time);
        }
    }
}
