//! Why a node refuses to inject or to end an experiment. In every case nothing changed.

use driftkv_proto::faults::{ParseError, Refusal};

use super::register::ACTIVE_MAX;

/// Why an experiment was not injected, or not ended. What was active before goes on unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The node was not started to allow faults. Its owner decides.
    #[error("this node injects no faults: it was started without --allow-faults")]
    NotAllowed,
    /// The text is not an experiment. The author corrects it.
    #[error("the experiment cannot be read: {0}")]
    Parse(#[from] ParseError),
    /// Well written, but of a later version.
    #[error("{0}")]
    Unsupported(ParseError),
    /// The node does not know yet whom the experiment may name.
    #[error("this node is not part of a cluster yet, so the experiment cannot be checked: bootstrap it first")]
    NoMembers,
    /// It names strangers or costs the quorum.
    #[error("{}{}", .refusal.placed(), counted_with(.others))]
    Refused {
        /// What is wrong with it.
        refusal: Refusal,
        /// The ids of active experiments that were counted with it.
        others: Vec<String>,
    },
    /// The id belongs to an experiment with other faults, active or ended, or to one that ended so long ago that its faults are forgotten.
    #[error("the id `{id}` belongs to an experiment that this node has had: change the id to run this one")]
    IdTaken {
        /// The id in question.
        id: String,
    },
    /// There is no room for one more.
    #[error("{ACTIVE_MAX} experiments are active, and no more are taken: clear one, or wait for its end")]
    TooMany,
    /// No experiment of this id is active, or among the last that ended.
    #[error("no experiment `{id}` is known here")]
    NotFound {
        /// The id in question.
        id: String,
    },
}

fn counted_with(others: &[String]) -> String {
    match others {
        [] => String::new(),
        ids => format!(" (counted together with what is active: {})", ids.join(", ")),
    }
}
