//! Lines of a log as the kubelet gives them: a time, a space, and what was written.
//! Invariants: never more than `LINE_BYTES_MAX` of a line in memory, whatever a container writes; bytes that are no text are replaced.

use std::io;

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::jiff::Timestamp;

/// Of a line; the rest is left out.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written, by the clock of its machine; `None`: the kubelet did not say.
    pub time: Option<Timestamp>,
    /// Without its end.
    pub text: String,
}

impl Line {
    /// Of the bytes of a line without its end.
    pub fn of(bytes: &[u8]) -> Line {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\r');
        let stamped = text.split_once(' ').and_then(|(time, rest)| Some((time.parse().ok()?, rest)));
        match stamped {
            Some((time, rest)) => Line { time: Some(time), text: rest.to_owned() },
            None => Line { time: None, text: text.to_owned() },
        }
    }
}

/// The next line; `None` at the end.
pub async fn next(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    let mut has_any = false;
    loop {
        let chunk = from.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(has_any.then(|| Line::of(&bytes)));
        }
        has_any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
        let room = LINE_BYTES_MAX.saturating_sub(bytes.len());
        let is_cut = part.len() > room && room > 0;
        bytes.extend_from_slice(part.get(..room).unwrap_or(part));
        if is_cut {
            bytes.extend_from_slice("…".as_bytes());
        }
        let taken = end.map_or(chunk.len(), |end| end + 1);
        from.consume_unpin(taken);
        if end.is_some() {
            return Ok(Some(Line::of(&bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::io::{BufReader, Cursor};

    use super::{LINE_BYTES_MAX, Line, next};

    async fn all(bytes: &[u8], buffer: usize) -> Vec<Line> {
        let mut from = BufReader::with_capacity(buffer, Cursor::new(bytes));
        let mut lines = Vec::new();
        while let Some(line) = next(&mut from).await.unwrap() {
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn a_line_has_the_time_that_the_kubelet_wrote_before_it() {
        let text = b"2026-01-01T00:00:00.5Z one two\r\nno time\n2026-01-01T00:00:01Z \nlast";
        let line = |time: Option<&str>, text: &str| Line {
            time: time.map(|time| time.parse().unwrap()),
            text: text.to_owned(),
        };
        let expected = [
            line(Some("2026-01-01T00:00:00.5Z"), "one two"),
            line(None, "no time"),
            line(Some("2026-01-01T00:00:01Z"), ""),
            line(None, "last"),
        ];
        for buffer in [1, 7, 4096] {
            assert_eq!(all(text, buffer).await, expected, "{buffer}");
        }
        assert_eq!(all(b"", 8).await, []);
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
        let long = [vec![b'x'; 3 * LINE_BYTES_MAX], b"\nnext\n".to_vec()].concat();
        for buffer in [1_000, 1 << 20] {
            let lines = all(&long, buffer).await;
            let texts: Vec<usize> = lines.iter().map(|line| line.text.chars().count()).collect();
            assert_eq!(texts, [LINE_BYTES_MAX + 1, 4], "{buffer}");
        }
    }

    #[tokio::test]
    async fn what_is_no_text_is_replaced() {
        assert_eq!(all(b"\xff\xfe\n", 8).await.first().unwrap().text, "\u{fffd}\u{fffd}");
    }
}
