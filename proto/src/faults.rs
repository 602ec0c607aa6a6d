//! The fault vocabulary: one way to write an experiment, in an annotation, on the command line and in files.
//! Text becomes an `Experiment` whole or is refused with line and column, and then nothing is injected.
//! Invariants: parsing is pure, the same text has the same id, and every experiment ends by itself.
//! Not here: injecting (`node/src/faults.rs`), carrying it to nodes (`operator`, `cli`).

mod flow;
mod law;
mod link;
mod parse;
mod place;
mod quorum;
#[cfg(test)]
mod tests;
mod units;

pub use law::{DELAY_MS_MAX, Law};
pub use link::{Cut, EVERY_NODE, Links};
pub use parse::{ParseError, kinds};
pub use place::Places;
pub use quorum::Refusal;
pub use units::duration_ms;

/// The longest an experiment may last, in milliseconds.
pub const EXPERIMENT_MS_MAX: u64 = 3_600_000;

/// The largest text of an experiment, in bytes.
pub const EXPERIMENT_BYTES_MAX: usize = 64 * 1024;

/// The most a clock is moved by one fault, in milliseconds, either way.
pub const SKEW_MS_MAX: u64 = 3_600_000;

/// The most faults in one experiment.
pub const FAULTS_MAX: usize = 64;

/// Faults that are injected together, for a limited time.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Re-applying the same id does not restart it. Default: the hash of the text.
    pub id: String,
    /// How long, counted by the node that injects it.
    pub for_ms: u64,
    /// Of the generator that draws delays and losses.
    pub seed: u64,
    /// Whether more nodes may be disturbed than a quorum survives.
    pub allow_quorum_loss: bool,
    /// In the order written; at least one.
    pub faults: Vec<Fault>,
    /// Where they stand.
    pub places: Places,
}

/// Which messages are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DropRule {
    /// Each with this probability.
    Rate(f64),
    /// Every n-th of a link, 1 being all.
    EveryNth(u64),
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Messages arrive later.
    Delay {
        /// Where.
        links: Links,
        /// By how much.
        law: Law,
    },
    /// Messages are lost.
    Drop {
        /// Where.
        links: Links,
        /// Which.
        rule: DropRule,
    },
    /// Messages arrive twice.
    Duplicate {
        /// Where.
        links: Links,
        /// The probability of each.
        rate: f64,
    },
    /// Messages overtake each other.
    Reorder {
        /// Where.
        links: Links,
        /// The probability that one is held back.
        rate: f64,
        /// For how long at most.
        window_ms: u64,
    },
    /// Sides do not hear each other.
    Partition(Cut),
    /// A node's loop stands still, its connections stay open.
    Pause {
        /// Which.
        node: String,
        /// For how long.
        down_ms: u64,
        /// From start to start; `None`: once.
        every_ms: Option<u64>,
    },
    /// A node's process ends without warning, once.
    Crash {
        /// Which.
        node: String,
        /// How long after the experiment's start.
        after_ms: u64,
    },
    /// A node loses its data directory.
    Wipe {
        /// Which.
        node: String,
        /// How long after the experiment's start.
        after_ms: u64,
    },
    /// Each sync of a node's disk takes longer.
    SlowDisk {
        /// Which.
        node: String,
        /// By how much.
        law: Law,
    },
    /// A sync of a node's disk fails, which ends its process.
    DiskError {
        /// Which.
        node: String,
        /// The probability of each sync.
        rate: f64,
    },
    /// The clock that a node's timers and deadlines go by is wrong. It never runs back.
    ClockSkew {
        /// Which.
        node: String,
        /// Positive: it jumps ahead. Negative: it stands still for so long, and catches up at the end. Never 0.
        by_ms: i64,
    },
}

impl Experiment {
    /// Reads the YAML text of one experiment, block or one-line flow form.
    ///
    /// Errors: the first thing wrong, with its place and what is allowed there. Whether the nodes named exist is the business of
    /// [`Experiment::quorum_check`], which knows the members.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::experiment(text)
    }

    /// Why this version cannot inject the experiment although it is well written; `None`: it can.
    pub fn unsupported(&self) -> Option<ParseError> {
        let (index, fault) = self.faults.iter().enumerate().find(|(_, fault)| matches!(fault, Fault::Wipe { .. }))?;
        let why = "a wiped node must be replaced by a new one, and this version cannot replace nodes yet";
        let message = format!("kind {} is not supported: {why}: {}", fault.kind(), fault.to_flow());
        let (line, column) = self.places.kinds.get(index).copied().unwrap_or((1, 1));
        Some(ParseError { line, column, message })
    }
}

impl Fault {
    /// The kind, as written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::Drop { .. } => "drop",
            Self::Duplicate { .. } => "duplicate",
            Self::Reorder { .. } => "reorder",
            Self::Partition(_) => "partition",
            Self::Pause { .. } => "pause",
            Self::Crash { .. } => "crash",
            Self::Wipe { .. } => "wipe",
            Self::SlowDisk { .. } => "slow-disk",
            Self::DiskError { .. } => "disk-error",
            Self::ClockSkew { .. } => "clock-skew",
        }
    }

    /// Whether a message from node `from` to node `to` meets this fault. False for faults of a node.
    pub fn matches_link(&self, from: &str, to: &str) -> bool {
        match self {
            Self::Partition(cut) => cut.separates(from, to),
            _ => self.links().is_some_and(|links| links.contains(from, to)),
        }
    }

    /// Whether this is a fault of the node `name` itself. False for faults of links.
    pub fn matches_node(&self, name: &str) -> bool {
        self.node().is_some_and(|node| link::is_name(node, name))
    }

    /// Whether the node `name` has anything to do with this fault: its own, or one of some link to or from it.
    pub fn touches(&self, name: &str) -> bool {
        match self {
            Self::Partition(Cut::Groups(groups)) => link::group_index(groups, name).is_some(),
            _ => self.names().iter().any(|written| link::is_name(written, name)),
        }
    }

    fn links(&self) -> Option<&Links> {
        match self {
            Self::Delay { links, .. }
            | Self::Drop { links, .. }
            | Self::Duplicate { links, .. }
            | Self::Reorder { links, .. } => Some(links),
            _ => None,
        }
    }

    fn node(&self) -> Option<&str> {
        match self {
            Self::Pause { node, .. }
            | Self::Crash { node, .. }
            | Self::Wipe { node, .. }
            | Self::SlowDisk { node, .. }
            | Self::DiskError { node, .. }
            | Self::ClockSkew { node, .. } => Some(node),
            _ => None,
        }
    }

    /// Every node name as written, `*` included.
    fn names(&self) -> Vec<&str> {
        match self {
            Self::Partition(cut) => cut.names(),
            _ => self.links().map(Links::names).unwrap_or_default().into_iter().chain(self.node()).collect(),
        }
    }
}
