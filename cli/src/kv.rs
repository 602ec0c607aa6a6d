//! `get`, `put` and `delete`: one request each, through whichever node takes it.
//! The client of `driftkv_proto` retries, other nodes included, and keeps a write's request id while it does.
//! Not here: how results look (`show`).

use std::io::IsTerminal;
use std::path::Path;

use bytes::Bytes;
use driftkv_proto::FRAME_BYTES_MAX;
use driftkv_proto::client::{Client, GetOptions, PutOptions};
use driftkv_proto::error::KvError;
use driftkv_proto::v1::Intent;

use crate::args::{DeleteArgs, DeleteIntent, GetArgs, KeyArgs, PutArgs, PutIntent, WriteArgs};
use crate::endpoints::Endpoints;
use crate::error::{Exit, Failure};
use crate::{input, program, show, style, token};

/// `driftkv get`.
pub async fn get(args: &GetArgs, endpoints: &Endpoints) -> Result<(), Failure> {
    let options = GetOptions { mode: args.mode.into(), r: args.r.unwrap_or(0), timeout: args.key.timeout };
    let reply = client(&args.key, endpoints)?.get(&args.key.bucket, args.key.key.clone(), options).await;
    let reply = reply.map_err(|error| Failure::kv(&error))?;
    let is_terminal = std::io::stdout().is_terminal();
    show::get(&args.key, &reply, is_terminal)?;
    match reply.siblings.len() {
        0 => Err(Failure::new(Exit::NotFound, show::not_found(&args.key, &reply))),
        count @ 2.. if show::is_raw(&args.key, is_terminal) => {
            let message = format!("the key has {count} siblings, and a pipe can take one value");
            Err(Failure::conflict(message).hint(show::resolve_hint(&args.key, &reply)))
        }
        _ => Ok(()),
    }
}

/// `driftkv put`.
pub async fn put(args: &PutArgs, endpoints: &Endpoints) -> Result<(), Failure> {
    let intent = match args.intent {
        PutIntent::WithContext => Intent::WithContext,
        PutIntent::AddSibling => Intent::AddSibling,
        PutIntent::CreateOnly => Intent::CreateOnly,
        PutIntent::OverwriteAll => Intent::OverwriteAll,
    };
    let options = options(&args.key, &args.write, intent)?;
    let (client, value) = (client(&args.key, endpoints)?, read_value(args)?);
    let reply = client.put(&args.key.bucket, args.key.key.clone(), value, options.clone()).await;
    let reply = reply.map_err(|error| write_failure(&error, &options))?;
    show::put(&args.key, &reply, "written", std::io::stdout().is_terminal())
}

/// `driftkv delete`.
pub async fn delete(args: &DeleteArgs, endpoints: &Endpoints) -> Result<(), Failure> {
    let intent = match args.intent {
        Some(DeleteIntent::WithContext) if args.write.context.is_none() => {
            return Err(Failure::usage(format!("--intent with-context needs a {}", program::context_flag()))
                .hint(format!("`{} get` prints it.", program::name())));
        }
        Some(DeleteIntent::WithContext) => Intent::WithContext,
        Some(DeleteIntent::OverwriteAll) => Intent::OverwriteAll,
        None if args.write.context.is_some() => Intent::WithContext,
        None => Intent::OverwriteAll,
    };
    let options = options(&args.key, &args.write, intent)?;
    let reply = client(&args.key, endpoints)?.delete(&args.key.bucket, args.key.key.clone(), options.clone()).await;
    let reply = reply.map_err(|error| write_failure(&error, &options))?;
    show::put(&args.key, &reply, "deleted", std::io::stdout().is_terminal())
}

fn client(key: &KeyArgs, endpoints: &Endpoints) -> Result<Client, Failure> {
    let client = Client::connect(endpoints.clients()?.to_vec()).map_err(|error| Failure::kv(&error))?;
    if !key.trace {
        return Ok(client);
    }
    let (trace, traceparent) = token::new_trace();
    // Told before the request: a trace of one that fails is worth the most.
    style::note(&style::Paint::stderr().dim(&format!("trace {trace}")));
    client.traced(&traceparent).map_err(|error| Failure::kv(&error))
}

fn options(key: &KeyArgs, write: &WriteArgs, intent: Intent) -> Result<PutOptions, Failure> {
    let context = match &write.context {
        Some(_) if intent != Intent::WithContext => {
            return Err(Failure::usage(format!("a {} goes with --intent with-context only", program::context_flag()))
                .hint("The other intents do not look at it: leave one of the two out."));
        }
        Some(text) => token::to_context(text)?,
        None => Bytes::new(),
    };
    let request_id = match &write.request_id {
        Some(text) => token::to_request_id(text)?,
        None => token::new_request_id(),
    };
    Ok(PutOptions {
        context,
        intent,
        r: write.r.unwrap_or(0),
        w: write.w.unwrap_or(0),
        timeout: key.timeout,
        request_id: Some(request_id),
        is_retry: write.request_id.is_some(),
    })
}

fn write_failure(error: &KvError, options: &PutOptions) -> Failure {
    let failure = Failure::kv(error);
    let (true, Some(id)) = (error.maybe_applied, &options.request_id) else {
        return failure;
    };
    let retry = format!("To repeat it safely, run it again with --request-id {}", token::of_request_id(id));
    let hint = if failure.hint.is_empty() { retry } else { format!("{}\n{retry}", failure.hint) };
    failure.hint(hint)
}

fn read_value(args: &PutArgs) -> Result<Bytes, Failure> {
    match (&args.file, args.value.as_deref()) {
        (Some(path), _) => input::bytes(path, FRAME_BYTES_MAX).map(Bytes::from),
        (None, Some("-")) => {
            if std::io::stdin().is_terminal() {
                style::note(&style::Paint::stderr().dim("reading the value from the terminal; end with Ctrl-D"));
            }
            input::bytes(Path::new(input::STDIN), FRAME_BYTES_MAX).map(Bytes::from)
        }
        (None, value) => Ok(Bytes::from(value.unwrap_or_default().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{options, write_failure};
    use crate::args::{Args, Command, PutArgs};
    use clap::Parser;
    use driftkv_proto::error::KvError;
    use driftkv_proto::v1::Intent;
    use tonic::Code;

    fn put(words: &[&str]) -> PutArgs {
        let args = ["driftkv", "put", "k", "v"].iter().chain(words);
        match Args::try_parse_from(args).unwrap().command {
            Command::Put { args, .. } => args,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_context_is_refused_where_it_would_be_ignored() {
        let args = put(&["--context", "AQID"]);
        assert_eq!(options(&args.key, &args.write, Intent::WithContext).unwrap().context, [1, 2, 3].as_slice());
        let failure = options(&args.key, &args.write, Intent::OverwriteAll).unwrap_err();
        assert!(failure.message.contains("with-context only"), "{}", failure.message);
    }

    #[test]
    fn a_given_request_id_is_a_retry_and_a_fresh_one_is_not() {
        let args = put(&["--request-id", "000102030405060708090a0b0c0d0e0f"]);
        assert!(options(&args.key, &args.write, Intent::WithContext).unwrap().is_retry);
        let args = put(&[]);
        let fresh = options(&args.key, &args.write, Intent::WithContext).unwrap();
        assert!(!fresh.is_retry && fresh.request_id.unwrap().len() == 16);
    }

    #[test]
    fn a_write_in_doubt_tells_how_to_repeat_it() {
        let args = put(&["--request-id", "000102030405060708090a0b0c0d0e0f"]);
        let options = options(&args.key, &args.write, Intent::WithContext).unwrap();
        let failure = |in_doubt| write_failure(&KvError::no_answer(Code::Unavailable, "gone", in_doubt), &options);
        assert!(failure(true).hint.ends_with("--request-id 000102030405060708090a0b0c0d0e0f"));
        assert!(!failure(false).hint.contains("--request-id"));
    }
}
