//! Draws operations as bars over time, a lane a worker or session.
//! Invariants: writes are filled and square, reads hollow and round; an end that is not known is an arrow that fades; what is part of the violation is
//! framed and has its label, whatever else has to go. Bars that overlap in a lane are below each other.

use std::fmt::Write;

use super::canvas::{Anchor, Canvas, LINE, Place, WIDTH, n, width_of};
use super::legend::{self, Sample};
use super::ruler::{Base, Ruler, number};
use super::{Detail, bands, frame};
use crate::report::model::{Figure, OpBar, OpLane};

const BAR: f64 = 18.0;
const ROWS_MAX: usize = 8;
const LABELLED_MAX: usize = 150;

/// Draws it all and says how high it is.
pub(super) fn draw(canvas: &mut Canvas, figure: &Figure, lanes: &[OpLane], detail: Detail) -> f64 {
    define_fading(canvas);
    let left = lanes.iter().map(|lane| width_of(&lane.name) + 12.0).fold(40.0, f64::max).min(190.0);
    let right = WIDTH - frame::RIGHT;
    let ops = || lanes.iter().flat_map(|lane| &lane.ops);
    let times = ops().flat_map(|op| [op.from, op.to.unwrap_or(op.from)]).chain(bands::values(&figure.bands));
    let ruler = Ruler::of(figure.x.scale, Base::Near, times, (left, right - 14.0));
    let top = frame::draw_y_label(canvas, &figure.y.label);
    let top = legend::draw(canvas, &entries(lanes), top);
    let (above, edges) = bands::draw(canvas, &figure.bands, &ruler, (left, right), top);
    let rows: Vec<Row> = lanes.iter().flat_map(|lane| Row::all(lane, &ruler, right)).collect();
    let drawn = rows.iter().map(|row| row.bars.len()).sum::<usize>();
    let every = drawn.div_ceil((detail.parts_max / 2).max(1)).max(1);
    let mut y = above + 6.0;
    bands::draw_edges(canvas, &edges, above - 3.0, y + rows.iter().map(Row::height).sum::<f64>());
    for row in &rows {
        row.draw(canvas, (left, right), y, every);
        y += row.height();
    }
    let shown: usize = rows.iter().map(|row| row.chosen(every).count()).sum();
    if shown < ops().count() {
        canvas.note(format!("{} of {} operations are drawn; the table has more.", shown, ops().count()));
    }
    frame::draw_x(canvas, &ruler, &figure.x.label, Place { x: left, y: above, width: right - left, height: y - above })
}

fn entries(lanes: &[OpLane]) -> Vec<(&'static str, Sample)> {
    let has = |is: fn(&OpBar) -> bool| lanes.iter().flat_map(|lane| &lane.ops).any(is);
    let mut entries = vec![("write", Sample::Class { class: "op wr" }), ("read", Sample::Class { class: "op rd" })];
    if has(|op| op.to.is_none()) {
        entries.push(("end not known", Sample::Class { class: "op rd open" }));
    }
    if has(|op| op.is_witness) {
        entries.push(("part of the violation", Sample::Class { class: "witness" }));
    }
    entries
}

/// What an open write is filled with.
fn define_fading(canvas: &mut Canvas) {
    let id = canvas.id.clone();
    canvas.raw(&format!(
        "<defs><linearGradient id=\"{id}-fade\"><stop class=\"fade\" offset=\"0.6\"/><stop class=\"fade end\" offset=\"1\"/></linearGradient></defs>"
    ));
}

/// Bars beside each other, with labels in them or on lines above.
struct Row<'a> {
    name: &'a str,
    bars: Vec<Bar<'a>>,
    /// Lines of labels above the bars.
    lines: usize,
    /// Where the last bar ends.
    end: f64,
}

struct Bar<'a> {
    op: &'a OpBar,
    from: f64,
    to: f64,
    /// Above the bar: the line and the place.
    above: Option<(usize, f64)>,
}

impl<'a> Row<'a> {
    fn all(lane: &'a OpLane, ruler: &Ruler, right: f64) -> Vec<Self> {
        let mut rows = vec![Self::new(&lane.name)];
        for op in &lane.ops {
            let Some(from) = ruler.place(op.from) else { continue };
            let to = op.to.map_or(Some(right), |to| ruler.place_within(to)).unwrap_or(from).max(from + 3.0);
            let bar = Bar { op, from, to, above: None };
            let has_room = rows.len() < ROWS_MAX || op.is_witness;
            if let Some(row) = rows.iter_mut().find(|row| row.end <= from) {
                row.push(bar);
            } else if has_room {
                let mut row = Self::new("");
                row.push(bar);
                rows.push(row);
            }
        }
        rows.iter_mut().for_each(|row| row.place_labels(right));
        rows
    }

    fn new(name: &'a str) -> Self {
        Self { name, bars: Vec::new(), lines: 0, end: f64::NEG_INFINITY }
    }

    fn push(&mut self, bar: Bar<'a>) {
        self.end = self.end.max(bar.to);
        self.bars.push(bar);
    }

    /// Labels of the violation come first; where bars are many, there are no others.
    fn place_labels(&mut self, right: f64) {
        let mut taken: Vec<(usize, f64, f64)> = Vec::new();
        let is_crowded = self.bars.len() > LABELLED_MAX;
        for is_witness in [true, false] {
            if is_crowded && !is_witness {
                break;
            }
            let unlabelled = |bar: &&mut Bar| bar.op.is_witness == is_witness && !bar.holds_label();
            for bar in self.bars.iter_mut().filter(unlabelled).take(LABELLED_MAX) {
                let width = (1.08 * width_of(&bar.op.label)).min(260.0);
                let from = bar.from.min(right - width).max(0.0);
                let is_free = |line: usize| {
                    taken
                        .iter()
                        .all(|(of, start, end)| *of != line || *end + 8.0 <= from || *start >= from + width + 8.0)
                };
                let lines = if is_witness { 6 } else { 2 };
                if let Some(line) = (0..lines).find(|line| is_free(*line)) {
                    taken.push((line, from, from + width));
                    bar.above = Some((line, from));
                }
            }
        }
        self.lines = taken.iter().map(|(line, ..)| line + 1).max().unwrap_or(0);
    }

    fn height(&self) -> f64 {
        self.lines as f64 * (LINE - 2.0) + BAR + 11.0
    }

    fn chosen(&self, every: usize) -> impl Iterator<Item = &Bar<'a>> {
        self.bars
            .iter()
            .enumerate()
            .filter(move |(index, bar)| index % every == 0 || bar.op.is_witness)
            .map(|(_, bar)| bar)
    }

    fn draw(&self, canvas: &mut Canvas, (left, right): (f64, f64), top: f64, every: usize) {
        let y = top + 2.0 + self.lines as f64 * (LINE - 2.0);
        canvas.text("tk", Anchor::End, (left - 8.0, y + 13.0), self.name, left - 8.0);
        canvas.line("grid", (left, y + BAR + 4.0), (right, y + BAR + 4.0));
        for bar in self.chosen(every) {
            bar.draw(canvas, y);
            if let Some((line, x)) = bar.above {
                let baseline = y - 6.0 - (LINE - 2.0) * line as f64;
                let class = if bar.op.is_witness { "sm wit" } else { "sm" };
                if line > 0 {
                    canvas.line("lead", (bar.from + 1.5, baseline + 2.0), (bar.from + 1.5, y));
                }
                canvas.text(class, Anchor::Start, (x, baseline), &bar.op.label, 240.0);
            }
        }
    }
}

impl Bar<'_> {
    fn holds_label(&self) -> bool {
        // An open bar fades: its label must end before that.
        let room = if self.op.to.is_none() { 0.6 } else { 1.0 } * (self.to - self.from);
        room >= width_of(&self.op.label) + 8.0
    }

    fn draw(&self, canvas: &mut Canvas, y: f64) {
        let OpBar { label, is_write, is_witness, to, asked, .. } = self.op;
        let end = to.map_or("not known".to_owned(), number);
        let asked = asked.as_ref().map_or_else(String::new, |node| format!(", asked {node}"));
        let says = format!("{label}{asked}: {} to {end}", number(self.op.from));
        let kind = if *is_write { "wr" } else { "rd" };
        let width = self.to - self.from;
        if to.is_some() {
            let round = if *is_write { "" } else { " rx=\"7\"" };
            canvas.rect_with(&format!("op {kind}"), Place { x: self.from, y, width, height: BAR }, round, &says);
        } else {
            self.draw_open(canvas, kind, y, &says);
        }
        if *is_witness {
            let frame = Place { x: self.from - 2.5, y: y - 2.5, width: width + 5.0, height: BAR + 5.0 };
            canvas.rect("witness", frame, &says);
        }
        if self.holds_label() {
            let class = if *is_write { "sm on" } else { "sm" };
            canvas.text(class, Anchor::Start, (self.from + 5.0, y + 13.0), label, width - 8.0);
        }
    }

    /// An arrow to the right with a dashed outline; a write fades toward its end.
    fn draw_open(&self, canvas: &mut Canvas, kind: &str, y: f64, says: &str) {
        let (from, to) = (self.from, (self.to - 10.0).max(self.from + 1.0));
        let mut d = String::new();
        let _ = write!(d, "M{} {}H{}l9 9-9 9H{}z", n(from), n(y), n(to), n(from));
        let fading = if kind == "wr" { format!(" style=\"fill:url(#{}-fade)\"", canvas.id) } else { String::new() };
        canvas.path_with(&format!("op {kind} open"), &d, &fading, says);
    }
}
