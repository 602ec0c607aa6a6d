//! The bugs that a proxy may have, each one that some store had or could have. Rare ones strike every n-th request only.

/// What a proxy does that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Acknowledges a put and does not pass it on.
    DropsPuts,
    /// Acknowledges a put and passes it on a little later.
    WritesLate,
    /// Acknowledges puts that are in memory only, and writes them when the key is next asked for; a crash loses the others.
    WritesInMemory,
    /// Passes a put on and says that it was refused and not applied.
    RefusesAndApplies,
    /// Passes a put on a second time, later, as one of its own: a retry whose request id was lost.
    AppliesTwice,
    /// Passes a put on without the context that it came with.
    LosesContexts,
    /// Replaces all that is there, whatever the client has seen of it: the coordinator merges its own context into every put.
    MergesContexts,
    /// Acknowledges a delete and does not pass it on.
    ForgetsDeletes,
    /// Writes a deleted value again a little later: a replica whose tombstone was collected too early.
    RevivesDeleted,
    /// A delete takes with it what its client has not seen.
    DeletesUnseen,
    /// Answers reads from a cache that no write invalidates.
    ReadsFromCache,
    /// Reads after a put are served from a view that does not have it yet.
    ReadsOtherView,
    /// Now and then a read is given what the one before the last was given.
    StepsBack,
    /// Shows one of several siblings, with the context of all.
    HidesSiblings,
    /// Gives out values with a context of an older version.
    GivesOldContexts,
    /// Answers with the value of another key.
    MixesUpKeys,
    /// Changes a byte of a value.
    FlipsBytes,
    /// Says that nothing is there: an owner that has lost the key answers for all.
    FindsNothing,
    /// Reads and writes one replica only and claims the quorums that were asked for; nothing is repaired before it is read.
    LowersQuorums,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 19] = [
        Bug::DropsPuts,
        Bug::WritesLate,
        Bug::WritesInMemory,
        Bug::RefusesAndApplies,
        Bug::AppliesTwice,
        Bug::LosesContexts,
        Bug::MergesContexts,
        Bug::ForgetsDeletes,
        Bug::RevivesDeleted,
        Bug::DeletesUnseen,
        Bug::ReadsFromCache,
        Bug::ReadsOtherView,
        Bug::StepsBack,
        Bug::HidesSiblings,
        Bug::GivesOldContexts,
        Bug::MixesUpKeys,
        Bug::FlipsBytes,
        Bug::FindsNothing,
        Bug::LowersQuorums,
    ];
}
