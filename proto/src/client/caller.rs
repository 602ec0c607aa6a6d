//! Who asks an admin port: a token that the node was told to accept, and the term of an operator that holds a lease.
//! Invariant: neither is ever shown, in errors or by `Debug`.
//! Not here: what a node makes of them (`node/src/api/admin/`).

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::KvError;

/// The name of the metadata that carries an operator's term.
pub const TERM_METADATA: &str = "driftkv-operator-term";

/// What is said with each call. The default says nothing: enough for a node without a token file.
#[derive(Clone, Default)]
pub struct Caller {
    bearer: Option<MetadataValue<Ascii>>,
    term: Option<u64>,
}

impl Caller {
    /// With this token. Errors: it has characters that no token has.
    pub fn with_token(token: &str) -> Result<Self, KvError> {
        let wrong = || KvError::invalid_argument("a token is one line of visible ASCII characters");
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| wrong())?;
        bearer.set_sensitive(true);
        Ok(Self { bearer: Some(bearer), term: None })
    }

    /// The same, speaking for an operator of this term.
    pub fn in_term(self, term: Option<u64>) -> Self {
        Self { term, ..self }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("has_token", &self.bearer.is_some()).field("term", &self.term).finish()
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        if let Some(term) = self.term {
            request.metadata_mut().insert(TERM_METADATA, term.into());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tonic::Request;
    use tonic::service::Interceptor;

    use super::{Caller, TERM_METADATA};

    #[test]
    fn each_call_says_who_asks_and_debug_does_not() {
        let mut caller = Caller::with_token("s3cret").unwrap().in_term(Some(7));
        let said = caller.call(Request::new(())).unwrap().into_parts().0;
        assert_eq!(said.get("authorization").unwrap(), "Bearer s3cret");
        assert_eq!(said.get(TERM_METADATA).unwrap(), "7");
        assert!(!format!("{caller:?} {said:?}").contains("s3cret"));
        assert!(Caller::default().call(Request::new(())).unwrap().metadata().is_empty());
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for wrong in ["", "two words", "a\nb", "ä"] {
            assert!(Caller::with_token(wrong).is_err(), "{wrong:?}");
        }
    }
}
