//! The nodes' ports on this machine: each connection to a local port is carried through the API server to the pod.
//! Local ports, and not a connector, so that everything that takes `HOST:PORT` reaches a pod as it reaches any node.
//! Invariants: only 127.0.0.1 listens, and only while this lives; at most `CONNECTIONS_MAX` connections a port at a time, the next wait.
//! Not here: which pods (`cluster`), what is asked of them.

use std::sync::{Arc, Mutex, PoisonError};

use driftkv_proto::{ADMIN_PORT, CLIENT_PORT};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use tokio::io::{copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::site::{NOT_ALLOWED, RIGHTS, Site, call};
use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::{Exit, Failure};

/// Connections through one port at a time.
const CONNECTIONS_MAX: usize = 16;

/// One node, reached on this machine.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    client: String,
    admin: String,
}

/// Why connections failed, the last reason of each pod.
type Troubles = Arc<Mutex<Vec<(String, String)>>>;

/// Open as long as this lives.
pub struct Forwards {
    nodes: Vec<Node>,
    troubles: Troubles,
    /// Dropping it ends every task in it.
    tasks: JoinSet<()>,
}

impl Forwards {
    /// Listens for `pods`. Nothing is asked of the API server before somebody connects.
    pub async fn open(site: &Site, pods: &[Pod]) -> Result<Forwards, Failure> {
        let api: Api<Pod> = Api::namespaced(site.client.clone(), &site.namespace);
        let mut forwards = Forwards { nodes: Vec::new(), troubles: Troubles::default(), tasks: JoinSet::new() };
        for pod in pods {
            let name = pod.name_any();
            let client = forwards.listen(&api, &name, CLIENT_PORT).await?;
            let admin = forwards.listen(&api, &name, ADMIN_PORT).await?;
            forwards.nodes.push(Node { name, client, admin });
        }
        Ok(forwards)
    }

    async fn listen(&mut self, api: &Api<Pod>, pod: &str, port: u16) -> Result<String, Failure> {
        let wrong = |error: std::io::Error| Failure::failed(format!("cannot listen on 127.0.0.1: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?.to_string();
        let way = Way { api: api.clone(), pod: pod.to_owned(), port, troubles: Arc::clone(&self.troubles) };
        self.tasks.spawn(serve(listener, way));
        Ok(address)
    }

    /// The client and admin ports.
    pub fn endpoints(&self) -> Endpoints {
        let admin = |node: &Node| AdminEndpoint { name: node.name.clone(), address: node.admin.clone() };
        let (client, admin) = self.nodes.iter().map(|node| (node.client.clone(), admin(node))).unzip();
        Endpoints { client, admin, file: None }
    }

    /// Why connections to pods failed, a line each.
    pub fn troubles(&self) -> Vec<String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().map(|(pod, why)| format!("{pod}: {why}")).collect()
    }

    /// A failure with the reason, if it came from connections that failed here.
    pub fn explain<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let troubles = self.troubles();
        match outcome {
            Err(failure) if failure.exit == Exit::Unavailable && !troubles.is_empty() => {
                let failure =
                    Failure { message: format!("{}\n  {}", failure.message, troubles.join("\n  ")), ..failure };
                let is_forbidden = troubles.iter().all(|trouble| trouble.contains(NOT_ALLOWED));
                Err(if is_forbidden { Failure { exit: Exit::Failed, ..failure.hint(RIGHTS) } } else { failure })
            }
            outcome => outcome,
        }
    }
}

/// From a local port to a port of a pod.
#[derive(Clone)]
struct Way {
    api: Api<Pod>,
    pod: String,
    port: u16,
    troubles: Troubles,
}

async fn serve(listener: TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(carry(stream, way.clone()))),
                Err(error) => return note(&way, format!("cannot accept: {error}")),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries bytes both ways until either side has ended: who ends a connection here waits for nothing more.
async fn carry(local: TcpStream, way: Way) {
    let what = format!("port-forward to {}", way.port);
    let mut forwarder = match call(&what, way.api.portforward(&way.pod, &[way.port])).await {
        Ok(forwarder) => forwarder,
        Err(failure) => return note(&way, failure.message),
    };
    let (Some(remote), Some(error)) = (forwarder.take_stream(way.port), forwarder.take_error(way.port)) else {
        return note(&way, format!("{what}: the API server gave no stream"));
    };
    let ((mut from_local, mut to_local), (mut from_pod, mut to_pod)) = (split(local), split(remote));
    tokio::select! {
        // The pod's port cannot be used: nobody listens there, or the machine is away.
        Some(why) = error => note(&way, format!("{what}: {}", why.trim())),
        _ = copy(&mut from_local, &mut to_pod) => {}
        _ = copy(&mut from_pod, &mut to_local) => {}
    }
    forwarder.abort();
}

fn note(way: &Way, why: String) {
    let mut troubles = way.troubles.lock().unwrap_or_else(PoisonError::into_inner);
    let why = crate::style::one_line(&why);
    match troubles.iter_mut().find(|(pod, _)| *pod == way.pod) {
        Some((_, last)) => *last = why,
        None => troubles.push((way.pod.clone(), why)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Arc, Forwards, JoinSet, Mutex};
    use crate::error::{Exit, Failure};

    fn explained(troubles: &[(&str, &str)]) -> Failure {
        let troubles = troubles.iter().map(|(pod, why)| ((*pod).to_owned(), (*why).to_owned())).collect();
        let forwards = Forwards { nodes: Vec::new(), troubles: Arc::new(Mutex::new(troubles)), tasks: JoinSet::new() };
        forwards.explain::<()>(Err(Failure::unavailable("no answer").hint("Is it up?"))).unwrap_err()
    }

    #[test]
    fn what_may_not_be_done_is_no_outage_unless_some_node_is_away_too() {
        let forbidden = ("demo-0", "port-forward to 7400: not allowed: get pods/portforward");
        let failure = explained(&[forbidden]);
        assert_eq!((failure.exit, failure.message.lines().count()), (Exit::Failed, 2));
        assert!(failure.hint.contains("docs/kubectl.md"), "{}", failure.hint);
        let failure = explained(&[forbidden, ("demo-1", "port-forward to 7400: connection refused")]);
        assert_eq!((failure.exit, failure.hint.as_str()), (Exit::Unavailable, "Is it up?"));
        assert_eq!(explained(&[]).message, "no answer");
    }
}
