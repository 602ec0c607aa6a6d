//! The results as people read them, and as `target/bench.json` for programs: units are in the names.
//! A target is judged only as a ratio to the calibration of the same run, where a ratio makes sense.

use serde::Serialize;

use super::echo::Calibration;
use super::rest::{Full, Idle};
use super::runs::{Kind, Run};

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the machine can do.
    pub calibration: Machine,
    /// Before anything was written.
    pub idle: Idle,
    /// The loops.
    pub runs: Vec<Run>,
    /// With the data of the loops, after them.
    pub idle_with_data: Idle,
    /// With many small keys.
    pub full: Full,
}

/// What the machine can do: measured before and after the loops, the mean of both.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Machine {
    /// Calls under way at a time.
    pub in_flight: usize,
    /// Bytes there and back.
    pub value_bytes: usize,
    /// A bare unary gRPC call costs its server so much processor time.
    pub unary_echo_server_cpu_us_per_call: f64,
    /// And its client.
    pub unary_echo_client_cpu_us_per_call: f64,
    /// So many a second.
    pub unary_echo_calls_per_s: f64,
    /// A message on one bidirectional stream costs its server so much.
    pub stream_echo_server_cpu_us_per_call: f64,
    /// And its client.
    pub stream_echo_client_cpu_us_per_call: f64,
    /// So many a second.
    pub stream_echo_calls_per_s: f64,
    /// Appends of 4 KiB made durable, one after the other.
    pub fdatasyncs_per_s: f64,
}

impl Machine {
    /// The mean of two calibrations.
    pub fn of(echoes: [Calibration; 2], fdatasyncs_per_s: f64, in_flight: usize, value_bytes: usize) -> Machine {
        let mean = |of: fn(&Calibration) -> f64| echoes.iter().map(of).sum::<f64>() / echoes.len() as f64;
        Machine {
            in_flight,
            value_bytes,
            unary_echo_server_cpu_us_per_call: mean(|echo| echo.unary.server_cpu_us),
            unary_echo_client_cpu_us_per_call: mean(|echo| echo.unary.client_cpu_us),
            unary_echo_calls_per_s: mean(|echo| echo.unary.per_second),
            stream_echo_server_cpu_us_per_call: mean(|echo| echo.stream.server_cpu_us),
            stream_echo_client_cpu_us_per_call: mean(|echo| echo.stream.client_cpu_us),
            stream_echo_calls_per_s: mean(|echo| echo.stream.per_second),
            fdatasyncs_per_s,
        }
    }

    /// As text.
    pub fn lines(&self) -> String {
        format!(
            "calibration ({} in flight, {} bytes there and back)\n\
             \x20 unary echo    server {:6.1} us CPU a call, client {:6.1} us, {:7.0} calls/s\n\
             \x20 stream echo   server {:6.1} us CPU a call, client {:6.1} us, {:7.0} calls/s\n\
             \x20 fdatasync     {:.0} a second (4 KiB appended)\n",
            self.in_flight,
            self.value_bytes,
            self.unary_echo_server_cpu_us_per_call,
            self.unary_echo_client_cpu_us_per_call,
            self.unary_echo_calls_per_s,
            self.stream_echo_server_cpu_us_per_call,
            self.stream_echo_client_cpu_us_per_call,
            self.stream_echo_calls_per_s,
            self.fdatasyncs_per_s,
        )
    }
}

/// Heads the rows of `row`.
pub const HEADER: &str = "kind  in flight    ops/s   p50 ms   p99 ms  p99.9 ms   max ms  nodes us  client us  written B  records/sync  MiB/node  errors";

/// One loop as a line.
pub fn row(run: &Run) -> String {
    let ms = |us: u64| us as f64 / 1e3;
    let kind = match run.kind {
        Kind::Puts => "puts",
        Kind::Gets => "gets",
        Kind::Half => "half",
    };
    format!(
        "{kind}  {:>9}  {:>7.0}  {:>7.2}  {:>7.2}  {:>8.2}  {:>7.2}  {:>8.1}  {:>9.1}  {:>9.0}  {:>12.1}  {:>8.1}  {:>6}",
        run.in_flight,
        run.ops_per_s,
        ms(run.p50_us),
        ms(run.p99_us),
        ms(run.p999_us),
        ms(run.max_us),
        run.nodes_cpu_us_per_op,
        run.client_cpu_us_per_op,
        run.written_bytes_per_op,
        run.records_per_sync,
        mib(run.resident_bytes_per_node),
        run.errors,
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Nodes at rest as a line.
pub fn idle_line(idle: &Idle, when: &str) -> String {
    let Idle { resident_bytes_per_node, cpu_percent_of_a_core_per_node } = idle;
    format!(
        "idle, {when}: {:.1} MiB and {cpu_percent_of_a_core_per_node:.2} % of a core a node",
        mib(*resident_bytes_per_node)
    )
}

/// Full nodes as lines.
pub fn full_lines(full: &Full) -> String {
    let memory = full.resident_bytes_per_node.map(|bytes| format!("{:.0}", mib(bytes))).join(", ");
    format!(
        "{} keys of {} bytes: written in {:.0} s; MiB/node at 10, 25, 50, 75, 100 %: {memory}; \
         all serve {:.2} s after a stop, {:.2} s after kill -9, then with {:.0} MiB/node",
        full.keys,
        full.value_bytes,
        full.load_s,
        full.serves_after_stop_s,
        full.serves_after_kill_s,
        mib(full.resident_after_start_bytes_per_node),
    )
}

impl Report {
    /// What was aimed at, and what came of it.
    pub fn targets(&self) -> String {
        let echo = self.calibration.unary_echo_server_cpu_us_per_call;
        let loops = |kind| self.runs.iter().find(|run| run.kind == kind && run.in_flight == 64);
        let mut lines = String::from("targets\n");
        let mut judge = |what: &str, measured: f64, bound: f64, is_most: bool| {
            let is_met = if is_most { measured <= bound } else { measured >= bound };
            let (side, met) = (if is_most { "at most" } else { "at least" }, if is_met { "met" } else { "NOT met" });
            lines.push_str(&format!("  {what}: {measured:.2} ({side} {bound}) {met}\n"));
        };
        if let Some(puts) = loops(Kind::Puts) {
            judge("nodes' CPU of a put in unary echoes, 64 in flight", puts.nodes_cpu_us_per_op / echo, 6.0, true);
            judge("records a sync, 64 in flight", puts.records_per_sync, 10.0, false);
        }
        if let Some(gets) = loops(Kind::Gets) {
            judge("nodes' CPU of a get in unary echoes, 64 in flight", gets.nodes_cpu_us_per_op / echo, 4.0, true);
        }
        judge("MiB of an idle node", mib(self.idle.resident_bytes_per_node), 40.0, true);
        judge("percent of a core of an idle node", self.idle.cpu_percent_of_a_core_per_node, 1.0, true);
        let restart = self.full.serves_after_stop_s.max(self.full.serves_after_kill_s);
        judge(&format!("seconds until {} keys are served again", self.full.keys), restart, 10.0, true);
        lines
    }
}
