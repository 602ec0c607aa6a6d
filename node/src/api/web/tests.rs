//! The port over real sockets, with an engine that the test plays.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;

use driftkv_core::effect::AdminRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{CONNECTIONS_MAX, Web};
use crate::api::loopback::{next, soon};
use crate::driver::{Handle, Inbox, Job};
use crate::faults::Faults;

async fn start() -> (SocketAddr, Inbox, watch::Sender<bool>) {
    let (handle, inbox) = Handle::new();
    let (closing, closed) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Web::new(handle, Faults::new("n0", true)).serve(listener, closed));
    (address, inbox, closing)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: n0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn alive_and_ready_differ_and_both_end_with_the_engine() {
    let (address, inbox, _closing) = start().await;
    assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200 OK"));
    let not_ready = ask(address, "GET /readyz").await;
    assert!(
        not_ready.starts_with("HTTP/1.1 503") && not_ready.contains("not ready: no client requests"),
        "{not_ready}"
    );
    inbox.serves(true);
    assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200 OK"));
    drop(inbox);
    for path in ["/livez", "/readyz"] {
        assert!(ask(address, &format!("GET {path}")).await.starts_with("HTTP/1.1 503"), "{path}");
    }
}

#[tokio::test]
async fn a_page_is_served_without_an_engine_that_answers() {
    let (address, mut inbox, _closing) = start().await;
    let (page, job) = tokio::join!(ask(address, "GET /metrics"), next(&mut inbox));
    assert!(matches!(job, Job::Admin { request: AdminRequest::Status, .. }));
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.contains("driftkv_syncs_total 0") && !body.contains("driftkv_keys"), "{body}");
    assert!(body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_with_what_is_served() {
    let (address, _inbox, _closing) = start().await;
    let other = ask(address, "GET /metric").await;
    assert!(other.starts_with("HTTP/1.1 404") && other.contains("there are /metrics, /livez and /readyz"), "{other}");
    let post = ask(address, "POST /livez").await;
    assert!(post.starts_with("HTTP/1.1 405") && post.contains("allow: GET, HEAD"), "{post}");
}

#[tokio::test]
async fn connections_that_say_nothing_are_cut_off_and_make_room() {
    let (address, _inbox, _closing) = start().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200 OK"));
    let mut rest = Vec::new();
    soon(idle.remove(0).read_to_end(&mut rest)).await.unwrap();
}
