//! The token of a cluster's admin ports: a Secret `CLUSTER-admin` with `token` (what to say) and `accepted` (what nodes take, a line each).
//! A rotation (another value of the annotation `driftkv.io/rotate`) puts a new token beside the old one in `accepted`; when every node
//! has taken the new one it becomes `token`, and the old one is dropped: nobody is locked out meanwhile, and no node restarts.
//! Invariants: a Secret that holds what it should is not written; one that is not ours is not touched; no token is logged or told.
//! Not here: how nodes compare (`node/src/api/admin/gate.rs`).

use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::{Client, Resource, ResourceExt};

use super::error::{Error, call, call_opt};
use super::names::{ANNOTATION_ROTATE, ANNOTATION_ROTATED, LABEL_CLUSTER, MANAGER, Names};
use super::plan::hex;
use crate::crd::KVCluster;

#[cfg(test)]
mod tests;

const TOKEN: &str = "token";
/// The key that nodes have as a file.
pub const ACCEPTED: &str = "accepted";
/// A token that was rotated twice before all nodes took it is still among them.
const ACCEPTED_MAX: usize = 4;

/// What nodes accept, the newest first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<String>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Each of them.
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// At most `ACCEPTED_MAX` stay, and `said` among them: it may be the only one that nodes know yet.
    fn drop_oldest_but(&mut self, said: &str) {
        while self.0.len() > ACCEPTED_MAX
            && let Some(oldest) = self.0.iter().rposition(|token| token != said)
        {
            self.0.remove(oldest);
        }
    }

    /// Whether a rotation is under way.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }
}

/// What is to become of the Secret.
enum Step {
    Keep(Tokens),
    Create,
    Replace(Box<Secret>),
    NotOurs,
}

/// The tokens of `cluster`; makes them if there are none, and obeys a rotation, if `may_write`.
pub async fn ensure(client: &Client, cluster: &KVCluster, may_write: bool) -> Result<Tokens, Error> {
    let names = Names::of(cluster);
    let (api, name) = (secrets(client, &names), names.admin_secret());
    let what = format!("get Secret {name}");
    let found = call_opt(&what, api.get(&name)).await?;
    let known = found.as_ref().map(tokens).unwrap_or_default();
    let post = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let replaced = match decide(cluster, found, fresh) {
        Step::Keep(tokens) => return Ok(tokens),
        Step::NotOurs => return Err(Error::NameTaken { what: format!("Secret {name}") }),
        _ if !may_write => return Ok(known),
        Step::Create => None,
        // None: it was of an earlier KVCluster of this name, and Kubernetes took it away after it was read.
        Step::Replace(secret) => call_opt(&format!("write Secret {name}"), api.replace(&name, &post, &secret)).await?,
    };
    let written = match replaced {
        Some(secret) => secret,
        None => call(&format!("make Secret {name}"), api.create(&post, &first(cluster, fresh()))).await?,
    };
    tracing::info!(cluster = %names.cluster, namespace = %names.namespace, secret = %name, "a new admin token, or its Secret, was written");
    Ok(tokens(&written))
}

/// Drops all tokens but the newest, if the Secret still has these.
pub async fn retire(client: &Client, names: &Names, known: &Tokens) -> Result<(), Error> {
    let (api, name) = (secrets(client, names), names.admin_secret());
    let Some(mut secret) = call_opt(&format!("get Secret {name}"), api.get(&name)).await? else { return Ok(()) };
    let Some(newest) = known.0.first().filter(|_| tokens(&secret) == *known) else { return Ok(()) };
    fill(&mut secret, &Tokens(vec![newest.clone()]));
    let post = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    if call_opt(&format!("write Secret {name}"), api.replace(&name, &post, &secret)).await?.is_none() {
        return Ok(());
    }
    tracing::info!(cluster = %names.cluster, namespace = %names.namespace, secret = %name, "every node takes the new admin token; older ones are dropped");
    Ok(())
}

fn secrets(client: &Client, names: &Names) -> Api<Secret> {
    Api::namespaced(client.clone(), &names.namespace)
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

fn text<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.and_then(|value| std::str::from_utf8(&value.0).ok()).unwrap_or_default().trim()
}

/// What it says, as far as that can be a token: what is accepted, and before it a `token` that somebody wrote by hand.
fn tokens(secret: &Secret) -> Tokens {
    let (said, accepted) = (text(secret, TOKEN), text(secret, ACCEPTED));
    let by_hand = Some(said).filter(|said| !accepted.lines().any(|line| line.trim() == *said));
    let mut all: Vec<String> = Vec::new();
    for token in by_hand
        .into_iter()
        .chain(accepted.lines().map(str::trim))
        .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        if !all.iter().any(|known| known == token) {
            all.push(token.to_owned());
        }
    }
    let mut tokens = Tokens(all);
    tokens.drop_oldest_but(said);
    tokens
}

fn fresh() -> String {
    hex(&rand::random::<[u8; 32]>())
}

/// The Secret of a cluster that has none.
fn first(cluster: &KVCluster, token: String) -> Secret {
    let names = Names::of(cluster);
    let metadata = ObjectMeta {
        name: Some(names.admin_secret()),
        namespace: Some(names.namespace.clone()),
        labels: Some(names.labels()),
        owner_references: Some(cluster.controller_owner_ref(&()).into_iter().collect()),
        ..ObjectMeta::default()
    };
    let mut secret = Secret { metadata, type_: Some("Opaque".to_owned()), ..Secret::default() };
    fill(&mut secret, &Tokens(vec![token]));
    secret
}

fn decide(cluster: &KVCluster, found: Option<Secret>, fresh: impl FnOnce() -> String) -> Step {
    let names = Names::of(cluster);
    let Some(mut secret) = found else { return Step::Create };
    let label = |key: &str| secret.labels().get(key).map(String::as_str);
    if label("app.kubernetes.io/managed-by") != Some(MANAGER) || label(LABEL_CLUSTER) != Some(&names.cluster) {
        return Step::NotOurs;
    }
    let mut wanted = tokens(&secret);
    let asked = secret.annotations().get(ANNOTATION_ROTATE).cloned();
    let is_asked = asked.is_some() && asked.as_ref() != secret.annotations().get(ANNOTATION_ROTATED);
    if is_asked || wanted.0.is_empty() {
        wanted.0.insert(0, fresh());
        wanted.drop_oldest_but(text(&secret, TOKEN));
    }
    // Of an earlier KVCluster of this name, or without any: else Kubernetes takes it away, or leaves it behind.
    let owner = cluster.controller_owner_ref(&());
    let is_owned = owner.iter().all(|owner| secret.owner_references().iter().any(|known| known.uid == owner.uid));
    let is_known = wanted.0.iter().any(|token| token == text(&secret, TOKEN));
    let is_right = is_known && text(&secret, ACCEPTED).lines().eq(wanted.0.iter());
    if is_right && is_owned && !is_asked {
        return Step::Keep(wanted);
    }
    secret.metadata.owner_references = Some(owner.into_iter().collect());
    if let Some(asked) = asked {
        secret.annotations_mut().insert(ANNOTATION_ROTATED.to_owned(), asked);
    }
    fill(&mut secret, &wanted);
    Step::Replace(Box::new(secret))
}

/// What is said stays as long as it is accepted: nodes may not know a newer token yet.
fn fill(secret: &mut Secret, tokens: &Tokens) {
    let lines: String = tokens.0.iter().flat_map(|token| [token, "\n"]).collect();
    let is_accepted = tokens.0.iter().any(|token| token == text(secret, TOKEN));
    let data = secret.data.get_or_insert_default();
    data.insert(ACCEPTED.to_owned(), bytes(&lines));
    if !is_accepted {
        data.insert(TOKEN.to_owned(), bytes(tokens.0.first().map_or("", String::as_str)));
    }
}
