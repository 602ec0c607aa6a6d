//! How an experiment is doing: a bar on a terminal, else a line a run and one every ten seconds of it; always on stderr. Rate, p99, stale share
//! and errors of the run under way, faults that are open, time left.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use driftkv_lab::experiment::record::RunRecord;
use driftkv_lab::experiment::{self, Cell, Experiment, schedule};
use driftkv_lab::load::OnProgress;
use driftkv_lab::offline::Outcome;
use indicatif::{ProgressBar, ProgressStyle};

use crate::lab::progress::message;
use crate::style::{count, note};

const TEMPLATE: &str = "{bar:24} {percent:>3} % {msg}";
/// Between two lines of a run where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows it.
pub struct Progress {
    bar: Option<Arc<ProgressBar>>,
    runs: u64,
    state: Mutex<State>,
}

struct State {
    over: u64,
    /// Load of runs that are left, and that were done here, with how long these took in all.
    left: Duration,
    done: Duration,
    spent: Duration,
    begun: Instant,
    label: String,
}

impl Progress {
    /// Says that it begins.
    pub fn new(experiment: &Experiment) -> Self {
        let runs = experiment::runs(experiment);
        let left = experiment.grid.cells.iter().map(|cell| schedule::length(&cell.spec) * cell.spec.repetitions).sum();
        let about = experiment::estimate(experiment).as_secs_f64() / 60.0;
        note(&format!("{}: {}, about {about:.1} min", experiment.spec.name, count(runs, "run")));
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(runs * 1_000);
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("█▌ "));
            }
            Arc::new(bar)
        });
        let (done, spent) = (Duration::ZERO, Duration::ZERO);
        let state = State { over: 0, left, done, spent, begun: Instant::now(), label: String::new() };
        Self { bar, runs, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run was over already.
    pub fn skip(&self, cell: &Cell) {
        let mut state = self.state();
        state.over += 1;
        state.left = state.left.saturating_sub(schedule::length(&cell.spec));
    }

    /// A run begins.
    pub fn begin(&self, cell: &Cell, repetition: u32) {
        let mut state = self.state();
        state.begun = Instant::now();
        state.label = format!("{} run {} of {}", cell.name, repetition + 1, cell.spec.repetitions);
        if let Some(bar) = &self.bar {
            bar.set_position(state.over * 1_000);
            bar.set_message(state.label.clone());
        }
    }

    /// A run is over; `None`: it was given up.
    pub fn end(&self, cell: &Cell, record: &Option<RunRecord>) {
        let mut state = self.state();
        let length = schedule::length(&cell.spec);
        state.over += 1;
        state.left = state.left.saturating_sub(length);
        state.done += length;
        let took = state.begun.elapsed();
        state.spent += took;
        let Some(record) = record else { return };
        let word = super::word(record.outcome);
        let metric = |name: &str| record.metrics.get(name).map(|metric| metric.text(name));
        let facts = [("p99", "latency.all.p99_ms"), ("stale", "staleness.rate")];
        let facts: Vec<String> =
            facts.iter().filter_map(|(word, name)| Some(format!("{word} {}", metric(name)?))).collect();
        let left = state.time_left().map_or_else(String::new, |left| format!(", {}", time_left(left)));
        let line = format!("{:>4}/{} {}: {word}, {}{left}", state.over, self.runs, state.label, facts.join(", "));
        match &self.bar {
            // On a terminal only what a person should look at.
            Some(bar) if record.outcome != Outcome::Holds => bar.println(line),
            Some(_) => {}
            None => note(&line),
        }
    }

    /// What the load calls every second.
    pub fn watch(&self) -> OnProgress {
        let (label, over, left) = {
            let state = self.state();
            (state.label.clone(), state.over, state.time_left().unwrap_or(state.left))
        };
        let (bar, mut said) = (self.bar.clone(), Duration::ZERO);
        Box::new(move |progress| {
            let left = left.saturating_sub(progress.elapsed);
            let message = format!("{label}: {}, {}", message(progress), time_left(left));
            match &bar {
                Some(bar) => {
                    bar.set_position(over * 1_000);
                    bar.set_message(message);
                }
                None if progress.elapsed >= said + LINE_INTERVAL => {
                    said = progress.elapsed;
                    note(&format!("{:6.1} s of {message}", progress.elapsed.as_secs_f64()));
                }
                None => {}
            }
        })
    }

    /// A sentence beside the bar.
    pub fn say(&self, sentence: &str) {
        match &self.bar {
            Some(bar) => bar.println(sentence),
            None => note(&format!("     {sentence}")),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn time_left(left: Duration) -> String {
    format!("{:.1} min left", left.as_secs_f64() / 60.0)
}

impl State {
    /// By how long runs took so far beside their load.
    fn time_left(&self) -> Option<Duration> {
        let done = self.done.as_secs_f64();
        (done > 0.0).then(|| self.left.mul_f64(self.spent.as_secs_f64() / done))
    }
}
