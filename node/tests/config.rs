//! The program and its settings: what the environment does, exit codes, and where words go.
//! Every command line here is wrong in some way, so that no node ever starts.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn node(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftkv-node"));
    command.env_clear().args(args).envs(environment.iter().copied()).output().unwrap()
}

fn refusal(args: &[&str], environment: &[(&str, &str)]) -> String {
    let output = node(args, environment);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("node.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "name: a\nread-quorum: 4\nwrite-quorum: 4\nin-flight-max: 0\n");
    let environment = [("DRIFTKV_READ_QUORUM", "5"), ("DRIFTKV_WRITE_QUORUM", "5"), ("DRIFTKV_DATA", "d")];
    let told = refusal(&["--config", &path, "--read-quorum", "6"], &environment);
    assert!(told.starts_with("error: --read-quorum is 6; allowed is at most --replication-factor"), "{told}");
    assert!(told.contains("--write-quorum is 5; allowed"), "{told}");
    assert!(told.contains("--in-flight-max is 0; allowed"), "{told}");
    assert!(told.ends_with("For all settings, try 'driftkv-node --help'. Nothing was started.\n"), "{told}");
}

#[test]
fn the_environment_names_the_file_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "name: a\ndata: d\nreplica: 3\n");
    let told = refusal(&[], &[("DRIFTKV_CONFIG", &path)]);
    assert!(told.starts_with(&format!("error: {path}:3:1: ")) && told.contains("replica"), "{told}");
}

#[test]
fn a_variable_that_cannot_be_read_is_told_by_its_flag() {
    let told = refusal(&["--name", "a", "--data", "d"], &[("DRIFTKV_SLOPPY", "maybe")]);
    assert!(told.contains("invalid value 'maybe' for '--sloppy <BOOL>'"), "{told}");
    let told = refusal(&["--name", "a", "--data", "d"], &[("DRIFTKV_REPLICA_TIMEOUT", "20")]);
    assert!(told.contains("`20` is not a duration: a whole number and one of ms, s, m, h"), "{told}");
}

#[test]
fn a_misspelt_variable_is_refused_with_the_nearest_one_and_those_of_the_command_are_not() {
    let told = refusal(&["--name", "a", "--data", "d"], &[("DRIFTKV_READ_QOURUM", "2")]);
    assert!(told.contains("DRIFTKV_READ_QOURUM is no setting; do you mean DRIFTKV_READ_QUORUM?"), "{told}");
    let told = refusal(&["--name", "a", "--read-quorum", "9"], &[("DRIFTKV_ENDPOINTS", "x:1"), ("DRIFTKV_PORT", "y")]);
    assert!(told.contains("--read-quorum is 9") && !told.contains("DRIFTKV_"), "{told}");
}

#[test]
fn an_unknown_flag_is_refused_with_the_nearest_one() {
    let told = refusal(&["--replica", "3"], &[]);
    assert!(told.contains("unexpected argument '--replica' found"), "{told}");
    assert!(told.contains("--replicas"), "{told}");
}

#[test]
fn help_and_version_go_to_stdout_and_are_no_failure() {
    let help = node(&["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("DRIFTKV_READ_QUORUM=]") && help.contains("Example:"), "{help}");
    let version = node(&["--version"], &[]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), concat!("driftkv-node ", env!("CARGO_PKG_VERSION"), "\n"));
}
