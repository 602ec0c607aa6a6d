//! The chart as its users meet it: `helm test`, the examples, an upgrade from the version before, and a release of another name.
//! The last two take the operator away and bring another one: they come last, and `Operator::restore` mends what they leave.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kube::{apply, eventually, get, helm, kubectl, list, run};
use crate::load::Load;
use crate::report;
use crate::site::{self, Operator, PATIENCE, Site, image, name};
use crate::wanted;

const TESTED: Duration = Duration::from_secs(60);
const UPGRADED: Duration = Duration::from_secs(60);
/// The chart as it was before.
const BEFORE: &str = "tests/e2e/fixtures/driftkv-0.1.0.tgz";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

pub fn helm_test(_: &Operator) {
    let began = std::time::Instant::now();
    let said = helm(&["test", site::RELEASE, "-n", site::HOME, "--logs", "--timeout", "5m"]);
    assert!(said.contains("answered reads with R=2") && said.contains("passed"), "{said}");
    wanted("helm test", began.elapsed(), TESTED);
    let left = list(&["kvclusters,pvc,role,rolebinding", "-n", site::HOME]);
    let left: Vec<String> = left.iter().map(name).filter(|name| name.contains("test")).collect();
    assert!(left.is_empty(), "it leaves {left:?}");
}

/// Rights that the program has come to need since the chart before: the image is that of now, for there is no other.
const SINCE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: e2e-since}
rules:
- {apiGroups: [\"\"], resources: [secrets], verbs: [get, create, update]}
- {apiGroups: [\"\"], resources: [namespaces], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: e2e-since}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-since}
subjects: [{kind: ServiceAccount, name: driftkv-operator, namespace: driftkv-system}]
";

/// The experiments among the examples; the one that ends a process comes last, since the next would find it away.
fn experiments() -> Vec<String> {
    let entries =
        std::fs::read_dir(root().join("examples")).expect("examples").map(|entry| entry.expect("a file").path());
    let is_cluster = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default().contains("kind: KVCluster");
    // Those of the laboratory are in a directory of their own.
    let is_experiment = |path: &PathBuf| path.is_file() && !is_cluster(path);
    let file = |path: PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files: Vec<String> = entries.filter(is_experiment).map(file).collect();
    files.sort_by_key(|file| (file == "crash.yaml", file.clone()));
    files
}

/// A Pod that applies each experiment, and clears it before the next.
fn experimenter(site: &Site, files: &[String]) -> Value {
    let endpoints: Vec<String> =
        (0..5).map(|node| format!("--endpoint={0}-{node}.{0}-nodes.{1}.svc", site.cluster, site.namespace)).collect();
    // Where the nodes ask for it.
    let token = json!({"name": "DRIFTKV_ADMIN_TOKEN", "valueFrom": {"secretKeyRef": {
        "name": format!("{}-admin", site.cluster), "key": "token", "optional": true}}});
    let container = |name: String, words: Vec<String>| {
        let arguments: Vec<String> = words.into_iter().chain(endpoints.iter().cloned()).collect();
        json!({
            "name": name, "image": image(), "imagePullPolicy": "IfNotPresent", "command": ["/usr/local/bin/driftkv"],
            "args": arguments,
            "env": [token], "volumeMounts": [{"name": "examples", "mountPath": "/examples"}],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true},
        })
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let both = |file: &String| {
        let stem = file.trim_end_matches(".yaml");
        let apply = container(format!("apply-{stem}"), words(&format!("chaos apply -f /examples/{file}")));
        [apply, container(format!("clear-{stem}"), words("chaos clear"))]
    };
    let mut steps: Vec<Value> = files.iter().flat_map(both).collect();
    // Of the last one nothing is cleared: the process that it ends is on its way.
    steps.pop();
    let last = steps.pop();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "experimenter"},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "initContainers": steps, "containers": [last],
            "volumes": [{"name": "examples", "configMap": {"name": "examples"}}],
        },
    })
}

pub fn examples(_: &Operator) {
    let directory = root().join("examples").display().to_string();
    let small = Site::new("example");
    kubectl(&["apply", "-n", &small.namespace, "-f", &format!("{directory}/kvcluster.yaml")]);
    small.ready(PATIENCE);
    small.end();
    let site = Site::new("example-local");
    kubectl(&["apply", "-n", &site.namespace, "-f", &format!("{directory}/local.yaml")]);
    site.ready(PATIENCE);
    let files = experiments();
    assert!(files.len() >= 8, "{files:?}");
    kubectl(&["create", "configmap", "examples", "-n", &site.namespace, &format!("--from-file={directory}")]);
    apply(&site.namespace, &experimenter(&site, &files).to_string());
    let (pod, _) = eventually("every experiment was taken", PATIENCE, || {
        let pod = get(&["pod", "experimenter", "-n", &site.namespace]).expect("the pod is there");
        match pod["status"]["phase"].as_str() {
            Some("Succeeded" | "Failed") => Ok(pod),
            _ => Err(pod["status"].to_string()),
        }
    });
    if pod["status"]["phase"] != "Succeeded" {
        panic!("an experiment was refused: {}", failed_steps(&site, &pod));
    }
    report::say(format!("2 manifests Ready; {} experiments taken by five nodes: {}", files.len(), files.join(", ")));
    site.end();
}

/// What the containers of the experimenter said that failed; of those that wait for them there is nothing to read.
fn failed_steps(site: &Site, pod: &Value) -> String {
    let of = |kind: &str| pod["status"][kind].as_array().cloned().unwrap_or_default();
    let all = [of("initContainerStatuses"), of("containerStatuses")].concat();
    let failed =
        all.iter().filter(|step| step["state"]["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0));
    let told = |step: &Value| {
        let name = step["name"].as_str().unwrap_or_default();
        let said = run("kubectl", &["logs", "experimenter", "-n", &site.namespace, "-c", name], "");
        format!("{name}: {}{}", said.out, said.error)
    };
    failed.map(told).collect()
}

pub fn upgrade(operator: &Operator) {
    helm(&["uninstall", site::RELEASE, "-n", site::HOME, "--wait", "--timeout", "2m"]);
    apply("default", SINCE);
    site::install(site::RELEASE, site::HOME, &root().join(BEFORE).display().to_string(), &["--take-ownership"]);
    let site = Site::with_cluster("upgrade");
    let load = Load::start(&site, "load", 30);
    let before = (site.uids(), site.ring(), revision(&site));
    let began = std::time::Instant::now();
    kubectl(&["delete", "clusterrole,clusterrolebinding", "e2e-since"]);
    operator.reinstall();
    site.ready(PATIENCE);
    wanted("the chart upgraded, and the cluster Ready", began.elapsed(), UPGRADED);
    let charts = helm(&["list", "-n", site::HOME, "-o", "json"]);
    assert!(!charts.contains("driftkv-0.1.0"), "{charts}");
    load.finish(30).must_not_fail("an upgrade of the operator is no business of clients");
    let is_same = revision(&site) == before.2;
    if is_same {
        assert_eq!(site.uids(), before.0, "the template is the same, and so are the pods");
    }
    assert_eq!(site.ring(), before.1, "the same nodes and data");
    report::say(format!("the pods' template {}", if is_same { "stayed, and so did the pods" } else { "changed" }));
    site.end();
}

/// Which template the pods have, or get.
fn revision(site: &Site) -> Value {
    get(&["statefulset", &site.cluster, "-n", &site.namespace]).expect("the StatefulSet")["status"]["updateRevision"]
        .clone()
}

pub fn another_release(operator: &Operator) {
    let site = Site::with_cluster("other-release");
    let load = Load::start(&site, "load", 5);
    load.finish(5);
    let before = (site.uids(), site.ring());
    helm(&["uninstall", site::RELEASE, "-n", site::HOME, "--wait", "--timeout", "2m"]);
    assert_eq!(site.uids(), before.0, "clusters stay when the operator goes");
    let chart = site::chart();
    let refused = site::try_install(site::OTHER, site::OTHER, &chart, &[]);
    assert!(!refused.is_ok && refused.error.contains("ownership"), "the CRD is another release's: {refused:?}");
    site::install(site::OTHER, site::OTHER, &chart, &["--take-ownership"]);
    site.apply(&image(), "limits: {siblingsMax: 33}");
    eventually("the other release's operator acts", PATIENCE, || {
        let now = site.uids();
        if now.iter().all(|pod| !before.0.contains(pod)) && now.len() == 3 { Ok(()) } else { Err(format!("{now:?}")) }
    });
    site.ready(PATIENCE);
    assert_eq!(site.ring(), before.1, "the same nodes and data");
    Load::check_again(&site, "load");
    report::say(format!("release {} took over from {}", site::OTHER, site::RELEASE));
    operator.restore();
    site.end();
}
