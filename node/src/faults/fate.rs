//! What faults make of one message: the answer of `Faults::outgoing`, and the input of a `DelayLine`.

use std::time::Duration;

/// What happens to one outgoing message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// No fault is on its link: it leaves as ever, and so may all that was held back before it.
    Pass,
    /// It is lost.
    Drop,
    /// It leaves so often, each time so late; at least once. Faults are on its link even if they did nothing to this one.
    Deliver(Vec<Copy>),
}

/// One of the times a message is delivered.
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq, Default)]
pub struct Copy {
    /// How long the link takes longer. The link keeps its order: what follows does not arrive before it.
    pub delay: Duration,
    /// How long it is held back after that, while what follows may overtake it. Zero: it keeps its place.
    pub held_back: Duration,
}

impl Copy {
    /// The same, but over when `left` is.
    pub(super) fn within(self, left: Duration) -> Self {
        let delay = self.delay.min(left);
        Self { delay, held_back: self.held_back.min(left.saturating_sub(delay)) }
    }
}
