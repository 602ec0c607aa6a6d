//! Create, update and delete, each with one fault at one call, at every call in turn.
//! The operator under test is `reconcile` with a `Context` of its own, pass after pass as its controller would begin them, so that
//! the number of a call means the same in every trial. `whole` tries the controller with its watches.
//! `CALLS=all`: every fault at every call. Else a crash at every call, at those that change something before it and after it, old
//! answers wherever the KVCluster is read, refusals wherever zones are, and the other faults at some calls.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::Client;

use crate::site::{Ended, IMAGES, Journey, Site};
use crate::verdict;
use crate::wire::{Call, Fault};

/// Trials at a time.
const WORKERS: usize = 6;
/// Passes over a settled cluster that must write nothing.
const QUIET_PASSES: usize = 100;
/// Faults that are tried at every so manieth call only, unless all are wanted.
const STRIDE: usize = 20;

/// What a user does to a KVCluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Create,
    Update,
    /// And makes it again, over its data.
    Delete,
}

const OPERATIONS: [Operation; 3] = [Operation::Create, Operation::Update, Operation::Delete];

#[derive(Clone, Copy, Debug)]
struct Trial {
    operation: Operation,
    at: usize,
    fault: Fault,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} at call {}", self.operation, self.fault, self.at)
    }
}

/// How things are after an operation without faults: objects by operation and image.
pub type References = BTreeMap<(Operation, usize), Vec<String>>;

/// What an operation without faults asks.
pub type Calls = BTreeMap<Operation, Vec<Call>>;

/// A site, and which of the images it has.
struct Desk {
    site: Site,
    image: usize,
    /// Whether a KVCluster was deleted here: later ones know less of how theirs began.
    is_adopted: bool,
}

/// One line of the table.
#[derive(Default)]
struct Row {
    trials: usize,
    fired: usize,
    converged: usize,
    longest: Duration,
}

struct Shared {
    client: Client,
    references: Arc<References>,
    /// How many calls an operation without faults takes.
    calls: BTreeMap<Operation, usize>,
    trials: Mutex<VecDeque<Trial>>,
    rows: Mutex<BTreeMap<(Operation, String), Row>>,
    wrong: Mutex<Vec<String>>,
}

/// All trials, whose ends must be those of `references`. `calls`: those of each operation. Errors: what was wrong, a line each.
pub async fn all(client: &Client, references: Arc<References>, calls: &Calls) -> Result<String, String> {
    let trials = Mutex::new(plan(calls));
    println!("{} trials", trials.lock().unwrap().len());
    let counts = calls.iter().map(|(operation, calls)| (*operation, calls.len())).collect();
    let shared = Shared {
        client: client.clone(),
        references,
        calls: counts,
        trials,
        rows: Mutex::default(),
        wrong: Mutex::default(),
    };
    let shared = Arc::new(shared);
    let workers: Vec<_> = (0..WORKERS).map(|number| tokio::spawn(work(Arc::clone(&shared), number))).collect();
    for worker in workers {
        worker.await.map_err(|error| error.to_string())?;
    }
    let table = table(calls, &shared.rows.lock().unwrap());
    let wrong = shared.wrong.lock().unwrap();
    if wrong.is_empty() {
        Ok(table)
    } else {
        Err(format!("{table}\n{} trials failed:\n{}", wrong.len(), wrong.join("\n")))
    }
}

/// Every operation without a fault: what it ends in, and which calls it takes.
pub async fn references(client: &Client) -> Result<(References, Calls), String> {
    let mut desk = Desk { site: Site::new(client, "reference").await, image: 0, is_adopted: false };
    let (mut references, mut calls) = (References::new(), BTreeMap::new());
    for operation in [
        Operation::Create,
        Operation::Update,
        Operation::Update,
        Operation::Delete,
        Operation::Update,
        Operation::Delete,
    ] {
        let journey = desk.perform(operation, None).await;
        let end = verdict::end_state(&desk.site).await;
        let mut wrong = journey.wrong;
        wrong.extend(verdict::wrong(&desk.site, &end, operation.replaced()).await);
        if !wrong.is_empty() {
            return Err(format!("{operation:?} without a fault: {}", wrong.join("; ")));
        }
        references.entry((operation, desk.image)).or_insert(end);
        // The shortest: where Kubernetes takes its time there are passes more, which no trial need come to.
        let known = calls.entry(operation).or_insert_with(|| journey.calls.clone());
        if journey.calls.len() < known.len() {
            *known = journey.calls;
        }
    }
    quiet(&desk.site).await?;
    Ok((references, calls))
}

/// A settled cluster is read, and not written.
async fn quiet(site: &Site) -> Result<(), String> {
    let operator = site.operator(None);
    let cluster = site.get().await.expect("the KVCluster");
    for pass in 1..=QUIET_PASSES {
        if let Ended::Crashed | Ended::Done(Err(_)) = operator.pass(&cluster).await {
            return Err(format!("pass {pass} over a settled cluster failed"));
        }
    }
    let writes = operator.wire.writes(0);
    println!(
        "{QUIET_PASSES} passes over a settled cluster: {} calls, {} writes",
        operator.wire.calls().len(),
        writes.len()
    );
    match writes.first() {
        Some(first) => Err(format!("{} writes to a settled cluster, the first: {first}", writes.len())),
        None if operator.wire.calls().len() < QUIET_PASSES => Err("the passes read nothing".to_owned()),
        None => Ok(()),
    }
}

/// Slow ones first.
fn plan(calls: &Calls) -> VecDeque<Trial> {
    let is_all = std::env::var("CALLS").is_ok_and(|calls| calls == "all");
    let others = [Fault::Refusal(409), Fault::Refusal(429), Fault::Refusal(500), Fault::Reset, Fault::Stale];
    let mut trials = VecDeque::new();
    for operation in OPERATIONS {
        let count = calls[&operation].len();
        let hangs: Vec<usize> = if is_all { (1..=count).collect() } else { vec![count / 5, count / 2] };
        trials.extend(hangs.into_iter().map(|at| Trial { operation, at, fault: Fault::Hang }));
    }
    for operation in OPERATIONS {
        for (at, call) in (1..).zip(&calls[&operation]) {
            trials.push_back(Trial { operation, at, fault: Fault::CrashAfter });
            // A read leaves nothing behind: whether it was carried out is all the same.
            if is_all || call.is_write() || call.path.starts_with("bootstrap") {
                trials.push_back(Trial { operation, at, fault: Fault::CrashBefore });
            }
            // Old answers matter most where the spec is read, refusals where a first layout gets its zones for good.
            let matters = |fault: Fault| match fault {
                Fault::Stale => call.is_of_the_cluster() && !call.is_write(),
                _ => call.path.starts_with("/api/v1/nodes/"),
            };
            let is_chosen =
                |index: usize, fault: Fault| is_all || matters(fault) || (at + index * 4).is_multiple_of(STRIDE);
            let chosen = others.iter().enumerate().filter(|(index, fault)| is_chosen(*index, **fault));
            trials.extend(chosen.map(|(_, fault)| Trial { operation, at, fault: *fault }));
        }
    }
    trials
}

async fn work(shared: Arc<Shared>, number: usize) {
    let mut desk: Option<Desk> = None;
    let mut made = 0;
    loop {
        let Some(trial) = shared.trials.lock().unwrap().pop_front() else { return };
        let fits = |desk: &Desk| trial.operation == Operation::Delete || !desk.is_adopted;
        if trial.operation == Operation::Create || !desk.as_ref().is_some_and(fits) {
            made += 1;
            let site = Site::new(&shared.client, &format!("trial-{number}-{made}")).await;
            let mut fresh = Desk { site, image: 0, is_adopted: false };
            if trial.operation != Operation::Create {
                fresh.perform(Operation::Create, None).await;
            }
            desk = Some(fresh);
        }
        let Some(at_hand) = desk.as_mut() else { return };
        if !attempt(&shared, at_hand, trial).await {
            desk = None;
        }
    }
}

/// Whether all went well.
async fn attempt(shared: &Shared, desk: &mut Desk, trial: Trial) -> bool {
    let began = Instant::now();
    let journey = desk.perform(trial.operation, Some((trial.at, trial.fault))).await;
    let took = began.elapsed();
    let mut wrong = journey.wrong;
    match shared.references.get(&(trial.operation, desk.image)) {
        Some(expected) => wrong.extend(verdict::wrong(&desk.site, expected, trial.operation.replaced()).await),
        None => wrong.push("no run without faults to compare with".to_owned()),
    }
    // The last calls are not made where Kubernetes is quicker; any other fault that does not come tries nothing.
    if !journey.has_fired && trial.at * 10 <= shared.calls[&trial.operation] * 9 {
        wrong.push("it never came to that call".to_owned());
    }
    let mut rows = shared.rows.lock().unwrap();
    let row = rows.entry((trial.operation, trial.fault.to_string())).or_default();
    row.trials += 1;
    row.fired += usize::from(journey.has_fired);
    row.converged += usize::from(wrong.is_empty());
    row.longest = row.longest.max(took);
    let is_well = wrong.is_empty();
    if !is_well {
        let words = format!("{trial} ({}): {}", desk.site.namespace, wrong.join("; "));
        eprintln!("{words}");
        shared.wrong.lock().unwrap().push(words);
    }
    is_well
}

impl Operation {
    /// How many pods it replaces.
    pub fn replaced(self) -> usize {
        if self == Operation::Update { 3 } else { 0 }
    }
}

impl Desk {
    /// The operation, from what the user does to the end of all that follows from it.
    async fn perform(&mut self, operation: Operation, armed: Option<(usize, Fault)>) -> Journey {
        let mut journey = Journey::default();
        self.site.answers.lock().unwrap().clear();
        if armed.is_some_and(|(_, fault)| fault == Fault::Stale) && operation != Operation::Create {
            // So that there are old answers.
            let before = self.site.get().await.expect("the KVCluster");
            let _ = self.site.operator(None).pass(&before).await;
        }
        let mut operator = self.site.operator(armed);
        match operation {
            Operation::Create => self.site.create(IMAGES[0]).await,
            Operation::Update => {
                self.image = 1 - self.image;
                self.site.update(IMAGES[self.image]).await;
            }
            Operation::Delete => {
                self.is_adopted = true;
                operator = self.site.replace(operator, IMAGES[self.image], &mut journey).await;
            }
        }
        self.site.converge(operator, &mut journey).await;
        journey
    }
}

fn table(calls: &Calls, rows: &BTreeMap<(Operation, String), Row>) -> String {
    let mut lines = vec![format!(
        "{:<10} {:>6} {:<14} {:>7} {:>6} {:>10} {:>9}",
        "operation", "calls", "fault", "trials", "fired", "converged", "longest"
    )];
    for ((operation, fault), row) in rows {
        lines.push(format!(
            "{:<10} {:>6} {fault:<14} {:>7} {:>6} {:>10} {:>7.1} s",
            format!("{operation:?}").to_lowercase(),
            calls[operation].len(),
            row.trials,
            row.fired,
            row.converged,
            row.longest.as_secs_f64(),
        ));
    }
    lines.join("\n")
}
