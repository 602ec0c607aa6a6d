//! The node's disk: its directory (`dir`), its store (`disk`), and what is looked at before that opens (`journal`).
pub mod dir;
pub mod disk;
pub mod journal;

#[cfg(test)]
mod tests;
