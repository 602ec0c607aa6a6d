//! The objects of one run: a Job whose pod does it, and what the Job owns: the experiment, and an identity that may read and annotate just this KVCluster.
//! Invariants: everything but the Job belongs to the Job, and the Job goes by itself when it is over, so that a command that dies leaves nothing;
//! the pod satisfies pod security `restricted`.

use driftkv_operator::crd::{LAB, LABEL_LAB_CLUSTER};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::kubectl::token;

/// Its only container.
pub const CONTAINER: &str = "lab";
/// The command in the image.
pub const PROGRAM: &str = "/usr/local/bin/driftkv";
/// Where the run's files are in the pod.
pub const OUT: &str = "/run/lab/out";
/// Where the experiment is in the pod.
const SPEC_DIR: &str = "/etc/driftkv-lab";
const SPEC: &str = "spec.yaml";
/// How long a Job that is over stays to be looked at.
pub const KEPT_S: u32 = 600;
/// How long a run that is told to stop may take to heal what it injected.
const GRACE_S: u32 = 30;

/// What a run's objects say.
pub struct Run<'a> {
    /// Of all objects.
    pub name: &'a str,
    /// The KVCluster.
    pub cluster: &'a str,
    /// Of the pod.
    pub image: &'a str,
    /// The cell.
    pub cell: &'a str,
    /// Of the run's plan and its faults.
    pub seed: u64,
    /// Names the run, in the experiments that it asks for.
    pub run: u64,
    /// The experiment's file, resolved.
    pub spec: &'a str,
    /// How long it may take at most, in seconds.
    pub longest_s: u64,
    /// A pod of the cluster: the run's is placed as it is.
    pub like: &'a Pod,
}

impl Run<'_> {
    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": LAB, "app.kubernetes.io/managed-by": LAB, (LABEL_LAB_CLUSTER): self.cluster,
        })
    }

    /// The Job, suspended: what it needs belongs to it and comes after it.
    pub fn job(&self) -> Value {
        let of = json!({"driftkv.io/cell": self.cell, "driftkv.io/seed": self.seed.to_string()});
        json!({
            "metadata": {"name": self.name, "labels": self.labels(), "annotations": of},
            "spec": {
                "suspend": true, "backoffLimit": 0, "completions": 1, "parallelism": 1,
                "activeDeadlineSeconds": self.longest_s, "ttlSecondsAfterFinished": KEPT_S,
                "template": {"metadata": {"labels": self.labels()}, "spec": self.pod()},
            },
        })
    }

    fn pod(&self) -> Value {
        let like = self.like.spec.clone().unwrap_or_default();
        let (seed, run) = (self.seed.to_string(), self.run.to_string());
        let words = [
            "lab",
            "job",
            "--spec",
            &format!("{SPEC_DIR}/{SPEC}"),
            "--cell",
            self.cell,
            "--seed",
            &seed,
            "--run",
            &run,
            "--cluster",
            self.cluster,
            "--out",
            OUT,
        ];
        let token = json!({"secretKeyRef": {"name": token::secret(self.cluster), "key": "token", "optional": true}});
        json!({
            "restartPolicy": "Never", "terminationGracePeriodSeconds": GRACE_S, "serviceAccountName": self.name,
            "imagePullSecrets": like.image_pull_secrets, "nodeSelector": like.node_selector, "tolerations": like.tolerations,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": CONTAINER, "image": self.image, "imagePullPolicy": "IfNotPresent", "command": [PROGRAM], "args": words,
                "env": [{"name": "DRIFTKV_ADMIN_TOKEN", "valueFrom": token}],
                "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
                },
                "volumeMounts": [
                    {"name": "spec", "mountPath": SPEC_DIR, "readOnly": true}, {"name": "out", "mountPath": "/run/lab"},
                ],
            }],
            "volumes": [{"name": "spec", "configMap": {"name": self.name}}, {"name": "out", "emptyDir": {}}],
        })
    }

    /// What the Job, whose UID is `owner`, needs: the experiment, the identity, its rights.
    pub fn belongings(&self, owner: &str) -> [Value; 4] {
        let owners = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": owner}]);
        let metadata = json!({"name": self.name, "labels": self.labels(), "ownerReferences": owners});
        let rules = json!([{
            "apiGroups": ["driftkv.io"], "resources": ["kvclusters"], "resourceNames": [self.cluster], "verbs": ["get", "patch"],
        }]);
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": self.name});
        [
            json!({"metadata": metadata, "data": {SPEC: self.spec}}),
            json!({"metadata": metadata}),
            json!({"metadata": metadata, "rules": rules}),
            json!({"metadata": metadata, "roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": self.name}]}),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::Run;

    fn of(like: &Pod) -> (Value, [Value; 4]) {
        let run = Run {
            name: "driftkv-lab-1",
            cluster: "demo",
            image: "driftkv:1",
            cell: "r-1",
            seed: 7,
            run: 1,
            spec: "name: x",
            longest_s: 90,
            like,
        };
        (run.job(), run.belongings("uid"))
    }

    #[test]
    fn the_pod_is_placed_as_the_nodes_are_and_may_do_no_more_than_it_must() {
        let like = json!({"spec": {"containers": [], "imagePullSecrets": [{"name": "mine"}], "nodeSelector": {"disk": "fast"}}});
        let (job, [_, _, role, _]) = of(&serde_json::from_value(like).unwrap());
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(
            (&pod["imagePullSecrets"][0]["name"], &pod["nodeSelector"]["disk"]),
            (&json!("mine"), &json!("fast"))
        );
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(role["rules"][0]["resourceNames"], json!(["demo"]), "of no other cluster");
        let _: Job = serde_json::from_value(job).unwrap();
    }

    #[test]
    fn all_that_is_made_goes_with_the_job_and_the_job_goes_by_itself() {
        let (job, belongings) = of(&Pod::default());
        assert!(belongings.iter().all(|object| object["metadata"]["ownerReferences"][0]["uid"] == "uid"));
        assert!(job["spec"]["ttlSecondsAfterFinished"].is_u64() && job["spec"]["activeDeadlineSeconds"] == 90);
        assert_eq!(job["spec"]["suspend"], true, "what it needs is not there yet");
    }
}
