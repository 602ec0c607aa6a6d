//! The flags with which `driftkv lab check` judges histories, its own and those of other tools, without a cluster.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use driftkv_lab::offline::Property;

use crate::args::parse_time;

#[derive(Debug, Args)]
#[command(next_help_heading = "A history of another tool")]
pub struct HistoryArgs {
    /// How the file is written; then no cluster is asked
    #[arg(long, value_enum, requires = "model", conflicts_with_all = ["r", "timeout", "settle"])]
    pub format: Option<HistoryFormat>,
    /// What each key is
    #[arg(long, value_enum, requires = "format")]
    pub model: Option<HistoryModel>,
    /// What each key held at first, written as in the file [default: nothing]
    #[arg(long, value_name = "VALUE", requires = "format", allow_hyphen_values = true)]
    pub initial: Option<String>,
    #[command(flatten)]
    pub judges: JudgeArgs,
}

/// What judges may use, and what must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "How histories are judged")]
pub struct JudgeArgs {
    /// What must hold for exit code 0 [default: what the run's quorums and read mode promise]
    #[arg(long, value_parser = property(), value_name = "PROPERTY", value_delimiter = ',')]
    #[arg(conflicts_with_all = ["format", "endpoint", "admin", "data"])]
    pub expect: Vec<Property>,
    /// How long the search may take, all keys together
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "60s")]
    pub budget: Duration,
    /// How much memory the search may take for what it remembers, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub budget_memory: u32,
    /// Search every key, also those that the faster test decides: a second opinion
    #[arg(long)]
    pub search_only: bool,
}

/// By their names in docs/verdicts.md.
fn property() -> impl TypedValueParser<Value = Property> {
    let possible = Property::ALL.map(|property| PossibleValue::new(property.name()).help(property.says()));
    let chosen =
        |name: String| Property::ALL.into_iter().find(|property| property.name() == name).ok_or("not a property");
    PossibleValuesParser::new(possible).try_map(chosen)
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum HistoryFormat {
    /// Jepsen's EDN: maps, in a vector or list or one after the other
    JepsenEdn,
    /// Jepsen's log: lines such as `INFO  jepsen.util - 3 :invoke :cas [1 2]`
    JepsenLog,
    /// Porcupine's key-value lines: `{:process 0, :type :invoke, :f :append, :key "3", :value "x"}`
    PorcupineKv,
    /// Porcupine's operations as JSON: ClientId, Input, Call, Output, Return
    PorcupineJson,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum HistoryModel {
    /// Reads and writes
    Register,
    /// Reads, writes, compare-and-set
    CasRegister,
    /// A text or a list that grows at its end
    Append,
    /// A set that grows
    Set,
}
