//! Talking to admin ports: one node, or all of them at once, each with its own answer or failure.
//! Invariant: a node that does not answer delays the others' answers by no more than `ANSWER_MAX`.

use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use driftkv_proto::client::{self, AdminAs, Caller};
use driftkv_proto::v1;
use tonic::{Response, Status};

use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::Failure;
use crate::input;

/// The generated client of `Admin`, which says who asks.
pub type AdminClient = AdminAs;

const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Where the token is if no file is named.
const TOKEN_VARIABLE: &str = "DRIFTKV_ADMIN_TOKEN";
const TOKEN_FILE_BYTES_MAX: usize = 64 << 10;
/// Who asks, for the whole process.
static CALLER: RwLock<Option<Caller>> = RwLock::new(None);

/// From now on all that is asked shows the token in the first line of `file`, else that of the environment, else none.
pub fn speak(file: Option<&Path>) -> Result<(), Failure> {
    let (token, source) = match file {
        Some(path) => {
            let text = input::text(path, TOKEN_FILE_BYTES_MAX)?;
            let first = text.lines().map(str::trim).find(|line| !line.is_empty());
            (first.unwrap_or_default().to_owned(), format!("--admin-token-file {}", path.display()))
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(token) if !token.trim().is_empty() => (token.trim().to_owned(), TOKEN_VARIABLE.to_owned()),
            _ => return Ok(()),
        },
    };
    let caller = Caller::with_token(&token).map_err(|error| Failure::usage(format!("{source}: {}", error.message)))?;
    speak_as(caller);
    Ok(())
}

/// From now on each question says that `caller` asks.
pub fn speak_as(caller: Caller) {
    *CALLER.write().unwrap_or_else(PoisonError::into_inner) = Some(caller);
}

fn caller() -> Caller {
    CALLER.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

/// What one node said.
pub type Answer<T> = (AdminEndpoint, Result<T, Failure>);

/// Asks one node; `who` names it in failures.
pub async fn ask<T, F>(node: &AdminEndpoint, ask: impl FnOnce(AdminClient) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let client = client::admin_as(&node.address, caller()).map_err(|error| Failure::kv(&error))?;
    let answer = tokio::time::timeout(ANSWER_MAX, ask(client)).await;
    match answer {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(Failure::admin(&node.name, &status)),
        Err(_) => Err(Failure::unavailable(format!("{}: no answer from {} in 5s", node.name, node.address))),
    }
}

/// Asks all nodes at the same time; the answers come in the nodes' order.
pub async fn ask_all<T, F, Q>(nodes: &[AdminEndpoint], question: Q) -> Vec<Answer<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    Q: Fn(AdminClient) -> F + Clone + Send + 'static,
{
    let ask_one = |node: &AdminEndpoint| {
        let (node, question) = (node.clone(), question.clone());
        tokio::spawn(async move {
            let answer = ask(&node, question).await;
            (node, answer)
        })
    };
    let tasks: Vec<_> = nodes.iter().map(ask_one).collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for (task, node) in tasks.into_iter().zip(nodes) {
        let failed = |error| (node.clone(), Err(Failure::failed(format!("{}: {error}", node.name))));
        answers.push(task.await.unwrap_or_else(failed));
    }
    answers
}

/// `Status` of all nodes.
pub async fn statuses(nodes: &[AdminEndpoint]) -> Vec<Answer<v1::StatusReply>> {
    ask_all(nodes, |mut client| async move { client.status(v1::StatusRequest {}).await }).await
}

/// The faults of all nodes. A node tells them that stands still: no engine is asked.
pub async fn faults(nodes: &[AdminEndpoint]) -> Vec<Answer<v1::FaultStatus>> {
    ask_all(nodes, |mut client| async move { client.get_faults(v1::GetFaultsRequest {}).await }).await
}

/// Those that answered. One that did not would cost each further question its whole time again.
pub fn awake<T>(answers: &[Answer<T>]) -> Vec<AdminEndpoint> {
    answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(node, _)| node.clone()).collect()
}

/// The layout, from the first node that has one.
pub async fn layout(nodes: &[AdminEndpoint]) -> Result<v1::Layout, Failure> {
    let answers = ask_all(nodes, |mut client| async move { client.get_layout(v1::GetLayoutRequest {}).await }).await;
    let mut failures = Vec::new();
    for (node, answer) in answers {
        match answer {
            Ok(layout) if layout.version > 0 => return Ok(layout),
            Ok(_) => failures.push(Failure::unavailable(format!("{}: it has no layout yet", node.name))),
            Err(failure) => failures.push(failure),
        }
    }
    Err(nobody(failures))
}

/// All nodes of the cluster: those named, by the names they give themselves, and those the layout adds.
pub async fn all_nodes(endpoints: &Endpoints) -> Vec<AdminEndpoint> {
    if endpoints.file.is_some() {
        return endpoints.admin.clone();
    }
    let mut nodes = Vec::new();
    let answers = statuses(&endpoints.admin).await;
    let awake = awake(&answers);
    for (node, answer) in answers {
        let name = answer.ok().map(|status| status.name).filter(|name| !name.is_empty());
        nodes.push(AdminEndpoint { name: name.unwrap_or(node.name), address: node.address });
    }
    let members = layout(&awake).await.map(|layout| layout.members).unwrap_or_default();
    for member in members {
        let is_known = |node: &AdminEndpoint| node.name == member.name || node.address == member.admin_address;
        if !nodes.iter().any(is_known) {
            nodes.push(AdminEndpoint { name: member.name, address: member.admin_address });
        }
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

/// One failure for all nodes together.
pub fn nobody(failures: Vec<Failure>) -> Failure {
    let lines: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
    let exit = failures.first().map_or(crate::error::Exit::Unavailable, |failure| failure.exit);
    Failure::new(exit, lines.join("\n  ")).hint(crate::program::is_it_up())
}
