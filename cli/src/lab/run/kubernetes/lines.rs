//! What the pod of a run tells the command that started it: a JSON object a line, on its standard output.
//! Invariant: a line that is none of these (a panic, a library's word) is passed on as it is.

use driftkv_lab::load::Progress;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::style;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// A sentence for whoever looks.
    Say(String),
    /// How the load is doing.
    Progress(Progress),
    /// The run is judged, and its files wait to be fetched.
    Over,
    /// There is no run.
    Failed {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
}

impl Told {
    /// Of a line; what cannot be read is a sentence.
    pub fn of(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|_| Self::Say(style::one_line(line)))
    }

    /// Writes it.
    pub fn print(&self) -> Result<(), Failure> {
        let line = serde_json::to_string(self).map_err(|error| Failure::failed(error.to_string()))?;
        style::print(line + "\n")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Told;

    #[test]
    fn lines_are_read_as_written_and_what_is_no_line_of_ours_is_passed_on() {
        let failed = Told::Failed { message: "no".to_owned(), hint: String::new() };
        let line = serde_json::to_string(&failed).unwrap();
        assert!(matches!(Told::of(&line), Told::Failed { message, .. } if message == "no"));
        assert!(matches!(Told::of(&serde_json::to_string(&Told::Over).unwrap()), Told::Over));
        assert!(matches!(Told::of("thread panicked\x1b[2J"), Told::Say(text) if !text.contains('\x1b')));
    }
}
