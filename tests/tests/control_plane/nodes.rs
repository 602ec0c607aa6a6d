//! The nodes of one site, in memory: what a real node would answer on its admin port, and what it would refuse.
//! Invariants: a volume keeps its incarnation and layout whatever happens to pods; a node takes one first layout and refuses any
//! other. It is also the judge of what leaves the operator: a breach is kept until somebody asks.
//! Not here: pods and their states at the API server (`machines`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use driftkv_operator::controller::nodes::NodeError;
use driftkv_proto::PEER_PORT;
use driftkv_proto::v1::{BootstrapReply, BootstrapRequest, HintStatus, Layout, PeerStatus, StartedWith, StatusReply};
use serde_json::Value;
use tonic::codegen::http::{Method, Uri};

/// What outlives pods.
#[derive(Clone, Debug, Default)]
pub struct Volume {
    incarnation: u64,
    boot: u64,
    layout: Option<Layout>,
    bootstraps: u32,
}

/// A pod's process.
#[derive(Clone, Debug)]
struct Machine {
    uid: String,
    ip: String,
    is_ready: bool,
    /// Whether it compared its data with the others since it started, and is owed no hints any more.
    is_synced: bool,
}

#[derive(Default)]
struct State {
    volumes: BTreeMap<String, Volume>,
    machines: BTreeMap<String, Machine>,
    doomed: BTreeSet<String>,
    deletions: Vec<String>,
    image: String,
    breaches: Vec<String>,
}

/// The nodes of one cluster.
pub struct Nodes {
    namespace: String,
    state: Mutex<State>,
}

impl Nodes {
    /// None yet, in this namespace.
    pub fn new(namespace: &str) -> Nodes {
        Nodes { namespace: namespace.to_owned(), state: Mutex::default() }
    }

    /// The pod got a machine.
    pub fn start(&self, pod: &str, uid: &str, ip: &str) {
        let mut state = self.state.lock().unwrap();
        let fresh = Volume { incarnation: 0x1000 + ordinal(pod), ..Volume::default() };
        state.volumes.entry(pod.to_owned()).or_insert(fresh).boot += 1;
        let machine = Machine { uid: uid.to_owned(), ip: ip.to_owned(), is_ready: false, is_synced: false };
        state.machines.insert(pod.to_owned(), machine);
    }

    /// The pod is gone.
    pub fn stop(&self, pod: &str, uid: &str) {
        let mut state = self.state.lock().unwrap();
        if state.machines.get(pod).is_some_and(|machine| machine.uid == uid) {
            state.machines.remove(pod);
        }
    }

    /// Whether this very pod has a machine.
    pub fn runs(&self, pod: &str, uid: &str) -> bool {
        self.state.lock().unwrap().machines.get(pod).is_some_and(|machine| machine.uid == uid)
    }

    /// Whether its readiness probe would pass.
    pub fn serves(&self, pod: &str) -> bool {
        self.state.lock().unwrap().volumes.get(pod).is_some_and(|volume| volume.layout.is_some())
    }

    /// The probe passed.
    pub fn set_ready(&self, pod: &str) {
        if let Some(machine) = self.state.lock().unwrap().machines.get_mut(pod) {
            machine.is_ready = true;
        }
    }

    /// Ready nodes finish what they owe each other. Whether any did.
    pub fn sync(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let behind = state.machines.values_mut().filter(|machine| machine.is_ready && !machine.is_synced);
        behind.map(|machine| machine.is_synced = true).count() > 0
    }

    /// A new operation begins: what is wanted from now on.
    pub fn expect(&self, image: &str) {
        let mut state = self.state.lock().unwrap();
        state.image = image.to_owned();
        state.deletions.clear();
        state.breaches.clear();
    }

    /// What was wrong since then.
    pub fn breaches(&self) -> Vec<String> {
        self.state.lock().unwrap().breaches.clone()
    }

    /// UIDs of pods that were told to go since then.
    pub fn deletions(&self) -> Vec<String> {
        self.state.lock().unwrap().deletions.clone()
    }

    /// Bootstraps that each volume took, and the cluster ids of all of them.
    pub fn formation(&self) -> (Vec<u32>, BTreeSet<Bytes>) {
        let state = self.state.lock().unwrap();
        let ids = state.volumes.values().filter_map(|volume| Some(volume.layout.as_ref()?.cluster_id.clone()));
        (state.volumes.values().map(|volume| volume.bootstraps).collect(), ids.collect())
    }

    /// Looks at a request of the operator as it leaves.
    pub fn judge(&self, method: &Method, uri: &Uri, body: &[u8]) {
        if method == Method::GET {
            return;
        }
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut state = self.state.lock().unwrap();
        if path.contains("/kvclusters") && !path.ends_with("/status") {
            state.breaches.push(format!("{method} {path}: the KVCluster is the user's"));
        }
        let is_ours = query.split('&').any(|field| field == "fieldManager=driftkv-operator");
        if method == Method::PATCH && !path.contains("/events/") && !is_ours {
            state.breaches.push(format!("{method} {path}: not as driftkv-operator but {query:?}"));
        }
        if path.contains("/persistentvolumeclaims") {
            state.breaches.push(format!("{method} {path}: claims are data"));
        }
        if path.contains("/statefulsets/") && method == Method::PATCH {
            let image = body.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str);
            if image != Some(state.image.as_str()) {
                let breach = format!("a StatefulSet with image {image:?} was applied, wanted is {}", state.image);
                state.breaches.push(breach);
            }
        }
        match path.split_once("/pods/") {
            Some((_, pod)) if method == Method::DELETE => state.judge_deletion(pod, &body),
            _ => {}
        }
    }

    /// As a node answers at its admin port.
    pub fn status(&self, address: &str) -> Result<StatusReply, NodeError> {
        let state = self.state.lock().unwrap();
        let (pod, machine, volume) = state.at(address)?;
        let layout = volume.layout.as_ref();
        let peer_address = format!("{pod}.demo-nodes.{}.svc:{PEER_PORT}", self.namespace);
        Ok(StatusReply {
            incarnation: volume.incarnation,
            name: pod.to_owned(),
            version: "test".to_owned(),
            boot: volume.boot,
            cluster_id: layout.map(|layout| layout.cluster_id.clone()).unwrap_or_default(),
            layout_version: layout.map_or(0, |layout| layout.version),
            state: if layout.is_some() { "serving" } else { "empty" }.to_owned(),
            peers: state.peers(pod, machine),
            hints: state.hints(pod),
            started_with: Some(StartedWith { peer_address, ..StartedWith::default() }),
            ..StatusReply::default()
        })
    }

    /// As a node answers.
    pub fn layout(&self, address: &str) -> Result<Layout, NodeError> {
        let state = self.state.lock().unwrap();
        Ok(state.at(address)?.2.layout.clone().unwrap_or_default())
    }

    /// As a node answers: its first layout, or the same again.
    pub fn bootstrap(&self, address: &str, request: &BootstrapRequest) -> Result<BootstrapReply, NodeError> {
        let mut state = self.state.lock().unwrap();
        let pod = state.at(address)?.0.to_owned();
        let first = first_layout(request);
        let volume = state.volumes.get_mut(&pod).unwrap();
        let was_adopted = volume.layout.is_none();
        match &volume.layout {
            Some(layout) if *layout != first => {
                let words = format!("{pod} got a second bootstrap, other than its first");
                state.breaches.push(words.clone());
                return Err(NodeError(words));
            }
            Some(_) => {}
            None => (volume.layout, volume.bootstraps) = (Some(first), volume.bootstraps + 1),
        }
        Ok(BootstrapReply { version: 1, was_adopted, ..BootstrapReply::default() })
    }
}

impl State {
    fn at(&self, address: &str) -> Result<(&str, &Machine, &Volume), NodeError> {
        let is_it =
            |machine: &Machine| address.strip_prefix(machine.ip.as_str()).is_some_and(|rest| rest.starts_with(':'));
        let found = self.machines.iter().find(|(_, machine)| is_it(machine));
        let (pod, machine) = found.ok_or_else(|| NodeError(format!("{address}: no route to host")))?;
        Ok((pod, machine, &self.volumes[pod]))
    }

    /// What `pod` knows of the others.
    fn peers(&self, pod: &str, machine: &Machine) -> Vec<PeerStatus> {
        let Some(layout) = &self.volumes[pod].layout else { return Vec::new() };
        let others = layout.members.iter().filter(|member| member.name != pod);
        let peer = |member: &driftkv_proto::v1::Member| {
            let is_up = self.machines.contains_key(&member.name);
            PeerStatus {
                incarnation: member.incarnation,
                name: member.name.clone(),
                is_connected: is_up,
                is_reachable: is_up,
                rumour: if is_up { "alive" } else { "down" }.to_owned(),
                anti_entropy_rounds: u64::from(machine.is_synced),
                boot: self.volumes[&member.name].boot,
                ..PeerStatus::default()
            }
        };
        others.map(peer).collect()
    }

    /// What `pod` owes those that were away.
    fn hints(&self, pod: &str) -> Vec<HintStatus> {
        let owed = self
            .machines
            .iter()
            .filter(|(name, machine)| name.as_str() != pod && machine.is_ready && !machine.is_synced);
        let hint = |name: &String| HintStatus {
            target: self.volumes[name].incarnation,
            name: name.clone(),
            hints: u64::from(self.volumes[name].boot > 1),
            ..HintStatus::default()
        };
        owed.map(|(name, _)| hint(name)).collect()
    }

    fn judge_deletion(&mut self, pod: &str, body: &Value) {
        let Some(uid) = body.pointer("/preconditions/uid").and_then(Value::as_str) else {
            return self.breaches.push(format!("pod {pod} was to be deleted whatever its UID"));
        };
        if self.machines.get(pod).is_none_or(|machine| machine.uid != uid) || !self.doomed.insert(uid.to_owned()) {
            // Gone, or going: the API server refuses it, or it changes nothing.
            return;
        }
        self.deletions.push(pod.to_owned());
        for other in self.volumes.keys().filter(|other| *other != pod) {
            let is_well =
                self.machines.get(other).is_some_and(|m| m.is_ready && m.is_synced && !self.doomed.contains(&m.uid));
            if !is_well {
                self.breaches.push(format!("pod {pod} was deleted while {other} was not well"));
            }
        }
    }
}

fn ordinal(pod: &str) -> u64 {
    pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()).unwrap()
}

fn first_layout(request: &BootstrapRequest) -> Layout {
    let (members, copies) = (request.members.len() as u32, request.replication_factor);
    let owners =
        (0..request.partitions).flat_map(|partition| (0..copies).map(move |copy| (partition + copy) % members));
    Layout {
        version: 1,
        cluster_id: request.cluster_id.clone(),
        partitions: request.partitions,
        replication_factor: copies,
        members: request.members.clone(),
        owners: owners.collect(),
    }
}
