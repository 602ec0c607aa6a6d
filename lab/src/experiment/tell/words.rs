//! Sentences, facts and tables of a report.

use std::collections::BTreeMap;

use super::Pooled;
use crate::experiment::read::Experiment;
use crate::experiment::record::About;
use crate::experiment::schedule;
use crate::offline::Outcome;
use crate::report::model::{Expectation, Table};

/// What page one tells of, as far as it was measured: metric, what it is called.
const HEADLINES: [(&str, &str); 15] = [
    ("staleness.rate", "stale reads"),
    ("staleness.age.p99_ms", "99 % of the stale reads were no older than"),
    ("availability.ratio", "requests answered in time"),
    ("availability.longest_gap_s", "longest time in which not every second had 99 % answered"),
    ("latency.all.p50_ms", "half of all operations took no longer than"),
    ("latency.all.p99_ms", "99 % took no longer than"),
    ("throughput.ok_per_s", "operations answered"),
    ("lost.count", "acknowledged writes lost"),
    ("siblings.max", "most siblings of a key"),
    ("convergence.all_s", "once clients had stopped and all was healed, all replicas agreed within"),
    ("convergence.live.all_s", "while clients went on, all replicas held what was acknowledged before the heal within"),
    ("visibility.at_0.rate", "fresh reads right after a write"),
    ("visibility.t99_ms", "99 % of reads are fresh after"),
    ("visibility.wars.rmse", "distance of the WARS prediction from what was measured"),
    ("linearizable.invalid_keys", "keys that are not linearizable"),
];

/// Of the cells of a grid the table of all shows these.
const COLUMNS: [&str; 7] = [
    "staleness.rate",
    "staleness.causal.rate",
    "availability.ratio",
    "latency.get.p50_ms",
    "latency.get.p99_ms",
    "latency.put.p50_ms",
    "latency.put.p99_ms",
];

/// What was measured, the most important first.
pub(super) fn answers(pooled: &[Pooled<'_>], outcome: Outcome, expectations: &[Expectation]) -> Vec<String> {
    let failed = expectations.iter().filter(|row| row.outcome == Outcome::Violated).count();
    let unknown = expectations.iter().filter(|row| row.outcome == Outcome::Unknown).count();
    let first = match outcome {
        Outcome::Holds => "Everything that was expected holds.".to_owned(),
        Outcome::Violated => format!("{failed} of {} expectations do not hold.", expectations.len()),
        Outcome::Unknown => format!(
            "Inconclusive: {unknown} of {} expectations are not known, or something could not be seen; the warnings say what.",
            expectations.len()
        ),
    };
    let mut answers = vec![first];
    match pooled {
        [only] => answers.extend(HEADLINES.iter().filter_map(|(name, words)| {
            let metric = only.metrics.get(*name)?;
            let interval = metric.interval_text(name);
            let interval = if interval.is_empty() { interval } else { format!(" (95 %: {interval})") };
            Some(format!("{}: {}{interval}.", capital(words), metric.text(name)))
        })),
        many => answers.extend(extremes(many)),
    }
    answers
}

/// Of a grid: where each headline is least and greatest.
fn extremes(pooled: &[Pooled<'_>]) -> Vec<String> {
    let of = |(name, words): &(&str, &str)| {
        let mut measured: Vec<_> =
            pooled.iter().filter_map(|pooled| Some((pooled.metrics.get(*name)?, &pooled.cell.name))).collect();
        measured.sort_by(|(a, _), (b, _)| a.value.total_cmp(&b.value));
        let ((least, at_least), (most, at_most)) = (measured.first()?, measured.last()?);
        (measured.len() > 1 && least.value < most.value).then(|| {
            let (words, least, most) = (capital(words), least.text(name), most.text(name));
            format!("{words}: from {least} ({at_least}) to {most} ({at_most}).")
        })
    };
    HEADLINES.iter().filter_map(of).collect()
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What makes the numbers doubtful, each once, with where.
pub(super) fn warnings(experiment: &Experiment, pooled: &[Pooled<'_>]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for record in pooled.iter().flat_map(|pooled| &pooled.runs) {
        for sentence in record.trouble.iter().chain(&record.warnings) {
            places.entry(sentence).or_default().push(format!("{}, seed {}", record.cell, record.seed));
        }
    }
    let told = |(sentence, places): (&str, Vec<String>)| match places.as_slice() {
        [only] => format!("{sentence} ({only})"),
        [first, ..] => format!("{sentence} ({} runs, first {first})", places.len()),
        [] => sentence.to_owned(),
    };
    let mut warnings: Vec<String> = places.into_iter().map(told).collect();
    let missing: u64 = pooled
        .iter()
        .map(|pooled| {
            u64::from(pooled.cell.spec.repetitions)
                - (pooled.runs.len() as u64).min(u64::from(pooled.cell.spec.repetitions))
        })
        .sum();
    if missing > 0 {
        warnings.insert(0, format!("{missing} runs are missing: the experiment was stopped"));
    }
    if experiment.spec.repetitions < 5 {
        let runs = experiment.spec.repetitions;
        let plural = if runs == 1 { "" } else { "s" };
        warnings.push(format!(
            "{runs} repetition{plural} of each cell: an interval over repetitions needs 5 or more to mean much"
        ));
    }
    warnings
}

/// The command that does it again.
pub(super) fn reproduce(experiment: &Experiment, about: &About) -> String {
    let quick = if about.is_quick { " --quick" } else { "" };
    format!(
        "driftkv lab run {}{quick} --seed {} --repetitions {}{}",
        about.file,
        experiment.spec.seed,
        experiment.spec.repetitions,
        place(experiment)
    )
}

/// The flags by which a run was taken to Kubernetes, or could have been.
fn place(experiment: &Experiment) -> String {
    let Some(place) = experiment.spec.cluster.get("kubernetes") else { return String::new() };
    let flags = [("cluster", "--cluster"), ("namespace", "-n"), ("context", "--context")];
    let given = flags.iter().filter_map(|(field, flag)| Some(format!(" {flag} {}", place.get(field)?.as_str()?)));
    format!(" --kubernetes{}", given.collect::<String>())
}

/// What a seed does not decide.
pub(super) fn caveats() -> Vec<String> {
    vec![
        "The seed decides every operation, its time, key and node, and the fate of every message of a link in its order; it does not decide how operating systems schedule processes, \
         how long disks and networks take, or which requests overlap: numbers differ from run to run, and verdicts may."
            .to_owned(),
    ]
}

/// Of the experiment and where it ran.
pub(super) fn facts(experiment: &Experiment, about: &About) -> Vec<(String, String)> {
    let spec = &experiment.spec;
    let quorums = schedule::quorums(spec);
    let nodes = schedule::nodes(spec).map_or_else(|| "at endpoints".to_owned(), |nodes| nodes.to_string());
    let plan = schedule::plan(spec, spec.seed);
    let phases: Vec<String> = schedule::phases(spec)
        .iter()
        .map(|(name, from, to)| format!("{name} {} to {} s", from.as_secs_f64(), to.as_secs_f64()))
        .collect();
    let own = [
        ("nodes", nodes),
        ("N, R, W", format!("{}, {}, {}", quorums.n, quorums.r, quorums.w)),
        ("load", plan.pace.to_string()),
        ("requests", plan.request.to_string()),
        ("keys", plan.workload.keys.to_string()),
        ("phases", phases.join("; ")),
        ("cells", experiment.grid.cells.len().to_string()),
        ("repetitions", spec.repetitions.to_string()),
        ("seeds", format!("{} to {}", spec.seed, spec.seed + u64::from(spec.repetitions) - 1)),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(about.environment.iter().cloned()).collect()
}

/// Of one cell all numbers, of many the most important of each.
pub(super) fn tables(pooled: &[Pooled<'_>]) -> Vec<Table> {
    match pooled {
        [only] => {
            let row = |(name, metric): (&String, &crate::metrics::Metric)| {
                let mut row = vec![name.clone(), metric.text(name), metric.interval_text(name)];
                row.extend(
                    only.runs.iter().map(|run| run.metrics.get(name).map_or_else(String::new, |one| one.text(name))),
                );
                row
            };
            let head = ["metric", "all runs", "95 %"].map(str::to_owned).into_iter();
            let head = head.chain(only.runs.iter().map(|run| format!("seed {}", run.seed))).collect();
            let says =
                "Shares and counts of all runs together; of all else the median. docs/experiments.md defines each."
                    .to_owned();
            vec![Table {
                title: "Everything that was measured".to_owned(),
                says,
                head,
                rows: only.metrics.iter().map(row).collect(),
            }]
        }
        many => {
            let row = |pooled: &Pooled<'_>| {
                let metric =
                    |name: &&str| pooled.metrics.get(*name).map_or_else(String::new, |metric| metric.text(name));
                [pooled.cell.name.clone()].into_iter().chain(COLUMNS.iter().map(metric)).collect()
            };
            let head = ["cell"].into_iter().chain(COLUMNS).map(str::to_owned).collect();
            let says = "Of all repetitions; cells.csv has every metric of every cell, with intervals.".to_owned();
            vec![Table { title: "All cells".to_owned(), says, head, rows: many.iter().map(row).collect() }]
        }
    }
}
