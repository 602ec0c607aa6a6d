//! `driftkv-node`: one node of a cluster. Exit codes: 0 stopped in order, 1 failed, 2 the configuration is wrong, 3 the disk
//! was rolled back and must not serve.
use std::process::ExitCode;

use driftkv_node::config::Config;
use driftkv_node::server::{self, ServeError};
use driftkv_node::telemetry;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = Config::load().unwrap_or_else(|error| error.exit());
    if let Err(why) = telemetry::init(config.log_format, &config.log_level) {
        eprintln!("error: {why}");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(serve(config)),
        Err(error) => Err(ServeError::Serve(format!("no runtime: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(if matches!(error, ServeError::Halted(_)) { 3 } else { 1 })
        }
    }
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let failed = |error: std::io::Error| ServeError::Serve(format!("no signal handler: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server::serve(config, stop).await
}
