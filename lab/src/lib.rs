//! The laboratory: drives load, records what happened, and says what it means.
//! Depends on the wire contract only: a judge shares no code with the judged.
