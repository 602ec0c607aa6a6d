//! Draws series as lines, steps and points, with their intervals.
//! Invariants: a gap stays a gap; a lower bound is an arrow upward; what has no place on its axis is counted below the plot.
//! Not here: thinning (`thin`), places (`ruler`).

use std::fmt::Write;

use super::canvas::{Canvas, Place, WIDTH, n};
use super::legend::{self, Sample};
use super::ruler::{Base, Ruler};
use super::thin::{self, Spot};
use super::{Detail, bands, frame};
use crate::report::model::{Figure, Point, Series, Style};

pub(super) const HEIGHT: f64 = 300.0;
/// Up to so many points a series, each has its marker and interval.
const MARKED_MAX: usize = 60;

/// Draws it all and says how high it is.
pub(super) fn draw(canvas: &mut Canvas, figure: &Figure, series: &[Series], detail: Detail) -> f64 {
    let is_solid = legend::are_solid(series);
    let (x, y, plot) = axes(canvas, figure, series, is_solid);
    for (index, of) in series.iter().enumerate() {
        Pen { canvas, index, x: &x, y: &y, plot, detail }.draw(of, is_solid);
    }
    note_left_out(canvas, series, &x, &y);
    frame::draw_x(canvas, &x, &figure.x.label, plot)
}

/// All that is around the lines.
fn axes(canvas: &mut Canvas, figure: &Figure, series: &[Series], is_solid: bool) -> (Ruler, Ruler, Place) {
    let points = || series.iter().flat_map(|series| &series.points);
    let heights = points().flat_map(|point| [point.y, point.lo, point.hi]).flatten();
    let y = Ruler::of(figure.y.scale, Base::Zero, heights.clone(), (HEIGHT, 0.0));
    let left = frame::gutter(&y);
    let times = points().map(|point| point.x).chain(bands::values(&figure.bands));
    let x = Ruler::of(figure.x.scale, Base::Near, times, (left, WIDTH - frame::RIGHT));
    let top = frame::draw_y_label(canvas, &figure.y.label);
    let sample = |index, style| Sample::Line { index, style, is_solid };
    let entries: Vec<(&str, Sample)> =
        series.iter().enumerate().map(|(index, of)| (of.name.as_str(), sample(index, of.style))).collect();
    let top = legend::draw(canvas, &entries, top);
    let (above, edges) = bands::draw(canvas, &figure.bands, &x, (left, WIDTH - frame::RIGHT), top);
    let top = above + 8.0;
    let y = Ruler::of(figure.y.scale, Base::Zero, heights, (top + HEIGHT, top));
    let plot = Place { x: left, y: top, width: WIDTH - frame::RIGHT - left, height: HEIGHT };
    frame::draw_y(canvas, &y, plot);
    bands::draw_edges(canvas, &edges, above - 3.0, top + HEIGHT);
    (x, y, plot)
}

fn note_left_out(canvas: &mut Canvas, series: &[Series], x: &Ruler, y: &Ruler) {
    let points = || series.iter().flat_map(|series| &series.points);
    let is_out = |point: &&Point| point.y.is_some_and(|of| y.place(of).is_none() || x.place(point.x).is_none());
    let out = points().filter(is_out).count();
    if out > 0 {
        canvas.note(format!("{out} points have no place on these axes and are not drawn; the table has them."));
    }
    if points().all(|point| point.y.is_none()) {
        canvas.note("Nothing was measured.".to_owned());
    }
    if points().any(|point| point.is_at_least) {
        canvas.note("↑ marks a lower bound: the truth is there or above.".to_owned());
    }
}

/// Draws one series.
struct Pen<'a> {
    canvas: &'a mut Canvas,
    index: usize,
    x: &'a Ruler,
    y: &'a Ruler,
    plot: Place,
    detail: Detail,
}

impl Pen<'_> {
    fn draw(&mut self, series: &Series, is_solid: bool) {
        let segments = self.segments(&series.points);
        if series.style != Style::Model {
            self.draw_intervals(&series.points);
        }
        if series.style != Style::Dots {
            let class = legend::line_class(self.index, series.style, is_solid);
            let join = if series.style == Style::Steps { steps } else { straight };
            let d: String = segments.iter().map(|segment| join(&thin::outline(segment, self.detail.column))).collect();
            self.canvas.path(&class, &d, &series.name);
        }
        if matches!(series.style, Style::Line | Style::Dots) {
            self.draw_markers(series, &segments.concat());
        }
    }

    /// Points in pixels, in pieces without gaps.
    fn segments(&self, points: &[Point]) -> Vec<Vec<Spot>> {
        let in_order = points.is_sorted_by(|one, other| one.x <= other.x || other.x.is_nan());
        let mut points = points.to_vec();
        if !in_order {
            points.sort_by(|one, other| one.x.total_cmp(&other.x));
        }
        let spots: Vec<Option<Spot>> = points.iter().map(|point| self.spot(point)).collect();
        spots.split(Option::is_none).map(|run| run.iter().flatten().copied().collect()).collect()
    }

    fn spot(&self, point: &Point) -> Option<Spot> {
        Some(Spot { x: self.x.place(point.x)?, y: self.y.place(point.y?)? })
    }

    /// On all points, or on some of the line where they are many.
    fn draw_markers(&mut self, series: &Series, spots: &[Spot]) {
        let most = self.detail.parts_max;
        let marked = match series.style {
            _ if spots.len() <= MARKED_MAX => spots.to_vec(),
            Style::Dots => thin::scattered(spots, 3.0 * self.detail.column, most),
            _ => thin::spaced(spots, 60.0, self.index as f64 * 13.0),
        };
        if spots.len() <= MARKED_MAX {
            let bounds: Vec<&Point> = series.points.iter().filter(|point| point.is_at_least).collect();
            let arrows: Vec<Spot> = bounds.iter().filter_map(|point| self.spot(point)).collect();
            let plain = marked.into_iter().filter(|spot| !arrows.contains(spot)).collect::<Vec<_>>();
            self.draw_marked(&plain, "mk");
            self.draw_arrows(&arrows);
        } else {
            self.draw_marked(&marked, if series.style == Style::Dots { "mk dense" } else { "mk" });
            let arrows: Vec<Spot> =
                series.points.iter().filter(|point| point.is_at_least).filter_map(|point| self.spot(point)).collect();
            self.draw_arrows(&thin::spaced(&arrows, 12.0, 0.0));
        }
    }

    fn draw_marked(&mut self, spots: &[Spot], class: &str) {
        let d: String = spots.iter().map(|spot| legend::marker(self.index, spot.x, spot.y)).collect();
        self.canvas.path(&format!("{class} s{}", self.index % 4), &d, "");
    }

    /// From the point upward, or beside the upper edge from below it.
    fn draw_arrows(&mut self, spots: &[Spot]) {
        let mut d = String::new();
        for spot in spots {
            let foot = spot.y.max(self.plot.y + 14.0);
            let _ =
                write!(d, "M{} {}v-12m-4.5 5.5l4.5-5.5 4.5 5.5M{} {}h6", n(spot.x), n(foot), n(spot.x - 3.0), n(foot));
        }
        self.canvas.path(&format!("er up s{}", self.index % 4), &d, "at least");
    }

    fn draw_intervals(&mut self, points: &[Point]) {
        let spots: Vec<(Spot, f64, f64)> = points.iter().filter_map(|point| self.interval(point)).collect();
        let (mut d, mut free_from) = (String::new(), f64::NEG_INFINITY);
        let apart = if spots.len() <= MARKED_MAX { 0.0 } else { 5.0 * self.detail.column };
        for (spot, lo, hi) in &spots {
            if spot.x < free_from {
                continue;
            }
            free_from = spot.x + apart;
            let _ = write!(
                d,
                "M{x} {lo}V{hi}M{left} {lo}h6M{left} {hi}h6",
                x = n(spot.x),
                left = n(spot.x - 3.0),
                lo = n(*lo),
                hi = n(*hi)
            );
        }
        if apart > 0.0 {
            self.canvas.note("Intervals are drawn at some of the points.".to_owned());
        }
        self.canvas.path(&format!("er s{}", self.index % 4), &d, "");
    }

    /// A missing end is at the value; what lies beyond the axis ends there.
    fn interval(&self, point: &Point) -> Option<(Spot, f64, f64)> {
        if point.lo.is_none() && point.hi.is_none() {
            return None;
        }
        let spot = self.spot(point)?;
        let end = |value: Option<f64>| value.and_then(|value| self.y.place_within(value)).unwrap_or(spot.y);
        Some((spot, end(point.lo), end(point.hi)))
    }
}

fn straight(spots: &[Spot]) -> String {
    let mut d = String::new();
    for (index, spot) in spots.iter().enumerate() {
        let _ = write!(d, "{}{} {}", if index == 0 { 'M' } else { 'L' }, n(spot.x), n(spot.y));
    }
    d
}

fn steps(spots: &[Spot]) -> String {
    let mut d = String::new();
    for (index, spot) in spots.iter().enumerate() {
        let _ = match index {
            0 => write!(d, "M{} {}", n(spot.x), n(spot.y)),
            _ => write!(d, "H{}V{}", n(spot.x), n(spot.y)),
        };
    }
    d
}
