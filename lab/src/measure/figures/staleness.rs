//! Stale reads over time, their ages and versions, and Gamma by key.

use std::collections::BTreeMap;

use super::over_time::middle;
use super::{axis, figure, point, series, time_figure, with};
use crate::measure::Run;
use crate::offline::wilson;
use crate::report::Figure;
use crate::report::model::{Kind, Point, Scale, Style};

/// Points of the figure of Gamma.
const KEYS_MAX: usize = 500;
/// More versions behind are one bar.
const VERSIONS_MAX: u64 = 10;

/// The share of stale reads, second by second.
pub(super) fn over_time(run: &Run<'_>) -> Option<Figure> {
    let stale = &run.findings.real_time;
    let mut buckets: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let second = |start: &i64| u64::try_from(*start).unwrap_or_default() / 1_000_000_000;
    stale.judged_at.iter().for_each(|start| buckets.entry(second(start)).or_default().1 += 1);
    stale.stale_at.iter().for_each(|start| buckets.entry(second(start)).or_default().0 += 1);
    let points = buckets.into_iter().map(|(second, (stale, reads))| {
        let (lo, hi) = wilson(stale, reads).unzip();
        Point { lo, hi, ..point(middle(second), stale as f64 / reads.max(1) as f64) }
    });
    let says = "Share of reads, by the second in which they began, that missed a write which was acknowledged before; of the reads with such a write before them. \
                Bars are 95 % intervals (Wilson).";
    let lines = vec![series("stale reads", Style::Line, points.collect())];
    time_figure(run, "stale-over-time", "Stale reads over time", says, axis("stale reads", Scale::Share), lines)
}

/// How old stale reads were.
pub(super) fn ages(run: &Run<'_>) -> Option<Figure> {
    let ages: Vec<f64> = run.findings.real_time.ages.iter().map(|age| *age as f64 / 1e6).collect();
    let greatest = ages.iter().copied().reduce(f64::max)?;
    // 1, 2, 5, 10 ms and so on.
    let steps = (0..).flat_map(|decade: i32| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade - 1)));
    let mut ends: Vec<f64> = steps.take_while(|end| *end < greatest).collect();
    ends.push(f64::INFINITY);
    let mut from = 0.0;
    let mut bars = Vec::new();
    for end in ends {
        let count = ages.iter().filter(|age| (from..end).contains(*age)).count();
        let name = if end.is_finite() { format!("{from}-{end}") } else { format!("{from} and more") };
        bars.push((name, count as f64));
        from = end;
    }
    let says = "Stale reads by age: from the end of the first write that was missed to the start of the read.";
    bar_figure("stale-age", "Age of stale reads", says, "age (ms)", bars)
}

/// How many versions stale reads were behind.
pub(super) fn versions(run: &Run<'_>) -> Option<Figure> {
    let behind = &run.findings.real_time.behind;
    let greatest = behind.iter().map(|(least, _)| *least).max()?.min(VERSIONS_MAX);
    let count =
        |versions: u64| behind.iter().filter(|(least, _)| (*least).min(VERSIONS_MAX) == versions).count() as f64;
    let name =
        |versions: u64| if versions == VERSIONS_MAX { format!("{versions} and more") } else { versions.to_string() };
    let bars = (1..=greatest).map(|versions| (name(versions), count(versions))).collect();
    let says = "Stale reads by the number of acknowledged writes that were newer than what they brought, at least.";
    bar_figure("versions-behind", "Versions behind", says, "versions behind, at least", bars)
}

fn bar_figure(id: &str, title: &str, says: &str, x: &str, bars: Vec<(String, f64)>) -> Option<Figure> {
    let (categories, heights): (Vec<String>, Vec<f64>) = bars.into_iter().unzip();
    let points: Vec<Point> =
        heights.into_iter().enumerate().map(|(place, height)| point(place as f64, height)).collect();
    let kind = Kind::Bars { categories, series: vec![series("stale reads", Style::Dots, points)] };
    let empty = figure(id, title, says, axis("stale reads", Scale::Linear), kind);
    Some(Figure { x: axis(x, Scale::Linear), ..empty })
}

/// Gamma of each key, the greatest first; `None`: all are 0.
pub(super) fn gamma(run: &Run<'_>) -> Option<Figure> {
    let gammas = &run.verdict.distance.gammas;
    let positive = gammas.iter().take_while(|gamma| **gamma > 0).count();
    if positive == 0 {
        return None;
    }
    let step = positive.div_ceil(KEYS_MAX);
    let some = gammas.iter().take(positive).enumerate().step_by(step);
    let points = some.map(|(place, gamma)| point((place + 1) as f64, *gamma as f64 / 1e6)).collect();
    let says = format!(
        "Gamma: by how much all intervals of a key would have to be longer to make it linearizable; keys in the order of it. {positive} of {} keys have one above 0.",
        gammas.len()
    );
    let empty =
        figure("gamma", "Gamma by key", &says, axis("Gamma (ms)", Scale::Log), Kind::Lines { series: Vec::new() });
    with(
        Figure { x: axis("keys, the furthest from linearizable first", Scale::Linear), ..empty },
        vec![series("Gamma", Style::Dots, points)],
    )
}
