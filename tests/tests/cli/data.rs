//! `get`, `put` and `delete`: what goes in comes out, siblings and contexts, and what is refused with which exit code.

use std::fs;

use serde_json::json;

use crate::harness::{Up, driftkv, free_base_port, manifest};

fn up() -> Up {
    Up::start(&manifest(3, "  limits: {valueBytesMax: 65536, siblingsMax: 4}\n"))
}

/// The context that a put printed.
fn put(up: &Up, words: &[&str]) -> String {
    let outcome = up.driftkv(&[&["put"], words].concat()).ended(0);
    outcome.text().trim_end().to_owned()
}

#[test]
fn values_come_out_as_they_went_in_from_argument_file_and_stdin() {
    let up = up();
    put(&up, &["greeting", "hello"]);
    assert_eq!(up.driftkv(&["get", "greeting"]).ended(0).stdout, b"hello");

    let bytes: Vec<u8> = (0..=255).collect();
    fs::write(up.directory.path().join("value.bin"), &bytes).unwrap();
    put(&up, &["from-file", "-f", "value.bin"]);
    assert_eq!(up.driftkv(&["get", "from-file"]).ended(0).stdout, bytes);

    up.driftkv_reading(&["put", "from-stdin", "-"], b"line\n\0\n").ended(0);
    assert_eq!(up.driftkv(&["get", "from-stdin"]).ended(0).stdout, b"line\n\0\n");

    put(&up, &["empty", ""]);
    assert_eq!(up.driftkv(&["get", "empty"]).ended(0).stdout, b"");

    put(&up, &["-b", "other bucket", "greeting", "hallo"]);
    assert_eq!(up.driftkv(&["get", "greeting", "-b", "other bucket"]).ended(0).stdout, b"hallo");
    assert_eq!(up.driftkv(&["get", "greeting"]).ended(0).stdout, b"hello");

    up.driftkv(&["put", "missing-file", "-f", "nowhere"]).ended(2).told(&["nowhere"]);
}

#[test]
fn a_put_without_context_adds_a_sibling_and_one_with_it_resolves_them() {
    let up = up();
    let context = put(&up, &["cart", "bread"]);
    put(&up, &["cart", "bread, milk", "--context", &context]);
    assert_eq!(up.driftkv(&["get", "cart"]).ended(0).stdout, b"bread, milk");

    let outcome = up.driftkv(&["put", "cart", "eggs"]).ended(0);
    let outcome =
        outcome.told(&["2 siblings now: a put replaces only what its --context has seen", "driftkv get cart"]);
    assert_eq!(outcome.stdout, b"", "a context that has not seen all would be a trap");
    // A pipe takes one value; two are a conflict, told with the way out.
    let conflict =
        up.driftkv(&["get", "cart"]).ended(5).told(&["2 siblings", "driftkv put cart 'THE VALUE' --context "]);
    assert!(conflict.text().starts_with("2 siblings"), "{}", conflict.text());

    let json = up.driftkv(&["get", "cart", "-o", "json"]).ended(0).json();
    let mut values: Vec<&str> =
        json["siblings"].as_array().unwrap().iter().map(|s| s["value"].as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, ["bread, milk", "eggs"]);
    put(&up, &["cart", "bread, milk, eggs", "--context", json["context"].as_str().unwrap()]);
    assert_eq!(up.driftkv(&["get", "cart"]).ended(0).stdout, b"bread, milk, eggs");

    put(&up, &["cart", "all new", "--intent", "overwrite-all"]);
    assert_eq!(up.driftkv(&["get", "cart"]).ended(0).stdout, b"all new");
}

#[test]
fn json_is_one_value_with_the_same_fields_always() {
    let up = up();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let put = up.driftkv(&["put", "k", "text", "-o", "json"]).ended(0).json();
    assert_eq!(fields(&put), ["achieved", "bucket", "context", "key", "requestId", "siblingCount", "wasApplied"]);
    assert_eq!([&put["siblingCount"], &put["wasApplied"]], [&json!(1), &json!(false)]);

    up.driftkv_reading(&["put", "k", "-", "-o", "json"], b"\xff\x00").ended(0).json();
    let get = up.driftkv(&["get", "k", "-o", "json"]).ended(0).json();
    assert_eq!(fields(&get), ["achieved", "bucket", "context", "key", "siblings"]);
    assert_eq!(fields(&get["achieved"]), ["fallbacks", "primaries", "strict"]);
    let siblings = get["siblings"].as_array().unwrap();
    assert!(siblings.iter().any(|sibling| sibling["value"] == "text"), "{get}");
    assert!(siblings.iter().any(|sibling| sibling["valueBase64"] == "/wA="), "{get}");

    // The request id of an applied write, repeated: said so, and not written twice.
    let id = put["requestId"].as_str().unwrap();
    let retry = up.driftkv(&["put", "k", "text", "--request-id", id, "-o", "json"]).ended(0).json();
    assert_eq!(retry["wasApplied"], true, "{retry}");

    let absent = up.driftkv(&["get", "absent", "-o", "json"]).ended(3).json();
    assert_eq!([&absent["siblings"], &absent["context"]], [&json!([]), &json!("")]);
}

#[test]
fn a_deleted_key_is_not_found_and_stays_so() {
    let up = up();
    up.driftkv(&["get", "k"]).ended(3).told(&["know nothing of"]);
    put(&up, &["k", "one"]);
    put(&up, &["k", "two"]);
    up.driftkv(&["delete", "k"]).ended(0);
    assert_eq!(up.driftkv(&["get", "k"]).ended(3).told(&["was deleted"]).stdout, b"");
    assert_eq!(up.driftkv(&["get", "k", "-r", "3", "--mode", "monotonic"]).ended(3).stdout, b"");

    let context = put(&up, &["k", "again"]);
    up.driftkv(&["delete", "k", "--context", &context]).ended(0);
    up.driftkv(&["get", "k"]).ended(3);
    up.driftkv(&["delete", "k", "--intent", "with-context"]).ended(2).told(&["needs a --context"]);
}

#[test]
fn what_the_data_stands_against_is_a_conflict() {
    let up = up();
    put(&up, &["k", "first", "--intent", "create-only"]);
    up.driftkv(&["put", "k", "second", "--intent", "create-only"]).ended(5).told(&["already exists", "overwrite-all"]);
    for value in ["2", "3", "4"] {
        put(&up, &["k", value]);
    }
    up.driftkv(&["put", "k", "5"]).ended(5).told(&["too many siblings", "--context"]);
}

#[test]
fn what_is_wrong_with_a_request_is_told_and_costs_exit_code_2() {
    let up = up();
    let context = put(&up, &["k", "value"]);
    up.driftkv(&["put", "other", "v", "--context", &context]).ended(2).told(&["bad context", "of this key"]);
    up.driftkv(&["put", "k", "v", "--context", "AAAA"]).ended(2).told(&["bad context"]);
    up.driftkv(&["put", "k", "v", "--context", "not/one"]).ended(2).told(&["--context is not one"]);
    up.driftkv(&["put", "k", "v", "--context", &context, "--intent", "add-sibling"])
        .ended(2)
        .told(&["with-context only"]);
    up.driftkv(&["put", "k", "v", "--request-id", "12"]).ended(2).told(&["32 hexadecimal digits"]);
    up.driftkv_reading(&["put", "k", "-"], &vec![b'x'; 65_537]).ended(2).told(&["too large", "65536"]);
    up.driftkv(&["put", &"k".repeat(2000), "v"]).ended(2).told(&["too large", "1024"]);
    up.driftkv(&["put", "k", "v", "-w", "4"]).ended(2).told(&["w"]);
    up.driftkv(&["get", "k", "-r", "9"]).ended(2).told(&["r"]);
    assert_eq!(up.driftkv(&["get", "k"]).ended(0).stdout, b"value", "nothing of it was written");
}

#[test]
fn without_a_cluster_each_way_to_name_one_is_told() {
    driftkv(&["get", "k"]).ended(2).told(&["no cluster", "driftkv up", "--endpoint", "DRIFTKV_ENDPOINTS"]);
    driftkv(&["get", "k", "--endpoint", "nonsense://x"]).ended(2).told(&["nonsense"]);
    let nobody = format!("127.0.0.1:{}", free_base_port());
    let refused = driftkv(&["put", "k", "v", "--endpoint", &nobody, "--timeout", "500ms"]).ended(4);
    let refused = refused.told(&[&nobody, "Is the cluster up?"]);
    assert!(!refused.stderr.contains("--request-id"), "nothing was sent: {}", refused.stderr);
    driftkv(&["statu"]).ended(2).told(&["unrecognized subcommand", "'status'"]);
    driftkv(&["get", "k", "--tiemout", "1s"]).ended(2).told(&["--tiemout", "--timeout"]);
    driftkv(&["get", "k", "--timeout", "5"]).ended(2).told(&["500ms or 5s"]);
    driftkv(&["--help"]).ended(0);
}
