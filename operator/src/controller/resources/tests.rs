#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::{Defaults, Wanted, build, config_text};
use crate::controller::kind::Kind;
use crate::crd::KVCluster;

/// All objects of [`cluster`], as they were last agreed on. A change of the pod template restarts every node of every cluster when the
/// operator is upgraded: it must be meant, and CHANGELOG.md must say so.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/controller/resources/golden.yaml");

fn cluster(spec: Value) -> KVCluster {
    let metadata = json!({"name": "demo", "namespace": "db", "uid": "u-1", "generation": 1});
    let object = json!({"apiVersion": "driftkv.io/v1alpha1", "kind": "KVCluster", "metadata": metadata, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn objects(spec: Value) -> Vec<Wanted> {
    build(&cluster(spec), &Defaults { image: "driftkv:1".to_owned() }).unwrap()
}

fn of(objects: &[Wanted], kind: Kind) -> &Value {
    &objects.iter().find(|wanted| wanted.kind == kind).unwrap().body
}

#[test]
fn the_objects_of_a_cluster_are_those_that_were_agreed_on() {
    let spec = json!({"replicas": 3, "resources": {"requests": {"cpu": "100m"}}, "storage": {"className": "fast"}});
    let documents: Vec<String> =
        objects(spec).iter().map(|wanted| serde_saphyr::to_string(&wanted.body).unwrap()).collect();
    let text = documents.join("---\n");
    if std::env::var("GOLDEN").as_deref() == Ok("write") {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let agreed = std::fs::read_to_string(GOLDEN).unwrap();
    assert!(text == agreed, "if it is meant: GOLDEN=write cargo test -p driftkv-operator agreed_on; git diff");
}

#[test]
fn a_configuration_has_a_name_of_its_own_and_reaches_the_pods_by_it() {
    let (a, b) = (objects(json!({"replicas": 3})), objects(json!({"replicas": 3, "readQuorum": 1})));
    let names = [&a, &b].map(|objects| of(objects, Kind::ConfigMap)["metadata"]["name"].clone());
    assert_ne!(names[0], names[1]);
    for (objects, name) in [&a, &b].into_iter().zip(&names) {
        let volume = &of(objects, Kind::StatefulSet)["spec"]["template"]["spec"]["volumes"][0];
        assert_eq!(&volume["configMap"]["name"], name);
    }
    assert_eq!(objects(json!({"replicas": 3})), a, "the same spec, the same bytes");
}

#[test]
fn what_differs_between_nodes_is_not_in_the_file_and_all_else_is() {
    let text = config_text(&cluster(json!({"replicas": 5, "sloppy": false, "limits": {"siblingsMax": 7}})).spec);
    for line in ["replicas: 5", "replication-factor: 3", "sloppy: false", "siblings-max: 7", "allow-faults: false"] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("name:") && !text.contains("advertise"));
}

#[test]
fn every_object_has_the_owner_and_the_labels_and_volumes_outlive_them() {
    let objects = objects(json!({"replicas": 3}));
    for wanted in &objects {
        let owner = &wanted.body["metadata"]["ownerReferences"][0];
        assert_eq!(
            (owner["uid"].as_str(), owner["controller"].as_bool()),
            (Some("u-1"), Some(true)),
            "{}",
            wanted.name
        );
        assert_eq!(wanted.body["metadata"]["labels"]["driftkv.io/cluster"], "demo");
    }
    let set = &of(&objects, Kind::StatefulSet)["spec"];
    assert_eq!(set["persistentVolumeClaimRetentionPolicy"], json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
    assert!(set["volumeClaimTemplates"][0]["metadata"].get("ownerReferences").is_none());
}

#[test]
fn what_the_spec_says_of_pods_and_traces_reaches_them() {
    let pods = json!({
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "nvme"},
        "tolerations": [{"key": "dedicated", "value": "db", "effect": "NoExecute", "tolerationSeconds": 60}, {"operator": "Exists"}],
        "priorityClassName": "high",
    });
    let tracing = json!({"otlpEndpoint": "http://collector:4317"});
    let objects = objects(json!({"replicas": 3, "pods": pods, "tracing": tracing}));
    let pod = &of(&objects, Kind::StatefulSet)["spec"]["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(pod["nodeSelector"], json!({"disk": "nvme"}));
    let tolerations = json!([
        {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoExecute", "tolerationSeconds": 60},
        {"operator": "Exists"}]);
    assert_eq!(pod["tolerations"], tolerations);
    assert_eq!(pod["priorityClassName"], "high");
    let file = of(&objects, Kind::ConfigMap)["data"]["node.yaml"].as_str().unwrap();
    assert!(file.ends_with("otlp-endpoint: http://collector:4317\notlp-sample: 1%\n"), "{file}");
}

#[test]
fn runs_of_the_laboratory_reach_admin_ports_only_where_faults_are_allowed() {
    let admins = |spec: Value| {
        let policy = of(&objects(spec), Kind::NetworkPolicy).clone();
        let rules = policy["spec"]["ingress"].as_array().unwrap().clone();
        let admin = rules.into_iter().find(|rule| rule["ports"][0]["port"] == "admin").unwrap();
        admin["from"].as_array().unwrap().clone()
    };
    let usual = admins(json!({"replicas": 3}));
    assert_eq!(usual.len(), 1);
    let [operator, runs] = admins(json!({"replicas": 3, "allowFaults": true})).try_into().unwrap();
    assert_eq!(operator, usual[0]);
    let labels = json!({"app.kubernetes.io/name": "driftkv-lab", "driftkv.io/lab-cluster": "demo"});
    assert_eq!(runs, json!({"podSelector": {"matchLabels": labels}}), "of the same namespace only");
}

#[test]
fn the_image_of_the_spec_wins_over_the_operators() {
    let image = |spec: Value| {
        let objects = objects(spec);
        of(&objects, Kind::StatefulSet)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image(json!({"replicas": 3})), "driftkv:1");
    assert_eq!(image(json!({"replicas": 3, "image": "mine:2"})), "mine:2");
}

#[test]
fn two_clusters_in_one_namespace_share_nothing() {
    let other = {
        let mut other = cluster(json!({"replicas": 3}));
        other.metadata.name = Some("demo-2".to_owned());
        build(&other, &Defaults { image: "driftkv:1".to_owned() }).unwrap()
    };
    let all = objects(json!({"replicas": 3}));
    let key = |wanted: &Wanted| (wanted.kind, wanted.name.clone());
    assert!(other.iter().all(|wanted| !all.iter().any(|ours| key(ours) == key(wanted))));
    assert_ne!(of(&other, Kind::StatefulSet)["spec"]["selector"], of(&all, Kind::StatefulSet)["spec"]["selector"]);
}
