//! Which links between nodes a fault touches. A link has a direction; a node has none to itself.
//! `*` stands for every node, and inside a partition's group for every node that no other group names.
//! Invariant: a symmetric form matches `(a, b)` exactly when it matches `(b, a)`.
//! Not here: whether the nodes exist and what may be disturbed (`quorum`).

/// The name that stands for all nodes.
pub const EVERY_NODE: &str = "*";

/// The links of a delay, drop, duplicate or reorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Links {
    /// From each of `from` to each of `to`, that way only.
    OneWay {
        /// Who sends.
        from: Vec<String>,
        /// Who receives.
        to: Vec<String>,
    },
    /// Both ways between two nodes, or between one and all others.
    Between(String, String),
}

impl Links {
    /// Whether a message from `from` to `to` travels one of these links.
    pub fn contains(&self, from: &str, to: &str) -> bool {
        match self {
            Self::OneWay { from: senders, to: receivers } => {
                from != to && has_name(senders, from) && has_name(receivers, to)
            }
            Self::Between(a, b) => {
                let is_way = |from, to| is_name(a, from) && is_name(b, to);
                from != to && (is_way(from, to) || is_way(to, from))
            }
        }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::OneWay { from, to } => from.iter().chain(to).map(String::as_str).collect(),
            Self::Between(a, b) => vec![a, b],
        }
    }
}

/// The links that a partition cuts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Both ways between nodes of different groups; a node in no group keeps all its links.
    Groups(Vec<Vec<String>>),
    /// From each of `from` to each of `to`, that way only.
    OneWay {
        /// Whose messages are lost.
        from: Vec<String>,
        /// Who does not hear them.
        to: Vec<String>,
    },
}

impl Cut {
    /// Whether a message from `from` to `to` is lost.
    pub fn separates(&self, from: &str, to: &str) -> bool {
        match self {
            Self::Groups(groups) => match (group_index(groups, from), group_index(groups, to)) {
                (Some(left), Some(right)) => left != right,
                _ => false,
            },
            Self::OneWay { from: senders, to: receivers } => {
                from != to && has_name(senders, from) && has_name(receivers, to)
            }
        }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Groups(groups) => groups.iter().flatten().map(String::as_str).collect(),
            Self::OneWay { from, to } => from.iter().chain(to).map(String::as_str).collect(),
        }
    }
}

/// The group a node belongs to: the one that names it, else the one with `*`.
pub(super) fn group_index(groups: &[Vec<String>], name: &str) -> Option<usize> {
    let with = |wanted: &str| groups.iter().position(|group| group.iter().any(|member| member == wanted));
    with(name).or_else(|| with(EVERY_NODE))
}

pub(super) fn has_name(names: &[String], name: &str) -> bool {
    names.iter().any(|written| is_name(written, name))
}

pub(super) fn is_name(written: &str, name: &str) -> bool {
    written == EVERY_NODE || written == name
}

#[cfg(test)]
mod tests {
    use super::{Cut, Links};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_way_links_are_not_crossed_backwards() {
        let links = Links::OneWay { from: names(&["a"]), to: names(&["*"]) };
        assert!(links.contains("a", "b"));
        assert!(!links.contains("b", "a"));
        assert!(!links.contains("a", "a"));
    }

    #[test]
    fn between_is_symmetric() {
        let links = Links::Between("a".to_owned(), "b".to_owned());
        assert!(links.contains("a", "b") && links.contains("b", "a"));
        assert!(!links.contains("a", "c") && !links.contains("a", "a"));
        let links = Links::Between("a".to_owned(), "*".to_owned());
        assert!(links.contains("c", "a") && links.contains("a", "c"));
        assert!(!links.contains("b", "c"));
    }

    #[test]
    fn groups_lose_each_other_and_no_one_else() {
        let cut = Cut::Groups(vec![names(&["a", "b"]), names(&["c"])]);
        assert!(cut.separates("a", "c") && cut.separates("c", "b"));
        assert!(!cut.separates("a", "b") && !cut.separates("a", "d") && !cut.separates("d", "c"));
    }

    #[test]
    fn a_star_in_a_group_means_the_rest() {
        let cut = Cut::Groups(vec![names(&["a"]), names(&["*"])]);
        assert!(cut.separates("a", "b") && cut.separates("c", "a"));
        assert!(!cut.separates("b", "c"));
    }
}
