//! How long the measures of a run take, and how much memory:
//! `cargo run --release -p driftkv-lab --example measure_bench [OPERATIONS]` (a million by default).
//! The history is of an honest store that answers one read in a thousand with the value before, one operation in two hundred not at all, and
//! has siblings on one key in fifty. Time is told in whole and for the judges alone, which read the file too.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use driftkv_lab::judges::Budget;
use driftkv_lab::judges::linearizable::Choice;
use driftkv_lab::measure::{Phase, Setting, measure};
use driftkv_lab::offline;
use driftkv_lab::plan::Workload;

/// xorshift64*: enough for load.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).and_then(|words| words.parse().ok()).unwrap_or(1_000_000);
    let directory = std::env::temp_dir().join(format!("driftkv-measure-{}", std::process::id()));
    fs::create_dir(&directory)?;
    let outcome = run(&directory, count);
    fs::remove_dir_all(&directory)?;
    outcome
}

fn run(directory: &Path, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    write(directory, count)?;
    let bytes = fs::metadata(directory.join("history.jsonl"))?.len();
    println!("{count} operations, {} MiB of history", bytes >> 20);
    let nodes = (0..3).map(|node| (format!("n{node}"), format!("127.0.0.1:740{node}"))).collect();
    let phases = [("before", 0.0, 30.0), ("during", 30.0, 60.0), ("after", 60.0, 1e9)];
    let phases = phases.map(|(name, from_s, to_s)| Phase { name: name.to_owned(), from_s, to_s }).to_vec();
    let begun = Instant::now();
    let measured = measure(directory, &Setting { phases, nodes, ..Setting::default() })?;
    let whole = begun.elapsed().as_secs_f64();
    let dots: usize = serde_json::to_string(&measured.figures)?.len();
    println!("measures and judges {whole:7.3} s, peak {} MiB", peak_mib());
    println!("{} metrics, {} figures of {} KiB", measured.metrics.len(), measured.figures.len(), dots >> 10);
    drop(measured);
    let begun = Instant::now();
    let verdict = offline::judge(directory, None, &Budget::default(), Choice::Fastest)?;
    println!("judges alone        {:7.3} s, {} keys", begun.elapsed().as_secs_f64(), verdict.keys);
    Ok(())
}

fn write(directory: &Path, count: u64) -> io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(directory.join("history.jsonl"))?);
    let workload = serde_json::to_string(&Workload::default())?;
    let duration_ms = count / 10;
    writeln!(
        file,
        r#"{{"driftkv_history":1,"run":"00000000000000ab","started_unix_ms":1,"plan":{{"seed":1,"workload":{workload},"pace":{{"open":{{"arrivals":{{"kind":"constant","rate":10000.0}},"duration_ms":{duration_ms},"in_flight":64}}}}}},"targets":["127.0.0.1:7400"],"read_mode":"eventual","timeout_ms":1000}}"#
    )?;
    let mut random = Random(7);
    let keys = usize::try_from((count / 100).max(1)).unwrap_or(1);
    let mut held: Vec<[Option<u64>; 2]> = vec![[None; 2]; keys];
    for seq in 0..count {
        let key = random.below(keys as u64);
        let Some([now, before]) = usize::try_from(key).ok().and_then(|key| held.get_mut(key)) else { continue };
        writeln!(file, "{}", line(&mut random, seq, key, now, before))?;
    }
    file.flush()
}

fn line(random: &mut Random, seq: u64, key: u64, now: &mut Option<u64>, before: &mut Option<u64>) -> String {
    let due = seq * 100_000;
    let (sent, took) = (due + random.below(50_000), 200_000 + random.below(3_000_000));
    let has_siblings = key.is_multiple_of(50);
    let is_lost = random.below(200) == 0;
    let recv = sent + if is_lost { 1_000_000_000 } else { took };
    let (session, node) = (seq % 64, seq % 3);
    let head = format!(r#"{{"run":"00000000000000ab","worker":{session},"session":{session},"seq":{seq},"#);
    let times = format!(
        r#""target":"127.0.0.1:740{node}","n":3,"r":1,"w":1,"intended_ns":{due},"sent_ns":{sent},"recv_ns":{recv},"attempts":1,"#
    );
    let tail = r#""coordinator":null,"replicas":{"primaries":2,"fallbacks":0},"#;
    let error = if is_lost { r#""timeout""# } else { "null" };
    if random.below(2) == 0 {
        let status = if is_lost { "info" } else { "ok" };
        let intent = if has_siblings { "add_sibling" } else { "overwrite_all" };
        (*before, *now) = (*now, Some(seq));
        return format!(
            r#"{head}"op":"put","key":"key-{key:010}","value_id":"{session}.{seq}","ctx_in":{{"intent":"{intent}","seq":null,"ctx":""}},{times}"status":"{status}","error":{error},{tail}"returned":[],"ctx_out":"AQID","degraded":false,"truncated":false}}"#
        );
    }
    let status = if is_lost { "fail" } else { "ok" };
    let brought = if random.below(1_000) == 0 { &*before } else { &*now };
    let mut values: Vec<u64> = brought.iter().copied().collect();
    if has_siblings {
        values.extend(before.iter().filter(|other| Some(**other) != *brought));
    }
    let returned: Vec<String> = values
        .iter()
        .filter(|_| !is_lost)
        .map(|id| format!(r#"{{"value_id":"{}.{id}","dot":null}}"#, id % 64))
        .collect();
    let returned = returned.join(",");
    format!(
        r#"{head}"op":"get","key":"key-{key:010}","value_id":null,"ctx_in":null,{times}"status":"{status}","error":{error},{tail}"returned":[{returned}],"ctx_out":"AQID","degraded":false,"truncated":false}}"#
    )
}

/// Of this process so far, as Linux counts it.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    peak.unwrap_or_default() / 1024
}
