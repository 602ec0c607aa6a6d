//! driftkv's operator: what a `KVCluster` is, and how its manifest is read.
//! The same types serve `driftkv up`, which runs a manifest as local processes.
//! Reading order: `crd`, `manifest`. Generated from here: `crds/driftkv.io_kvclusters.yaml` (`crdgen`).
pub mod crd;
pub mod manifest;
