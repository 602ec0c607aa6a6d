//! Asks a node's HTTP port and reads numbers off its page of metrics.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cluster::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// The status code and body of one GET; `None`: nobody answers there.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{address}{path} did not answer in {PATIENCE:?}"))
}

/// One page of metrics.
pub struct Page(String);

impl Page {
    /// Of node `index`.
    pub async fn of(cluster: &Cluster, index: usize) -> Page {
        let (status, body) = get(cluster.nodes[index].metrics, "/metrics").await.unwrap();
        assert!(status == 200 && body.ends_with("# EOF\n"), "{status} {body}");
        Page(body)
    }

    /// The sum of all samples of that name whose labels contain each of `labels`; fails if there is none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let samples = self.0.lines().filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (found, rest) = sample.split_once('{').unwrap_or((sample, ""));
            (found == name && labels.iter().all(|label| rest.contains(label))).then(|| value.parse::<f64>().unwrap())
        });
        let samples: Vec<f64> = samples.collect();
        assert!(!samples.is_empty(), "{name} {labels:?} is not in\n{}", self.0);
        samples.iter().sum()
    }
}
