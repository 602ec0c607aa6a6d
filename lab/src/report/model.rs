//! What a report tells, before it is drawn: kept beside it as `report.json`, so that it can be drawn again without the cluster.
//! Invariant: all that a figure shows is in its data; a drawing adds nothing.

use serde::{Deserialize, Serialize};

use crate::offline::Outcome;

/// One report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The experiment's name.
    pub title: String,
    /// What was asked, in words.
    pub question: String,
    /// What was measured, in words: one sentence each, the most important first.
    pub answers: Vec<String>,
    /// The greatest of all expectations, or `Unknown` where a fault was not verified.
    pub outcome: Outcome,
    /// What was expected, and what came.
    pub expectations: Vec<Expectation>,
    /// What makes the numbers doubtful.
    pub warnings: Vec<String>,
    /// The command that does it again.
    pub reproduce: String,
    /// What cannot be reproduced by a seed.
    pub caveats: Vec<String>,
    /// Of the experiment and where it ran: name, value.
    pub facts: Vec<(String, String)>,
    /// In the order in which they are shown.
    pub figures: Vec<Figure>,
    /// In the order in which they are shown, after the figures.
    pub tables: Vec<Table>,
}

/// An expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Expectation {
    /// As written, such as `staleness.rate < 0.001`.
    pub expression: String,
    /// Where: a cell of a grid, or empty.
    pub cell: String,
    /// What was measured, with its unit; empty: it was not.
    pub measured: String,
    /// Where the truth lies with 95 %; empty: not known.
    pub interval: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it is not known, or how to see the violation; may be empty.
    pub why: String,
}

/// A plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Lower case, digits and `-`; unique in a report.
    pub id: String,
    /// What it is.
    pub title: String,
    /// What one sees, in a sentence or two, with definitions of what is not plain.
    pub says: String,
    /// From left to right.
    pub x: Axis,
    /// From below to above.
    pub y: Axis,
    /// What went wrong on purpose meanwhile, by evidence; on the x axis.
    pub bands: Vec<Band>,
    /// What is drawn.
    pub kind: Kind,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// With its unit, such as `response time (ms)`.
    pub label: String,
    /// How numbers become places.
    pub scale: Scale,
}

/// How numbers become places on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// From 0, or from the least number if that is below; an x axis begins near its numbers if they are far from 0.
    #[default]
    Linear,
    /// By decades; what is not above 0 is left out, and said.
    Log,
    /// Of a share p of 0 to 1: 1/(1-p), so that 0.9, 0.99, 0.999 are equally far apart.
    Nines,
    /// A share of 0 to 1, always drawn whole, in percent.
    Share,
}

/// A fault, on time axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Which, in a few words.
    pub label: String,
    /// When it was applied, in units of the axis.
    pub from: f64,
    /// When it was healed.
    pub to: f64,
    /// Somebody saw it take effect.
    pub is_verified: bool,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Kind {
    /// Lines and points.
    Lines {
        /// Each with its own colour, dash and marker.
        series: Vec<Series>,
    },
    /// A bar for each name.
    Bars {
        /// Names on the x axis.
        categories: Vec<String>,
        /// A bar of each in every category; `x` of a point is the category's index.
        series: Vec<Series>,
    },
    /// A table of shades with numbers in them.
    Heat {
        /// On the x axis.
        columns: Vec<String>,
        /// On the y axis, from below.
        rows: Vec<String>,
        /// Those that are not here were not measured.
        cells: Vec<HeatCell>,
    },
    /// Lanes over time, shaded by a share.
    Strip {
        /// From above.
        lanes: Vec<Lane>,
    },
    /// Operations over time, a lane a worker.
    Timeline {
        /// From above.
        lanes: Vec<OpLane>,
    },
}

/// Points that belong together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// In the order of x.
    pub points: Vec<Point>,
    /// How they are joined.
    pub style: Style,
}

/// How points are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// A line with markers.
    #[default]
    Line,
    /// A dashed line without markers: computed, not measured.
    Model,
    /// Steps: a distribution.
    Steps,
    /// Markers alone.
    Dots,
}

/// A number, with its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Place.
    pub x: f64,
    /// Value; `None`: a gap.
    pub y: Option<f64>,
    /// Least value with 95 %.
    pub lo: Option<f64>,
    /// Greatest value with 95 %.
    pub hi: Option<f64>,
    /// `y` is a lower bound.
    #[serde(default)]
    pub is_at_least: bool,
}

/// A cell of a heat map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeatCell {
    /// Index of its column.
    pub column: usize,
    /// Index of its row.
    pub row: usize,
    /// Shades it.
    pub value: f64,
    /// In the cell, such as `3.1 %` and a second line `312 of 10000`.
    pub text: Vec<String>,
}

/// A lane of a strip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// On the left.
    pub name: String,
    /// In order.
    pub spans: Vec<Span>,
}

/// A part of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// In units of the x axis.
    pub from: f64,
    /// In units of the x axis.
    pub to: f64,
    /// 0 to 1.
    pub share: f64,
    /// Of so many.
    pub of: u64,
}

/// Operations of one worker or session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpLane {
    /// On the left.
    pub name: String,
    /// In order.
    pub ops: Vec<OpBar>,
}

/// An operation on a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpBar {
    /// In units of the x axis.
    pub from: f64,
    /// `None`: its end is not known.
    pub to: Option<f64>,
    /// In a few words, such as `put 3/17` or `get -> 3/16`.
    pub label: String,
    /// A write, else a read.
    pub is_write: bool,
    /// It is part of the violation.
    pub is_witness: bool,
    /// The node that was asked, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What it is.
    pub title: String,
    /// What one sees.
    pub says: String,
    /// Column heads.
    pub head: Vec<String>,
    /// Rows; those that hold numbers are aligned to the right.
    pub rows: Vec<Vec<String>>,
}
