//! The shape of a run, drawn from its seed: how many nodes and keys, sloppy or strict, which limits and quorums.
//! Small limits come at times, so that refusals and full hint budgets are met too.

use driftkv_core::config::{ClusterConfig, Limits};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::world::{PARTITIONS, Pace};

/// What one run looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Nodes, quorums, limits.
    pub config: ClusterConfig,
    /// How many keys the clients share.
    pub keys: u32,
    /// How many clients there are.
    pub clients: usize,
    /// Requests ask for quorums of their own, 1 to N.
    pub has_own_quorums: bool,
    /// Clients are impatient: they retry while the first attempt may still be under way.
    pub is_impatient: bool,
    /// The longest time between two faults, in milliseconds.
    pub calm_ms: u64,
    /// Disks and anti-entropy are slow at times, so that more is lost in a crash and differences last.
    pub pace: Pace,
}

impl Shape {
    /// The shape of this seed.
    pub fn of(seed: u64) -> Shape {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x5ea1);
        let mut limits = Limits { key_bytes_max: 16, value_bytes_max: 64, ..Limits::default() };
        if rng.random_range(0..6) == 0 {
            limits.siblings_max = rng.random_range(1..5);
        }
        if rng.random_range(0..5) == 0 {
            limits.hint_bytes_max = rng.random_range(80..400);
        }
        let config = ClusterConfig {
            replicas: rng.random_range(3..6),
            partitions: PARTITIONS,
            sloppy: rng.random_range(0..5) > 0,
            limits,
            ..ClusterConfig::default()
        };
        Shape {
            config,
            keys: rng.random_range(1..5),
            clients: rng.random_range(3..6),
            has_own_quorums: rng.random_range(0..3) == 0,
            is_impatient: rng.random_range(0..3) == 0,
            calm_ms: if rng.random_range(0..3) == 0 { 80 } else { 300 },
            pace: Pace {
                sync_ms: if rng.random_range(0..3) == 0 { 150 } else { 25 },
                tree_interval_ms: if rng.random_range(0..3) == 0 { 300 } else { 20 },
            },
        }
    }
}
