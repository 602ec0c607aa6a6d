//! `kubectl driftkv report`: everything that somebody who helps would ask for, in one archive.
//! Invariants: no Secret is in it, no admin token, no key and no value of the store; what could not be read is told in its README.txt, and ends
//! nothing: only a KVCluster that cannot be read, or an archive that cannot be written, is a failure.
//! Not here: what is taken out (`redact`), the archive (`bundle`), objects (`objects`), what pods and nodes say (`nodes`).

use std::path::PathBuf;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::args::{ReportArgs, Which};
use super::site::{Site, call};
use super::status::Look;
use super::token;
use crate::args::Output;
use crate::error::Failure;
use crate::style::{self, Paint, bytes, count};
use crate::up::signals::Signals;

mod bundle;
mod nodes;
mod objects;
mod redact;

use bundle::Bundle;

/// Of the picture in it.
const COLUMNS: usize = 120;

const WHAT: &str = "\
README.txt            this
status.txt            the picture of `kubectl driftkv status`
status.json           the same for programs, with all that the nodes said
kvcluster.yaml        the KVCluster
objects/              what the operator made of it, and the pods
events.yaml           events about all of that
logs/                 of each node the newest 10,000 lines; .previous.log: of its container before the last restart
nodes/                the layout, what is injected, and of each node the page of metrics
operator/             its Deployments and pods, and the newest 10,000 lines of their logs
versions.txt          of this plugin and of Kubernetes

Left out: Secrets; the admin token; values of fields, variables and flags whose names say that they are secret (token,
password, secret, credential, key and the like); logins in addresses; `managedFields` and the last applied configuration; keys and values of the store, which nobody asked for.
Names are in it: of machines, zones, namespaces and images, and addresses. What programs of others write into their logs, and secrets by other
names, cannot be known: look through it before you give it away.
";

/// Runs the command.
pub async fn run(which: &Which, args: &ReportArgs) -> Result<(), Failure> {
    let site = Site::open(which).await?;
    let look = Look::take(&site, which).await?;
    let root = root(&site.namespace, &look.cluster.name, Timestamp::now());
    let target = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{root}.tar.gz")));
    let mut bundle = Bundle::begin(&target, &root)?;
    let mut signals = Signals::new()?;
    tokio::select! {
        filled = fill(&mut bundle, &site, &look, args) => filled?,
        () = signals.next() => return Err(Failure::failed("stopped; there is no archive")),
    }
    let (gaps, parts) = (bundle.gaps().to_vec(), bundle.parts().len() as u64);
    let size = bundle.finish()?;
    let file = target.display().to_string();
    if args.output != Output::Text {
        return style::print_value(args.output, &json!({"file": file, "bytes": size, "parts": parts, "notRead": gaps}));
    }
    for gap in &gaps {
        style::note(&Paint::stderr().yellow(&format!("not in it: {}", style::one_line(gap))));
    }
    style::print(format!(
        "{file}: {} in {}\nIts README.txt says what is in it. Look through it before you give it away.\n",
        count(parts, "part"),
        bytes(size)
    ))
}

/// `driftkv-shop-demo-20260101-120000`.
fn root(namespace: &str, cluster: &str, now: Timestamp) -> String {
    format!("driftkv-{namespace}-{cluster}-{}", now.strftime("%Y%m%d-%H%M%S"))
}

async fn fill(bundle: &mut Bundle, site: &Site, look: &Look, args: &ReportArgs) -> Result<(), Failure> {
    // Order: before anything is added, so that nothing that is known to be secret is.
    match token::lines(site, &look.cluster.name).await {
        Ok(lines) => bundle.hide(lines),
        Err(failure) => bundle.gap(format!("the admin token, to search the report for it: {failure}")),
    }
    look.gaps.iter().for_each(|gap| bundle.gap(format!("status: {gap}")));
    bundle.add("status.txt", &look.text(Paint::off(), COLUMNS))?;
    let mut json = look.json();
    redact::object(&mut json);
    bundle.add("status.json", &style::for_programs(Output::Json, &json)?)?;
    bundle.add("versions.txt", &versions(site).await)?;
    tell("objects and events");
    objects::of_cluster(bundle, site, &look.cluster).await?;
    tell("logs");
    nodes::logs(bundle, site, &look.pods).await?;
    tell("what the nodes say");
    nodes::answers(bundle, site, &look.pods).await?;
    tell("the operator");
    let pods = objects::of_operator(bundle, site, args.operator_namespace.as_deref()).await?;
    nodes::operator_logs(bundle, site, &pods).await?;
    let readme = readme(bundle, site, look);
    bundle.add("README.txt", &readme)
}

fn tell(what: &str) {
    style::note(&Paint::stderr().dim(&format!("reading {what}")));
}

async fn versions(site: &Site) -> String {
    let kubernetes = match call("ask for the version of Kubernetes", site.client.apiserver_version()).await {
        Ok(version) => format!("{} on {}", version.git_version, version.platform),
        Err(failure) => format!("not known: {failure}"),
    };
    format!("kubectl-driftkv {}\nKubernetes {kubernetes}\n", env!("CARGO_PKG_VERSION"))
}

fn readme(bundle: &Bundle, site: &Site, look: &Look) -> String {
    let mut out = format!(
        "Support bundle of the KVCluster {} in namespace {}, made by kubectl driftkv report at {}\n\n{WHAT}\nCould not be read:\n",
        look.cluster.name,
        site.namespace,
        Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC"),
    );
    if bundle.gaps().is_empty() {
        out += "  nothing: all is in it\n";
    }
    for gap in bundle.gaps() {
        out += &format!("  {}\n", style::one_line(gap));
    }
    out += "\nParts, in bytes:\n";
    bundle.parts().iter().fold(out, |out, (path, size)| format!("{out}{size:>10}  {path}\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::root;

    #[test]
    fn an_archive_is_named_for_its_cluster_and_its_time() {
        assert_eq!(root("shop", "demo", "2026-01-01T12:00:00Z".parse().unwrap()), "driftkv-shop-demo-20260101-120000");
    }
}
