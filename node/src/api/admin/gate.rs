//! Who may ask the admin port: whoever shows a token that stands in the file of `--admin-token-file`, a token a line.
//! Invariants: refused before a byte of the request is read; tokens are compared in constant time and never shown; a file that cannot
//! be read, or has no token, lets nobody in. The file is read again when it is older than [`READ_EVERY`], so a token is changed
//! without a restart. Without the flag everybody may ask: a laptop, or a port that a firewall keeps.
//! Not here: health and reflection, which tell nothing of the data and stay open (`port`).

use std::convert::Infallible;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

/// How long what was read is good for.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Far above two tokens.
const FILE_BYTES_MAX: u64 = 64 << 10;
const HELP: &str = "say `authorization: Bearer TOKEN`; driftkv takes it by --admin-token-file FILE or DRIFTKV_ADMIN_TOKEN, and on \
                    Kubernetes it is in the Secret CLUSTER-admin";

/// Lets calls in, or not. Clones share what was read.
#[derive(Clone, Debug)]
pub struct Gate(Option<Arc<Door>>);

#[derive(Debug)]
struct Door {
    file: PathBuf,
    known: Mutex<Known>,
}

/// What the file said, or why it said nothing.
struct Known {
    read_at: Option<Instant>,
    tokens: Result<Vec<Vec<u8>>, String>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("tokens", &self.tokens.as_ref().map(Vec::len)).finish()
    }
}

impl Gate {
    /// `file`: of tokens; `None`: everybody may ask.
    pub fn new(file: Option<PathBuf>) -> Gate {
        let known = || Mutex::new(Known { read_at: None, tokens: Err("it was not read yet".to_owned()) });
        Gate(file.map(|file| Arc::new(Door { file, known: known() })))
    }

    /// Errors: the caller shows no token that is accepted now.
    pub fn admit(&self, headers: &http::HeaderMap) -> Result<(), Status> {
        let Some(door) = &self.0 else { return Ok(()) };
        door.admit(headers, Instant::now())
    }
}

impl Door {
    fn admit(&self, headers: &http::HeaderMap, now: Instant) -> Result<(), Status> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.read_at.is_none_or(|read| now.saturating_duration_since(read) >= READ_EVERY) {
            known.renew(&self.file, now);
        }
        let Ok(tokens) = &known.tokens else {
            let words = "this node has no admin token to compare with, so nobody may ask; its log says why";
            return Err(Status::unauthenticated(words));
        };
        let said = headers.get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        match said.map(|said| said.strip_prefix(b"Bearer ").unwrap_or_default()) {
            None => Err(Status::unauthenticated(format!("this admin port needs a token: {HELP}"))),
            Some(shown) if is_one_of(shown, tokens) => Ok(()),
            Some(_) => Err(Status::unauthenticated(format!("this admin port does not accept that token: {HELP}"))),
        }
    }
}

/// All are compared, whichever fits; only lengths can be told apart by time.
fn is_one_of(shown: &[u8], tokens: &[Vec<u8>]) -> bool {
    tokens.iter().fold(subtle::Choice::from(0), |found, token| found | token.as_slice().ct_eq(shown)).into()
}

impl Known {
    fn renew(&mut self, file: &Path, now: Instant) {
        let tokens = read(file);
        match (&self.tokens, &tokens) {
            (Err(before), Err(why)) if before == why => {}
            (_, Err(why)) => tracing::error!(file = %file.display(), %why, "no admin token: every call is refused"),
            (Ok(before), Ok(after)) if before == after => {}
            (_, Ok(after)) => tracing::info!(file = %file.display(), accepted = after.len(), "admin tokens were read"),
        }
        (self.read_at, self.tokens) = (Some(now), tokens);
    }
}

fn read(file: &Path) -> Result<Vec<Vec<u8>>, String> {
    let mut text = Vec::new();
    let mut limited = std::fs::File::open(file).map_err(|error| error.to_string())?.take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut text).map_err(|error| error.to_string())?;
    if limited.limit() == 0 {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let tokens: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    if tokens.is_empty() { Err("it has no token".to_owned()) } else { Ok(tokens) }
}

/// A service behind a gate.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    service: S,
    gate: Gate,
}

impl<S> Guarded<S> {
    /// Only calls that `gate` lets in reach `service`.
    pub fn new(service: S, gate: Gate) -> Guarded<S> {
        Guarded { service, gate }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.gate.admit(request.headers()) {
            Ok(()) => Box::pin(self.service.call(request)),
            Err(refusal) => Box::pin(std::future::ready(Ok(refusal.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, Instant};

    use tonic::Code;
    use tonic::codegen::http;

    use super::{Gate, READ_EVERY};

    fn shown(value: &str) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn only_whole_tokens_of_the_file_are_let_in() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first-token\n\n  second-token \r\n").unwrap();
        let gate = Gate::new(Some(file.path().to_owned()));
        for token in ["first-token", "second-token"] {
            gate.admit(&shown(&format!("Bearer {token}"))).unwrap();
        }
        let wrong = ["first", "first-token2", "", "irst-token", "third-token", "first-token\tsecond-token"];
        for token in wrong {
            let refused = gate.admit(&shown(&format!("Bearer {token}"))).unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
            assert!(!refused.message().contains("first-token"), "{}", refused.message());
        }
        for headers in [http::HeaderMap::new(), shown("first-token"), shown("Basic first-token")] {
            assert_eq!(gate.admit(&headers).unwrap_err().code(), Code::Unauthenticated, "{headers:?}");
        }
        Gate::new(None).admit(&http::HeaderMap::new()).unwrap();
        assert!(!format!("{gate:?}").contains("first"), "{gate:?}");
    }

    #[test]
    fn a_file_is_read_again_and_one_without_a_token_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens");
        let gate = Gate::new(Some(file.clone()));
        let (door, began) = (gate.0.as_ref().unwrap(), Instant::now());
        let look = |nth: u32, token: &str| {
            let later = READ_EVERY * nth + Duration::from_millis(u64::from(nth));
            door.admit(&shown(&format!("Bearer {token}")), began + later).is_ok()
        };
        assert!(!look(0, "old"), "there is no file");
        std::fs::write(&file, "old\n").unwrap();
        assert!(!look(0, "old"), "a file is not read more often than once a second");
        assert!(look(1, "old") && !look(1, "new"));
        std::fs::write(&file, "new\nold\n").unwrap();
        assert!(look(2, "old") && look(2, "new"));
        std::fs::write(&file, "new\n").unwrap();
        assert!(!look(3, "old") && look(3, "new"));
        for (nth, nothing) in [(4, String::new()), (6, "\n \n".to_owned()), (8, "x".repeat(70_000))] {
            std::fs::write(&file, &nothing).unwrap();
            assert!(!look(nth, "new") && !look(nth, ""), "{} bytes", nothing.len());
            std::fs::write(&file, "new\n").unwrap();
            assert!(look(nth + 1, "new"));
        }
    }
}
