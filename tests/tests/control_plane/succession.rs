//! Operators as processes that follow one another: the holder is killed, stands still for longer than its lease, loses the API server,
//! is asked to stop. Only one acts: what each wrote is what the API server's audit log says.
//! Not here: the decision (`operator/src/controller/election.rs`), a pod that is killed on Kubernetes (`make e2e`).

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use driftkv_tests::binaries::program;
use driftkv_tests::cluster::free_address;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::audit;
use crate::link::Link;
use crate::plane::{OPERATORS, Plane};

const NAMESPACE: &str = "succession";
const LEASE: &str = "succession";
/// The longest that one may be silent before the next may begin, and what is wanted from one end to the next beginning.
const EXPIRY: Duration = Duration::from_secs(15);
const WANTED: Duration = Duration::from_secs(20);
/// Anything may take this long on a machine that others use too.
const WITHIN: Duration = Duration::from_secs(80);
const LOOK: Duration = Duration::from_millis(50);

/// All four. Panics where something is wrong.
pub async fn all(plane: &Plane) -> String {
    let stage = Stage::new(plane).await;
    let first = stage.operator("operator-1");
    // Order: the first to come is the first to act.
    stage.takes_over(&first).await;
    let second = stage.operator("operator-2");
    let killed = stage.kill(first, &second).await;
    let third = stage.operator("operator-3");
    let stopped = stage.stand_still(second, &third).await;
    let fourth = stage.operator("operator-4");
    let cut = stage.cut_off(third, &fourth).await;
    let fifth = stage.operator("operator-5");
    let ended = stage.end(fourth, &fifth).await;
    format!(
        "operators that follow one another: killed {:.1} s, stood still {:.1} s, cut off {:.1} s (wanted {} s), stopped in order {:.1} s; none wrote out of its turn",
        killed.as_secs_f64(),
        stopped.as_secs_f64(),
        cut.as_secs_f64(),
        WANTED.as_secs(),
        ended.as_secs_f64()
    )
}

struct Stage<'a> {
    plane: &'a Plane,
    client: kube::Client,
}

/// A process, and its way to the API server.
struct Operator {
    name: &'static str,
    child: Child,
    link: Link,
}

impl Stage<'_> {
    async fn new(plane: &Plane) -> Stage<'_> {
        let client = plane.client().await;
        let metadata = ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.expect("a namespace");
        Stage { plane, client }
    }

    /// Starts one more.
    fn operator(&self, name: &'static str) -> Operator {
        let link = Link::to(self.plane.address());
        let kubeconfig = self.plane.kubeconfig_of(name, link.address());
        let log = std::fs::File::create(self.plane.log_of(name)).expect("a log");
        let child = Command::new(program("driftkv-operator"))
            .args(["--namespace", NAMESPACE, "--lease-namespace", NAMESPACE, "--lease-name", LEASE, "--identity", name])
            .args(["--listen", &free_address().to_string()])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the operator");
        Operator { name, child, link }
    }

    async fn holder(&self) -> String {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let lease = api.get_opt(LEASE).await.expect("an answer");
        lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
    }

    /// Waits until `operator` holds the lease; when it had written it.
    async fn takes_over(&self, operator: &Operator) -> SystemTime {
        self.until(&format!("{} holds the lease", operator.name), async || self.holder().await == operator.name).await;
        let mut taken = None;
        // The log is written when the answer is sent, and others may read the lease before.
        self.until("the audit log tells of it", async || {
            let writes = audit::of(&self.plane.audit_log(), operator.name);
            taken = writes.iter().find(|write| write.is_lease() && write.is_done).map(|write| write.ended);
            taken.is_some()
        })
        .await;
        taken.expect("its first write of the lease")
    }

    /// Waits until `operator` takes part.
    async fn is_there(&self, operator: &Operator) {
        let has_said = async || operator.log(self.plane).contains("taking part");
        self.until(&format!("{} takes part", operator.name), has_said).await;
    }

    async fn until(&self, what: &str, mut look: impl AsyncFnMut() -> bool) {
        let since = Instant::now();
        while !look().await {
            assert!(since.elapsed() < WITHIN, "waited {} s in vain until {what}{}", WITHIN.as_secs(), self.logs());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What each operator said last.
    fn logs(&self) -> String {
        let names = (1..=OPERATORS).map(|number| format!("operator-{number}"));
        names.map(|name| format!("\n{name}: {}", self.plane.log(&name))).collect()
    }

    /// The user makes a KVCluster.
    async fn create(&self, name: &str) {
        let object = json!({"apiVersion": "driftkv.io/v1alpha1", "kind": "KVCluster", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"replicas": 3}});
        let object = serde_json::from_value(object).expect("a KVCluster");
        let api: Api<driftkv_operator::crd::KVCluster> = Api::namespaced(self.client.clone(), NAMESPACE);
        api.create(&PostParams::default(), &object).await.expect("a KVCluster");
    }

    async fn has_set(&self, name: &str) -> bool {
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        api.get_opt(name).await.expect("an answer").is_some()
    }

    /// Makes a KVCluster, and waits until the operator that acts has made it true.
    async fn acts(&self, cluster: &str) {
        self.create(cluster).await;
        self.until(&format!("somebody looks after {cluster}"), async || self.has_set(cluster).await).await;
    }

    async fn kill(&self, mut old: Operator, next: &Operator) -> Duration {
        self.is_there(next).await;
        self.acts("before").await;
        let at = SystemTime::now();
        old.child.kill().expect("its end");
        let taken = self.takes_over(next).await;
        self.acts("killed").await;
        taken.duration_since(at).expect("it takes its time")
    }

    /// Nobody else acts when it wakes, and there is something to do: it must not.
    async fn stand_still(&self, mut old: Operator, next: &Operator) -> Duration {
        let at = SystemTime::now();
        old.signal(Signal::STOP);
        let taken = self.takes_over(next).await;
        next.signal(Signal::STOP);
        self.create("tempting").await;
        let woken = SystemTime::now();
        old.signal(Signal::CONT);
        let code = old.ended(self).await;
        let is_made = self.has_set("tempting").await;
        next.signal(Signal::CONT);
        assert_eq!(code, Some(1), "{}: {}", old.name, old.log(self.plane));
        assert!(!is_made, "{} acted after {} had taken the lease", old.name, next.name);
        assert!(woken >= at + EXPIRY, "it slept for {:?}", woken.duration_since(at));
        self.until("the next looks after it", async || self.has_set("tempting").await).await;
        self.wrote_nothing_since(&old, taken);
        taken.duration_since(at).expect("it takes its time")
    }

    /// It must end by itself, before anybody else may begin.
    async fn cut_off(&self, mut old: Operator, next: &Operator) -> Duration {
        let at = SystemTime::now();
        old.link.cut();
        self.create("unseen").await;
        let code = old.ended(self).await;
        let ended = SystemTime::now();
        assert_eq!(code, Some(1), "{}: {}", old.name, old.log(self.plane));
        let taken = self.takes_over(next).await;
        assert!(ended < taken, "{} was there when {} took the lease", old.name, next.name);
        self.until("the next looks after it", async || self.has_set("unseen").await).await;
        // Nothing of it can arrive any more: that the link was cut.
        self.wrote_nothing_since(&old, at + LOOK);
        taken.duration_since(at).expect("it takes its time")
    }

    /// It gives the lease back: nobody waits until it expires.
    async fn end(&self, mut old: Operator, next: &Operator) -> Duration {
        self.is_there(next).await;
        let at = SystemTime::now();
        old.signal(Signal::TERM);
        let code = old.ended(self).await;
        assert_eq!(code, Some(0), "{}: {}", old.name, old.log(self.plane));
        let taken = self.takes_over(next).await;
        self.acts("in-order").await;
        let took = taken.duration_since(at).expect("it takes its time");
        assert!(took < EXPIRY, "it was not given back: {took:?}");
        took
    }

    /// Not even the lease, and nothing that was refused. Order: asked when a later request of another one is in the log.
    fn wrote_nothing_since(&self, operator: &Operator, since: SystemTime) {
        let mut late = audit::of(&self.plane.audit_log(), operator.name);
        late.retain(|write| write.began > since);
        assert!(late.is_empty(), "{} wrote out of its turn: {late:?}", operator.name);
    }
}

impl Operator {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process")).expect("a process");
        kill_process(pid, signal).expect("a signal");
    }

    /// Waits for its end; its exit code.
    async fn ended(&mut self, stage: &Stage<'_>) -> Option<i32> {
        let (name, child) = (self.name, &mut self.child);
        let mut status = None;
        stage
            .until(&format!("{name} ends"), async || {
                status = child.try_wait().expect("a state");
                status.is_some()
            })
            .await;
        status.and_then(|status| status.code())
    }

    fn log(&self, plane: &Plane) -> String {
        read(&plane.log_of(self.name))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
