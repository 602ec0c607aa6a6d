//! Nodes whose admin ports ask for a token: the command shows the one it was given, and says what to do without one.

use std::path::Path;

use driftkv_tests::cluster::{Cluster, Shape};

use crate::harness::{Outcome, command, driftkv};

/// The command on these nodes, with a token in its environment.
fn with_variable(words: &[&str], token: &str) -> Outcome {
    let output = command(words, Path::new("/")).env("DRIFTKV_ADMIN_TOKEN", token).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Outcome { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
}

#[test]
fn the_command_shows_its_token_and_says_what_to_do_without_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret-of-today\ns3cret-of-yesterday\n").unwrap();
    let path = file.path().to_str().unwrap();
    let shape = Shape::of(1).with("--admin-token-file", path).with("--replication-factor", "1");
    let cluster = Cluster::launch(shape.with("--read-quorum", "1").with("--write-quorum", "1"));
    let node = &cluster.nodes[0];
    let (client, admin) = (node.client.to_string(), node.admin.to_string());
    let of = |first: &[&'static str], more: &[&str]| -> Vec<String> {
        let place = ["--endpoint", &client, "--admin", &admin];
        first.iter().chain(&place).chain(more).map(|word| (*word).to_owned()).collect()
    };
    let bootstrap = of(&["bootstrap", "--timeout", "30s"], &["--admin-token-file", path]);
    driftkv(&bootstrap.iter().map(String::as_str).collect::<Vec<_>>()).ended(0);
    let status = of(&["status"], &[]);
    let status: Vec<&str> = status.iter().map(String::as_str).collect();
    with_variable(&status, "s3cret-of-yesterday").ended(0);
    for refused in [driftkv(&status), with_variable(&status, "s3cret-of-tomorrow")] {
        assert_ne!(refused.code, 0);
        let said = format!("{}{}", refused.text(), refused.stderr);
        assert!(said.contains("token") && !said.contains("s3cret"), "{said}");
    }
    with_variable(&status, "two words").ended(2).told(&["DRIFTKV_ADMIN_TOKEN", "one line of visible ASCII"]);
}
