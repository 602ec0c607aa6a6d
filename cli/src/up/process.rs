//! One `driftkv-node` process: found, started, ended.
//! It has a process group of its own, so that Ctrl-C reaches it through us, in order; and it is killed if we let go of it.

use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::plan::NodePlan;
use crate::error::Failure;

const PROGRAM: &str = "driftkv-node";
const LOG_LINES_SHOWN: usize = 12;

/// The node binary beside this executable.
pub fn find_program() -> Result<PathBuf, Failure> {
    let me = std::env::current_exe().and_then(fs::canonicalize);
    let me = me.map_err(|error| Failure::failed(format!("cannot find this executable: {error}")))?;
    let program = me.with_file_name(PROGRAM);
    if program.is_file() {
        return Ok(program);
    }
    let hint = format!(
        "It is built along with this one: cargo build --bins, or install {PROGRAM} there. Nothing was started."
    );
    Err(Failure::failed(format!("{}: there is no {PROGRAM} beside this executable", program.display())).hint(hint))
}

/// A running node.
#[derive(Debug)]
pub struct NodeProcess {
    child: Child,
    pid: u32,
}

impl NodeProcess {
    /// Starts the node; its output is appended to its log.
    pub fn start(program: &Path, node: &NodePlan) -> Result<Self, Failure> {
        let io = |error| Failure::io(&node.log, &error);
        let log = OpenOptions::new().create(true).append(true).open(&node.log).map_err(io)?;
        let errors = log.try_clone().map_err(io)?;
        let child = Command::new(program)
            .args(&node.arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Failure::failed(format!("cannot start {} for {}: {error}", program.display(), node.name))
            })?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end. Nothing is lost if the wait is given up.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        }
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(describe)
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it without warning (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Order: only a child that was not waited for is signalled; afterwards its number may be somebody else's.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }
}

/// How a process ended, in words.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The end of a node's log, indented.
pub fn log_tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().rev().take(LOG_LINES_SHOWN).collect();
    let lines = lines.into_iter().rev().map(|line| format!("  | {}\n", crate::style::one_line(line)));
    lines.collect::<String>() + &format!("The whole log: {}", log.display())
}
