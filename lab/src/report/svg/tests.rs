//! Whatever the numbers: a drawing is well-formed, holds only finite numbers, and is not large; the same figure gives the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::ruler::{Base, Ruler, number};
use super::svg;
use crate::report::model::{
    Axis, Band, Figure, HeatCell, Kind, Lane, OpBar, OpLane, Point, Scale, Series, Span, Style,
};

const SCALES: [Scale; 4] = [Scale::Linear, Scale::Log, Scale::Nines, Scale::Share];
const EVIL: &str = "<script>alert('1')</script>\"&\u{0}\u{1b}";

/// Asserts that `text` is XML: tags nest, attributes are quoted and named once, nothing is bare. Returns how many elements it has.
pub(in crate::report) fn well_formed(text: &str) -> usize {
    let (mut open, mut count, mut rest) = (Vec::new(), 0, text);
    while let Some(start) = rest.find('<') {
        assert_text(&rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with('?') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "tags nest");
            continue;
        }
        count += 1;
        let (tag, is_closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(!name.is_empty() && name.chars().all(char::is_alphanumeric), "{name:?}");
        let mut seen = std::collections::BTreeSet::new();
        while !attributes.trim().is_empty() {
            let (key, value) = attributes.trim_start().split_once("=\"").expect("an attribute has a quoted value");
            let (value, left) = value.split_once('"').expect("a quote is closed");
            assert!(seen.insert(key.to_owned()), "{key} twice in {tag}");
            assert_text(value);
            if !matches!(key, "class" | "style") {
                assert!(!value.contains("NaN") && !value.contains("inf"), "{key}={value}");
            }
            attributes = left;
        }
        if !is_closed {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} are open");
    count
}

fn assert_text(text: &str) {
    assert!(!text.contains('>'), "{text:?}");
    assert!(!text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t' | '\r')), "{text:?}");
    for after in text.split('&').skip(1) {
        let entity = after.split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&entity), "&{entity} in {text:?}");
    }
}

fn figure(scale: Scale, kind: Kind) -> Figure {
    let axis = |label: &str| Axis { label: format!("{label} {EVIL}"), scale };
    let band = |from, to, is_verified| Band { label: EVIL.to_owned(), from, to, is_verified };
    Figure {
        id: EVIL.to_owned(),
        title: EVIL.to_owned(),
        says: EVIL.to_owned(),
        x: axis("x"),
        y: axis("y"),
        bands: vec![band(0.1, 0.2, true), band(0.5, f64::INFINITY, false), band(f64::NAN, 1.0, true)],
        kind,
    }
}

fn hostile_numbers() -> Vec<Vec<f64>> {
    vec![
        vec![],
        vec![0.0],
        vec![0.5],
        vec![7.0, 7.0, 7.0],
        vec![f64::NAN],
        vec![f64::INFINITY, f64::NEG_INFINITY, 1.0],
        vec![f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324],
        vec![-3.0, -2.0, -1e9],
        vec![1e15, 1e15 + 1.0, 1e15 + 2.0],
        vec![1.0, 0.999_999_999, 0.9, 0.0],
        vec![1e-12, 1e12],
    ]
}

fn kinds(numbers: &[f64]) -> Vec<Kind> {
    let point = |index: usize, y: f64| Point {
        x: y,
        y: (index != 1).then_some(y),
        lo: Some(y - 1.0),
        hi: Some(y * 2.0),
        is_at_least: index.is_multiple_of(2),
    };
    let points: Vec<Point> = numbers.iter().enumerate().map(|(index, y)| point(index, *y)).collect();
    let by_index: Vec<Point> =
        points.iter().enumerate().map(|(index, point)| Point { x: index as f64, ..*point }).collect();
    let of = |style, points: &[Point]| Series { name: EVIL.to_owned(), points: points.to_vec(), style };
    let names = |count: usize| vec![EVIL.to_owned(); count];
    let cell =
        |(index, value): (usize, &f64)| HeatCell { column: index, row: index / 2, value: *value, text: names(2) };
    let span = |from: &f64| Span { from: *from, to: from + 1.0, share: *from, of: 3 };
    let op = |(index, from): (usize, &f64)| OpBar {
        from: *from,
        to: (index % 3 != 1).then_some(from * 2.0),
        label: EVIL.to_owned(),
        is_write: index.is_multiple_of(2),
        is_witness: index == 2,
        asked: None,
    };
    vec![
        Kind::Lines {
            series: [Style::Line, Style::Model, Style::Steps, Style::Dots].map(|style| of(style, &points)).to_vec(),
        },
        Kind::Lines { series: Vec::new() },
        Kind::Bars {
            categories: names(numbers.len()),
            series: vec![of(Style::Line, &points), of(Style::Line, &by_index)],
        },
        Kind::Heat {
            columns: names(numbers.len()),
            rows: names(2),
            cells: numbers.iter().enumerate().map(cell).collect(),
        },
        Kind::Strip { lanes: vec![Lane { name: EVIL.to_owned(), spans: numbers.iter().map(span).collect() }] },
        Kind::Timeline {
            lanes: vec![OpLane { name: EVIL.to_owned(), ops: numbers.iter().enumerate().map(op).collect() }],
        },
    ]
}

#[test]
fn hostile_numbers_and_words_give_well_formed_drawings_of_finite_numbers() {
    for scale in SCALES {
        for numbers in hostile_numbers() {
            for kind in kinds(&numbers) {
                let figure = figure(scale, kind);
                let drawn = svg(&figure);
                assert!(well_formed(&drawn) >= 3, "{drawn}");
                assert!(!drawn.contains("<script"), "{drawn}");
                assert_eq!(drawn, svg(&figure));
            }
        }
    }
}

#[test]
fn a_hundred_thousand_points_are_drawn_in_less_than_a_megabyte() {
    let numbers: Vec<f64> = (0..100_000u64).map(|i| (i * 7919 % 100_003) as f64 / 100_003.0).collect();
    let sorted: Vec<f64> = (0..100_000).map(|i| f64::from(i) / 1e5).collect();
    for numbers in [numbers, sorted] {
        for kind in kinds(&numbers) {
            let drawn = svg(&figure(Scale::Linear, kind.clone()));
            well_formed(&drawn);
            let name = format!("{:.20}", format!("{kind:?}"));
            assert!(drawn.len() < 1_000_000, "{name} {}", drawn.len());
        }
    }
}

#[test]
fn every_plot_has_a_role_a_title_and_a_description_that_it_is_labelled_by() {
    for kind in kinds(&[0.1, 0.2, 0.3]) {
        let drawn = svg(&Figure { id: "a-b".to_owned(), ..figure(Scale::Linear, kind) });
        assert!(
            drawn.contains("role=\"img\" aria-labelledby=\"f-a-b-title f-a-b-desc\"><title id=\"f-a-b-title\">"),
            "{drawn}"
        );
        assert!(drawn.contains("<desc id=\"f-a-b-desc\">"), "{drawn}");
    }
}

#[test]
fn what_was_not_seen_to_take_effect_says_so_on_its_band() {
    let kind = Kind::Lines {
        series: vec![Series {
            points: vec![Point { x: 100.0, y: Some(1.0), ..Point::default() }],
            ..Series::default()
        }],
    };
    let mut figure = figure(Scale::Linear, kind);
    figure.bands = vec![Band { label: "cut".to_owned(), from: 10.0, to: 60.0, is_verified: false }];
    let drawn = svg(&figure);
    assert!(drawn.contains(">cut (not verified)</text>") && drawn.contains("class=\"bd un\""), "{drawn}");
}

fn ticks(scale: Scale, values: &[f64]) -> Vec<String> {
    let ruler = Ruler::of(scale, Base::Zero, values.iter().copied(), (300.0, 0.0));
    ruler.ticks().into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
}

#[test]
fn ticks_are_round_numbers_decades_and_nines() {
    assert_eq!(ticks(Scale::Linear, &[0.0, 43.0]), ["0", "10", "20", "30", "40", "50"]);
    assert_eq!(ticks(Scale::Linear, &[-0.3, 0.3]), ["-0.3", "-0.2", "-0.1", "0.0", "0.1", "0.2", "0.3"]);
    assert_eq!(ticks(Scale::Log, &[0.02, 7000.0]), ["0.01", "0.1", "1", "10", "100", "1000", "10\u{202f}000"]);
    assert_eq!(ticks(Scale::Nines, &[0.5, 0.9995]), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    assert_eq!(ticks(Scale::Nines, &[0.99, 1.0]), ["0 %", "90 %", "99 %", "100 %"]);
    assert_eq!(ticks(Scale::Share, &[0.6]), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
    assert_eq!(
        ticks(Scale::Share, &[0.07, 0.1]),
        ["0 %", "2 %", "4 %", "6 %", "8 %", "10 %"],
        "small shares fill the axis"
    );
    assert_eq!(ticks(Scale::Share, &[0.004]), ["0.0 %", "0.2 %", "0.4 %", "0.6 %", "0.8 %", "1.0 %"]);
}

#[test]
fn numbers_keep_four_digits_and_have_spaces_between_thousands() {
    let told = [0.0, 1.0, 0.031_249, 12_345.6, 999.96, -1_234_567.0, 1e-7, 3.2e9, f64::NAN].map(number);
    assert_eq!(told, ["0", "1", "0.03125", "12\u{202f}346", "1000", "-1\u{202f}234\u{202f}567", "1e-7", "3.2e9", "-"]);
}
