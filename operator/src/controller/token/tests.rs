#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;

use super::{ACCEPTED, ANNOTATION_ROTATE, Step, TOKEN, Tokens, bytes, decide, fill, first, text, tokens};
use crate::crd::KVCluster;

fn cluster(uid: &str) -> KVCluster {
    let metadata = json!({"name": "demo", "namespace": "db", "uid": uid});
    let object = json!({"apiVersion": "driftkv.io/v1alpha1", "kind": "KVCluster", "metadata": metadata, "spec": {"replicas": 3}});
    serde_json::from_value(object).unwrap()
}

/// What becomes of `found`, with `fresh` as the next token.
fn next(found: Option<Secret>, fresh: &str) -> (Option<Secret>, &'static str) {
    match decide(&cluster("u-1"), found.clone(), || fresh.to_owned()) {
        Step::Keep(_) => (found, "keep"),
        Step::Create => (Some(first(&cluster("u-1"), fresh.to_owned())), "create"),
        Step::Replace(secret) => (Some(*secret), "replace"),
        Step::NotOurs => (found, "not ours"),
    }
}

fn made() -> Secret {
    next(None, "one").0.unwrap()
}

#[test]
fn a_secret_is_made_once_and_then_left_alone() {
    let (secret, how) = next(None, "one");
    let secret = secret.unwrap();
    assert_eq!((how, text(&secret, TOKEN), text(&secret, ACCEPTED)), ("create", "one", "one"));
    assert_eq!((secret.name_any().as_str(), secret.owner_references()[0].uid.as_str()), ("demo-admin", "u-1"));
    assert_eq!(next(Some(secret), "two").1, "keep");
}

#[test]
fn a_rotation_keeps_the_old_token_beside_the_new_one_and_is_obeyed_once() {
    let mut secret = made();
    secret.annotations_mut().insert(ANNOTATION_ROTATE.to_owned(), "monday".to_owned());
    let (secret, how) = next(Some(secret), "two");
    let secret = secret.unwrap();
    assert_eq!((how, text(&secret, TOKEN), text(&secret, ACCEPTED)), ("replace", "one", "two\none"));
    assert_eq!(tokens(&secret).all(), ["two", "one"], "the newest is tried first");
    assert_eq!(next(Some(secret.clone()), "three").1, "keep");
    // Every node has taken it.
    let mut settled = secret;
    fill(&mut settled, &Tokens(vec!["two".to_owned()]));
    assert_eq!((text(&settled, TOKEN), text(&settled, ACCEPTED)), ("two", "two"));
    assert_eq!(next(Some(settled), "three").1, "keep");
}

#[test]
fn a_token_written_by_hand_becomes_the_newest_and_an_empty_secret_gets_one() {
    let mut secret = made();
    secret.data.as_mut().unwrap().insert(TOKEN.to_owned(), bytes("by-hand"));
    let (secret, how) = next(Some(secret), "two");
    let mut secret = secret.unwrap();
    assert_eq!((how, text(&secret, TOKEN), text(&secret, ACCEPTED)), ("replace", "by-hand", "by-hand\none"));
    secret.data = None;
    let (secret, how) = next(Some(secret), "two");
    assert_eq!((how, text(&secret.unwrap(), TOKEN)), ("replace", "two"));
}

#[test]
fn a_secret_of_somebody_else_is_not_touched_and_an_earlier_clusters_is_taken_over() {
    let mut foreign = made();
    foreign.labels_mut().clear();
    assert_eq!(next(Some(foreign), "two").1, "not ours");
    let Step::Replace(taken) = decide(&cluster("u-2"), Some(made()), || "two".to_owned()) else { panic!() };
    assert_eq!((taken.owner_references()[0].uid.as_str(), text(&taken, TOKEN)), ("u-2", "one"));
}

#[test]
fn tokens_are_not_shown() {
    assert_eq!(format!("{:?}", tokens(&made())), "1 tokens");
}

#[test]
fn rotations_that_follow_each_other_never_drop_the_token_that_is_said() {
    let mut secret = made();
    for round in 0..10 {
        secret.annotations_mut().insert(ANNOTATION_ROTATE.to_owned(), format!("round {round}"));
        secret = next(Some(secret), &format!("fresh-{round}")).0.unwrap();
        let known = tokens(&secret);
        assert!(known.all().contains(&"one".to_owned()) && known.all().len() <= 4, "{:?}", known.all());
        assert_eq!((text(&secret, TOKEN), known.all()[0].as_str()), ("one", format!("fresh-{round}").as_str()));
    }
}
