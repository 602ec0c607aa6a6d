//! node
fn main(){}
