//! `driftkv-operator`: watches KVClusters and makes them so; `selftest` tries one. Exit codes: 0 stopped in order, 1 failed or lost its lease, 2 wrong flags.
//! Order of the end: SIGTERM -> passes under way are finished -> the lease is given back. A lost lease ends the process at once:
//! whatever it was about to do is not its to do any more.
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use driftkv_operator::controller::args::{Args, Command, Selftest};
use driftkv_operator::controller::election::{Election, Term, Times};
use driftkv_operator::controller::fence;
use driftkv_operator::controller::metrics::Metrics;
use driftkv_operator::controller::nodes::Grpc;
use driftkv_operator::controller::reconcile::Context;
use driftkv_operator::controller::resources::Defaults;
use driftkv_operator::controller::traces::Traces;
use driftkv_operator::controller::{run, selftest, web};
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(why) = start_logs(&args) {
        eprintln!("error: {why}");
        return ExitCode::from(2);
    }
    let outcome = match args.command.clone() {
        None => serve(args).await,
        Some(Command::Selftest(args)) => test(&args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn start_logs(args: &Args) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log_level)
        .map_err(|error| format!("--log-level is {:?}: {error}", args.log_level))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let logs = logs.with_ansi(std::io::stderr().is_terminal());
    match args.log_format.as_str() {
        "json" => logs.json().init(),
        _ => logs.init(),
    }
    Ok(())
}

async fn serve(args: Args) -> Result<(), Failure> {
    let mut stop = stop_signal()?;
    let (metrics, traces) = (Metrics::default(), traces(&args)?);
    let listener =
        TcpListener::bind(args.listen).await.map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let (obstacle, told) = watch::channel("it is starting".to_owned());
    tokio::spawn(web::serve(listener, metrics.clone(), told));
    let client = run::client().await?;
    tokio::select! {
        () = run::wait_until_listed(&client, &args.namespaces, &obstacle) => {}
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    }
    let defaults = Defaults { image: args.image.clone() };
    let term = Term::default();
    let writer = if args.election { fence::client(client.clone(), term.clone()) } else { client.clone() };
    let mut context = Context::new(writer, Arc::new(Grpc::default()), defaults);
    (context.metrics, context.traces, context.term) = (metrics, traces.clone(), term);
    context.allows_chaos = args.allow_chaos;
    let outcome = lead(&args, client, Arc::new(context), stop).await;
    // It blocks, and needs the runtime to go on meanwhile.
    tokio::task::spawn_blocking(move || traces.end()).await?;
    outcome
}

async fn test(args: &Selftest) -> Result<(), Failure> {
    let mut stop = stop_signal()?;
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    Ok(selftest::run(run::client().await?, args, stopped).await?)
}

/// Acts while it is this process's turn, until `stop` turns true.
async fn lead(
    args: &Args,
    client: Client,
    context: Arc<Context>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let metrics = context.metrics.clone();
    let scope = if args.namespaces.is_empty() { "all namespaces".to_owned() } else { args.namespaces.join(", ") };
    if !args.election {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %scope, "watching KVClusters, without an election");
        metrics.lead(true);
        run::run(context, &args.namespaces, stop).await;
        return Ok(());
    }
    let mut election = election(args, &client).telling(context.term.clone());
    if !election.win(&mut stop).await {
        return Ok(());
    }
    metrics.lead(true);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %scope, "watching KVClusters");
    tokio::select! {
        // Order: a process that stood still for longer than its lease must see that before it does anything else.
        biased;
        () = election.hold() => return Err("lost the lease; another operator may act now".into()),
        () = run::run(context, &args.namespaces, stop) => {}
    }
    election.release().await;
    Ok(())
}

fn traces(args: &Args) -> Result<Traces, Failure> {
    let Some(endpoint) = &args.otlp_endpoint else { return Ok(Traces::default()) };
    Ok(Traces::to(endpoint).map_err(|error| format!("--otlp-endpoint {endpoint}: {error}"))?)
}

/// Turns true when the process is asked to end.
fn stop_signal() -> Result<watch::Receiver<bool>, std::io::Error> {
    let (stopping, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: what is under way is finished");
        stopping.send_replace(true);
    });
    Ok(stop)
}

fn election(args: &Args, client: &Client) -> Election {
    let host = || std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
    let identity = args.identity.clone().unwrap_or_else(|| format!("{}-{}", host(), std::process::id()));
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    tracing::info!(%identity, %namespace, lease = %args.lease_name, "taking part in the election");
    Election::new(Api::namespaced(client.clone(), &namespace), args.lease_name.clone(), identity, Times::default())
}
