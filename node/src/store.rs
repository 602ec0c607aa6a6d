//! The node's disk: its directory (`dir`), its store (`disk`), and what is looked at before that opens (`journal`).
pub mod dir;
pub mod disk;
pub mod journal;

/// What can be done about a node whose data is gone. To start it on an older copy, or on nothing, would break what it promised.
const LOST: &str = "This node is lost to its cluster; keep the others running. Nodes cannot be replaced yet: only a new cluster has \
                    all its replicas again";

#[cfg(test)]
mod tests;
