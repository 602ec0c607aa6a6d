//! What pods and nodes themselves give to a report: logs, metrics, the layout, what is injected.
//! Invariants: each has a limit and a deadline; what was cut off says so at its beginning.

use driftkv_proto::METRICS_PORT;
use driftkv_proto::v1::GetFaultsRequest;
use futures_util::{AsyncRead, AsyncReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::bundle::Bundle;
use crate::args::Output;
use crate::error::{Exit, Failure};
use crate::kubectl::cluster;
use crate::kubectl::forward::Forwards;
use crate::kubectl::logs::{self, CONTAINER};
use crate::kubectl::site::{CALL_MAX, Site, call};
use crate::{admin, chaos, ring, style};

/// Of a log: the newest lines.
const LINES_MAX: i64 = 10_000;
/// Of a log, a page of metrics.
const BYTES_MAX: u64 = 8 << 20;
const OK: &str = "HTTP/1.1 200";

/// The logs of the nodes' pods, those before their last restart too.
pub async fn logs(bundle: &mut Bundle, site: &Site, pods: &[Pod]) -> Result<(), Failure> {
    for pod in pods {
        let name = pod.name_any();
        bundle.add_or_tell(&format!("logs/{name}.log"), log(site, &name, Some(CONTAINER), false).await)?;
        if cluster::restarts(pod) > 0 {
            let previous = log(site, &name, Some(CONTAINER), true).await;
            bundle.add_or_tell(&format!("logs/{name}.previous.log"), previous)?;
        }
    }
    Ok(())
}

/// The logs of the operator's pods, by namespace and name.
pub async fn operator_logs(bundle: &mut Bundle, site: &Site, pods: &[(String, String)]) -> Result<(), Failure> {
    for (namespace, name) in pods {
        let there = Site { namespace: namespace.clone(), ..site.clone() };
        bundle.add_or_tell(&format!("operator/{namespace}/{name}.log"), log(&there, name, None, false).await)?;
        match log(&there, name, None, true).await {
            // It was never started again.
            Err(failure) if matches!(failure.exit, Exit::NotFound | Exit::Failed) => {}
            previous => bundle.add_or_tell(&format!("operator/{namespace}/{name}.previous.log"), previous)?,
        }
    }
    Ok(())
}

async fn log(site: &Site, pod: &str, container: Option<&str>, previous: bool) -> Result<String, Failure> {
    let params = LogParams {
        container: container.map(str::to_owned),
        previous,
        tail_lines: Some(LINES_MAX),
        timestamps: true,
        ..LogParams::default()
    };
    let log = logs::open(site, pod, &params).await?;
    whole(log, &format!("read the log of {pod}")).await
}

/// All of it up to the limit.
async fn whole(from: impl AsyncRead + Unpin, what: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = timeout(3 * CALL_MAX, from.take(BYTES_MAX).read_to_end(&mut bytes)).await;
    let note = match read {
        Err(_) => format!("[cut off: {what}: no end in {} s]\n", 3 * CALL_MAX.as_secs()),
        Ok(Err(error)) => format!("[cut off: {what}: {error}]\n"),
        Ok(Ok(_)) if bytes.len() as u64 == BYTES_MAX => {
            format!("[cut off: {what}: more than {}]\n", style::bytes(BYTES_MAX))
        }
        Ok(Ok(_)) => String::new(),
    };
    Ok(note + &String::from_utf8_lossy(&bytes))
}

/// What running nodes say: the layout, what is injected, and each one's metrics.
pub async fn answers(bundle: &mut Bundle, site: &Site, pods: &[Pod]) -> Result<(), Failure> {
    let running: Vec<Pod> = pods.iter().filter(|pod| cluster::is_running(pod)).cloned().collect();
    if running.is_empty() {
        bundle.gap("nodes: none runs".to_owned());
        return Ok(());
    }
    let forwards = Forwards::open(site, &running).await?;
    let nodes = forwards.endpoints().admin;
    let layout = forwards.explain(admin::layout(&nodes).await);
    let layout = layout.and_then(|layout| style::for_programs(Output::Json, &ring::json(&layout, None)));
    bundle.add_or_tell("nodes/layout.json", layout)?;
    let ask = |mut client: admin::AdminClient| async move { client.get_faults(GetFaultsRequest {}).await };
    let faults = admin::ask_all(&nodes, ask).await;
    bundle.add("nodes/faults.json", &style::for_programs(Output::Json, &chaos::show::json(&faults))?)?;
    for pod in running.iter().map(ResourceExt::name_any) {
        bundle.add_or_tell(&format!("nodes/{pod}.metrics.txt"), metrics(site, &pod).await)?;
    }
    Ok(())
}

/// A node's page of metrics through a port-forward.
async fn metrics(site: &Site, pod: &str) -> Result<String, Failure> {
    let what = format!("read the metrics of {pod}");
    let api: Api<Pod> = Api::namespaced(site.client.clone(), &site.namespace);
    let mut forwarder = call(&what, api.portforward(pod, &[METRICS_PORT])).await?;
    let gone = |why: &str| Failure::unavailable(format!("{what}: {why}"));
    let Some(mut stream) = forwarder.take_stream(METRICS_PORT) else { return Err(gone("there is no stream")) };
    let mut page = Vec::new();
    let ask = async {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await?;
        (&mut stream).take(BYTES_MAX).read_to_end(&mut page).await
    };
    let asked = timeout(CALL_MAX, ask).await;
    forwarder.abort();
    match asked {
        Ok(Ok(_)) => body(&String::from_utf8_lossy(&page)).ok_or_else(|| gone("that is no page of metrics")),
        Ok(Err(error)) => Err(gone(&error.to_string())),
        Err(_) => Err(gone("no answer")),
    }
}

/// The body of an answer that says it is one. A node's pages have a length and are not chunked.
fn body(answer: &str) -> Option<String> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with(OK).then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::io::{Cursor, repeat};

    use super::{BYTES_MAX, body, whole};

    #[tokio::test]
    async fn a_log_is_read_to_its_limit_and_says_so() {
        assert_eq!(whole(Cursor::new(b"one\xff"), "x").await.unwrap(), "one\u{fffd}");
        let cut = whole(repeat(b'x'), "read the log of demo-0").await.unwrap();
        assert!(cut.starts_with("[cut off: read the log of demo-0: more than 8.0 MiB]\nxxx"));
        assert!(cut.len() as u64 > BYTES_MAX);
    }

    #[test]
    fn only_an_answer_that_succeeded_is_a_page() {
        assert_eq!(body("HTTP/1.1 200 OK\r\na: b\r\n\r\n# EOF\n").as_deref(), Some("# EOF\n"));
        assert_eq!(body("HTTP/1.1 503 Busy\r\n\r\nno"), None);
        assert_eq!(body("garbage"), None);
    }
}
