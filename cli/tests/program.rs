//! The program as a newcomer meets it: help, version, and words it does not know.
#![allow(clippy::expect_used)]

use std::process::{Command, Output};

fn driftkv(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftkv")).args(arguments).output().expect("the program runs")
}

#[test]
fn help_names_every_command_and_goes_to_stdout() {
    let output = driftkv(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    for command in ["up", "get", "put", "delete", "status", "ring", "chaos"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in:\n{help}");
    }
}

#[test]
fn an_unknown_flag_or_command_is_named_on_stderr_with_exit_code_2() {
    for (arguments, word) in [(vec!["get", "k", "--quorums"], "--quorums"), (vec!["gte", "k"], "gte")] {
        let output = driftkv(&arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty() && told.contains(word), "{told}");
    }
}

/// Failures, and what else is told beside a result: `driftkv … 2> >(true)`.
#[test]
fn a_reader_of_stderr_that_went_away_changes_no_exit_code() {
    for (arguments, code) in [
        (vec!["chaos", "apply", "-f", "/nowhere"], 2),
        (vec!["get", "k", "--trace", "--endpoint", "127.0.0.1:1", "--timeout", "100ms"], 4),
        (vec!["lab", "load", "--print-plan", "--ops", "1"], 0),
    ] {
        let (reader, stderr) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftkv"));
        let status = command.args(&arguments).stderr(stderr).stdout(std::process::Stdio::null()).status();
        assert_eq!(status.expect("the program runs").code(), Some(code), "{arguments:?}");
    }
}
