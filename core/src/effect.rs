//! The table of contents of what a node can do: every input it takes and every effect it has.
//! Invariant: effects leave through `Node::run_batch` and `Node::synced`, which hold back what is not yet durable.

use bytes::Bytes;

use crate::causality::Payload;
use crate::id::{ClusterId, CommitNo, Incarnation, Key, PartitionId, RequestId};
use crate::layout::Layout;
use crate::message::{Class, Envelope};
use crate::time::Time;

/// Something that happened to the node.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Input {
    /// A client asks; `token` comes back in the reply. `at`: when it arrived.
    Client { token: u64, at: Time, request: Request },
    /// A peer says something. `at`: when it arrived.
    Peer { from: Incarnation, at: Time, envelope: Envelope },
    /// A stream to this peer is open; its handshake said boot and synced commit.
    LinkUp { peer: Incarnation, boot: u32, synced: CommitNo },
    /// The stream to this peer is gone.
    LinkDown { peer: Incarnation },
    /// An operator asks; `token` comes back.
    Admin { token: u64, request: AdminRequest },
    /// Time passed.
    Tick,
}

/// What a client asks for. Zero quorums and timeouts mean the cluster's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Reads one key.
    Get(Get),
    /// Writes one value or tombstone.
    Put(Put),
}

impl Request {
    /// What it says of its time; 0: the cluster's default.
    pub(crate) fn timeout_ms(&self) -> u32 {
        match self {
            Request::Get(get) => get.timeout_ms,
            Request::Put(put) => put.timeout_ms,
        }
    }
}

/// A read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Which key.
    pub key: Key,
    /// Asks a majority of primaries and repairs before it answers.
    pub is_monotonic: bool,
    /// Replicas that must answer.
    pub r: u32,
    /// Remaining time in milliseconds.
    pub timeout_ms: u32,
}

/// What a put does with what is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Intent {
    /// Replaces what the context covers.
    WithContext,
    /// Replaces nothing.
    AddSibling,
    /// Refused if a live value is seen; replaces tombstones.
    CreateOnly,
    /// Replaces all that R replicas show.
    OverwriteAll,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Which key.
    pub key: Key,
    /// `None`: a tombstone.
    pub value: Option<Bytes>,
    /// The token of an earlier answer; empty: none.
    pub context: Bytes,
    /// What it does with what is there.
    pub intent: Intent,
    /// The same over all retries.
    pub request: RequestId,
    /// The same request was sent before and its outcome is unknown.
    pub is_retry: bool,
    /// Replicas to read, for the intents that read.
    pub r: u32,
    /// Replicas that must have it on disk.
    pub w: u32,
    /// Remaining time in milliseconds.
    pub timeout_ms: u32,
}

/// How many distinct nodes took part when the answer was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Achieved {
    /// Owners of the key.
    pub primaries: u32,
    /// Stand-ins.
    pub fallbacks: u32,
    /// Enough primaries alone.
    pub is_strict: bool,
}

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a get.
    Get {
        /// Live values, with the put that wrote each.
        siblings: Vec<Payload>,
        /// Token that covers all of it; empty: the key was never written.
        context: Bytes,
        /// Who took part.
        achieved: Achieved,
    },
    /// To a put.
    Put {
        /// Covers this write; empty when there are siblings that the client has not seen.
        context: Bytes,
        /// Live siblings at the coordinator.
        siblings: u32,
        /// Who took part.
        achieved: Achieved,
        /// An earlier attempt had already been applied.
        was_applied: bool,
    },
}

impl Reply {
    /// Who took part.
    pub fn achieved(&self) -> Achieved {
        match self {
            Reply::Get { achieved, .. } | Reply::Put { achieved, .. } => *achieved,
        }
    }
}

/// Why a request failed. No variant but those with `maybe_applied` can have changed anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Failure {
    #[error("quorum not reached: needed {needed} replicas, got {} ({primaries} primaries, {fallbacks} fallbacks)", primaries + fallbacks)]
    QuorumNotReached { needed: u32, primaries: u32, fallbacks: u32, maybe_applied: bool },
    #[error("deadline exceeded: needed {needed} replicas, got {} in time ({primaries} primaries, {fallbacks} fallbacks)", primaries + fallbacks)]
    DeadlineExceeded { needed: u32, primaries: u32, fallbacks: u32, maybe_applied: bool },
    #[error(
        "overloaded: {in_flight} requests are in flight on this node, too many to take another; try again later or another node"
    )]
    Overloaded { in_flight: u32 },
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{what} has {bytes} bytes; this cluster takes at most {bytes_max}")]
    TooLarge { what: String, bytes: u64, bytes_max: u64 },
    #[error("bad context: {0}; read the key again and use the context of that answer")]
    BadContext(String),
    #[error(
        "the key has {siblings} siblings, the most this cluster takes ({siblings_max}), and this put covers none; read the key and put with its context"
    )]
    TooManySiblings { siblings: u32, siblings_max: u32 },
    #[error("the key already has a live value ({siblings} siblings); create_only refuses")]
    AlreadyExists { siblings: u32 },
    #[error("this node is not ready: {0}")]
    NotReady(String),
    #[error("forwarded to a node that is not on the key's preference list")]
    NotResponsible,
    #[error("this node is stopping")]
    ShuttingDown { maybe_applied: bool },
}

/// What operators ask.
#[derive(Clone, Debug)]
pub enum AdminRequest {
    /// Adopt version 1.
    Bootstrap(Layout),
    /// Show the layout.
    GetLayout,
    /// Show the state of this node.
    Status,
    /// Digest of one partition as stored here.
    Digest(PartitionId),
    /// Digests of all partitions this node owns.
    Digests,
    /// What this node itself stores of some keys.
    Peek(Vec<Key>),
}

/// What a node stores of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peeked {
    /// It owns the key; of a key that it does not own it tells nothing, hints neither.
    pub is_owned: bool,
    /// It has a record of it, of values or of deletes.
    pub is_known: bool,
    /// Its live siblings.
    pub values: Vec<Bytes>,
}

/// What a node holds of a partition it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDigest {
    /// Which.
    pub partition: PartitionId,
    /// The root of its hash tree; 0 while that is not built.
    pub root: u64,
    /// Keys in the tree.
    pub keys: u64,
    /// The tree is that of the stored records.
    pub is_built: bool,
}

/// What this node knows of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PeerStatus {
    pub incarnation: Incarnation,
    pub name: String,
    pub is_connected: bool,
    pub is_reachable: bool,
    pub rumour: &'static str,
    pub missed_deadlines: u32,
    pub anti_entropy_rounds: u64,
    /// Its boot that this node knows of; 0: none yet.
    pub boot: u32,
}

/// The state of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Status {
    pub boot: u32,
    pub synced: CommitNo,
    pub cluster: Option<ClusterId>,
    pub layout_version: u64,
    pub state: &'static str,
    pub peers: Vec<PeerStatus>,
    /// `(target, hints, bytes)`.
    pub hints: Vec<(Incarnation, u64, u64)>,
    pub partitions_owned: u32,
    pub partitions_built: u32,
    /// Known or likely to differ from a co-owner's: compared next.
    pub partitions_dirty: u32,
    pub keys: u64,
    pub in_flight: u64,
    pub counters: Vec<(&'static str, u64)>,
}

/// Answers to operators.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum AdminReply {
    Bootstrapped {
        version: u64,
        hash: u128,
        was_adopted: bool,
    },
    Layout(Option<Layout>),
    Status(Box<Status>),
    Digest {
        root: u64,
        keys: u64,
        is_built: bool,
    },
    Digests(Vec<PartitionDigest>),
    /// In the order of the keys.
    Peeked(Vec<Peeked>),
    Refused(String),
}

/// For whom an operation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The client of this token.
    Client(u64),
    /// A node that does not own the key.
    Forwarded {
        /// Who.
        from: Incarnation,
        /// Its operation.
        op: u64,
    },
}

/// Something the driver has to do.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Effect {
    Reply {
        token: u64,
        outcome: Result<Reply, Failure>,
    },
    AdminReply {
        token: u64,
        reply: AdminReply,
    },
    Send {
        to: Incarnation,
        class: Class,
        envelope: Envelope,
    },
    Observe(Event),
    /// Messages of `op` serve `origin`. Only told if [`crate::node::Settings::is_traced`] asks for it.
    Runs {
        origin: Origin,
        op: u64,
    },
    /// The layout names these peers now: connect to them.
    Connect(Layout),
    /// This incarnation must not serve again; why.
    Halt(String),
}

/// What telemetry sees; counted by name and shown in `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Event {
    PeerUp(Incarnation),
    PeerDown(Incarnation),
    PeerSuspected(Incarnation),
    FencePassed,
    LayoutAdopted(u64),
    HintStored(Incarnation),
    HintDelivered(Incarnation),
    HintRefused(Incarnation),
    HintDropped(Incarnation),
    HintsDrained(Incarnation),
    ReadRepair(Incarnation),
    /// A get found at least one replica behind.
    StaleRead,
    AntiEntropyPush(Incarnation),
    DotCorrupt(PartitionId),
    TreeMismatch(PartitionId),
    Forwarded(Incarnation),
    MalformedMessage(Incarnation),
    FreshEpoch,
    RetryRecognised,
}

impl Event {
    /// The counter this event adds to.
    pub fn counter(&self) -> &'static str {
        match self {
            Event::PeerUp(_) => "peers_up",
            Event::PeerDown(_) => "peers_down",
            Event::PeerSuspected(_) => "peers_suspected",
            Event::FencePassed => "fences_passed",
            Event::LayoutAdopted(_) => "layouts_adopted",
            Event::HintStored(_) => "hints_stored",
            Event::HintDelivered(_) => "hints_delivered",
            Event::HintRefused(_) => "hints_refused",
            Event::HintDropped(_) => "hints_dropped",
            Event::HintsDrained(_) => "hints_drained",
            Event::ReadRepair(_) => "read_repairs",
            Event::StaleRead => "stale_reads",
            Event::AntiEntropyPush(_) => "anti_entropy_pushes",
            Event::DotCorrupt(_) => "dots_corrupt",
            Event::TreeMismatch(_) => "tree_mismatches",
            Event::Forwarded(_) => "puts_forwarded",
            Event::MalformedMessage(_) => "messages_malformed",
            Event::FreshEpoch => "fresh_epochs",
            Event::RetryRecognised => "retries_recognised",
        }
    }
}
