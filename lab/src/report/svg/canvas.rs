//! Writes SVG elements: numbers with one decimal, words escaped and no longer than there is room for.
//! Invariants: no number that is not finite is written; words that were shortened have all of themselves as their `<title>`.
//! How wide words are is estimated on the safe side: fonts differ. Not here: what is drawn where.

use std::fmt::Write;

use crate::report::escape::escape;

/// Of all plots; a page scales them.
pub(super) const WIDTH: f64 = 860.0;
/// Pixels from one line of words to the next.
pub(super) const LINE: f64 = 16.0;

/// Where words stand relative to their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing in the making.
pub(super) struct Canvas {
    /// Begins all ids of this drawing.
    pub(super) id: String,
    body: String,
    notes: Vec<String>,
}

impl Canvas {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), body: String::new(), notes: Vec::new() }
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.body.push_str(text);
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &format!("M{} {}L{} {}", n(from.0), n(from.1), n(to.0), n(to.1)), "");
    }

    /// Nothing where `d` is empty. `says`: its tooltip.
    pub(super) fn path(&mut self, class: &str, d: &str, says: &str) {
        self.path_with(class, d, "", says);
    }

    /// `attributes`: more of them, already as XML.
    pub(super) fn path_with(&mut self, class: &str, d: &str, attributes: &str, says: &str) {
        if d.is_empty() {
            return;
        }
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}\"{attributes}");
        self.close("path", says);
    }

    pub(super) fn rect(&mut self, class: &str, place: Place, says: &str) {
        self.rect_with(class, place, "", says);
    }

    /// `attributes`: more of them, already as XML.
    pub(super) fn rect_with(&mut self, class: &str, place: Place, attributes: &str, says: &str) {
        let Place { x, y, width, height } = place;
        let (x, y, width, height) = (n(x), n(y), n(width.max(0.0)), n(height.max(0.0)));
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{attributes}"
        );
        self.close("rect", says);
    }

    fn close(&mut self, element: &str, says: &str) {
        if says.is_empty() {
            self.body.push_str("/>");
        } else {
            let _ = write!(self.body, "><title>{}</title></{element}>", escape(says));
        }
    }

    /// Words whose baseline is at `at`, shortened to `room` pixels.
    pub(super) fn text(&mut self, class: &str, anchor: Anchor, at: (f64, f64), words: &str, room: f64) {
        self.text_with(class, anchor, at, words, room, "");
    }

    pub(super) fn text_with(
        &mut self,
        class: &str,
        anchor: Anchor,
        at: (f64, f64),
        words: &str,
        room: f64,
        attributes: &str,
    ) {
        // Estimates are for 12 pixels; small words have 11.
        let is_small = class.split(' ').any(|of| matches!(of, "sm" | "bt" | "note"));
        let short = shortened(words, if is_small { room / 0.92 } else { room });
        if short.is_empty() {
            return;
        }
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let title = if short == words { String::new() } else { format!("<title>{}</title>", escape(words)) };
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\"{anchor}{attributes}>{title}{}</text>",
            n(at.0),
            n(at.1),
            escape(&short)
        );
    }

    /// A sentence below the plot; the same one twice stands there once.
    pub(super) fn note(&mut self, words: String) {
        if !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }

    /// What was drawn, with the notes below `height`, and how high it is with them.
    pub(super) fn finish(mut self, height: f64) -> (String, String) {
        let mut bottom = height;
        for note in std::mem::take(&mut self.notes) {
            bottom += LINE;
            self.text("note", Anchor::Start, (0.0, bottom - 4.0), &note, WIDTH);
        }
        (self.body, n(bottom.max(1.0)))
    }
}

/// Of a rectangle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A coordinate; what is no number is 0.
pub(super) fn n(number: f64) -> String {
    if !number.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{:.1}", number.clamp(-1e6, 1e6));
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// About how wide `words` are at 12 pixels; rather more than less.
pub(super) fn width_of(words: &str) -> f64 {
    words.chars().map(width_of_letter).sum()
}

fn width_of_letter(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | '(' | ')' | '[' | ']' | ' ' => 4.6,
        'f' | 't' | 'r' | '-' | '/' => 5.2,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 11.2,
        'A'..='Z' => 8.4,
        letter if u32::from(letter) >= 0x1100 => {
            // Arrows, dashes and signs are narrow; scripts of the East and pictures are not.
            if matches!(u32::from(letter), 0x2000..=0x2bff) { 9.0 } else { 13.0 }
        }
        _ => 7.4,
    }
}

/// `words`, or as many of their first letters as fit into `room` and `…`; nothing where not even one fits.
pub(super) fn shortened(words: &str, room: f64) -> String {
    if width_of(words) <= room {
        return words.to_owned();
    }
    let (mut short, mut width) = (String::new(), width_of_letter('…'));
    for letter in words.chars() {
        width += width_of_letter(letter);
        if width > room {
            break;
        }
        short.push(letter);
    }
    if short.is_empty() { short } else { short.trim_end().to_owned() + "…" }
}
