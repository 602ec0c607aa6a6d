//! Connections to a node: addresses, timeouts, windows and message limits, the same for every service.
//! Invariant: nothing connects before its first request, so a cluster that is half up is no error here.

use std::error::Error;
use std::time::Duration;

use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{ConnectError, Status};

use super::Caller;
use crate::error::KvError;
use crate::v1::{admin_client::AdminClient, kv_client::KvClient};
use crate::{FRAME_BYTES_MAX, REPLY_BYTES_MAX};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// A client of a node's admin port that connects when it is first used.
///
/// `endpoint`: `host:port` or `http://host:port`. Needs a tokio runtime.
pub fn admin(endpoint: &str) -> Result<AdminClient<Channel>, KvError> {
    Ok(AdminClient::new(lazy_channel(endpoint)?)
        .max_decoding_message_size(FRAME_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX))
}

/// A client of an admin port that says with each call who asks.
pub type AdminAs = AdminClient<InterceptedService<Channel, Caller>>;

/// As [`admin`], for a caller with a token or a term.
pub fn admin_as(endpoint: &str, caller: Caller) -> Result<AdminAs, KvError> {
    Ok(AdminClient::with_interceptor(lazy_channel(endpoint)?, caller)
        .max_decoding_message_size(FRAME_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX))
}

pub(super) fn kv(endpoint: &str) -> Result<KvClient<Channel>, KvError> {
    Ok(KvClient::new(lazy_channel(endpoint)?)
        .max_decoding_message_size(REPLY_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX))
}

/// Whether the request never left, because no connection came about.
pub(super) fn was_never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn lazy_channel(endpoint: &str) -> Result<Channel, KvError> {
    let uri = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let wrong =
        |why: String| KvError::invalid_argument(format!("`{endpoint}` is not host:port or http://host:port{why}"));
    let parsed = Endpoint::from_shared(uri).map_err(|error| wrong(format!(" ({error})")))?;
    if parsed.uri().scheme_str() != Some("http") || parsed.uri().port_u16().is_none() {
        return Err(wrong(String::new()));
    }
    Ok(parsed
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect_lazy())
}
