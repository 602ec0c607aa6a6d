//! Experiments: one YAML file that says what is asked, of which cluster, under which load, with which faults, how often, and what is expected.
//! Reading order: `spec` (the file's fields), `read` (text to fields, strictly, with line and column; `refused`: which setting is not taken), `grid` (which cells it has), `expression` (expectations),
//! `schedule` (one cell as a plan of operations and a schedule of faults), `explain` (all of it in words), `perform` (one run of one cell).
//! Invariant: whatever can be refused is refused before anything starts.
//! Not here: starting clusters (the command), measuring (`measure`), telling (`report`).

pub mod expression;
pub mod grid;
pub mod perform;
pub mod read;
pub mod record;
pub mod refused;
pub mod schedule;
pub mod spec;
pub mod tell;

mod explain;
mod place;

pub use explain::{estimate, explain, runs};
pub use grid::{Cell, Grid};
pub use place::path_at;
pub use read::{Experiment, Host, SpecError};
pub use refused::Refused;
pub use spec::Spec;
