//! The report of an experiment: what is told (`model`), and its files: one page without network, a summary, JUnit, a table of cells.
//! Follows research/lab.md 4. Invariants: drawn in-process; no colour means anything alone; behind every plot is its table.
//! Not here: measuring (`measure`), deciding what to ask (`experiment`).

pub mod model;

pub use model::{Axis, Band, Figure, Kind, Report, Scale};
