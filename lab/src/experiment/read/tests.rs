#![allow(clippy::unwrap_used, clippy::panic)]
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Changes, Experiment, Host, Source, SpecError};
use crate::experiment::{Refused, explain, schedule};

const SMALL: &str = "\
name: small
question: What of it?
cluster: {replicas: 3}
phases:
- {name: calm, for: 2s}
- name: cut
  for: 3s
  allowQuorumLoss: true
  faults: [{kind: partition, groups: [[lab-0], [\"*\"]]}]
";

/// Where a cut is that may leave no quorum.
const ALLOWED_CUT: &str = "  allowQuorumLoss: true\n  faults: [{kind: partition, groups: [[lab-0]";

fn none(source: Source<'_>) -> Result<Map<String, Value>, String> {
    Err(format!("{source:?} is not there"))
}

/// A cluster that nobody makes.
fn any(_: &Map<String, Value>) -> Result<(), Refused> {
    Ok(())
}

const HOST: Host<'_> = Host { given: &none, check: &any };

fn read(text: &str) -> Result<Experiment, SpecError> {
    Experiment::read(text, "small.yaml", Changes::default(), HOST)
}

#[test]
fn all_shipped_experiments_are_read_and_explained_long_and_quick() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/experiments");
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for is_quick in [false, true] {
            let changes = Changes { is_quick, ..Changes::default() };
            let experiment = Experiment::read(&text, &path.display().to_string(), changes, HOST);
            let experiment = experiment.unwrap_or_else(|error| panic!("{error}"));
            assert!(explain(&experiment).contains("Runs: "));
            assert_eq!(experiment.is_quick, is_quick);
        }
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn the_grid_of_the_course_project_has_about_as_many_cells_as_its_charts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/experiments/staleness-grid.yaml");
    let experiment = read(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(experiment.grid.cells.len(), 112);
    assert_eq!(experiment.grid.slices.len(), 12);
    let places: usize = experiment.grid.slices.iter().map(|slice| slice.places.len()).sum();
    assert!(places > 112, "slices share cells: {places}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (from, to, place, part) in [
        ("replicas: 3}", "replicas: 3}\nrepetition: 5", Some((4, 1)), "repetition"),
        ("for: 2s", "for: 2", Some((5, 21)), "`2`"),
        ("phases:", "expect: [\"x <\"]\nphases:", Some((4, 10)), "character 4"),
        ("phases:", "workload: {mix: all}\nphases:", Some((4, 17)), "shares"),
        ("question: What of it?", "question: ''", Some((2, 11)), "question"),
        ("name: small", "name: Small", Some((1, 7)), "lower case"),
        ("name: cut", "name: calm", Some((6, 9)), "twice"),
        ("kind: partition", "kind: partitions", Some((9, 19)), "phase `cut`"),
        ("phases:", "request: {r: 4}\nphases:", Some((4, 14)), "request.r: 4"),
        ("phases:", "load: {arrivals: poisson}\nphases:", Some((4, 7)), "load: these arrivals need rate"),
        ("phases:", "load: {rate: 5, arrivals: \"ramp:1:5\"}\nphases:", Some((4, 7)), "leave rate away"),
        ("phases:", "repetitions: 0\nphases:", Some((4, 14)), "repetitions"),
        ("phases:", "seed: 18446744073709551615\nphases:", Some((4, 7)), "leaves no room"),
        ("phases:", "quick: {set: {load.rate: 0}}\nphases:", Some((4, 26)), "quick: load"),
        ("phases:", "workload: {keys: 0}\nphases:", Some((4, 18)), "workload.keys"),
        ("{replicas: 3}", "{manifest: no.yaml}", Some((3, 21)), "no.yaml"),
        ("phases:", "expect: [stalenes.rate == 0]\nphases:", Some((4, 10)), "did you mean staleness.rate?"),
        ("phases:", "expect: [{that: staleness.rate == 0, when: r > q}]\nphases:", Some((4, 10)), "no measurement `q`"),
        ("phases:", "expect: [lost.count == 0]\nphases:", Some((4, 10)), "`measure.lostWrites`"),
        ("phases:", "expect: [convergence.all_s < 5]\nphases:", Some((4, 10)), "`measure.convergence`"),
        ("phases:", "expect: [throughput.offered_per_s > 5]\nphases:", Some((4, 10)), "`load.rate`"),
        ("phases:", "expect: [latency.delete.p50_ms < 5]\nphases:", Some((4, 10)), "`delete` in `workload.mix`"),
        ("[[lab-0]", "[[lab-3]", Some((9, 38)), "no such node: lab-3; the members are lab-0, lab-1, lab-2"),
        (
            ALLOWED_CUT,
            "  faults: [{kind: partition, groups: [[lab-0], [lab-1]",
            Some((8, 11)),
            "phase `cut`: faults: disturbs 2 nodes",
        ),
        ("phases:", "measure: {visibility: {phase: none, samples: 1, at: [0ms]}}\nphases:", Some((4, 31)), "`none`"),
        ("groups: [[lab-0]", "group: [[lab-0]", Some((9, 37)), "`group`"),
        ("kind: partition", "kind: crash, node: lab-1, after: 9s", Some((9, 58)), "`groups`"),
        ("partition, groups: [[lab-0], [\"*\"]]", "crash, node: lab-1, after: 9s", Some((9, 46)), "`after`: 9s"),
        ("phases:", "load: {inFlight: 5}\nphases:", Some((4, 18)), "needs a `rate`"),
        (
            "{replicas: 3}",
            "{replicas: 3, readQuorum: 5}",
            Some((3, 36)),
            "cluster.readQuorum: 5 is not between 1 and N",
        ),
        (
            "phases:",
            "measure: {visibility: {phase: calm, samples: 1, at: [0ms, 900s]}}\nphases:",
            Some((4, 23)),
            "from 0 to 600,000 ms",
        ),
        ("phases:", "measure: {budget: 0s}\nphases:", Some((4, 19)), "longer than nothing"),
        ("phases:", "expect: [{that: staleness.rate == 0, wen: r > 1}]\nphases:", Some((4, 38)), "`wen`"),
        ("phases:", "quick: {set: {phases.7.for: 1s}}\nphases:", Some((4, 29)), "no place in a list"),
        ("phases:", "quick: {set: {load.rate: fast}}\nphases:", Some((4, 26)), "load.rate: invalid type"),
    ] {
        let error = read(&SMALL.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(part), "{to}: {error}");
        assert_eq!(error.place, place, "{to}: {error}");
        assert_eq!(error.file, "small.yaml");
    }
}

#[test]
fn a_cell_that_cannot_be_run_is_named_before_anything_starts() {
    let grid =
        "grid:\n- {name: r, title: R, axes: [{name: R, path: request.r, values: [1, 9]}], charts: [staleness.rate]}\n";
    let error = read(&format!("{SMALL}{grid}")).unwrap_err();
    assert!(error.to_string().contains("cell r_r=9: request.r: 9"), "{error}");
    assert_eq!(error.place, Some((11, grid.find("9]").unwrap() as u64 - 5)), "{error}");
    for (axes, part, place) in [
        ("[]", "0 axes", "[]"),
        ("[{name: R, path: request.r}]", "`path` and `values`", "{"),
        ("[{name: R, path: phases.7.for, values: [1s]}]", "`7` is no place in a list of 2", "1s"),
        ("[{name: R, path: name, values: [1]}]", "`name` is of all cells", "1]"),
        ("[{name: R, path: cluster.replicas.x, values: [1]}]", "within a single value", "1]"),
        ("[{name: R, path: request.rr, values: [1]}]", "rr", "1]"),
        ("[{name: R, path: request.r, values: [1, all]}]", "request.r: invalid type", "all"),
        ("[{name: R, points: [{label: a, set: {request.w: 1, phases.1.for: 0s}}]}]", "cell r_r=a: phase `cut`", "0s"),
        ("[{name: R, path: phases.1.faults.0.kind, values: [partition, cut]}]", "unknown kind `cut`", "cut]"),
        ("[{name: R, path: repetitions, values: [1, 0]}]", "cell r_r=0: repetitions: 0", "0]"),
        ("[{name: R, path: phases.1.name, values: [calm]}]", "phase `calm` is there twice", "calm"),
        ("[{name: R, path: expect, values: [[x > 1]]}]", "`expect` is of all cells", "[x"),
        ("[{name: n, path: request.r, values: [1]}]", "expectations call a setting so", "{"),
        ("[{name: N, path: cluster.readQuorum, values: [2, 4]}]", "cluster.readQuorum: 4 is not between 1 and N", "4]"),
    ] {
        let grid = format!("grid: [{{name: r, title: R, axes: {axes}, charts: []}}]\n");
        let error = read(&format!("{SMALL}{grid}")).unwrap_err();
        assert!(error.to_string().contains(part), "{axes}: {error}");
        let column = grid.find("axes: ").unwrap() + 6 + axes.find(place).unwrap() + 1;
        assert_eq!(error.place, Some((10, column as u64)), "{axes}: {error}");
    }
}

/// Whoever makes clusters says which field is not taken, of the cells of a grid and of `quick` as well.
#[test]
fn a_field_that_makes_no_cluster_is_told_where_it_was_set() {
    let four = |fields: &Map<String, Value>| match fields.get("replicas").and_then(Value::as_u64) {
        Some(4) => Err(Refused::at("replicas", "four is not taken")),
        _ => Ok(()),
    };
    let axis = "[{name: nodes of it, path: cluster.replicas, values: [3, 4]}]";
    for (text, place, why) in [
        (SMALL.replace("replicas: 3", "replicas: 4"), (3, 21), "cluster: four is not taken"),
        (
            format!("{SMALL}grid: [{{name: r, title: R, axes: {axis}, charts: []}}]\n"),
            (10, 91),
            "cell r_nodes-of-it=4: cluster: four",
        ),
        (format!("{SMALL}quick: {{set: {{cluster.replicas: 4}}}}\n"), (10, 33), "quick: cluster: four is not taken"),
    ] {
        let host = Host { given: &none, check: &four };
        let error = Experiment::read(&text, "small.yaml", Changes::default(), host).unwrap_err();
        assert!(error.why.starts_with(why), "{error}");
        assert_eq!(error.place, Some(place), "{error}");
    }
}

#[test]
fn names_in_a_grid_are_known_before_anything_starts() {
    let grid = |more: &str| {
        let slice = format!("{{name: r, title: R, axes: [{{name: R, path: request.r, values: [1, 2]}}], {more}}}");
        read(&format!("{SMALL}grid: [{slice}]\n"))
    };
    grid("charts: [staleness.phase.cut.rate], expect: [{that: staleness.rate == 0, when: R + w > n}]").unwrap();
    for (more, part) in [
        ("charts: [staleness.phase.cutt.rate]", "grid.0.charts: there is no measurement"),
        ("charts: [visibility.at_0.rate]", "measured only with `measure.visibility`"),
        ("charts: [], expect: [S < 5]", "grid.0.expect: `S < 5`: there is no measurement `S`"),
    ] {
        let error = grid(more).unwrap_err().to_string();
        assert!(error.contains(part), "{more}: {error}");
    }
}

#[test]
fn a_cell_has_the_axes_of_all_slices_that_it_is_in() {
    let grid = "grid:\n\
        - {name: a, title: A, axes: [{name: R, path: request.r, values: [1, 2]}], charts: []}\n\
        - {name: b, title: B, set: {request.r: 2}, axes: [{name: keys, path: workload.keys, values: [100]}], charts: []}\n";
    let text = SMALL.replace("phases:", "workload: {keys: 100}\nrequest: {r: 1}\nphases:");
    let experiment = read(&format!("{text}{grid}")).unwrap();
    let axes: Vec<Vec<&str>> =
        experiment.grid.cells.iter().map(|cell| cell.axes.iter().map(|(name, _)| name.as_str()).collect()).collect();
    assert_eq!(axes, [vec!["R"], vec!["R", "keys"]]);
}

#[test]
fn cells_with_different_settings_have_different_names() {
    let axis = |first: &str, second: &str| {
        format!(
            "axes: [{{name: m, points: [{{label: {first}, set: {{request.r: 1}}}}, {{label: {second}, set: {{request.r: 2}}}}]}}]"
        )
    };
    for grid in [
        format!("- {{name: s, title: S, {}, charts: []}}", axis("A b", "a-b")),
        format!(
            "- {{name: s, title: S, {0}, charts: []}}\n- {{name: s, title: S, set: {{request.w: 1}}, {0}, charts: []}}",
            axis("a", "b")
        ),
    ] {
        let error = read(&format!("{SMALL}grid:\n{grid}\n")).unwrap_err().to_string();
        assert!(error.contains("would both be called s_m=a"), "{error}");
    }
}

#[test]
fn equal_settings_are_one_cell_whichever_slices_share_them() {
    let grid = "grid:\n\
        - {name: all, title: All, axes: [{name: R, path: request.r, values: [1, 2]}, {name: W, path: request.w, values: [1, 2]}], charts: []}\n\
        - {name: same, title: Same, axes: [{name: q, points: [{label: a, set: {request.r: 1, request.w: 1}}, {label: b, set: {request.r: 3, request.w: 3}}]}], charts: []}\n";
    let experiment = read(&format!("{SMALL}{grid}")).unwrap();
    let names: Vec<&str> = experiment.grid.cells.iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(names, ["all_r=1_w=1", "all_r=1_w=2", "all_r=2_w=1", "all_r=2_w=2", "same_q=b"]);
    let shared = experiment.grid.cells.first().unwrap();
    assert_eq!((shared.slices.as_slice(), schedule::quorums(&shared.spec).r), ([0, 1].as_slice(), 1));
}

#[test]
fn faults_begin_and_end_with_their_phase_and_belong_to_their_run() {
    let experiment = read(SMALL).unwrap();
    let [window] = schedule::windows(&experiment.spec, 4, "beef").unwrap().try_into().unwrap();
    assert_eq!((window.from.as_secs(), window.to.as_secs(), window.phase.as_str()), (2, 5, "cut"));
    assert_eq!(
        (window.experiment.id.as_str(), window.experiment.seed, window.experiment.for_ms),
        ("cut-beef", 4, 3_000)
    );
    assert_eq!(schedule::length(&experiment.spec).as_secs(), 5);
}

#[test]
fn a_manifest_gives_what_the_file_does_not_say_and_flags_win() {
    let manifest = |_: Source<'_>| Ok(json!({"replicas": 5, "readQuorum": 1}).as_object().cloned().unwrap());
    let text = SMALL.replace("{replicas: 3}", "{manifest: up.yaml, replicas: 7}")
        + "quick: {repetitions: 1, set: {phases.0.for: 1s}}\n";
    let changes = Changes { is_quick: true, repetitions: Some(2), seed: Some(9), kubernetes: None };
    let experiment = Experiment::read(&text, "small.yaml", changes, Host { given: &manifest, check: &any }).unwrap();
    assert_eq!((schedule::nodes(&experiment.spec), schedule::quorums(&experiment.spec).r), (Some(7), 1));
    assert_eq!((experiment.spec.repetitions, experiment.spec.seed), (2, 9));
    assert_eq!(schedule::length(&experiment.spec).as_secs(), 4);
    let again = Experiment::read(&experiment.resolved.to_string(), "spec.yaml", Changes::default(), HOST).unwrap();
    assert_eq!(again.resolved.get("cluster"), experiment.resolved.get("cluster"), "a folder's spec is whole by itself");
    let quick = Changes { is_quick: true, ..Changes::default() };
    assert!(Experiment::read(SMALL, "small.yaml", quick, HOST).unwrap_err().to_string().contains("--quick"));
    let none_at_all = Changes { repetitions: Some(0), ..Changes::default() };
    let error = Experiment::read(&format!("{SMALL}repetitions: 5\n"), "small.yaml", none_at_all, HOST).unwrap_err();
    assert_eq!(error.place, None, "a flag stands in no line: {error}");
}

#[test]
fn a_flag_takes_an_experiment_to_kubernetes_and_a_cluster_that_is_there_gives_its_fields() {
    let read = |place: &Value, given: fn(Source<'_>) -> Result<Map<String, Value>, String>| {
        let changes = Changes { kubernetes: place.as_object().cloned(), ..Changes::default() };
        let name = place.get("cluster").and_then(Value::as_str).unwrap_or(schedule::CLUSTER_NAME);
        let text = SMALL.replace("lab-0", &format!("{name}-0"));
        Experiment::read(&text, "small.yaml", changes, Host { given: &given, check: &any }).unwrap()
    };
    let made = read(&json!({}), none);
    assert_eq!(made.resolved.pointer("/cluster"), Some(&json!({"replicas": 3, "kubernetes": {}})));
    assert!(explain(&made).contains("3 nodes on Kubernetes, made for it"), "{}", explain(&made));
    let found = read(&json!({"cluster": "demo", "namespace": "shop"}), |source| match source {
        Source::Kubernetes(place) if place.get("namespace") == Some(&json!("shop")) => {
            Ok(json!({"replicas": 5, "readQuorum": 1}).as_object().cloned().unwrap())
        }
        other => Err(format!("{other:?}")),
    });
    assert_eq!(
        (schedule::nodes(&found.spec), schedule::quorums(&found.spec).r),
        (Some(3), 1),
        "what the file says wins"
    );
    assert!(explain(&found).contains("3 nodes of the KVCluster demo on Kubernetes, namespace shop"));
}
