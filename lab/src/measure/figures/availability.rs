//! Availability as lanes over time: of all, of each kind of operation, of each side of a partition, of each node.

use std::collections::BTreeMap;

use super::{axis, figure, time_axis};
use crate::measure::Run;
use crate::measure::availability::{Share, windows};
use crate::measure::sample::Sample;
use crate::plan::Action;
use crate::report::Figure;
use crate::report::model::{Kind, Lane, Scale, Span};

/// All lanes; `None`: there were no operations.
pub(super) fn strip(run: &Run<'_>) -> Option<Figure> {
    let lane = |name: String, is_wanted: &dyn Fn(&Sample) -> bool| {
        let spans = spans(&windows(&run.samples.all, run.setting, 0, is_wanted));
        Lane { name, spans }
    };
    let mut lanes = vec![lane("all".to_owned(), &|_| true)];
    lanes.extend(Action::ALL.map(|kind| lane(kind.name().to_owned(), &|sample| sample.kind == kind)));
    lanes.extend(run.sides.names().map(|side| lane(format!("side {side}"), &|sample| run.sides.has(side, sample))));
    for (place, target) in (0..).zip(&run.samples.targets) {
        let name = run.sides.node(place).unwrap_or(target);
        lanes.push(lane(format!("node {name}"), &|sample| sample.target == place));
    }
    lanes.retain(|lane| !lane.spans.is_empty());
    if lanes.is_empty() {
        return None;
    }
    let says = "Share of operations that were answered in time, by the second in which they were due. Sides and nodes are those that were asked.";
    let strip = figure("availability", "Availability", says, axis("", Scale::Share), Kind::Strip { lanes });
    Some(Figure { x: time_axis(), bands: run.bands.clone(), ..strip })
}

/// Seconds that follow each other and have the same share are one span.
fn spans(windows: &BTreeMap<u64, Share>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (second, share) in windows {
        let (from, ratio) = (*second as f64, share.ratio());
        match spans.last_mut().filter(|last| last.to == from && last.share == ratio) {
            Some(last) => (last.to, last.of) = (from + 1.0, last.of + share.all),
            None => spans.push(Span { from, to: from + 1.0, share: ratio, of: share.all }),
        }
    }
    spans
}
