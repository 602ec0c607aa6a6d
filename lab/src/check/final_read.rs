//! Reads keys with the client's usual retries, a bounded number at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use driftkv_proto::client::{Client, GetOptions};
use driftkv_proto::v1::ReadMode;
use tokio::task::JoinSet;

use super::writes::Written;
use super::{CheckError, Reading};
use crate::plan::{Filler, ValueId};

const READERS: usize = 32;

/// In place of the name of a value: nothing is there, but something was, and was deleted.
pub(super) const DELETED: &str = "a delete";

type Found = BTreeMap<String, Vec<String>>;

/// The names of the live values of each of `keys`. Errors: one of them cannot be read.
pub(super) async fn all(
    written: &Written,
    keys: Vec<String>,
    reading: &Reading,
    mode: ReadMode,
) -> Result<Found, CheckError> {
    let left = Arc::new(Mutex::new(keys));
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let mut endpoints = reading.endpoints.clone();
        let count = endpoints.len().max(1);
        endpoints.rotate_left(number % count);
        let client = Client::connect(endpoints).map_err(CheckError::Endpoint)?;
        let (left, bucket, fillers) = (Arc::clone(&left), written.bucket.clone(), written.fillers.clone());
        let options = GetOptions { mode, r: reading.r, timeout: Some(reading.timeout) };
        readers.spawn(async move {
            let mut found = Found::new();
            let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while let Some(key) = next() {
                match client.get(&bucket, key.clone(), options.clone()).await {
                    Ok(reply) => {
                        let names = reply.siblings.iter().map(|sibling| name(&fillers, &sibling.value));
                        // Only of a key that was never written the context is empty (`GetReply.context`).
                        let is_deleted = reply.siblings.is_empty() && !reply.context.is_empty();
                        found.insert(key, names.chain(is_deleted.then(|| DELETED.to_owned())).collect());
                    }
                    Err(error) => return Err(CheckError::Unreadable { key, error }),
                }
            }
            Ok(found)
        });
    }
    let mut found = Found::new();
    while let Some(some) = readers.join_next().await {
        found.extend(some.map_err(|error| CheckError::Broken(error.to_string()))??);
    }
    Ok(found)
}

/// `RUN/ID`; `damaged RUN/ID` where the bytes are not those that were written; `unknown HASH` of what no laboratory wrote.
pub(crate) fn name(fillers: &[Filler], value: &[u8]) -> String {
    let mut names = fillers.iter().map(|filler| (filler, filler.name(value)));
    let own = names.find(|(_, name)| !name.contains('/') && !name.starts_with("unknown"));
    match (own, ValueId::of(value)) {
        (Some((_, name)), Some((run, id))) if name.starts_with("damaged") => format!("damaged {run:016x}/{id}"),
        (_, Some((run, id))) => format!("{run:016x}/{id}"),
        (_, None) => fillers.first().map_or_else(String::new, |filler| filler.name(value)),
    }
}
