//! The table at the end: what ran, how long it took, what was measured, what failed.

use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps a time for the table, beside the one that is wanted.
pub fn note(what: &str, took: Duration, wanted: Duration) {
    say(format!("{what}: {:.1} s (wanted {} s)", took.as_secs_f64(), wanted.as_secs()));
}

/// Keeps a line for the table.
pub fn say(line: String) {
    println!("   {line}");
    NOTES.lock().unwrap().push(line);
}

/// What the suite came to.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    took: Duration,
    notes: Vec<String>,
    why: Option<String>,
}

impl Report {
    /// A scenario is over; `why`: it failed.
    pub fn add(&mut self, name: &'static str, took: Duration, why: Option<String>) {
        if let Some(why) = &why {
            println!("   FAILED: {why}");
        }
        let notes = std::mem::take(&mut *NOTES.lock().unwrap());
        self.rows.push(Row { name, took, notes, why });
    }

    /// Whether anything ran, and nothing failed.
    pub fn is_green(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.why.is_none())
    }

    /// The table.
    pub fn text(&self) -> String {
        let mut text = "\nSCENARIO                                            TIME  RESULT\n".to_owned();
        for row in &self.rows {
            let result = if row.why.is_some() { "FAILED" } else { "ok" };
            let _ = writeln!(text, "{:<48}{:>6.1} s  {result}", row.name, row.took.as_secs_f64());
            for line in row.notes.iter().chain(&row.why) {
                let _ = writeln!(text, "    {line}");
            }
        }
        let failed = self.rows.iter().filter(|row| row.why.is_some()).count();
        let _ = writeln!(text, "{} scenarios, {failed} failed", self.rows.len());
        text
    }

    /// Writes it where E2E_SUMMARY says.
    pub fn keep(&self) {
        if let Ok(path) = std::env::var("E2E_SUMMARY") {
            std::fs::write(path, self.text()).expect("the summary is written");
        }
    }
}
