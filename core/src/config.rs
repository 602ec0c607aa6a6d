//! What a cluster is configured with, and the one rule set that node, operator and CLI share.
//! Quorums follow Dynamo (SOSP 2007) 4.5: N replicas of a key, R answers to a get, W commits for a put.
//! Invariant: a configuration that `validate` accepts keeps every message and every memory bound finite.
//! Not here: how a manifest is spelled (`operator/src/manifest.rs`); R+W>N is a choice, not a rule.

/// Largest N: more replicas of a key cost every put and help nobody.
pub const REPLICATION_FACTOR_MAX: u32 = 7;
/// Most nodes in a cluster.
pub const REPLICAS_MAX: u32 = 1024;
/// Most partitions: the top 16 bits of the ring.
pub const PARTITIONS_MAX: u32 = 65_536;
/// Largest allowed `key_bytes_max`: bucket, key and what is put before them stay below the 65,535 bytes that a store's key may have.
pub const KEY_BYTES_CEILING: u32 = 30 << 10;
/// Largest allowed `value_bytes_max`.
pub const VALUE_BYTES_CEILING: u32 = 16 << 20;
/// Largest allowed `hint_bytes_max`: 1 PiB.
pub const HINT_BYTES_CEILING: u64 = 1 << 50;
/// Most bytes that the siblings of one key may add up to: a replica holds a whole state in memory to merge it.
pub const STATE_BYTES_CEILING: u64 = 1 << 30;

/// What one key, one value, one state and one hint budget may grow to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key, and longest bucket name, in bytes.
    pub key_bytes_max: u32,
    /// Longest value, in bytes.
    pub value_bytes_max: u32,
    /// A put that would add one more sibling is refused.
    pub siblings_max: u32,
    /// Bytes of hints one node keeps for one other.
    pub hint_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { key_bytes_max: 1024, value_bytes_max: 1 << 20, siblings_max: 100, hint_bytes_max: 256 << 20 }
    }
}

/// The settings of one cluster. `partitions` and `replication_factor` are fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Number of nodes.
    pub replicas: u32,
    /// Q: slices of the ring, a power of two.
    pub partitions: u32,
    /// N: owners of each key.
    pub replication_factor: u32,
    /// R: answers a get waits for, unless it says otherwise.
    pub read_quorum: u32,
    /// W: commits a put waits for, unless it says otherwise.
    pub write_quorum: u32,
    /// Fallbacks may count toward a quorum.
    pub sloppy: bool,
    /// Sizes.
    pub limits: Limits,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig {
            replicas: 3,
            partitions: 256,
            replication_factor: 3,
            read_quorum: 2,
            write_quorum: 2,
            sloppy: true,
            limits: Limits::default(),
        }
    }
}

/// A setting that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Field {
    Replicas,
    Partitions,
    ReplicationFactor,
    ReadQuorum,
    WriteQuorum,
    KeyBytesMax,
    ValueBytesMax,
    SiblingsMax,
    HintBytesMax,
}

impl Field {
    /// Its name in code.
    pub fn name(self) -> &'static str {
        match self {
            Field::Replicas => "replicas",
            Field::Partitions => "partitions",
            Field::ReplicationFactor => "replication_factor",
            Field::ReadQuorum => "read_quorum",
            Field::WriteQuorum => "write_quorum",
            Field::KeyBytesMax => "limits.key_bytes_max",
            Field::ValueBytesMax => "limits.value_bytes_max",
            Field::SiblingsMax => "limits.siblings_max",
            Field::HintBytesMax => "limits.hint_bytes_max",
        }
    }

    /// Its name in a manifest.
    pub fn manifest_name(self) -> &'static str {
        match self {
            Field::Replicas => "replicas",
            Field::Partitions => "partitions",
            Field::ReplicationFactor => "replicationFactor",
            Field::ReadQuorum => "readQuorum",
            Field::WriteQuorum => "writeQuorum",
            Field::KeyBytesMax => "limits.keyBytesMax",
            Field::ValueBytesMax => "limits.valueBytesMax",
            Field::SiblingsMax => "limits.siblingsMax",
            Field::HintBytesMax => "limits.hintBytesMax",
        }
    }
}

/// One rule that a configuration breaks. Nothing was changed; whoever wrote the configuration should act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Below `min` or above `max`.
    OutOfRange {
        /// Which setting.
        field: Field,
        /// What it is.
        value: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// Must be 1, 2, 4, 8 …
    NotPowerOfTwo {
        /// Which setting.
        field: Field,
        /// What it is.
        value: u64,
    },
    /// Must not exceed another setting.
    Exceeds {
        /// Which setting.
        field: Field,
        /// What it is.
        value: u64,
        /// The setting that bounds it.
        bound: Field,
        /// What that is.
        bound_value: u64,
    },
    /// All siblings of one key together could outgrow memory.
    StateTooLarge {
        /// Siblings allowed.
        siblings_max: u64,
        /// Bytes each.
        value_bytes_max: u64,
        /// Their product may be this much.
        bytes_max: u64,
    },
}

impl ConfigError {
    /// The setting to change.
    pub fn field(&self) -> Field {
        match *self {
            ConfigError::OutOfRange { field, .. }
            | ConfigError::NotPowerOfTwo { field, .. }
            | ConfigError::Exceeds { field, .. } => field,
            ConfigError::StateTooLarge { .. } => Field::SiblingsMax,
        }
    }

    /// The whole sentence, with settings spelled by `name`: [`Field::name`] or [`Field::manifest_name`].
    pub fn describe(&self, name: fn(Field) -> &'static str) -> String {
        match *self {
            ConfigError::OutOfRange { field, value, min, max } => {
                format!("{} is {value}; allowed is {min} to {max}", name(field))
            }
            ConfigError::NotPowerOfTwo { field, value } => {
                format!("{} is {value}; allowed is a power of two (1, 2, 4, …, {PARTITIONS_MAX})", name(field))
            }
            ConfigError::Exceeds { field, value, bound, bound_value } => {
                format!("{} is {value}; allowed is at most {}, which is {bound_value}", name(field), name(bound))
            }
            ConfigError::StateTooLarge { siblings_max, value_bytes_max, bytes_max } => format!(
                "{} is {siblings_max} and {} is {value_bytes_max}: one key could grow to {} bytes; allowed is {bytes_max}",
                name(Field::SiblingsMax),
                name(Field::ValueBytesMax),
                siblings_max.saturating_mul(value_bytes_max),
            ),
        }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe(Field::name))
    }
}

impl std::error::Error for ConfigError {}

impl ClusterConfig {
    /// Checks every rule and returns all that are broken, in field order.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        self.check_ranges(&mut errors);
        self.check_relations(&mut errors);
        errors.sort_by_key(ConfigError::field);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_ranges(&self, errors: &mut Vec<ConfigError>) {
        let limits = &self.limits;
        let ranges = [
            (Field::Replicas, self.replicas.into(), REPLICAS_MAX.into()),
            (Field::Partitions, self.partitions.into(), PARTITIONS_MAX.into()),
            (Field::ReplicationFactor, self.replication_factor.into(), REPLICATION_FACTOR_MAX.into()),
            (Field::ReadQuorum, self.read_quorum.into(), REPLICATION_FACTOR_MAX.into()),
            (Field::WriteQuorum, self.write_quorum.into(), REPLICATION_FACTOR_MAX.into()),
            (Field::KeyBytesMax, limits.key_bytes_max.into(), KEY_BYTES_CEILING.into()),
            (Field::ValueBytesMax, limits.value_bytes_max.into(), VALUE_BYTES_CEILING.into()),
            (Field::SiblingsMax, limits.siblings_max.into(), u32::MAX.into()),
            (Field::HintBytesMax, limits.hint_bytes_max, HINT_BYTES_CEILING),
        ];
        for (field, value, max) in ranges {
            if !(1..=max).contains(&value) {
                errors.push(ConfigError::OutOfRange { field, value, min: 1, max });
            }
        }
        if self.partitions > 0 && !self.partitions.is_power_of_two() {
            errors.push(ConfigError::NotPowerOfTwo { field: Field::Partitions, value: self.partitions.into() });
        }
    }

    fn check_relations(&self, errors: &mut Vec<ConfigError>) {
        let factor = (Field::ReplicationFactor, self.replication_factor);
        for ((field, value), (bound, bound_value)) in [
            (factor, (Field::Replicas, self.replicas)),
            ((Field::ReadQuorum, self.read_quorum), factor),
            ((Field::WriteQuorum, self.write_quorum), factor),
        ] {
            // What is out of range as it is needs no second complaint.
            let is_told = errors.iter().any(|error| error.field() == field);
            if value > bound_value && !is_told {
                let (value, bound_value) = (value.into(), bound_value.into());
                errors.push(ConfigError::Exceeds { field, value, bound, bound_value });
            }
        }
        let siblings_max = u64::from(self.limits.siblings_max);
        let value_bytes_max = u64::from(self.limits.value_bytes_max);
        if siblings_max.saturating_mul(value_bytes_max) > STATE_BYTES_CEILING {
            let bytes_max = STATE_BYTES_CEILING;
            errors.push(ConfigError::StateTooLarge { siblings_max, value_bytes_max, bytes_max });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::{ClusterConfig, ConfigError, Field, Limits};

    fn problems(change: impl FnOnce(&mut ClusterConfig)) -> Vec<String> {
        let mut config = ClusterConfig { replicas: 5, ..ClusterConfig::default() };
        change(&mut config);
        config.validate().err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(ClusterConfig::default().validate(), Ok(()));
    }

    #[test]
    fn every_bound_itself_is_allowed() {
        assert!(problems(|c| c.partitions = 65_536).is_empty());
        assert!(problems(|c| c.partitions = 1).is_empty());
        assert!(problems(|c| c.replicas = 1024).is_empty());
        assert!(problems(|c| c.limits.value_bytes_max = 10 << 20).is_empty());
        let single = ClusterConfig {
            replicas: 1,
            replication_factor: 1,
            read_quorum: 1,
            write_quorum: 1,
            ..ClusterConfig::default()
        };
        assert_eq!(single.validate(), Ok(()));
    }

    #[test]
    fn a_quorum_larger_than_the_replication_factor_names_both() {
        assert_eq!(
            problems(|c| c.read_quorum = 4),
            ["read_quorum is 4; allowed is at most replication_factor, which is 3"]
        );
        assert_eq!(
            problems(|c| c.replication_factor = 6),
            ["replication_factor is 6; allowed is at most replicas, which is 5"]
        );
    }

    #[test]
    fn all_problems_are_listed_at_once_in_field_order() {
        let all = problems(|c| {
            c.partitions = 100;
            c.write_quorum = 0;
            c.limits = Limits { key_bytes_max: 30_721, value_bytes_max: 17 << 20, siblings_max: 0, hint_bytes_max: 0 };
        });
        assert_eq!(all.len(), 6, "{all:?}");
        assert_eq!(all[0], "partitions is 100; allowed is a power of two (1, 2, 4, …, 65536)");
        assert_eq!(all[1], "write_quorum is 0; allowed is 1 to 7");
        assert_eq!(all[3], "limits.value_bytes_max is 17825792; allowed is 1 to 16777216");
    }

    #[test]
    fn siblings_of_one_key_must_fit_in_a_gibibyte() {
        let all = problems(|c| c.limits.value_bytes_max = 16 << 20);
        assert_eq!(all.len(), 1);
        assert!(all[0].contains("1677721600 bytes; allowed is 1073741824"), "{}", all[0]);
    }

    #[test]
    fn a_problem_can_be_told_in_the_names_of_a_manifest() {
        let error = ConfigError::OutOfRange { field: Field::KeyBytesMax, value: 0, min: 1, max: 9 };
        assert_eq!(error.describe(Field::manifest_name), "limits.keyBytesMax is 0; allowed is 1 to 9");
    }
}
