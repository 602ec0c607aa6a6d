#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::HashSet;
use std::time::Duration;

use super::{
    Action, Arrivals, Distribution, Filler, Fingerprint, Pace, Plan, Request, Until, ValueId, Workload, lines,
};

fn plan(seed: u64, distribution: Distribution, keys: u64) -> Plan {
    let workload = Workload { distribution, keys, workers: 4, sessions: 4, ..Workload::default() };
    Plan { seed, workload, pace: Pace::Closed { until: Until::Ops(40_000) }, request: Request::default() }
}

/// How often each key is drawn by one worker.
fn drawn(distribution: Distribution, keys: u64, draws: usize) -> Vec<f64> {
    let mut stream = plan(7, distribution, keys).stream(1, 3);
    let mut counts = vec![0.0; keys as usize];
    (0..draws).for_each(|_| counts[stream.next_op().key as usize] += 1.0);
    counts
}

/// Pearson's chi-square over its degrees of freedom; about 1 if `seen` follows `expected`.
fn chi_square(seen: &[f64], expected: &[f64]) -> f64 {
    let sum: f64 = seen.iter().zip(expected).map(|(s, e)| (s - e) * (s - e) / e).sum();
    sum / (seen.len() - 1) as f64
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
    let text =
        |seed| lines(&plan(seed, Distribution::Zipf { theta: 0.99, scrambled: true }, 1_000), 3).collect::<Vec<_>>();
    assert_eq!(text(5), text(5));
    assert_ne!(text(5)[1..], text(6)[1..]);
    let of = |seed| Fingerprint::of(&plan(seed, Distribution::Uniform, 1_000), 3);
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
}

#[test]
fn uniform_draws_every_key_alike() {
    let seen = drawn(Distribution::Uniform, 200, 200_000);
    assert!((0.7..1.3).contains(&chi_square(&seen, &[1_000.0; 200])));
}

#[test]
fn zipf_follows_its_law_for_any_theta() {
    for theta in [0.0, 0.5, 0.99, 1.0, 1.4] {
        let expected = by_zipf(100, theta, 200_000.0);
        let seen = drawn(Distribution::Zipf { theta, scrambled: false }, 100, 200_000);
        let fit = chi_square(&seen, &expected);
        assert!((0.5..1.6).contains(&fit), "theta {theta}: chi-square {fit} a degree");
    }
}

#[test]
fn scrambling_moves_the_popular_keys_and_keeps_their_shares() {
    let sorted = |scrambled| {
        let mut counts = drawn(Distribution::Zipf { theta: 0.99, scrambled }, 100, 50_000);
        let order_before = counts.clone();
        counts.sort_by(f64::total_cmp);
        (order_before, counts)
    };
    let ((plain, plain_sorted), (mixed, mixed_sorted)) = (sorted(false), sorted(true));
    assert_eq!(plain_sorted, mixed_sorted);
    assert_ne!(plain, mixed);
}

#[test]
fn a_hotspot_takes_its_share_of_the_operations() {
    let seen = drawn(Distribution::Hotspot { keys: 0.1, ops: 0.8 }, 1_000, 100_000);
    let hot: f64 = seen[..100].iter().sum();
    assert!((0.79..0.81).contains(&(hot / 100_000.0)), "{hot} of 100000");
}

#[test]
fn the_workers_of_a_sequential_plan_cover_each_key_once() {
    let plan = plan(1, Distribution::Sequential, 1_000);
    let mut keys = HashSet::new();
    for worker in 0..4 {
        let mut stream = plan.stream(worker, 3);
        (0..250).for_each(|_| assert!(keys.insert(stream.next_op().key)));
    }
    assert_eq!(keys.len(), 1_000);
}

#[test]
fn own_keys_are_asked_for_by_one_worker_alone() {
    let mut plan = plan(1, Distribution::Uniform, 1_003);
    plan.workload.own_keys = true;
    for worker in 0..4 {
        let mut stream = plan.stream(worker, 3);
        (0..5_000).for_each(|_| assert_eq!(stream.next_op().key % 4, u64::from(worker)));
    }
}

/// How often of so many draws each rank comes, by Zipf.
fn by_zipf(ranks: u32, theta: f64, draws: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=ranks).map(|rank| f64::from(rank).powf(-theta)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum * draws).collect()
}

#[test]
fn a_recency_stack_asks_again_for_what_was_asked_lately() {
    for theta in [0.0, 1.0] {
        let mut stream = plan(3, Distribution::Recency { depth: 20, theta, reuse: 0.9 }, 100_000).stream(0, 3);
        let (mut stack, mut distances) = (Vec::<u64>::new(), vec![0.0; 20]);
        for _ in 0..100_000 {
            let key = stream.next_op().key;
            if let Some(distance) = stack.iter().position(|seen| *seen == key) {
                stack.remove(distance);
                distances[distance] += 1.0;
            }
            stack.insert(0, key);
            stack.truncate(20);
        }
        let again: f64 = distances.iter().sum();
        assert!((89_500.0..90_500.0).contains(&again), "{again} of 100000 were on the stack");
        let fit = chi_square(&distances, &by_zipf(20, theta, again));
        assert!((0.2..2.2).contains(&fit), "theta {theta}: chi-square {fit} a degree: {distances:?}");
    }
}

#[test]
fn what_was_put_last_is_read_most_by_the_latest_distribution() {
    let (keys, theta) = (100, 0.99);
    let plan = plan(11, Distribution::Latest { theta }, keys);
    let (worker, workers) = (1, u64::from(plan.workload.workers));
    let (mut stream, mut puts, mut behind) = (plan.stream(worker, 3), 0, vec![0.0; keys as usize]);
    for _ in 0..200_000 {
        // All workers together walk through the keys, each a step at a time.
        let next = (puts * workers + u64::from(worker)) % keys;
        let planned = stream.next_op();
        if planned.action == Action::Put {
            assert_eq!(planned.key, next);
            puts += 1;
        } else {
            behind[((next + keys - 1 - planned.key) % keys) as usize] += 1.0;
        }
    }
    let fit = chi_square(&behind, &by_zipf(100, theta, behind.iter().sum()));
    assert!((0.5..1.6).contains(&fit), "chi-square {fit} a degree");
}

#[test]
fn a_clustered_worker_stays_among_neighbours_and_then_moves() {
    let (keys, span, run) = (10_000, 50, 200);
    let mut stream = plan(5, Distribution::Clustered { span, run }, keys).stream(2, 3);
    let mut places = Vec::new();
    for _ in 0..500 {
        let visited: HashSet<u64> = (0..run).map(|_| stream.next_op().key).collect();
        // Neighbours around the end of the key space, too: there is a first one behind which all lie.
        let first = visited.iter().find(|first| visited.iter().all(|key| (key + keys - **first) % keys < span));
        places.push(*first.unwrap());
        assert!(visited.len() > 40, "nearly all of the span in {run} operations: {}", visited.len());
    }
    let low = places.iter().filter(|first| **first < keys / 2).count();
    assert!((190..310).contains(&low), "{low} of 500 places in the lower half of the keys");
    assert!(places.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < span).count() < 20, "it moves");
}

#[test]
fn a_spread_worker_goes_far_and_visits_every_key_before_any_again() {
    for keys in [1_000, 1_024, 7] {
        let mut stream = plan(5, Distribution::Spread, keys).stream(3, 3);
        let visited: Vec<u64> = (0..keys).map(|_| stream.next_op().key).collect();
        assert_eq!(visited.iter().collect::<HashSet<_>>().len(), keys as usize);
        let far = |pair: &[u64]| pair[0].abs_diff(pair[1]).min(keys - pair[0].abs_diff(pair[1])) * 4 >= keys;
        assert!(visited.windows(2).all(far), "a quarter of {keys} keys or more at each step: {visited:?}");
    }
}

#[test]
fn bursts_come_together_and_bring_the_mean_of_their_rate() {
    let times: Vec<u64> = Arrivals::Burst { rate: 1_000.0, size: 50 }.times(0, Duration::from_secs(10)).collect();
    assert!((9_900..=10_100).contains(&times.len()), "{}", times.len());
    let starts: HashSet<u64> = times.iter().copied().collect();
    assert_eq!(starts.len(), times.len().div_ceil(50), "fifty at a time");
}

#[test]
fn poisson_gaps_have_the_mean_and_the_spread_of_their_law() {
    let arrivals = Arrivals::Poisson { rate: 1_000.0 };
    let times: Vec<u64> = arrivals.times(9, Duration::from_secs(50)).collect();
    assert!((49_000..51_000).contains(&times.len()), "{}", times.len());
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((0.95..1.05).contains(&(variance.sqrt() / mean)), "spread {} of mean {mean} ms", variance.sqrt());
}

#[test]
fn ramps_and_steps_bring_the_mean_of_their_rates() {
    for arrivals in [Arrivals::Ramp { from: 0.0, to: 1_000.0 }, Arrivals::Step { from: 100.0, to: 900.0, steps: 5 }] {
        let times: Vec<u64> = arrivals.times(0, Duration::from_secs(10)).collect();
        assert!(times.is_sorted());
        assert!((4_990..=5_010).contains(&times.len()), "{arrivals:?}: {}", times.len());
        let early = times.iter().filter(|ns| **ns < 2_000_000_000).count();
        assert!(early <= 210, "{arrivals:?}: {early} in the first fifth");
    }
}

#[test]
fn a_value_says_which_write_it_is() {
    let id = ValueId { worker: 3, counter: 77 };
    let value = Filler::new(0xabc, 1, 1_024).value(id);
    assert_eq!(value.len(), 1_024);
    assert_eq!(ValueId::of(&value), Some((0xabc, id)));
    assert_eq!(ValueId::of(b"somebody else's"), None);
    assert_eq!(ValueId::of(&Filler::new(1, 1, 0).value(id)), Some((1, id)));
}

#[test]
fn a_value_that_was_read_is_named_by_what_it_is() {
    let (mine, theirs) = (Filler::new(0xabc, 1, 200), Filler::new(7, 1, 200));
    let id = ValueId { worker: 3, counter: 77 };
    assert_eq!(mine.name(&mine.value(id)), "3.77");
    assert_eq!(mine.name(&theirs.value(id)), "0000000000000007/3.77");
    let mut bytes = mine.value(id).to_vec();
    bytes[150] ^= 1;
    assert_eq!(mine.name(&bytes), "damaged 3.77");
    assert!(mine.name(b"somebody else's").starts_with("unknown "));
}

#[test]
fn a_plan_that_cannot_be_run_is_refused_with_the_field() {
    let wrong = |change: fn(&mut Plan)| {
        let mut plan = plan(1, Distribution::Uniform, 100);
        change(&mut plan);
        plan.check().unwrap_err().field
    };
    assert_eq!(wrong(|plan| plan.workload.keys = 0), "keys");
    assert_eq!(wrong(|plan| plan.workload.workers = 0), "workers");
    assert_eq!(wrong(|plan| plan.workload.mix = super::Mix { get: 0, put: 0, delete: 0, rmw: 0 }), "mix");
    assert_eq!(
        wrong(|plan| plan.workload.distribution = Distribution::Zipf { theta: -1.0, scrambled: false }),
        "distribution"
    );
    assert_eq!(wrong(|plan| plan.pace = Pace::Closed { until: Until::Ops(0) }), "until");
    assert_eq!(wrong(|plan| plan.workload.keys = u64::MAX), "keys");
    assert_eq!(wrong(|plan| plan.workload.workers = u32::MAX), "workers");
    assert_eq!(wrong(|plan| plan.workload.value_bytes = usize::MAX), "value_bytes");
    let steps = |steps| Arrivals::Step { from: 1.0, to: 2.0, steps };
    for (arrivals, seconds, in_flight, field) in [
        (steps(u32::MAX), 9, 1, "arrivals"),
        (steps(1), 9, 1, "arrivals"),
        (steps(2), u64::MAX / 1_000, 1, "duration"),
        (steps(2), 9, usize::MAX, "in_flight"),
        (Arrivals::Constant { rate: f64::NAN }, 9, 1, "arrivals"),
        (Arrivals::Poisson { rate: 0.0 }, 9, 1, "arrivals"),
    ] {
        let mut plan = plan(1, Distribution::Uniform, 100);
        plan.pace = Pace::Open { arrivals, duration: Duration::from_secs(seconds), in_flight };
        assert_eq!(plan.check().unwrap_err().field, field, "{arrivals:?}");
    }
}

#[test]
fn the_mix_has_its_shares() {
    let mut plan = plan(1, Distribution::Uniform, 100);
    plan.workload.mix = super::Mix { get: 90, put: 5, delete: 1, rmw: 4 };
    let mut stream = plan.stream(0, 3);
    let gets = (0..100_000).filter(|_| stream.next_op().action == Action::Get).count();
    assert!((89_500..90_500).contains(&gets), "{gets}");
}
