//! The token that a cluster's admin ports ask for: the key `token` of the Secret `CLUSTER-admin`, if there is one.
//! Invariant: it is kept in memory, said to nodes, and never shown; a report is searched for it and loses it.

use std::collections::BTreeMap;

use driftkv_proto::client::Caller;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::site::{Site, call_opt};
use crate::admin;
use crate::error::Failure;

/// Says the token of `cluster` with every question to its nodes from now on; nothing, if it has none.
///
/// Errors: it may not be read, or is no token.
pub async fn present(site: &Site, cluster: &str) -> Result<(), Failure> {
    let wrong = || Failure::failed(format!("the Secret {} holds no token that can be said", secret(cluster)));
    let caller = match read(site, cluster).await?.remove("token") {
        None => Caller::default(),
        Some(token) => {
            let text = std::str::from_utf8(&token.0).map_err(|_| wrong())?;
            Caller::with_token(text.trim()).map_err(|_| wrong())?
        }
    };
    admin::speak_as(caller);
    Ok(())
}

/// Every line of that Secret, so that none of them leaves in a report.
pub async fn lines(site: &Site, cluster: &str) -> Result<Vec<String>, Failure> {
    let values = read(site, cluster).await?.into_values();
    let texts = values.map(|value| String::from_utf8_lossy(&value.0).into_owned());
    Ok(texts.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect())
}

/// The name of that Secret.
pub fn secret(cluster: &str) -> String {
    format!("{cluster}-admin")
}

async fn read(site: &Site, cluster: &str) -> Result<BTreeMap<String, ByteString>, Failure> {
    let name = secret(cluster);
    let secrets: Api<Secret> = Api::namespaced(site.client.clone(), &site.namespace);
    let what = format!("read the admin token, Secret {name} of namespace {}", site.namespace);
    Ok(call_opt(&what, secrets.get(&name)).await?.and_then(|secret| secret.data).unwrap_or_default())
}
