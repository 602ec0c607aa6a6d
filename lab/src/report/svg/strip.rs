//! Draws lanes over time in which the filled part of the height is a share, with the share in digits above it.
//! Invariants: what is missing of a share is hatched, so that nothing is told by colour alone; a lane that says nothing of a time is blank there.
//! Spans narrower than a pixel become one of their mean, weighed by how many they are of.

use super::canvas::{Anchor, Canvas, Place, WIDTH, width_of};
use super::legend::{self, Sample};
use super::ruler::{Base, Ruler, number};
use super::{Detail, bands, frame};
use crate::report::model::{Figure, Lane, Span};

const DIGITS: f64 = 15.0;
const BAR: f64 = 22.0;
const GAP: f64 = 8.0;

/// Draws it all and says how high it is.
pub(super) fn draw(canvas: &mut Canvas, figure: &Figure, lanes: &[Lane], detail: Detail) -> f64 {
    legend::define_patterns(canvas);
    let left = lanes.iter().map(|lane| width_of(&lane.name) + 12.0).fold(40.0, f64::max).min(190.0);
    let right = WIDTH - frame::RIGHT;
    let spans = || lanes.iter().flat_map(|lane| &lane.spans);
    let times = spans().flat_map(|span| [span.from, span.to]).chain(bands::values(&figure.bands));
    let ruler = Ruler::of(figure.x.scale, Base::Near, times, (left, right));
    let top = frame::draw_y_label(canvas, &figure.y.label);
    let entries = [("answered", Sample::Class { class: "fl s0" }), ("not answered", Sample::Hatch)];
    let top = legend::draw(canvas, &entries, top);
    let (above, edges) = bands::draw(canvas, &figure.bands, &ruler, (left, right), top);
    let mut y = above + 4.0;
    let most = (detail.parts_max / lanes.len().max(1)).max(20);
    let column = detail.column.max((right - left) / most as f64);
    for lane in lanes {
        draw_lane(canvas, &ruler, lane, (left, y), column);
        y += DIGITS + BAR + GAP;
    }
    bands::draw_edges(canvas, &edges, above - 3.0, y);
    let out = spans().filter(|span| placed(span, &ruler).is_none()).count();
    if out > 0 {
        canvas.note(format!("{out} spans have no place on this axis and are not drawn; the table has them."));
    }
    frame::draw_x(canvas, &ruler, &figure.x.label, Place { x: left, y: above, width: right - left, height: y - above })
}

fn draw_lane(canvas: &mut Canvas, ruler: &Ruler, lane: &Lane, (left, top): (f64, f64), column: f64) {
    canvas.text("tk", Anchor::End, (left - 8.0, top + DIGITS + BAR / 2.0 + 4.0), &lane.name, left - 8.0);
    let parts: Vec<Part> = lane.spans.iter().filter_map(|span| placed(span, ruler)).collect();
    let mut free_from = left;
    let merged = merged(&parts, column);
    // Spans that do not overlap are no more than columns.
    let most = ((WIDTH - left) / column) as usize + 2;
    if merged.len() > most {
        canvas.note(format!(
            "{} of {} spans overlap and are not drawn; the table has more.",
            merged.len() - most,
            parts.len()
        ));
    }
    for part in merged.into_iter().take(most) {
        let (width, share) = ((part.to - part.from).max(1.0), part.share.clamp(0.0, 1.0));
        let place = Place { x: part.from, y: top + DIGITS, width, height: BAR };
        let says = format!("{}: {} of {}", lane.name, percent(share), part.of);
        if share < 1.0 {
            legend::hatch(canvas, place, &says);
        }
        // However little is missing or there, one sees that it is.
        let filled = match share {
            0.0 | 1.0 => BAR * share,
            some => (BAR * some).clamp(2.5, BAR - 2.5),
        };
        canvas.rect("fl s0", Place { y: place.y + BAR - filled, height: filled, ..place }, &says);
        let words = percent(share);
        let half = width_of(&words) / 2.0;
        let middle = part.from + width / 2.0;
        if width_of(&words) <= width.max(if share < 1.0 { 60.0 } else { 0.0 }) && middle - half >= free_from {
            canvas.text("sm", Anchor::Middle, (middle, top + DIGITS - 4.0), &words, WIDTH);
            free_from = middle + half + 6.0;
        }
    }
}

fn percent(share: f64) -> String {
    // 99.96 % is not all.
    let text = if share < 1.0 { number((share * 1000.0).floor() / 10.0) } else { "100".to_owned() };
    format!("{text} %")
}

/// A span in pixels.
#[derive(Clone, Copy)]
struct Part {
    from: f64,
    to: f64,
    share: f64,
    of: u64,
}

fn placed(span: &Span, ruler: &Ruler) -> Option<Part> {
    let (from, to) = (ruler.place(span.from)?, ruler.place(span.to)?);
    span.share.is_finite().then_some(Part { from: from.min(to), to: from.max(to), share: span.share, of: span.of })
}

/// Those of one column become one; wider ones with the same share that touch, too.
fn merged(parts: &[Part], column: f64) -> Vec<Part> {
    let mut merged: Vec<Part> = Vec::new();
    for part in parts {
        match merged.last_mut() {
            Some(last) if part.to - last.from <= column || (last.share == part.share && part.from - last.to < 0.5) => {
                let (one, other) = (last.of.max(1) as f64, part.of.max(1) as f64);
                last.share = (last.share * one + part.share * other) / (one + other);
                last.to = part.to.max(last.to);
                last.of = last.of.saturating_add(part.of);
            }
            _ => merged.push(*part),
        }
    }
    merged
}
