//! A control plane of its own: etcd, kube-apiserver and kube-controller-manager on ports of 127.0.0.1 that nobody else has.
//! No kubelet and no scheduler: pods become what the test says (`machines`).
//! Not here: building the programs (`tests/e2e/cluster/cluster build`).

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftkv_tests::cluster::free_address;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;

use crate::audit;

/// Users of the group `operators`: operator-1 and so on, whose tokens are their names.
pub const OPERATORS: u32 = 5;
/// How long each program may take to start on a machine that others use too.
const START_MAX: Duration = Duration::from_secs(120);

/// The programs, running until this is dropped.
pub struct Plane {
    home: TempDir,
    programs: PathBuf,
    children: Vec<Child>,
    address: SocketAddr,
}

/// Where the programs are, if they were built.
pub fn programs() -> Result<PathBuf, String> {
    let home = std::env::var("CLUSTER_DIR").unwrap_or_else(|_| "/var/tmp/driftkv-cluster".to_owned());
    let programs = PathBuf::from(home).join("bin");
    for name in ["kube-apiserver", "kube-controller-manager", "kubectl", "helm"] {
        if !programs.join(name).exists() {
            return Err(format!("{} is missing: run `tests/e2e/cluster/cluster build`", programs.join(name).display()));
        }
    }
    Ok(programs)
}

impl Plane {
    /// Starts etcd and the API server, and waits until the API server is ready.
    pub async fn start(programs: PathBuf) -> Plane {
        let home = tempfile::Builder::new().prefix("control-plane-").tempdir().expect("a directory");
        let [store, peers, api] = std::array::from_fn(|_| free_address());
        let mut plane = Plane { home, programs, children: Vec::new(), address: api };
        plane.write_secrets();
        plane.start_store(&format!("http://{store}"), &format!("http://{peers}"));
        plane.start_api(&format!("http://{store}"), api.port());
        let client = plane.client().await;
        let deadline = Instant::now() + START_MAX;
        while client.apiserver_version().await.is_err() || !plane.is_ready().await {
            assert!(Instant::now() < deadline, "the API server is not ready: {}", plane.log("kube-apiserver"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        plane
    }

    /// What kubectl is told to use.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig of the operator `name`, which comes by `address`.
    pub fn kubeconfig_of(&self, name: &str, address: SocketAddr) -> PathBuf {
        self.write(&format!("kubeconfig-{name}"), &kubeconfig(name, address))
    }

    /// Where the operator `name` writes its log.
    pub fn log_of(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// What operators changed: see `audit`.
    pub fn audit_log(&self) -> PathBuf {
        self.path("audit.log")
    }

    /// kubectl of this version, as administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.programs.join("kubectl"));
        // Else it keeps what the API server can do in the user's home, for the next API server at this port.
        command.arg("--kubeconfig").arg(self.kubeconfig()).arg("--cache-dir").arg(self.path("kubectl"));
        command
    }

    /// helm, which asks this API server what it can do.
    pub fn helm(&self) -> Command {
        let mut command = Command::new(self.programs.join("helm"));
        command.env("HELM_CACHE_HOME", self.path("helm")).env("HELM_CONFIG_HOME", self.path("helm"));
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// A client without retries of its own, as the operator's.
    pub async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).expect("the kubeconfig");
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a configuration");
        config.default_retry = false;
        Client::try_from(config).expect("a client")
    }

    /// Our CRD as a user installs it, until it is served.
    pub fn install(&self) {
        let crd = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/driftkv.io_kvclusters.yaml");
        let applied = self.kubectl().arg("apply").arg("-f").arg(crd).output().expect("kubectl");
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd/kvclusters.driftkv.io"];
        let waited = self.kubectl().args(wait).output().expect("kubectl");
        assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    }

    /// A file with this text, until the next one of this name.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    async fn is_ready(&self) -> bool {
        let request = kube::client::Body::empty();
        let request = tonic::codegen::http::Request::get("/readyz").body(request).expect("a request");
        self.client().await.send(request).await.is_ok_and(|answer| answer.status().is_success())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn word(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The last lines that a program wrote.
    pub fn log(&self, program: &str) -> String {
        let text = std::fs::read_to_string(self.path(&format!("{program}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn write_secrets(&self) {
        let made = Command::new("openssl").args(["genrsa", "-out", &self.word("sa.key"), "2048"]).output();
        assert!(made.is_ok_and(|made| made.status.success()), "openssl cannot make a key");
        let operators = (1..=OPERATORS).map(|number| {
            format!("operator-{number},operator-{number},operator-{number},\"system:masters,operators\"\n")
        });
        self.write("tokens", &format!("admin,admin,admin,\"system:masters\"\n{}", operators.collect::<String>()));
        self.write("audit.yaml", audit::POLICY);
        self.write("kubeconfig", &kubeconfig("admin", self.address));
    }

    fn start_program(&mut self, program: &Path, name: &str, flags: &[String]) {
        let log = File::create(self.path(&format!("{name}.log"))).expect("a log");
        let child = Command::new(program)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        self.children.push(child);
    }

    fn start_store(&mut self, clients: &str, peers: &str) {
        let flags = [
            format!("--data-dir={}", self.word("etcd")),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            // Nothing here is worth a disk's time.
            "--unsafe-no-fsync".to_owned(),
        ];
        self.start_program(Path::new("etcd"), "etcd", &flags);
    }

    fn start_api(&mut self, store: &str, port: u16) {
        let key = self.word("sa.key");
        let flags = [
            format!("--etcd-servers={store}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", self.word("certificates")),
            // It refuses to publish an address of the loopback, and nobody asks for it.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--token-auth-file={}", self.word("tokens")),
            format!("--service-account-key-file={key}"),
            format!("--service-account-signing-key-file={key}"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=AlwaysAllow".to_owned(),
            format!("--audit-policy-file={}", self.word("audit.yaml")),
            format!("--audit-log-path={}", self.word("audit.log")),
            "--enable-priority-and-fairness=false".to_owned(),
        ];
        let program = self.programs.join("kube-apiserver");
        self.start_program(&program, "kube-apiserver", &flags);
    }

    /// Call it when the CRD is installed.
    pub fn start_controllers(&mut self) {
        let flags = [
            format!("--kubeconfig={}", self.word("kubeconfig")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            format!("--service-account-private-key-file={}", self.word("sa.key")),
            "--controllers=statefulset,garbagecollector,disruption,serviceaccount".to_owned(),
            "--kube-api-qps=2000".to_owned(),
            "--kube-api-burst=4000".to_owned(),
        ];
        let program = self.programs.join("kube-controller-manager");
        self.start_program(&program, "kube-controller-manager", &flags);
    }
}

/// Of a user whose token is his name.
fn kubeconfig(user: &str, address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"https://{address}\", insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: user, user: {{token: {user}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: user}}}}]\n"
    )
}

impl Drop for Plane {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
