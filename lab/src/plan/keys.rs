//! Which key comes next: the distributions, each a few words of state and a rule.
//! Every worker draws for itself; `latest` and `sequential` know the number of workers, so that together they cover one key space.
//! Not here: the law of Zipf (`zipf`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::PlanError;
use super::random::Random;
use super::zipf::Zipf;

/// Most ranks a recency stack may have: finding a key in it is linear.
const DEPTH_MAX: usize = 10_000;

/// Which keys are asked for how often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Distribution {
    /// Every key alike.
    Uniform,
    /// Key i in proportion to 1 / (i + 1)^theta.
    Zipf {
        /// 0 is uniform, 0.99 is YCSB's, above 1 a few keys take nearly all.
        theta: f64,
        /// The popular keys lie all over the key space instead of at its beginning.
        scrambled: bool,
    },
    /// The first `keys` of the key space take `ops` of the operations, the rest is uniform over the other keys.
    Hotspot {
        /// Share of the keys, between 0 and 1.
        keys: f64,
        /// Share of the operations, from 0 to 1.
        ops: f64,
    },
    /// Puts walk through the key space; all other operations prefer what was put last, by Zipf.
    Latest {
        /// Of the distance behind the newest put.
        theta: f64,
    },
    /// Temporal locality: each worker returns to one of its last `depth` different keys, the distance in its recency stack by Zipf,
    /// or else goes to a key that is not in the stack.
    Recency {
        /// Keys remembered; the key space has at least twice as many.
        depth: usize,
        /// Of the distance in the stack.
        theta: f64,
        /// Share of the operations that return, from 0 to 1.
        reuse: f64,
    },
    /// Each worker stays for `run` operations among `span` neighbouring keys, then moves to another place.
    Clustered {
        /// Neighbouring keys of a place.
        span: u64,
        /// Operations before it moves.
        run: u64,
    },
    /// As far apart as can be: each worker visits every key once before any again, by strides of the golden section.
    Spread,
    /// The workers go through the key space in order, together each key once a round: fills a store.
    Sequential,
}

impl Distribution {
    pub(super) fn check(&self, keys: u64) -> Result<(), PlanError> {
        let wrong = |why: String| Err(PlanError::new("distribution", why));
        let is_share = |x: f64| (0.0..=1.0).contains(&x);
        match *self {
            Self::Zipf { theta, .. } | Self::Latest { theta } | Self::Recency { theta, .. }
                if !(0.0..=100.0).contains(&theta) =>
            {
                wrong(format!("theta {theta} is not between 0 and 100"))
            }
            Self::Hotspot { keys, ops } if !is_share(keys) || !is_share(ops) || keys == 0.0 => {
                wrong(format!("hotspot shares are between 0 and 1, not {keys} of the keys and {ops} of the operations"))
            }
            Self::Recency { reuse, .. } if !is_share(reuse) => wrong(format!("reuse {reuse} is not between 0 and 1")),
            Self::Recency { depth, .. } if depth == 0 || depth > DEPTH_MAX || depth as u64 > keys / 2 => wrong(
                format!("a recency stack of {depth} of {keys} keys: 1 to {DEPTH_MAX}, and at most half of the keys"),
            ),
            Self::Clustered { span, run } if span == 0 || run == 0 || span > keys => wrong(format!(
                "a cluster of {span} of {keys} keys for {run} operations: 1 or more, and no more than there are"
            )),
            _ => Ok(()),
        }
    }
}

/// Chooses the keys of one worker.
#[derive(Clone, Debug)]
pub(super) struct Chooser {
    keys: u64,
    worker: u64,
    workers: u64,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Uniform,
    Zipf { ranks: Zipf, stride: u64 },
    Hotspot { hot: u64, ops: f64 },
    Latest { ranks: Zipf, puts: u64 },
    Recency { ranks: Zipf, stack: VecDeque<u64>, depth: usize, reuse: f64 },
    Clustered { span: u64, run: u64, left: u64, first: u64 },
    Strides { next: u64, stride: u64 },
}

impl Chooser {
    pub(super) fn new(distribution: Distribution, keys: u64, worker: u32, workers: u32) -> Self {
        let (worker, workers) = (u64::from(worker), u64::from(workers.max(1)));
        let rule = match distribution {
            Distribution::Uniform => Rule::Uniform,
            Distribution::Zipf { theta, scrambled } => {
                Rule::Zipf { ranks: Zipf::new(keys, theta), stride: if scrambled { golden_stride(keys) } else { 1 } }
            }
            Distribution::Hotspot { keys: share, ops } => {
                Rule::Hotspot { hot: ((keys as f64 * share).round() as u64).clamp(1, keys), ops }
            }
            Distribution::Latest { theta } => Rule::Latest { ranks: Zipf::new(keys, theta), puts: 0 },
            Distribution::Recency { depth, theta, reuse } => {
                Rule::Recency { ranks: Zipf::new(depth as u64, theta), stack: VecDeque::new(), depth, reuse }
            }
            Distribution::Clustered { span, run } => Rule::Clustered { span, run, left: 0, first: 0 },
            Distribution::Spread => {
                Rule::Strides { next: (keys / workers).wrapping_mul(worker) % keys, stride: golden_stride(keys) }
            }
            Distribution::Sequential => Rule::Strides { next: worker % keys, stride: workers % keys },
        };
        Self { keys, worker, workers, rule }
    }

    /// The next key's index; `is_put`: the operation only writes.
    pub(super) fn next(&mut self, random: &mut Random, is_put: bool) -> u64 {
        let (keys, worker, workers) = (self.keys, self.worker, self.workers);
        match &mut self.rule {
            Rule::Uniform => random.below(keys),
            Rule::Zipf { ranks, stride } => times(ranks.draw(random), *stride, keys),
            Rule::Hotspot { hot, ops } => {
                let is_hot = random.unit() < *ops || *hot == keys;
                if is_hot { random.below(*hot) } else { *hot + random.below(keys - *hot) }
            }
            Rule::Latest { ranks, puts } => {
                // The others are taken to be as far as this one: nobody waits to find out.
                let head = (puts.wrapping_mul(workers).wrapping_add(worker)) % keys;
                if is_put {
                    *puts += 1;
                    return head;
                }
                (head + keys - 1 - ranks.draw(random)) % keys
            }
            Rule::Recency { ranks, stack, depth, reuse } => {
                let distance = if random.unit() < *reuse { ranks.draw(random) as usize } else { usize::MAX };
                let key = stack.remove(distance).unwrap_or_else(|| stranger(stack, keys, random));
                stack.push_front(key);
                stack.truncate(*depth);
                key
            }
            Rule::Clustered { span, run, left, first } => {
                if *left == 0 {
                    (*left, *first) = (*run, random.below(keys));
                }
                *left -= 1;
                (*first + random.below(*span)) % keys
            }
            Rule::Strides { next, stride } => std::mem::replace(next, (*next + *stride) % keys),
        }
    }

    /// The key nearest to `key` that is this worker's own.
    pub(super) fn own(&self, key: u64) -> u64 {
        let own = key - key % self.workers + self.worker;
        if own < self.keys { own } else { own.saturating_sub(self.workers) }
    }
}

/// A key that is not in the stack; the key space is at least twice as large.
fn stranger(stack: &VecDeque<u64>, keys: u64, random: &mut Random) -> u64 {
    loop {
        let key = random.below(keys);
        if !stack.contains(&key) {
            return key;
        }
    }
}

/// `index * stride mod keys`: a permutation of the keys, since both share no factor.
fn times(index: u64, stride: u64, keys: u64) -> u64 {
    ((u128::from(index) * u128::from(stride)) % u128::from(keys)) as u64
}

/// The number next to the golden section of `keys` that shares no factor with it.
fn golden_stride(keys: u64) -> u64 {
    let first = (keys as f64 * 0.618_033_988_749_895) as u64;
    (first.max(1)..keys).find(|stride| gcd(*stride, keys) == 1).unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
