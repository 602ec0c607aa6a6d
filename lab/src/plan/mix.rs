//! Which operations, in which shares.

use serde::{Deserialize, Serialize};

use super::PlanError;
use super::random::Random;

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Reads.
    Get,
    /// Writes.
    Put,
    /// Deletes.
    Delete,
    /// Reads, then writes with the context of what it read.
    Rmw,
}

impl Action {
    /// All, in the order of reports.
    pub const ALL: [Action; 4] = [Action::Get, Action::Put, Action::Delete, Action::Rmw];

    /// As it is written in records and reports.
    pub fn name(self) -> &'static str {
        match self {
            Action::Get => "get",
            Action::Put => "put",
            Action::Delete => "delete",
            Action::Rmw => "rmw",
        }
    }
}

/// Shares of the operations, in any unit: only their ratio counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Reads.
    #[serde(default)]
    pub get: u32,
    /// Writes.
    #[serde(default)]
    pub put: u32,
    /// Deletes.
    #[serde(default)]
    pub delete: u32,
    /// Reads, then writes.
    #[serde(default)]
    pub rmw: u32,
}

impl Mix {
    /// Gets and puts only.
    pub fn gets_and_puts(get: u32, put: u32) -> Self {
        Self { get, put, delete: 0, rmw: 0 }
    }

    /// The share of one kind.
    pub fn share(self, action: Action) -> u32 {
        match action {
            Action::Get => self.get,
            Action::Put => self.put,
            Action::Delete => self.delete,
            Action::Rmw => self.rmw,
        }
    }

    pub(super) fn check(self) -> Result<(), PlanError> {
        match self.total() {
            0 => Err(PlanError::new("mix", "no operation has a share; for example get 1, put 1")),
            _ => Ok(()),
        }
    }

    pub(super) fn draw(self, random: &mut Random) -> Action {
        let mut rest = random.below(self.total());
        for (share, action) in [(self.get, Action::Get), (self.put, Action::Put), (self.delete, Action::Delete)] {
            if rest < u64::from(share) {
                return action;
            }
            rest -= u64::from(share);
        }
        Action::Rmw
    }

    fn total(self) -> u64 {
        [self.get, self.put, self.delete, self.rmw].into_iter().map(u64::from).sum()
    }
}
