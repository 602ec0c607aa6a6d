//! Words of others as text of XML and HTML: titles and labels come from users' files.
//! Invariant: what comes out holds no markup, no quote, and no character that XML 1.0 (2.2) forbids, so it may stand in an element or an attribute.
//! Not here: Markdown (`summary`), CSV (`cells`).

/// `words`, to be written into an element or between quotes.
pub(super) fn escape(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            '\t' | '\n' | '\r' => text.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn markup_and_quotes_become_text_and_control_characters_go() {
        assert_eq!(escape("<a b='c'>\"&\0\u{1b}[0m\n"), "&lt;a b=&#39;c&#39;&gt;&quot;&amp;[0m\n");
    }
}
