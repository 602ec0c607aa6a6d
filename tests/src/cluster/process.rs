//! One `driftkv-node` process of a test: its ports, its directory, its log.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Shape, free_address, node_binary};

/// How long a node may take to stop in order.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A node of a test's cluster, running or not.
pub struct NodeProcess {
    /// `n0`, `n1` …
    pub name: String,
    /// For clients.
    pub client: SocketAddr,
    /// For peers.
    pub peer: SocketAddr,
    /// Where the others are told to find it; `peer`, unless a test puts something in between.
    pub announced: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For metrics and HTTP health.
    pub metrics: SocketAddr,
    /// Its data directory.
    pub data: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    files_max: Option<u64>,
    child: Option<Child>,
}

impl NodeProcess {
    pub(super) fn new(home: &Path, index: usize, shape: &Shape) -> NodeProcess {
        let name = format!("n{index}");
        let [client, peer, admin, metrics] = std::array::from_fn(|_| free_address());
        let data = home.join(&name);
        let mut arguments = Vec::new();
        let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        flag("--name", name.clone());
        flag("--data", data.display().to_string());
        flag("--listen-client", client.to_string());
        flag("--listen-peer", peer.to_string());
        flag("--listen-admin", admin.to_string());
        flag("--listen-metrics", metrics.to_string());
        flag("--replicas", shape.nodes.to_string());
        flag("--partitions", shape.partitions.to_string());
        arguments.extend(shape.flags.iter().cloned());
        let log = home.join(format!("{name}.log"));
        NodeProcess {
            name,
            client,
            peer,
            announced: peer,
            admin,
            metrics,
            data,
            log,
            arguments,
            files_max: shape.files_max,
            child: None,
        }
    }

    /// Starts it on its directory.
    pub fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let errors: File = log.try_clone().expect("a second handle");
        let child = self
            .program()
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("the node starts");
        self.child = Some(child);
    }

    /// The node; through a shell, which it takes the place of, if its files are to be limited from its first moment on.
    fn program(&self) -> Command {
        let Some(files_max) = self.files_max else { return Command::new(node_binary()) };
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("ulimit -n {files_max}; exec \"$0\" \"$@\"")]).arg(node_binary());
        shell
    }

    /// Whether there is a process.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).expect("a running node")
    }

    /// Sends SIGKILL and does not wait for the end: `kill` does.
    pub fn strike(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = self.pid();
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().expect("kill runs");
        assert!(asked.success(), "{} could not be asked to stop", self.name);
        self.ended(STOP_MAX)
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        let child = self.child.as_mut().expect("a running node");
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not end in {limit:?}:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.name, self.log());
        }
    }
}
