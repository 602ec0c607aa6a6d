//! The report of an experiment: what is told (`model`), and its files (`files`): one page without network (`html`, `svg`), a summary, JUnit, a table of
//! cells, and the results for programs (`results`, with a published schema).
//! Follows research/lab.md 4. Invariants: drawn in-process; no colour means anything alone; behind every plot is its table.
//! Not here: measuring (`measure`), deciding what to ask (`experiment`), comparing two results (`compare`).

pub mod cells;
mod escape;
mod files;
mod html;
mod junit;
pub mod model;
pub mod results;
mod summary;
mod svg;
#[cfg(test)]
mod tests;

pub use cells::{CellRow, cells_csv};
pub use files::{read, write};
pub use html::{BYTES_MAX, html};
pub use junit::junit;
pub use model::{Axis, Band, Figure, Kind, Report, Scale};
pub use summary::summary_md;
pub(crate) use svg::number;
pub use svg::svg;
