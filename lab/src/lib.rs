//! The laboratory: drives load, records what happened, and says what it means.
//! Reading order: `plan` (what will be asked, from a seed), `load` (asking it), `history` (what happened, request by request; `leadership`: who led a store with leaders meanwhile),
//! `faults` (what went wrong on purpose), `import` and `judges` (whether recorded operations are consistent), `offline` (whether a stored run saw what was promised), `check` (whether the store kept what was promised), `run_dir` (the files of a run), `measure` (all its numbers and figures), `visibility` and `convergence` (what a history does not show), `metrics` (numbers by their names), `results` (what came of it, in numbers and as a table), `target` (whom it is done to),
//! `experiment` (all of this from one file), `report` (as a page), `compare` (whether another run did worse).
//! Depends on the wire contract only: a judge shares no code with the judged.

pub mod check;
pub mod compare;
pub mod convergence;
pub mod experiment;
pub mod faults;
pub mod history;
pub mod import;
pub mod judges;
pub mod leadership;
pub mod load;
pub mod measure;
pub mod metrics;
pub mod offline;
pub mod plan;
pub mod report;
pub mod results;
pub mod run_dir;
pub mod target;
pub mod visibility;
