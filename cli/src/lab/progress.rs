//! How a run is doing: a bar on a terminal, else a line every few seconds; always on stderr.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use driftkv_lab::load::{OnProgress, Progress};
use driftkv_lab::plan::{Pace, Plan, Until};
use indicatif::{ProgressBar, ProgressStyle};

use crate::style::{count, note};

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{bar:24} {percent:>3} % {msg}";

/// Shows a run.
#[derive(Clone)]
pub struct Display {
    bar: Option<Arc<ProgressBar>>,
    goal: Goal,
}

/// When a run will be over.
#[derive(Clone, Copy)]
enum Goal {
    Ops(u64),
    Time(Duration),
}

impl Display {
    /// Of a run of `plan` on `targets` nodes; says that it begins.
    pub fn new(plan: &Plan, targets: usize) -> Self {
        let goal = match &plan.pace {
            Pace::Closed { until: Until::Ops(ops) } => Goal::Ops(*ops),
            Pace::Closed { until: Until::After(duration) } | Pace::Open { duration, .. } => Goal::Time(*duration),
        };
        let nodes = count(targets as u64, "node");
        note(&format!("seed {}, {nodes}, {}", plan.seed, goal.words()));
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(goal.length());
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("█▌ "));
            }
            Arc::new(bar)
        });
        Self { bar, goal }
    }

    /// What a run calls every second.
    pub fn watch(&self) -> OnProgress {
        let (display, mut said) = (self.clone(), Duration::ZERO);
        Box::new(move |progress| match &display.bar {
            Some(bar) => {
                bar.set_position(display.goal.position(progress));
                bar.set_message(message(progress));
            }
            None if progress.elapsed >= said + LINE_INTERVAL => {
                said = progress.elapsed;
                note(&format!("{:6.1} s: {}", progress.elapsed.as_secs_f64(), message(progress)));
            }
            None => {}
        })
    }

    /// A sentence beside the bar.
    pub fn say(&self, sentence: &str) {
        match &self.bar {
            Some(bar) => bar.println(sentence),
            None => note(sentence),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Goal {
    fn words(self) -> String {
        match self {
            Self::Ops(ops) => crate::style::count(ops, "operation"),
            Self::Time(time) => format!("for {:.1} s", time.as_secs_f64()),
        }
    }

    fn length(self) -> u64 {
        match self {
            Self::Ops(ops) => ops,
            Self::Time(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn position(self, progress: &Progress) -> u64 {
        let done = match self {
            Self::Ops(_) => progress.ended,
            Self::Time(_) => u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        done.min(self.length())
    }
}

/// Rate, p99, stale share, errors and open faults of the last second, as both displays tell them.
pub fn message(progress: &Progress) -> String {
    let errors = crate::style::count(progress.errors, "error");
    let mut words = match progress.p99 {
        None => vec!["nothing was answered".to_owned()],
        Some(p99) => vec![format!("{:.0}/s", progress.rate), format!("p99 {p99}")],
    };
    words.extend(progress.stale_share().map(|share| format!("stale {:.2} %", share * 1e2)));
    words.push(errors);
    if !progress.faults.is_empty() {
        words.push(format!("open: {}", progress.faults.join("; ")));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use driftkv_lab::load::Reading;

    use super::{Progress, message};

    fn progress(stale: (u64, u64), faults: &[&str]) -> Progress {
        Progress {
            elapsed: Duration::from_secs(1),
            ended: 7,
            errors: 1,
            rate: 120.4,
            p99: None,
            stale,
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_known_is_told_and_nothing_else() {
        assert_eq!(message(&progress((0, 0), &[])), "nothing was answered, 1 error");
        assert_eq!(message(&progress((1, 80), &[])), "nothing was answered, stale 1.25 %, 1 error");
        assert_eq!(
            message(&progress((0, 80), &["pause a"])),
            "nothing was answered, stale 0.00 %, 1 error, open: pause a"
        );
        let answered = |us, is_at_least| Progress { p99: Some(Reading { us, is_at_least }), ..progress((0, 0), &[]) };
        assert_eq!(message(&answered(7_500, false)), "120/s, p99 7.50 ms, 1 error");
        assert_eq!(message(&answered(2_000_000, true)), "120/s, p99 >= 2.00 s, 1 error");
    }
}
