//! What arrives on one stream: frames to envelopes, past the faults, to the engine.
//! Invariants: the sender is who the handshake said; a message of an unknown kind is skipped, as a newer version may send one.

use std::time::Instant;

use driftkv_core::id::Incarnation;
use driftkv_proto::v1::PeerFrame;

use super::frames::Assembly;
use crate::convert;
use crate::driver::{Handle, Job};
use crate::faults::Faults;

/// The reading end of one stream.
pub struct Inbound {
    from: Incarnation,
    name: Option<String>,
    assembly: Assembly,
    skipped: u64,
}

impl Inbound {
    /// `name`: of the sender, if it is known; injected faults go by names.
    pub fn new(from: Incarnation, name: Option<String>) -> Inbound {
        Inbound { from, name, assembly: Assembly::default(), skipped: 0 }
    }

    /// Hands on what `frame` brings, and waits while the engine is behind. Errors: why the stream must end.
    pub async fn take(&mut self, frame: PeerFrame, faults: &Faults, handle: &Handle) -> Result<(), String> {
        let at = Instant::now();
        for wire in self.assembly.take(frame).map_err(|error| error.to_string())? {
            let envelope = match convert::from_wire(wire) {
                Ok(envelope) => envelope,
                Err(error) => {
                    self.skip(&error);
                    continue;
                }
            };
            if self.name.as_ref().is_some_and(|name| faults.loses_incoming(name)) {
                continue;
            }
            if !handle.send(Job::Peer { from: self.from, at, envelope }).await {
                return Err("this node is stopping".to_owned());
            }
        }
        Ok(())
    }

    fn skip(&mut self, error: &convert::Malformed) {
        self.skipped += 1;
        if self.skipped.is_power_of_two() {
            let from = self.name.clone().unwrap_or_else(|| self.from.to_string());
            tracing::warn!(%from, skipped = self.skipped, %error, "messages that cannot be used are skipped");
        }
    }
}
