//! Precedence, refusals and the words of `--help`. What the environment does is tested with the program (`tests/config.rs`).
#![allow(clippy::unwrap_used, clippy::panic)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use driftkv_core::config::ClusterConfig;
use driftkv_core::id::Incarnation;

use super::flags::Flags;
use super::span::Span;
use super::{Config, LoadError};
use crate::telemetry::LogFormat;

const NEEDED: [&str; 4] = ["--name", "demo-0", "--data", "d"];

fn load(args: &[&str]) -> Result<Config, LoadError> {
    let args = ["driftkv-node"].iter().chain(args).map(OsString::from);
    Config::from_args(args.collect::<Vec<_>>())
}

fn load_with_needed(args: &[&str]) -> Result<Config, LoadError> {
    load(&[&NEEDED, args].concat())
}

fn load_with_file(text: &str, args: &[&str]) -> Result<Config, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.yaml");
    std::fs::write(&path, text).unwrap();
    load(&[&["--config", path.to_str().unwrap()], args].concat())
}

fn problems(args: &[&str]) -> Vec<String> {
    match load(args) {
        Err(LoadError::Rules(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

fn file_error(text: &str) -> String {
    match load_with_file(text, &NEEDED) {
        Err(LoadError::File(error)) => error.split_once("node.yaml").unwrap().1.to_owned(),
        other => panic!("{other:?}"),
    }
}

fn settings() -> impl Iterator<Item = clap::Arg> {
    let mut command: Command = Flags::command();
    command.build();
    let args: Vec<_> = command.get_arguments().cloned().collect();
    args.into_iter().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
}

#[test]
fn name_and_data_are_enough() {
    let config = load_with_needed(&[]).unwrap();
    assert_eq!((config.name.as_str(), config.data), ("demo-0", PathBuf::from("d")));
    assert_eq!(config.cluster, ClusterConfig::default());
    let ports = [config.listen_client, config.listen_peer, config.listen_admin, config.listen_metrics];
    let ports = ports.map(|address| address.to_string());
    assert_eq!(ports, ["0.0.0.0:7400", "0.0.0.0:7401", "0.0.0.0:7402", "0.0.0.0:7403"]);
    assert!(!config.allow_faults);
    assert_eq!((config.zone, config.capacity, config.advertise_peer), (None, None, None));
    assert_eq!((config.log_format, config.log_level.as_str()), (LogFormat::Text, "info"));
}

#[test]
fn core_is_told_the_times_and_the_cluster() {
    let flags = ["--request-timeout", "2s", "--request-timeout-max", "1m", "--replica-timeout", "90ms"];
    let more = ["--in-flight-max", "7", "--read-quorum", "1"];
    let settings = load_with_needed(&[&flags[..], &more].concat()).unwrap().settings(Incarnation(9));
    assert_eq!((settings.timeout_ms, settings.timeout_ms_max, settings.replica_timeout_ms), (2_000, 60_000, 90));
    assert_eq!((settings.in_flight_max, settings.cluster.read_quorum), (7, 1));
    assert_eq!(settings.incarnation, Incarnation(9));
}

#[test]
fn the_flags_that_up_passes_are_all_known() {
    let config = load_with_needed(&[
        "--zone",
        "a",
        "--listen-client",
        "127.0.0.1:1",
        "--listen-peer",
        "127.0.0.1:2",
        "--listen-admin",
        "127.0.0.1:3",
        "--listen-metrics",
        "127.0.0.1:4",
        "--replicas",
        "5",
        "--partitions",
        "64",
        "--replication-factor",
        "3",
        "--read-quorum",
        "2",
        "--write-quorum",
        "2",
        "--key-bytes-max",
        "100",
        "--value-bytes-max",
        "1000",
        "--siblings-max",
        "10",
        "--hint-bytes-max",
        "10000",
        "--sloppy",
        "false",
        "--allow-faults",
    ]);
    let config = config.unwrap();
    assert!(config.allow_faults && !config.cluster.sloppy);
    assert_eq!((config.cluster.replicas, config.cluster.limits.hint_bytes_max), (5, 10_000));
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let text =
        "name: from-file\ndata: /file\nread-quorum: 1\nallow-faults: true\nrequest-timeout: 7s\nlog-format: json\n";
    let config = load_with_file(text, &["--name", "from-flag", "--allow-faults=false"]).unwrap();
    assert_eq!((config.name.as_str(), config.data), ("from-flag", PathBuf::from("/file")));
    assert_eq!((config.cluster.read_quorum, config.cluster.write_quorum), (1, 2));
    assert_eq!((config.request_timeout_ms, config.log_format), (7_000, LogFormat::Json));
    assert!(!config.allow_faults, "a flag that says what the default says is still a flag");
}

#[test]
fn every_flag_is_a_key_of_the_file_and_a_variable_of_the_environment() {
    for arg in settings() {
        let flag = arg.get_long().unwrap().to_owned();
        let variable = format!("DRIFTKV_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().unwrap().to_str(), Some(variable.as_str()));
        if flag != "config" {
            load_with_file(&format!("{flag}: ~\n"), &NEEDED).unwrap();
        }
    }
}

#[test]
fn a_file_may_be_empty_or_all_comments() {
    load_with_file("", &NEEDED).unwrap();
    load_with_file("# nothing yet\n", &NEEDED).unwrap();
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_line_and_column() {
    let unknown = file_error("name: a\nread_quorum: 1\n");
    assert!(unknown.starts_with(":2:1: ") && unknown.contains("read_quorum"), "{unknown}");
    let doubled = file_error("name: a\nname: b\n");
    assert!(doubled.starts_with(":2:1: "), "{doubled}");
    let number = file_error("replicas: many\n");
    assert!(number.starts_with(":1:11: "), "{number}");
    let unit = file_error("request-timeout: 20\n");
    assert!(unit.starts_with(":1:18: `20` is not a duration: a whole number and one of ms, s, m, h"), "{unit}");
    let address = file_error("data: x\nlisten-peer: localhost\n");
    assert!(address.starts_with(":2:14: "), "{address}");
    assert!(file_error("sloppy: yes\n").starts_with(":1:9: "));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(&["--config", "/nowhere/node.yaml"]).unwrap_err().to_string();
    assert!(error.starts_with("--config /nowhere/node.yaml: No such file"), "{error}");
}

#[test]
fn an_unknown_flag_is_refused_with_its_name() {
    let error = load_with_needed(&["--listen-gossip", "127.0.0.1:7404"]).unwrap_err();
    assert!(error.to_string().contains("unexpected argument '--listen-gossip'"), "{error}");
    assert!(matches!(error, LoadError::Flags(error) if error.exit_code() == super::EXIT_USAGE));
}

#[test]
fn all_broken_rules_are_told_at_once_in_the_flags_spelling() {
    let mut all = problems(&[
        "--capacity",
        "0",
        "--listen-peer",
        "127.0.0.1:7400",
        "--advertise-peer",
        "demo-0",
        "--partitions",
        "100",
        "--read-quorum",
        "4",
        "--value-bytes-max",
        "0",
        "--replica-timeout",
        "10s",
        "--in-flight-max",
        "0",
        "--memtable-bytes",
        "5",
        "--log-level",
        "info,driftkv=loud",
        "--zone",
        "",
    ]);
    let last = all.pop().unwrap();
    assert_eq!(
        all,
        [
            "--name is missing: every node needs one, such as --name demo-0",
            "--data is missing: the directory where this node keeps its data, such as --data ./demo-0",
            "--zone has 0 bytes; allowed is 1 to 255",
            "--capacity is 0; allowed is 1 or more",
            "--listen-peer is 127.0.0.1:7400, the port of --listen-client; each needs its own",
            "--advertise-peer is \"demo-0\"; allowed is HOST:PORT, such as demo-0.demo:7401",
            "--partitions is 100; allowed is a power of two (1, 2, 4, …, 65536)",
            "--read-quorum is 4; allowed is at most --replication-factor, which is 3",
            "--value-bytes-max is 0; allowed is 1 to 16777216",
            "--replica-timeout is 10s; allowed is at most --request-timeout, which is 5s",
            "--in-flight-max is 0; allowed is 1 to 1048576",
            "--memtable-bytes is 5; allowed is 1048576 to 4294967296",
        ]
    );
    assert!(
        last.starts_with("--log-level is \"info,driftkv=loud\": error parsing level filter: expected one of"),
        "{last}"
    );
}

#[test]
fn names_are_what_faults_and_logs_can_carry() {
    for name in ["", "*", "a b", "déjà", &"x".repeat(256)] {
        assert_eq!(problems(&["--data", "d", "--name", name]).len(), 1, "{name:?}");
    }
    load(&["--data", "d", "--name", "Demo_0.example-com"]).unwrap();
}

#[test]
fn times_are_a_millisecond_to_an_hour() {
    let all = problems(&[&NEEDED[..], &["--request-timeout-max", "2h", "--replica-timeout", "0ms"]].concat());
    assert_eq!(
        all,
        ["--request-timeout-max is 2h; allowed is 1ms to 1h", "--replica-timeout is 0ms; allowed is 1ms to 1h"]
    );
}

#[test]
fn a_duration_is_written_as_it_is_read() {
    for (text, ms) in [("250ms", 250), ("5s", 5_000), ("1m", 60_000), ("2h", 7_200_000), ("0ms", 0)] {
        assert_eq!(text.parse(), Ok(Span(ms)));
        assert_eq!(Span(ms).to_string(), text);
    }
    for text in ["", "5", "s", "-1s", "1.5s", "1 s", "5S", "99999999999999999999s", "18446744073709551615h"] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}

#[test]
fn help_explains_every_setting_under_its_heading() {
    let help = Flags::command().render_help().to_string();
    for part in [
        "This node:",
        "Addresses",
        "The cluster",
        "Limits",
        "Time and memory",
        "Faults:",
        "Traces:",
        "Logs",
        "Exit codes:",
    ] {
        assert!(help.contains(part), "{part} is missing in\n{help}");
    }
    for arg in settings() {
        assert!(arg.get_help().is_some_and(|words| !words.to_string().is_empty()), "{arg}");
    }
    assert!(help.contains("[default: 5s]") && help.contains("[default: 1048576]"), "{help}");
}

#[test]
fn the_example_in_the_help_can_be_run() {
    let help = Flags::command().render_help().to_string();
    let example = help.lines().skip_while(|line| !line.starts_with("Example")).skip(1);
    let example: Vec<&str> = example.take_while(|line| line.starts_with("  ")).collect();
    let example = example.join(" ").replace('\\', "");
    let words: Vec<&str> = example.split_whitespace().collect();
    assert_eq!(words.first(), Some(&"driftkv-node"));
    load(words.get(1..).unwrap()).unwrap();
    let file = help.lines().skip_while(|line| !line.starts_with("With a file")).skip(1);
    let file: Vec<&str> = file.take_while(|line| line.starts_with("  ")).collect();
    load_with_file(&file.join("\n"), &[]).unwrap();
}

#[test]
fn a_file_without_end_is_refused_at_the_limit() {
    let refused = load(&[&["--config", "/dev/zero"], &NEEDED[..]].concat()).unwrap_err().to_string();
    assert_eq!(refused, "--config /dev/zero: it has more bytes than the 1048576 that are allowed");
}

#[test]
fn a_doubled_key_is_refused_in_words_for_people() {
    assert_eq!(file_error("zone: a\nzone: b\n"), ":2:1: duplicate mapping key: zone");
}

#[test]
fn a_wrong_collector_is_named_as_it_was_set() {
    let mut flags = <Flags as clap::Parser>::parse_from(["driftkv-node", "--name", "demo-0", "--data", "d"]);
    flags.otlp_endpoint = Some("localhost:4317".to_owned());
    let wrong = |flags: Flags| super::rules::check(flags).unwrap_err().remove(0);
    flags.otlp_variable = Some("OTEL_EXPORTER_OTLP_ENDPOINT");
    assert!(wrong(flags).starts_with("OTEL_EXPORTER_OTLP_ENDPOINT is \"localhost:4317\"; allowed is http://HOST:PORT"));
}
