//! Accepts connections: as many as the limit on open files leaves room for, and says so to those it has no room for.
//! Invariants: the files of the store and the streams of peers are never crowded out by clients; a full table of open files
//! costs a pause, no spinning; a connection that does not greet from the start is closed, at once if another needs its place;
//! one that idles later may stay.
//! Not here: what a connection may ask (`api`), how dead ones are found (HTTP/2 keepalive, `server`).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::api::replies::Unsent;

/// Open files kept for the store, the listeners and the streams of peers and operators.
const FILES_KEPT: u64 = 1_024;
/// What is taken where the system sets no limit.
const FILES_UNLIMITED: u64 = 1 << 20;
/// Connections of peers, and of operators: enough for the largest cluster, both classes of stream.
pub const OTHERS_MAX: usize = 4_096;
/// How long a new connection may take to greet while there is room for more.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How an HTTP/2 client greets (RFC 9113, 3.4).
const GREETING: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// When more of a greeting that has begun is looked for: seldom, since thousands may begin one and leave it at that. Clients send
/// theirs in one piece, and what is there already is never waited for.
const GREETING_POLL: Duration = Duration::from_millis(250);
/// So many new connections are remembered before those that have spoken are looked for.
const SILENT_FEW: usize = 1_024;
/// Refused ones that have not gone yet.
const REFUSED_MAX: usize = 128;
const REFUSED_PATIENCE: Duration = Duration::from_secs(1);
/// How long accepting rests after the system gave no more files.
const REST: Duration = Duration::from_millis(50);

/// Raises this process's limit on open files as far as the system lets it. Says how many clients there is room for.
pub fn raise_file_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(FILES_UNLIMITED);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, wanted, "the limit on open files stays as it is");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(FILES_UNLIMITED);
    usize::try_from(files.saturating_sub(FILES_KEPT).max(files / 4))
        .unwrap_or(usize::MAX)
        .clamp(16, Semaphore::MAX_PERMITS)
}

/// The connections that `listener` accepts, `connections_max` at a time. Ends when the receiver is dropped.
pub fn accept(listener: TcpListener, connections_max: usize) -> ReceiverStream<io::Result<Connection>> {
    let (to, accepted) = mpsc::channel(1);
    tokio::spawn(accept_all(listener, connections_max, to));
    ReceiverStream::new(accepted)
}

async fn accept_all(listener: TcpListener, connections_max: usize, to: mpsc::Sender<io::Result<Connection>>) {
    let mut door = Door::new(connections_max, to);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.to.closed() => return,
        };
        match stream {
            Ok((stream, _)) => door.admit(stream).await,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(REST).await;
            }
        }
    }
}

/// Lets connections in as long as there is room.
struct Door {
    connections_max: usize,
    room: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    silent: Silent,
    /// Somebody was refused since there was room last.
    is_full: bool,
    to: mpsc::Sender<io::Result<Connection>>,
}

impl Door {
    fn new(connections_max: usize, to: mpsc::Sender<io::Result<Connection>>) -> Door {
        let (room, refused) = (Semaphore::new(connections_max), Semaphore::new(REFUSED_MAX));
        let (room, refused) = (Arc::new(room), Arc::new(refused));
        Door { connections_max, room, refused, silent: Silent::default(), is_full: false, to }
    }

    async fn admit(&mut self, stream: TcpStream) {
        // Without it small answers wait for the acknowledgement of earlier ones; a failure shows at the first read.
        let _ = stream.set_nodelay(true);
        match self.place().await {
            Some(permit) => {
                self.is_full = false;
                self.silent.push(Connection { stream, _permit: permit }, self.to.clone());
            }
            None => self.refuse(stream),
        }
    }

    /// A free place, or that of the connection that has been silent for longest.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                return Some(permit);
            }
            if !self.silent.close_oldest().await {
                return None;
            }
        }
    }

    fn refuse(&mut self, stream: TcpStream) {
        let connections_max = self.connections_max;
        if !self.is_full {
            tracing::warn!(connections_max, "no room for another connection; refusing until one closes");
        }
        self.is_full = true;
        if let Ok(permit) = Arc::clone(&self.refused).try_acquire_owned() {
            tokio::spawn(refuse(stream, connections_max, permit));
        }
    }
}

/// Connections that have said nothing yet, the oldest first. Each has a place, so there are no more than places; those that
/// have spoken meanwhile are at most as many again.
struct Silent {
    waiting: VecDeque<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// When those that have spoken are next looked for.
    prune_at: usize,
}

impl Default for Silent {
    fn default() -> Silent {
        Silent { waiting: VecDeque::new(), prune_at: SILENT_FEW }
    }
}

impl Silent {
    /// Passes `connection` on `to` the server once it has said something.
    fn push(&mut self, connection: Connection, to: mpsc::Sender<io::Result<Connection>>) {
        if self.waiting.len() >= self.prune_at {
            self.waiting.retain(|(_, task)| !task.is_finished());
            self.prune_at = SILENT_FEW.max(self.waiting.len().saturating_mul(2));
        }
        let (close, closed) = oneshot::channel();
        self.waiting.push_back((close, tokio::spawn(hand_over(connection, to, closed))));
    }

    /// Closes the oldest one, unless it speaks just now, and says whether there was any.
    async fn close_oldest(&mut self) -> bool {
        while let Some((close, task)) = self.waiting.pop_front() {
            if !task.is_finished() {
                drop(close);
                // Its place is free when its task has ended, which is now a matter of one poll.
                let _ = task.await;
                return true;
            }
        }
        false
    }
}

/// Waits until `connection` says something or nobody waits for that any more.
async fn hand_over(connection: Connection, to: mpsc::Sender<io::Result<Connection>>, closed: oneshot::Receiver<()>) {
    let has_greeted = tokio::select! {
        biased;
        greeted = timeout(SILENCE_MAX, greeted(&connection.stream)) => matches!(greeted, Ok(Ok(true))),
        _ = closed => false,
    };
    if has_greeted {
        // Not here: whoever closes silent ones waits for this task, and the server may be slow to take one that has spoken.
        // The receiver is gone only when the server ends.
        tokio::spawn(async move { to.send(Ok(connection)).await });
    }
}

/// Waits for a whole greeting, or for something else, which is the server's to refuse. False: the client has gone.
async fn greeted(stream: &TcpStream) -> io::Result<bool> {
    let mut bytes = [0; GREETING.len()];
    loop {
        // Looked at, not taken: the bytes are the server's. Readiness alone may be announced for nothing.
        let count = stream.peek(&mut bytes).await?;
        let said = bytes.get(..count).unwrap_or_default();
        if count == 0 || count == GREETING.len() || !GREETING.starts_with(said) {
            return Ok(count > 0);
        }
        sleep(GREETING_POLL).await;
    }
}

/// Tells a client in HTTP/2's own words (RFC 9113, 6.8) why it is not served, and waits a moment for it to hear that.
async fn refuse(mut stream: TcpStream, connections_max: usize, _permit: OwnedSemaphorePermit) {
    let words = format!("no room: {connections_max} connections are open, as many as the limit on open files allows");
    let told = async {
        stream.write_all(&go_away(&words)).await?;
        stream.shutdown().await?;
        // A connection closed with bytes unread is reset, and the words may be lost with it.
        let mut ignored = [0; 1_024];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(REFUSED_PATIENCE, told).await;
}

/// Empty SETTINGS, then GOAWAY with ENHANCE_YOUR_CALM and `words` as debug data.
fn go_away(words: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ENHANCE_YOUR_CALM: u32 = 11;
    let mut frames = SETTINGS.to_vec();
    let length = (words.len() as u32).saturating_add(8).to_be_bytes();
    frames.extend(length.iter().skip(1));
    frames.extend([7, 0, 0, 0, 0, 0]);
    frames.extend(0u32.to_be_bytes());
    frames.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    frames.extend(words.as_bytes());
    frames
}

/// What every request knows of its connection.
#[derive(Clone, Debug, Default)]
pub struct ConnectInfo {
    /// Replies that it has not taken yet.
    pub unsent: Unsent,
}

/// An accepted connection; its place is free again when it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        ConnectInfo::default()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use driftkv_core::config::Limits;
    use driftkv_proto::v1::GetRequest;
    use driftkv_proto::v1::kv_client::KvClient;
    use tonic::transport::{Endpoint, Server};
    use tonic::{Code, Status};

    use super::*;
    use crate::api::kv::KvApi;
    use crate::api::loopback::soon;
    use crate::driver::Handle;

    /// A `Kv` with room for so many connections.
    async fn serve(connections_max: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let kv = KvApi::new(Handle::new().0, Limits::default()).into_service();
        let connections = accept(listener, connections_max);
        tokio::spawn(Server::builder().serve_with_incoming(kv, connections));
        address
    }

    /// A connection of its own, and what it is answered: `InvalidArgument` if it is served.
    async fn ask(address: &str) -> (Option<KvClient<tonic::transport::Channel>>, Status) {
        let channel = match soon(Endpoint::new(format!("http://{address}")).unwrap().connect()).await {
            Ok(channel) => channel,
            Err(error) => return (None, Status::unavailable(format!("{error:?}"))),
        };
        let mut kv = KvClient::new(channel);
        let status = soon(kv.get(GetRequest { mode: 9, ..Default::default() })).await.unwrap_err();
        (Some(kv), status)
    }

    #[tokio::test]
    async fn a_client_too_many_is_told_why_and_served_when_another_has_gone() {
        let address = serve(2).await;
        let (first, second) = (ask(&address).await, ask(&address).await);
        assert_eq!((first.1.code(), second.1.code()), (Code::InvalidArgument, Code::InvalidArgument));
        let (_, refused) = ask(&address).await;
        assert!(format!("{refused:?}").contains("no room: 2 connections are open"), "{refused:?}");
        drop(first);
        let served = async {
            while ask(&address).await.1.code() != Code::InvalidArgument {
                sleep(Duration::from_millis(10)).await;
            }
        };
        soon(served).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_gives_its_place_back() {
        let address = serve(1).await;
        let mut silent = TcpStream::connect(&address).await.unwrap();
        let mut bytes = Vec::new();
        assert_eq!(soon(silent.read_to_end(&mut bytes)).await.unwrap(), 0, "closed without a word");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_ends_its_greeting_gives_its_place_back() {
        let address = serve(1).await;
        let mut slow = TcpStream::connect(&address).await.unwrap();
        slow.write_all(b"PRI * HT").await.unwrap();
        // Closed with bytes unread, it may be reset.
        let gone = soon(slow.read(&mut [0])).await;
        assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
    }

    #[tokio::test]
    async fn a_new_connection_takes_the_place_of_the_one_silent_for_longest() {
        let address = serve(3).await;
        let (_speaker, served) = ask(&address).await;
        assert_eq!(served.code(), Code::InvalidArgument);
        let mut oldest = TcpStream::connect(&address).await.unwrap();
        let mut younger = TcpStream::connect(&address).await.unwrap();
        let (_second, served) = ask(&address).await;
        assert_eq!(served.code(), Code::InvalidArgument, "{served:?}");
        assert_eq!(soon(oldest.read(&mut [0])).await.unwrap(), 0, "closed without a word");
        younger.write_all(GREETING).await.unwrap();
        let (_third, refused) = ask(&address).await;
        assert!(format!("{refused:?}").contains("no room: 3 connections are open"), "{refused:?}");
    }
}
