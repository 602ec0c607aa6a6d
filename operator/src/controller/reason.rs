//! Every reason that a condition or an event of a KVCluster may give: a closed set, so that alerts can be written on it.
//! Invariant: docs/operator.md lists each of them, and docs/troubleshooting.md has what to do; tests compare.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why something is so.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];
        }
    };
}

reasons! {
    /// All is as the spec says.
    AsSpecified,
    /// Enough nodes serve for the quorums of the spec.
    QuorumServing,
    /// Too few nodes serve.
    QuorumLost,
    /// The cluster has no layout yet.
    NotBootstrapped,
    /// Objects or pods are being made.
    Creating,
    /// All nodes are empty and get their first layout.
    Bootstrapping,
    /// Pods are replaced one by one.
    RollingUpdate,
    /// The next pod may not be replaced yet: the message says what is waited for.
    WaitingForNodes,
    /// Nodes come back after they were away.
    Recovering,
    /// The annotation `driftkv.io/paused` is `"true"`.
    Paused,
    /// Objects of an earlier KVCluster of the same name are still there.
    WaitingForDeletion,
    /// Some nodes are not ready.
    NodesNotReady,
    /// Nodes are ready, and none of them answers the operator.
    NodesSilent,
    /// A pod cannot start, or crashes again and again; the message says why.
    NodeStuck,
    /// Nodes hold data of different clusters. Nothing is touched.
    MixedClusters,
    /// Some nodes hold data and others are empty, or hold data that the layout does not know. Nothing is touched.
    UnknownNodes,
    /// The data was made with another number of nodes than the spec says. Nothing is touched.
    OtherSize,
    /// The cluster had data and now all of its nodes are empty. Nothing is touched.
    DataGone,
    /// A node refused the bootstrap.
    BootstrapRefused,
    /// An object that the cluster needs exists and belongs to somebody else.
    NameTaken,
    /// The API server refuses an object.
    ApplyRejected,
    /// The API server cannot be reached, or does not answer in time.
    ApiUnavailable,
    /// The operator may not do what it must.
    Forbidden,
    /// The KVCluster cannot be read.
    InvalidSpec,
    /// An object was made.
    Created,
    /// An object was brought to what it should be.
    Applied,
    /// An object that is needed no longer was deleted.
    Swept,
    /// All nodes got their first layout.
    Bootstrapped,
    /// A pod was deleted, to come back as the spec says.
    PodReplaced,
    /// Pods are not replaced while an experiment is active.
    WaitingForChaos,
    /// Nodes get an experiment; none is known to have it yet.
    ChaosRequested,
    /// Nodes inject faults.
    ChaosInjected,
    /// The experiment is over; not all nodes have said so yet.
    ChaosEnding,
    /// The experiment ended when its time was over.
    ChaosEnded,
    /// The experiment ended because the annotation changed, or a consent was withdrawn.
    ChaosCleared,
    /// The annotation cannot be read, or names what does not exist. Nothing was injected.
    ChaosInvalid,
    /// A consent is missing; the message names all that are. Nothing was injected.
    ChaosNotPermitted,
    /// The experiment would cost a quorum, and does not say that it may. Nothing was injected.
    ChaosBlastRadius,
    /// A node refused the experiment, and all others were cleared.
    ChaosRefused,
    /// The experiment's id was begun before. Nothing was injected.
    ChaosIdUsed,
    /// A pod was killed, as the experiment asks.
    ChaosKill,
    /// An operator with a newer lease has acted: this one's is lost.
    LeaseLost,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[test]
    fn the_documentation_lists_exactly_these_reasons() {
        let text = include_str!("../../../docs/operator.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let is_reason = |word: &&str| word.starts_with(|c: char| c.is_ascii_uppercase());
        let documented: BTreeSet<String> = rows.filter(is_reason).map(str::to_owned).collect();
        let known: BTreeSet<String> = Reason::ALL.iter().map(Reason::to_string).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn the_page_on_troubles_has_a_heading_and_advice_for_exactly_these_reasons() {
        let text = include_str!("../../../docs/troubleshooting.md");
        let sections = text.split("\n### `").skip(1).filter_map(|section| section.split_once("`\n"));
        let advice: Vec<(&str, &str)> = sections.collect();
        let documented: BTreeSet<String> = advice.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(documented.len(), advice.len(), "a reason has two headings");
        let short: Vec<_> =
            advice.iter().filter(|(_, words)| words.split("\n#").next().unwrap_or("").len() < 15).collect();
        assert!(short.is_empty(), "{short:?}");
        assert_eq!(documented, Reason::ALL.iter().map(Reason::to_string).collect());
    }
}
