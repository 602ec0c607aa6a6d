//! Runs the command, and keeps a cluster up.
//! Invariant: what a test starts ends with it, by process id, also when the test panics.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use driftkv_tests::binaries;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// For anything that should happen soon; generous, for machines that are busy.
pub const SOON: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Below the ports that systems lend, and apart from those of the demo.
const PORTS: std::ops::Range<u16> = 10_000..19_900;
const PORTS_PER_CLUSTER: u16 = 50;

/// What one run of the command did.
pub struct Outcome {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Outcome {
    /// Stdout as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Stdout as the one JSON value that it is.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Itself, if it ended with `code`.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        let out = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, code, "stdout: {out}\nstderr: {}", self.stderr);
        self
    }

    /// Itself, if stderr has all `parts`.
    #[track_caller]
    pub fn told(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
        self
    }
}

/// Runs the command in a directory without a cluster.
pub fn driftkv(words: &[&str]) -> Outcome {
    run(words, Path::new("/"), b"")
}

/// Runs the command with `input` as its stdin.
pub fn run(words: &[&str], directory: &Path, input: &[u8]) -> Outcome {
    let mut child = spawn(words, directory);
    // A command that does not read its stdin may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(input);
    finish(child, words)
}

fn spawn(words: &[&str], directory: &Path) -> Child {
    command(words, directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child, words: &[&str]) -> Outcome {
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let _ = sender.send(child.wait_with_output());
    });
    let output = receiver.recv_timeout(SOON).unwrap_or_else(|_| {
        signal(pid, Signal::KILL);
        panic!("driftkv {} did not end in {} s", words.join(" "), SOON.as_secs())
    });
    waiter.join().unwrap();
    let output = output.unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the command and interrupts it, as Ctrl-C does, as soon as `is_time`.
pub fn interrupted(words: &[&str], directory: &Path, is_time: impl Fn() -> bool) -> Outcome {
    let child = spawn(words, directory);
    let pid = child.id();
    let deadline = Instant::now() + SOON;
    while !is_time() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    signal(pid, Signal::INT);
    finish(child, words)
}

/// The command, to be started.
pub fn command(words: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(binaries::program("driftkv"));
    command.args(words).current_dir(directory).env_remove("DRIFTKV_ENDPOINTS");
    command
}

/// A first port from which on nobody listens.
pub fn free_base_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let blocks = (PORTS.end - PORTS.start) / PORTS_PER_CLUSTER;
    let first = (std::process::id() % u32::from(blocks)) as u16;
    for _ in 0..blocks {
        let block = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % blocks;
        let base = PORTS.start + block * PORTS_PER_CLUSTER;
        if (base..base + PORTS_PER_CLUSTER).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("no free ports");
}

/// A manifest of `replicas` nodes named t-0, t-1, … with `more` lines in its spec.
pub fn manifest(replicas: u32, more: &str) -> String {
    let head = "apiVersion: driftkv.io/v1alpha1\nkind: KVCluster\nmetadata:\n  name: t\nspec:\n";
    format!("{head}  replicas: {replicas}\n  partitions: 16\n  allowFaults: true\n{more}")
}

/// `driftkv up` in a directory of its own.
pub struct Up {
    pub directory: TempDir,
    pub base_port: u16,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Up {
    /// Starts a cluster of this manifest and waits until it serves.
    pub fn start(manifest: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cluster.yaml"), manifest).unwrap();
        Self::start_in(directory, free_base_port())
    }

    /// The same in a directory that has a `cluster.yaml`.
    pub fn start_in(directory: TempDir, base_port: u16) -> Self {
        let port = base_port.to_string();
        let mut child = command(&["up", "-f", "cluster.yaml", "--base-port", &port], directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        let up = Self { directory, base_port, child, lines };
        up.wait_for_line("Ctrl-C stops all nodes");
        up
    }

    /// Runs the command in the cluster's directory, where it finds the cluster by itself.
    pub fn driftkv(&self, words: &[&str]) -> Outcome {
        run(words, self.directory.path(), b"")
    }

    /// The same with `input` as its stdin.
    pub fn driftkv_reading(&self, words: &[&str], input: &[u8]) -> Outcome {
        run(words, self.directory.path(), input)
    }

    /// Runs the command and interrupts it, as Ctrl-C does, as soon as `is_time`.
    pub fn interrupted(&self, words: &[&str], is_time: impl Fn() -> bool) -> Outcome {
        interrupted(words, self.directory.path(), is_time)
    }

    /// What `up` has written so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line that has `part`.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str) -> String {
        wait_for(&format!("a line with `{part}`"), || {
            self.lines().into_iter().rev().find(|line| line.contains(part)).ok_or_else(|| self.lines().join("\n"))
        })
    }

    /// The process of a node, as `up` told it last.
    pub fn pid(&self, node: &str) -> u32 {
        let of_line = |line: &String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [name, "runs", "again,", "process", pid] if *name == node => pid.parse().ok(),
                [name, _client, _admin, _metrics, pid, _log] if *name == node => pid.parse().ok(),
                _ => None,
            }
        };
        self.lines().iter().rev().find_map(of_line).unwrap_or_else(|| panic!("{node} has no process"))
    }

    /// Ends a node without warning.
    pub fn kill(&self, node: &str) {
        signal(self.pid(node), Signal::KILL);
    }

    /// Stops the cluster as a person does it, and gives its directory back for the next start.
    pub fn stop(mut self) -> (i32, Vec<String>, TempDir) {
        signal(self.child.id(), Signal::INT);
        let code = self.wait_for_end().unwrap_or_else(|| panic!("it does not stop: {}", self.lines().join("\n")));
        wait_for("the last line", || {
            let lines = self.lines();
            lines.last().filter(|line| line.contains("stopped")).map(|_| ()).ok_or_else(|| lines.join("\n"))
        });
        let lines = self.lines();
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        (code, lines, directory)
    }

    fn wait_for_end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status.code().unwrap_or(-1));
            }
            std::thread::sleep(POLL);
        }
        None
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        signal(self.child.id(), Signal::TERM);
        if self.wait_for_end().is_none() {
            let _ = self.child.kill();
        }
    }
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// Asks until there is an answer; the last refusal is told if there is none in time.
#[track_caller]
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        match probe() {
            Ok(answer) => return answer,
            Err(why) if Instant::now() >= deadline => panic!("{what} did not come; at last: {why}"),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
