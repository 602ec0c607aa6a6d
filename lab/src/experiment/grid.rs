//! The cells of an experiment: every combination of settings that a slice asks for, each once, whichever slices share it.
//! Invariants: equal settings are one cell; a cell's name says its settings and can be a directory.

use std::collections::HashMap;

use serde_json::Value;

use super::read::{check_name, set};
use super::refused::{Origins, Refused, settings};
use super::schedule;
use super::spec::{AxisSpec, PointSpec, SliceSpec, Spec};

/// More cells are a mistake.
const CELLS_MAX: usize = 10_000;

/// All cells, and where in which slice they are.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Each once, in the order in which they are run.
    pub cells: Vec<Cell>,
    /// In the file's order.
    pub slices: Vec<Slice>,
}

/// Settings to run.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its directory.
    pub name: String,
    /// Axis and label, of all slices that it is in; of a name that several have, that of the first.
    pub axes: Vec<(String, String)>,
    /// Its settings.
    pub spec: Spec,
    /// The same as plain values, without grid and quick.
    pub resolved: Value,
    /// Slices that it is in.
    pub slices: Vec<usize>,
    /// What slices, axes and `quick` set in it.
    pub origins: Origins,
}

/// Cells that a chart shows.
#[derive(Clone, Debug)]
pub struct Slice {
    /// As written.
    pub spec: SliceSpec,
    /// Labels of each axis.
    pub labels: Vec<Vec<String>>,
    /// A place on each axis, and which cell is there.
    pub places: Vec<(Vec<usize>, usize)>,
}

impl Grid {
    /// `origins`: what is set in `value` already.
    pub(super) fn of(spec: &Spec, value: &Value, origins: &Origins) -> Result<Self, Refused> {
        let mut plain = value.clone();
        if let Some(fields) = plain.as_object_mut() {
            fields.remove("grid");
            fields.remove("quick");
        }
        let mut grid = Self { cells: Vec::new(), slices: Vec::new() };
        let mut known = HashMap::new();
        if spec.grid.is_empty() {
            grid.add(&mut known, spec.name.clone(), plain, origins)?;
            return Ok(grid);
        }
        for (index, slice) in spec.grid.iter().enumerate() {
            let at = format!("grid.{index}");
            check_name("slice", &slice.name).map_err(|why| Refused::at(&format!("{at}.name"), why))?;
            let named = |refused: Refused| refused.of(&format!("{at} ({})", slice.name));
            grid.add_slice(&mut known, index, slice, (&plain, origins)).map_err(named)?;
        }
        Ok(grid)
    }

    fn add_slice(
        &mut self,
        known: &mut HashMap<String, usize>,
        index: usize,
        slice: &SliceSpec,
        (plain, origins): (&Value, &Origins),
    ) -> Result<(), Refused> {
        let here = ["grid".to_owned(), index.to_string()];
        let place = |inner: &[&str]| {
            [&here, inner.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>().as_slice()].concat()
        };
        if slice.axes.is_empty() || slice.axes.len() > 2 {
            let why = format!("it has {} axes; one or two can be drawn", slice.axes.len());
            return Err(Refused { at: place(&["axes"]), why });
        }
        let (mut base, mut origins) = (plain.clone(), origins.clone());
        for (path, field) in &slice.set {
            change(&mut base, &mut origins, (path, field), place(&["set", path]))?;
        }
        let axis = |(number, axis): (usize, &AxisSpec)| axis_points(axis, &place(&["axes", &number.to_string()]));
        let axes = slice.axes.iter().enumerate().map(axis).collect::<Result<Vec<_>, _>>()?;
        let mut places = Vec::new();
        for place in combinations(&axes.iter().map(Vec::len).collect::<Vec<_>>()) {
            let (mut cell, mut origins) = (base.clone(), origins.clone());
            let mut labels = Vec::new();
            for ((axis, points), at_axis) in slice.axes.iter().zip(&axes).zip(&place) {
                let Some(point) = points.get(*at_axis) else { continue };
                for (path, field, origin) in &point.sets {
                    change(&mut cell, &mut origins, (path, field), origin.clone())?;
                }
                labels.push((axis.name.clone(), point.label.clone()));
            }
            let name = cell_name(&slice.name, &labels);
            let cell = self.add(known, name, cell, &origins).map_err(|refused| refused.or_at(&here))?;
            if let Some(cell) = self.cells.get_mut(cell) {
                cell.belongs_to(index, labels);
            }
            places.push((place, cell));
        }
        let labels = axes.iter().map(|points| points.iter().map(|point| point.label.clone()).collect()).collect();
        self.slices.push(Slice { spec: slice.clone(), labels, places });
        Ok(())
    }

    /// Errors without a place of their own are of the slice.
    fn add(
        &mut self,
        known: &mut HashMap<String, usize>,
        name: String,
        resolved: Value,
        origins: &Origins,
    ) -> Result<usize, Refused> {
        let text = resolved.to_string();
        if let Some(cell) = known.get(&text) {
            return Ok(*cell);
        }
        if self.cells.iter().any(|cell| cell.name == name) {
            let why = format!(
                "two cells with different settings would both be called {name}, as their directory: give slices, axes and labels other names"
            );
            return Err(Refused::at("", why));
        }
        if self.cells.len() == CELLS_MAX {
            return Err(Refused::at("", format!("there are more than {CELLS_MAX} cells")));
        }
        let spec = settings(&resolved).map_err(|refused| refused.given(origins).of(&name))?;
        known.insert(text, self.cells.len());
        let origins = origins.clone();
        self.cells.push(Cell { name, axes: Vec::new(), spec, resolved, slices: Vec::new(), origins });
        Ok(self.cells.len() - 1)
    }
}

impl Cell {
    fn belongs_to(&mut self, slice: usize, labels: Vec<(String, String)>) {
        if !self.slices.contains(&slice) {
            self.slices.push(slice);
        }
        for (axis, label) in labels {
            if !self.axes.iter().any(|(known, _)| *known == axis) {
                self.axes.push((axis, label));
            }
        }
    }
}

/// A point of an axis: what it sets, and where the file says so.
struct Point {
    label: String,
    sets: Vec<(String, Value, Vec<String>)>,
}

/// Settings of the whole experiment.
const OF_ALL: [&str; 5] = ["name", "question", "expect", "grid", "quick"];

/// Sets a field, and remembers who did.
fn change(
    value: &mut Value,
    origins: &mut Origins,
    (path, field): (&str, &Value),
    origin: Vec<String>,
) -> Result<(), Refused> {
    if let Some(first) = OF_ALL.into_iter().find(|first| path.split('.').next() == Some(first)) {
        return Err(Refused { at: origin, why: format!("{path}: `{first}` is of all cells, and no grid sets it") });
    }
    set(value, path, field.clone()).map_err(|why| Refused { at: origin.clone(), why })?;
    origins.add(path, origin);
    Ok(())
}

/// `place`: where the axis stands.
fn axis_points(axis: &AxisSpec, place: &[String]) -> Result<Vec<Point>, Refused> {
    let within = |inner: &[&str]| [place, &inner.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>()].concat();
    let wrong = |why: String| Err(Refused { at: place.to_vec(), why: format!("axis `{}`: {why}", axis.name) });
    if schedule::SETTINGS.iter().any(|(setting, _)| *setting == axis.name) {
        return wrong("expectations call a setting so; give the axis another name".to_owned());
    }

    let is_by_path = axis.path.is_some() || !axis.values.is_empty();
    match (&axis.path, axis.values.is_empty(), axis.points.is_empty()) {
        (Some(path), false, true) => {
            let label = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let point = |(index, value): (usize, &Value)| {
                let origin = within(&["values", &index.to_string()]);
                Point { label: label(value), sets: vec![(path.clone(), value.clone(), origin)] }
            };
            Ok(axis.values.iter().enumerate().map(point).collect())
        }
        (None, true, false) => {
            let point = |(index, point): (usize, &PointSpec)| {
                let origin = |path: &String| within(&["points", &index.to_string(), "set", path]);
                let set = |(path, value): (&String, &Value)| (path.clone(), value.clone(), origin(path));
                Point { label: point.label.clone(), sets: point.set.iter().map(set).collect() }
            };
            Ok(axis.points.iter().enumerate().map(point).collect())
        }
        _ if is_by_path => wrong("it needs both `path` and `values`, and no `points`".to_owned()),
        _ => wrong("it needs `path` and `values`, or `points`".to_owned()),
    }
}

/// Every place of a space with these lengths, the last axis fastest.
fn combinations(lengths: &[usize]) -> Vec<Vec<usize>> {
    lengths.iter().fold(vec![Vec::new()], |places, length| {
        let longer = |place: &Vec<usize>| {
            let place = place.clone();
            (0..*length).map(move |index| [place.clone(), vec![index]].concat()).collect::<Vec<_>>()
        };
        places.iter().flat_map(longer).collect()
    })
}

/// `all-3_r=1_w=2`: what a file system takes.
fn cell_name(slice: &str, labels: &[(String, String)]) -> String {
    let plain = |text: &str| -> String {
        let keep =
            |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c.to_ascii_lowercase() } else { '-' };
        text.chars().map(keep).collect()
    };
    labels.iter().fold(slice.to_owned(), |name, (axis, label)| format!("{name}_{}={}", plain(axis), plain(label)))
}
