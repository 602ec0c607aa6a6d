//! A table of words: columns of numbers to the right, rows beyond a limit counted instead of shown.
//! Invariant: all is escaped. Not here: which tables there are.

use std::fmt::Write;

use super::words;

/// Rows with their heads.
pub(super) struct Rows<'a> {
    /// May be empty.
    pub(super) caption: &'a str,
    /// May be empty: then the first cell of each row is its head.
    pub(super) head: &'a [String],
    pub(super) rows: &'a [Vec<String>],
    /// So many rows are shown.
    pub(super) most: usize,
}

impl Rows<'_> {
    pub(super) fn html(&self) -> String {
        let shown = || self.rows.iter().take(self.most);
        let width = shown().map(Vec::len).chain([self.head.len()]).max().unwrap_or(0);
        let is_number: Vec<bool> = (0..width).map(|column| holds_numbers(shown(), column)).collect();
        let class = |column: usize| if is_number.get(column) == Some(&true) { " class=\"n\"" } else { "" };
        let mut table = "<div class=\"scroll\"><table>".to_owned();
        if !self.caption.is_empty() {
            let _ = write!(table, "<caption>{}</caption>", words(self.caption));
        }
        if !self.head.is_empty() {
            table += "<thead><tr>";
            for (column, name) in self.head.iter().enumerate() {
                let _ = write!(table, "<th scope=\"col\"{}>{}</th>", class(column), words(name));
            }
            table += "</tr></thead>";
        }
        table += "<tbody>\n";
        for row in shown() {
            table += "<tr>";
            for (column, cell) in row.iter().enumerate() {
                let cell = words(cell);
                let _ = match (column, self.head.is_empty()) {
                    (0, true) => write!(table, "<th scope=\"row\">{cell}</th>"),
                    _ => write!(table, "<td{}>{cell}</td>", class(column)),
                };
            }
            table += "</tr>\n";
        }
        table += "</tbody></table></div>\n";
        if self.rows.len() > self.most {
            let left = self.rows.len() - self.most;
            let _ = writeln!(
                table,
                "<p class=\"says\">{left} of {} rows are not shown; report.json has all.</p>",
                self.rows.len()
            );
        }
        table
    }
}

/// Whether all cells of a column that hold something begin like numbers, and one does.
fn holds_numbers<'a>(rows: impl Iterator<Item = &'a Vec<String>>, column: usize) -> bool {
    let is_number = |cell: &str| {
        let digits = cell.trim_start_matches(['-', '+', '<', '>', '≥', '≤', '~', ' ']);
        digits.starts_with(|letter: char| letter.is_ascii_digit())
    };
    let mut cells =
        rows.filter_map(|row| row.get(column)).filter(|cell| !matches!(cell.as_str(), "" | "-" | "–")).peekable();
    cells.peek().is_some() && cells.all(|cell| is_number(cell))
}
