//! Lines of many nodes in the order of their times.
//! Of each node one line is compared, and at most `HELD_MAX` wait behind it. A log that ends is merged exactly. One that is followed may be
//! silent for ever: then a line is shown when it has waited `WINDOW` for an older one, or when no more can be held.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::lines::Line;

/// Lines of a node that wait.
pub const HELD_MAX: usize = 512;
/// How late a line of another node may come and still be in order.
const WINDOW: Duration = Duration::from_millis(300);

/// A line, and when it was read.
pub type Arrival = (Instant, Line);

struct Node {
    name: String,
    lines: Receiver<Arrival>,
    head: Option<Arrival>,
    has_ended: bool,
}

/// All of them.
pub struct Merge {
    nodes: Vec<Node>,
    is_endless: bool,
}

impl Merge {
    /// `is_endless`: the logs are followed.
    pub fn new(is_endless: bool) -> Merge {
        Merge { nodes: Vec::new(), is_endless }
    }

    /// One more node.
    pub fn add(&mut self, name: String, lines: Receiver<Arrival>) {
        self.nodes.push(Node { name, lines, head: None, has_ended: false });
    }

    /// The next line and its node; `None`: all have ended. Nothing is lost if this is dropped before it is done.
    pub async fn next(&mut self) -> Option<(String, Line)> {
        loop {
            poll_fn(|context| Poll::Ready(self.fill(context))).await;
            let is_waiting = self.nodes.iter().any(|node| node.head.is_none() && !node.has_ended);
            match self.oldest().map(|node| (node.due(), node.lines.capacity() == 0)) {
                None if !is_waiting => return None,
                None => self.more().await,
                Some(_) if !is_waiting => return self.take(),
                Some((due, is_full)) if self.is_endless => {
                    if is_full || due <= Instant::now() {
                        return self.take();
                    }
                    let _ = timeout_at(due, self.more()).await;
                }
                Some(_) => self.more().await,
            }
        }
    }

    /// Until something has come.
    async fn more(&mut self) {
        poll_fn(|context| if self.fill(context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Takes what has come for nodes whose last line was shown; whether anything has.
    fn fill(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_news = false;
        for node in self.nodes.iter_mut().filter(|node| node.head.is_none() && !node.has_ended) {
            match node.lines.poll_recv(context) {
                Poll::Pending => continue,
                Poll::Ready(Some(line)) => node.head = Some(line),
                Poll::Ready(None) => node.has_ended = true,
            }
            has_news = true;
        }
        has_news
    }

    /// The node with the oldest line: what has no time is shown at once, and of equals the first node's.
    fn oldest(&self) -> Option<&Node> {
        self.nodes.iter().filter(|node| node.head.is_some()).min_by_key(|node| node.time())
    }

    fn take(&mut self) -> Option<(String, Line)> {
        let node = self.nodes.iter_mut().filter(|node| node.head.is_some()).min_by_key(|node| node.time())?;
        let (_, line) = node.head.take()?;
        Some((node.name.clone(), line))
    }
}

impl Node {
    fn time(&self) -> Option<Timestamp> {
        self.head.as_ref().and_then(|(_, line)| line.time)
    }

    fn due(&self) -> Instant {
        self.head.as_ref().map_or_else(Instant::now, |(arrived, _)| *arrived + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use k8s_openapi::jiff::Timestamp;
    use tokio::sync::mpsc::{Sender, channel};
    use tokio::time::{Instant, timeout};

    use super::{HELD_MAX, Line, Merge, WINDOW};

    fn line(second: i64) -> Line {
        Line { time: Some(Timestamp::from_second(second).unwrap()), text: second.to_string() }
    }

    fn merge(is_endless: bool, nodes: usize) -> (Merge, Vec<Sender<super::Arrival>>) {
        let mut merge = Merge::new(is_endless);
        let add = |index| {
            let (sender, receiver) = channel(HELD_MAX);
            merge.add(format!("demo-{index}"), receiver);
            sender
        };
        let senders = (0..nodes).map(add).collect();
        (merge, senders)
    }

    async fn send(sender: &Sender<super::Arrival>, seconds: impl IntoIterator<Item = i64>) {
        for second in seconds {
            sender.send((Instant::now(), line(second))).await.unwrap();
        }
    }

    async fn rest(merge: &mut Merge) -> Vec<String> {
        let mut shown = Vec::new();
        while let Some((node, line)) = merge.next().await {
            shown.push(format!("{node} {}", line.text));
        }
        shown
    }

    #[tokio::test]
    async fn logs_that_end_come_in_the_order_of_time_however_late_a_node_is() {
        let (mut merge, mut senders) = merge(false, 3);
        send(&senders[0], [1, 4, 5]).await;
        send(&senders[2], [3]).await;
        let late = senders.remove(1);
        let task = tokio::spawn(async move {
            tokio::task::yield_now().await;
            send(&late, [2, 4, 6]).await;
        });
        drop(senders);
        let expected = ["demo-0 1", "demo-1 2", "demo-2 3", "demo-0 4", "demo-1 4", "demo-0 5", "demo-1 6"];
        assert_eq!(rest(&mut merge).await, expected);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_holds_up_what_is_followed_for_a_moment_only() {
        let (mut merge, senders) = merge(true, 2);
        let began = Instant::now();
        send(&senders[0], [5, 6]).await;
        send(&senders[1], [4]).await;
        let mut shown = Vec::new();
        for _ in 0..3 {
            shown.push(merge.next().await.unwrap().1.text);
        }
        assert_eq!(shown, ["4", "5", "6"]);
        let took = began.elapsed();
        assert!(took >= WINDOW && took < 2 * WINDOW, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_says_more_than_can_be_held_waits_for_nobody() {
        let (mut merge, senders) = merge(true, 2);
        let began = Instant::now();
        send(&senders[0], [0]).await;
        assert!(timeout(WINDOW / 10, merge.next()).await.is_err(), "the other node may have an older one");
        send(&senders[0], 1..=HELD_MAX as i64).await;
        assert_eq!(merge.next().await.unwrap().1.text, "0");
        assert!(began.elapsed() < WINDOW, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_has_no_time_is_shown_at_once() {
        let (mut merge, senders) = merge(false, 2);
        send(&senders[0], [1]).await;
        let untimed = Line { time: None, text: "panic".to_owned() };
        senders[1].send((Instant::now(), untimed)).await.unwrap();
        drop(senders);
        assert_eq!(rest(&mut merge).await, ["demo-1 panic", "demo-0 1"]);
    }
}
