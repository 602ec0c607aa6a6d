//! driftkv's operator: what a `KVCluster` is, how its manifest is read, and what makes one of it on Kubernetes.
//! The same types serve `driftkv up`, which runs a manifest as local processes; it leaves the feature `controller` out.
//! Reading order: `crd`, `manifest`, `controller`. Generated from here: `crds/driftkv.io_kvclusters.yaml` (`crdgen`).
#[cfg(feature = "controller")]
pub mod controller;
pub mod crd;
pub mod manifest;
