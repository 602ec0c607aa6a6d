//! `compose.yaml` without containers: its services as processes, each with an address of its own on loopback instead of a
//! name, and the ports, variables and words that the file gives them. What stays untried is the image and the container runtime.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use driftkv_tests::binaries;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Outcome;

const COMPOSE: &str = include_str!("../../../compose.yaml");

struct Service {
    program: PathBuf,
    words: Vec<String>,
    variables: Vec<(String, String)>,
}

struct Compose {
    services: Value,
    /// Three of the four numbers of every address.
    network: String,
    directory: TempDir,
    nodes: Vec<Child>,
}

impl Drop for Compose {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

impl Compose {
    fn read() -> Compose {
        static NETWORKS: AtomicU8 = AtomicU8::new(74);
        let file: Value = serde_saphyr::from_str(COMPOSE).unwrap();
        let network = format!("127.{}.{}", NETWORKS.fetch_add(1, Ordering::Relaxed), std::process::id() % 250);
        let services = file["services"].clone();
        Compose { services, network, directory: TempDir::new().unwrap(), nodes: Vec::new() }
    }

    /// The address that stands for the name of a node.
    fn address(&self, name: &str) -> String {
        let index: u8 = name.strip_prefix('n').unwrap().parse().unwrap();
        format!("{}.{}", self.network, index + 1)
    }

    fn service(&self, name: &str) -> Service {
        let service = &self.services[name];
        // The image's own entry point is the node.
        let entrypoint = texts(&service["entrypoint"]).pop().unwrap_or_else(|| "driftkv-node".to_owned());
        let program = entrypoint.rsplit('/').next().unwrap();
        let variables = service["environment"].as_object().unwrap().iter();
        Service {
            program: binaries::program(program),
            words: texts(&service["command"]),
            variables: variables.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        }
    }

    fn start_nodes(&mut self) {
        for name in ["n0", "n1", "n2", "n3", "n4"] {
            let service = self.service(name);
            let log = std::fs::File::create(self.directory.path().join(format!("{name}.log"))).unwrap();
            let mut command = Command::new(&service.program);
            command.args(&service.words).envs(service.variables).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            command.env("DRIFTKV_DATA", self.directory.path().join(name));
            for (what, port) in [("CLIENT", 7400), ("PEER", 7401), ("ADMIN", 7402), ("METRICS", 7403)] {
                command.env(format!("DRIFTKV_LISTEN_{what}"), format!("{}:{port}", self.address(name)));
            }
            self.nodes.push(command.spawn().unwrap());
        }
    }

    /// Runs the service `name` with its own words, or with `words` instead, as `docker compose run` does.
    fn run(&self, name: &str, words: &[&str]) -> Outcome {
        let mut service = self.service(name);
        if !words.is_empty() {
            service.words = words.iter().map(|word| (*word).to_owned()).collect();
        }
        for (_, value) in &mut service.variables {
            *value = value.split(',').map(|name| self.address(name)).collect::<Vec<_>>().join(",");
        }
        let output = Command::new(&service.program)
            .args(&service.words)
            .envs(service.variables)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Outcome { code: output.status.code().unwrap_or(-1), stdout: output.stdout, stderr }
    }
}

#[test]
fn the_compose_file_makes_five_nodes_one_cluster_and_says_so_again() {
    let mut compose = Compose::read();
    compose.start_nodes();
    let outcome = compose.run("bootstrap", &[]).ended(0);
    assert!(
        outcome.text().contains("5 nodes, N=3, 256 partitions: all nodes serve; new cluster"),
        "{}",
        outcome.text()
    );
    let outcome = compose.run("bootstrap", &[]).ended(0);
    assert!(outcome.text().contains("as before"), "{}", outcome.text());
    compose.run("cli", &["put", "greeting", "hello"]).ended(0);
    assert_eq!(compose.run("cli", &["get", "greeting"]).ended(0).text(), "hello");
    let status = compose.run("cli", &["status"]).ended(0);
    (0..5).for_each(|n| assert!(status.text().contains(&format!("n{n}")), "{}", status.text()));
    assert!(compose.run("cli", &[]).ended(0).text().contains("Usage: driftkv"));
}

#[test]
fn a_bootstrap_of_too_few_or_silent_nodes_does_nothing() {
    let mut compose = Compose::read();
    let silent = compose.run("cli", &["bootstrap", "--timeout", "1s"]).ended(4);
    silent.told(&["waited 1 s in vain until it answers"]);
    compose.start_nodes();
    let few = [compose.address("n0"), compose.address("n1")];
    let words = ["bootstrap", "--timeout", "60s", "--endpoint", &few[0], "--endpoint", &few[1]];
    compose.run("cli", &words).ended(2).told(&["2 nodes named, but they were started for a cluster of 5"]);
    let twice = ["bootstrap", "--endpoint", &few[0], "--endpoint", &few[0]];
    compose.run("cli", &twice).ended(2).told(&["are the same node", "Name each node once"]);
}
