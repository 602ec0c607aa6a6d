#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use driftkv_core::config::ClusterConfig;

use super::{ManifestError, parse_manifest};
use crate::crd::{KVCluster, KVClusterSpec, crd_yaml};

const EXAMPLE: &str = include_str!("../../../examples/local.yaml");
const KUBERNETES_EXAMPLE: &str = include_str!("../../../examples/kvcluster.yaml");
const SMALLEST: &str =
    "apiVersion: driftkv.io/v1alpha1\nkind: KVCluster\nmetadata:\n  name: demo\nspec:\n  replicas: 3\n";

fn parse(text: &str) -> Result<KVCluster, String> {
    parse_manifest(text, "demo.yaml").map_err(|error| error.to_string())
}

/// The error for the smallest manifest with `old` replaced.
fn refused(old: &str, new: &str) -> String {
    assert!(SMALLEST.contains(old));
    parse(&SMALLEST.replace(old, new)).unwrap_err()
}

/// The error for the smallest manifest with more in its spec.
fn refused_spec(lines: &str) -> String {
    parse(&format!("{SMALLEST}{lines}")).unwrap_err()
}

#[test]
fn the_example_is_the_default_but_for_what_it_says() {
    let example = parse(EXAMPLE).unwrap();
    let mut expected: KVClusterSpec = parse(SMALLEST).unwrap().spec;
    expected.replicas = 5;
    expected.allow_faults = true;
    assert_eq!(example.spec, expected);
    assert_eq!(example.metadata.name.as_deref(), Some("demo"));
}

#[test]
fn the_example_for_kubernetes_is_a_valid_manifest() {
    let example = parse(KUBERNETES_EXAMPLE).unwrap();
    assert_eq!(example.spec.replicas, 3);
    assert!(example.spec.resources.unwrap().limits.is_some());
}

#[test]
fn a_spec_of_replicas_alone_is_the_default_configuration() {
    assert_eq!(ClusterConfig::from(&parse(SMALLEST).unwrap().spec), ClusterConfig::default());
}

#[test]
fn namespace_labels_and_annotations_are_kept() {
    let more = "name: demo\n  namespace: lab\n  labels: {team: db}\n  annotations: {chaos.driftkv.io/experiment: x}";
    let metadata = parse(&SMALLEST.replace("name: demo", more)).unwrap().metadata;
    assert_eq!(metadata.namespace.as_deref(), Some("lab"));
    assert_eq!(metadata.labels.unwrap()["team"], "db");
    assert_eq!(metadata.annotations.unwrap()["chaos.driftkv.io/experiment"], "x");
}

#[test]
fn broken_yaml_is_reported_with_line_and_column() {
    let error = refused("name: demo", "name: [demo");
    assert!(error.starts_with("demo.yaml:"), "{error}");
    let Err(ManifestError::Syntax { line, column, .. }) = parse_manifest("a: 1\n b: 2\n", "demo.yaml") else {
        unreachable!("not YAML");
    };
    assert!(line == 2 && column > 0, "{line}:{column}");
}

#[test]
fn a_misspelled_field_is_named_with_its_place() {
    let error = refused("replicas: 3", "replica: 3");
    assert!(error.starts_with("demo.yaml:6:3: ") && error.contains("`replica`"), "{error}");
    assert!(error.contains("replicas"), "{error}");
    let error = refused_spec("  limits:\n    valueBytes: 7\n");
    assert!(error.starts_with("demo.yaml:8:5: ") && error.contains("`valueBytes`"), "{error}");
    let error = refused_spec("extra: 1\n");
    assert!(error.starts_with("demo.yaml:7:1: ") && error.contains("`extra`"), "{error}");
    let error = refused("name: demo", "nam: demo");
    assert!(error.starts_with("demo.yaml:4:3: ") && error.contains("`nam`"), "{error}");
}

#[test]
fn a_missing_or_repeated_field_is_named() {
    let error = refused("  replicas: 3", "  sloppy: true");
    assert!(error.contains("missing field `replicas`"), "{error}");
    let error = refused_spec("  replicas: 4\n");
    assert_eq!(error, "demo.yaml:7:3: duplicate mapping key: replicas");
}

#[test]
fn a_value_of_the_wrong_type_is_reported_with_its_place() {
    let number = "demo.yaml:6:13: expected a whole number, 0 or more";
    for value in ["many", "-1", "3.5"] {
        assert_eq!(refused("replicas: 3", &format!("replicas: {value}")), number);
    }
    assert_eq!(refused_spec("  sloppy: on\n"), "demo.yaml:7:11: expected true or false");
}

#[test]
fn a_manifest_of_something_else_says_what_was_expected() {
    assert_eq!(refused("KVCluster", "Pod"), "demo.yaml: kind is Pod; expected KVCluster");
    assert_eq!(
        refused("driftkv.io/v1alpha1", "driftkv.io/v2"),
        "demo.yaml: apiVersion is driftkv.io/v2; expected driftkv.io/v1alpha1"
    );
    assert_eq!(
        parse("a: 1\n").unwrap_err(),
        "demo.yaml: apiVersion is missing; expected driftkv.io/v1alpha1\ndemo.yaml: kind is missing; expected KVCluster"
    );
}

#[test]
fn a_name_that_kubernetes_would_refuse_is_refused() {
    for name in ["Demo", "de.mo", "9demo", "-demo", "demo-", &"d".repeat(41), "\"\""] {
        let error = refused("name: demo", &format!("name: {name}"));
        assert!(error.starts_with("demo.yaml: metadata.name is \""), "{error}");
        assert!(error.ends_with("1 to 40 characters"), "{error}");
    }
    assert!(parse(&SMALLEST.replace("demo", &"d".repeat(40))).is_ok());
}

#[test]
fn all_broken_rules_are_listed_with_the_names_of_the_manifest() {
    let error = refused_spec(
        "  readQuorum: 4\n  partitions: 100\n  limits: {keyBytesMax: 0}\n  storage: {size: 10GB}\n  zones: [a, b, a]\n",
    );
    let expected = [
        "demo.yaml: spec.partitions is 100; allowed is a power of two (1, 2, 4, …, 65536)",
        "demo.yaml: spec.readQuorum is 4; allowed is at most replicationFactor, which is 3",
        "demo.yaml: spec.limits.keyBytesMax is 0; allowed is 1 to 30720",
        "demo.yaml: spec.storage.size is \"10GB\"; allowed is a whole number with a unit, such as 10Gi",
        "demo.yaml: spec.zones has \"a\" twice; name each zone once, nodes are spread in turn",
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn one_cluster_among_other_documents_is_found_and_lines_stay_true() {
    let other = "# first\n---\nkind: ConfigMap\ndata: {a: b}\n---\n";
    assert_eq!(parse(&format!("{other}{SMALLEST}---\n# nothing\n")).unwrap(), parse(SMALLEST).unwrap());
    let error = parse(&format!("{other}{SMALLEST}  replica: 3\n")).unwrap_err();
    assert!(error.starts_with("demo.yaml:12:3: "), "{error}");
}

#[test]
fn no_cluster_or_two_are_refused() {
    assert_eq!(parse("# nothing\n").unwrap_err(), "demo.yaml: is empty; expected one KVCluster");
    assert_eq!(
        parse(&format!("{SMALLEST}---\n{SMALLEST}")).unwrap_err(),
        "demo.yaml: has 2 documents, 2 of them a KVCluster; expected exactly one KVCluster"
    );
    assert_eq!(
        parse("kind: A\n---\nkind: B\n").unwrap_err(),
        "demo.yaml: has 2 documents, 0 of them a KVCluster; expected exactly one KVCluster"
    );
}

#[test]
fn amounts_may_be_numbers() {
    let text = format!("{SMALLEST}  resources: {{requests: {{cpu: 2, memory: 1Gi}}}}\n");
    let requests = parse(&text).unwrap().spec.resources.unwrap().requests.unwrap();
    assert_eq!((requests["cpu"].0.as_str(), requests["memory"].0.as_str()), ("2", "1Gi"));
}

#[test]
fn the_crd_in_the_repository_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/driftkv.io_kvclusters.yaml");
    let stored = std::fs::read_to_string(path).unwrap();
    assert!(
        stored == crd_yaml().unwrap(),
        "stale: cargo run -p driftkv-operator --bin crdgen > crds/driftkv.io_kvclusters.yaml"
    );
}

#[test]
fn every_yaml_document_is_free_of_keys_that_are_booleans() {
    fn check(value: &serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
                let lower = key.to_lowercase();
                assert!(!["n", "y", "no", "yes", "on", "off"].contains(&lower.as_str()), "{key}");
                check(value);
            }),
            serde_json::Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    check(&serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap());
    check(&serde_saphyr::from_str(EXAMPLE).unwrap());
}

#[test]
fn the_bounds_of_the_crd_are_those_of_the_configuration() {
    use driftkv_core::config;
    let crd: serde_json::Value = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let limits = &spec["limits"]["properties"];
    for (schema, max) in [
        (&spec["replicas"], u64::from(config::REPLICAS_MAX)),
        (&spec["partitions"], config::PARTITIONS_MAX.into()),
        (&spec["replicationFactor"], config::REPLICATION_FACTOR_MAX.into()),
        (&spec["readQuorum"], config::REPLICATION_FACTOR_MAX.into()),
        (&spec["writeQuorum"], config::REPLICATION_FACTOR_MAX.into()),
        (&limits["keyBytesMax"], config::KEY_BYTES_CEILING.into()),
        (&limits["valueBytesMax"], config::VALUE_BYTES_CEILING.into()),
        (&limits["siblingsMax"], u32::MAX.into()),
        (&limits["hintBytesMax"], config::HINT_BYTES_CEILING),
    ] {
        assert_eq!((schema["minimum"].as_u64(), schema["maximum"].as_u64()), (Some(1), Some(max)), "{schema}");
    }
    let rule = spec["limits"]["x-kubernetes-validations"][0]["rule"].as_str().unwrap();
    assert!(rule.ends_with(&format!("<= {}", config::STATE_BYTES_CEILING)), "{rule}");
}

/// `kubectl explain kvcluster.spec.…` says something of each.
#[test]
fn every_property_of_the_crd_has_a_description() {
    fn check(schema: &serde_json::Value, place: &str) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            assert!(property["description"].as_str().is_some_and(|says| !says.is_empty()), "{place} has none");
            check(property, &place);
        }
        let inner = ["items", "additionalProperties"].into_iter().filter_map(|inner| schema.get(inner));
        inner.for_each(|schema| check(schema, &format!("{place}[]")));
    }
    let crd: serde_json::Value = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    assert!(schema["properties"]["spec"]["properties"]["resources"].is_object(), "it is the schema");
    check(schema, "");
}
