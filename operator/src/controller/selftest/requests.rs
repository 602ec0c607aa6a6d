//! What a selftest asks of the cluster: each key is put, read, replaced, read, deleted and read, with quorums that overlap.
//! A read must bring exactly what was written last, since W and R of three replicas meet in one.
//! Not here: how the cluster came to be (`selftest.rs`).

use std::time::Duration;

use driftkv_proto::client::{Client, GetOptions, PutOptions};
use driftkv_proto::v1::GetReply;

const BUCKET: &str = "selftest";
const KEYS: u32 = 20;
/// Of N=3: two and two meet in one.
const QUORUM: u32 = 2;

/// Errors: the first request that failed, or brought something else than was written.
///
/// `within`: for each request, attempts at other nodes included.
pub(super) async fn through_quorums(address: &str, within: Duration) -> Result<(), String> {
    let client = Client::connect(vec![address.to_owned()]).map_err(|error| format!("{address}: {error}"))?;
    for number in 0..KEYS {
        one(&client, &format!("key-{number}"), within).await?;
    }
    Ok(())
}

async fn one(client: &Client, key: &str, within: Duration) -> Result<(), String> {
    put(client, key, "first", PutOptions::default(), within).await?;
    let seen = expect(client, key, &["first"], within).await?;
    let after = |reply: GetReply| PutOptions { context: reply.context, ..PutOptions::default() };
    put(client, key, "second", after(seen), within).await?;
    let seen = expect(client, key, &["second"], within).await?;
    let options = PutOptions { w: QUORUM, timeout: Some(within), ..after(seen) };
    client.delete(BUCKET, key.to_owned(), options).await.map_err(|error| format!("delete {key}: {error}"))?;
    expect(client, key, &[], within).await.map(drop)
}

async fn put(client: &Client, key: &str, value: &str, options: PutOptions, within: Duration) -> Result<(), String> {
    let options = PutOptions { w: QUORUM, timeout: Some(within), ..options };
    let put = client.put(BUCKET, key.to_owned(), value.to_owned(), options).await;
    put.map(drop).map_err(|error| format!("put {key}: {error}"))
}

async fn expect(client: &Client, key: &str, values: &[&str], within: Duration) -> Result<GetReply, String> {
    let options = GetOptions { r: QUORUM, timeout: Some(within), ..GetOptions::default() };
    let reply = client.get(BUCKET, key.to_owned(), options).await.map_err(|error| format!("get {key}: {error}"))?;
    let found: Vec<String> =
        reply.siblings.iter().map(|sibling| String::from_utf8_lossy(&sibling.value).into_owned()).collect();
    if found == values { Ok(reply) } else { Err(format!("get {key}: {found:?}, written was {values:?}")) }
}
