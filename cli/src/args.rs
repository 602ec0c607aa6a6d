//! The command line: every command, flag and word of `--help`.
//! Not here: what the commands do; where endpoints come from when no flag names them (`endpoints`).

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use driftkv_proto::v1::ReadMode;

use crate::error::EXIT_CODES;

pub mod lab;

pub use lab::{CheckArgs, LabCommand, LoadArgs};

/// A Dynamo-style key-value store: run a cluster on this machine, read and write, look inside, break it.
#[derive(Debug, Parser)]
#[command(name = "driftkv", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a KVCluster manifest as processes on this machine, until Ctrl-C
    ///
    /// Node i listens on 127.0.0.1, ports BASE+10*i to +3: client, peer, admin, metrics. A node that dies is started
    /// again on its data. The same data directory resumes where it stopped.
    Up(UpArgs),
    /// Make nodes that run and are empty one cluster; once
    ///
    /// Waits until all of them answer, gives them their layout, and waits until all serve. Names, zones, addresses and
    /// numbers are those that the nodes were started with. Said again it finishes what was cut off, and else does nothing.
    Bootstrap(BootstrapArgs),
    /// Read a key
    ///
    /// Into a pipe, a single value is written as it is, without a newline. `-o json` gives all siblings and their context;
    /// a value that is not text is `valueBase64` there instead of `value`.
    Get {
        #[command(flatten)]
        args: GetArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Write a key
    ///
    /// Without --context a put replaces nothing: beside a value that is there it becomes a sibling. Into a pipe, only
    /// the context of the write is written.
    Put {
        #[command(flatten)]
        args: PutArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a key
    ///
    /// With --context, what that context has seen; without, all that a read finds.
    Delete {
        #[command(flatten)]
        args: DeleteArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show every node, whether the replicas agree, hints owed, faults
    ///
    /// PARTITIONS: those whose hash tree is built, of those it owns. Whether replicas agree is found by comparing the digests of all owners
    /// now; a write that is under way looks like a difference.
    Status(StatusArgs),
    /// Draw who owns what; with KEY, its partition and its preference list
    Ring {
        #[command(flatten)]
        args: RingArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Inject faults into a cluster that allows them
    #[command(subcommand)]
    Chaos(ChaosCommand),
    /// Measure a cluster: load, and what it did
    #[command(subcommand)]
    Lab(LabCommand),
    /// Print what a shell needs to complete this command's words
    ///
    /// bash: `driftkv completions bash > /etc/bash_completion.d/driftkv`;
    /// zsh: `driftkv completions zsh > "${fpath[1]}/_driftkv"`;
    /// fish: `driftkv completions fish > ~/.config/fish/completions/driftkv.fish`.
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of this command and of all it can do
    ///
    /// `driftkv man ~/.local/share/man/man1`, then `man driftkv`.
    Man {
        /// A directory, made if absent; pages of that name in it are replaced
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Tell the whole story on five nodes of its own: write, cut, diverge, heal, resolve, kill, recover
    Demo,
}

/// Which cluster.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Connection {
    /// Client address of a node; repeatable [default: DRIFTKV_ENDPOINTS, else the cluster of --data]
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Which cluster")]
    pub endpoint: Vec<String>,
    /// Admin address of a node; repeatable [default: the client port + 2]
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Which cluster")]
    pub admin: Vec<String>,
    /// Data directory of a `driftkv up` on this machine [default: .driftkv; of `lab check`: none, and no cluster is asked]
    #[arg(long, value_name = "DIR", help_heading = "Which cluster", conflicts_with = "endpoint")]
    pub data: Option<PathBuf>,
    /// A file whose first line is the token of the admin ports [default: what DRIFTKV_ADMIN_TOKEN says, else none]
    #[arg(long, value_name = "FILE", help_heading = "Which cluster")]
    pub admin_token_file: Option<PathBuf>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON value.
    Json,
    /// The same as YAML.
    Yaml,
}

#[derive(Debug, ClapArgs)]
pub struct UpArgs {
    /// The manifest: one KVCluster
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where nodes keep their data and logs, made if absent [default: .driftkv]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The first port [default: 7400, or that of the data directory]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: Option<u16>,
}

#[derive(Debug, ClapArgs)]
pub struct BootstrapArgs {
    /// How long to wait for the nodes, such as 500ms or 2m
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "60s")]
    pub timeout: Duration,
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    #[command(flatten)]
    pub connection: Connection,
}

/// What get, put and delete share.
#[derive(Clone, Debug, ClapArgs)]
pub struct KeyArgs {
    /// The key
    pub key: String,
    /// The bucket it is in
    #[arg(short, long, default_value = driftkv_proto::BUCKET_DEFAULT)]
    pub bucket: String,
    /// Record the way of this request through the nodes; its trace id is told on stderr. They need --otlp-endpoint
    #[arg(long)]
    pub trace: bool,
    /// How long to try, other nodes included, such as 500ms or 2m [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub timeout: Option<Duration>,
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// The flag of a causal context, whatever it is called.
pub const CONTEXT_ID: &str = "causal-context";

/// What a write says of itself.
#[derive(Clone, Debug, ClapArgs)]
pub struct WriteArgs {
    /// Replicas that must have it on disk [default: the cluster's]
    #[arg(short, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub w: Option<u32>,
    /// Replicas that must answer first, for the intents that read [default: the cluster's]
    #[arg(short, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub r: Option<u32>,
    /// What was read before, as `get` or `put` printed it: what it has seen is replaced
    // Its id: the plugin has another word for it, since --context is kubectl's.
    #[arg(id = CONTEXT_ID, long = "context", value_name = "TOKEN",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub context: Option<String>,
    /// Repeats the write of that id, as a failed command printed it; if it was applied it is not applied again
    #[arg(long, value_name = "HEX")]
    pub request_id: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub struct GetArgs {
    #[command(flatten)]
    pub key: KeyArgs,
    /// Replicas that must answer [default: the cluster's]
    #[arg(short, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub r: Option<u32>,
    /// What the answer promises
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Mode {
    /// Answers as soon as R replicas did, and repairs afterwards
    #[default]
    Eventual,
    /// Never older than an earlier monotonic get: asks a majority and repairs before it answers
    Monotonic,
}

impl From<Mode> for ReadMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Eventual => Self::Eventual,
            Mode::Monotonic => Self::Monotonic,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub struct PutArgs {
    #[command(flatten)]
    pub key: KeyArgs,
    /// The value; `-` reads stdin. After `--` it may start with a hyphen
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub value: Option<String>,
    /// Read the value from a file
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub write: WriteArgs,
    /// What to do with what is already there
    #[arg(long, value_enum, default_value_t)]
    pub intent: PutIntent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PutIntent {
    /// Replaces what the context has seen
    #[default]
    WithContext,
    /// Replaces nothing
    AddSibling,
    /// Refused if R replicas show a value; two such puts at the same time may both succeed
    CreateOnly,
    /// Reads R replicas and replaces all that they show
    OverwriteAll,
}

#[derive(Debug, ClapArgs)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub key: KeyArgs,
    #[command(flatten)]
    pub write: WriteArgs,
    /// What to delete [default: with-context if there is one, else overwrite-all]
    #[arg(long, value_enum)]
    pub intent: Option<DeleteIntent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeleteIntent {
    /// What the context has seen
    WithContext,
    /// All that R replicas show
    OverwriteAll,
}

#[derive(Debug, ClapArgs)]
pub struct StatusArgs {
    /// Show it again and again until Ctrl-C; on a terminal in place, as JSON one line each [default interval: 1s]
    #[arg(short = 'W', long, value_name = "INTERVAL", value_parser = parse_time, num_args = 0..=1, require_equals = true,
          default_missing_value = "1s")]
    pub watch: Option<Duration>,
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, ClapArgs)]
pub struct RingArgs {
    /// Show where this key lives
    pub key: Option<String>,
    /// The bucket it is in
    #[arg(short, long, default_value = driftkv_proto::BUCKET_DEFAULT)]
    pub bucket: String,
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum ChaosCommand {
    /// Start an experiment on every node; it ends by itself
    Apply {
        /// The experiment (YAML); `-` reads stdin
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Begin it under this id instead of its own; a node begins an id once until it restarts
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show what is injected, and what it did
    Status {
        /// Ended experiments node by node too, not in one line
        #[arg(long)]
        all: bool,
        /// How to write the result
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        #[command(flatten)]
        connection: Connection,
    },
    /// End an experiment, or all
    Clear {
        /// Which [default: all]
        id: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

pub fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a whole number and one of ms, s, m, such as 500ms or 5s".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).ok_or_else(wrong)?;
    match u32::try_from(ms) {
        Ok(1..) => Ok(Duration::from_millis(ms)),
        _ => Err("a time is at least 1ms and at most 49 days".to_owned()),
    }
}

/// As `parse_time`; `0s` is none at all.
fn parse_patience(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { parse_time(text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Args, Command, parse_time};
    use clap::{CommandFactory, Parser};
    use std::time::Duration;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_put_takes_its_value_from_one_place() {
        let put = |words: &[&str]| Args::try_parse_from(["driftkv", "put", "k"].iter().chain(words));
        assert!(put(&[]).is_err());
        assert!(put(&["v", "-f", "file"]).is_err());
        for words in [["v", "-w=2"], ["-", "-w=1"], ["--", "-5"], ["-f", "file"]] {
            assert!(matches!(put(&words).unwrap().command, Command::Put { .. }), "{words:?}");
        }
    }

    #[test]
    fn times_carry_their_unit() {
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "ms", "0s", "-1s", "1.5s", "99999999999999s", "5000000000ms"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
