//! Whether the owners of each partition hold the same: their digests, compared.
//! Invariant: what was not compared is told as such, never as agreement.
//! A write that has reached one owner and not yet another is a difference too; it is one at that moment.

use std::collections::BTreeMap;

use driftkv_proto::v1::{DigestsReply, DigestsRequest};
use serde_json::{Value, json};

use crate::admin::{self, Answer};
use crate::endpoints::AdminEndpoint;
use crate::style::{Paint, count};

/// What comparing found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Divergence {
    /// Partitions that at least two owners told of, all alike.
    pub alike: u64,
    /// Partitions whose owners hold different data.
    pub differing: Vec<u32>,
    /// Keys that are certain to be missing at one of their owners.
    pub keys_missing: u64,
    /// Partitions that could not be compared: fewer than all owners told, or a hash tree is still being built.
    pub unknown: u64,
}

/// Asks all nodes for their digests and compares. `replicas`: owners of each partition, of `partitions` in all.
pub async fn find(nodes: &[AdminEndpoint], partitions: u32, replicas: u32) -> Divergence {
    let ask = |mut client: admin::AdminClient| async move { client.digests(DigestsRequest {}).await };
    compare(&admin::ask_all(nodes, ask).await, partitions, replicas)
}

fn compare(answers: &[Answer<DigestsReply>], partitions: u32, replicas: u32) -> Divergence {
    let mut told: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
    for digests in answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
        for digest in digests.partitions.iter().filter(|digest| digest.is_built) {
            told.entry(digest.partition).or_default().push((digest.root, digest.keys));
        }
    }
    let mut found = Divergence::default();
    for partition in 0..partitions {
        let owners = told.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let is_alike = owners.windows(2).all(|pair| pair.first() == pair.last());
        if !is_alike {
            let keys = || owners.iter().map(|(_, keys)| *keys);
            found.keys_missing += keys().max().unwrap_or(0) - keys().min().unwrap_or(0);
            found.differing.push(partition);
        } else if owners.len() < replicas as usize {
            found.unknown += 1;
        } else {
            found.alike += 1;
        }
    }
    found
}

impl Divergence {
    /// One line for a person.
    pub fn line(&self, paint: Paint) -> String {
        let all = self.alike + self.unknown + self.differing.len() as u64;
        let mut out = match (self.differing.len() as u64, self.alike) {
            (0, 0) => paint.yellow("replicas were not compared: no partition was told by all its owners"),
            (0, alike) if alike == all => paint.green(&format!("replicas agree in all {}", count(all, "partition"))),
            (0, alike) => paint.yellow(&format!("replicas agree in {alike} of {}", count(all, "partition"))),
            (differing, _) => paint.yellow(&format!("replicas differ in {differing} of {}", count(all, "partition"))),
        };
        if self.keys_missing > 0 {
            out += &paint.yellow(&format!(", at least {} missing at an owner", count(self.keys_missing, "key")));
        }
        if self.unknown > 0 && (self.alike > 0 || !self.differing.is_empty()) {
            out += &paint.yellow(&format!(", {} not compared", self.unknown));
        }
        out + "\n"
    }

    /// The same for a program.
    pub fn json(&self) -> Value {
        json!({
            "partitionsAlike": self.alike, "partitionsDiffering": self.differing, "keysMissing": self.keys_missing,
            "partitionsNotCompared": self.unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use driftkv_proto::v1::{DigestsReply, PartitionDigest};

    use super::{Answer, Divergence, Paint, compare};
    use crate::endpoints::AdminEndpoint;
    use crate::error::Failure;

    /// A node that owns these: partition, root, keys; root 0 is not built.
    fn node(owned: &[(u32, u64, u64)]) -> Answer<DigestsReply> {
        let digest = |(partition, root, keys): &(u32, u64, u64)| PartitionDigest {
            partition: *partition,
            root: *root,
            keys: *keys,
            is_built: *root != 0,
        };
        let reply = DigestsReply { partitions: owned.iter().map(digest).collect() };
        (AdminEndpoint { name: "n".to_owned(), address: "a:1".to_owned() }, Ok(reply))
    }

    fn silent() -> Answer<DigestsReply> {
        (AdminEndpoint { name: "n".to_owned(), address: "a:1".to_owned() }, Err(Failure::unavailable("gone")))
    }

    #[test]
    fn equal_digests_of_all_owners_agree() {
        let found = compare(&[node(&[(0, 5, 1), (1, 7, 9)]), node(&[(0, 5, 1)]), node(&[(1, 7, 9)])], 2, 2);
        assert_eq!(found, Divergence { alike: 2, ..Divergence::default() });
        assert_eq!(found.line(Paint::off()), "replicas agree in all 2 partitions\n");
    }

    #[test]
    fn what_differs_is_told_with_the_keys_that_are_certainly_missing() {
        let found = compare(&[node(&[(0, 5, 12), (1, 7, 9)]), node(&[(0, 6, 10), (1, 8, 9)])], 2, 2);
        assert_eq!((found.differing.as_slice(), found.keys_missing), ([0, 1].as_slice(), 2));
        let line = "replicas differ in 2 of 2 partitions, at least 2 keys missing at an owner\n";
        assert_eq!(found.line(Paint::off()), line);
    }

    #[test]
    fn what_a_silent_node_or_an_unbuilt_tree_leaves_open_is_no_agreement() {
        let found = compare(&[node(&[(0, 5, 1), (1, 7, 1), (2, 0, 0)]), node(&[(0, 5, 1)]), silent()], 3, 2);
        assert_eq!(found, Divergence { alike: 1, unknown: 2, ..Divergence::default() });
        assert_eq!(found.line(Paint::off()), "replicas agree in 1 of 3 partitions, 2 not compared\n");
        let nobody = compare(&[silent()], 3, 2);
        assert_eq!(nobody.line(Paint::off()), "replicas were not compared: no partition was told by all its owners\n");
        let known = compare(&[node(&[(0, 5, 1)]), node(&[(0, 6, 1)])], 1, 3);
        assert_eq!(known.differing, [0], "two that differ are enough to know");
    }
}
