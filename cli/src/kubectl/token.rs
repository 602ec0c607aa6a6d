//! The token that a cluster's admin ports ask for: the key `token` of the Secret `CLUSTER-admin`, if there is one.
//! Invariant: it is kept in memory, said to nodes, and never shown.

use driftkv_proto::client::Caller;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::site::{Site, call_opt};
use crate::admin;
use crate::error::Failure;

/// Says the token of `cluster` with every question to its nodes from now on; nothing, if it has none.
///
/// Errors: it may not be read, or is no token.
pub async fn present(site: &Site, cluster: &str) -> Result<(), Failure> {
    let name = format!("{cluster}-admin");
    let secrets: Api<Secret> = Api::namespaced(site.client.clone(), &site.namespace);
    let what = format!("read the admin token, Secret {name} of namespace {}", site.namespace);
    let token = call_opt(&what, secrets.get(&name)).await?.and_then(|secret| secret.data?.remove("token"));
    let caller = match token {
        None => Caller::default(),
        Some(token) => {
            let wrong = || Failure::failed(format!("the Secret {name} holds no token that can be said"));
            let text = std::str::from_utf8(&token.0).map_err(|_| wrong())?;
            Caller::with_token(text.trim()).map_err(|_| wrong())?
        }
    };
    admin::speak_as(caller);
    Ok(())
}
