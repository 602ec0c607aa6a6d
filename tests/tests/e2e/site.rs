//! Where a scenario takes place: the operator as a person installs it, and a namespace with a cluster in it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::kube::{self, Said, apply, condition, eventually, get, helm, kubectl, list};

/// Namespaces of the scenario that runs.
static OPEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The release and its namespace.
pub const RELEASE: &str = "driftkv";
pub const HOME: &str = "driftkv-system";
/// The name and namespace of a release that some scenarios install instead.
pub const OTHER: &str = "e2e-other";
const DEPLOYMENT: &str = "deployment/driftkv-operator";
/// Of the chart's default: one acts, one waits.
const OPERATORS: u32 = 2;
/// How long anything may take for which no time is wanted.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The image that clusters begin with, and the one they are updated to.
pub fn image() -> String {
    std::env::var("E2E_IMAGE").expect("E2E_IMAGE: tests/e2e/run sets it")
}

/// The image that clusters are updated to.
pub fn next_image() -> String {
    std::env::var("E2E_IMAGE_NEXT").expect("E2E_IMAGE_NEXT: tests/e2e/run sets it")
}

/// The installed operator.
pub struct Operator;

impl Operator {
    /// `helm install`, and until its pods are available.
    pub fn install() -> Operator {
        let operator = Operator;
        operator.reinstall();
        operator
    }

    /// Whether experiments are obeyed: the chart's value, and until the operators run with it.
    pub fn allow_chaos(&self, is_allowed: bool) {
        let chart = chart();
        let value = format!("chaos.enabled={is_allowed}");
        helm(&["upgrade", RELEASE, &chart, "-n", HOME, "--reuse-values", "--set", &value, "--wait", "--timeout", "2m"]);
    }

    /// This chart, whichever version of it is there or none.
    pub fn reinstall(&self) {
        println!("{}", install(RELEASE, HOME, &chart(), &["--take-ownership"]));
    }

    /// As it was at the beginning, whatever a failed scenario left.
    pub fn restore(&self) {
        kube::run("helm", &["uninstall", OTHER, "-n", OTHER, "--ignore-not-found", "--wait", "--timeout", "2m"], "");
        kubectl(&["delete", "namespace", OTHER, "--ignore-not-found", "--wait=false"]);
        self.reinstall();
        self.resume();
    }

    /// As many as the chart has, with the settings that they had.
    pub fn resume(&self) {
        self.scale(OPERATORS);
    }

    /// Changes how many there are, and waits for that.
    pub fn scale(&self, replicas: u32) {
        kubectl(&["scale", "-n", HOME, DEPLOYMENT, &format!("--replicas={replicas}")]);
        eventually("the operators are as many as asked for", PATIENCE, || {
            let pods = self.pods();
            if pods.len() == replicas as usize { Ok(()) } else { Err(format!("{} pods", pods.len())) }
        });
        kubectl(&["rollout", "status", "-n", HOME, DEPLOYMENT, "--timeout=2m"]);
    }

    /// The names of its pods.
    pub fn pods(&self) -> Vec<String> {
        let pods = list(&["pods", "-n", HOME, "-l", "app.kubernetes.io/name=driftkv-operator"]);
        pods.iter().map(name).collect()
    }

    /// Kills the operator in the pod `name`, without a chance to give back its lease if its machine is this one; whether it is.
    pub fn kill(&self, name: &str) -> bool {
        let is_killed = killed(&format!("DRIFTKV_OPERATOR_IDENTITY={name}"));
        // At once, before it is started again under the same name.
        kubectl(&["delete", "pod", name, "-n", HOME, "--force", "--grace-period=0"]);
        is_killed
    }

    /// How many passes they have made.
    pub fn passes(&self) -> u64 {
        let page = |pod: &String| {
            let path = format!("/api/v1/namespaces/{HOME}/pods/{pod}:8080/proxy/metrics");
            kube::counted(&kubectl(&["get", "--raw", &path]), "driftkv_operator_passes_total ", "")
        };
        self.pods().iter().map(page).sum()
    }

    /// What they said last.
    pub fn log(&self) -> String {
        let words = ["logs", "-n", HOME, "-l", "app.kubernetes.io/name=driftkv-operator", "--tail=20"];
        kube::try_kubectl(&words).out
    }
}

/// Where the chart is.
pub fn chart() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../charts/driftkv").display().to_string()
}

/// `helm upgrade --install` of `chart`, which must succeed; what it printed.
pub fn install(release: &str, namespace: &str, chart: &str, flags: &[&str]) -> String {
    let said = try_install(release, namespace, chart, flags);
    assert!(said.is_ok, "helm upgrade --install {release} {chart}: {}", said.error);
    said.out
}

/// The same, whatever comes of it.
pub fn try_install(release: &str, namespace: &str, chart: &str, flags: &[&str]) -> Said {
    let image = image();
    let (repository, tag) = image.rsplit_once(':').expect("E2E_IMAGE has a tag");
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    restricted(namespace);
    let words = ["upgrade", "--install", release, chart, "-n", namespace, "--set", &repository, "--set", &tag];
    kube::run("helm", &[&words[..], &["--wait", "--timeout", "2m"], flags].concat(), "")
}

/// Kills the processes of this machine that have `variable` in their environment; whether there was one.
fn killed(variable: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let has = |process: &std::fs::DirEntry| {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let ours: Vec<String> =
        processes.filter(has).filter_map(|process| process.file_name().into_string().ok()).collect();
    ours.iter().all(|pid| kube::run("kill", &["-9", pid], "").is_ok) && !ours.is_empty()
}

/// Lets go of what scenarios have left open.
pub fn close() {
    for namespace in std::mem::take(&mut *OPEN.lock().unwrap()) {
        kube::try_kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
    }
}

/// Makes a namespace in which pod security `restricted` is enforced.
fn restricted(namespace: &str) {
    let yaml = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
    );
    apply("default", &yaml);
}

/// The name of an object.
pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Prints how the namespaces of a failed scenario were at its end, and lets them go.
pub fn look_back() {
    for namespace in std::mem::take(&mut *OPEN.lock().unwrap()) {
        println!("--- {namespace}");
        for words in [
            "get kvclusters,statefulsets,pods,pvc,pdb -o wide",
            "get kvclusters -o jsonpath={.items[*].status}",
            "get events --sort-by=.lastTimestamp",
            "get pods -o jsonpath={.items[*].status.containerStatuses}",
            "logs -l app.kubernetes.io/name=driftkv --tail=12",
            "logs -l app.kubernetes.io/name=driftkv --tail=12 --previous",
        ] {
            let words: Vec<&str> = words.split(' ').chain(["-n", namespace.as_str()]).collect();
            println!("{}", kube::try_kubectl(&words).out);
        }
        if std::env::var_os("E2E_KEEP").is_none() {
            kube::try_kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
        }
    }
}

/// A namespace with a KVCluster in it. It is deleted when a scenario is over.
pub struct Site {
    pub namespace: String,
    pub cluster: String,
    pub replicas: u32,
}

impl Site {
    /// The namespace, without a cluster yet.
    pub fn new(namespace: &str) -> Site {
        let namespace = format!("e2e-{namespace}");
        // What a run that was cut off left behind.
        kubectl(&["delete", "namespace", &namespace, "--ignore-not-found", "--timeout=2m"]);
        restricted(&namespace);
        OPEN.lock().unwrap().push(namespace.clone());
        Site { namespace, cluster: "demo".to_owned(), replicas: 3 }
    }

    /// The namespace of that name if it is still open with its cluster in it, which an earlier scenario left.
    pub fn left(namespace: &str, replicas: u32) -> Option<Site> {
        let namespace = format!("e2e-{namespace}");
        let is_open = OPEN.lock().unwrap().contains(&namespace);
        let site = Site { namespace, cluster: "demo".to_owned(), replicas };
        (is_open && site.get().is_some()).then_some(site)
    }

    /// With a cluster that is Ready.
    pub fn with_cluster(namespace: &str) -> Site {
        let site = Site::new(namespace);
        site.apply(&image(), "");
        site.ready(PATIENCE);
        site
    }

    /// Applies the KVCluster, with more lines of its spec.
    pub fn apply(&self, image: &str, spec: &str) {
        let (cluster, replicas, spec) = (&self.cluster, self.replicas, spec.replace('\n', "\n  "));
        let yaml = format!(
            "apiVersion: driftkv.io/v1alpha1\nkind: KVCluster\nmetadata: {{name: {cluster}}}\nspec:\n  replicas: {replicas}\n  partitions: 64\n  \
             image: {image}\n  storage: {{size: 1Gi}}\n  {spec}\n"
        );
        apply(&self.namespace, &yaml);
    }

    /// The KVCluster; `None`: there is none.
    pub fn get(&self) -> Option<Value> {
        get(&["kvcluster", &self.cluster, "-n", &self.namespace])
    }

    /// The KVCluster, which is there.
    pub fn seen(&self) -> Value {
        self.get().expect("the KVCluster is there")
    }

    /// Waits until it is Ready for the spec of now; how long that took.
    pub fn ready(&self, within: Duration) -> Duration {
        let (_, took) = eventually(&format!("{} is Ready", self.namespace), within, || {
            let object = self.seen();
            let is_current = object["metadata"]["generation"] == object["status"]["observedGeneration"];
            match condition(&object, "Ready") {
                Some((status, _)) if status == "True" && is_current => Ok(()),
                _ => Err(object["status"].to_string()),
            }
        });
        took
    }

    /// Waits until the condition `kind` says `status`; its reason.
    pub fn says(&self, kind: &str, status: &str, within: Duration) -> String {
        let (reason, _) = eventually(&format!("{kind} is {status}"), within, || match condition(&self.seen(), kind) {
            Some((is, reason)) if is == status => Ok(reason),
            other => Err(format!("{other:?}")),
        });
        reason
    }

    /// The pods of the cluster.
    pub fn pods(&self) -> Vec<Value> {
        let label = format!("driftkv.io/cluster={}", self.cluster);
        list(&["pods", "-n", &self.namespace, "-l", &label])
    }

    /// How many volumes of nodes there are.
    pub fn claims(&self) -> usize {
        let label = format!("driftkv.io/cluster={}", self.cluster);
        list(&["pvc", "-n", &self.namespace, "-l", &label]).len()
    }

    /// UIDs of the pods, by their names.
    pub fn uids(&self) -> Vec<(String, String)> {
        let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.pods().iter().map(|pod| (name(pod), uid(pod))).collect()
    }

    /// What tells one ring from another: the layout's version, and every node's incarnation.
    pub fn ring(&self) -> (Value, Vec<Value>) {
        let status = self.seen()["status"].clone();
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        (status["layoutVersion"].clone(), nodes.iter().map(|node| node["incarnation"].clone()).collect())
    }

    /// Client addresses of all nodes.
    pub fn endpoints(&self) -> Vec<String> {
        let (cluster, namespace) = (&self.cluster, &self.namespace);
        (0..self.replicas).map(|node| format!("{cluster}-{node}.{cluster}-nodes.{namespace}.svc:7400")).collect()
    }

    /// Waits until this is the only KVCluster anywhere, and no namespace is about to go.
    pub fn alone(&self) {
        eventually("nothing else is there", PATIENCE, || {
            let clusters = list(&["kvclusters", "-A"]).len();
            let going = list(&["namespaces"]).iter().filter(|space| space["status"]["phase"] == "Terminating").count();
            let seen = format!("{clusters} clusters, {going} namespaces that are about to go");
            if clusters == 1 && going == 0 { Ok(()) } else { Err(seen) }
        });
    }

    /// Lets the namespace go, without waiting for its end.
    pub fn end(&self) {
        kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
        OPEN.lock().unwrap().retain(|open| *open != self.namespace);
    }

    /// Deletes the namespace; how long it took until it was gone.
    pub fn gone(&self) -> Duration {
        self.end();
        let (_, took) = eventually("the namespace is gone", PATIENCE, || match get(&["namespace", &self.namespace]) {
            None => Ok(()),
            Some(namespace) => Err(namespace["status"].to_string()),
        });
        took
    }
}
