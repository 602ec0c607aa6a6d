//! The text of an experiment's file as its fields: strictly, with line and column, and then by the rules that fields have together.
//! The file is read twice: as typed fields, for places in errors, and as plain values, which `set` and axes change by dotted paths.
//! Invariant: every cell that a grid may ask for is read and checked before anything starts.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::grid::Grid;
use super::place::Places;
use super::refused::{Origins, Refused, settings};
use super::schedule;
use super::spec::Spec;

mod known;
#[cfg(test)]
mod tests;

/// Largest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// Why a file is no experiment. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The file.
    pub file: String,
    /// Line and column, from 1, if there is a place to name.
    pub place: Option<(u64, u64)>,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(out, "{}:{line}:{column}: {}", self.file, self.why),
            None => write!(out, "{}: {}", self.file, self.why),
        }
    }
}

impl std::error::Error for SpecError {}

/// An experiment that was read, with all of its cells.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// As the file says, before a grid or `--quick` changes it.
    pub spec: Spec,
    /// Its cells.
    pub grid: Grid,
    /// It is shorter than the file says.
    pub is_quick: bool,
    /// The file as plain values, `manifest` and `--quick` worked in.
    pub resolved: Value,
}

/// What gives fields of `cluster` that the file does not have itself.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// `manifest`: a file with a KVCluster.
    Manifest(&'a str),
    /// `kubernetes`, where it names a KVCluster that is there.
    Kubernetes(&'a Value),
}

/// What whoever makes clusters knows of them, and the laboratory does not.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// Gives the fields of a KVCluster that `cluster` only names. Errors: why it cannot.
    pub given: &'a Given<'a>,
    /// Whether a cluster of these fields can be made, or found. Errors: which field is not taken (no path: all together), and why.
    pub check: &'a Check<'a>,
}

/// See [`Host::given`].
pub type Given<'a> = dyn Fn(Source<'_>) -> Result<Map<String, Value>, String> + 'a;
/// See [`Host::check`].
pub type Check<'a> = dyn Fn(&Map<String, Value>) -> Result<(), Refused> + 'a;

/// What the command makes of an experiment before its cells are read.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// `--quick`.
    pub is_quick: bool,
    /// `--repetitions`.
    pub repetitions: Option<u32>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--kubernetes`: fields of `cluster.kubernetes`.
    pub kubernetes: Option<Map<String, Value>>,
}

impl Experiment {
    /// Reads `text`; `file` is its name in errors.
    pub fn read(text: &str, file: &str, changes: Changes, host: Host<'_>) -> Result<Self, SpecError> {
        let wrong = |why: String| SpecError { file: file.to_owned(), place: None, why };
        if text.len() > TEXT_BYTES_MAX {
            return Err(wrong(format!("has {} bytes; allowed is {TEXT_BYTES_MAX}", text.len())));
        }
        let typed: Spec = parse(text, file)?;
        let mut value: Value = parse(text, file)?;
        let is_quick = changes.is_quick;
        let (spec, grid) = cells(&mut value, &typed, changes, host).map_err(|refused| SpecError {
            file: file.to_owned(),
            place: Places::of(text).find(&refused.at),
            why: refused.why,
        })?;
        if typed.quick.is_some() && !is_quick {
            // What `--quick` would make of it is wrong now, and not only then.
            let quick = Changes { is_quick: true, ..Changes::default() };
            Self::read(text, file, quick, host)
                .map_err(|error| SpecError { why: format!("quick: {}", error.why), ..error })?;
        }
        Ok(Self { spec, grid, is_quick, resolved: value })
    }
}

/// Works into `value` what is to be changed, and reads all of its cells.
fn cells(value: &mut Value, typed: &Spec, changes: Changes, host: Host<'_>) -> Result<(Spec, Grid), Refused> {
    let mut origins = Origins::default();
    change(value, &mut origins, typed, changes)?;
    work_in(value, &mut origins, host)?;
    let spec = settings(value).map_err(|refused| refused.given(&origins))?;
    check(&spec).map_err(|refused| refused.given(&origins))?;
    let grid = Grid::of(&spec, value, &origins)?;
    for cell in &grid.cells {
        let of_cluster = |refused: Refused| refused.within("cluster").of("cluster");
        let checked = check(&cell.spec).and_then(|()| schedule::check(&cell.spec));
        checked.and_then(|()| (host.check)(&cell.spec.cluster).map_err(of_cluster)).map_err(|refused| {
            let refused = refused.given(&cell.origins);
            if spec.grid.is_empty() { refused } else { refused.of(&format!("cell {}", cell.name)) }
        })?;
    }
    known::check(&spec, &grid).map_err(|refused| refused.given(&origins))?;
    Ok((spec, grid))
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, file: &str) -> Result<T, SpecError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|place| (place.line(), place.column()));
        let why = serde_saphyr::UserMessageFormatter;
        let why = serde_saphyr::MessageFormatter::format_message(&why, error.without_snippet()).into_owned();
        SpecError { file: file.to_owned(), place, why }
    })
}

/// The fields of the KVCluster that `cluster` names, under those that it has itself.
fn work_in(value: &mut Value, origins: &mut Origins, host: Host<'_>) -> Result<(), Refused> {
    let Some(cluster) = value.get_mut("cluster").and_then(Value::as_object_mut) else { return Ok(()) };
    let mut fields = Map::new();
    if let Some(place) = cluster.get("kubernetes").filter(|place| place.get("cluster").is_some()) {
        fields = (host.given)(Source::Kubernetes(place)).map_err(|why| Refused::at("cluster.kubernetes", why))?;
    }
    if let Some(file) = cluster.remove("manifest") {
        let at = "cluster.manifest";
        let file = file.as_str().ok_or_else(|| Refused::at(at, format!("{at}: expected the name of a file")))?;
        fields.extend((host.given)(Source::Manifest(file)).map_err(|why| Refused::at(at, why))?);
    }
    for (name, field) in fields {
        if !cluster.contains_key(&name) {
            origins.add(&format!("cluster.{name}"), vec!["cluster".to_owned(), "manifest".to_owned()]);
            cluster.insert(name, field);
        }
    }
    Ok(())
}

fn change(value: &mut Value, origins: &mut Origins, typed: &Spec, changes: Changes) -> Result<(), Refused> {
    let flag = |value: &mut Value, origins: &mut Origins, path: &str, field: Value| {
        origins.add(path, Vec::new());
        set(value, path, field).map_err(|why| Refused::at("", why))
    };
    if changes.is_quick {
        let missing = "--quick: the file does not say what is quick; it has no field `quick`";
        let quick = typed.quick.as_ref().ok_or_else(|| Refused::at("", missing))?;
        for (path, field) in &quick.set {
            let at = vec!["quick".to_owned(), "set".to_owned(), path.clone()];
            set(value, path, field.clone())
                .map_err(|why| Refused { at: at.clone(), why: format!("quick.set: {why}") })?;
            origins.add(path, at);
        }
        if let Some(repetitions) = quick.repetitions {
            flag(value, origins, "repetitions", repetitions.into())?;
            origins.add("repetitions", vec!["quick".to_owned(), "repetitions".to_owned()]);
        }
    }
    if let Some(repetitions) = changes.repetitions {
        flag(value, origins, "repetitions", repetitions.into())?;
    }
    if let Some(seed) = changes.seed {
        flag(value, origins, "seed", seed.into())?;
    }
    if let Some(place) = changes.kubernetes {
        let is_there = value.pointer("/cluster/kubernetes").is_some_and(Value::is_object);
        if !is_there {
            flag(value, origins, "cluster.kubernetes", Map::new().into())?;
        }
        for (name, field) in place {
            flag(value, origins, &format!("cluster.kubernetes.{name}"), field)?;
        }
    }
    Ok(())
}

/// Puts `field` at `path` (`phases.1.faults.0.mean`), making objects on the way; lists must have the place already.
pub(super) fn set(value: &mut Value, path: &str, field: Value) -> Result<(), String> {
    let mut place = value;
    for part in path.split('.') {
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(fields) => fields.entry(part).or_insert(Value::Null),
            Value::Array(items) => {
                let count = items.len();
                let item = part.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.ok_or_else(|| format!("{path}: `{part}` is no place in a list of {count}"))?
            }
            _ => return Err(format!("{path}: `{part}` is within a single value")),
        };
    }
    *place = field;
    Ok(())
}

/// A name that files and metrics can have.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let is_good = !name.is_empty()
        && name.len() <= 60
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    match is_good {
        true => Ok(()),
        false => Err(format!("{what} `{name}`: a name has 1 to 60 lower case letters, digits and -")),
    }
}

fn check(spec: &Spec) -> Result<(), Refused> {
    check_name("name", &spec.name).map_err(|why| Refused::at("name", why))?;
    if spec.question.trim().is_empty() {
        return Err(Refused::at("question", "question: say what is asked, in words"));
    }
    if spec.repetitions == 0 || spec.repetitions > 1_000 {
        let why = format!("repetitions: {} is not between 1 and 1000", spec.repetitions);
        return Err(Refused::at("repetitions", why));
    }
    if spec.seed.checked_add(spec.repetitions.into()).is_none() {
        let (seed, repetitions) = (spec.seed, spec.repetitions);
        let why = format!("seed: {seed} leaves no room for {repetitions} repetitions, each with a seed of its own");
        return Err(Refused::at("seed", why));
    }
    let mut names = BTreeSet::new();
    for (index, phase) in spec.phases.iter().enumerate() {
        let wrong = |why: String| Refused::at(&format!("phases.{index}.name"), why);
        check_name("phase", &phase.name).map_err(wrong)?;
        if !names.insert(&phase.name) {
            return Err(wrong(format!("phase `{}` is there twice", phase.name)));
        }
    }
    match spec.phases.is_empty() {
        true => Err(Refused::at("phases", "phases: there must be one or more")),
        false => Ok(()),
    }
}
