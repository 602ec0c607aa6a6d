//! What the nodes of a store with leaders said of themselves during a run: `leadership.jsonl` beside its history (docs/verdicts.md).
//! The first line is the `Header`, each other an `Answer`; whoever asked did so by a way that faults do not cut, and lost questions have no line.
//! Invariants: times are on the scale of the history; a node's answers are in the order in which it was asked; a torn last line is left out,
//! anything else that is no answer is an error with its line. Not here: what it means (`judges::leaders`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::history::{Line, ReadError, next_line, parse};

/// The version of the format.
pub const VERSION: u32 = 1;

/// The file's name.
pub const FILE: &str = "leadership.jsonl";

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Of this format.
    pub driftkv_leadership: u32,
    /// As in the header of the history.
    pub run: String,
}

/// What a node takes itself for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It leads its term.
    Leader,
    /// It follows somebody, or nobody yet.
    Follower,
    /// It asks to lead its term.
    Candidate,
}

/// What a node said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// As in the `coordinator` of a history's records.
    pub node: String,
    /// Just before it was asked, in nanoseconds since the run began.
    pub sent_ns: u64,
    /// Just after its answer was understood.
    pub recv_ns: u64,
    /// What it takes itself for.
    pub role: Role,
    /// The newest term that it knows.
    pub term: u64,
    /// The last entry of its log that it knows to be kept.
    pub commit: u64,
}

/// Where it is for the history at `history`.
pub fn beside(history: &Path) -> PathBuf {
    history.with_file_name(FILE)
}

/// The answers in the file at `path`, each with its line; `None`: there is no file.
///
/// Errors: it cannot be read, is of another run than `run`, or has a line that is no answer.
pub fn read(path: &Path, run: &str) -> Result<Option<Vec<(u64, Answer)>>, ReadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReadError::Io { path: path.to_owned(), error }),
    };
    let mut file = BufReader::new(file);
    let mut asked = HashMap::new();
    let mut answers = Vec::new();
    for number in 1.. {
        let wrong = |why: String| ReadError::Line { path: path.to_owned(), line: number, why };
        let line = next_line(&mut file).map_err(|error| ReadError::Io { path: path.to_owned(), error })?;
        match line {
            Line::Whole(bytes) if number == 1 => header(&bytes, run).map_err(wrong)?,
            Line::Whole(bytes) => answers.push((number, answer(&bytes, &mut asked).map_err(wrong)?)),
            Line::Torn(_) if number == 1 => return Err(wrong("the header is missing, or cut off".to_owned())),
            Line::Torn(_) => break,
            Line::TooLong => return Err(wrong("the line is too long".to_owned())),
        }
    }
    Ok(Some(answers))
}

fn header(line: &[u8], run: &str) -> Result<(), String> {
    let header: Header = parse(line).map_err(|why| format!("no header of samples of leadership: {why}"))?;
    match header {
        Header { driftkv_leadership, .. } if driftkv_leadership != VERSION => {
            Err(format!("version {driftkv_leadership} of the format; this driftkv reads {VERSION}"))
        }
        Header { run: other, .. } if other != run => Err(format!("of run {other}; the history is of run {run}")),
        _ => Ok(()),
    }
}

/// `asked`: when each node was asked last.
fn answer(line: &[u8], asked: &mut HashMap<String, u64>) -> Result<Answer, String> {
    let answer: Answer = parse(line).map_err(|why| format!("no sample of leadership: {why}"))?;
    if answer.node.is_empty() {
        return Err("no sample of leadership: the node has no name".to_owned());
    }
    if answer.recv_ns < answer.sent_ns {
        return Err(format!("{} answered before it was asked", answer.node));
    }
    let last = asked.entry(answer.node.clone()).or_insert(answer.sent_ns);
    if answer.sent_ns < *last {
        return Err(format!("{} was asked before the line above it about this node", answer.node));
    }
    *last = answer.sent_ns;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::{Answer, Role, beside, read};

    const HEADER: &str = r#"{"driftkv_leadership":1,"run":"ab"}"#;
    const FIRST: &str = r#"{"node":"a","sent_ns":5,"recv_ns":7,"role":"leader","term":2,"commit":9}"#;

    fn of(text: &str) -> Result<Option<Vec<(u64, Answer)>>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = beside(&directory.path().join("history.jsonl"));
        fs::write(&path, text).unwrap();
        read(&path, "ab").map_err(|error| error.to_string().split_once("leadership.jsonl").unwrap().1.to_owned())
    }

    #[test]
    fn answers_are_read_with_their_lines_and_a_torn_one_is_left_out() {
        let first = Answer { node: "a".to_owned(), sent_ns: 5, recv_ns: 7, role: Role::Leader, term: 2, commit: 9 };
        assert_eq!(of(&format!("{HEADER}\n{FIRST}\n{{\"node")), Ok(Some(vec![(2, first)])));
        assert_eq!(of(&format!("{HEADER}\n")), Ok(Some(vec![])));
        assert_eq!(read(std::path::Path::new("/nowhere/leadership.jsonl"), "ab").unwrap(), None);
    }

    #[test]
    fn whatever_is_not_an_answer_is_an_error_with_its_line() {
        let changed = |from: &str, to: &str| format!("{HEADER}\n{FIRST}\n{}\n", FIRST.replace(from, to));
        for (text, why) in [
            (String::new(), ":1: the header is missing"),
            (format!("{FIRST}\n"), ":1: no header of samples of leadership: unknown field `node`"),
            (HEADER.replace(":1,", ":3,") + "\n", ":1: version 3 of the format; this driftkv reads 1"),
            (HEADER.replace("ab", "cd") + "\n", ":1: of run cd; the history is of run ab"),
            (changed("leader", "king"), ":3: no sample of leadership: unknown variant `king`"),
            (changed(",\"commit\":9", ""), ":3: no sample of leadership: missing field `commit`"),
            (changed("\"term\"", "\"epoch\""), ":3: no sample of leadership: unknown field `epoch`"),
            (changed("\"a\"", "\"\""), ":3: no sample of leadership: the node has no name"),
            (changed(":7", ":4"), ":3: a answered before it was asked"),
            (changed("_ns\":5", "_ns\":4"), ":3: a was asked before the line above"),
        ] {
            let error = of(&text).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
