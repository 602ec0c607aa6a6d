//! `kubectl driftkv status`: one look at a cluster from the API server and, where they can be reached, from its nodes.
//! Invariant: what could not be learned is said; the KVCluster is shown whoever else is silent.
//! Not here: how it looks (`status/show.rs`), what nodes are asked (`crate::status`).

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::args::{StatusArgs, Which};
use super::cluster::{self, Cluster};
use super::forward::Forwards;
use super::site::Site;
use super::token;
use crate::args::Output;
use crate::error::Failure;
use crate::status::{Seen, Silent, watch};
use crate::style::{self, Paint};

pub mod chaos;
mod show;

/// Runs the command.
pub async fn run(which: &Which, args: &StatusArgs) -> Result<(), Failure> {
    let site = Site::open(which).await?;
    let Some(interval) = args.watch else {
        let look = Look::take(&site, which).await?;
        return style::print(match args.output {
            Output::Text => look.text(Paint::stdout(), style::columns()),
            output => style::for_programs(output, &look.json())?,
        });
    };
    // Once without `watch`: a wrong name or a lack of rights ends the command, what goes wrong later does not.
    Look::take(&site, which).await?;
    watch::watch(interval, async || {
        let look = Look::take(&site, which).await;
        let paint = Paint::stdout();
        let time = paint.dim(&watch::time_of_day());
        match (args.output, look) {
            (Output::Text, Ok(look)) => Ok(format!("{time}\n{}\n", look.text(paint, style::columns()))),
            (Output::Text, Err(failure)) => Ok(format!("{time}\n{}\n\n", paint.red(&failure.message))),
            (output, Ok(look)) => style::one_for_programs(output, &look.json()),
            (output, Err(failure)) => style::one_for_programs(output, &json!({ "error": failure.message })),
        }
    })
    .await
}

/// All that was found out at one moment.
pub struct Look {
    namespace: String,
    now: Timestamp,
    /// The KVCluster.
    pub cluster: Cluster,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// What nodes said of themselves; nothing of those whose pods do not run.
    seen: Seen,
    /// What could not be learned.
    pub gaps: Vec<String>,
}

impl Look {
    /// Looks. Errors: the KVCluster cannot be read.
    pub async fn take(site: &Site, which: &Which) -> Result<Look, Failure> {
        let cluster = Cluster::find(site, which.cluster.as_deref()).await?;
        let mut gaps = Vec::new();
        let pods = cluster.pods(site).await.unwrap_or_else(|failure| {
            gaps.push(failure.message);
            Vec::new()
        });
        let seen = ask(site, &cluster, &pods, &mut gaps).await;
        let (namespace, now) = (site.namespace.clone(), Timestamp::now());
        Ok(Look { namespace, now, cluster, pods, seen, gaps })
    }

    /// All of it, for programs.
    pub fn json(&self) -> Value {
        let pod = |pod: &Pod| {
            json!({
                "name": pod.name_any(), "state": cluster::state(pod), "ready": cluster::is_ready(pod),
                "restarts": cluster::restarts(pod), "machine": pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()),
            })
        };
        json!({
            "name": self.cluster.name, "namespace": self.namespace, "spec": self.cluster.object.get("spec"),
            "status": self.cluster.object.get("status"), "pods": self.pods.iter().map(pod).collect::<Vec<_>>(),
            "live": self.seen.json(), "notLearned": self.gaps,
        })
    }
}

/// Asks the nodes whose pods run.
async fn ask(site: &Site, cluster: &Cluster, pods: &[Pod], gaps: &mut Vec<String>) -> Seen {
    let running: Vec<Pod> = pods.iter().filter(|pod| cluster::is_running(pod)).cloned().collect();
    let nothing = Seen { answers: Vec::new(), silent: Silent::new(), layout: None, divergence: None };
    if running.is_empty() {
        return nothing;
    }
    if let Err(failure) = token::present(site, &cluster.name).await {
        gaps.push(failure.message);
    }
    let forwards = match Forwards::open(site, &running).await {
        Ok(forwards) => forwards,
        Err(failure) => {
            gaps.push(failure.message);
            return nothing;
        }
    };
    let seen = Seen::look_at(&forwards.endpoints().admin).await;
    gaps.extend(forwards.troubles());
    seen
}
