#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! Tables of worlds and what is planned in each. No cluster is needed: a world is objects, pods and nodes' answers.

mod bootstrap;
mod drift;
mod rollout;
mod status;

use driftkv_proto::v1::{Layout, Member, PeerStatus, StartedWith, StatusReply};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::chaos::{ChaosPlan, Verdict};
use super::{Inputs, Plan, plan, with_chaos};
use crate::controller::kind::Kind;
use crate::controller::names::Names;
use crate::controller::observe::{Found, Observed, PodView, Zone};
use crate::controller::reason::Reason;
use crate::controller::resources::{Defaults, Wanted, build};
use crate::crd::{ChaosPhase, ChaosState, ChaosStatus, ChaosTarget, KVCluster, ZoneSource};

pub const UID: &str = "aa11bea4-0158-4e82-a02d-22e41eb2a434";

/// A cluster and everything around it, for tests to change.
pub struct World {
    pub cluster: KVCluster,
    pub observed: Observed,
}

impl World {
    /// Three pods that answer and are empty; all objects are there.
    pub fn empty() -> World {
        let mut cluster: KVCluster = serde_json::from_value(json!({
            "apiVersion": "driftkv.io/v1alpha1", "kind": "KVCluster",
            "metadata": {"name": "demo", "namespace": "db", "uid": UID, "generation": 1},
            "spec": {"replicas": 3},
        }))
        .unwrap();
        cluster.spec.resources = None;
        let mut world = World { cluster, observed: Observed::default() };
        world.write_objects();
        for ordinal in 0..3 {
            let name = format!("demo-{ordinal}");
            let pod = PodView {
                ordinal,
                uid: format!("pod-{ordinal}"),
                revision: "r1".to_owned(),
                ip: Some(format!("10.0.0.{ordinal}")),
                name: name.clone(),
                ..PodView::default()
            };
            let peer_address = world.names().peer_address(&name);
            let reply = StatusReply {
                incarnation: 100 + u64::from(ordinal),
                name,
                state: "empty".to_owned(),
                boot: 1,
                started_with: Some(StartedWith { peer_address, ..StartedWith::default() }),
                ..StatusReply::default()
            };
            world.observed.pods.insert(ordinal, pod);
            world.observed.nodes.insert(ordinal, reply);
            let zone = Zone { name: format!("zone-{ordinal}"), source: ZoneSource::Nodes };
            world.observed.zones.insert(ordinal, zone);
        }
        world
    }

    /// Three nodes that serve, see each other, and owe each other nothing.
    pub fn serving() -> World {
        let mut world = World::empty();
        let members = (0..3_u32).map(|ordinal| Member {
            incarnation: 100 + u64::from(ordinal),
            name: format!("demo-{ordinal}"),
            zone: format!("zone-{ordinal}"),
            ..Member::default()
        });
        let layout = Layout {
            version: 1,
            cluster_id: vec![7; 16].into(),
            partitions: 2,
            replication_factor: 3,
            members: members.collect(),
            owners: vec![0, 1, 2, 1, 2, 0],
        };
        for (ordinal, node) in &mut world.observed.nodes {
            node.state = "serving".to_owned();
            node.cluster_id = layout.cluster_id.clone();
            node.layout_version = 1;
            let others = layout.members.iter().filter(|member| member.incarnation != 100 + u64::from(*ordinal));
            node.peers = others
                .map(|member| PeerStatus {
                    incarnation: member.incarnation,
                    name: member.name.clone(),
                    is_connected: true,
                    is_reachable: true,
                    rumour: "alive".to_owned(),
                    anti_entropy_rounds: 1,
                    boot: 1,
                    ..PeerStatus::default()
                })
                .collect();
        }
        for pod in world.observed.pods.values_mut() {
            pod.is_ready = true;
        }
        world.observed.zones.clear();
        world.observed.layout = Some(layout);
        world
    }

    /// As [`World::serving`], after a change of the spec: all pods are of an older revision.
    pub fn outdated() -> World {
        let mut world = World::serving();
        for pod in world.observed.pods.values_mut() {
            pod.revision = "r0".to_owned();
        }
        world
    }

    pub fn names(&self) -> Names {
        Names::of(&self.cluster)
    }

    pub fn wanted(&self) -> Vec<Wanted> {
        build(&self.cluster, &Defaults { image: "driftkv:1".to_owned() }).unwrap()
    }

    /// Every object as it should be, with what a server adds.
    pub fn write_objects(&mut self) {
        let found = |wanted: Wanted| {
            let mut body = wanted.body;
            body["metadata"]["resourceVersion"] = json!("5");
            if wanted.kind == Kind::StatefulSet {
                body["metadata"]["generation"] = json!(1);
                body["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
                body["status"] = json!({"observedGeneration": 1, "updateRevision": "r1"});
            }
            Found {
                kind: wanted.kind,
                uid: format!("{}-{}", wanted.kind, wanted.name),
                name: wanted.name,
                resource_version: "5".to_owned(),
                is_labelled: true,
                owner: Some(UID.to_owned()),
                is_deleting: false,
                body,
            }
        };
        self.observed.objects = self.wanted().into_iter().map(found).collect();
    }

    pub fn object(&mut self, kind: Kind) -> &mut Found {
        self.observed.objects.iter_mut().find(|found| found.kind == kind).unwrap()
    }

    pub fn body(&mut self, kind: Kind, path: &str) -> &mut Value {
        self.object(kind).body.pointer_mut(path).unwrap()
    }

    pub fn pod(&mut self, ordinal: u32) -> &mut PodView {
        self.observed.pods.get_mut(&ordinal).unwrap()
    }

    pub fn node(&mut self, ordinal: u32) -> &mut StatusReply {
        self.observed.nodes.get_mut(&ordinal).unwrap()
    }

    /// What `ordinal` knows of `peer`.
    pub fn peer(&mut self, ordinal: u32, peer: u32) -> &mut PeerStatus {
        let incarnation = 100 + u64::from(peer);
        self.node(ordinal).peers.iter_mut().find(|known| known.incarnation == incarnation).unwrap()
    }

    pub fn plan(&self) -> Plan {
        let (names, wanted) = (self.names(), self.wanted());
        let now = Timestamp::from_second(1_000_000).unwrap();
        plan(&Inputs { cluster: &self.cluster, names: &names, wanted: &wanted, observed: &self.observed, now })
    }

    /// An experiment is in the status, at demo-0, and ChaosActive tells of it.
    pub fn experiment(&mut self, phase: ChaosPhase, state: ChaosState) {
        self.remember();
        let at = || MicroTime(Timestamp::from_second(999_999).unwrap());
        let status = self.cluster.status.as_ref().unwrap();
        let chaos = ChaosStatus {
            id: "slow".to_owned(),
            hash: String::new(),
            phase,
            seed: "7".to_owned(),
            started_at: at(),
            ends_at: at(),
            message: String::new(),
            targets: vec![ChaosTarget { node: "demo-0".to_owned(), state, ..ChaosTarget::default() }],
            kills: Vec::new(),
            counted_at: at(),
            past_ids: Vec::new(),
        };
        let verdict = Verdict { holds: Some(true), reason: Reason::ChaosInjected, message: "words".to_owned() };
        let look = ChaosPlan { status: Some(chaos), verdict: Some(verdict), acts: Vec::new(), again: None };
        self.cluster.status = Some(with_chaos(Some(1), status, &look, Timestamp::from_second(1_000_000).unwrap()));
    }

    /// Takes the plan's status for the last one.
    pub fn remember(&mut self) {
        self.cluster.status = Some(self.plan().status);
    }
}

/// The pod that is replaced, if any.
pub fn replaced(plan: &Plan) -> Option<&str> {
    plan.replace.as_ref().map(|replacement| replacement.pod.as_str())
}

/// `status/reason` of a condition.
pub fn said(plan: &Plan, kind: &str) -> String {
    let condition = plan.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    format!("{}/{}", condition.status, condition.reason)
}

/// Its message.
pub fn words(plan: &Plan, kind: &str) -> String {
    plan.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap().message.clone()
}

/// Nothing is written but the status.
pub fn touches_nothing(plan: &Plan) -> bool {
    plan.apply.is_empty() && plan.sweep.is_empty() && plan.bootstrap.is_none() && plan.replace.is_none()
}
