use serde_json::json;

use super::{UID, World, said, touches_nothing, words};
use crate::controller::kind::Kind;
use crate::controller::observe::Found;
use crate::controller::plan::holds;

#[test]
fn what_is_missing_is_made_and_what_was_changed_is_put_right() {
    let mut world = World::serving();
    world.observed.objects.retain(|found| found.kind != Kind::ServiceAccount);
    *world.body(Kind::StatefulSet, "/spec/replicas") = json!(1);
    *world.body(Kind::NetworkPolicy, "/spec/ingress/2/from") = json!([]);
    let plan = world.plan();
    let changed: Vec<(Kind, bool)> = plan.apply.iter().map(|change| (change.wanted.kind, change.exists)).collect();
    let expected = [(Kind::ServiceAccount, false), (Kind::NetworkPolicy, true), (Kind::StatefulSet, true)];
    assert_eq!(changed, expected);
}

#[test]
fn foreign_fields_are_left_alone() {
    let mut world = World::serving();
    let set = &mut world.object(Kind::StatefulSet).body;
    set["metadata"]["annotations"]["team"] = json!("db");
    set["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar"}));
    assert!(touches_nothing(&world.plan()));
}

#[test]
fn a_field_that_is_no_longer_asked_for_is_noticed() {
    let mut world = World::serving();
    world.cluster.spec.resources = serde_json::from_value(json!({"limits": {"memory": "1Gi"}})).unwrap();
    world.write_objects();
    assert!(touches_nothing(&world.plan()));
    world.cluster.spec.resources = None;
    let kinds: Vec<Kind> = world.plan().apply.iter().map(|change| change.wanted.kind).collect();
    assert_eq!(kinds, [Kind::StatefulSet]);
}

#[test]
fn quantities_in_the_servers_words_are_no_drift() {
    let mut world = World::serving();
    world.cluster.spec.resources = serde_json::from_value(json!({"requests": {"cpu": "1000m"}})).unwrap();
    world.write_objects();
    *world.body(Kind::StatefulSet, "/spec/template/spec/containers/0/resources/requests/cpu") = json!("1");
    assert!(touches_nothing(&world.plan()));
}

#[test]
fn orphans_are_swept_only_if_label_and_uid_are_ours_and_all_pods_are_new() {
    let orphan = |owner: &str, is_labelled| Found {
        kind: Kind::ConfigMap,
        name: "demo-config-old".to_owned(),
        uid: "u1".to_owned(),
        resource_version: "1".to_owned(),
        is_labelled,
        owner: Some(owner.to_owned()),
        is_deleting: false,
        body: json!({}),
    };
    for (owner, is_labelled, is_swept) in [(UID, true, true), ("another", true, false), (UID, false, false)] {
        let mut world = World::serving();
        world.observed.objects.push(orphan(owner, is_labelled));
        let swept = world.plan().sweep;
        assert_eq!(swept.iter().any(|doomed| doomed.uid == "u1"), is_swept, "{owner} {is_labelled}");
        let mut outdated = World::outdated();
        outdated.observed.objects.push(orphan(owner, is_labelled));
        assert!(outdated.plan().sweep.is_empty(), "an old pod may still read it");
    }
}

#[test]
fn an_object_of_somebody_else_is_not_written() {
    let mut world = World::serving();
    world.object(Kind::ConfigMap).is_labelled = false;
    world.object(Kind::ConfigMap).owner = None;
    world.object(Kind::ConfigMap).body = json!({});
    let plan = world.plan();
    assert!(touches_nothing(&plan));
    assert_eq!(said(&plan, "Degraded"), "True/NameTaken");
    assert!(words(&plan, "Degraded").contains("ConfigMap demo-config-"));
}

#[test]
fn what_an_earlier_cluster_left_is_waited_for_and_what_lost_its_owner_is_taken_back() {
    let mut world = World::serving();
    world.object(Kind::StatefulSet).owner = Some("earlier".to_owned());
    let plan = world.plan();
    assert!(touches_nothing(&plan));
    assert_eq!(said(&plan, "Progressing"), "True/WaitingForDeletion");
    world.observed.objects.retain(|found| found.kind != Kind::ServiceAccount);
    assert!(touches_nothing(&world.plan()), "pods without what they need would fail");
    let mut world = World::serving();
    world.object(Kind::StatefulSet).owner = None;
    world.object(Kind::StatefulSet).body["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(world.plan().apply.len(), 1);
}

#[test]
fn a_kind_that_is_not_installed_is_left_out() {
    let mut world = World::serving();
    world.observed.objects.retain(|found| found.kind != Kind::ServiceMonitor);
    assert_eq!(world.plan().apply.len(), 1);
    world.observed.kinds_absent.push(Kind::ServiceMonitor);
    assert!(touches_nothing(&world.plan()));
}

#[test]
fn lists_without_a_key_must_be_the_same_and_what_is_empty_may_be_left_out() {
    assert!(holds(&json!({"a": 1, "b": 2}), &json!({"a": 1, "c": {}, "d": ""})));
    assert!(!holds(&json!({"a": 1}), &json!({"a": 1, "c": false})));
    assert!(!holds(&json!([1, 2]), &json!([1])));
    assert!(!holds(&json!([{"port": 1}, {"port": 2}]), &json!([{"port": 1}])));
    assert!(holds(&json!([{"name": "b"}, {"name": "a", "x": 1}]), &json!([{"name": "a"}])));
    assert!(!holds(&json!([{"name": "b"}]), &json!([{"name": "a"}])));
}
