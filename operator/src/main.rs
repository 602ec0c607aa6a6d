//! `driftkv-operator`: watches KVClusters and makes them so. Exit codes: 0 stopped in order, 1 failed, 2 wrong flags.
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use driftkv_operator::controller::args::Args;
use driftkv_operator::controller::nodes::Grpc;
use driftkv_operator::controller::reconcile::Context;
use driftkv_operator::controller::resources::Defaults;
use driftkv_operator::controller::run;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(why) = start_logs(&args) {
        eprintln!("error: {why}");
        return ExitCode::from(2);
    }
    match serve(args).await {
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

async fn serve(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let client = run::client().await?;
    let (stopping, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: passes under way are finished");
        stopping.send_replace(true);
    });
    let defaults = Defaults { image: args.image };
    let context = Arc::new(Context::new(client, Arc::new(Grpc), defaults));
    let scope = if args.namespaces.is_empty() { "all namespaces".to_owned() } else { args.namespaces.join(", ") };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %scope, "watching KVClusters");
    run::run(context, &args.namespaces, stop).await;
    Ok(())
}
