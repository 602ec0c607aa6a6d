//! The simulator over many seeds, and its own honesty.
use driftkv_tests::run::{Counts, Watch, check, run};

fn hold(seeds: impl Iterator<Item = u64>) {
    let broken: Vec<String> = seeds.filter_map(|seed| check(seed).err()).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_thousand_seeds_break_nothing_even() {
    hold((0..1_000).filter(|s| s % 2 == 0));
}

#[test]
fn a_thousand_seeds_break_nothing_odd() {
    hold((0..1_000).filter(|s| s % 2 == 1));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let watch = Watch { is_traced: true, only: None };
    for seed in 0..5 {
        let (first, second) = (run(seed, watch), run(seed, watch));
        assert!(first.trace.len() > 100, "seed {seed}: {} lines", first.trace.len());
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}

#[test]
fn watching_a_run_does_not_change_it() {
    for seed in 0..5 {
        let watched = run(seed, Watch { is_traced: true, only: None });
        assert_eq!(run(seed, Watch::default()).counts, watched.counts, "seed {seed}");
    }
}

#[test]
fn clients_get_work_done() {
    let mut all = Counts::default();
    (0..40).for_each(|seed| all.add(run(seed, Watch::default()).counts));
    assert!(all.puts > 1_000 && all.acknowledged * 2 > all.puts && all.gets > 500, "{all:?}");
}
