//! The API server that the kubeconfig names, and what went wrong with it in words that say what to do.
//! Invariants: no retry of the client's own, for its default takes minutes; every call ends by `CALL_MAX`.

use std::time::Duration;

use kube::client::UpgradeConnectionError;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::timeout;

use super::args::Which;
use crate::error::{Exit, Failure};
use crate::style::one_line;

/// The longest that one call may take.
pub const CALL_MAX: Duration = Duration::from_secs(10);

/// In the message of a call that the API server forbids.
pub const NOT_ALLOWED: &str = "not allowed";
/// What to do then.
pub const RIGHTS: &str = "Ask for the role: docs/kubectl.md lists the rights that each command needs.\n\
    `kubectl auth can-i --list` shows those that you have.";

/// One namespace of one Kubernetes.
#[derive(Clone)]
pub struct Site {
    /// Talks to the API server.
    pub client: Client,
    /// Where the cluster is.
    pub namespace: String,
}

impl Site {
    /// Reads the kubeconfig. Nothing is asked of the API server yet.
    pub async fn open(which: &Which) -> Result<Site, Failure> {
        let mut config = timeout(CALL_MAX, configure(which)).await.map_err(|_| silent("the kubeconfig"))??;
        config.default_retry = false;
        config.connect_timeout = Some(CALL_MAX);
        let namespace = which.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| wrong_config(&error))?;
        Ok(Site { client, namespace })
    }
}

async fn configure(which: &Which) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: which.context.clone(), ..KubeConfigOptions::default() };
    if let Some(file) = &which.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(file).map_err(|error| wrong_config(&error))?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| wrong_config(&error));
    }
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        // In a pod there is no kubeconfig, and the service account will do.
        Err(error) if which.context.is_none() => Config::incluster().map_err(|_| wrong_config(&error)),
        Err(error) => Err(wrong_config(&error)),
    }
}

fn wrong_config(error: &impl std::error::Error) -> Failure {
    Failure::usage(format!("the kubeconfig cannot be used: {}", with_causes(error))).hint(
        "`kubectl config get-contexts` lists what there is; name one with --context, or a file with --kubeconfig\n\
         or KUBECONFIG.",
    )
}

/// One call of the API server. `what`: what it is for, such as `read the pods of shop`.
pub async fn call<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(CALL_MAX, request).await {
        Ok(answer) => answer.map_err(|error| failure(what, &error)),
        Err(_) => Err(silent(what)),
    }
}

/// As [`call`]; what is not there is `None`.
pub async fn call_opt<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, Failure> {
    match call(what, request).await {
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

fn silent(what: &str) -> Failure {
    Failure::unavailable(format!("{what}: no answer in {} s", CALL_MAX.as_secs()))
        .hint("Does `kubectl version` reach the API server?")
}

/// A failed call in words.
pub fn failure(what: &str, error: &kube::Error) -> Failure {
    let (code, said) = match error {
        kube::Error::Api(status) => (status.code, one_line(&status.message)),
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => {
            (code.as_u16(), format!("the API server answers {code}"))
        }
        kube::Error::Auth(error) => {
            return Failure::failed(format!("{what}: no credentials: {}", with_causes(error)))
                .hint("The user of the kubeconfig's context has none that work; log in as for kubectl.");
        }
        // An API server that does not answer as one, and everything below it.
        error => {
            return Failure::unavailable(format!("{what}: {}", with_causes(error)))
                .hint("Does `kubectl version` reach the API server?");
        }
    };
    match code {
        401 => Failure::failed(format!("{what}: the API server does not know who you are: {said}"))
            .hint("Log in as for kubectl; `kubectl auth whoami` shows who you are."),
        403 => Failure::failed(format!("{what}: {NOT_ALLOWED}: {said}")).hint(RIGHTS),
        404 => Failure::new(Exit::NotFound, format!("{what}: {said}")),
        409 => {
            Failure::conflict(format!("{what}: {said}")).hint("Somebody else changed it at the same time; try again.")
        }
        408 | 429 | 500..=599 => Failure::unavailable(format!("{what}: {said}")).hint("Try again."),
        _ => Failure::failed(format!("{what}: the API server refuses it: {said}")),
    }
}

/// An error and what it came from, each once.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        source = cause.source();
    }
    one_line(&told)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::core::Status;

    use super::{Site, Which, call, failure};
    use crate::error::Exit;

    fn answer(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("words", "Reason").with_code(code).boxed())
    }

    #[test]
    fn each_refusal_of_the_api_server_has_its_exit_code_and_says_what_was_asked() {
        for (code, exit) in [
            (401, Exit::Failed),
            (403, Exit::Failed),
            (404, Exit::NotFound),
            (409, Exit::Conflict),
            (422, Exit::Failed),
            (503, Exit::Unavailable),
        ] {
            let failure = failure("read the pods", &answer(code));
            assert_eq!(failure.exit, exit, "{code}");
            assert!(failure.message.starts_with("read the pods: ") && failure.message.ends_with("words"), "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_ends() {
        let failure = call::<()>("x", std::future::pending()).await.unwrap_err();
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Unavailable, "x: no answer in 10 s"));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_and_a_context_that_is_not_in_it_are_named() {
        let missing = Which { kubeconfig: Some("/nowhere/config".into()), ..Which::default() };
        let failure = Site::open(&missing).await.err().unwrap();
        assert!(failure.message.contains("/nowhere/config"), "{failure}");
        assert!(failure.exit == Exit::Usage && failure.hint.contains("--context"), "{failure:?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n").unwrap();
        let context = Some("shop".to_owned());
        let unknown = Which { kubeconfig: Some(file.path().to_owned()), context, ..Which::default() };
        let failure = Site::open(&unknown).await.err().unwrap();
        assert!(failure.message.contains("shop"), "{failure}");
    }
}
