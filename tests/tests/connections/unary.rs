//! Many unary calls on one connection whose client lets no reply through: HTTP/2 by hand (RFC 9113), with windows of no byte.

use driftkv_proto::v1::GetRequest;
use driftkv_tests::cluster::SOON;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{growth_bytes, serves, with_large_value};

const CALLS: u32 = 600;
const CALLS_AT_ONCE: u32 = 20;
const VALUE_BYTES: usize = 1 << 20;
/// Replies of a MiB that a node keeps for one connection: 32 MiB of them.
const HELD_MAX: u32 = 32;
/// Those, each once more on its way, and what the engine and its requests take. Without a bound: 600 MiB and more.
const GROWTH_BYTES_MAX: u64 = 192 << 20;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header field as it is, without any table (RFC 7541, 6.2.2); all lengths are below 127.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// `Kv.Get` of the large value.
fn call(stream: u32) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/driftkv.v1.Kv/Get"),
        (":authority", "node"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let headers: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let get = GetRequest { bucket: "b".to_owned(), key: "large".into(), ..GetRequest::default() }.encode_to_vec();
    let message = [&[0][..], &(get.len() as u32).to_be_bytes(), &get].concat();
    [frame(HEADERS, END_HEADERS, stream, &headers), frame(0, END_STREAM, stream, &message)].concat()
}

/// Reads frames until `calls` have headers; how many of them ended with these, as refusals do.
async fn refusals(socket: &mut TcpStream, calls: u32) -> u32 {
    let (mut answered, mut refused) = (0, 0);
    while answered < calls {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            answered += 1;
            refused += u32::from(head[4] & END_STREAM != 0);
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unary_replies_left_unread_cost_one_connection_bounded_memory_and_the_rest_is_refused() {
    let (cluster, client, before) = with_large_value(VALUE_BYTES).await;
    let mut socket = TcpStream::connect(cluster.nodes[0].client).await.unwrap();
    let no_window = [&[0, 4][..], &0u32.to_be_bytes()].concat();
    let greeting = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &no_window)].concat();
    socket.write_all(&greeting).await.unwrap();
    let (mut most, mut refused) = (0, 0);
    for first in (0..CALLS).step_by(CALLS_AT_ONCE as usize) {
        let calls: Vec<u8> = (first..first + CALLS_AT_ONCE).flat_map(|number| call(2 * number + 1)).collect();
        socket.write_all(&calls).await.unwrap();
        let answered = tokio::time::timeout(SOON, refusals(&mut socket, CALLS_AT_ONCE)).await;
        refused += answered.expect("every call has headers soon, whether or not its reply may follow");
        most = most.max(growth_bytes(&cluster.nodes[0], before));
    }
    println!("{refused} of {CALLS} calls were refused; the node holds {} MiB more", most >> 20);
    serves(&client, "during", 5).await;
    assert!(refused >= CALLS - HELD_MAX, "{refused} of {CALLS} were refused");
    assert!(most < GROWTH_BYTES_MAX, "one connection costs {} MiB", most >> 20);
    drop(socket);
    serves(&client, "after", 5).await;
}
