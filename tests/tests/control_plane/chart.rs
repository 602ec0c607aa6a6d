//! What Helm makes of the chart: with the values of every kind of installation it is rendered, and each object is taken by a real API
//! server (`--dry-run=server`), which knows the fields of all kinds. Stand-ins take the place of the CRDs that belong to the
//! operator of Prometheus, with the fields that we use and no others. Values that must be refused are.
//! Not here: whether it works once installed (`make e2e`), and what its alerts ask for (`monitoring.rs`).

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::plane::Plane;

/// One that YAML reads as a number where it is not quoted.
const NAMESPACE: &str = "2026";
/// What a rendered chart has at least: CRD, Deployment, Service, ServiceAccount, roles and bindings, budget, test.
const OBJECTS_MIN: usize = 11;
const SERVED_MAX: Duration = Duration::from_secs(30);

/// Installations: what they are called, the flags, and kinds that they must have.
const INSTALLATIONS: &[(&str, &[&str], &[&str])] = &[
    ("default", &[], &["ClusterRole", "PodDisruptionBudget", "CustomResourceDefinition"]),
    (
        "production",
        &["-f", "charts/driftkv/values-production.yaml"],
        &["ServiceMonitor", "PrometheusRule", "ConfigMap", "PodDisruptionBudget"],
    ),
    ("namespaced", &["--set", "watch.scope=namespaces,watch.namespaces={one,two}"], &["Role", "PodDisruptionBudget"]),
    // Names that YAML would read as a number and as a truth value.
    (
        "namespaced in 2026",
        &["--set", "watch.scope=namespaces", "--set-string", "watch.namespaces={2026,true}"],
        &["Role"],
    ),
    (
        "everything",
        &[
            "--set",
            "replicas=1,crds.enabled=false,imagePullSecrets[0].name=s,nodeSelector.a=b,podAnnotations.a=b,test.storage.className=fast,\
             monitoring.serviceMonitor.enabled=true,monitoring.serviceMonitor.labels.release=p,monitoring.rules.enabled=true,\
             monitoring.rules.runbooks=https://example.org/docs,monitoring.rules.labels=null,tracing.otlpEndpoint=http://collector:4317,priorityClassName=high,chaos.enabled=true,chaos.admissionPolicy.enabled=true,chaos.admissionPolicy.users={me}",
        ],
        &["ServiceMonitor", "PrometheusRule", "ValidatingAdmissionPolicy"],
    ),
];

/// Values that are refused, and words of what is said.
const REFUSED: &[(&str, &str)] = &[
    ("monitor.enabled=true", "monitor"),
    ("monitoring.rules.enable=true", "enable"),
    ("test.storage.size=64", "size"),
    ("affinity.podAntiaffinity.x=1", "podAntiaffinity"),
    ("resources.limit.memory=1Gi", "limit"),
    ("watch.namespaces={db}", "scope"),
    ("image.tag=a b", "tag"),
    ("image.repository=a b", "repository"),
    ("image.repository=x:1", "repository"),
    ("image.repository=A/b", "repository"),
    ("log.level=a b", "level"),
    ("priorityClassName=A b", "priorityClassName"),
    ("affinity.podAffinity.foo=1", "foo"),
    ("replicas=two", "replicas"),
    ("tracing.otlpEndpoint=collector:4317", "otlpEndpoint"),
];

/// Renders, tries and counts all of them.
pub fn all(plane: &Plane) -> String {
    for kind in ["servicemonitor", "prometheusrule"] {
        stand_in(plane, kind);
    }
    for namespace in [NAMESPACE, "one", "two", "true"] {
        taken(&plane.kubectl().args(["create", "namespace", namespace]).output().expect("kubectl"), namespace);
    }
    let objects: Vec<usize> =
        INSTALLATIONS.iter().map(|(name, flags, kinds)| installed(plane, name, flags, kinds)).collect();
    for (set, words) in REFUSED {
        let said = render(plane, &["--set", set]);
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && error.contains(words), "--set {set} is not refused with {words:?}: {error}");
    }
    let (all, charts, refused) = (objects.iter().sum::<usize>(), INSTALLATIONS.len(), REFUSED.len());
    format!("{all} objects of {charts} installations taken, {refused} wrong values refused")
}

/// How many objects there are, all of them taken.
fn installed(plane: &Plane, name: &str, flags: &[&str], kinds: &[&str]) -> usize {
    let lint = plane.helm().current_dir(root()).args(["lint", "--strict", "charts/driftkv"]).args(flags).output();
    taken(&lint.expect("helm"), name);
    let rendered = render(plane, flags);
    taken(&rendered, name);
    let text = String::from_utf8(rendered.stdout).expect("text");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let objects: Vec<Value> = objects.into_iter().filter(Value::is_object).collect();
    for kind in kinds {
        assert!(objects.iter().any(|object| object["kind"] == *kind), "{name} has no {kind}");
    }
    for object in &objects {
        let words = format!("{name}: {} {}", object["kind"], object["metadata"]["name"]);
        let file = plane.write("object.json", &object.to_string());
        // A pod is refused whose ServiceAccount is not there: that one stays.
        let how = if object["kind"] == "ServiceAccount" { "none" } else { "server" };
        let flags = ["apply", "--validate=strict", &format!("--dry-run={how}"), "-f"];
        let output = plane.kubectl().args(flags).arg(file).output().expect("kubectl");
        taken(&output, &words);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("Warning"), "{words}: {output:?}");
    }
    assert!(objects.len() >= OBJECTS_MIN - 1, "{name} has {} objects", objects.len());
    objects.len()
}

/// As `helm install` would, with what this API server has. A release may have a dot in its name, which a Service may not.
fn render(plane: &Plane, flags: &[&str]) -> Output {
    let words = ["template", "release.b", "charts/driftkv", "-n", NAMESPACE, "--validate", "--is-upgrade"];
    plane.helm().current_dir(root()).args(words).args(flags).output().expect("helm")
}

fn taken(output: &Output, what: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}{}", text(&output.stderr), text(&output.stdout));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A CRD of the operator of Prometheus, as far as we use it.
fn stand_in(plane: &Plane, singular: &str) {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let list = |of: Value| json!({"type": "array", "items": {"type": "object", "properties": of}});
    let (kind, spec) = match singular {
        "servicemonitor" => {
            let endpoint = json!({"port": text, "path": text, "interval": text, "honorLabels": {"type": "boolean"}});
            let selector = json!({"type": "object", "properties": {"matchLabels": texts}});
            ("ServiceMonitor", json!({"selector": selector, "endpoints": list(endpoint)}))
        }
        _ => {
            let rule = json!({"alert": text, "expr": text, "for": text, "labels": texts, "annotations": texts});
            ("PrometheusRule", json!({"groups": list(json!({"name": text, "rules": list(rule)}))}))
        }
    };
    let plural = format!("{singular}s");
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let names = json!({"kind": kind, "plural": plural, "singular": singular, "listKind": format!("{kind}List")});
    let name = format!("{plural}.monitoring.coreos.com");
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]},
    });
    let file = plane.write("crd.json", &crd.to_string());
    taken(&plane.kubectl().arg("apply").arg("-f").arg(file).output().expect("kubectl"), &name);
    let deadline = Instant::now() + SERVED_MAX;
    while !plane
        .kubectl()
        .args(["get", &name.replace("monitoring", "v1.monitoring")])
        .output()
        .expect("kubectl")
        .status
        .success()
    {
        assert!(Instant::now() < deadline, "{name} is not served");
        std::thread::sleep(Duration::from_millis(200));
    }
}
