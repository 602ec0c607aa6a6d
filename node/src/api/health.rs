//! `grpc.health.v1` and server reflection, on the client and on the admin port.
//! Alive and ready are told apart: the overall status "" and `driftkv.v1.Admin` are SERVING while the engine's loop turns (`driver/turning`), in every state;
//! `driftkv.v1.Kv` is while core takes requests: with a layout, past the rollback fence, not stopping. `/livez` and `/readyz`
//! (`api/web`) say the same. So a probe of "" restarts no node that only waits for its peers.
//! Not here: what makes core serve (core's `Status`).

use std::time::Duration;

use driftkv_proto::FILE_DESCRIPTOR_SET;
use driftkv_proto::v1::{admin_server, kv_server};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{HealthServer, SERVICE_NAME as HEALTH};
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use crate::driver::Turning;

/// How often it is looked whether the loop turns.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// What is served as long as the process does its work.
const ALIVE: [&str; 2] = ["", admin_server::SERVICE_NAME];
/// What is served while client requests are taken.
const READY: [&str; 1] = [kv_server::SERVICE_NAME];

/// The node's health as load balancers and probes ask for it.
#[derive(Debug)]
pub struct Health {
    reporter: HealthReporter,
    serving: watch::Receiver<bool>,
    turning: Turning,
}

impl Health {
    /// Follows `serving` and `turning` once [`Health::watch`] runs; until then the node is alive and not ready.
    pub async fn new(serving: watch::Receiver<bool>, turning: Turning) -> Health {
        let health = Health { reporter: HealthReporter::new(), serving, turning };
        health.tell(&ALIVE, true).await;
        health.tell(&READY, false).await;
        health
    }

    /// The service; any number of ports may have one.
    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Passes on every change until the engine ends, and then that it has.
    pub async fn watch(mut self) {
        let (mut was_alive, mut was_ready) = (true, false);
        loop {
            let is_alive = !self.turning.is_stuck();
            let is_ready = is_alive && *self.serving.borrow_and_update();
            if is_alive != was_alive {
                tracing::warn!(alive = is_alive, "the engine's loop is stuck, or turns again");
                self.tell(&ALIVE, is_alive).await;
            }
            if is_ready != was_ready {
                self.tell(&READY, is_ready).await;
            }
            (was_alive, was_ready) = (is_alive, is_ready);
            if matches!(timeout(LOOK_INTERVAL, self.serving.changed()).await, Ok(Err(_))) {
                self.tell(&READY, false).await;
                return self.tell(&ALIVE, false).await;
            }
        }
    }

    async fn tell(&self, services: &[&str], holds: bool) {
        let status = if holds { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in services {
            self.reporter.set_service_status(*service, status).await;
        }
    }
}

/// Describes the whole contract and lists `service` and health as what this port serves.
///
/// Errors: the descriptors built into this program are damaged.
pub fn reflection(
    service: &str,
) -> Result<ServerReflectionServer<impl ServerReflection + use<>>, tonic_reflection::server::Error> {
    Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(service)
        .with_service_name(HEALTH)
        .build_v1()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use driftkv_proto::v1::kv_server;
    use tokio::sync::watch;
    use tonic::Code;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    use super::{ALIVE, Health, READY, reflection};
    use crate::api::loopback::{connect, serve, soon};
    use crate::driver::Turning;

    #[tokio::test]
    async fn ready_follows_the_engine_and_alive_lasts_until_its_end() {
        let (state, serving) = watch::channel(false);
        let health = Health::new(serving, Turning::default()).await;
        let address = serve(health.service()).await;
        let watching = tokio::spawn(health.watch());
        let mut client = HealthClient::new(connect(&address).await);
        let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
        let stranger = soon(client.check(ask("no.such.Service"))).await.unwrap_err();
        assert_eq!(stranger.code(), Code::NotFound);
        let mut watch = async |services: &[&str]| {
            let mut streams = Vec::new();
            for service in services {
                streams.push(soon(client.watch(ask(service))).await.unwrap().into_inner());
            }
            streams
        };
        let (mut alive, mut ready) = (watch(&ALIVE).await, watch(&READY).await);
        let expect = async |seen: &mut Vec<tonic::Streaming<_>>, expected| {
            for stream in seen {
                let told: tonic_health::pb::HealthCheckResponse = soon(stream.message()).await.unwrap().unwrap();
                assert_eq!(told.status(), expected);
            }
        };
        expect(&mut alive, ServingStatus::Serving).await;
        expect(&mut ready, ServingStatus::NotServing).await;
        state.send_replace(true);
        expect(&mut ready, ServingStatus::Serving).await;
        state.send_replace(false);
        expect(&mut ready, ServingStatus::NotServing).await;
        drop(state);
        // A change of what is alive before now would come first.
        expect(&mut alive, ServingStatus::NotServing).await;
        soon(watching).await.unwrap();
    }

    #[tokio::test]
    async fn a_stuck_loop_is_neither_alive_nor_ready_until_it_turns_again() {
        let (_state, serving) = watch::channel(true);
        let turning = Turning::stuck();
        let health = Health::new(serving, turning.clone()).await;
        let address = serve(health.service()).await;
        tokio::spawn(health.watch());
        let mut client = HealthClient::new(connect(&address).await);
        let mut expect = async |expected: ServingStatus| {
            for service in [ALIVE[0], READY[0]] {
                let ask = HealthCheckRequest { service: service.to_owned() };
                let mut told = soon(client.watch(ask)).await.unwrap().into_inner();
                while soon(told.message()).await.unwrap().unwrap().status() != expected {}
            }
        };
        expect(ServingStatus::NotServing).await;
        turning.rest();
        expect(ServingStatus::Serving).await;
    }

    #[tokio::test]
    async fn reflection_lists_what_the_port_serves_and_describes_it() {
        let address = serve(reflection(kv_server::SERVICE_NAME).unwrap()).await;
        let mut client = ServerReflectionClient::new(connect(&address).await);
        let mut ask = async |message_request| {
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
            let replies = soon(client.server_reflection_info(tokio_stream::iter([request]))).await.unwrap();
            soon(replies.into_inner().message()).await.unwrap().unwrap().message_response.unwrap()
        };
        let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
            panic!("another answer than was asked for");
        };
        let mut names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        names.sort();
        assert_eq!(names, ["driftkv.v1.Kv", "grpc.health.v1.Health"]);
        let symbol = MessageRequest::FileContainingSymbol("driftkv.v1.Kv.Session".to_owned());
        assert!(matches!(ask(symbol).await, MessageResponse::FileDescriptorResponse(_)));
    }
}
