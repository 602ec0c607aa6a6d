//! The report in a few lines of Markdown, for the summary of a CI job or a pull request.
//! Invariant: words of others cannot break a table, open markup or become a link. Not here: figures.

use std::fmt::Write;

use super::html::told;
use super::model::{Expectation, Report};

/// The verdict, the answers, the expectations, the warnings and the command to do it again.
pub fn summary_md(report: &Report) -> String {
    let (sign, word) = told(report.outcome);
    let mut text = format!("# {} {}: {word}\n\n{}\n", sign, plain(&report.title), plain(&report.question));
    push_list(&mut text, "", &report.answers);
    if !report.expectations.is_empty() {
        text += "\n| Expected | Where | Measured | 95 % interval | Verdict | Why |\n|---|---|---:|---:|---|---|\n";
        for Expectation { expression, cell, measured, interval, outcome, why } in &report.expectations {
            let (sign, word) = told(*outcome);
            let [expression, cell, measured, interval, why] =
                [expression, cell, measured, interval, why].map(|of| plain(of));
            let _ = writeln!(text, "| {expression} | {cell} | {measured} | {interval} | {sign} {word} | {why} |");
        }
    }
    push_list(&mut text, "\n## Warnings\n", &report.warnings);
    if !report.reproduce.is_empty() {
        let fence = fence(&report.reproduce);
        let _ = write!(text, "\n## Run it again\n\n{fence}\n{}\n{fence}\n", report.reproduce);
    }
    push_list(&mut text, "", &report.caveats);
    text
}

fn push_list(text: &mut String, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}");
    for item in items {
        let _ = writeln!(text, "- {}", plain(item));
    }
}

/// On one line, with nothing in it that Markdown reads.
fn plain(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => text += "&amp;",
            '<' => text += "&lt;",
            '>' => text += "&gt;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => text.extend(['\\', letter]),
            letter if letter.is_control() => text.push(' '),
            letter => text.push(letter),
        }
    }
    text
}

/// Longer than any run of backquotes in `words`.
fn fence(words: &str) -> String {
    let longest = words.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

#[cfg(test)]
mod tests {
    use super::summary_md;
    use crate::report::model::{Expectation, Report};

    #[test]
    fn words_of_others_break_neither_the_table_nor_the_code() {
        let expectation = Expectation {
            expression: "a | b\n<script>".to_owned(),
            cell: "[x](http://y)".to_owned(),
            measured: "1".to_owned(),
            interval: String::new(),
            outcome: crate::offline::Outcome::Violated,
            why: String::new(),
        };
        let text = summary_md(&Report {
            expectations: vec![expectation],
            reproduce: "a\n```\nb".to_owned(),
            ..Report::default()
        });
        assert!(text.contains("| a \\| b &lt;script&gt; | \\[x\\](http://y) | 1 |  | ✗ violated |  |"), "{text}");
        assert!(text.contains("````\na\n```\nb\n````"), "{text}");
    }
}
