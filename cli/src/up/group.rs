//! Keeps the processes of a cluster running: one task a node starts it, waits for its end, and starts it again.
//! Invariants: after `stop` returns none of them runs; a node that keeps dying is started ever more rarely.

use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::plan::{NodePlan, Plan};
use super::process::{End, NodeProcess, log_tail};
use super::signals::Signals;
use crate::error::Failure;

/// How long a node may take to stop.
pub const STOP_MAX: Duration = Duration::from_secs(10);
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(15);
/// A node that lived this long is no longer counted as crashing over and over.
const LIVED_WELL: Duration = Duration::from_secs(15);
const EVENTS_MAX: usize = 64;

/// What happened to a node.
#[derive(Debug)]
pub enum Event {
    /// It runs.
    Started {
        /// Which.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// It died.
    Ended {
        /// Which.
        name: String,
        /// How.
        end: End,
        /// When it will be started again, from now; `None`: that would not help.
        wait: Option<Duration>,
    },
    /// It cannot even be started; tried again all the same.
    NotStarted {
        /// Which.
        name: String,
        /// Why.
        failure: Failure,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Stop,
    Kill,
}

/// The processes of one cluster.
#[derive(Debug)]
pub struct Group {
    tasks: JoinSet<Option<String>>,
    wish: watch::Sender<Wish>,
    events: mpsc::Receiver<Event>,
    names: Vec<String>,
    pids: Vec<Option<u32>>,
}

impl Group {
    /// Starts all nodes.
    pub fn start(plan: &Plan, program: &Path) -> Self {
        let (wish, _) = watch::channel(Wish::Run);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut tasks = JoinSet::new();
        for node in &plan.nodes {
            tasks.spawn(keep(program.to_owned(), node.clone(), wish.subscribe(), sender.clone()));
        }
        let names: Vec<String> = plan.nodes.iter().map(|node| node.name.clone()).collect();
        Self { tasks, wish, events, pids: vec![None; names.len()], names }
    }

    /// The next thing that happens.
    pub async fn next(&mut self) -> Event {
        let Some(event) = self.events.recv().await else {
            return std::future::pending().await;
        };
        let (name, pid) = match &event {
            Event::Started { name, pid } => (name, Some(*pid)),
            Event::Ended { name, .. } | Event::NotStarted { name, .. } => (name, None),
        };
        let slots = self.names.iter().zip(&mut self.pids);
        slots.filter(|(known, _)| *known == name).for_each(|(_, slot)| *slot = pid);
        event
    }

    /// Process ids in the nodes' order.
    pub fn pids(&self) -> &[Option<u32>] {
        &self.pids
    }

    /// Waits until a node dies, and says why.
    pub async fn first_death(&mut self, plan: &Plan) -> Failure {
        loop {
            match self.next().await {
                Event::Started { .. } => {}
                Event::NotStarted { failure, .. } => return failure,
                Event::Ended { name, end, .. } => {
                    let hint = plan.log(&name).map(log_tail).unwrap_or_default();
                    return Failure::failed(format!("{name} ended while starting ({})", end.how)).hint(hint);
                }
            }
        }
    }

    /// Stops all nodes, and kills those that take too long or, on one more signal, all. Names those killed.
    pub async fn stop(mut self, signals: &mut Signals) -> Vec<String> {
        // Order: nobody reads events any more; a task that waits to send one must not wait for ever.
        self.events.close();
        self.wish.send_replace(Wish::Stop);
        let mut killed = Vec::new();
        loop {
            tokio::select! {
                task = self.tasks.join_next() => match task {
                    Some(outcome) => killed.extend(outcome.ok().flatten()),
                    None => return killed,
                },
                () = signals.next() => { self.wish.send_replace(Wish::Kill); }
            }
        }
    }
}

/// Keeps one node running until told otherwise. Returns its name if it had to be killed.
async fn keep(
    program: std::path::PathBuf,
    node: NodePlan,
    mut wish: watch::Receiver<Wish>,
    events: mpsc::Sender<Event>,
) -> Option<String> {
    let mut wait = WAIT_MIN;
    while *wish.borrow() == Wish::Run {
        let started = Instant::now();
        match NodeProcess::start(&program, &node) {
            Ok(mut process) => {
                let _ = events.send(Event::Started { name: node.name.clone(), pid: process.pid() }).await;
                let end = tokio::select! {
                    end = process.ended() => end,
                    () = changed(&mut wish) => return stop(process, &mut wish).await.then_some(node.name),
                };
                wait = next_wait(wait, started.elapsed());
                let (is_final, again) = (end.is_final, (!end.is_final).then_some(wait));
                let _ = events.send(Event::Ended { name: node.name.clone(), end, wait: again }).await;
                if is_final {
                    return None;
                }
            }
            Err(failure) => {
                wait = next_wait(wait, Duration::ZERO);
                let _ = events.send(Event::NotStarted { name: node.name.clone(), failure }).await;
            }
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = changed(&mut wish) => {}
        }
    }
    None
}

/// Waits until the node should no longer run.
async fn changed(wish: &mut watch::Receiver<Wish>) {
    let _ = wish.wait_for(|wish| *wish != Wish::Run).await;
}

/// Ends a process gracefully if it can be; true if it had to be killed.
async fn stop(mut process: NodeProcess, wish: &mut watch::Receiver<Wish>) -> bool {
    process.terminate();
    let impatience = async {
        let _ = wish.wait_for(|wish| *wish == Wish::Kill).await;
    };
    tokio::select! {
        _ = process.ended() => return false,
        () = sleep(STOP_MAX) => {}
        () = impatience => {}
    }
    process.kill();
    process.ended().await;
    true
}

fn next_wait(last: Duration, lived: Duration) -> Duration {
    if lived >= LIVED_WELL { WAIT_MIN } else { (last * 2).min(WAIT_MAX) }
}

#[cfg(test)]
mod tests {
    use super::{LIVED_WELL, WAIT_MAX, WAIT_MIN, next_wait};
    use std::time::Duration;

    #[test]
    fn a_node_that_keeps_dying_is_started_ever_more_rarely() {
        let mut wait = WAIT_MIN;
        for _ in 0..10 {
            let next = next_wait(wait, Duration::from_secs(1));
            assert!(next > wait || next == WAIT_MAX);
            wait = next;
        }
        assert_eq!(wait, WAIT_MAX);
        assert_eq!(next_wait(wait, LIVED_WELL), WAIT_MIN);
    }
}
