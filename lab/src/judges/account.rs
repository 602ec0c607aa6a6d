//! What is judged: operations with their intervals and effects, key by key, whatever recorded them.
//! Times are on one scale without a unit; intervals are closed: `a` precedes `b` only if `a` ended before `b` started, equal stamps are
//! concurrent. Invariant: an operation that certainly had no effect is not here, and neither is a read whose answer nobody knows.

use std::collections::HashMap;

/// Before everything: when the initial value was written.
pub const BEFORE_ALL: i64 = i64::MIN / 8;
/// After everything: when a write of unknown outcome may still take effect.
pub const NEVER: i64 = i64::MAX / 8;
/// The furthest a recorded time may be from zero, so that sums stay within the two above.
pub const TIME_MAX: i64 = i64::MAX / 32;

/// A value, by its number among the values of a history; for the append model, a node of the key's `Texts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u32);

/// Symbols of texts are characters; from here on they are values of lists.
pub const LIST_SYMBOLS: u32 = 1 << 21;

/// No value: a key that was never written, an empty text.
pub const NIL: Value = Value(0);

/// What a read brought.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Nobody said: it agrees with everything.
    Anything,
    /// One value.
    One(Value),
    /// A set, in ascending order, each value once.
    Many(Box<[Value]>),
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Did {
    /// Reads.
    Read(Seen),
    /// Replaces whatever is there.
    Write(Value),
    /// Replaces `from`, and nothing else, by `to`.
    Swap {
        /// Expected.
        from: Value,
        /// Wanted.
        to: Value,
    },
    /// A swap that was refused since something else than this was there.
    Differs(Value),
    /// Adds symbols at the end.
    Append(Box<[u32]>),
    /// Adds an element to a set.
    Add(Value),
    /// Puts a value, or a tombstone, in the place of siblings.
    Replace {
        /// What is written; a tombstone has a name too, though no read shows it.
        id: Value,
        /// It is a tombstone.
        is_delete: bool,
        /// What goes.
        covers: Covers,
    },
}

/// What a write replaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Covers {
    /// What the writer had seen, in ascending order.
    These(Box<[Value]>),
    /// All that is there.
    Everything,
}

impl Did {
    /// It never changes a state.
    pub fn only_observes(&self) -> bool {
        match self {
            Self::Read(_) | Self::Differs(_) => true,
            Self::Swap { from, to } => from == to,
            _ => false,
        }
    }
}

/// One operation of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who did it.
    pub process: u32,
    /// Where it begins in the file it comes from: a line, or a position.
    pub source: u64,
    /// Not before.
    pub start: i64,
    /// Not after; `NEVER` if the outcome is unknown.
    pub end: i64,
    /// What.
    pub did: Did,
}

impl Operation {
    /// It happened: an answer says so.
    pub fn is_known(&self) -> bool {
        self.end < NEVER
    }

    /// It ended before `other` started.
    pub fn precedes(&self, other: &Self) -> bool {
        self.end < other.start
    }
}

/// The operations of one key.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// As it was recorded; empty where there is only one.
    pub name: String,
    /// What was there at first.
    pub initial: Value,
    /// Of the set model: the elements that were there at first, in ascending order, each once. With `initial`, if that is one.
    pub initial_elements: Vec<Value>,
    /// In any order.
    pub operations: Vec<Operation>,
    /// The texts of the append model.
    pub texts: Texts,
    /// Values that were there before the history, or that others wrote beside it; in ascending order.
    pub foreign: Vec<Value>,
    /// Writes that replace everything and were sent more than once: one may be applied again, whenever. In ascending order.
    pub repeated: Vec<Value>,
    /// Somebody wrote with a context of which the history does not say what it covers.
    pub has_unknown_contexts: bool,
}

/// All that is judged at once.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// In the order of their names.
    pub keys: Vec<Key>,
    /// What the values are called.
    pub names: Names,
}

/// Numbers for names.
#[derive(Clone, Debug)]
pub struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Default for Names {
    fn default() -> Self {
        let nil = "nil".to_owned();
        Self { numbers: HashMap::from([(nil.clone(), 0)]), names: vec![nil] }
    }
}

impl Names {
    /// The number of `name`, a new one if need be; `nil` is [`NIL`].
    pub fn value(&mut self, name: &str) -> Value {
        if let Some(number) = self.numbers.get(name) {
            return Value(*number);
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Value(number)
    }

    /// A symbol of a text: a character, or a value of a list.
    pub fn symbol(&self, symbol: u32) -> String {
        match symbol.checked_sub(LIST_SYMBOLS) {
            Some(value) => format!("{} ", self.name(Value(value))),
            None => char::from_u32(symbol).unwrap_or('?').to_string(),
        }
    }

    /// What `value` is called.
    pub fn name(&self, value: Value) -> &str {
        self.names.get(value.0 as usize).map_or("?", String::as_str)
    }
}

/// Texts as paths of a tree: the same text is the same node, and appending walks on. Node 0 is the empty text.
#[derive(Clone, Debug)]
pub struct Texts {
    nodes: Vec<Node>,
    next: HashMap<(u32, u32), u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    parent: u32,
    /// The last one.
    symbol: u32,
    /// How many symbols there are.
    length: u32,
}

impl Default for Texts {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], next: HashMap::new() }
    }
}

impl Texts {
    /// The text `from` with `symbols` behind it.
    pub fn append(&mut self, from: Value, symbols: &[u32]) -> Value {
        let mut node = from.0;
        for symbol in symbols {
            let fresh = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
            let next = *self.next.entry((node, *symbol)).or_insert(fresh);
            if next == fresh {
                let length = self.length(node) + 1;
                self.nodes.push(Node { parent: node, symbol: *symbol, length });
            }
            node = next;
        }
        Value(node)
    }

    /// The symbols of `text`.
    pub fn symbols(&self, text: Value) -> Vec<u32> {
        let mut symbols = Vec::new();
        let mut node = text.0;
        while node != 0 {
            let Some(Node { parent, symbol, .. }) = self.nodes.get(node as usize) else { break };
            symbols.push(*symbol);
            node = *parent;
        }
        symbols.reverse();
        symbols
    }

    /// `text` begins with `start`. Costs as many steps as they differ in length.
    pub fn begins_with(&self, text: Value, start: Value) -> bool {
        let (mut node, length) = (text.0, self.length(start.0));
        while self.length(node) > length {
            node = self.nodes.get(node as usize).map_or(0, |node| node.parent);
        }
        node == start.0
    }

    fn length(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(0, |node| node.length)
    }

    /// There is a text that is not empty.
    pub fn is_used(&self) -> bool {
        self.nodes.len() > 1
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.nodes.len() * 32
    }
}
