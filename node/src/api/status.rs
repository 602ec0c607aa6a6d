//! The answer of a failed unary call, said twice: our own error in its trailer, and gRPC's standard details for clients that
//! know nothing of ours (`google.rpc.Status`: ErrorInfo always, BadRequest with the field, RetryInfo when trying again helps).
//! Invariant: code and sentence are those of `driftkv_proto::error`, so all clients read the same.

use std::collections::HashMap;
use std::time::Duration;

use driftkv_core::effect::Failure;
use driftkv_proto::error::to_status;
use driftkv_proto::v1::{self, ErrorCode};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::convert::answer;
use crate::convert::client::Invalid;

/// Whose reasons these are.
const DOMAIN: &str = "driftkv.io";
/// When an overloaded node may be asked again.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// A request that could not be read.
pub fn invalid(invalid: Invalid) -> Status {
    let field = Some((invalid.field, invalid.why.clone()));
    status(&answer::error(&Failure::from(invalid)), field)
}

/// A request that failed.
pub fn failed(failure: &Failure) -> Status {
    let field = match failure {
        Failure::BadContext(why) => Some(("context", why.clone())),
        Failure::TooLarge { what, .. } => {
            let field = ["key", "bucket", "value"].into_iter().find(|field| what.ends_with(field));
            field.map(|field| (field, failure.to_string()))
        }
        _ => None,
    };
    status(&answer::error(failure), field)
}

/// An error of ours with, if one is to blame, the field and what is wrong with it.
pub fn status(error: &v1::Error, field: Option<(&str, String)>) -> Status {
    let plain = to_status(error);
    let mut details = ErrorDetails::with_error_info(reason(error.code()), DOMAIN, numbers(error));
    if let Some((field, why)) = field {
        details.add_bad_request_violation(field, why);
    }
    if error.code() == ErrorCode::Overloaded {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    Status::with_error_details_and_metadata(plain.code(), plain.message(), details, plain.metadata().clone())
}

/// `QUORUM_NOT_REACHED`.
fn reason(code: ErrorCode) -> &'static str {
    let name = code.as_str_name();
    name.strip_prefix("ERROR_CODE_").unwrap_or(name)
}

fn numbers(error: &v1::Error) -> HashMap<String, String> {
    let mut numbers = HashMap::from([("maybe_applied".to_owned(), error.maybe_applied.to_string())]);
    if error.needed > 0 {
        let counts = [
            ("needed", error.needed),
            ("got", error.got),
            ("primaries", error.primaries),
            ("fallbacks", error.fallbacks),
        ];
        numbers.extend(counts.map(|(name, count)| (name.to_owned(), count.to_string())));
    }
    numbers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use driftkv_core::effect::Failure;
    use driftkv_proto::error::from_status;
    use driftkv_proto::v1::ErrorCode;
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::{RETRY_DELAY, failed, invalid};
    use crate::convert::client;

    #[test]
    fn a_failed_quorum_is_told_to_our_client_and_to_every_other() {
        let failure = Failure::QuorumNotReached { needed: 3, primaries: 1, fallbacks: 1, maybe_applied: true };
        let status = failed(&failure);
        assert_eq!(status.code(), Code::Unavailable);
        let ours = from_status(&status, true);
        assert_eq!((ours.code, ours.needed, ours.got), (ErrorCode::QuorumNotReached, 3, 2));
        assert!(ours.maybe_applied);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("QUORUM_NOT_REACHED", "driftkv.io"));
        let number = |name: &str| info.metadata.get(name).cloned().unwrap_or_default();
        assert_eq!(["needed", "got", "primaries", "fallbacks"].map(number), ["3", "2", "1", "1"]);
        assert_eq!(number("maybe_applied"), "true");
    }

    #[test]
    fn the_field_to_blame_is_named() {
        let wrong = driftkv_proto::v1::GetRequest { mode: 9, ..Default::default() };
        let field = |status: &tonic::Status| {
            let violations = status.get_details_bad_request().unwrap().field_violations;
            violations.first().unwrap().field.clone()
        };
        assert_eq!(field(&invalid(client::get(wrong).unwrap_err())), "mode");
        assert_eq!(field(&failed(&Failure::BadContext("damaged".to_owned()))), "context");
        let large = Failure::TooLarge { what: "the value".to_owned(), bytes: 9, bytes_max: 8 };
        assert_eq!(field(&failed(&large)), "value");
    }

    #[test]
    fn an_overloaded_node_says_when_to_try_again() {
        let info = failed(&Failure::Overloaded { in_flight: 5 }).get_details_retry_info().unwrap();
        assert_eq!(info.retry_delay, Some(RETRY_DELAY));
        assert!(failed(&Failure::NotResponsible).get_details_retry_info().is_none());
    }
}
