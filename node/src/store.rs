//! The node's disk: its directory (`dir`) and its store (`disk`).
pub mod dir;
pub mod disk;

#[cfg(test)]
mod tests;
