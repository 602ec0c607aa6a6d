//! The plan that the flags mean, or the one of `--plan`.

use std::time::Duration;

use driftkv_lab::plan::{Arrivals, Pace, Plan, PlanError, Reads, Request, Routing, Until, Workload, Writes};

use crate::args::{LoadArgs, Mode, lab};
use crate::error::Failure;
use crate::input;

const DURATION_DEFAULT: Duration = Duration::from_secs(10);
const IN_FLIGHT_DEFAULT: u32 = 1_000;
/// Of a plan in a file: far more than one says.
const PLAN_BYTES_MAX: usize = 1 << 20;

/// The plan of `args`, checked.
pub fn of(args: &LoadArgs) -> Result<Plan, Failure> {
    let mut plan: Plan = match &args.plan {
        Some(file) => {
            let text = input::text(file, PLAN_BYTES_MAX)?;
            let wrong = |error| Failure::usage(format!("{}: not a plan: {error}", file.display()));
            serde_json::from_str(&text).map_err(wrong)?
        }
        None => from_flags(args)?,
    };
    request(args, &mut plan.request);
    plan.check().map_err(|error| failure(&error, args))?;
    match plan.duration() {
        Some(length) if args.chaos.is_some() && args.chaos_at >= length => {
            let (at, end) = (args.chaos_at.as_secs_f64(), length.as_secs_f64());
            let why = format!("--chaos-at: the experiment would begin at {at} s, and the run is over at {end} s");
            Err(Failure::usage(why).hint("Nothing was sent."))
        }
        _ => Ok(plan),
    }
}

/// What `error` means for a person who gave `args`.
pub fn failure(error: &PlanError, args: &LoadArgs) -> Failure {
    let place = match (&args.plan, error.field) {
        (Some(file), field) => format!("{}: {field}", file.display()),
        (None, "until") => "--ops".to_owned(),
        (None, "arrivals") => "--rate, --arrivals and --duration".to_owned(),
        (None, field) => format!("--{}", field.replace('_', "-")),
    };
    Failure::usage(format!("{place}: {}", error.why)).hint("Nothing was sent.")
}

fn from_flags(args: &LoadArgs) -> Result<Plan, Failure> {
    let ask = &args.ask;
    let usual = Workload::default();
    let workers = ask.workers.unwrap_or(usual.workers);
    let workload = Workload {
        bucket: ask.bucket.clone().unwrap_or(usual.bucket),
        keys: ask.keys.unwrap_or(usual.keys),
        distribution: ask.distribution.unwrap_or(usual.distribution),
        own_keys: ask.own_keys,
        mix: ask.mix.unwrap_or(usual.mix),
        writes: ask.writes.map_or(usual.writes, Writes::from),
        value_bytes: ask.value_bytes.map_or(usual.value_bytes, |bytes| bytes as usize),
        workers,
        sessions: ask.sessions.unwrap_or(workers),
        routing: ask.routing.map_or(usual.routing, Routing::from),
        key_prefix: usual.key_prefix,
    };
    Ok(Plan { seed: ask.seed.unwrap_or_else(rand::random), workload, pace: pace(args)?, request: Request::default() })
}

/// Changes what the flags say.
fn request(args: &LoadArgs, request: &mut Request) {
    let flags = &args.request;
    request.read_mode = flags.read_mode.map_or(request.read_mode, Reads::from);
    request.r = flags.r.unwrap_or(request.r);
    request.w = flags.w.unwrap_or(request.w);
    request.timeout = flags.timeout.unwrap_or(request.timeout);
    request.retry = flags.retry.unwrap_or(request.retry);
    request.connections = flags.connections.map_or(request.connections, |count| count as usize);
}

fn pace(args: &LoadArgs) -> Result<Pace, Failure> {
    let pace = &args.pace;
    let duration = pace.duration.unwrap_or(DURATION_DEFAULT);
    let arrivals = match (pace.arrivals, pace.rate) {
        (None, None) => None,
        (None, Some(rate)) => Some(Arrivals::Constant { rate }),
        (Some(shape), rate) => {
            Some(shape.at(rate).map_err(|why| Failure::usage(format!("--arrivals: {why}")).hint("Nothing was sent."))?)
        }
    };
    match (arrivals, pace.ops) {
        (Some(arrivals), _) => {
            let in_flight = pace.in_flight.unwrap_or(IN_FLIGHT_DEFAULT) as usize;
            Ok(Pace::Open { arrivals, duration, in_flight })
        }
        (None, _) if pace.in_flight.is_some() => Err(Failure::usage("--in-flight limits an open loop")
            .hint("Add --rate; in a closed loop --workers is the number of operations under way. Nothing was sent.")),
        (None, Some(ops)) => Ok(Pace::Closed { until: Until::Ops(ops) }),
        (None, None) => Ok(Pace::Closed { until: Until::After(duration) }),
    }
}

impl From<Mode> for Reads {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Eventual => Self::Eventual,
            Mode::Monotonic => Self::Monotonic,
        }
    }
}

impl From<lab::Writes> for Writes {
    fn from(writes: lab::Writes) -> Self {
        match writes {
            lab::Writes::Context => Self::Context,
            lab::Writes::Overwrite => Self::Overwrite,
            lab::Writes::Blind => Self::Blind,
        }
    }
}

impl From<lab::Routing> for Routing {
    fn from(routing: lab::Routing) -> Self {
        match routing {
            lab::Routing::Sticky => Self::Sticky,
            lab::Routing::Random => Self::Random,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::{Duration, Pace, Plan, Request, Until, of};
    use crate::args::{Args, Command, LabCommand};
    use crate::error::{Exit, Failure};
    use clap::Parser;

    fn plan(flags: &str) -> Result<Plan, Failure> {
        let words = ["driftkv", "lab", "load"].into_iter().chain(flags.split_whitespace());
        let Command::Lab(LabCommand::Load(args)) = Args::try_parse_from(words).unwrap().command else {
            panic!("another command");
        };
        of(&args)
    }

    #[test]
    fn a_rate_opens_the_loop_and_nothing_closes_it() {
        assert_eq!(plan("--ops 5").unwrap().pace, Pace::Closed { until: Until::Ops(5) });
        assert!(matches!(plan("").unwrap().pace, Pace::Closed { until: Until::After(_) }));
        assert!(matches!(plan("--rate 5 --in-flight 7").unwrap().pace, Pace::Open { in_flight: 7, .. }));
        assert!(plan("--ops 5 --chaos x.yaml").is_ok(), "nobody knows how long operations take");
        assert!(matches!(plan("--arrivals ramp:1:5").unwrap().pace, Pace::Open { .. }));
    }

    #[test]
    fn a_saved_plan_keeps_how_it_was_asked_and_flags_change_that() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let first = plan("--ops 5 --seed 1 -r 1 -w 3 --timeout 200ms --read-mode monotonic --connections 4").unwrap();
        std::fs::write(file.path(), serde_json::to_vec(&first).unwrap()).unwrap();
        let saved = format!("--plan {}", file.path().display());
        assert_eq!(plan(&saved).unwrap(), first);
        let changed = plan(&format!("{saved} -w 2 --timeout 1s")).unwrap().request;
        assert_eq!(changed, Request { w: 2, timeout: Duration::from_secs(1), ..first.request });
    }

    #[test]
    fn what_cannot_be_run_is_wrong_usage_and_names_the_flag() {
        for (flags, part) in [
            ("--keys 0", "--keys"),
            ("--ops 0", "--ops"),
            ("--rate=-1", "--rate"),
            ("--arrivals poisson", "--rate"),
            ("--in-flight 5", "--workers"),
            ("--arrivals ramp:0:0", "--arrivals"),
            ("--arrivals step:0:0:2", "--arrivals"),
            ("--value-bytes 55", "56 or more"),
            ("--distribution zipf:-1", "--distribution"),
            ("--plan /no/such/file", "/no/such/file"),
            ("--duration 1s --chaos x.yaml", "--chaos-at"),
            ("--rate 5 --duration 5s --chaos x.yaml --chaos-at 5s", "--chaos-at"),
        ] {
            let failure = plan(flags).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{flags}");
            assert!((failure.message.clone() + &failure.hint).contains(part), "{flags}: {}", failure.message);
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        let is_refused = |flags: &str| {
            let words = ["driftkv", "lab", "load"].into_iter().chain(flags.split_whitespace());
            Args::try_parse_from(words).is_err()
        };
        for flags in
            ["--plan p.json --keys 5", "--plan p.json --rate 5", "--ops 5 --rate 5", "--chaos-at 5s", "--mix x"]
        {
            assert!(is_refused(flags), "{flags}");
        }
    }
}
