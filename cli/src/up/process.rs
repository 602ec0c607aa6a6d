//! One `driftkv-node` process: found, started, ended.
//! It has a process group of its own, so that Ctrl-C reaches it through us, in order; and it is killed if we let go of it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::plan::NodePlan;
use crate::error::Failure;

const PROGRAM: &str = "driftkv-node";
/// Exit codes of `driftkv-node` after which the same start ends the same: a wrong configuration, a disk rolled back.
const FINAL_CODES: [i32; 2] = [2, 3];
/// Variables of the node's own that a person may well set for all nodes.
const LOG_VARIABLES: &str = "DRIFTKV_LOG_";
/// What a process ends itself with that may not run on: a failed disk, an injected crash.
const ABORT: i32 = 6;
const LOG_LINES_SHOWN: usize = 12;
const LOG_BYTES_READ: u64 = 16 * 1024;

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

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// In words.
    pub how: String,
    /// Starting it again would end the same.
    pub is_final: bool,
    /// By somebody else's signal: it had no say. A node that aborts has said why, be it an injected fault.
    pub is_killed: bool,
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
        let mut command = Command::new(program);
        foreign_variables().for_each(|name| {
            command.env_remove(name);
        });
        let child = command
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
    pub async fn ended(&mut self) -> End {
        match self.child.wait().await {
            Ok(status) => End::of(status),
            Err(error) => End { how: error.to_string(), is_final: false, is_killed: false },
        }
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<End> {
        self.child.try_wait().ok().flatten().map(End::of)
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

impl End {
    fn of(status: ExitStatus) -> Self {
        let how = match (status.code(), status.signal()) {
            (Some(3), _) => "exit code 3: its disk was rolled back and must not serve".to_owned(),
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(ABORT)) => "it aborted, signal 6".to_owned(),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => status.to_string(),
        };
        let is_final = status.code().is_some_and(|code| FINAL_CODES.contains(&code));
        Self { how, is_final, is_killed: status.signal().is_some_and(|signal| signal != ABORT) }
    }
}

/// Variables that would configure a node beside its command line: they are meant for another one.
fn foreign_variables() -> impl Iterator<Item = OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| {
        name.to_str().is_some_and(|name| name.starts_with("DRIFTKV_") && !name.starts_with(LOG_VARIABLES))
    })
}

/// The end of a node's log, indented.
pub fn log_tail(log: &Path) -> String {
    let bytes = last_bytes(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().rev().take(LOG_LINES_SHOWN).collect();
    let lines = lines.into_iter().rev().map(|line| format!("  | {}\n", crate::style::one_line(line)));
    lines.collect::<String>() + &format!("The whole log: {}", log.display())
}

/// The last line of a node's log, which after an exit code says why; empty if there is none.
pub fn last_line(log: &Path) -> String {
    let bytes = last_bytes(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().next_back().map(crate::style::one_line).unwrap_or_default()
}

fn last_bytes(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(LOG_BYTES_READ);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_READ).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{End, LOG_LINES_SHOWN, last_line, log_tail};
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn a_node_is_not_started_again_where_that_cannot_help() {
        let end = |raw| End::of(ExitStatus::from_raw(raw));
        assert_eq!(end(9), End { how: "killed by signal 9".to_owned(), is_final: false, is_killed: true });
        assert_eq!(end(1 << 8), End { how: "exit code 1".to_owned(), is_final: false, is_killed: false });
        assert_eq!(end(6), End { how: "it aborted, signal 6".to_owned(), is_final: false, is_killed: false });
        assert!(end(2 << 8).is_final);
        assert!(end(3 << 8).is_final && end(3 << 8).how.contains("rolled back"));
    }

    #[test]
    fn the_end_of_a_long_log_is_shown_and_its_place_told() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (0..5000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(log.path(), lines).unwrap();
        let tail = log_tail(log.path());
        assert_eq!(tail.lines().count(), LOG_LINES_SHOWN + 1);
        assert_eq!(last_line(log.path()), "line 4999");
        assert!(tail.contains("  | line 4999\n") && tail.ends_with(&log.path().display().to_string()), "{tail}");
    }
}
