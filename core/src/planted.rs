//! Bugs that the simulator plants on purpose, to prove that each invariant can fail.
//! Without the `planted` feature `planted` is a constant `false` and the compiler removes every use.

/// One deliberate defect. The doc of each says which rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Effects leave before the commit they depend on is synced (the one loop).
    EffectBeforeSync,
    /// A put replicates its lone value in place of the whole state (Causality).
    LoneValue,
    /// A put on an absent key reuses epoch 0 of this boot (Causality).
    NoFreshEpochOnAbsentKey,
    /// `own_epoch` of an earlier boot stays valid after a crash (Causality).
    EpochSurvivesCrash,
    /// A hint is deleted on any acknowledgement, though it was overwritten in flight (Hints).
    HintDeletedUnchecked,
    /// One node's answers are counted each time they arrive (Quorum).
    AnswersCountedTwice,
    /// Read repair overwrites what the replica holds in place of merging (Read repair).
    RepairOverwrites,
    /// A node that is not on the preference list forwards a forwarded put again (Put).
    ForwardsTwice,
    /// Fallbacks are counted as primaries (Sloppy quorum).
    FallbackCountsAsPrimary,
    /// A `monotonic` read answers before its repair is acknowledged (Get).
    MonotonicSkipsRepair,
    /// A put covers every sibling the coordinator holds, seen by the client or not (Put).
    CoversUnseen,
    /// Merging keeps a dot whose floor the other side has raised (Causality).
    MergeForgetsFloor,
    /// Hints are never drained (Hints).
    HintsNeverDrain,
    /// Anti-entropy finds differences and sends nothing (Anti-entropy).
    AntiEntropySendsNothing,
    /// A retry's request id is not written with its dot (Put).
    RequestIdLost,
    /// A forward that the network doubled is run twice (Put).
    DoubledForwardRunsTwice,
    /// Operations never look at the clock (Deadlines).
    DeadlinesIgnored,
    /// A node announces a commit to its peers before it is synced (Identity, the rollback fence).
    AnnouncesUnsynced,
}

impl Bug {
    /// All of them, in order.
    pub const ALL: [Bug; 18] = [
        Bug::EffectBeforeSync,
        Bug::LoneValue,
        Bug::NoFreshEpochOnAbsentKey,
        Bug::EpochSurvivesCrash,
        Bug::HintDeletedUnchecked,
        Bug::AnswersCountedTwice,
        Bug::RepairOverwrites,
        Bug::ForwardsTwice,
        Bug::FallbackCountsAsPrimary,
        Bug::MonotonicSkipsRepair,
        Bug::CoversUnseen,
        Bug::MergeForgetsFloor,
        Bug::HintsNeverDrain,
        Bug::AntiEntropySendsNothing,
        Bug::RequestIdLost,
        Bug::DoubledForwardRunsTwice,
        Bug::DeadlinesIgnored,
        Bug::AnnouncesUnsynced,
    ];
}

#[cfg(feature = "planted")]
mod switch {
    use super::Bug;
    std::thread_local! {
        static ON: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
    }
    /// Plants `bug`, or none, in all nodes that this thread runs.
    pub fn plant(bug: Option<Bug>) {
        ON.set(bug);
    }
    /// Whether `bug` is planted.
    pub fn planted(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
mod switch {
    use super::Bug;
    /// Never: this build plants nothing.
    #[inline(always)]
    pub const fn planted(_: Bug) -> bool {
        false
    }
}

#[cfg(feature = "planted")]
pub use switch::plant;
pub use switch::planted;
