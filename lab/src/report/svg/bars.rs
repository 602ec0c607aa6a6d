//! Draws a bar of each series in every category, with intervals.
//! Invariants: bars begin at 0 (on decades at the lower end, and the axis says so); the number stands above its bar where there is room.
//! Names of categories that do not fit beside each other are turned; if there are too many, every second, third … has its name.

use std::fmt::Write;

use super::canvas::{Anchor, Canvas, Place, WIDTH, n, shortened, width_of};
use super::legend::{self, Sample};
use super::ruler::{Base, Ruler, number};
use super::{Detail, frame};
use crate::report::model::{Figure, Point, Scale, Series};

const HEIGHT: f64 = 280.0;
const NAME_MAX: f64 = 170.0;

/// Draws it all and says how high it is.
pub(super) fn draw(
    canvas: &mut Canvas,
    figure: &Figure,
    categories: &[String],
    series: &[Series],
    detail: Detail,
) -> f64 {
    legend::define_patterns(canvas);
    let heights = || series.iter().flat_map(|of| &of.points).flat_map(|point| [point.y, point.lo, point.hi]).flatten();
    let left = frame::gutter(&Ruler::of(figure.y.scale, Base::Zero, heights(), (HEIGHT, 0.0)));
    let mut top = frame::draw_y_label(canvas, &figure.y.label);
    if series.len() > 1 || series.iter().any(|of| !of.name.is_empty()) {
        let entry = |(index, of): (usize, &'_ Series)| (of.name.clone(), Sample::Fill { index });
        let entries: Vec<(String, Sample)> = series.iter().enumerate().map(entry).collect();
        let entries: Vec<(&str, Sample)> = entries.iter().map(|(name, sample)| (name.as_str(), *sample)).collect();
        top = legend::draw(canvas, &entries, top);
    }
    top += 16.0;
    let ruler = Ruler::of(figure.y.scale, Base::Zero, heights(), (top + HEIGHT, top));
    let plot = Place { x: left, y: top, width: WIDTH - frame::RIGHT - left, height: HEIGHT };
    frame::draw_y(canvas, &ruler, plot);
    let group = plot.width / categories.len().max(1) as f64;
    let bar = (group * 0.78 / series.len().max(1) as f64).min(70.0);
    let (mut drawn, mut missing) = (0, 0);
    for (index, of) in series.iter().enumerate() {
        for point in &of.points {
            let Some(value) = point.y else { continue };
            let inside = point.x >= 0.0 && point.x < categories.len() as f64;
            let (true, Some(y)) = (inside && drawn < detail.parts_max / 4, ruler.place(value)) else {
                missing += 1;
                continue;
            };
            drawn += 1;
            let x = left + (point.x.floor() + 0.5) * group + (index as f64 - series.len() as f64 / 2.0) * bar;
            let name = categories.get(point.x as usize).map_or("", String::as_str);
            let says = format!("{} {name}: {}", of.name, number(value));
            draw_bar(canvas, &ruler, index, point, (x, y, bar - 1.0), &says);
        }
    }
    if missing > 0 {
        canvas.note(format!("{missing} bars are not drawn; the table has them."));
    }
    if figure.y.scale == Scale::Log {
        canvas.note("Bars begin at the lower end of the axis, not at 0.".to_owned());
    }
    canvas.line("axis", (plot.x, ruler.ground()), (plot.x + plot.width, ruler.ground()));
    let bottom = draw_names(canvas, categories, plot, group);
    frame::draw_x_label(canvas, &figure.x.label, plot, bottom)
}

fn draw_bar(
    canvas: &mut Canvas,
    ruler: &Ruler,
    index: usize,
    point: &Point,
    (x, y, width): (f64, f64, f64),
    says: &str,
) {
    let ground = ruler.ground();
    let place = Place { x, y: y.min(ground), width: width.max(1.0), height: (ground - y).abs().max(1.0) };
    legend::fill(canvas, index, place, says);
    let end = |value: Option<f64>| value.and_then(|value| ruler.place_within(value));
    let (lo, hi) = (end(point.lo).unwrap_or(y), end(point.hi).unwrap_or(y));
    let middle = x + width / 2.0;
    if point.lo.is_some() || point.hi.is_some() {
        let mut d = String::new();
        let _ = write!(
            d,
            "M{x} {}V{}M{left} {}h6M{left} {}h6",
            n(lo),
            n(hi),
            n(lo),
            n(hi),
            x = n(middle),
            left = n(middle - 3.0)
        );
        canvas.path("whisker", &d, "");
    }
    let value = point.y.map(number).unwrap_or_default();
    let value = if point.is_at_least { format!("≥ {value}") } else { value };
    if 0.92 * width_of(&value) <= width + 8.0 {
        canvas.text("sm", Anchor::Middle, (middle, y.min(hi).min(ground) - 4.0), &value, WIDTH);
    }
}

/// Below the plot; says where the label of the axis goes.
fn draw_names(canvas: &mut Canvas, categories: &[String], plot: Place, group: f64) -> f64 {
    let bottom = plot.y + plot.height;
    let widest = categories.iter().map(|name| width_of(name)).fold(0.0, f64::max);
    let at = |index: usize| plot.x + (index as f64 + 0.5) * group;
    if widest <= group - 6.0 {
        for (index, name) in categories.iter().enumerate() {
            canvas.text("tk", Anchor::Middle, (at(index), bottom + 18.0), name, group);
        }
        return bottom + 36.0;
    }
    let every = (15.0 / group.max(0.01)).ceil().max(1.0) as usize;
    for (index, name) in categories.iter().enumerate().step_by(every) {
        let (x, y) = (at(index) + 4.0, bottom + 14.0);
        // Turned names reach to the left as far as down: the first ones have less room.
        let room = NAME_MAX.min((x - 4.0) / 0.82);
        let turn = format!(" transform=\"rotate(-35 {} {})\"", n(x), n(y));
        canvas.text_with("tk", Anchor::End, (x, y), name, room, &turn);
    }
    let deep = categories.iter().map(|name| width_of(&shortened(name, NAME_MAX))).fold(0.0, f64::max);
    bottom + 32.0 + deep * 0.58
}
