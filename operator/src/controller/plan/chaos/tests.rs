//! Tables of scenes and what follows in each. A scene is an annotation, a status, pods and nodes' answers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod life;
mod rules;

use std::collections::BTreeMap;

use driftkv_proto::v1::{ActiveExperiment, FaultCounters, FaultStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{Act, ChaosPlan, NodeView, Scene, plan};
use crate::crd::{ChaosState, ChaosStatus, ChaosTarget};

pub const DELAY: &str = "{id: slow, for: 60s, seed: 7, faults: [{kind: delay, from: demo-0, to: '*', mean: 5ms}]}";
pub const CRASH: &str = "{id: kill, for: 60s, faults: [{kind: crash, node: demo-1, after: 10s}]}";
pub const CUT: &str = "{id: cut, for: 60s, faults: [{kind: partition, groups: [[demo-0, demo-1], ['*']]}]}";

/// Everything around an experiment, for tests to change. Five nodes that are ready, allow faults and have none.
pub struct Stage {
    pub annotation: Option<String>,
    pub recorded: Option<ChaosStatus>,
    pub missing: Vec<String>,
    pub nodes: BTreeMap<String, NodeView>,
    pub refusals: BTreeMap<String, String>,
    pub now: Timestamp,
}

impl Stage {
    pub fn new(annotation: &str) -> Stage {
        let view = |ordinal: u32| NodeView {
            uid: format!("pod-{ordinal}"),
            is_ready: true,
            is_going: false,
            faults: Ok(FaultStatus { is_allowed: true, experiments: Vec::new() }),
        };
        Stage {
            annotation: Some(annotation.to_owned()),
            recorded: None,
            missing: Vec::new(),
            nodes: (0..5).map(|ordinal| (format!("demo-{ordinal}"), view(ordinal))).collect(),
            refusals: BTreeMap::new(),
            now: Timestamp::from_second(1_000_000).unwrap(),
        }
    }

    /// Taken on, and injected at every node.
    pub fn active(annotation: &str) -> Stage {
        let mut stage = Stage::new(annotation);
        stage.look();
        for act in stage.look().acts {
            stage.obey(&act);
        }
        stage.look();
        stage
    }

    pub fn plan(&self) -> ChaosPlan {
        let members: Vec<String> = (0..5).map(|ordinal| format!("demo-{ordinal}")).collect();
        plan(&Scene {
            annotation: self.annotation.as_deref(),
            recorded: self.recorded.as_ref(),
            missing: &self.missing,
            members: &members,
            quorums: [3, 2, 2],
            nodes: &self.nodes,
            refusals: &self.refusals,
            now: self.now,
        })
    }

    /// Plans, and writes the status down. Nothing is ever done that the status before did not tell of.
    pub fn look(&mut self) -> ChaosPlan {
        let next = self.plan();
        let begins = |act: &Act| !matches!(act, Act::Clear { .. });
        assert!(
            self.recorded.as_ref().is_some_and(|recorded| !recorded.is_settled()) || !next.acts.iter().any(begins),
            "acts before they were written down: {:?}",
            next.acts
        );
        self.recorded = next.status.clone();
        next
    }

    /// What a node makes of it.
    pub fn obey(&mut self, act: &Act) {
        match act {
            Act::Inject { node, .. } => self.put(&node.clone(), "active"),
            Act::Clear { node, .. } => self.put(&node.clone(), "cleared"),
            Act::Kill { pod, .. } => {
                let view = self.nodes.get_mut(pod).unwrap();
                (view.is_going, view.is_ready) = (true, false);
            }
        }
    }

    /// `node` has the recorded experiment in this state.
    pub fn put(&mut self, node: &str, state: &str) {
        let id = self.recorded.as_ref().unwrap().id.clone();
        let faults = vec![FaultCounters { seen: 10, delayed: 9, ..FaultCounters::default() }];
        let experiment = ActiveExperiment { id, state: state.to_owned(), faults, ..ActiveExperiment::default() };
        let experiments = vec![experiment];
        self.node(node).faults = Ok(FaultStatus { is_allowed: true, experiments });
    }

    pub fn put_all(&mut self, state: &str) {
        for ordinal in 0..5 {
            self.put(&format!("demo-{ordinal}"), state);
        }
    }

    pub fn node(&mut self, node: &str) -> &mut NodeView {
        self.nodes.get_mut(node).unwrap()
    }

    pub fn silence(&mut self, node: &str) {
        self.node(node).faults = Err("no answer in 3 s".to_owned());
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub fn target(&self, node: &str) -> &ChaosTarget {
        self.recorded.as_ref().unwrap().targets.iter().find(|target| target.node == node).unwrap()
    }

    pub fn states(&self) -> Vec<ChaosState> {
        self.recorded.as_ref().unwrap().targets.iter().map(|target| target.state).collect()
    }
}

/// `status/reason` of the condition.
pub fn said(plan: &ChaosPlan) -> String {
    let verdict = plan.verdict.as_ref().unwrap();
    let word = verdict.holds.map_or("Unknown", |holds| if holds { "True" } else { "False" });
    format!("{word}/{}", verdict.reason)
}

pub fn words(plan: &ChaosPlan) -> &str {
    &plan.verdict.as_ref().unwrap().message
}

pub fn injected(plan: &ChaosPlan) -> usize {
    plan.acts.iter().filter(|act| matches!(act, Act::Inject { .. })).count()
}

pub fn cleared(plan: &ChaosPlan) -> usize {
    plan.acts.iter().filter(|act| matches!(act, Act::Clear { .. })).count()
}
