//! What each colour, dash, marker and pattern stands for, in rows above the plot, where it hides nothing.
//! Invariant: series differ by dash or pattern and marker as well as by colour, up to sixty of them.
//! Not here: colours (`html/style.css`).

use super::canvas::{Anchor, Canvas, Place, WIDTH, n, width_of};
use crate::report::model::{Series, Style};

/// How one entry looks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    /// Number `index` of the series of a plot.
    Line { index: usize, style: Style, is_solid: bool },
    /// A bar of series `index`.
    Fill { index: usize },
    /// A rectangle of a class.
    Class { class: &'static str },
    /// A rectangle with the hatching of this drawing.
    Hatch,
}

const SAMPLE: f64 = 30.0;
const ROW: f64 = 20.0;
const NAME_MAX: f64 = 300.0;

/// Draws `entries` below `top`; says where they end.
pub(super) fn draw(canvas: &mut Canvas, entries: &[(&str, Sample)], top: f64) -> f64 {
    let (mut x, mut y) = (0.0, top);
    for (name, sample) in entries {
        let width = SAMPLE + 6.0 + width_of(name).min(NAME_MAX);
        if x > 0.0 && x + width > WIDTH {
            (x, y) = (0.0, y + ROW);
        }
        draw_sample(canvas, *sample, x, y + ROW / 2.0);
        canvas.text("lg", Anchor::Start, (x + SAMPLE + 6.0, y + ROW / 2.0 + 4.0), name, NAME_MAX);
        x += width + 18.0;
    }
    if entries.is_empty() { top } else { y + ROW + 4.0 }
}

fn draw_sample(canvas: &mut Canvas, sample: Sample, x: f64, y: f64) {
    let place = Place { x: x + 4.0, y: y - 7.0, width: SAMPLE - 8.0, height: 14.0 };
    match sample {
        Sample::Line { index, style, is_solid } => {
            if style != Style::Dots {
                let class = line_class(index, style, is_solid);
                canvas.path(&class, &format!("M{} {}h{}", n(x), n(y), n(SAMPLE)), "");
            }
            if matches!(style, Style::Line | Style::Dots) {
                canvas.path(&format!("mk s{}", index % 4), &marker(index, x + SAMPLE / 2.0, y), "");
            }
        }
        Sample::Fill { index } => fill(canvas, index, place, ""),
        Sample::Class { class } => canvas.rect(class, place, ""),
        Sample::Hatch => hatch(canvas, place, ""),
    }
}

/// Of the line of series `index`: its colour and dash.
pub(super) fn line_class(index: usize, style: Style, is_solid: bool) -> String {
    let dash = match style {
        Style::Model => 5,
        _ if is_solid => 0,
        _ => index % 5,
    };
    let kind = if style == Style::Model { " md" } else { "" };
    format!("ln s{} d{dash}{kind}", index % 4)
}

/// Whether measured lines need no dashes, because those that were computed have them.
pub(super) fn are_solid(series: &[Series]) -> bool {
    series.iter().any(|series| series.style == Style::Model)
}

/// The outline of the marker of series `index`.
pub(super) fn marker(index: usize, x: f64, y: f64) -> String {
    let at = |dx: f64, dy: f64| format!("M{} {}", n(x + dx), n(y + dy));
    match index % 6 {
        0 => at(-3.5, 0.0) + "a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
        1 => at(-3.2, -3.2) + "h6.4v6.4h-6.4z",
        2 => at(0.0, -4.2) + "l4.2 7.4h-8.4z",
        3 => at(0.0, -4.6) + "l4.6 4.6-4.6 4.6-4.6-4.6z",
        4 => at(0.0, 4.2) + "l4.2-7.4h-8.4z",
        _ => at(-1.4, -4.2) + "h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8v-2.8h-2.8v-2.8h2.8z",
    }
}

/// A rectangle in colour and pattern of series `index`.
pub(super) fn fill(canvas: &mut Canvas, index: usize, place: Place, says: &str) {
    canvas.rect(&format!("fl s{}", index % 4), place, says);
    if !index.is_multiple_of(5) {
        let over = format!(" style=\"fill:url(#{}-p{})\"", canvas.id, index % 5);
        canvas.rect_with("over", place, &over, "");
    }
}

/// A rectangle that stands for what is not there.
pub(super) fn hatch(canvas: &mut Canvas, place: Place, says: &str) {
    let over = format!(" style=\"fill:url(#{}-none)\"", canvas.id);
    canvas.rect_with("none", place, &over, says);
}

/// The patterns that [`fill`] and [`hatch`] use.
pub(super) fn define_patterns(canvas: &mut Canvas) {
    let shapes = [
        ("p1", 6, "M-1 7L7-1M-1 1L1-1M5 7L7 5"),
        ("p2", 6, "M0 3h6"),
        ("p3", 6, "M-1-1L7 7M-1 7L7-1"),
        ("p4", 6, "M3 0v6"),
        ("none", 8, "M-1 9L9-1M-1 1L1-1M7 9L9 7"),
    ];
    let id = canvas.id.clone();
    canvas.raw("<defs>");
    for (name, size, path) in shapes {
        let class = if name == "none" { "hatch" } else { "weave" };
        canvas.raw(&format!(
            "<pattern id=\"{id}-{name}\" width=\"{size}\" height=\"{size}\" patternUnits=\"userSpaceOnUse\">\
             <path class=\"{class}\" d=\"{path}\"/></pattern>"
        ));
    }
    canvas.raw("</defs>");
}
