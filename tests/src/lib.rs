//! driftkv
