//! Who may begin an experiment: three consents, a text that is understood, a token, and, if asked for, a policy of the API server.
//! Also the site of all experiments: five nodes that allow faults, in a namespace of their own, kept from one scenario to the next.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tonic::Code;

use crate::kube::{apply, condition, eventually, get, kubectl, try_kubectl};
use crate::probe::{Probe, token};
use crate::report;
use crate::site::{Operator, PATIENCE, Site, image};

const KEY: &str = "chaos.driftkv.io/experiment";
const LABEL: &str = "chaos.driftkv.io/allowed";
const NODES: u32 = 5;

/// The site, with every consent given.
pub fn stage(operator: &Operator) -> Site {
    if let Some(site) = Site::left("chaos", NODES) {
        site.ready(PATIENCE);
        return site;
    }
    let site = begin();
    operator.allow_chaos(true);
    allow(&site);
    site
}

fn begin() -> Site {
    let site = Site { replicas: NODES, ..Site::new("chaos") };
    site.apply(&image(), "allowFaults: true");
    site.ready(PATIENCE);
    // Kubernetes takes its time to bring it to the nodes: `rotated` looks for it at the end.
    *FIRST_TOKEN.lock().unwrap() = token(&site);
    let secret = format!("{}-admin", site.cluster);
    kubectl(&["annotate", "secret", &secret, "-n", &site.namespace, "driftkv.io/rotate=e2e"]);
    site
}

/// The token that the site began with.
static FIRST_TOKEN: Mutex<String> = Mutex::new(String::new());

/// Waits until the nodes take the token that was asked for at the beginning, and no longer the first one.
pub fn rotated(site: &Site) {
    let (first, secret) = (FIRST_TOKEN.lock().unwrap().clone(), format!("{}-admin", site.cluster));
    let template = "go-template={{.data.accepted | base64decode}}";
    let words = ["get", "secret", &secret, "-n", &site.namespace, "-o", template];
    eventually("only the new token is accepted", PATIENCE, || {
        let accepted = kubectl(&words);
        if accepted.lines().count() == 1 && !accepted.contains(&first) {
            Ok(())
        } else {
            Err("the old one is, too".to_owned())
        }
    });
    let probe = Probe::new(site, 0);
    let (_, took) = eventually("the nodes refuse the old token", PATIENCE, || match probe.faults_as(Some(&first)) {
        Err(refused) if refused.code() == Code::Unauthenticated => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(probe.state("nobody").0, "", "and take the new one");
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default();
    assert_eq!(site.pods().iter().map(restarts).sum::<u64>(), 0, "a container was restarted");
    report::say(format!(
        "the token was rotated without a restart; the old one is refused {:.0} s after it was dropped",
        took.as_secs_f64()
    ));
}

/// Gives the consent of the namespace.
pub fn allow(site: &Site) {
    kubectl(&["label", "namespace", &site.namespace, &format!("{LABEL}=true")]);
}

/// Writes the annotation.
pub fn annotate(site: &Site, text: &str) {
    let value = format!("{KEY}={text}");
    kubectl(&["annotate", "--overwrite", "kvcluster", &site.cluster, "-n", &site.namespace, &value]);
}

/// Takes it away.
pub fn remove(site: &Site) {
    kubectl(&["annotate", "kvcluster", &site.cluster, "-n", &site.namespace, &format!("{KEY}-")]);
}

/// Waits until ChaosActive gives this reason; its message, and the time it took.
pub fn says(site: &Site, reason: &str, within: Duration) -> (String, Duration) {
    eventually(&format!("ChaosActive says {reason}"), within, || {
        let object = site.seen();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == "ChaosActive");
        match found {
            Some(found) if found["reason"] == reason => Ok(found["message"].as_str().unwrap_or_default().to_owned()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn nothing_happened(site: &Site) {
    assert_eq!(condition(&site.seen(), "ChaosActive").map(|said| said.0).as_deref(), Some("False"));
    assert_eq!(site.seen()["status"]["chaos"], Value::Null, "something was begun");
}

const PAUSE: &str = "{id: refused, for: 10s, faults: [{kind: pause, node: demo-0, down: 1s}]}";

pub fn refusals(operator: &Operator) {
    operator.allow_chaos(false);
    let site = begin();
    annotate(&site, PAUSE);
    let (words, _) = says(&site, "ChaosNotPermitted", PATIENCE);
    assert!(words.contains("--allow-chaos") && words.contains(LABEL), "both are named: {words}");
    report::say(format!("without consents: {words}"));
    nothing_happened(&site);
    operator.allow_chaos(true);
    let named = |missing: &str, not: &str| {
        eventually(&format!("only {missing} is missing"), PATIENCE, || {
            let (words, _) = says(&site, "ChaosNotPermitted", PATIENCE);
            if words.contains(missing) && !words.contains(not) { Ok(()) } else { Err(words) }
        });
    };
    named(LABEL, "--allow-chaos");
    nothing_happened(&site);
    without_the_specs_consent(&site);
    remove(&site);
    allow(&site);
    vocabulary(&site);
    let refusals = "type=Warning,reason=ChaosInvalid";
    let events = kubectl(&["get", "events", "-n", &site.namespace, "--field-selector", refusals, "-o", "name"]);
    assert!(!events.trim().is_empty(), "each refusal is a Warning event");
    forged(&site);
    policy(&site);
}

/// A small cluster whose spec does not allow faults, in a namespace that does not either.
fn without_the_specs_consent(site: &Site) {
    let small = Site { namespace: site.namespace.clone(), cluster: "plain".to_owned(), replicas: 1 };
    small.apply(&image(), "replicationFactor: 1\nreadQuorum: 1\nwriteQuorum: 1");
    small.ready(PATIENCE);
    annotate(&small, "{for: 10s, allowQuorumLoss: true, faults: [{kind: pause, node: plain-0, down: 1s}]}");
    let (words, _) = says(&small, "ChaosNotPermitted", PATIENCE);
    assert!(words.contains("spec.allowFaults") && words.contains(LABEL), "both are named: {words}");
    nothing_happened(&small);
    kubectl(&["delete", "kvcluster", &small.cluster, "-n", &small.namespace, "--wait=false"]);
}

fn vocabulary(site: &Site) {
    annotate(site, "for: 10s\nfaults:\n- {kind: pause, node: demo-0, down: 1s}\n- {kind: explode, node: demo-0}\n");
    let (words, _) = says(site, "ChaosInvalid", PATIENCE);
    assert!(words.contains("line 4, column 10"), "{words}");
    report::say(format!("unreadable: {words}"));
    nothing_happened(site);
    annotate(site, "{for: 10s, faults: [{kind: partition, groups: [[demo-0, demo-1], ['*']]}]}");
    let (words, _) = says(site, "ChaosBlastRadius", PATIENCE);
    assert!(words.contains("allowQuorumLoss"), "{words}");
    nothing_happened(site);
    remove(site);
}

/// Faults come in by the admin port, too: nobody gets there without the token.
fn forged(site: &Site) {
    let probe = Probe::new(site, 0);
    for token in [None, Some("0123456789abcdef0123456789abcdef")] {
        let applied = probe.apply(token, PAUSE).expect_err("a forged call is refused");
        let asked = probe.faults_as(token).expect_err("even a question is");
        assert_eq!((applied.code(), asked.code()), (Code::Unauthenticated, Code::Unauthenticated), "{applied}");
    }
    assert_eq!(probe.state("refused").0, "", "nothing was injected, and the right token is taken");
    report::say("Admin calls without a token, and with a wrong one: refused (UNAUTHENTICATED)".to_owned());
}

/// The chart's policy, rendered for a group that the administrator of this cluster is not in.
fn policy(site: &Site) {
    let chart = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../charts/driftkv").display().to_string();
    let set = "chaos.admissionPolicy.enabled=true,chaos.admissionPolicy.groups={chaos-engineers}";
    let words = ["template", "guard", &chart, "-n", "guard", "--kube-version", "1.33.0"];
    let yaml = crate::kube::helm(&[&words[..], &["--show-only", "templates/chaos-policy.yaml", "--set", set]].concat());
    apply("default", &yaml);
    let value = format!("{KEY}={PAUSE}");
    let set = ["annotate", "--overwrite", "kvcluster", &site.cluster, "-n", &site.namespace, &value];
    // The API server takes up a policy within seconds.
    let dry = [&set[..], &["--dry-run=server"]].concat();
    let (words, _) = eventually("the policy refuses", PATIENCE, || {
        let said = try_kubectl(&dry);
        if said.is_ok { Err("it was taken".to_owned()) } else { Ok(said.error) }
    });
    assert!(words.contains("chaos.admissionPolicy"), "{words}");
    let engineer = [&dry[..], &["--as=somebody", "--as-group=chaos-engineers", "--as-group=system:masters"]].concat();
    let said = try_kubectl(&engineer);
    assert!(said.is_ok, "whom it names may: {}", said.error);
    kubectl(&["annotate", "kvcluster", &site.cluster, "-n", &site.namespace, "of=somebody-else"]);
    crate::kube::run("kubectl", &["delete", "-f", "-"], &yaml);
    assert!(get(&["kvcluster", &site.cluster, "-n", &site.namespace]).is_some());
}
