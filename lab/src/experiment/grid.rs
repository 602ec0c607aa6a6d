//! The cells of an experiment: every combination of settings that a slice asks for, each once, whichever slices share it.
//! Invariants: equal settings are one cell; a cell's name says its settings and can be a directory.

use std::collections::HashMap;

use serde_json::Value;

use super::read::{check_name, set};
use super::spec::{AxisSpec, SliceSpec, Spec};

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
    pub(super) fn of(spec: &Spec, value: &Value) -> Result<Self, String> {
        let mut plain = value.clone();
        if let Some(fields) = plain.as_object_mut() {
            fields.remove("grid");
            fields.remove("quick");
        }
        let mut grid = Self { cells: Vec::new(), slices: Vec::new() };
        let mut known = HashMap::new();
        if spec.grid.is_empty() {
            grid.add(&mut known, spec.name.clone(), plain)?;
            return Ok(grid);
        }
        for (index, slice) in spec.grid.iter().enumerate() {
            grid.add_slice(&mut known, index, slice, &plain)?;
        }
        Ok(grid)
    }

    fn add_slice(
        &mut self,
        known: &mut HashMap<String, usize>,
        index: usize,
        slice: &SliceSpec,
        plain: &Value,
    ) -> Result<(), String> {
        let at = |why: String| format!("grid.{index} ({}): {why}", slice.name);
        check_name("slice", &slice.name)?;
        if slice.axes.is_empty() || slice.axes.len() > 2 {
            return Err(at(format!("it has {} axes; one or two can be drawn", slice.axes.len())));
        }
        let mut base = plain.clone();
        for (path, field) in &slice.set {
            set(&mut base, path, field.clone()).map_err(at)?;
        }
        let axes = slice.axes.iter().map(axis_points).collect::<Result<Vec<_>, _>>().map_err(at)?;
        let mut places = Vec::new();
        for place in combinations(&axes.iter().map(Vec::len).collect::<Vec<_>>()) {
            let mut cell = base.clone();
            let mut labels = Vec::new();
            for ((axis, points), at_axis) in slice.axes.iter().zip(&axes).zip(&place) {
                let Some((label, fields)) = points.get(*at_axis) else { continue };
                for (path, field) in fields {
                    set(&mut cell, path, field.clone()).map_err(at)?;
                }
                labels.push((axis.name.clone(), label.clone()));
            }
            let name = cell_name(&slice.name, &labels);
            let cell = self.add(known, name, cell).map_err(at)?;
            if let Some(cell) = self.cells.get_mut(cell) {
                cell.belongs_to(index, labels);
            }
            places.push((place, cell));
        }
        let labels = axes.iter().map(|points| points.iter().map(|(label, _)| label.clone()).collect()).collect();
        self.slices.push(Slice { spec: slice.clone(), labels, places });
        Ok(())
    }

    fn add(&mut self, known: &mut HashMap<String, usize>, name: String, resolved: Value) -> Result<usize, String> {
        let text = resolved.to_string();
        if let Some(cell) = known.get(&text) {
            return Ok(*cell);
        }
        if self.cells.iter().any(|cell| cell.name == name) {
            return Err(format!(
                "two cells with different settings would both be called {name}, as their directory: give slices, axes and labels other names"
            ));
        }
        if self.cells.len() == CELLS_MAX {
            return Err(format!("there are more than {CELLS_MAX} cells"));
        }
        let spec = serde_json::from_value(resolved.clone()).map_err(|error| format!("{name}: {error}"))?;
        known.insert(text, self.cells.len());
        self.cells.push(Cell { name, axes: Vec::new(), spec, resolved, slices: Vec::new() });
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

type Point = (String, Vec<(String, Value)>);

fn axis_points(axis: &AxisSpec) -> Result<Vec<Point>, String> {
    let is_by_path = axis.path.is_some() || !axis.values.is_empty();
    match (&axis.path, axis.values.is_empty(), axis.points.is_empty()) {
        (Some(path), false, true) => {
            let label = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Ok(axis.values.iter().map(|value| (label(value), vec![(path.clone(), value.clone())])).collect())
        }
        (None, true, false) => {
            let fields = |fields: &serde_json::Map<String, Value>| {
                fields.iter().map(|(path, value)| (path.clone(), value.clone())).collect()
            };
            Ok(axis.points.iter().map(|point| (point.label.clone(), fields(&point.set))).collect())
        }
        _ if is_by_path => Err(format!("axis `{}`: it needs both `path` and `values`, and no `points`", axis.name)),
        _ => Err(format!("axis `{}`: it needs `path` and `values`, or `points`", axis.name)),
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
