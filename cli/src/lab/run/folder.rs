//! The folder of an experiment: `spec.yaml` (resolved), `about.json`, `cells/CELL/seed-N/` with a run's files and `run.json`, and the report.
//! Invariants: `run.json` is there if and only if its run is over and judged; a run that is not over is begun anew, whole.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use driftkv_lab::experiment::read::{Changes, Source, TEXT_BYTES_MAX};
use driftkv_lab::experiment::record::{About, RunRecord};
use driftkv_lab::experiment::spec::{Keep, Spec};
use driftkv_lab::experiment::{Experiment, Host};
use driftkv_lab::offline::Outcome;
use driftkv_lab::run_dir::RunDir;
use serde_json::{Map, Value};

use super::place::KUBERNETES;
use crate::error::{Exit, Failure};
use crate::input;
use crate::style::shell;

const SPEC: &str = "spec.yaml";
const ABOUT: &str = "about.json";
const RUN: &str = "run.json";
/// Where folders go if no flag says.
const PARENT: &str = "lab-runs";

/// One experiment's.
pub struct Folder {
    path: PathBuf,
    about: About,
}

impl Folder {
    /// A new one at `out`, else in `lab-runs` by name and time.
    pub fn create(out: Option<&Path>, file: &Path, experiment: &Experiment) -> Result<Self, Failure> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let usual = || Path::new(PARENT).join(format!("{}-{}", experiment.spec.name, started.as_secs()));
        let path = out.map_or_else(usual, Path::to_owned);
        if path.join(SPEC).exists() {
            return Err(bad(format!("{}: it is there already", path.display())).hint(format!(
                "Go on with it: driftkv lab run --resume {}; or give --out a new directory. Nothing was started.",
                shell(&path.display().to_string())
            )));
        }
        let is_full = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if is_full {
            return Err(bad(format!("{}: the directory is not empty", path.display()))
                .hint("Give --out a new directory. Nothing was started."));
        }
        fs::create_dir_all(&path).map_err(|error| Failure::io(&path, &error))?;
        if out.is_none() {
            // Results never belong into a repository that happens to lie around them.
            let ignore = Path::new(PARENT).join(".gitignore");
            fs::write(&ignore, "*\n").map_err(|error| Failure::io(&ignore, &error))?;
        }
        let about = About {
            started_unix_ms: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
            file: file.display().to_string(),
            is_quick: experiment.is_quick,
            environment: environment(&experiment.spec.cluster),
        };
        let folder = Self { path, about };
        let spec = serde_saphyr::to_string(&experiment.resolved).map_err(|error| Failure::failed(error.to_string()))?;
        folder.write(ABOUT, &serde_json::to_string_pretty(&folder.about).unwrap_or_default())?;
        // Order: it marks the folder as one to go on with, so it comes last.
        folder.write(SPEC, &spec)?;
        Ok(folder)
    }

    /// One that a run left.
    pub fn open(path: &Path) -> Result<(Experiment, Self), Failure> {
        let file = path.join(SPEC);
        let bad_input = |failure: Failure| {
            Failure { exit: Exit::BadInput, ..failure }
                .hint("A folder to go on with is one that `driftkv lab run` made.")
        };
        let text = input::text(&file, TEXT_BYTES_MAX).map_err(bad_input)?;
        let about = input::text(&path.join(ABOUT), TEXT_BYTES_MAX).map_err(bad_input)?;
        let about =
            serde_json::from_str(&about).map_err(|error| bad(format!("{}: {error}", path.join(ABOUT).display())))?;
        let experiment = Experiment::read(&text, &file.display().to_string(), Changes::default(), WHOLE)
            .map_err(|error| bad(error.to_string()))?;
        Ok((experiment, Self { path: path.to_owned(), about }))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When, where and from what it was made.
    pub fn about(&self) -> About {
        self.about.clone()
    }

    /// What came of a run; `None`: it is not over.
    pub fn finished(&self, cell: &str, seed: u64) -> Result<Option<RunRecord>, Failure> {
        let path = self.run(cell, seed).join(RUN);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // Only what is not there was not run: a run that cannot be looked at is not begun anew over its files.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io(&path, &error)),
        };
        let record = serde_json::from_str(&text);
        record.map(Some).map_err(|error| bad(format!("{}: {error}", path.display())).hint("Delete it to run it again."))
    }

    /// The experiment as it is, to be run elsewhere.
    #[cfg(feature = "kubectl")]
    pub fn spec(&self) -> Result<String, Failure> {
        let path = self.path.join(SPEC);
        fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))
    }

    /// An empty directory for a run.
    pub fn begin(&self, cell: &str, seed: u64) -> Result<RunDir, Failure> {
        let path = self.run(cell, seed);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|error| Failure::io(&path, &error))?;
        }
        RunDir::create(&path).map_err(|error| Failure::failed(error.to_string()))
    }

    /// Marks a run as over, and lets go of what is not to be kept.
    pub fn finish(&self, record: &RunRecord, dir: &RunDir, spec: &Spec) -> Result<(), Failure> {
        if spec.histories == Keep::Violated && record.outcome == Outcome::Holds {
            let history = dir.history();
            fs::remove_file(&history).map_err(|error| Failure::io(&history, &error))?;
        }
        write_record(record, dir.path())
    }

    fn run(&self, cell: &str, seed: u64) -> PathBuf {
        self.path.join("cells").join(cell).join(format!("seed-{seed}"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|error| Failure::io(&path, &error))
    }
}

/// Of a folder's spec, which was checked before there was a folder.
pub const WHOLE: Host<'_> = Host { given: &whole, check: &|_| Ok(()) };

/// A folder's spec has all fields of its cluster.
fn whole(source: Source<'_>) -> Result<Map<String, Value>, String> {
    match source {
        Source::Manifest(name) => Err(format!("{name}: a folder's spec.yaml names no manifest")),
        Source::Kubernetes(_) => Ok(Map::new()),
    }
}

/// Writes `run.json`, all of it or nothing.
pub fn write_record(record: &RunRecord, dir: &Path) -> Result<(), Failure> {
    let text = serde_json::to_string(record).map_err(|error| Failure::failed(error.to_string()))?;
    let (path, new) = (dir.join(RUN), dir.join("run.json.new"));
    fs::write(&new, text).map_err(|error| Failure::io(&new, &error))?;
    fs::rename(&new, &path).map_err(|error| Failure::io(&path, &error))
}

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(Exit::BadInput, message)
}

/// What bears on the numbers: of this machine, unless the nodes and the load are on others.
fn environment(cluster: &Map<String, Value>) -> Vec<(String, String)> {
    let program = ("driftkv", Some(env!("CARGO_PKG_VERSION").to_owned()));
    let Some(place) = cluster.get(KUBERNETES) else { return facts(&[&[program][..], &machine()[..]].concat()) };
    let field = |name: &str| place.get(name).and_then(Value::as_str).map(str::to_owned);
    let usual = |name: &str, usual: &str| Some(field(name).unwrap_or_else(|| usual.to_owned()));
    facts(&[
        program,
        ("nodes and load", Some("pods on Kubernetes".to_owned())),
        ("context", usual("context", "the current one")),
        ("namespace", usual("namespace", "that of the context")),
        ("KVCluster", usual("cluster", "made for the experiment")),
    ])
}

fn facts(facts: &[(&str, Option<String>)]) -> Vec<(String, String)> {
    facts.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect()
}

fn machine() -> [(&'static str, Option<String>); 5] {
    let first_line = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.lines().next().map(str::to_owned));
    let cores = std::thread::available_parallelism().map_or_else(|_| "unknown".to_owned(), |cores| cores.to_string());
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    [
        ("system", Some(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))),
        ("kernel", first_line("/proc/sys/kernel/osrelease")),
        ("processor", cpu),
        ("cores", Some(cores)),
        ("load average at the start", first_line("/proc/loadavg")),
    ]
}
