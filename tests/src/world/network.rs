//! The simulated network: delay, loss, doubling, reordering, and cuts, one way or both, that the sender notices or not.
//! Messages pass through their wire encoding (`driftkv_node::convert` and protobuf), as between real nodes.
//! Invariant: what arrives was sent by this boot of the sender to this boot of the receiver, as over a connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use driftkv_core::message::Envelope;
use driftkv_node::convert;
use driftkv_proto::v1;
use prost::Message;
use rand::RngExt;
use rand::rngs::SmallRng;

/// How a cut shows at the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The connection breaks, and the sender is told.
    Broken,
    /// Messages vanish, and nobody is told.
    Silent,
}

/// The links between all nodes.
#[derive(Debug, Default)]
pub struct Network {
    /// Chance, in percent, that a message is lost.
    pub loss: u32,
    /// Chance, in percent, that a message is doubled.
    pub doubling: u32,
    cuts: BTreeMap<(usize, usize), Cut>,
}

impl Network {
    /// Cuts one direction.
    pub fn cut(&mut self, from: usize, to: usize, cut: Cut) {
        self.cuts.insert((from, to), cut);
    }

    /// Ends all cuts, loss and doubling.
    pub fn heal(&mut self) {
        *self = Network::default();
    }

    /// Whether the sender has a connection, as it believes.
    pub fn is_connected(&self, from: usize, to: usize) -> bool {
        self.cuts.get(&(from, to)) != Some(&Cut::Broken)
    }

    /// Whether messages get through.
    pub fn passes(&self, from: usize, to: usize) -> bool {
        !self.cuts.contains_key(&(from, to))
    }

    /// When each copy of a message arrives, in milliseconds from now; none: it is lost.
    pub fn delays(&self, rng: &mut SmallRng) -> Vec<u64> {
        let copies = match rng.random_range(0..100u32) {
            roll if roll < self.loss => 0,
            roll if roll < self.loss + self.doubling => 2,
            _ => 1,
        };
        (0..copies).map(|_| delay(rng)).collect()
    }
}

/// Mostly short; now and then long enough for later messages to overtake.
fn delay(rng: &mut SmallRng) -> u64 {
    if rng.random_range(0..20) == 0 { rng.random_range(5..200) } else { rng.random_range(1..8) }
}

/// The bytes of an envelope on the wire.
pub fn encode(envelope: Envelope) -> Bytes {
    convert::to_wire(envelope).encode_to_vec().into()
}

/// Reads them back. Errors: the encoding does not carry what core sent.
pub fn decode(bytes: Bytes) -> Result<Envelope, String> {
    let wire = v1::Envelope::decode(bytes).map_err(|e| e.to_string())?;
    convert::from_wire(wire).map_err(|e| e.to_string())
}
