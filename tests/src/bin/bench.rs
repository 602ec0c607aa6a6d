//! `make bench`: three durable nodes on loopback under closed loops, beside a calibration of the machine in the same run.
//! BENCH_SECONDS of each loop (10), BENCH_KEYS (100000), BENCH_FULL_KEYS (1000000). Writes target/bench.json.
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use driftkv_tests::bench::disk::syncs_per_second;
use driftkv_tests::bench::echo::{ECHO_ARGUMENT, calibrate, serve};
use driftkv_tests::bench::report::{HEADER, Machine, Report, full_lines, idle_line, row};
use driftkv_tests::bench::rest::{full, idle};
use driftkv_tests::bench::runs::{Bench, Kind, Run};
use driftkv_tests::cluster::{Cluster, Shape};

const IN_FLIGHT: [u32; 3] = [1, 64, 256];
const CALIBRATED_IN_FLIGHT: usize = 64;
const VALUE_BYTES: usize = 1_024;
const FULL_VALUE_BYTES: usize = 100;

type Failure = Box<dyn std::error::Error>;

fn number(name: &str, default: u64) -> Result<u64, Failure> {
    match env::var(name).ok().filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{name}={text} is not a number above 0").into()),
        },
    }
}

async fn cluster() -> Cluster {
    let cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    cluster
}

async fn loops(bench: &mut Bench, time: Duration) -> Vec<Run> {
    println!("{HEADER}");
    let filled = bench.fill(256, |_| ()).await;
    println!("{} (every key for the first time)", row(&filled));
    let mut runs = Vec::new();
    for kind in [Kind::Puts, Kind::Gets, Kind::Half] {
        for in_flight in IN_FLIGHT {
            let run = bench.run(kind, in_flight, time).await;
            println!("{}", row(&run));
            runs.push(run);
        }
    }
    runs
}

async fn measure(seconds: u64, keys: u64, full_keys: u64) -> Result<Report, Failure> {
    let (time, echo_time) = (Duration::from_secs(seconds), Duration::from_secs(seconds.min(5)));
    let dir = tempfile::TempDir::new()?;
    let fdatasyncs = syncs_per_second(dir.path(), echo_time)?;
    let before = calibrate(CALIBRATED_IN_FLIGHT, VALUE_BYTES, echo_time).await;
    let mut bench = Bench::new(cluster().await, keys, VALUE_BYTES);
    let at_first = idle(bench.cluster(), time).await;
    println!("{}\n", idle_line(&at_first, "empty"));
    println!("3 nodes, N=3 R=W=2, durable, {VALUE_BYTES}-byte values, {keys} keys, {seconds} s a loop");
    let runs = loops(&mut bench, time).await;
    bench.cluster().hints_drained().await;
    let idle_with_data = idle(bench.cluster(), time).await;
    println!("\n{}", idle_line(&idle_with_data, "after the loops"));
    drop(bench);
    let after = calibrate(CALIBRATED_IN_FLIGHT, VALUE_BYTES, echo_time).await;
    let calibration = Machine::of([before, after], fdatasyncs, CALIBRATED_IN_FLIGHT, VALUE_BYTES);
    let full = full(cluster().await, full_keys, FULL_VALUE_BYTES).await;
    println!("{}\n\n{}", full_lines(&full), calibration.lines());
    Ok(Report { calibration, idle: at_first, runs, idle_with_data, full })
}

fn save(report: &Report) -> Result<PathBuf, Failure> {
    // The nearest folder called `target`, or whatever stands for it, is two above this program.
    let me = env::current_exe()?;
    let target = me.ancestors().nth(2).unwrap_or_else(|| Path::new("."));
    let path = target.join("bench.json");
    fs::write(&path, serde_json::to_string_pretty(report)? + "\n")?;
    Ok(path)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(ECHO_ARGUMENT) {
        return serve(arguments.next().ok_or("the echo needs an address")?.parse()?).await;
    }
    let (seconds, keys) = (number("BENCH_SECONDS", 10)?, number("BENCH_KEYS", 100_000)?);
    let report = measure(seconds, keys, number("BENCH_FULL_KEYS", 1_000_000)?).await?;
    println!("{}", report.targets());
    println!("{}", save(&report)?.display());
    Ok(())
}
