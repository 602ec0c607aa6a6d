//! Faults above a plot: a lane for each label, and thin lines through the plot where they begin and end.
//! Follows research/lab.md 4 (after Jepsen: bands beside the data, not behind it).
//! Invariants: a label is on its band where it fits, else once above its lane with how many there are; what nobody saw take effect is dashed and says so.
//! Not here: whether a fault took effect (`faults`).

use super::canvas::{Anchor, Canvas, LINE, Place, width_of};
use super::ruler::Ruler;
use crate::report::model::Band;

const LANES_MAX: usize = 6;
const HEIGHT: f64 = 17.0;
const EDGES_MAX: usize = 120;

/// All numbers of `bands` that the x axis must have room for.
pub(super) fn values(bands: &[Band]) -> impl Iterator<Item = f64> + '_ {
    bands.iter().flat_map(|band| [band.from, band.to])
}

/// Draws lanes below `top`, between `left` and `right`; says where they end and where there are edges.
pub(super) fn draw(
    canvas: &mut Canvas,
    bands: &[Band],
    ruler: &Ruler,
    (left, right): (f64, f64),
    top: f64,
) -> (f64, Vec<f64>) {
    let (mut y, mut edges) = (top, Vec::new());
    let lanes = lanes(bands);
    for (label, bands) in lanes.iter().take(LANES_MAX) {
        y = draw_lane(canvas, label, bands, ruler, (left, right), y);
        for band in bands {
            edges.extend([band.from, band.to].into_iter().filter_map(|at| ruler.place(at)));
        }
    }
    if lanes.len() > LANES_MAX {
        let rest: usize = lanes.iter().skip(LANES_MAX).map(|(_, bands)| bands.len()).sum();
        canvas.note(format!(
            "{rest} faults of {} more kinds are not drawn; the table has them.",
            lanes.len() - LANES_MAX
        ));
    }
    edges.sort_by(f64::total_cmp);
    edges.dedup_by(|one, other| (*one - *other).abs() < 2.0);
    if edges.len() > EDGES_MAX {
        edges.clear();
    }
    (if lanes.is_empty() { top } else { y + 4.0 }, edges)
}

/// By label, in the order in which they first appear.
fn lanes(bands: &[Band]) -> Vec<(&str, Vec<&Band>)> {
    let mut lanes: Vec<(&str, Vec<&Band>)> = Vec::new();
    for band in bands {
        match lanes.iter_mut().find(|(label, _)| *label == band.label) {
            Some((_, bands)) => bands.push(band),
            None => lanes.push((&band.label, vec![band])),
        }
    }
    lanes
}

fn draw_lane(
    canvas: &mut Canvas,
    label: &str,
    bands: &[&Band],
    ruler: &Ruler,
    (left, right): (f64, f64),
    top: f64,
) -> f64 {
    let placed: Vec<(&Band, f64, f64)> = bands.iter().filter_map(|band| place(band, ruler)).collect();
    let fits = |(band, from, to): &(&Band, f64, f64)| to - from >= width_of(&told(band)) + 10.0;
    let all_fit = placed.iter().all(fits);
    let mut y = top;
    if !all_fit {
        let words = told_of_all(label, bands);
        let width = width_of(&words).min(right - left);
        let first = placed.first().map_or(left, |(_, from, _)| *from);
        y += LINE - 1.0;
        let at = first.min(right - width).max(left);
        canvas.text("bt", Anchor::Start, (at, y - 3.0), &words, width + 1.0);
    }
    for (band, from, to) in &placed {
        let class = if band.is_verified { "bd" } else { "bd un" };
        let place = Place { x: *from, y, width: (to - from).max(2.0), height: HEIGHT - 3.0 };
        canvas.rect(class, place, &told(band));
        if all_fit {
            canvas.text("bt", Anchor::Middle, (f64::midpoint(*from, *to), y + 11.0), &told(band), to - from);
        }
    }
    y + HEIGHT
}

fn place<'a>(band: &'a Band, ruler: &Ruler) -> Option<(&'a Band, f64, f64)> {
    let (from, to) = (ruler.place_within(band.from)?, ruler.place_within(band.to)?);
    Some((band, from.min(to), from.max(to)))
}

fn told(band: &Band) -> String {
    if band.is_verified { band.label.clone() } else { format!("{} (not verified)", band.label) }
}

fn told_of_all(label: &str, bands: &[&Band]) -> String {
    let unverified = bands.iter().filter(|band| !band.is_verified).count();
    let times = if bands.len() > 1 { format!(" ×{}", bands.len()) } else { String::new() };
    match unverified {
        0 => format!("{label}{times}"),
        all if all == bands.len() => format!("{label}{times} (not verified)"),
        some => format!("{label}{times} ({some} not verified)"),
    }
}

/// Lines from the lanes through the plot down to `bottom`.
pub(super) fn draw_edges(canvas: &mut Canvas, edges: &[f64], top: f64, bottom: f64) {
    for at in edges {
        canvas.line("edge", (*at, top), (*at, bottom));
    }
}
