#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
//! Judges against brute force. `JUDGE_HISTORIES=100000` judges that many random histories a model instead of a tenth of it (`make test-long`).

mod brute;
mod linearizable;
mod random;
