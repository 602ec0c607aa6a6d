#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
//! Judges against brute force. `JUDGE_HISTORIES=100000` judges that many random histories a model instead of a tenth of it (`make test-long`).

mod atomicity;
mod brute;
mod leaders;
mod linearizable;
mod mutation;
mod random;
mod sessions;
mod staleness;
