//! `kubectl driftkv` as a person has it: the program on the PATH, run by kubectl itself.
//! Invariant: what it must not tell is looked for in every byte of what it wrote.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use driftkv_tests::binaries::program;
use serde_json::Value;

use super::consents::{allow, says};
use crate::kube::{self, Said, apply, kubectl};
use crate::probe::token;
use crate::report;
use crate::site::{Operator, PATIENCE, Site, image};
use crate::wanted;

/// What is stored, and is looked for where it must not be.
const VALUE: &str = "e2e-value-that-nobody-may-see";
const KEY: &str = "e2e-key-that-nobody-may-see";
const ANNOTATION: &str = "chaos.driftkv.io/experiment";
const SOON: Duration = Duration::from_secs(5);
const DELAY: &str = "for: 6s\nfaults:\n- {kind: delay, from: '*', to: '*', mean: 5ms}\n";

/// kubectl with the plugin and its completion on the PATH.
fn command(site: &Site, words: &[&str]) -> Command {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let old = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("kubectl");
    command
        .env("PATH", format!("{}:{}:{old}", program("kubectl-driftkv").parent().unwrap().display(), plugins.display()));
    command.args(["driftkv", "-n", &site.namespace]).args(words);
    command
}

/// The plugin with `input`, whatever comes of it; its exit code.
fn plugin_with(site: &Site, words: &[&str], input: &str) -> (i32, Said) {
    let (code, said) = kube::run_command(&mut command(site, words), input);
    assert!(!said.out.contains('\x1b') && !said.error.contains('\x1b'), "colours without a terminal: {said:?}");
    (code, said)
}

/// The plugin, which must succeed; what it printed.
fn plugin(site: &Site, words: &[&str]) -> String {
    let (code, said) = plugin_with(site, words, "");
    assert_eq!(code, 0, "kubectl driftkv {}: {}", words.join(" "), said.error);
    said.out
}

/// What a command of `kubectl driftkv` gives to programs.
fn json(site: &Site, words: &[&str]) -> Value {
    serde_json::from_str(&plugin(site, &[words, &["-o", "json"]].concat())).expect("JSON of kubectl driftkv")
}

pub fn plugin_commands(operator: &Operator) {
    operator.allow_chaos(true);
    let site = Site::new("plugin");
    site.apply(&image(), "allowFaults: true");
    site.ready(PATIENCE);
    status(&site);
    data(&site);
    bad_texts(&site);
    experiments(&site);
    logs(&site);
    followed(&site);
    bundle(&site);
    bundle_with_few_rights(&site);
    site.end();
}

fn status(site: &Site) {
    let began = Instant::now();
    let text = plugin(site, &["status"]);
    wanted("kubectl driftkv status", began.elapsed(), SOON);
    println!("{text}");
    for part in [
        &format!("demo in namespace {}: Running", site.namespace),
        "Ready        True",
        "zone-0  1      64          33.3%",
        "balance:",
        "demo-0  serving  ready",
        "demo-2  serving  ready",
        "replicas agree in all 64 partitions",
    ] {
        assert!(text.contains(part), "{part} is not in it");
    }
    assert!(!text.contains("not learned"), "something could not be learned");
    let value = json(site, &["status"]);
    let nodes = value["live"]["nodes"].as_array().expect("what the nodes say");
    assert!(nodes.len() == 3 && nodes.iter().all(|node| node["state"] == "serving"), "{value}");
    let yaml = plugin(site, &["status", "demo", "-o", "yaml"]);
    assert!(yaml.contains("\nname: demo\n") || yaml.starts_with("name: demo\n"), "{yaml}");
    let lines = first_lines(&mut command(site, &["status", "-W=200ms", "-o", "json"]), |lines| lines.len() == 2);
    assert!(lines.iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "a look is a line");
    let watched = format!("timeout 20 kubectl driftkv -n {} status --watch=200ms | head -1", site.namespace);
    let mut shell = Command::new("bash");
    let shell = shell.env("PATH", path_of(site)).args(["-o", "pipefail", "-c", &watched]);
    assert_eq!(kube::run_command(shell, "").0, 0, "it ends with its reader");
    let words =
        kube::run_command(Command::new("kubectl").env("PATH", path_of(site)).args(["__complete", "driftkv", "st"]), "");
    assert!(words.1.out.starts_with("status\t"), "kubectl completes: {words:?}");
}

fn path_of(site: &Site) -> String {
    let command = command(site, &[]);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
    path.expect("a PATH").to_string_lossy().into_owned()
}

fn data(site: &Site) {
    let context = plugin(site, &["put", KEY, VALUE]);
    assert_eq!(plugin(site, &["get", KEY]), VALUE, "a value into a pipe is as it is");
    let ring = json(site, &["ring", KEY]);
    assert_eq!(ring["key"]["primaries"].as_array().map(Vec::len), Some(3), "{ring}");
    plugin(site, &["put", "short-lived", "x"]);
    plugin(site, &["delete", "short-lived"]);
    let (code, said) = plugin_with(site, &["get", "short-lived"], "");
    assert_eq!(code, 3, "{said:?}");
    let again = plugin(site, &["put", KEY, VALUE, "--causal-context", context.trim()]);
    assert!(!again.trim().is_empty());
    let (code, said) = plugin_with(site, &["status", "nobody"], "");
    assert!(code == 3 && said.error.contains("demo"), "it says which clusters there are: {said:?}");
}

/// Texts that must not be written anywhere.
fn bad_texts(site: &Site) {
    let nothing = || site.seen()["metadata"]["annotations"][ANNOTATION] == Value::Null;
    for (text, place) in [
        ("for: 5s\nfaults:\n- {kind: explode, node: demo-0}\n", "stdin:3:"),
        ("for: 5s\nfaults:\n- {kind: pause, node: demo-7, down: 1s}\n", "stdin:3:23"),
        (
            "for: 5s\nfaults:\n- {kind: partition, groups: [[demo-0, demo-1], [demo-2]]}\n- {kind: pause, node: demo-0, down: 1s}\n",
            "stdin",
        ),
    ] {
        let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-"], text);
        assert!(code == 2 && said.error.contains(place), "{code} {said:?}");
        assert!(nothing(), "a bad text was written");
    }
    let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-"], DELAY);
    assert!(
        code == 1 && said.error.contains("chaos.driftkv.io/allowed"),
        "the namespace has no label: {code} {said:?}"
    );
    assert!(nothing() && said.error.contains("taken away"), "a refused experiment is asked for no more: {said:?}");
}

fn experiments(site: &Site) {
    allow(site);
    let began = Instant::now();
    let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-", "--id", "slow"], DELAY);
    println!("{}", said.out);
    assert_eq!(code, 0, "{said:?}");
    let places: Vec<_> = ["experiment slow for 6.0s", "Active: injected at 3 of 3 nodes", "Ended", "DELAYED"]
        .map(|word| said.out.find(word))
        .into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "each step in its order: {places:?}");
    report::say(format!(
        "chaos apply followed an experiment of 6 s to its end in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-", "--id", "slow"], DELAY);
    assert!(code == 5 && said.error.contains("--id NEW"), "no id begins twice: {said:?}");
    let long = DELAY.replace("6s", "300s");
    let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-", "--id", "long", "--no-follow"], &long);
    assert_eq!(code, 0, "{said:?}");
    says(site, "ChaosInjected", PATIENCE);
    assert!(plugin(site, &["chaos", "status"]).contains("experiment long: Active, ends in "));
    let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-", "--id", "other"], DELAY);
    assert!(code == 5 && said.error.contains("long is under way"), "one at a time: {said:?}");
    let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-", "--id", "long", "-o", "json"], "");
    assert!(code == 2, "no text at all: {said:?}");
    let began = Instant::now();
    assert!(plugin(site, &["chaos", "clear"]).contains("no node injects anything"));
    wanted("chaos clear, until every node has said that it ended", began.elapsed(), SOON);
    assert_eq!(json(site, &["chaos", "status"])["chaos"]["phase"], "Cleared");
    assert!(plugin(site, &["chaos", "clear"]).contains("none is under way"));
}

fn logs(site: &Site) {
    let text = plugin(site, &["logs", "--tail", "1000"]);
    for node in ["demo-0", "demo-1", "demo-2"] {
        assert!(text.lines().any(|line| line.contains(&format!("  {node}  INFO "))), "{node} says nothing");
    }
    let lines = plugin(site, &["logs", "--tail", "0", "-o", "json"]);
    assert_eq!(lines, "", "no line was asked for");
    let lines = plugin(site, &["logs", "--tail", "1000", "-o", "json"]);
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a JSON value a line")).collect();
    let times: Vec<String> = lines.iter().filter_map(|line| line["time"].as_str().map(str::to_owned)).collect();
    let times: Vec<k8s_openapi::jiff::Timestamp> = times.iter().map(|time| time.parse().expect("a time")).collect();
    assert!(times.len() == lines.len() && times.is_sorted(), "the order of time");
    let turns = lines.windows(2).filter(|two| two[0]["node"] != two[1]["node"]).count();
    assert!(turns >= 3, "the nodes take turns");
    report::say(format!("logs: {} lines of 3 nodes in the order of time, {turns} changes of node", lines.len()));
    let (code, said) = plugin_with(site, &["logs", "demo-9"], "");
    assert!(code == 3 && said.error.contains("demo-0, demo-1, demo-2"), "{said:?}");
}

/// A pod that is replaced goes on being followed.
fn followed(site: &Site) {
    let mut follow = command(site, &["logs", "-f", "--tail=1", "-o", "json"]);
    let mut is_deleted = false;
    let mut before = Vec::new();
    let lines = first_lines(&mut follow, |lines| {
        let of = |line: &String| serde_json::from_str::<Value>(line).unwrap_or_default();
        let is_there = |node: &str| lines.iter().any(|line| of(line)["node"] == node);
        if !is_deleted && ["demo-0", "demo-1", "demo-2"].into_iter().all(is_there) {
            before = lines.to_vec();
            kubectl(&["delete", "pod", "demo-1", "-n", &site.namespace, "--wait=false"]);
            is_deleted = true;
        }
        let new = lines.iter().skip(before.len());
        is_deleted && new.map(of).any(|line| line["node"] == "demo-1" && line["line"].to_string().contains("serving"))
    });
    report::say(format!("logs -f went on over a replaced pod: {} lines", lines.len()));
    site.ready(PATIENCE);
}

/// Lines of a program until there are enough; then it is stopped. `is_enough` sees all of them each time.
fn first_lines(command: &mut Command, mut is_enough: impl FnMut(&[String]) -> bool) -> Vec<String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kubectl");
    let (sender, receiver) = mpsc::sync_channel(1_000);
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        out.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok());
    });
    let mut lines = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !is_enough(&lines) {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(line) => lines.push(line),
            Err(why) => {
                let _ = child.kill();
                panic!("{why} after {lines:?}");
            }
        }
    }
    // kubectl has become the plugin, so this is it.
    let _ = child.kill();
    let _ = child.wait();
    drop(receiver);
    reader.join().unwrap();
    lines
}

/// Writes the archive and unpacks it; the parts by their paths.
fn report_of(site: &Site, flags: &[&str]) -> Vec<(String, String)> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("report.tar.gz").display().to_string();
    let told = plugin(site, &[&["report", "--file", &file], flags].concat());
    println!("{told}");
    let unpacked =
        kube::run("tar", &["-xzf", &file, "-C", &directory.path().display().to_string(), "--strip-components=1"], "");
    assert!(unpacked.is_ok, "{}", unpacked.error);
    std::fs::remove_file(&file).unwrap();
    let mut parts = Vec::new();
    collect(directory.path(), directory.path(), &mut parts);
    parts
}

fn collect(root: &Path, directory: &Path, parts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, parts);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            parts.push((name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
        }
    }
}

fn part<'a>(parts: &'a [(String, String)], name: &str) -> &'a str {
    let found = parts.iter().find(|(path, _)| path == name);
    found.map_or_else(
        || panic!("{name} is not in {:?}", parts.iter().map(|part| &part.0).collect::<Vec<_>>()),
        |part| &part.1,
    )
}

fn bundle(site: &Site) {
    // Something that must be taken out, where a person would have put it.
    let secret = token(site);
    kubectl(&["annotate", "service", "demo", "-n", &site.namespace, &format!("of/somebody={secret}")]);
    let parts = report_of(site, &[]);
    for (path, words) in [
        ("README.txt", "Could not be read:\n  nothing"),
        ("status.txt", "Running"),
        ("kvcluster.yaml", "kind: KVCluster"),
        ("objects/statefulsets.yaml", "kind: StatefulSet"),
        ("objects/pods.yaml", "name: demo-2"),
        ("objects/services.yaml", "of/somebody: [left out]"),
        ("objects/configmaps.yaml", "node.yaml"),
        ("objects/persistentvolumeclaims.yaml", "name: data-demo-0"),
        ("objects/poddisruptionbudgets.yaml", "kind: PodDisruptionBudget"),
        ("events.yaml", "kind: Event"),
        ("logs/demo-0.log", "serving"),
        ("nodes/demo-1.metrics.txt", "driftkv_"),
        ("nodes/layout.json", "demo-2"),
        ("nodes/faults.json", "long"),
        ("operator/deployments.yaml", "kind: Deployment"),
        ("versions.txt", "Kubernetes v"),
    ] {
        assert!(part(&parts, path).contains(words), "{words} is not in {path}:\n{}", part(&parts, path));
    }
    assert!(
        parts.iter().any(|(path, text)| path.starts_with("operator/") && path.ends_with(".log") && !text.is_empty())
    );
    nothing_secret(site, &parts);
    let size: usize = parts.iter().map(|(_, text)| text.len()).sum();
    report::say(format!("report: {} parts, {} KiB, no token, key or value in them", parts.len(), size / 1024));
}

fn nothing_secret(site: &Site, parts: &[(String, String)]) {
    for secret in [token(site).as_str(), VALUE, KEY] {
        let found = parts.iter().filter(|(_, text)| text.contains(secret)).map(|(path, _)| path).collect::<Vec<_>>();
        assert!(found.is_empty(), "{secret} is in {found:?}");
    }
}

/// Somebody who may see little gets what they may see, and is told what is missing.
fn bundle_with_few_rights(site: &Site) {
    let namespace = &site.namespace;
    apply(
        namespace,
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: looker}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: looker}\nrules:\n\
         - {apiGroups: [driftkv.io], resources: [kvclusters], verbs: [get, list]}\n\
         - {apiGroups: [''], resources: [pods, pods/log], verbs: [get, list]}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: looker}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: looker}\n\
         subjects: [{kind: ServiceAccount, name: looker}]\n",
    );
    let token = kubectl(&["create", "token", "looker", "-n", namespace]);
    let mut config: Value =
        serde_json::from_str(&kubectl(&["config", "view", "--minify", "--raw", "-o", "json"])).expect("a kubeconfig");
    config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).unwrap();
    let kubeconfig = file.path().display().to_string();
    let parts = report_of(site, &["--kubeconfig", &kubeconfig]);
    assert!(
        part(&parts, "objects/pods.yaml").contains("demo-0") && part(&parts, "logs/demo-0.log").contains("serving")
    );
    let readme = part(&parts, "README.txt");
    for missing in [
        "objects/statefulsets.yaml: list the statefulsets",
        "admin token",
        "nodes/demo-0.metrics.txt",
        "operator/deployments.yaml",
    ] {
        assert!(readme.contains(missing), "{missing} is not told of:\n{readme}");
    }
    nothing_secret(site, &parts);
    let (code, said) = plugin_with(site, &["chaos", "apply", "-f", "-", "--kubeconfig", &kubeconfig], DELAY);
    assert!(code == 1 && said.error.contains("not allowed"), "it may not annotate: {said:?}");
}
