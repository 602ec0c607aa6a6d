//! A way to the API server that can be cut: bytes are taken and kept, connections stay open, nothing is refused.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const PIECE_BYTES: usize = 16 * 1_024;

/// Passes everything on until it is cut or dropped.
pub struct Link {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Link {
    /// To `server`.
    pub fn to(server: SocketAddr) -> Link {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (is_cut, told) = watch::channel(false);
        tokio::spawn(accept(listener, server, told));
        Link { address, is_cut }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes nothing on from now on.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, told: watch::Receiver<bool>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        let told = told.clone();
        tokio::spawn(async move {
            let far = TcpStream::connect(server).await.expect("the API server");
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            tokio::join!(pass(near_in, far_out, told.clone()), pass(far_in, near_out, told));
        });
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut told: watch::Receiver<bool>,
) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = tokio::select! {
            biased;
            // An error: its owner is gone, and so are the connections.
            cut = told.wait_for(|is_cut| *is_cut) => match cut.map(drop) {
                Ok(()) => break,
                Err(_) => return,
            },
            read = from.read(&mut piece) => read.unwrap_or_default(),
        };
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
    // They stay open, and silent.
    let _ = told.changed().await;
}
