//! The files of a report: escaped, small enough, the same again when read, and readable by colour and without.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::model::{Axis, Expectation, Figure, Kind, Point, Report, Scale, Series, Style, Table};
use super::svg::tests::well_formed;
use super::{BYTES_MAX, html, junit, read, summary_md, write};
use crate::offline::Outcome;

const EVIL: &str = "<script>alert('x')</script> \"q\" ]]> \u{1} & <img src=x onerror=y>";

fn expectation(outcome: Outcome) -> Expectation {
    let [expression, cell, measured, interval, why] = [EVIL; 5].map(str::to_owned);
    Expectation { expression, cell, measured, interval, outcome, why }
}

fn lines(id: &str, count: u32) -> Figure {
    let axis = || Axis { label: EVIL.to_owned(), scale: Scale::Linear };
    let point = |i: u32| Point { x: f64::from(i), y: Some(f64::from(i * 7919 % 1009)), ..Point::default() };
    let of = |style| Series { name: EVIL.to_owned(), points: (0..count).map(point).collect(), style };
    Figure {
        id: id.to_owned(),
        title: EVIL.to_owned(),
        says: EVIL.to_owned(),
        x: axis(),
        y: axis(),
        bands: Vec::new(),
        kind: Kind::Lines { series: vec![of(Style::Line), of(Style::Dots)] },
    }
}

fn evil_report() -> Report {
    let words = || vec![EVIL.to_owned()];
    Report {
        title: EVIL.to_owned(),
        question: EVIL.to_owned(),
        answers: words(),
        outcome: Outcome::Violated,
        expectations: [Outcome::Holds, Outcome::Unknown, Outcome::Violated].map(expectation).to_vec(),
        warnings: words(),
        reproduce: EVIL.to_owned(),
        caveats: words(),
        facts: vec![(EVIL.to_owned(), EVIL.to_owned())],
        figures: vec![lines("same", 3), lines("same", 3)],
        tables: vec![Table { title: EVIL.to_owned(), says: EVIL.to_owned(), head: words(), rows: vec![words()] }],
    }
}

#[test]
fn words_of_others_never_become_markup_in_any_file() {
    let report = evil_report();
    for text in [html(&report), junit(&report)] {
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
    }
    assert!(!summary_md(&report).split("## Run it again").next().unwrap().contains("<script"));
    // But for the type and the void elements of its head, the page is XML as well.
    let page = html(&report);
    let body = page.split_once("<body>").unwrap().1.split_once("</body>").unwrap().0;
    assert!(well_formed(body) > 100);
}

#[test]
fn ids_on_a_page_differ_even_if_figures_are_called_the_same() {
    let page = html(&evil_report());
    let mut ids: Vec<&str> = page.split(" id=\"").skip(1).map(|after| after.split('"').next().unwrap()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn a_page_needs_no_network() {
    let page = html(&evil_report());
    assert!(page.contains("default-src 'none'"));
    for word in [" src=", "@import", "http://www.w3.org/1999/xlink", "<link rel=\"stylesheet\""] {
        assert!(!page.replace(&super::escape::escape(EVIL), "").contains(word), "{word}");
    }
}

#[test]
fn a_page_stays_small_whatever_the_report() {
    let mut report = evil_report();
    report.figures = (0..40).map(|i| lines(&format!("f{i}"), 20_000)).collect();
    report.tables = vec![Table { rows: vec![vec![EVIL.repeat(9); 9]; 9_000], ..report.tables.remove(0) }; 9];
    report.expectations = vec![expectation(Outcome::Holds); 20_000];
    report.expectations.push(expectation(Outcome::Violated));
    report.answers = vec!["long ".repeat(100_000); 50];
    let page = html(&report);
    assert!(page.len() <= BYTES_MAX, "{}", page.len());
    assert!(page.contains("✗ violated</td>") && page.contains("are in report.json"));
}

#[test]
fn junit_is_not_green_unless_the_report_is() {
    let mut report = evil_report();
    let text = junit(&report);
    well_formed(&text);
    assert!(text.contains("<testsuites tests=\"3\" failures=\"1\" errors=\"1\">"), "{text}");
    report.expectations = vec![expectation(Outcome::Holds)];
    report.outcome = Outcome::Unknown;
    assert!(junit(&report).contains("<testsuites tests=\"2\" failures=\"0\" errors=\"1\">"));
    let empty = junit(&Report::default());
    assert!(empty.contains("<testsuites tests=\"1\" failures=\"0\" errors=\"0\">"), "{empty}");
}

#[test]
fn a_report_is_read_as_it_was_written_but_for_points_that_are_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let mut report = evil_report();
    write(directory.path(), &report).unwrap();
    assert_eq!(read(directory.path()).unwrap(), report);
    let mut broken = report.clone();
    let Kind::Lines { series } = &mut broken.figures[0].kind else { unreachable!() };
    series[0].points.push(Point { x: f64::NAN, ..Point::default() });
    series[0].points[1].y = Some(f64::INFINITY);
    let Kind::Lines { series } = &mut report.figures[0].kind else { unreachable!() };
    series[0].points[1].y = None;
    write(directory.path(), &broken).unwrap();
    assert_eq!(read(directory.path()).unwrap(), report);
    let mut names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["junit.xml", "report.html", "report.json", "summary.md"]);
}

/// Relative luminance of WCAG 2.2.
fn luminance(hex: &str) -> f64 {
    let full: String =
        if hex.len() == 3 { hex.chars().flat_map(|digit| [digit, digit]).collect() } else { hex.to_owned() };
    let part = |at: usize| {
        let part = f64::from(u8::from_str_radix(&full[at..at + 2], 16).unwrap()) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}

#[test]
fn graphics_have_three_to_one_and_words_four_and_a_half_to_one_on_every_ground() {
    let style = include_str!("html/style.css");
    let grounds: Vec<&str> = style.split("--ground:#").skip(1).collect();
    assert_eq!(grounds.len(), 3, "light, dark and print");
    for ground in grounds {
        let block = format!("--ground:#{}", ground.split('}').next().unwrap());
        let colour = |name: &str| {
            let after = block.split_once(&format!("--{name}:#")).unwrap_or_else(|| panic!("{name} in {block}")).1;
            luminance(after.split(|letter: char| !letter.is_ascii_hexdigit()).next().unwrap())
        };
        let contrast = |one: &str, other: &str| {
            let (one, other) = (colour(one), colour(other));
            (one.max(other) + 0.05) / (one.min(other) + 0.05)
        };
        for name in ["c0", "c1", "c2", "c3", "hatch", "band-edge"] {
            assert!(contrast(name, "ground") >= 3.0, "{name} {} in {block}", contrast(name, "ground"));
        }
        for (ink, on) in [
            ("ink", "ground"),
            ("soft", "ground"),
            ("ink", "panel"),
            ("good", "ground"),
            ("bad", "ground"),
            ("unsure", "ground"),
            ("ink", "band"),
            ("on", "c0"),
        ] {
            assert!(contrast(ink, on) >= 4.5, "{ink} on {on}: {} in {block}", contrast(ink, on));
        }
    }
}
