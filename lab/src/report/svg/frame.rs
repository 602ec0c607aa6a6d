//! The axes of a plot: grid, ticks, labels.
//! Invariants: labels of ticks do not overlap; the label of the y axis stands level above the plot, where it needs no turned head.
//! Not here: where numbers are (`ruler`), what is inside.

use super::canvas::{Anchor, Canvas, LINE, Place, WIDTH, width_of};
use super::ruler::{Ruler, Tick};

/// Right of the plot, for the half of the last label of a tick.
pub(super) const RIGHT: f64 = 30.0;
/// Between labels of ticks.
const GAP: f64 = 10.0;

/// How much room the labels of `ruler` need on the left.
pub(super) fn gutter(ruler: &Ruler) -> f64 {
    let widest = ruler.ticks().iter().map(|tick| width_of(&tick.label)).fold(0.0, f64::max);
    (widest + 12.0).clamp(34.0, 160.0)
}

/// Lines across the plot and their labels on the left.
pub(super) fn draw_y(canvas: &mut Canvas, ruler: &Ruler, plot: Place) {
    let mut last = f64::INFINITY;
    for Tick { at, label } in ruler.ticks() {
        if label.is_empty() {
            canvas.line("tick", (plot.x - 4.0, at), (plot.x, at));
            continue;
        }
        canvas.line("grid", (plot.x, at), (plot.x + plot.width, at));
        if (last - at).abs() >= 12.0 {
            canvas.text("tk", Anchor::End, (plot.x - 8.0, at + 4.0), &label, plot.x - 8.0);
            last = at;
        }
    }
}

/// Marks and labels below the plot; says where it ends.
pub(super) fn draw_x(canvas: &mut Canvas, ruler: &Ruler, label: &str, plot: Place) -> f64 {
    let bottom = plot.y + plot.height;
    canvas.line("axis", (plot.x, bottom), (plot.x + plot.width, bottom));
    let mut free_from = f64::NEG_INFINITY;
    for Tick { at, label } in ruler.ticks() {
        let half = width_of(&label) / 2.0;
        let is_labelled = !label.is_empty() && at - half >= free_from;
        canvas.line("tick", (at, bottom), (at, bottom + if is_labelled { 5.0 } else { 3.0 }));
        if is_labelled {
            canvas.text("tk", Anchor::Middle, (at, bottom + 18.0), &label, WIDTH);
            free_from = at + half + GAP;
        }
    }
    draw_x_label(canvas, label, plot, bottom + 18.0 + LINE)
}

/// The label of the x axis with its baseline at `at`; says where it ends.
pub(super) fn draw_x_label(canvas: &mut Canvas, label: &str, plot: Place, at: f64) -> f64 {
    canvas.text("lb", Anchor::Middle, (plot.x + plot.width / 2.0, at), label, plot.width);
    at + 8.0
}

/// The label of the y axis at the top left; says where it ends.
pub(super) fn draw_y_label(canvas: &mut Canvas, label: &str) -> f64 {
    if label.is_empty() {
        return 4.0;
    }
    canvas.text("lb", Anchor::Start, (0.0, 13.0), &format!("↑ {label}"), WIDTH);
    20.0
}
