//! The services of one port: `Kv` or `Admin`, beside health and reflection, told apart by the path of the call.
//! Three services need no more than a comparison; tonic's own router would bring a web framework along.
//! Not here: the socket, and what the services do.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use super::replies;

type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// A port that serves `S`.
pub struct Port<S, R: ServerReflection> {
    service: S,
    health: HealthServer<HealthService>,
    reflection: ServerReflectionServer<R>,
}

impl<S, R: ServerReflection> Port<S, R> {
    /// Serves all three.
    pub fn new(service: S, health: HealthServer<HealthService>, reflection: ServerReflectionServer<R>) -> Self {
        Port { service, health, reflection }
    }
}

impl<S: Clone, R: ServerReflection> Clone for Port<S, R> {
    /// Derived, it would ask the same of `R`, which is shared and not cloned.
    fn clone(&self) -> Self {
        Port { service: self.service.clone(), health: self.health.clone(), reflection: self.reflection.clone() }
    }
}

impl<S, R> Service<Request> for Port<S, R>
where
    S: NamedService + Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
    R: ServerReflection,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<Response, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Health and reflection are always ready.
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        if name == S::NAME {
            let response = self.service.call(request);
            return Box::pin(async move { response.await.map(replies::keep) });
        }
        if name == HealthServer::<HealthService>::NAME {
            return self.health.call(request);
        }
        if name == ServerReflectionServer::<R>::NAME {
            return self.reflection.call(request);
        }
        let words = format!("this port does not serve {name:?}; it serves {}, health and reflection", S::NAME);
        Box::pin(std::future::ready(Ok(Status::unimplemented(words).into_http())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use driftkv_core::config::Limits;
    use driftkv_proto::v1::admin_client::AdminClient;
    use driftkv_proto::v1::kv_client::KvClient;
    use driftkv_proto::v1::{GetRequest, StatusRequest, kv_server};
    use tokio::sync::watch;
    use tonic::Code;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::Port;
    use crate::api::health::{Health, reflection};
    use crate::api::kv::KvApi;
    use crate::api::loopback::{connect, serve, soon};
    use crate::driver::Handle;

    #[tokio::test]
    async fn a_port_serves_its_own_service_and_health_and_says_what_it_does_not_serve() {
        let (handle, _inbox) = Handle::new();
        let (_state, serving) = watch::channel(true);
        let health = Health::new(serving, crate::driver::Turning::default()).await;
        let kv = KvApi::new(handle, Limits::default()).into_service();
        let address = serve(Port::new(kv, health.service(), reflection(kv_server::SERVICE_NAME).unwrap())).await;
        let channel = connect(&address).await;
        let wrong = GetRequest { mode: 9, ..Default::default() };
        let kv = soon(KvClient::new(channel.clone()).get(wrong)).await.unwrap_err();
        assert_eq!(kv.code(), Code::InvalidArgument, "it reached Kv");
        soon(HealthClient::new(channel.clone()).check(HealthCheckRequest::default())).await.unwrap();
        let stranger = soon(AdminClient::new(channel).status(StatusRequest {})).await.unwrap_err();
        assert_eq!(stranger.code(), Code::Unimplemented);
        let words = "this port does not serve \"driftkv.v1.Admin\"; it serves driftkv.v1.Kv, health and reflection";
        assert_eq!(stranger.message(), words);
    }
}
