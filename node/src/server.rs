//! One node from its configuration to its end: ports, data directory, engine, services, and the order in which they stop.
//! Invariants: ports are bound before the data directory is touched, so that a port in use costs no boot; services end after
//! the engine, so that whatever it decided still reaches its client.
//! Not here: what the services do (`api`), how streams between nodes live (`peers`).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftkv_core::config::ClusterConfig;
use driftkv_core::node::Node;
use driftkv_proto::FRAME_BYTES_MAX;
use driftkv_proto::v1::peer_server::PeerServer;
use driftkv_proto::v1::{admin_server, kv_server};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Server;

use crate::api::admin::{AdminApi, Gate, Guarded};
use crate::api::health::{Health, reflection};
use crate::api::kv::KvApi;
use crate::api::peer::PeerApi;
use crate::api::port::Port;
use crate::api::web::Web;
use crate::config::Config;
use crate::connections;
use crate::driver::{Clock, End, Engine, Handle, Job, Parts};
use crate::faults::Faults;
use crate::peers::link::WINDOW_BYTES;
use crate::peers::{Identity, Peers, Quorums};
use crate::store::{dir::DataDir, disk};
use crate::traces::{self, Exporter, Spans};

/// How long requests in flight may take to end once a stop was asked for.
const STOP_PATIENCE: Duration = Duration::from_secs(8);
/// How long streams may take to end once the engine has.
const STREAMS_PATIENCE: Duration = Duration::from_millis(500);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Calls at a time on one connection: as many as a session lets in flight.
const STREAMS_MAX: u32 = 1_024;
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a node did not start or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port cannot be bound. Nothing was touched.
    #[error("cannot listen on {address} ({use_of}): {error}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What it is for.
        use_of: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Dir(#[from] crate::store::dir::DirError),
    /// The database failed before anything was served.
    #[error(transparent)]
    Store(#[from] driftkv_core::store::StoreError),
    /// The flags contradict the layout in the data directory. Nothing was served; put the flag back.
    #[error(
        "{flag} is {asked}, but the cluster in the data directory was made with {stored}; it is fixed for its life"
    )]
    OtherLayout {
        /// Which.
        flag: &'static str,
        /// What the layout says.
        stored: u32,
        /// What this start says.
        asked: u32,
    },
    /// The system gives no thread.
    #[error("no thread for the engine: {0}")]
    Thread(std::io::Error),
    /// A service could not be set up, or ended by itself.
    #[error("serving failed: {0}")]
    Serve(String),
    /// The rollback fence: this disk must not serve again.
    #[error("this node must not serve: {0}")]
    Halted(String),
}

struct Ports {
    /// Connections of clients that there is room for.
    clients_max: usize,
    client: TcpListener,
    peer: TcpListener,
    admin: TcpListener,
    metrics: TcpListener,
}

/// Serves until `stop` comes or the node may not go on.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let ports = bind(&config).await?;
    let dir = DataDir::open(&config.data)?;
    let (mut store, syncer) = disk::open(&dir, config.memory)?;
    let clock = Clock::start();
    let settings = config.settings(dir.incarnation());
    let cluster = settings.cluster;
    let node = Node::open(settings, &mut store, clock.time(Instant::now()))?;
    check_layout(&node, &cluster)?;
    tracing::info!(
        name = %config.name, incarnation = %dir.incarnation(), boot = node.boot(), data = %config.data.display(),
        client = %config.listen_client, peer = %config.listen_peer, admin = %config.listen_admin,
        metrics = %config.listen_metrics, "starting"
    );
    let faults = Faults::new(&config.name, config.allow_faults);
    let identity = Arc::new(Identity::new(dir.incarnation(), node.boot()));
    let (handle, inbox) = Handle::new();
    let quorums = Quorums { n: cluster.replication_factor, r: cluster.read_quorum, w: cluster.write_quorum };
    let peers = Peers::new(Arc::clone(&identity), faults.clone(), handle.clone(), quorums);
    tokio::spawn(faults.clone().run(crash));
    let (spans, exporting) = start_traces(&config)?;
    let parts = Parts { node, store, syncer, clock, inbox, peers, faults: faults.clone(), spans };
    let engine = start_engine(parts)?;
    let (closing, closed) = watch::channel(false);
    let mut services = start_services(ports, &config, &handle, identity, faults, &closed).await?;
    let ended = run(engine, stop, &handle, &mut services).await;
    closing.send_replace(true);
    let _ = tokio::time::timeout(STREAMS_PATIENCE, async { while services.join_next().await.is_some() {} }).await;
    services.shutdown().await;
    if let Some(exporting) = exporting {
        let _ = tokio::time::timeout(traces::FLUSH_MAX, exporting).await;
    }
    match ended? {
        End::Stopped => tracing::info!("stopped; the next start finds everything in order"),
        End::Halted(why) => return Err(ServeError::Halted(why)),
    }
    Ok(())
}

/// What a layout fixed for the cluster's life cannot be changed by starting with other flags.
fn check_layout(node: &Node, cluster: &ClusterConfig) -> Result<(), ServeError> {
    let Some(layout) = node.layout() else { return Ok(()) };
    let fixed = [
        ("--partitions", layout.partitions, cluster.partitions),
        ("--replication-factor", layout.replication_factor, cluster.replication_factor),
    ];
    match fixed.into_iter().find(|(_, stored, asked)| stored != asked) {
        Some((flag, stored, asked)) => Err(ServeError::OtherLayout { flag, stored, asked }),
        None => Ok(()),
    }
}

/// Waits for the engine's end, and asks for it when `stop` comes.
async fn run(
    mut engine: oneshot::Receiver<Result<End, ServeError>>,
    stop: impl Future<Output = ()>,
    handle: &Handle,
    services: &mut JoinSet<Result<(), ServeError>>,
) -> Result<End, ServeError> {
    let gone = |_| Err(ServeError::Serve("the engine ended without a word".to_owned()));
    tokio::select! {
        end = &mut engine => return end.unwrap_or_else(gone),
        Some(service) = services.join_next() => {
            let failure = service.map_err(|error| ServeError::Serve(error.to_string())).and_then(|ended| ended);
            tracing::error!(?failure, "a service ended; stopping");
        }
        () = stop => tracing::info!("stopping: requests in flight are finished, new ones refused"),
    }
    handle.send(Job::Stop { until: Instant::now() + STOP_PATIENCE }).await;
    engine.await.unwrap_or_else(gone)
}

async fn bind(config: &Config) -> Result<Ports, ServeError> {
    let listen = |address: SocketAddr, use_of: &'static str| async move {
        TcpListener::bind(address).await.map_err(|error| ServeError::Bind { address, use_of, error })
    };
    Ok(Ports {
        clients_max: connections::raise_file_limit(),
        client: listen(config.listen_client, "clients").await?,
        peer: listen(config.listen_peer, "peers").await?,
        admin: listen(config.listen_admin, "operators").await?,
        metrics: listen(config.listen_metrics, "metrics").await?,
    })
}

/// The injected crash: as if the process were killed.
fn crash(experiment: &str) {
    tracing::error!("injected crash, as {experiment} asks: this process ends at once");
    std::process::abort();
}

/// What records traces, and the task that takes them to the collector until the engine has ended. Nothing without an endpoint.
fn start_traces(config: &Config) -> Result<(Option<Spans>, Option<JoinHandle<()>>), ServeError> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok((None, None)) };
    let wrong = |error: &dyn std::fmt::Display| ServeError::Serve(format!("--otlp-endpoint {endpoint}: {error}"));
    let (exporter, task) = Exporter::new(endpoint, &config.name).map_err(|error| wrong(&error))?;
    Ok((Some(Spans::new(exporter, config.otlp_sample)), Some(tokio::spawn(task.run()))))
}

fn start_engine(parts: Parts) -> Result<oneshot::Receiver<Result<End, ServeError>>, ServeError> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new().name("driftkv-engine".to_owned());
    let life = move || {
        let outcome = runtime.block_on(async {
            let engine = Engine::start(parts)?;
            Ok(engine.run().await)
        });
        drop(ended.send(outcome));
    };
    thread.spawn(life).map_err(ServeError::Thread)?;
    Ok(end)
}

async fn start_services(
    ports: Ports,
    config: &Config,
    handle: &Handle,
    identity: Arc<Identity>,
    faults: Faults,
    closed: &watch::Receiver<bool>,
) -> Result<JoinSet<Result<(), ServeError>>, ServeError> {
    let incarnation = identity.incarnation();
    let mut services = JoinSet::new();
    let health = Health::new(handle.serving(), handle.turning().clone()).await;
    let described = |service| reflection(service).map_err(|error| ServeError::Serve(error.to_string()));
    let kv = KvApi::new(handle.clone(), config.cluster.limits).into_service();
    let clients = Port::new(kv, health.service(), described(kv_server::SERVICE_NAME)?);
    let peer = PeerServer::new(PeerApi::new(identity, faults.clone(), handle.clone()))
        .max_decoding_message_size(FRAME_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX);
    let admin = AdminApi::new(handle.clone(), faults.clone(), config, incarnation).into_service();
    let admin = Guarded::new(admin, Gate::new(config.admin_token_file.clone()));
    let operators = Port::new(admin, health.service(), described(admin_server::SERVICE_NAME)?);
    services.spawn(listen(ports.client, ports.clients_max, clients, closed.clone()));
    services.spawn(listen(ports.peer, connections::OTHERS_MAX, peer, closed.clone()));
    services.spawn(listen(ports.admin, connections::OTHERS_MAX, operators, closed.clone()));
    let (web, web_closed) = (Web::new(handle.clone(), faults), closed.clone());
    services.spawn(async move {
        web.serve(ports.metrics, web_closed).await;
        Ok(())
    });
    services.spawn(async move {
        health.watch().await;
        Ok(())
    });
    Ok(services)
}

/// Accepts connections, `connections_max` at a time, until `closed`, then waits for those that are open.
async fn listen<S>(
    listener: TcpListener,
    connections_max: usize,
    service: S,
    mut closed: watch::Receiver<bool>,
) -> Result<(), ServeError>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let incoming = connections::accept(listener, connections_max);
    let closing = async move {
        let _ = closed.wait_for(|closed| *closed).await;
    };
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_with_incoming_shutdown(service, incoming, closing)
        .await
        .map_err(|error| ServeError::Serve(error.to_string()))
}
