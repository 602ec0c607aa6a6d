//! The laboratory: drives load, records what happened, and says what it means.
//! Reading order: `plan` (what will be asked, from a seed), `load` (asking it).
//! Depends on the wire contract only: a judge shares no code with the judged.

pub mod load;
pub mod plan;
