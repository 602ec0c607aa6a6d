//! The curve of convergence: the share of partitions that agree, poll by poll.

use super::Convergence;
use super::spans::{Sight, sights};
use crate::report::Figure;
use crate::report::model::{Axis, Kind, Point, Scale, Series, Style};

/// `None`: there were no polls, or no partitions.
pub(super) fn curve(convergence: &Convergence) -> Option<Figure> {
    let point = |poll| {
        let sights = sights(poll, convergence.replicas);
        let all = sights.len().max(convergence.partitions as usize);
        let agreed = sights.values().filter(|sight| **sight == Sight::Agrees).count();
        let y = (all > 0).then(|| agreed as f64 / all as f64)?;
        Some(Point { x: convergence.since_heal(poll.at_ns), y: Some(y), ..Point::default() })
    };
    let points: Vec<Point> = convergence.after_heal().filter_map(point).collect();
    if points.is_empty() {
        return None;
    }
    let says = "Share of partitions of which all owners held the same, by what each of them said of itself. Nobody wrote meanwhile.";
    let axis = |label: &str, scale| Axis { label: label.to_owned(), scale };
    Some(Figure {
        id: "convergence".to_owned(),
        title: "Convergence after the heal".to_owned(),
        says: says.to_owned(),
        x: axis("time since the heal (s)", Scale::Linear),
        y: axis("partitions that agree", Scale::Share),
        bands: Vec::new(),
        kind: Kind::Lines { series: vec![Series { name: "agree".to_owned(), points, style: Style::Steps }] },
    })
}
