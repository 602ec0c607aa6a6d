//! The closed loop: a worker sends its next operation when the last one has ended.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{LoadError, Run};
use crate::plan::Until;

/// Runs all workers to their end.
pub(super) async fn drive(run: &Arc<Run>, until: Until) -> Result<(), LoadError> {
    let mut workers = JoinSet::new();
    for worker in 0..run.plan.workload.workers {
        workers.spawn(work(Arc::clone(run), worker, until));
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|error| LoadError::Broken(error.to_string()))?;
    }
    Ok(())
}

async fn work(run: Arc<Run>, worker: u32, until: Until) {
    let mut stream = run.plan.stream(worker, run.options.targets);
    loop {
        let op = stream.next_op();
        let is_over = match until {
            Until::Ops(ops) => op.seq >= ops,
            Until::After(duration) => run.started.elapsed() >= duration,
        };
        if is_over || run.is_stopped() {
            return;
        }
        run.perform(&op, None).await;
    }
}
