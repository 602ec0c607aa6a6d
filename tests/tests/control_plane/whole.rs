//! The whole controller with its watches (`run`), which ends at a call that chance decides, and begins anew.
//! What must hold is the same as in `trials`, and so are the ends that it is compared with; which call it is the table says, for no seed brings the order of watches back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use driftkv_operator::controller::run::run;
use tokio::sync::watch;

use crate::site::{IMAGES, Operator, Site};
use crate::trials::{Operation, References};
use crate::verdict;
use crate::wire::Fault;

/// How long an operation may take: the controller looks again every second while nodes are on their way.
const WITHIN: Duration = Duration::from_secs(120);
/// Between two stages of the machines.
const STAGE: Duration = Duration::from_millis(200);
/// Its watches begin with some twenty calls; no operation has fewer than these.
const CALLS: std::ops::Range<usize> = 5..60;

/// Create, update and delete, whose ends must be those of `references`. Errors: what was wrong, a line each.
pub async fn all(client: &kube::Client, references: &References) -> Result<String, String> {
    let mut site = Site::new(client, "whole").await;
    let mut lines = Vec::new();
    site.create(IMAGES[0]).await;
    lines.push(converge(&site, references, Operation::Create, 0).await?);
    site.update(IMAGES[1]).await;
    lines.push(converge(&site, references, Operation::Update, 1).await?);
    site.delete().await;
    site.create(IMAGES[1]).await;
    lines.push(converge(&site, references, Operation::Delete, 1).await?);
    Ok(lines.join("\n"))
}

async fn converge(site: &Site, references: &References, operation: Operation, image: usize) -> Result<String, String> {
    let expected = references.get(&(operation, image)).ok_or("no run without faults to compare with")?;
    let at = rand::random_range(CALLS);
    let fault = if rand::random() { Fault::CrashBefore } else { Fault::CrashAfter };
    let began = Instant::now();
    let first = site.operator(Some((at, fault)));
    let calls = until(site, &first, began, None).await;
    let second = site.operator(None);
    let calls = calls + until(site, &second, began, Some(expected)).await;
    let words = format!("the whole controller, {operation:?}, {fault} at call {at}");
    let mut wrong = verdict::wrong(site, expected, operation.replaced()).await;
    if first.wire.fired().is_none() {
        wrong.push("the first controller never came to that call".to_owned());
    }
    if !site.is_ready().await {
        wrong.push(format!("not ready within {} s", WITHIN.as_secs()));
    }
    match wrong.is_empty() {
        true => Ok(format!("{words}: {calls} calls, {:.1} s", began.elapsed().as_secs_f64())),
        false => Err(format!("{words}: {}", wrong.join("; "))),
    }
}

/// Runs a controller until it crashes, or else until all is as `expected`. The number of its calls.
async fn until(site: &Site, operator: &Operator, began: Instant, expected: Option<&Vec<String>>) -> usize {
    let (stop, stopped) = watch::channel(false);
    let (context, namespaces) = (Arc::clone(&operator.context), vec![site.namespace.clone()]);
    let controller = tokio::spawn(async move { run(context, &namespaces, stopped).await });
    let machines = async {
        while began.elapsed() < WITHIN {
            let moved = site.machines.step().await;
            // Its last write may follow what makes the cluster ready.
            if let (false, Some(expected)) = (moved, expected)
                && site.is_ready().await
                && site.is_rolled_out().await
                && verdict::end_state(site).await == *expected
            {
                return;
            }
            tokio::time::sleep(STAGE).await;
        }
    };
    tokio::select! {
        () = operator.wire.crashed() => {}
        () = machines => {}
    }
    controller.abort();
    let _ = controller.await;
    drop(stop);
    operator.wire.calls().len()
}
