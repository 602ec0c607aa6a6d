//! Appends records on a thread of its own, behind a bounded queue.
//! Invariants: only whole lines are handed to the system, each at most a second after its record came; the end is synced.
//! A file that cannot be written ends the run: a history with holes proves nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Header, Record};

/// Records that may wait, about 4 MiB of them.
const QUEUE_MAX: usize = 8 * 1024;
const BATCH_MAX: usize = 256;
const BUFFER_BYTES: usize = 256 * 1024;
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// A history that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    /// Without the header.
    pub records: u64,
    /// Of the file.
    pub bytes: u64,
}

/// The way into a history.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    Record(Box<Record>),
    End(oneshot::Sender<io::Result<Written>>),
}

impl Writer {
    /// Makes the file at `path`, which must not be there, and begins it with `header`. Sets `stop` if it cannot go on.
    ///
    /// Needs a tokio runtime.
    pub(crate) fn create(path: &Path, header: &Header, stop: Arc<AtomicBool>) -> io::Result<Self> {
        Self::begin(OpenOptions::new().write(true).create_new(true).open(path)?, header, stop)
    }

    pub(super) fn begin(file: File, header: &Header, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let mut lines = Lines { file, buffer: Vec::new(), flushed: Instant::now(), records: 0, bytes: 0 };
        lines.add(header)?;
        lines.flush()?;
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || append(lines, messages, &runtime, &stop));
        Ok(Self { queue })
    }

    /// Takes a record, as soon as there is room.
    pub(crate) async fn push(&self, record: Record) {
        // The thread outlives everybody who pushes.
        let _ = self.queue.send(Message::Record(Box::new(record))).await;
    }

    /// The same on a thread that may block.
    pub(crate) fn push_blocking(&self, record: Record) {
        let _ = self.queue.blocking_send(Message::Record(Box::new(record)));
    }

    /// Everything that was pushed is on the disk.
    ///
    /// Errors: why it is not; also of earlier writes.
    pub(crate) async fn end(&self) -> io::Result<Written> {
        let (done, answer) = oneshot::channel();
        let _ = self.queue.send(Message::End(done)).await;
        answer.await.unwrap_or_else(|_| Err(io::Error::other("the writer of the history ended too early")))
    }
}

fn append(mut lines: Lines, mut messages: mpsc::Receiver<Message>, runtime: &Handle, stop: &AtomicBool) {
    let mut outcome = Ok(());
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        let left = FLUSH_INTERVAL.saturating_sub(lines.flushed.elapsed());
        let received = runtime.block_on(async { timeout(left, messages.recv_many(&mut batch, BATCH_MAX)).await });
        if received == Ok(0) {
            return;
        }
        for message in batch.drain(..) {
            match message {
                Message::Record(record) => outcome = outcome.and_then(|()| lines.record(&record)),
                Message::End(done) => {
                    let written = outcome.and_then(|()| lines.end());
                    let _ = done.send(written);
                    return;
                }
            }
        }
        if lines.is_due() {
            outcome = outcome.and_then(|()| lines.flush());
        }
        if outcome.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The file, and the whole lines that it has not got yet.
struct Lines {
    file: File,
    buffer: Vec<u8>,
    flushed: Instant,
    records: u64,
    bytes: u64,
}

impl Lines {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.records += 1;
        self.add(record)
    }

    fn add(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.buffer, line)?;
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn is_due(&self) -> bool {
        self.flushed.elapsed() >= FLUSH_INTERVAL
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.flushed = Instant::now();
        Ok(())
    }

    fn end(&mut self) -> io::Result<Written> {
        self.flush()?;
        self.file.sync_all()?;
        Ok(Written { records: self.records, bytes: self.bytes })
    }
}
