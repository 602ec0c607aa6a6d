//! Draws figures as SVG to stand in a page: no script, no font of its own, colours by the page's style (`html/style.css`).
//! Follows research/lab.md 4. Reading order: `canvas` (what is written), `ruler` (numbers to places), `frame` (axes), `bands` (faults),
//! `legend`, then a kind each: `lines` (with `thin`), `bars`, `heat`, `strip`, `timeline`.
//! Invariants: the same figure gives the same bytes; whatever the numbers, only finite ones are written; colour never stands alone.
//! What is not drawn is counted in a note below the plot. Not here: the tables behind the plots (`html/data.rs`).

use super::escape::escape;
use super::model::{Figure, Kind};
use canvas::{Canvas, WIDTH};

mod bands;
mod bars;
mod canvas;
mod frame;
mod heat;
mod legend;
mod lines;
mod ruler;
mod strip;
#[cfg(test)]
pub(super) mod tests;
mod thin;
mod timeline;

pub(crate) use ruler::number;

/// How fine a drawing is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detail {
    /// Of points in a column so wide only the least and the greatest are drawn, in pixels.
    pub(super) column: f64,
    /// So many parts at most of all else: dots, cells, spans, operations.
    pub(super) parts_max: usize,
}

impl Detail {
    /// As fine as one sees.
    pub(super) const FULL: Self = Self { column: 1.0, parts_max: 4_000 };

    /// Half as fine.
    pub(super) fn coarser(self) -> Self {
        Self { column: self.column * 2.0, parts_max: self.parts_max / 2 }
    }
}

/// `figure` as one `<svg>` element. Cost: linear in its points, and at most some hundred kilobytes.
pub fn svg(figure: &Figure) -> String {
    drawn(figure, Detail::FULL)
}

pub(super) fn drawn(figure: &Figure, detail: Detail) -> String {
    let id = plain_id(&figure.id);
    let mut canvas = Canvas::new(&id);
    let height = match &figure.kind {
        Kind::Lines { series } => lines::draw(&mut canvas, figure, series, detail),
        Kind::Bars { categories, series } => bars::draw(&mut canvas, figure, categories, series, detail),
        Kind::Heat { columns, rows, cells } => heat::draw(&mut canvas, figure, columns, rows, cells, detail),
        Kind::Strip { lanes } => strip::draw(&mut canvas, figure, lanes, detail),
        Kind::Timeline { lanes } => timeline::draw(&mut canvas, figure, lanes, detail),
    };
    let (body, height) = canvas.finish(height);
    format!(
        "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{}</title><desc id=\"{id}-desc\">{}</desc>{body}</svg>",
        escape(&figure.title),
        escape(&described(figure)),
    )
}

/// What it shows, for those who do not see it.
fn described(figure: &Figure) -> String {
    let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>().join(", ");
    let shows = match &figure.kind {
        Kind::Lines { series } => format!("Lines: {}", names(&mut series.iter().map(|series| &series.name))),
        Kind::Bars { series, .. } => format!("Bars: {}", names(&mut series.iter().map(|series| &series.name))),
        Kind::Heat { columns, rows, .. } => format!("{} columns, {} rows", columns.len(), rows.len()),
        Kind::Strip { lanes } => format!("Lanes: {}", names(&mut lanes.iter().map(|lane| &lane.name))),
        Kind::Timeline { lanes } => format!("Operations of: {}", names(&mut lanes.iter().map(|lane| &lane.name))),
    };
    format!(
        "{} {shows}. x: {}. y: {}. The numbers are in the table below.",
        figure.says, figure.x.label, figure.y.label
    )
}

/// `id` with nothing in it but what an id and a `url(#…)` may hold.
pub(super) fn plain_id(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    format!("f-{}", id.chars().take(64).map(plain).collect::<String>())
}
