//! The key that shows most of what is violated: the witness, and the operations around it, a lane a session.

use std::collections::BTreeMap;

use super::{axis, figure, time_axis};
use crate::measure::Run;
use crate::offline::Nearby;
use crate::report::Figure;
use crate::report::model::{Kind, OpBar, OpLane, Scale};

/// `None`: nothing is violated.
pub(super) fn violation(run: &Run<'_>) -> Option<Figure> {
    let Nearby { key, why, operations } = run.findings.nearby.as_ref()?;
    let mut lanes: BTreeMap<u32, Vec<OpBar>> = BTreeMap::new();
    for near in operations {
        let s = |ns: i64| ns as f64 / 1e9;
        lanes.entry(near.shown.process).or_default().push(OpBar {
            from: s(near.shown.start),
            to: near.shown.end.map(s),
            label: near.shown.what.clone(),
            is_write: near.is_write,
            is_witness: near.is_witness,
            asked: near.shown.asked.as_ref().map(|asked| run.sides.name_of(asked, &run.samples)),
        });
    }
    let lanes = lanes.into_iter().map(|(session, ops)| OpLane { name: format!("session {session}"), ops }).collect();
    let says =
        format!("{why}. Marked operations are the witness; the others are those of the key {key} nearest to them.");
    let timeline = figure("timeline", &format!("Key {key}"), &says, axis("", Scale::Linear), Kind::Timeline { lanes });
    Some(Figure { x: time_axis(), bands: run.bands.clone(), ..timeline })
}
