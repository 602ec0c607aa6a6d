//! The status again and again, until Ctrl-C or until nobody reads it: in place on a terminal, else one block after another.
//! Invariants: no moment without a picture on a terminal, for each is drawn over the last; being stopped is success, and so is a reader
//! that goes away.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use crate::error::Failure;
use crate::style;
use crate::up::signals::Signals;

/// Cursor to the top; what is drawn over ends each line, and then all below it.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";
const CLEAR: &str = "\x1b[2J";

/// Shows what `look` gives, every `interval`.
pub async fn watch(interval: Duration, mut look: impl AsyncFnMut() -> Result<String, Failure>) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let is_terminal = std::io::stdout().is_terminal();
    if is_terminal {
        style::print(CLEAR)?;
    }
    loop {
        let text = tokio::select! {
            text = look() => text?,
            () = signals.next() => return Ok(()),
        };
        if !style::print_to_reader(if is_terminal { in_place(&text) } else { text })? {
            return Ok(());
        }
        tokio::select! {
            () = sleep(interval) => {}
            () = signals.next() => return Ok(()),
        }
    }
}

/// The text drawn over the last one.
fn in_place(text: &str) -> String {
    format!("{HOME}{}{REST_OF_SCREEN}", text.replace('\n', &format!("{REST_OF_LINE}\n")))
}

/// `12:34:56 UTC`.
pub fn time_of_day() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::in_place;

    #[test]
    fn a_shorter_picture_leaves_nothing_of_a_longer_one() {
        assert_eq!(in_place("one\ntwo\n"), "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J");
    }
}
