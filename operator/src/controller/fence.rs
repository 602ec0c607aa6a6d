//! The last look before anything is written: a client that refuses to change anything once the lease can no longer be ours.
//! Passes are tasks of their own. After the process stood still, one of them may go on before `Election::hold` has seen that it is too late,
//! and before the process ends.
//! Invariant: between this look and the API server is nothing but the way there. Reads pass; the election has a client without this.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use kube::Client;
use kube::client::Body;
use tonic::codegen::http::{Method, Request, Response};
use tonic::codegen::{Service, StdError};

use super::election::Term;

/// `client`, which writes only while the lease of `term` is held.
pub fn client(client: Client, term: Term) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Fence { client, term }, namespace)
}

struct Fence {
    client: Client,
    term: Term,
}

impl Service<Request<Body>> for Fence {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, StdError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        // `send` waits until the client is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (client, term) = (self.client.clone(), self.term.clone());
        Box::pin(async move {
            if request.method() != Method::GET && !term.is_held() {
                return Err("the lease is not held any more; nothing was written".into());
            }
            client.send(request).await.map_err(Into::into)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    /// Answers everything, and counts.
    struct Server(Arc<AtomicU32>);

    impl Service<Request<Body>> for Server {
        type Response = Response<Body>;
        type Error = StdError;
        type Future = std::future::Ready<Result<Response<Body>, StdError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(Response::new(Body::empty())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_before_the_lease_is_held_or_after_it_could_be_renewed() {
        let (count, term) = (Arc::new(AtomicU32::new(0)), Term::default());
        let fenced = client(Client::new(Server(Arc::clone(&count)), "default"), term.clone());
        let ask = async |method: Method| {
            fenced.send(Request::builder().method(method).uri("/").body(Body::empty()).unwrap()).await
        };
        let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        for method in &writes {
            assert!(ask(method.clone()).await.unwrap_err().to_string().contains("lease is not held"));
        }
        term.hold(1, tokio::time::Instant::now() + Duration::from_secs(10));
        for method in &writes {
            ask(method.clone()).await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 4);
        tokio::time::advance(Duration::from_secs(10)).await;
        for method in &writes {
            ask(method.clone()).await.unwrap_err();
        }
        ask(Method::GET).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 5, "reads pass, and nothing else did");
    }
}
