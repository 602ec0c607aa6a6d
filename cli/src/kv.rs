//! `get`, `put` and `delete`: one request through the first node that takes it.
//! A node that does not answer or is not ready is passed over for the next; a write that may have arrived is repeated
//! under the same request id, as a retry. A quorum that was not reached is told, not retried.
//! Not here: how results look (`show`).

use std::fs;
use std::io::{IsTerminal, Read};
use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::FRAME_BYTES_MAX;
use driftkv_proto::error::{KvError, from_status};
use driftkv_proto::v1::{self, ErrorCode, Intent, ReadMode};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::args::{DeleteArgs, DeleteIntent, GetArgs, KeyArgs, Mode, PutArgs, PutIntent, WriteArgs};
use crate::endpoints::Endpoints;
use crate::error::{Exit, Failure};
use crate::{show, style, token};

/// The generated client of `Kv`.
pub type KvClient = v1::kv_client::KvClient<Channel>;

const CONNECT_MAX: Duration = Duration::from_secs(2);
/// What this side waits when the request names no timeout; a node's own cap is below.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// What an answer may take on top of the timeout that the node keeps.
const GRACE: Duration = Duration::from_secs(1);

/// `driftkv get`.
pub async fn get(args: &GetArgs) -> Result<(), Failure> {
    let request = v1::GetRequest {
        bucket: args.key.bucket.clone(),
        key: Bytes::from(args.key.key.clone()),
        mode: match args.mode {
            Mode::Eventual => ReadMode::Eventual.into(),
            Mode::Monotonic => ReadMode::Monotonic.into(),
        },
        options: Some(options(&args.key, args.r, None)),
    };
    let endpoints = Endpoints::find(&args.key.connection)?;
    let reply = through_any(&endpoints, &args.key, false, |mut client, _| {
        let request = timed(request.clone(), args.key.timeout);
        async move { client.get(request).await }
    });
    let reply = reply.await.map_err(|error| Failure::kv(&error))?;
    let is_terminal = std::io::stdout().is_terminal();
    show::get(&args.key, &reply, is_terminal)?;
    match reply.siblings.len() {
        0 => Err(Failure::new(Exit::NotFound, show::not_found(&args.key, &reply))),
        2.. if show::is_raw(&args.key, is_terminal) => Err(Failure::conflict("the key has more than one value")),
        _ => Ok(()),
    }
}

/// `driftkv put`.
pub async fn put(args: &PutArgs) -> Result<(), Failure> {
    let (request_id, is_repeated) = request_id(&args.write)?;
    let request = v1::PutRequest {
        bucket: args.key.bucket.clone(),
        key: Bytes::from(args.key.key.clone()),
        context: context(&args.write, args.intent == PutIntent::WithContext)?,
        value: read_value(args)?,
        intent: match args.intent {
            PutIntent::WithContext => Intent::WithContext.into(),
            PutIntent::AddSibling => Intent::AddSibling.into(),
            PutIntent::CreateOnly => Intent::CreateOnly.into(),
            PutIntent::OverwriteAll => Intent::OverwriteAll.into(),
        },
        request_id: request_id.clone(),
        is_retry: is_repeated,
        options: Some(options(&args.key, None, args.write.w)),
    };
    let endpoints = Endpoints::find(&args.key.connection)?;
    let reply = through_any(&endpoints, &args.key, true, |mut client, is_retry| {
        let is_retry = is_retry || is_repeated;
        let request = timed(v1::PutRequest { is_retry, ..request.clone() }, args.key.timeout);
        async move { client.put(request).await }
    });
    let reply = reply.await.map_err(|error| write_failure(&error, &request_id))?;
    show::put(&args.key, &reply, "written", std::io::stdout().is_terminal())
}

/// `driftkv delete`.
pub async fn delete(args: &DeleteArgs) -> Result<(), Failure> {
    let (request_id, is_repeated) = request_id(&args.write)?;
    let intent = match args.intent {
        Some(intent) => intent,
        None if args.write.context.is_some() => DeleteIntent::WithContext,
        None => DeleteIntent::OverwriteAll,
    };
    if intent == DeleteIntent::WithContext && args.write.context.is_none() {
        return Err(Failure::usage("--intent with-context needs a --context").hint("`driftkv get` prints it."));
    }
    let request = v1::DeleteRequest {
        bucket: args.key.bucket.clone(),
        key: Bytes::from(args.key.key.clone()),
        context: context(&args.write, intent == DeleteIntent::WithContext)?,
        intent: match intent {
            DeleteIntent::WithContext => Intent::WithContext.into(),
            DeleteIntent::OverwriteAll => Intent::OverwriteAll.into(),
        },
        request_id: request_id.clone(),
        is_retry: is_repeated,
        options: Some(options(&args.key, None, args.write.w)),
    };
    let endpoints = Endpoints::find(&args.key.connection)?;
    let reply = through_any(&endpoints, &args.key, true, |mut client, is_retry| {
        let is_retry = is_retry || is_repeated;
        let request = timed(v1::DeleteRequest { is_retry, ..request.clone() }, args.key.timeout);
        async move { client.delete(request).await }
    });
    let reply = reply.await.map_err(|error| write_failure(&error, &request_id))?;
    show::put(&args.key, &reply, "deleted", std::io::stdout().is_terminal())
}

/// A client of the node at `address`, connected when it is first used.
pub fn client(address: &str) -> Result<KvClient, Failure> {
    let client = KvClient::new(channel(address)?);
    Ok(client.max_decoding_message_size(FRAME_BYTES_MAX).max_encoding_message_size(FRAME_BYTES_MAX))
}

/// A channel to `HOST:PORT`, connected when it is first used.
pub fn channel(address: &str) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| Failure::usage(format!("endpoint `{address}`: {error}")))?;
    Ok(endpoint.connect_timeout(CONNECT_MAX).timeout(ANSWER_MAX).connect_lazy())
}

/// The answer of the first node that gives one, or that refuses for good.
///
/// `ask` gets whether an earlier node may already have applied the write.
async fn through_any<T, F>(
    endpoints: &Endpoints,
    key: &KeyArgs,
    is_write: bool,
    ask: impl Fn(KvClient, bool) -> F,
) -> Result<T, KvError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let addresses = endpoints.clients().map_err(|failure| KvError::invalid_argument(failure.to_string()))?;
    let mut last = KvError::no_answer(Code::Unavailable, "no node was named", false);
    let mut maybe_applied = false;
    for address in addresses {
        let client = client(address).map_err(|failure| KvError::invalid_argument(failure.to_string()))?;
        let limit = key.timeout.map_or(ANSWER_MAX, |timeout| timeout + GRACE);
        let answer = match tokio::time::timeout(limit, ask(client, maybe_applied)).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded(format!("{address} did not answer"))),
        };
        match answer {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) => last = named(from_status(&status, is_write), address),
        }
        maybe_applied |= last.maybe_applied;
        last.maybe_applied = maybe_applied;
        if !is_elsewhere_better(&last) {
            return Err(last);
        }
    }
    Err(last)
}

/// Whether another node may well do what this one did not.
fn is_elsewhere_better(error: &KvError) -> bool {
    match error.code {
        ErrorCode::Unspecified => error.is_retriable() && error.grpc != Code::DeadlineExceeded,
        ErrorCode::NotReady | ErrorCode::NotResponsible | ErrorCode::ShuttingDown | ErrorCode::Overloaded => true,
        _ => false,
    }
}

fn named(error: KvError, address: &str) -> KvError {
    match error.code {
        ErrorCode::Unspecified => KvError { message: format!("{address}: {}", error.message), ..error },
        _ => error,
    }
}

fn write_failure(error: &KvError, request_id: &[u8]) -> Failure {
    let failure = Failure::kv(error);
    if !error.maybe_applied {
        return failure;
    }
    let retry = format!("To repeat it safely, run it again with --request-id {}", token::of_request_id(request_id));
    let hint = if failure.hint.is_empty() { retry } else { format!("{}\n{retry}", failure.hint) };
    failure.hint(hint)
}

fn timed<T>(message: T, timeout: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout.map_or(ANSWER_MAX, |timeout| timeout + GRACE));
    request
}

fn options(key: &KeyArgs, r: Option<u32>, w: Option<u32>) -> v1::Options {
    let timeout_ms = key.timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    v1::Options { r: r.unwrap_or(0), w: w.unwrap_or(0), timeout_ms }
}

fn request_id(write: &WriteArgs) -> Result<(Bytes, bool), Failure> {
    match &write.request_id {
        Some(text) => Ok((token::to_request_id(text)?, true)),
        None => Ok((token::new_request_id(), false)),
    }
}

fn context(write: &WriteArgs, is_taken: bool) -> Result<Bytes, Failure> {
    match &write.context {
        Some(_) if !is_taken => Err(Failure::usage("a --context goes with --intent with-context only")
            .hint("The other intents do not look at it: leave one of the two out.")),
        Some(text) => token::to_context(text),
        None => Ok(Bytes::new()),
    }
}

fn read_value(args: &PutArgs) -> Result<Bytes, Failure> {
    match (&args.file, args.value.as_deref()) {
        (Some(path), _) => fs::read(path).map(Bytes::from).map_err(|error| Failure::io(path, &error)),
        (None, Some("-")) => {
            if std::io::stdin().is_terminal() {
                eprintln!("{}", style::Paint::stderr().dim("reading the value from the terminal; end with Ctrl-D"));
            }
            let mut value = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut value);
            read.map(|_| Bytes::from(value)).map_err(|error| Failure::failed(format!("stdin: {error}")))
        }
        (None, value) => Ok(Bytes::from(value.unwrap_or_default().to_owned())),
    }
}
