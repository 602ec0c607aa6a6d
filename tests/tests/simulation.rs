//! The simulator over many seeds, and its own honesty.
use driftkv_tests::run::run;

fn hold(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let broken = run(seed).broken;
        assert!(broken.is_empty(), "seed {seed}: {}\nreplay: make sim SEED={seed} TRACE=1", broken.join("\n"));
    }
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
    for seed in 0..5 {
        assert_eq!(run(seed).trace, run(seed).trace, "seed {seed}");
    }
}

#[test]
fn clients_get_work_done() {
    let outcomes: Vec<[usize; 3]> = (0..20).map(|seed| run(seed).counts).collect();
    let [acknowledged, sent, read] = outcomes.iter().fold([0; 3], |a, c| [a[0] + c[0], a[1] + c[1], a[2] + c[2]]);
    assert!(acknowledged * 2 > sent && read > 100, "{acknowledged} of {sent} puts acknowledged, {read} gets answered");
}
