//! What may come next on a command line, in the words that kubectl reads: candidates with their help, then a directive.
//! kubectl runs `kubectl_complete-driftkv WORDS...`, which comes here; the last word is the one that is being typed.
//! Not here: which words there are (`args`); names of clusters and keys are not completed, since a keypress should not call a server.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::CommandFactory;

use super::args::Args;
use crate::error::Failure;
use crate::style;

/// Of cobra, kubectl's library: offer nothing of the directory's files beside these.
const NO_FILES: &str = ":4";
/// The same: the shell completes files.
const FILES: &str = ":0";

/// Prints what may come after `words`.
pub fn run(words: Vec<OsString>) -> Result<(), Failure> {
    style::print(answer(words)?)
}

fn answer(words: Vec<OsString>) -> Result<String, Failure> {
    let mut line = vec![OsString::from("kubectl-driftkv")];
    line.extend(words);
    let last = line.len() - 1;
    let found = clap_complete::engine::complete(&mut Args::command(), line, last, None);
    let found = found.map_err(|error| Failure::failed(format!("completion: {error}")))?;
    let mut out = String::new();
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default();
        let _ = writeln!(out, "{}\t{help}", candidate.get_value().display());
    }
    Ok(out.clone() + if out.is_empty() { FILES } else { NO_FILES } + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::answer;

    fn after(words: &[&str]) -> String {
        answer(words.iter().map(Into::into).collect()).unwrap()
    }

    #[test]
    fn commands_flags_and_values_are_offered_as_kubectl_reads_them() {
        let commands = after(&["st"]);
        assert_eq!(commands, "status\tShow a cluster: conditions, zones, nodes, hints, chaos\n:4\n");
        assert!(after(&["status", "--wa"]).starts_with("--watch"), "{}", after(&["status", "--wa"]));
        assert!(after(&["status", "-o", "y"]).starts_with("yaml\t"), "{}", after(&["status", "-o", "y"]));
        assert!(after(&["completion", "ku"]).starts_with("kubectl\t"));
        assert!(!after(&[""]).contains("__complete"));
    }
}
