//! Keeps out operators that no longer are: what changes something carries the term of the operator's lease, and an older one is refused.
//! Invariant: after a call of term t was let in, none of a smaller term is.
//! Kept in memory only: what an operator of a term may still do after a restart of this node, it might as well have done before.
//! Whoever names no term is not an operator with a lease (a person, the laboratory), and is let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use driftkv_proto::client::TERM_METADATA;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The newest term seen since the start. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<AtomicU64>);

impl Fence {
    /// Errors: its term is older than one that was seen, which the error's metadata tells; or is no number.
    pub fn admit(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let Some(said) = metadata.get(TERM_METADATA) else { return Ok(()) };
        let term: Option<u64> = said.to_str().ok().and_then(|text| text.parse().ok());
        let Some(term) = term else {
            return Err(Status::invalid_argument(format!("{TERM_METADATA} is {said:?}; it must be a decimal number")));
        };
        let newest = self.0.fetch_max(term, Ordering::SeqCst);
        if term >= newest {
            return Ok(());
        }
        let words = format!(
            "an operator of term {newest} has acted here, and this call is of term {term}: its lease is lost, nothing was changed"
        );
        let mut refusal = Status::failed_precondition(words);
        refusal.metadata_mut().insert(TERM_METADATA, newest.into());
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tonic::Code;
    use tonic::metadata::MetadataMap;

    use super::{Fence, TERM_METADATA};

    fn of(term: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(TERM_METADATA, term.parse().unwrap());
        metadata
    }

    #[test]
    fn an_older_term_is_refused_and_no_term_is_not() {
        let fence = Fence::default();
        for term in ["3", "3", "7"] {
            fence.admit(&of(term)).unwrap();
        }
        let refused = fence.clone().admit(&of("6")).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("term 7") && refused.message().contains("term 6"), "{}", refused.message());
        assert_eq!(refused.metadata().get(TERM_METADATA).unwrap(), "7");
        fence.admit(&of("7")).unwrap();
        fence.admit(&MetadataMap::new()).unwrap();
        assert_eq!(fence.admit(&of("seven")).unwrap_err().code(), Code::InvalidArgument);
    }
}
