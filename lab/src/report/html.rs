//! The report as one page: no network, no script, no font of its own, at most two megabytes, light and dark, fit for print.
//! Order: what was asked, what came, what was expected, what is doubtful, how to do it again; then facts, figures with their tables, tables.
//! Invariants: all words are escaped; the page's own policy forbids loading anything; where it would be too large, drawings become coarser and tables
//! shorter, and the page says so. Reading order: `html/table.rs`, `html/data.rs` (tables behind figures). Not here: plots (`svg`).

use std::fmt::Write;

use super::escape::escape;
use super::model::{Expectation, Figure, Report};
use super::svg::{self, Detail};
use crate::offline::Outcome;
use table::Rows;

mod data;
mod table;

/// No page is larger.
pub const BYTES_MAX: usize = 2_000_000;
const STYLE: &str = include_str!("html/style.css");
/// Of a title, a sentence or a cell; who writes more has a file for it.
const LETTERS_MAX: usize = 2_000;

/// `report` as a page. Cost: linear in its points; a report that does not fit is drawn again, at half the detail each time.
pub fn html(report: &Report) -> String {
    let mut limits = Limits { detail: Detail::FULL, rows: 400, figures: usize::MAX };
    loop {
        let page = page(report, &limits);
        if page.len() <= BYTES_MAX || limits.rows == 0 {
            return page;
        }
        limits = limits.halved();
    }
}

/// How much of everything.
struct Limits {
    detail: Detail,
    rows: usize,
    figures: usize,
}

impl Limits {
    fn halved(&self) -> Self {
        let rows = self.rows / 2;
        Self { detail: self.detail.coarser(), rows, figures: if rows < 30 { rows } else { usize::MAX } }
    }
}

/// How an outcome is told: a sign, a word, and the class of its colour.
pub(super) fn told(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Holds => ("✓", "holds"),
        Outcome::Unknown => ("?", "unknown"),
        Outcome::Violated => ("✗", "violated"),
    }
}

fn page(report: &Report, limits: &Limits) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#answers\">To the answers</a>\n<a class=\"skip\" href=\"#figures\">To the figures</a>\n\
         <header>\n<h1>{title}</h1>\n",
        title = words(&report.title),
    );
    let (sign, word) = told(report.outcome);
    let _ =
        writeln!(page, "<p class=\"verdict {word}\"><span aria-hidden=\"true\">{sign}</span> {word}</p>\n</header>");
    page += &contents(report);
    page += "<main>\n";
    push_first_page(&mut page, report, limits);
    if !report.facts.is_empty() {
        page += "<section id=\"facts\">\n<h2>The experiment</h2>\n";
        let rows: Vec<Vec<String>> =
            report.facts.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
        page += &Rows { caption: "", head: &[], rows: &rows, most: limits.rows }.html();
        page += "</section>\n";
    }
    push_figures(&mut page, report, limits);
    if !report.tables.is_empty() {
        page += "<section id=\"tables\">\n<h2>Tables</h2>\n";
        for table in report.tables.iter().take(limits.figures) {
            let _ = writeln!(page, "<h3>{}</h3>\n<p class=\"says\">{}</p>", words(&table.title), words(&table.says));
            page += &Rows { caption: "", head: &table.head, rows: &table.rows, most: limits.rows }.html();
        }
        page += "</section>\n";
    }
    page + "</main>\n</body>\n</html>\n"
}

/// Links to what there is.
fn contents(report: &Report) -> String {
    let parts = [
        ("answers", "Answers", true),
        ("expectations", "Expectations", !report.expectations.is_empty()),
        ("warnings", "Warnings", !report.warnings.is_empty()),
        ("again", "Run it again", !report.reproduce.is_empty()),
        ("facts", "The experiment", !report.facts.is_empty()),
        ("figures", "Figures", !report.figures.is_empty()),
        ("tables", "Tables", !report.tables.is_empty()),
    ];
    let link = |(id, name, _): &(&str, &str, bool)| format!("<a href=\"#{id}\">{name}</a>\n");
    let links: String = parts.iter().filter(|(.., is_there)| *is_there).map(link).collect();
    format!("<nav aria-label=\"Contents\">\n{links}</nav>\n")
}

fn push_first_page(page: &mut String, report: &Report, limits: &Limits) {
    let list = |items: &[String]| -> String {
        let shown = items.iter().take(limits.rows.max(1));
        let left = items.len().saturating_sub(limits.rows.max(1));
        let more = if left > 0 { format!("<li>… and {left} more in report.json</li>\n") } else { String::new() };
        shown.map(|item| format!("<li>{}</li>\n", words(item))).collect::<String>() + &more
    };
    let _ = write!(
        page,
        "<section id=\"answers\">\n<h2>Question and answers</h2>\n<p class=\"question\">{}</p>\n<ul class=\"answers\">\n{}</ul>\n</section>\n",
        words(&report.question),
        list(&report.answers)
    );
    if !report.expectations.is_empty() {
        *page += "<section id=\"expectations\">\n<h2>Expected and measured</h2>\n";
        *page += &expectations(&report.expectations, limits.rows);
        *page += "</section>\n";
    }
    if !report.warnings.is_empty() {
        *page += "<section id=\"warnings\">\n<h2>Warnings</h2>\n";
        for warning in report.warnings.iter().take(limits.rows) {
            let _ = writeln!(page, "<p class=\"warn\"><strong>Warning:</strong> {}</p>", words(warning));
        }
        if report.warnings.len() > limits.rows {
            let _ = writeln!(page, "<p>… and {} more in report.json</p>", report.warnings.len() - limits.rows);
        }
        *page += "</section>\n";
    }
    if !report.reproduce.is_empty() || !report.caveats.is_empty() {
        let _ = write!(
            page,
            "<section id=\"again\">\n<h2>Run it again</h2>\n<pre><code>{}</code></pre>\n<ul>\n{}</ul>\n</section>\n",
            words(&report.reproduce),
            list(&report.caveats)
        );
    }
}

fn expectations(expectations: &[Expectation], most: usize) -> String {
    let has_cells = expectations.iter().any(|of| !of.cell.is_empty());
    let cell = if has_cells { "<th scope=\"col\">Where</th>" } else { "" };
    let mut table = format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">Expected</th>{cell}<th scope=\"col\" class=\"n\">Measured</th>\
         <th scope=\"col\" class=\"n\">95 % interval</th><th scope=\"col\">Verdict</th><th scope=\"col\">Why</th></tr></thead><tbody>\n"
    );
    // What went wrong is never what is left out.
    let mut shown: Vec<&Expectation> = expectations.iter().collect();
    if shown.len() > most {
        shown.sort_by_key(|of| std::cmp::Reverse(of.outcome));
        shown.truncate(most);
    }
    for Expectation { expression, cell, measured, interval, outcome, why } in shown {
        let (sign, word) = told(*outcome);
        let cell = if has_cells { format!("<td>{}</td>", words(cell)) } else { String::new() };
        let or_not = |text: &str| if text.is_empty() { "not measured".to_owned() } else { words(text) };
        let interval = if interval.is_empty() { "–".to_owned() } else { words(interval) };
        let _ = writeln!(
            table,
            "<tr><td class=\"code\">{}</td>{cell}<td class=\"n\">{}</td><td class=\"n\">{interval}</td>\
             <td class=\"{word}\">{sign} {word}</td><td>{}</td></tr>",
            words(expression),
            or_not(measured),
            words(why)
        );
    }
    table += "</tbody></table></div>\n";
    if expectations.len() > most {
        let _ = writeln!(table, "<p>{} more are in report.json; the worst are shown.</p>", expectations.len() - most);
    }
    table
}

fn push_figures(page: &mut String, report: &Report, limits: &Limits) {
    if report.figures.is_empty() {
        return;
    }
    *page += "<section id=\"figures\">\n<h2>Figures</h2>\n\
              <p class=\"print-only\">The numbers behind the figures are in report.json.</p>\n";
    for (index, figure) in report.figures.iter().take(limits.figures).enumerate() {
        // Whatever a report calls its figures, ids on a page must differ.
        let own = Figure { id: format!("{index}-{}", figure.id), ..figure.clone() };
        let anchor = svg::plain_id(&own.id);
        let _ = write!(
            page,
            "<figure id=\"{anchor}\">\n<figcaption><h3>{}</h3>\n<p class=\"says\">{}</p></figcaption>\n<div class=\"scroll\">{}</div>\n{}</figure>\n",
            words(&figure.title),
            words(&figure.says),
            svg::drawn(&own, limits.detail),
            data::details(figure, limits.rows / 5),
        );
    }
    if report.figures.len() > limits.figures {
        let left = report.figures.len() - limits.figures;
        let _ = writeln!(page, "<p>{left} more figures are in report.json: this page would be too large.</p>");
    }
    if limits.detail.column > Detail::FULL.column {
        *page += "<p>The figures are coarser than they could be, to keep this page small.</p>\n";
    }
    *page += "</section>\n";
}

/// `text` escaped, and no longer than a page should have it.
fn words(text: &str) -> String {
    if text.len() <= LETTERS_MAX {
        return escape(text);
    }
    let clipped: String = text.chars().take(LETTERS_MAX).collect();
    let is_cut = clipped.len() < text.len();
    escape(&clipped) + if is_cut { "…" } else { "" }
}
