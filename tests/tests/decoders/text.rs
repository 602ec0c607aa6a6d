//! Texts: experiments, manifests and the node's configuration file.

use std::fs;

use bytes::Bytes;
use driftkv_node::config::{Config, LoadError};
use driftkv_operator::manifest::parse_manifest;
use driftkv_proto::faults::Experiment;
use proptest::prelude::any;
use proptest::proptest;
use proptest::sample::Index;

use crate::memory::bounded;
use crate::mutate::{apply, edits};

fn examples() -> Vec<(String, Bytes)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    all.sort();
    all.into_iter().map(|path| (path.display().to_string(), Bytes::from(fs::read(path).unwrap()))).collect()
}

fn experiments() -> Vec<Bytes> {
    let all = examples().into_iter().map(|(_, text)| text);
    let all: Vec<Bytes> = all.filter(|text| Experiment::parse(std::str::from_utf8(text).unwrap()).is_ok()).collect();
    assert!(all.len() > 4);
    all
}

fn manifests() -> Vec<(String, Bytes)> {
    let is_manifest = |text: &Bytes| Experiment::parse(std::str::from_utf8(text).unwrap()).is_err();
    let all: Vec<_> = examples().into_iter().filter(|(_, text)| is_manifest(text)).collect();
    assert!(!all.is_empty());
    all
}

/// What a node makes of this configuration file.
fn configured(text: &[u8]) -> Result<Config, LoadError> {
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), text).unwrap();
    let arguments = ["driftkv-node".into(), "--config".into(), path.path().into()];
    bounded(|| Config::from_args(arguments))
}

/// Else what is mutated would be refused at its first line, and nothing behind it tried.
#[test]
fn every_sample_is_accepted_as_it_is() {
    for (path, text) in manifests() {
        parse_manifest(std::str::from_utf8(&text).unwrap(), &path).unwrap();
    }
    configured(NODE.as_bytes()).unwrap();
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NODE: &str =
    "name: n0\ndata: /tmp/n0\nlisten-client: 127.0.0.1:7400\nreplicas: 5\nreplica-timeout: 300ms\nallow-faults: true\n";

proptest! {
    #[test]
    fn experiments_are_refused_or_mean_what_they_say(which in any::<Index>(), edits in edits()) {
        let text = text(&apply(&experiments(), which, &edits));
        if let Ok(experiment) = bounded(|| Experiment::parse(&text)) {
            assert_eq!(Experiment::parse(&experiment.to_flow()), Ok(experiment.clone()), "{text}");
        }
    }

    #[test]
    fn manifests_are_refused_or_read(which in any::<Index>(), edits in edits()) {
        let manifests: Vec<Bytes> = manifests().into_iter().map(|(_, text)| text).collect();
        let text = text(&apply(&manifests, which, &edits));
        let _ = bounded(|| parse_manifest(&text, "mutated.yaml").map_err(|error| error.to_string()));
    }

    #[test]
    fn configuration_files_are_refused_or_read(which in any::<Index>(), edits in edits()) {
        let _ = configured(&apply(&[Bytes::from_static(NODE.as_bytes())], which, &edits));
    }
}

/// The anchors of YAML multiply: a few lines would stand for a billion words.
#[test]
fn anchors_that_multiply_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
    }
    assert!(bounded(|| Experiment::parse(&bomb)).is_err());
    assert!(bounded(|| parse_manifest(&bomb, "bomb.yaml")).is_err());
}

#[test]
fn a_manifest_of_very_many_documents_is_refused_before_it_is_taken_apart() {
    let many = "---\n".repeat(60_000);
    let why = bounded(|| parse_manifest(&many, "many.yaml")).unwrap_err();
    assert!(why.to_string().contains("documents"), "{why}");
    let long = format!("# {}", "x".repeat(2 << 20));
    assert!(bounded(|| parse_manifest(&long, "long.yaml")).is_err());
}
