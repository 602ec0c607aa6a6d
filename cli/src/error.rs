//! Why a command failed: the exit code, a sentence, and what to do about it.
//! Invariant: nothing leaves the process with a failure but through here, so the codes in `--help` are the codes there are.
//! Not here: the words of a node's refusal (`driftkv_proto::error`).

use std::io::ErrorKind;
use std::process::ExitCode;

use driftkv_proto::error::{KvError, from_status};
use driftkv_proto::v1::ErrorCode;
use tonic::{Code, Status};

use crate::program;
use crate::style::{self, Paint};

/// The end of `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed for another reason
  2  wrong usage or bad input: flags, manifest, experiment, context, a value too large
  3  not found: the key has no live value
  4  unavailable: no node answers, or too few for the quorum or the deadline
  5  conflict: the key already exists, has too many siblings, or (get into a pipe) has more than one
`lab run`, `lab check`: 0 holds, 1 violated, 2 unknown or inconclusive, 64 bad input or wrong usage

Environment:
  DRIFTKV_ENDPOINTS  client addresses of nodes, by commas, as --endpoint
  NO_COLOR           no colour, as when the output is not a terminal";

/// The exit code of a failed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something else than the following; of a judge: what was promised does not hold.
    Failed,
    /// The user should change the command or its input.
    Usage,
    /// No live value.
    NotFound,
    /// Later, or through another node, it may work.
    Unavailable,
    /// The data stands against it.
    Conflict,
    /// A judge does not know.
    Inconclusive,
    /// What a judge was given is not what it should be.
    BadInput,
}

/// A failed command, told to a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Failure {
    /// The input is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something outside failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Nobody answers, or too few.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// The data stands against it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Exit::Conflict, message)
    }

    /// Any exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new() }
    }

    /// The same of a judge that came to no verdict: that says nothing of the store, and 1 does.
    pub fn without_verdict(self) -> Self {
        let exit = match self.exit {
            Exit::Usage | Exit::BadInput => Exit::BadInput,
            _ => Exit::Inconclusive,
        };
        Self { exit, ..self }
    }

    /// The same with advice.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// A file or directory could not be used.
    pub fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let (exit, what) = match error.kind() {
            ErrorKind::NotFound => (Exit::Usage, error.to_string()),
            ErrorKind::IsADirectory => (Exit::Usage, "is a directory; a file is needed".to_owned()),
            ErrorKind::InvalidData => (Exit::Usage, "is not text in UTF-8".to_owned()),
            _ => (Exit::Failed, error.to_string()),
        };
        Self::new(exit, format!("{}: {what}", path.display()))
    }

    /// A failed get or put.
    pub fn kv(error: &KvError) -> Self {
        Self::new(exit_of(error), error.to_string()).hint(hint_of(error))
    }

    /// A failed call to the admin port of `who`.
    pub fn admin(who: &str, status: &Status) -> Self {
        let error = from_status(status, false);
        let refused = matches!(
            error.grpc,
            Code::InvalidArgument
                | Code::FailedPrecondition
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::NotFound
                | Code::ResourceExhausted
        );
        // A node without room for it has refused it, and is not silent: whoever asked several takes it back from the others.
        let is_full = error.code == ErrorCode::Unspecified && error.grpc == Code::ResourceExhausted;
        let exit = if is_full { Exit::Failed } else { exit_of(&error) };
        match refused {
            true => Self::new(exit, format!("{who} refuses: {}", status.message())),
            false => Self::new(exit, format!("{who}: {error}")),
        }
    }

    /// Tells the person, on stderr.
    pub fn report(&self) {
        let paint = Paint::stderr();
        if !self.message.is_empty() {
            style::note(&format!("{} {}", paint.red("driftkv:"), self.message));
        }
        for line in self.hint.lines() {
            style::note(&format!("  {line}"));
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Failed => 1,
            Exit::Usage | Exit::Inconclusive => 2,
            Exit::NotFound => 3,
            Exit::Unavailable => 4,
            Exit::Conflict => 5,
            Exit::BadInput => 64,
        })
    }
}

fn exit_of(error: &KvError) -> Exit {
    match error.code {
        ErrorCode::InvalidArgument | ErrorCode::TooLarge | ErrorCode::BadContext => Exit::Usage,
        ErrorCode::AlreadyExists | ErrorCode::TooManySiblings => Exit::Conflict,
        ErrorCode::Unspecified => match error.grpc {
            Code::InvalidArgument => Exit::Usage,
            _ if error.is_retriable() => Exit::Unavailable,
            _ => Exit::Failed,
        },
        ErrorCode::QuorumNotReached
        | ErrorCode::DeadlineExceeded
        | ErrorCode::Overloaded
        | ErrorCode::NotReady
        | ErrorCode::NotResponsible
        | ErrorCode::ShuttingDown => Exit::Unavailable,
    }
}

fn hint_of(error: &KvError) -> String {
    let name = program::name();
    let hint = match error.code {
        ErrorCode::BadContext => "Pass it exactly as a get or put of this key in this cluster printed it.",
        ErrorCode::AlreadyExists => {
            let flag = program::context_flag();
            return format!("Read it with `get`, then put with its {flag}; or --intent overwrite-all.");
        }
        ErrorCode::TooManySiblings => {
            return format!("Read it with `get`, then put the merged value with its {}.", program::context_flag());
        }
        ErrorCode::QuorumNotReached => {
            return format!("`{name} status` shows who is reachable; a lower -r or -w needs fewer nodes.");
        }
        ErrorCode::DeadlineExceeded => {
            return format!("`{name} status` shows who is reachable; --timeout waits longer.");
        }
        ErrorCode::NotReady => {
            return format!("It is starting, or nobody has bootstrapped it: `{name} status` shows which.");
        }
        ErrorCode::Overloaded | ErrorCode::ShuttingDown => "Try again, perhaps through another node.",
        ErrorCode::Unspecified if error.is_retriable() => return program::is_it_up(),
        _ => "",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure};
    use driftkv_proto::error::{KvError, to_status};
    use driftkv_proto::v1::{self, ErrorCode};
    use tonic::{Code, Status};

    fn exit(code: ErrorCode) -> Exit {
        Failure::kv(&KvError::from(v1::Error { code: code.into(), ..v1::Error::default() })).exit
    }

    #[test]
    fn each_refusal_has_its_documented_exit_code() {
        assert_eq!(exit(ErrorCode::BadContext), Exit::Usage);
        assert_eq!(exit(ErrorCode::TooLarge), Exit::Usage);
        assert_eq!(exit(ErrorCode::QuorumNotReached), Exit::Unavailable);
        assert_eq!(exit(ErrorCode::NotReady), Exit::Unavailable);
        assert_eq!(exit(ErrorCode::AlreadyExists), Exit::Conflict);
        assert_eq!(exit(ErrorCode::TooManySiblings), Exit::Conflict);
    }

    #[test]
    fn a_node_that_is_full_refuses_and_is_not_silent() {
        let full = Failure::admin("demo-0", &Status::resource_exhausted("8 experiments are active"));
        assert_eq!((full.exit, full.message.as_str()), (Exit::Failed, "demo-0 refuses: 8 experiments are active"));
        let overloaded = v1::Error { code: ErrorCode::Overloaded.into(), ..v1::Error::default() };
        assert_eq!(Failure::admin("demo-0", &to_status(&overloaded)).exit, Exit::Unavailable, "later it may work");
    }

    #[test]
    fn nobody_answering_is_unavailable_with_advice() {
        let failure = Failure::kv(&KvError::no_answer(Code::Unavailable, "connection refused", false));
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.hint.contains("driftkv up"), "{}", failure.hint);
        assert_eq!(Failure::admin("demo-0", &Status::unimplemented("what")).exit, Exit::Failed);
    }
}
