//! The flags of `driftkv lab`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use driftkv_lab::plan::{Distribution, Mix, Shape};

mod history;

use super::{Connection, Mode, Output, parse_patience, parse_time};

pub use history::{HistoryArgs, HistoryFormat, HistoryModel, JudgeArgs};

#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Send a planned load and measure what came of it
    ///
    /// Everything that is asked follows from the seed and is decided before the first request: the same flags and seed
    /// give the same operations. Without --rate the loop is closed: each worker sends its next operation when the last
    /// one has ended, which finds the throughput and hides the waiting. With --rate operations leave when they are due,
    /// whether or not the cluster keeps up, and what they waited counts. docs/load.md explains the numbers.
    Load(Box<LoadArgs>),
    /// Run an experiment's file: clusters, load, faults, verdicts, and a folder with a report
    ///
    /// The file says what is asked, of which cluster, under which load, with which faults, how often, and what is expected; docs/experiments.md has
    /// its fields, `lab explain` says in words what would happen. Nodes are processes of this machine, or pods with --kubernetes; they are stopped, and their data deleted, at the end.
    /// Exit code 0: all that was expected and promised holds; 1: it does not; 2: inconclusive, such as a fault that nobody saw take effect; 64: bad input.
    Run(Box<RunArgs>),
    /// Say in words what an experiment's file would do, and how long it takes
    Explain(ExplainArgs),
    /// Draw the report of a folder again, from its report.json
    Report(ReportArgs),
    /// Compare the results of two runs of an experiment, with significance
    ///
    /// Eight headline metrics, or those of --metric: shares by their counts, all else by the ranks of its runs, with Holm's correction over all and a
    /// least effect; and what was expected and promised (docs/experiments.md). Exit code 0; 2 if there is no metric of --metric; with --fail-on
    /// regression 1 if something became worse for certain, or held and is violated, 2 if nothing could be decided, or the two did not do the same;
    /// 64: bad input.
    Compare(CompareArgs),
    /// What the pod of a run on Kubernetes does
    #[cfg(feature = "kubectl")]
    #[command(hide = true)]
    Job(JobArgs),
    /// Write a directory to standard output, as a compressed archive
    #[cfg(feature = "kubectl")]
    #[command(hide = true)]
    Pack(PackArgs),
    /// Judge what runs saw; with a cluster, say whether any acknowledged write is lost
    ///
    /// Without a cluster it judges the runs by their histories alone: are reads stale, how old and how many versions behind; do sessions keep
    /// their guarantees; is it linearizable, and how far from it. Exit code 0: what the run's quorums and read mode promise (or --expect) holds;
    /// 1: it does not; 2: nobody knows; 64: bad input. docs/verdicts.md says what is promised.
    ///
    /// With a cluster (--endpoint, --data or DRIFTKV_ENDPOINTS) it reads every key of the runs' histories at the cluster's read quorum (or -r). An acknowledged write may be absent only where a write that
    /// had seen it, or a delete, took its place. Exit code 1 if one is lost, or a refused or damaged value is there.
    ///
    /// With --format it judges a history that any tool recorded instead, and asks no cluster: is it linearizable? Exit code 0: it is; 1: it is
    /// not; 2: nobody knows, since the budget was used up; 64: bad input. docs/verdicts.md explains formats and models.
    Check(Box<CheckArgs>),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The experiment, such as examples/experiments/partition.yaml
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub file: Option<PathBuf>,
    /// Where the report and everything behind it goes: a new directory [default: lab-runs/NAME-TIME]
    #[arg(short = 'o', long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Go on with a folder that was interrupted: runs that are over are left out
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// The short form that the file has under `quick`
    #[arg(long, conflicts_with = "resume")]
    pub quick: bool,
    /// Runs of each cell, in place of the file's
    #[arg(long, value_name = "COUNT", conflicts_with = "resume", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: Option<u32>,
    /// Everything random follows from it, in place of the file's
    #[arg(long, conflicts_with = "resume")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Where the cluster is; what is not said is as in the file.
#[derive(Debug, Args)]
#[command(next_help_heading = "On Kubernetes")]
pub struct PlaceArgs {
    /// Run it on the Kubernetes of the kubeconfig, as `cluster.kubernetes` of the file does: a KVCluster is made for it, and each run is a Job
    #[arg(long, conflicts_with = "resume")]
    pub kubernetes: bool,
    /// On this KVCluster, which is there, in place of one of its own
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    pub cluster: Option<String>,
    /// In this namespace [default: that of the context]
    #[arg(short, long, value_name = "NAMESPACE", requires = "kubernetes")]
    pub namespace: Option<String>,
    /// By this context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "CONTEXT", requires = "kubernetes")]
    pub context: Option<String>,
}

/// One run of one cell, in a pod.
#[cfg(feature = "kubectl")]
#[derive(Debug, Args)]
pub struct JobArgs {
    /// The experiment, resolved
    #[arg(long)]
    pub spec: PathBuf,
    /// The cell
    #[arg(long)]
    pub cell: String,
    /// Of the run's plan and its faults
    #[arg(long)]
    pub seed: u64,
    /// Names the run
    #[arg(long)]
    pub run: u64,
    /// The KVCluster, in the pod's namespace
    #[arg(long)]
    pub cluster: String,
    /// Where the run's files go
    #[arg(long)]
    pub out: PathBuf,
}

/// A directory to send.
#[cfg(feature = "kubectl")]
#[derive(Debug, Args)]
pub struct PackArgs {
    /// Which
    pub directory: PathBuf,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The experiment
    pub file: PathBuf,
    /// Its short form
    #[arg(long)]
    pub quick: bool,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A folder that `lab run` made
    pub folder: PathBuf,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The folder (or its results.json) that is compared with: the baseline
    pub before: PathBuf,
    /// The folder (or its results.json) that is judged
    pub after: PathBuf,
    /// Metrics whose names begin so, in place of the headlines; repeatable. The fewer, the fewer runs are needed to decide
    #[arg(long, value_name = "NAME")]
    pub metric: Vec<String>,
    /// When to fail
    #[arg(long, value_enum)]
    pub fail_on: Option<FailOn>,
    /// How to write the comparison
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// When a comparison fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Something became worse.
    Regression,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Directories that `lab load --out` made; with --format, one file, or - for stdin
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Replicas that must answer each read [default: the cluster's]
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub r: Option<u32>,
    /// How long a key may take to be read, all attempts together [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub timeout: Option<Duration>,
    /// How long writes that are missing at first may take to show, before they are called lost; 0s: each key is read once [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_patience)]
    pub settle: Option<Duration>,
    /// How to write the verdict
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    #[command(flatten)]
    pub history: HistoryArgs,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(flatten)]
    pub ask: AskArgs,
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Run a saved plan, such as plan.json of an earlier run, instead of one from flags
    #[arg(long, value_name = "FILE", help_heading = "What is asked", conflicts_with_all = ["AskArgs", "PaceArgs"])]
    pub plan: Option<PathBuf>,
    /// Print the operations, one JSON object a line, and send nothing; for 3 nodes if there is no cluster
    #[arg(long, help_heading = "What is asked")]
    pub print_plan: bool,
    #[command(flatten)]
    pub request: RequestArgs,
    /// Start this experiment on every node during the run; it is ended with the run at the latest
    #[arg(long, value_name = "FILE", help_heading = "What goes wrong")]
    pub chaos: Option<PathBuf>,
    /// How long after the run's start
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "chaos", default_value = "5s")]
    #[arg(help_heading = "What goes wrong")]
    pub chaos_at: Duration,
    /// Keep plan, history, histograms and results in this directory, which must not be there yet
    #[arg(long, value_name = "DIR", help_heading = "What is kept")]
    pub out: Option<PathBuf>,
    /// How to write the results
    #[arg(short, long, value_enum, default_value_t, help_heading = "What is kept")]
    pub output: Output,
    #[command(flatten)]
    pub connection: Connection,
}

/// The workload of a plan.
#[derive(Debug, Args)]
#[group(id = "AskArgs", multiple = true)]
#[command(next_help_heading = "What is asked")]
pub struct AskArgs {
    /// Everything random follows from it [default: a random one, which is told]
    #[arg(long)]
    pub seed: Option<u64>,
    /// The bucket of all keys [default: lab]
    #[arg(short, long)]
    pub bucket: Option<String>,
    /// Number of keys [default: 100000]
    #[arg(long, value_name = "COUNT")]
    pub keys: Option<u64>,
    // No doc comment: rustdoc would take the brackets for links.
    #[arg(
        long,
        value_name = "LAW",
        help = "Which keys: uniform, zipf[:THETA], zipf-clustered[:THETA], hotspot[:KEYS:OPS], latest[:THETA], \
                recency[:DEPTH:THETA:REUSE], clustered[:SPAN:RUN], spread or sequential [default: uniform]"
    )]
    pub distribution: Option<Distribution>,
    /// Shares of get, put, delete and rmw (read-modify-write), or a, b, c, d, f of YCSB [default: get=50,put=50]
    #[arg(long, value_name = "SHARES")]
    pub mix: Option<Mix>,
    /// Size of a value; it names its write, which needs 56 bytes [default: 1024]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=16 * 1024 * 1024))]
    pub value_bytes: Option<u32>,
    /// What puts do with what is there [default: context]
    #[arg(long, value_enum)]
    pub writes: Option<Writes>,
    /// Every key belongs to one worker, so that no two write the same
    #[arg(long)]
    pub own_keys: bool,
    /// Independent streams of operations; in a closed loop, operations under way at a time [default: 64]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub workers: Option<u32>,
    /// Client sessions, which carry contexts [default: one a worker]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: Option<u32>,
    /// Which node an operation goes to [default: sticky]
    #[arg(long, value_enum)]
    pub routing: Option<Routing>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Writes {
    /// Replace what the session has seen of the key, else all that a read finds
    Context,
    /// Replace all that a read finds
    Overwrite,
    /// Replace nothing: every put adds a sibling
    Blind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Routing {
    /// Each worker keeps to one node
    Sticky,
    /// Each operation goes to a node drawn by the plan
    Random,
}

/// The pace of a plan.
#[derive(Debug, Args)]
#[group(id = "PaceArgs", multiple = true)]
#[command(next_help_heading = "When it is asked")]
pub struct PaceArgs {
    /// Operations a second, whether or not the cluster keeps up: an open loop
    #[arg(long, value_name = "RATE")]
    pub rate: Option<f64>,
    /// constant, poisson, burst:SIZE (at --rate), ramp:FROM:TO or step:FROM:TO:STEPS (rates of their own) [default: constant]
    #[arg(long, value_name = "SHAPE")]
    pub arrivals: Option<Shape>,
    /// How long [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<Duration>,
    /// How many operations, in a closed loop
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["rate", "arrivals", "duration", "in_flight"])]
    pub ops: Option<u64>,
    /// Operations under way at a time, in an open loop; more wait, and their waiting counts [default: 1000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    pub in_flight: Option<u32>,
}

/// How each request is made; what is not said is as in the saved plan, if there is one.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it is asked")]
pub struct RequestArgs {
    /// What gets promise [default: eventual]
    #[arg(long, value_enum)]
    pub read_mode: Option<Mode>,
    /// Replicas that must answer a get [default: the cluster's]
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub r: Option<u32>,
    /// Replicas that must have a write on disk [default: the cluster's]
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub w: Option<u32>,
    /// How long an operation may take from the moment it is sent [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub timeout: Option<Duration>,
    /// Try an operation that failed again, with the same id at the next node, until that long after it was first sent [default: never]
    ///
    /// As a client does that has a deadline of its own; --timeout is then that of each attempt. First attempts that failed are told.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub retry: Option<Duration>,
    /// Streams to each node [default: 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections: Option<u32>,
}
