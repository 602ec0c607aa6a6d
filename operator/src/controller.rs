//! The operator: `KVCluster` in, a serving cluster out, again and again.
//! One pass is observe -> plan -> apply -> status (`reconcile`), and every pass begins from nothing but what it reads.
//! Invariants: unknown never means done; all writes go by server-side apply under one name, or by UID; the spec and the
//! metadata of a KVCluster are never written.
//! Reading order: `reconcile`, `observe`, `plan`, `resources`, `apply`; `run` starts it all, `election` lets one act, `fence` is its last look.

pub mod apply;
pub mod args;
pub mod chaos;
pub mod election;
pub mod error;
pub mod events;
pub mod fence;
mod invalid;
pub mod kind;
pub mod metrics;
pub mod names;
pub mod newest;
pub mod nodes;
pub mod observe;
pub mod plan;
pub mod reason;
pub mod reconcile;
pub mod resources;
pub mod run;
pub mod selftest;
pub mod token;
pub mod traces;
pub mod web;
