//! Colour, tables and numbers as people read them.
//! Invariant: nothing that came from a value or a node reaches a terminal with control characters in it.
//! Not here: what is shown (each command).

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};

use crate::args::Output;
use crate::error::Failure;

/// Colours text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    is_on: bool,
}

impl Paint {
    /// For stdout: on only on a terminal and without `NO_COLOR`.
    pub fn stdout() -> Self {
        Self { is_on: std::io::stdout().is_terminal() && is_wanted() }
    }

    /// For stderr: on only on a terminal and without `NO_COLOR`.
    pub fn stderr() -> Self {
        Self { is_on: std::io::stderr().is_terminal() && is_wanted() }
    }

    /// Never.
    #[cfg(any(test, feature = "kubectl"))]
    pub fn off() -> Self {
        Self { is_on: false }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What can be skipped.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// What is wrong.
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What is well.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What deserves a look.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// One thing of many, always in the colour that its `name` gives it.
    #[cfg(feature = "kubectl")]
    pub fn one_of_many(self, text: &str, name: &str) -> String {
        const COLOURS: [&str; 6] = ["36", "35", "34", "32", "96", "95"];
        let sum = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.wrap(COLOURS.get(sum % COLOURS.len()).unwrap_or(&"36"), text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to stdout. A reader that went away (`driftkv ring | head`) is no failure.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    print_to_reader(text).map(drop)
}

/// The same; whether there still is a reader.
pub fn print_to_reader(text: impl AsRef<[u8]>) -> Result<bool, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed(format!("stdout: {error}"))),
    }
}

/// Writes a line to stderr. Nobody may be there to read it, and what a command does and how it ends does not depend on that.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a value for programs to stdout.
pub fn print_value(output: Output, value: &serde_json::Value) -> Result<(), Failure> {
    print(for_programs(output, value)?)
}

/// A value as YAML if that is asked for, else as JSON, indented.
pub fn for_programs(output: Output, value: &serde_json::Value) -> Result<String, Failure> {
    match output {
        Output::Yaml => serde_saphyr::to_string(value).map_err(|error| Failure::failed(format!("YAML: {error}"))),
        Output::Json | Output::Text => Ok(format!("{value:#}\n")),
    }
}

/// Rows under headings, each column as wide as its widest cell; two spaces between, none at the end of a line.
///
/// A column in which no row has anything is left out.
pub fn table(paint: Paint, headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let heading = headings.get(column).map_or(0, |heading| heading.chars().count());
        cells.max().filter(|widest| *widest > 0).map(|widest| widest.max(heading))
    };
    let widths: Vec<Option<usize>> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).filter_map(|(cell, width)| Some(format!("{cell:<0$}", (*width)?)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut out = format!("{}\n", paint.bold(&line(headings.to_vec())));
    for row in rows {
        out += &line(row.iter().map(String::as_str).collect());
        out.push('\n');
    }
    out
}

/// The same as one of many: JSON in a line, YAML as a document.
pub fn one_for_programs(output: Output, value: &serde_json::Value) -> Result<String, Failure> {
    match output {
        Output::Yaml => Ok(format!("---\n{}", for_programs(output, value)?)),
        Output::Json | Output::Text => Ok(format!("{value}\n")),
    }
}

/// Columns that a picture may have: those of the terminal, from 60 to 120; 100 if it is none.
#[cfg(feature = "kubectl")]
pub fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if size == 0 { 100 } else { size.clamp(60, 120) }
}

/// Text in lines of at most `width` columns, broken between words; those after the first begin with `indent` spaces.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let start = text.len() - text.trim_start().len();
    let mut out = text.get(..start).unwrap_or_default().to_owned();
    let mut column = start;
    for word in text.trim_start().split_inclusive(' ') {
        let columns = word.trim_end().chars().count();
        if column + columns > width && column > indent {
            out = format!("{}\n{}", out.trim_end(), " ".repeat(indent));
            column = indent;
        }
        out += word;
        column += word.chars().count();
    }
    out.trim_end().to_owned() + "\n"
}

/// At most so many columns: what is cut off is an ellipsis.
#[cfg(feature = "kubectl")]
pub fn shorten(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// `1 node`, `2 nodes`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `512 B`, `1.5 KiB`, `2.0 GiB`.
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") }
}

/// `1.5s`, `2m 5s`, `1h 0m`.
pub fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..10 => format!("{:.1}s", ms as f64 / 1000.0),
        10..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        _ => format!("{}h {}m", s / 3600, s % 3600 / 60),
    }
}

/// Text without control characters, for one line of a terminal.
pub fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A value as a person reads it: text as it is but for control characters, other bytes as hexadecimal digits.
///
/// Lines after the first are indented by `indent`. At most 4096 characters are shown.
pub fn value(bytes: &[u8], indent: usize) -> String {
    const CHARS_MAX: usize = 4096;
    let Ok(text) = std::str::from_utf8(bytes) else {
        let shown = hex(bytes.get(..64).unwrap_or(bytes));
        let more = if bytes.len() > 64 { "…" } else { "" };
        return format!("{shown}{more}  ({}, not text)", count(bytes.len() as u64, "byte"));
    };
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let shown: String = text.chars().take(CHARS_MAX).collect();
    let lines: Vec<String> = shown.split('\n').map(|line| one_line(&line.replace('\t', "    "))).collect();
    let mut out = lines.join(&format!("\n{}", " ".repeat(indent)));
    if shown.len() < text.len() {
        out += &format!("…  ({} in all)", self::bytes(text.len() as u64));
    }
    out
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// A word as a shell reads it back.
pub fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Paint, bytes, duration, one_line, shell, table, value};

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells_and_has_no_trailing_spaces() {
        let rows = [vec!["demo-0".to_owned(), "a".to_owned()], vec!["d".to_owned(), String::new()]];
        assert_eq!(table(Paint::off(), &["NODE", "ZONE"], &rows), "NODE    ZONE\ndemo-0  a\nd\n");
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let rows = [vec!["a".to_owned(), String::new(), "b".to_owned()], vec!["c".to_owned()]];
        assert_eq!(table(Paint::off(), &["NODE", "ZONE", "LOG"], &rows), "NODE  LOG\na     b\nc\n");
    }

    #[test]
    fn columns_are_counted_in_characters() {
        let rows = [vec!["███".to_owned(), "x".to_owned()], vec!["a".to_owned(), "y".to_owned()]];
        assert_eq!(table(Paint::off(), &["B", "C"], &rows), "B    C\n███  x\na    y\n");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(2 << 30)], ["0 B", "1023 B", "1.5 KiB", "2.0 GiB"]);
        assert_eq!([duration(1500), duration(42_000), duration(125_000)], ["1.5s", "42s", "2m 5s"]);
    }

    #[test]
    fn a_value_cannot_command_the_terminal() {
        assert_eq!(one_line("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(value(b"one\ntwo\x07", 2), "one\n  two\\u{7}");
        assert_eq!(value(&[0xff, 0x00], 0), "ff00  (2 bytes, not text)");
        assert_eq!(value(b"", 0), "(empty)");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!([shell("user:1"), shell("it's"), shell("")], ["user:1", r"'it'\''s'", "''"]);
    }
}
