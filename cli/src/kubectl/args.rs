//! The command line of `kubectl driftkv`. What is asked of a cluster is asked as `driftkv` asks it; which one is said as kubectl says it.
//! Not here: what the commands do.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::args::{CONTEXT_ID, DeleteArgs, GetArgs, Output, PutArgs, RingArgs, parse_time};
use crate::style::shell;

/// The end of `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed for another reason: no right to do it, an experiment refused or ended before its time
  2  wrong usage or bad input: flags, kubeconfig, context, an experiment that cannot be read, a value too large
  3  not found: no such KVCluster, or the key has no live value
  4  unavailable: the API server or the nodes do not answer, or too few for the quorum or the deadline
  5  conflict: the key already exists, has too many siblings, or (get into a pipe) has more than one; another experiment is
     under way, or this one was

Environment:
  KUBECONFIG  kubeconfig files, as for kubectl
  NO_COLOR    no colour, as when the output is not a terminal";

/// Look into the driftkv clusters of Kubernetes, read and write them.
#[derive(Debug, Parser)]
#[command(name = "kubectl-driftkv", bin_name = "kubectl driftkv", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Args {
    #[command(flatten)]
    pub which: Which,
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Which {
    /// The namespace [default: that of the context]
    #[arg(short, long, global = true, value_name = "NAMESPACE", help_heading = "Which cluster",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,
    /// The KVCluster [default: the only one of the namespace]
    #[arg(short, long, global = true, value_name = "NAME", help_heading = "Which cluster",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub cluster: Option<String>,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "CONTEXT", help_heading = "Which cluster",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Which cluster")]
    pub kubeconfig: Option<PathBuf>,
}

impl Which {
    /// The words that a command line for the same cluster begins with.
    pub fn words(&self) -> String {
        let file = self.kubeconfig.as_ref().map(|file| file.display().to_string());
        let flags =
            [("--kubeconfig", &file), ("--context", &self.context), ("-n", &self.namespace), ("-c", &self.cluster)];
        let given = flags.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", shell(value.as_ref()?))));
        given.fold("kubectl driftkv".to_owned(), |words, flag| words + &flag)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a cluster: conditions, zones, nodes, hints, chaos
    ///
    /// What the KVCluster's status and its pods say, and, by port-forwards, what the nodes say themselves.
    Status(StatusArgs),
    /// Draw who owns what; with KEY, its partition and its preference list
    Ring(RingArgs),
    /// Break a cluster on purpose, for a limited time, and follow what it does
    ///
    /// The annotation chaos.driftkv.io/experiment of the KVCluster asks the operator for it. It needs three consents: of the operator (chart:
    /// chaos.enabled=true), of the namespace (label chaos.driftkv.io/allowed=true), of the KVCluster (allowFaults: true).
    #[command(subcommand)]
    Chaos(ChaosCommand),
    /// Show the logs of all nodes in the order of time
    ///
    /// For people each line is its time, the node, and what the node said; `-o json` has the line as it was written.
    Logs(LogsArgs),
    /// Write a support bundle: objects, events, logs, metrics and answers of the nodes, in one archive
    ///
    /// Never in it: Secrets, the admin token, keys and values of the store; what is called secret is left out. Its README.txt says what is in it and what could not be read.
    Report(ReportArgs),
    /// Read a key
    Get(GetArgs),
    /// Write a key
    ///
    /// Without --causal-context a put replaces nothing: beside a value that is there it becomes a sibling.
    #[command(mut_arg(CONTEXT_ID, |arg| arg.long(CONTEXT_ID)))]
    Put(PutArgs),
    /// Delete a key
    ///
    /// With --causal-context, what that context has seen; without, all that a read finds.
    #[command(mut_arg(CONTEXT_ID, |arg| arg.long(CONTEXT_ID)))]
    Delete(DeleteArgs),
    /// Print what a shell needs to complete the words of `kubectl-driftkv`
    ///
    /// kubectl itself completes `kubectl driftkv` if a program `kubectl_complete-driftkv` is on the PATH:
    /// `kubectl driftkv completion kubectl > ~/.local/bin/kubectl_complete-driftkv`, and make it executable.
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages of this plugin
    Man {
        /// A directory, made if absent; pages of that name in it are replaced
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// What may come next on a command line, as kubectl asks it
    #[command(name = "__complete", hide = true)]
    Complete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<std::ffi::OsString>,
    },
}

/// Who completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    /// The script that kubectl looks for
    Kubectl,
}

#[derive(Debug, ClapArgs)]
pub struct StatusArgs {
    /// The KVCluster, as --cluster
    pub name: Option<String>,
    /// Show it again and again until Ctrl-C; on a terminal in place, as JSON one line each [default interval: 2s]
    #[arg(short = 'W', long, value_name = "INTERVAL", value_parser = parse_time, num_args = 0..=1, require_equals = true,
          default_missing_value = "2s")]
    pub watch: Option<Duration>,
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum ChaosCommand {
    /// Ask for an experiment, and follow it until it is over; Ctrl-C stops following, and ends nothing
    Apply(ApplyArgs),
    /// Show what was asked for last, and what came of it
    Status {
        /// How to write the result
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// End what is under way, and wait until every node has said so
    Clear,
}

#[derive(Debug, ClapArgs)]
pub struct ApplyArgs {
    /// The experiment (YAML, docs/faults.md); `-` reads stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Begin it under this id instead of its own; no id begins twice
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Ask for it, and leave
    #[arg(long)]
    pub no_follow: bool,
    /// How to write the end; its steps are told on stderr then
    #[arg(short, long, value_enum, default_value_t, conflicts_with = "no_follow")]
    pub output: Output,
}

/// Lines of each node unless something else is said.
pub const TAIL_DEFAULT: i64 = 100;

#[derive(Debug, ClapArgs)]
pub struct LogsArgs {
    /// Only these nodes [default: all]
    pub nodes: Vec<String>,
    /// Go on until Ctrl-C, also over restarts
    #[arg(short, long, conflicts_with = "previous")]
    pub follow: bool,
    /// The last lines of each node [default: 100, or all of --since]
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    pub tail: Option<i64>,
    /// Only what is younger, such as 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Duration>,
    /// Of the containers before their last restart
    #[arg(short, long)]
    pub previous: bool,
    /// `json`: one object a line with node, time and the line as it was written; `yaml` the same as documents
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, ClapArgs)]
pub struct ReportArgs {
    /// The archive [default: driftkv-NAMESPACE-CLUSTER-TIME.tar.gz here]; a file that is there is not overwritten
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where the operator is [default: every namespace, else driftkv-system and that of the cluster]
    #[arg(long, value_name = "NAMESPACE")]
    pub operator_namespace: Option<String>,
    /// How to write what was done
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use clap::{CommandFactory, Parser};

    use super::Args;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_context_of_kubectl_and_that_of_a_put_are_two() {
        let words = "put k v --causal-context AQID --context prod".split(' ');
        let args = Args::try_parse_from(["kubectl-driftkv"].into_iter().chain(words)).unwrap();
        assert_eq!(args.which.words(), "kubectl driftkv --context prod");
        let super::Command::Put(put) = args.command else { panic!("a put") };
        assert_eq!(put.write.context.as_deref(), Some("AQID"));
    }

    #[test]
    fn which_cluster_may_be_said_before_and_after_the_command() {
        for words in ["-n shop status -c demo", "status -n shop -c demo", "-n shop -c demo status"] {
            let args = Args::try_parse_from(["kubectl-driftkv"].into_iter().chain(words.split(' '))).unwrap();
            assert_eq!(args.which.words(), "kubectl driftkv -n shop -c demo");
        }
    }
}
