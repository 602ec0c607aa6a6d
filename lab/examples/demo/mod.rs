//! A report of an experiment that nobody ran, with all kinds of figures and all that makes them hard to draw.
//! The numbers are made up, and the same every time.

use driftkv_lab::offline::Outcome;
use driftkv_lab::report::model::{
    Axis, Band, Expectation, Figure, HeatCell, Kind, Lane, OpBar, OpLane, Point, Report, Scale, Series, Span, Style,
    Table,
};

/// The report.
pub fn report() -> Report {
    Report {
        title: "Stale reads while a zone is cut off".to_owned(),
        question: "How stale are reads, and how long do they take, at R and W of 1 to 3 while one of three nodes is cut off for 10 s?"
            .to_owned(),
        answers: vec![
            "At R=1, W=1, 3.1 % of the reads missed an acknowledged write (312 of 10 000); at R=2, W=2 none of 10 000 did (less than 0.03 %).".to_owned(),
            "During the cut 99 % of the answers took 41 ms or less; before it, 8.3 ms.".to_owned(),
            "All replicas held the same 2.4 s after the last fault had been healed.".to_owned(),
        ],
        outcome: Outcome::Violated,
        expectations: expectations(),
        warnings: vec![
            "The fault \"slow disk n3\" was injected, but no node saw it take effect.".to_owned(),
            "The load generator was late by more than 10 ms for 0.4 % of the operations.".to_owned(),
        ],
        reproduce: "driftkv lab run examples/stale-under-cut.yaml --seed 42 --out reports/stale-under-cut".to_owned(),
        caveats: vec!["The seed fixes what is asked and when; the order in which nodes answer is not fixed by it.".to_owned()],
        facts: facts(),
        figures: vec![latency(), percentiles(), sweep(), scatter(), bars(), heat(), visibility(), strip(), timeline()],
        tables: vec![table()],
    }
}

fn expectations() -> Vec<Expectation> {
    let of = |expression: &str, cell: &str, measured: &str, interval: &str, outcome, why: &str| Expectation {
        expression: expression.to_owned(),
        cell: cell.to_owned(),
        measured: measured.to_owned(),
        interval: interval.to_owned(),
        outcome,
        why: why.to_owned(),
    };
    vec![
        of("staleness.rate < 0.001", "n=3 r=2 w=2", "0 of 10 000", "0 to 0.04 %", Outcome::Holds, ""),
        of(
            "staleness.rate < 0.001",
            "n=3 r=1 w=1",
            "3.12 %",
            "2.8 to 3.5 %",
            Outcome::Violated,
            "driftkv lab check runs/n3-r1-w1/42 shows 312 reads",
        ),
        of("latency.get.p99_ms < 50", "", "41.2 ms", "38 to 44 ms", Outcome::Holds, ""),
        of("convergence.ms < 5000", "", "", "", Outcome::Unknown, "the fault \"slow disk n3\" was not verified"),
    ]
}

fn facts() -> Vec<(String, String)> {
    [
        ("Seed", "42"),
        ("Nodes", "3, as processes on one machine"),
        ("Load", "open, Poisson, 1 000 operations a second for 60 s, 80 % reads"),
        ("Keys", "10 000, Zipf 0.99"),
        ("Version", "driftkv 0.1.0 (4438f24)"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Made-up noise of 0 to 1.
fn noise(seed: u64) -> f64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 40) as f64 / (1u64 << 24) as f64
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale }
}

fn figure(id: &str, title: &str, says: &str, x: Axis, y: Axis, kind: Kind) -> Figure {
    let [id, title, says] = [id, title, says].map(str::to_owned);
    Figure { id, title, says, x, y, bands: Vec::new(), kind }
}

fn bands() -> Vec<Band> {
    let of = |label: &str, from, to, is_verified| Band { label: label.to_owned(), from, to, is_verified };
    let mut bands = vec![of("cut n3 from n1, n2", 20.0, 30.0, true), of("slow disk n3", 38.0, 50.0, false)];
    bands.extend((0..12).map(|i| of("kill n2", 12.0 + f64::from(i) * 3.0, 12.8 + f64::from(i) * 3.0, i != 4)));
    bands
}

fn latency() -> Figure {
    let of = |name: &str, base: f64, cut: f64, seed: u64| Series {
        name: name.to_owned(),
        points: (0..60u32)
            .map(|second| {
                let is_cut = (20..30).contains(&second);
                let value = (if is_cut { cut } else { base }) * (0.85 + 0.3 * noise(seed + u64::from(second)));
                Point {
                    x: f64::from(second) + 0.5,
                    y: (second != 44).then_some(value),
                    is_at_least: is_cut && seed == 300,
                    ..Point::default()
                }
            })
            .collect(),
        style: Style::Line,
    };
    let series = vec![
        of("p50", 1.4, 2.1, 0),
        of("p95", 4.0, 17.0, 100),
        of("p99", 8.0, 40.0, 200),
        of("greatest", 21.0, 400.0, 300),
    ];
    let mut figure = figure(
        "latency-over-time",
        "Response time over time",
        "Each point is a second of requests by when they were due. The cut raises the slow ones fivefold; the median hardly moves.",
        axis("time (s)", Scale::Linear),
        axis("response time (ms)", Scale::Log),
        Kind::Lines { series },
    );
    figure.bands = bands();
    figure
}

fn percentiles() -> Figure {
    let of = |name: &str, style, factor: f64| Series {
        name: name.to_owned(),
        points: (0..=40)
            .map(|i| {
                let nines = f64::from(i) / 10.0;
                Point {
                    x: 1.0 - 10f64.powf(-nines),
                    y: Some(factor * (1.0 + 3.0 * nines + 1.5 * nines.powi(3))),
                    ..Point::default()
                }
            })
            .chain([Point { x: 1.0, y: Some(factor * 150.0), ..Point::default() }])
            .collect(),
        style,
    };
    let series =
        vec![of("response, as users have it", Style::Steps, 1.0), of("service, once it was sent", Style::Steps, 0.4)];
    figure(
        "percentiles",
        "Response and service time by percentile",
        "Up to which time so many percent of the requests were answered. The axis gives each further nine as much room.",
        axis("share of the requests", Scale::Nines),
        axis("time (ms)", Scale::Linear),
        Kind::Lines { series },
    )
}

fn sweep() -> Figure {
    let of = |name: &str, base: f64| Series {
        name: name.to_owned(),
        points: [0.0, 1.0, 2.0, 5.0, 10.0, 20.0]
            .map(|delay: f64| {
                let y = base * (1.0 + delay) / (8.0 + delay);
                Point { x: delay, y: Some(y), lo: Some(y * 0.8), hi: Some(y * 1.25), is_at_least: false }
            })
            .to_vec(),
        style: Style::Line,
    };
    figure(
        "stale-by-delay",
        "Stale reads by injected delay",
        "Of reads with an acknowledged write before them. Whiskers: 95 % (Wilson, five seeds pooled).",
        axis("delay between nodes (ms)", Scale::Linear),
        axis("stale reads", Scale::Share),
        Kind::Lines {
            series: vec![
                of("R=1 W=1", 0.55),
                of("R=1 W=2", 0.3),
                of("R=2 W=1", 0.28),
                of("R=2 W=2", 0.02),
                of("R=3 W=1", 0.01),
            ],
        },
    )
}

fn scatter() -> Figure {
    let of = |name: &str, count: u64, base: f64, seed: u64| Series {
        name: name.to_owned(),
        points: (0..count)
            .map(|i| {
                let x = 60.0 * noise(seed + i);
                Point { x, y: Some(base * (1.0 + 30.0 * noise(seed + 7 * i).powi(6))), ..Point::default() }
            })
            .collect(),
        style: Style::Dots,
    };
    figure(
        "each-operation",
        "Each operation",
        "By what became of it: done, refused, or nobody knows.",
        axis("time (s)", Scale::Linear),
        axis("response time (ms)", Scale::Log),
        Kind::Lines {
            series: vec![
                of("done", 20_000, 1.2, 1),
                of("refused", 150, 6.0, 50_000),
                of("not known", 40, 900.0, 90_000),
            ],
        },
    )
}

fn bars() -> Figure {
    let of = |name: &str, values: &[f64]| Series {
        name: name.to_owned(),
        points: values
            .iter()
            .enumerate()
            .map(|(i, y)| Point { x: i as f64, y: Some(*y), lo: Some(y * 0.9), hi: Some(y * 1.1), is_at_least: false })
            .collect(),
        style: Style::Line,
    };
    let categories = [
        "get, one replica",
        "get, quorum of two",
        "get, all three replicas in all zones of the cluster",
        "put",
        "delete",
    ]
    .map(str::to_owned);
    figure(
        "mean-by-kind",
        "Operations a second by kind",
        "Closed loop with 16 workers, three repetitions each.",
        axis("kind", Scale::Linear),
        axis("operations a second", Scale::Linear),
        Kind::Bars {
            categories: categories.to_vec(),
            series: vec![
                of("before", &[21_400.0, 18_200.0, 9_100.0, 14_000.0, 14_300.0]),
                of("during the cut", &[20_900.0, 12_000.0, 150.0, 9_800.0, 9_900.0]),
                of("after", &[21_500.0, 17_800.0, 9_000.0, 13_900.0, 14_200.0]),
            ],
        },
    )
}

fn heat() -> Figure {
    let names = |letter: char| (1..=3).map(|i| format!("{letter}={i}")).collect::<Vec<_>>();
    let cells = [(0, 0, 312), (1, 0, 121), (2, 0, 3), (0, 1, 98), (1, 1, 0), (0, 2, 2), (1, 2, 0)];
    let cells = cells
        .map(|(column, row, stale)| HeatCell {
            column,
            row,
            value: f64::from(stale) / 10_000.0,
            text: vec![
                if stale == 0 { "< 0.03 %".to_owned() } else { format!("{:.2} %", f64::from(stale) / 100.0) },
                format!("{stale} of 10 000"),
            ],
        })
        .to_vec();
    figure(
        "stale-by-quorum",
        "Stale reads by quorums, N=3",
        "Above the diagonal R + W > N, and no read is stale. The shade is the share of stale reads.",
        axis("read quorum", Scale::Linear),
        axis("write quorum", Scale::Linear),
        Kind::Heat { columns: names('R'), rows: names('W'), cells },
    )
}

fn visibility() -> Figure {
    let points = |slow: f64, wide: bool| {
        (0..=30)
            .map(|i| {
                let t = f64::from(i) * 2.0;
                let y = 1.0 - 0.25 * (-t / slow).exp();
                let end = |of: f64| wide.then_some(of.min(1.0));
                Point { x: t, y: Some(y), lo: end(y - 0.02), hi: end(y + 0.02), is_at_least: false }
            })
            .collect()
    };
    let of =
        |name: &str, slow, style| Series { name: name.to_owned(), points: points(slow, style == Style::Line), style };
    figure(
        "t-visibility",
        "How soon a write is seen",
        "Share of reads begun t after a write's acknowledgement that saw it; dashed: what the measured delays predict (WARS).",
        axis("t after the acknowledgement (ms)", Scale::Linear),
        axis("reads that see the write", Scale::Share),
        Kind::Lines { series: vec![of("measured", 8.0, Style::Line), of("predicted", 9.0, Style::Model)] },
    )
}

fn strip() -> Figure {
    let lane = |name: &str, during: f64| Lane {
        name: name.to_owned(),
        spans: [(0.0, 20.0, 1.0), (20.0, 30.0, during), (30.0, 31.5, 0.9996), (31.5, 60.0, 1.0)]
            .map(|(from, to, share)| Span { from, to, share, of: 1000 })
            .to_vec(),
    };
    let mut figure = figure(
        "availability",
        "Who was answered",
        "The filled part of the height is the share of operations that were answered in time, by the side of the cut that they asked.",
        axis("time (s)", Scale::Linear),
        axis("answered in time", Scale::Share),
        Kind::Strip {
            lanes: vec![
                lane("majority (n1, n2)", 0.987),
                lane("minority (n3)", 0.0),
                lane("reads with R=1 on the minority side", 0.62),
            ],
        },
    );
    figure.bands = vec![Band { label: "cut n3 from n1, n2".to_owned(), from: 20.0, to: 30.0, is_verified: true }];
    figure
}

fn timeline() -> Figure {
    let op = |from: f64, to: Option<f64>, label: &str, is_write, is_witness| OpBar {
        from,
        to,
        label: label.to_owned(),
        is_write,
        is_witness,
        asked: None,
    };
    let lanes = vec![
        OpLane {
            name: "session 3 (n1)".to_owned(),
            ops: vec![
                op(1000.0, Some(1012.0), "put 3/16", true, false),
                op(1020.0, Some(1031.0), "put 3/17", true, true),
                op(1050.0, Some(1053.0), "put 3/18", true, false),
            ],
        },
        OpLane {
            name: "session 7 (n3)".to_owned(),
            ops: vec![
                op(1003.0, Some(1008.0), "get -> 3/15", false, false),
                op(1036.0, Some(1041.0), "get -> 3/16", false, true),
                op(1042.0, Some(1043.0), "get -> 3/17", false, true),
                op(1044.0, Some(1046.0), "get -> 3/16", false, true),
            ],
        },
        OpLane { name: "session 9 (n2)".to_owned(), ops: vec![op(1015.0, None, "put 9/4: no answer", true, false)] },
    ];
    figure(
        "violation",
        "A read that missed an acknowledged write of key-0000000007",
        "The put of 3/17 had been acknowledged before the first framed read began, which brought 3/16.",
        axis("time (ms)", Scale::Linear),
        axis("", Scale::Linear),
        Kind::Timeline { lanes },
    )
}

fn table() -> Table {
    Table {
        title: "Faults".to_owned(),
        says: "By the nodes' own evidence.".to_owned(),
        head: ["Fault", "From (s)", "To (s)", "Refused or slowed"].map(str::to_owned).to_vec(),
        rows: [["cut n3 from n1, n2", "20.003", "30.001", "1 204 messages"], ["kill n2", "12.000", "12.800", "-"]]
            .map(|row| row.map(str::to_owned).to_vec())
            .to_vec(),
    }
}
