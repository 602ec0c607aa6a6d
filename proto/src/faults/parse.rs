//! Text to experiment, strictly: what is not understood is refused with its line and column, and nothing is guessed.
//! `raw` takes the YAML apart and keeps the places; here each kind says which fields it takes and what they mean.

mod raw;

use serde_saphyr::Location;

use super::{Cut, DropRule, EVERY_NODE, EXPERIMENT_BYTES_MAX, EXPERIMENT_MS_MAX, Experiment};
use super::{FAULTS_MAX, Fault, Law, Links, Places, SKEW_MS_MAX, units};
use raw::{RawExperiment, RawFault, Text};

/// What is wrong with the text of an experiment, and where. Nothing was injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: u64,
    /// Counted from 1.
    pub column: u64,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl ParseError {
    fn at(location: Location, message: impl Into<String>) -> Self {
        Self { line: location.line(), column: location.column(), message: message.into() }
    }
}

const LINKS: [&str; 3] = ["from", "to", "between"];
const LAW: [&str; 5] = ["law", "mean", "min", "max", "shape"];
/// Each kind with the fields it takes.
const KINDS: [(&str, &[&[&str]]); 11] = [
    ("delay", &[&LINKS, &LAW]),
    ("drop", &[&LINKS, &["rate", "every"]]),
    ("duplicate", &[&LINKS, &["rate"]]),
    ("reorder", &[&LINKS, &["rate", "window"]]),
    ("partition", &[&["groups", "from", "to"]]),
    ("pause", &[&["node", "down", "every"]]),
    ("crash", &[&["node", "after"]]),
    ("wipe", &[&["node", "after"]]),
    ("slow-disk", &[&["node"], &LAW]),
    ("disk-error", &[&["node", "rate"]]),
    ("clock-skew", &[&["node", "by"]]),
];

/// Every kind of fault, as written.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

const REORDER_WINDOW_MS: u64 = 50;
const PARETO_SHAPE: f64 = 2.0;
const HELD_MS_MAX: u64 = 60_000;

pub(super) fn experiment(text: &str) -> Result<Experiment, ParseError> {
    if text.len() > EXPERIMENT_BYTES_MAX {
        let message = format!("the text has {} bytes; at most {EXPERIMENT_BYTES_MAX} are read", text.len());
        return Err(ParseError { line: 1, column: 1, message });
    }
    let raw = RawExperiment::read(text)?;
    let for_ms = positive_ms("for", &raw.lasts)?;
    if for_ms > EXPERIMENT_MS_MAX {
        return Err(ParseError::at(raw.lasts.referenced, format!("`for`: {} is over the cap of 1h", raw.lasts.value)));
    }
    let id = match &raw.id {
        Some(id) => plain_name("id", id, &id.value)?,
        None => format!("{:016x}", fnv_1a_64(text.trim().as_bytes())),
    };
    let count = raw.faults.value.len();
    if count == 0 || count > FAULTS_MAX {
        let message = format!("`faults` has {count} entries; it needs 1 to {FAULTS_MAX}");
        return Err(ParseError::at(raw.faults.referenced, message));
    }
    let faults = raw.faults.value.iter().map(|raw| fault_within(for_ms, raw)).collect::<Result<_, _>>()?;
    let places = places(&raw.faults.value);
    Ok(Experiment { id, for_ms, seed: raw.seed, allow_quorum_loss: raw.allow_quorum_loss, faults, places })
}

fn places(faults: &[RawFault]) -> Places {
    let mut places = Places::default();
    for fault in faults {
        places.kinds.push((fault.kind.referenced.line(), fault.kind.referenced.column()));
        for (name, at) in fault.named() {
            places.nodes.entry(name.to_owned()).or_insert((at.line(), at.column()));
        }
    }
    places
}

/// A fault that begins after the end would never be injected, and nobody would say so.
fn fault_within(for_ms: u64, raw: &RawFault) -> Result<Fault, ParseError> {
    let fault = fault(raw)?;
    match (&fault, &raw.after) {
        (Fault::Crash { after_ms, .. } | Fault::Wipe { after_ms, .. }, Some(after)) if *after_ms >= for_ms => {
            let message =
                format!("`after`: {} is not before the end, `for`: {}", after.value, units::format_ms(for_ms));
            Err(ParseError::at(after.referenced, message))
        }
        _ => Ok(fault),
    }
}

fn fault(raw: &RawFault) -> Result<Fault, ParseError> {
    refuse_foreign_fields(raw)?;
    let after_ms = || raw.after.as_ref().map_or(Ok(0), |after| read("after", after, units::duration_ms));
    match raw.kind.value.as_str() {
        "delay" => Ok(Fault::Delay { links: links(raw)?, law: law(raw)? }),
        "drop" => Ok(Fault::Drop { links: links(raw)?, rule: drop_rule(raw)? }),
        "duplicate" => Ok(Fault::Duplicate { links: links(raw)?, rate: rate(raw)? }),
        "reorder" => {
            let window_ms = raw.window.as_ref().map_or(Ok(REORDER_WINDOW_MS), |text| held_ms("window", text))?;
            Ok(Fault::Reorder { links: links(raw)?, rate: rate(raw)?, window_ms })
        }
        "partition" => Ok(Fault::Partition(cut(raw)?)),
        "pause" => pause(raw),
        "crash" => Ok(Fault::Crash { node: node(raw)?, after_ms: after_ms()? }),
        "wipe" => Ok(Fault::Wipe { node: node(raw)?, after_ms: after_ms()? }),
        "slow-disk" => Ok(Fault::SlowDisk { node: node(raw)?, law: law(raw)? }),
        "disk-error" => Ok(Fault::DiskError { node: node(raw)?, rate: rate(raw)? }),
        "clock-skew" => Ok(Fault::ClockSkew { node: node(raw)?, by_ms: skew_ms(required(raw, "by", &raw.by)?)? }),
        _ => Err(unknown_kind(raw)),
    }
}

fn unknown_kind(raw: &RawFault) -> ParseError {
    let known: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    let message = format!("unknown kind `{}`; the kinds are {}", raw.kind.value, known.join(", "));
    ParseError::at(raw.kind.referenced, message)
}

fn refuse_foreign_fields(raw: &RawFault) -> Result<(), ParseError> {
    let kind = raw.kind.value.as_str();
    let Some((_, taken)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return Err(unknown_kind(raw));
    };
    let taken = taken.concat();
    match raw.present().into_iter().find(|(name, _)| !taken.contains(name)) {
        Some((name, location)) => {
            let message = format!("kind {kind} takes no field `{name}`; it takes {}", taken.join(", "));
            Err(ParseError::at(location, message))
        }
        None => Ok(()),
    }
}

fn links(raw: &RawFault) -> Result<Links, ParseError> {
    match (&raw.between, &raw.from, &raw.to) {
        (Some(between), None, None) => match between.value.as_slice() {
            [a, b] if a != b || a == EVERY_NODE => {
                Ok(Links::Between(node_name("between", between, a)?, node_name("between", between, b)?))
            }
            _ => Err(ParseError::at(between.referenced, "`between` needs two different nodes: [a, b]")),
        },
        (None, Some(_), Some(_)) => {
            let (from, to) = one_way(raw)?;
            Ok(Links::OneWay { from, to })
        }
        _ => {
            let message = format!("kind {} needs either `from` and `to`, or `between`", raw.kind.value);
            Err(ParseError::at(raw.kind.referenced, message))
        }
    }
}

fn cut(raw: &RawFault) -> Result<Cut, ParseError> {
    match (&raw.groups, &raw.from, &raw.to) {
        (Some(groups), None, None) => {
            let mut names: Vec<&String> = groups.value.iter().flatten().collect();
            for name in &names {
                node_name("groups", groups, name)?;
            }
            names.sort();
            if groups.value.len() < 2 || groups.value.iter().any(Vec::is_empty) {
                return Err(ParseError::at(groups.referenced, "`groups` needs two or more groups, none of them empty"));
            }
            if let Some(twice) =
                names.windows(2).find_map(|pair| pair.first().filter(|name| pair.last() == Some(*name)))
            {
                return Err(ParseError::at(groups.referenced, format!("`groups` names `{twice}` twice")));
            }
            Ok(Cut::Groups(groups.value.clone()))
        }
        (None, Some(_), Some(_)) => {
            let (from, to) = one_way(raw)?;
            Ok(Cut::OneWay { from, to })
        }
        _ => Err(ParseError::at(raw.kind.referenced, "kind partition needs either `groups`, or `from` and `to`")),
    }
}

fn one_way(raw: &RawFault) -> Result<(Vec<String>, Vec<String>), ParseError> {
    let names = |field, list: &raw::NameList| {
        if list.value.0.is_empty() {
            return Err(ParseError::at(list.referenced, format!("`{field}` names no node")));
        }
        list.value.0.iter().map(|name| node_name(field, list, name)).collect::<Result<Vec<_>, _>>()
    };
    let (from_list, to_list) = (required(raw, "from", &raw.from)?, required(raw, "to", &raw.to)?);
    let (from, to) = (names("from", from_list)?, names("to", to_list)?);
    if from.len() == 1 && from == to && from.iter().all(|name| name != EVERY_NODE) {
        return Err(ParseError::at(to_list.referenced, "a node has no link to itself"));
    }
    Ok((from, to))
}

fn law(raw: &RawFault) -> Result<Law, ParseError> {
    let name = raw.law.as_ref().map_or("constant", |law| law.value.as_str());
    let taken: &[&str] = match name {
        "constant" | "exponential" => &["mean"],
        "uniform" => &["min", "max"],
        "pareto" => &["mean", "shape"],
        _ => {
            let location = raw.law.as_ref().map_or(raw.kind.referenced, |law| law.referenced);
            let message = format!("unknown law `{name}`; the laws are constant, uniform, exponential, pareto");
            return Err(ParseError::at(location, message));
        }
    };
    let is_foreign = |name: &str| LAW.contains(&name) && name != "law" && !taken.contains(&name);
    if let Some((field, location)) = raw.present().into_iter().find(|(field, _)| is_foreign(field)) {
        let message = format!("law {name} takes no field `{field}`; it takes {}", taken.join(", "));
        return Err(ParseError::at(location, message));
    }
    let mean_ms = || held_ms("mean", required(raw, "mean", &raw.mean)?);
    match name {
        "uniform" => uniform(raw),
        "exponential" => Ok(Law::Exponential { mean_ms: mean_ms()? }),
        "pareto" => Ok(Law::Pareto { mean_ms: mean_ms()?, shape: shape(raw)? }),
        _ => Ok(Law::Constant { mean_ms: mean_ms()? }),
    }
}

fn uniform(raw: &RawFault) -> Result<Law, ParseError> {
    let max = required(raw, "max", &raw.max)?;
    let max_ms = held_ms("max", max)?;
    let min_ms = read("min", required(raw, "min", &raw.min)?, units::duration_ms)?;
    if min_ms > max_ms {
        return Err(ParseError::at(max.referenced, "`max` is below `min`"));
    }
    Ok(Law::Uniform { min_ms, max_ms })
}

fn shape(raw: &RawFault) -> Result<f64, ParseError> {
    let Some(text) = &raw.shape else { return Ok(PARETO_SHAPE) };
    let is_fit = |shape: &f64| *shape > 1.0 && *shape <= 100.0;
    read("shape", text, |number| {
        let wrong = || format!("`{number}` is not a number above 1 (the mean would be infinite) and at most 100");
        units::plain_number(number).filter(is_fit).ok_or_else(wrong)
    })
}

fn held_ms(field: &str, text: &Text) -> Result<u64, ParseError> {
    let ms = positive_ms(field, text)?;
    if ms > HELD_MS_MAX {
        return Err(ParseError::at(text.referenced, format!("`{field}`: {} is over the cap of 60s", text.value)));
    }
    Ok(ms)
}

fn skew_ms(by: &Text) -> Result<i64, ParseError> {
    let wrong = |what| Err(ParseError::at(by.referenced, format!("`by`: {} {what}", by.value)));
    match read("by", by, units::signed_duration_ms)? {
        0 => wrong("moves no clock; it must not be 0"),
        ms if ms.unsigned_abs() > SKEW_MS_MAX => wrong("is over the cap of 1h either way"),
        ms => Ok(ms),
    }
}

fn drop_rule(raw: &RawFault) -> Result<DropRule, ParseError> {
    match (&raw.rate, &raw.every) {
        (Some(_), None) => Ok(DropRule::Rate(rate(raw)?)),
        (None, Some(every)) => read("every", every, |text| match text.parse() {
            Ok(count) if count > 0 => Ok(DropRule::EveryNth(count)),
            _ => Err(format!("`{text}` is not a count: 3 drops every third message, 1 drops all")),
        }),
        _ => Err(ParseError::at(raw.kind.referenced, "kind drop needs either `rate` or `every`")),
    }
}

fn pause(raw: &RawFault) -> Result<Fault, ParseError> {
    let down_ms = positive_ms("down", required(raw, "down", &raw.down)?)?;
    let every_ms = raw.every.as_ref().map(|every| positive_ms("every", every)).transpose()?;
    if every_ms.is_some_and(|every_ms| every_ms <= down_ms) {
        let location = raw.every.as_ref().map_or(raw.kind.referenced, |every| every.referenced);
        return Err(ParseError::at(location, "`every` counts from start to start and must exceed `down`"));
    }
    Ok(Fault::Pause { node: node(raw)?, down_ms, every_ms })
}

fn node(raw: &RawFault) -> Result<String, ParseError> {
    let node = required(raw, "node", &raw.node)?;
    node_name("node", node, &node.value)
}

fn rate(raw: &RawFault) -> Result<f64, ParseError> {
    read("rate", required(raw, "rate", &raw.rate)?, units::rate)
}

fn positive_ms(field: &str, text: &Text) -> Result<u64, ParseError> {
    match read(field, text, units::duration_ms)? {
        0 => Err(ParseError::at(text.referenced, format!("`{field}` must be above 0"))),
        ms => Ok(ms),
    }
}

fn required<'a, T>(raw: &RawFault, name: &str, field: &'a Option<T>) -> Result<&'a T, ParseError> {
    let missing = || ParseError::at(raw.kind.referenced, format!("kind {} needs the field `{name}`", raw.kind.value));
    field.as_ref().ok_or_else(missing)
}

fn read<T>(field: &str, text: &Text, unit: impl Fn(&str) -> Result<T, String>) -> Result<T, ParseError> {
    unit(&text.value).map_err(|wrong| ParseError::at(text.referenced, format!("`{field}`: {wrong}")))
}

fn node_name<T>(field: &str, place: &serde_saphyr::Spanned<T>, name: &str) -> Result<String, ParseError> {
    if name == EVERY_NODE { Ok(name.to_owned()) } else { plain_name(field, place, name) }
}

fn plain_name<T>(field: &str, place: &serde_saphyr::Spanned<T>, name: &str) -> Result<String, ParseError> {
    if is_plain_name(name) {
        return Ok(name.to_owned());
    }
    let message = format!(
        "`{field}`: `{}` is not a name: up to 253 ASCII letters, digits, -, _ and ., beginning with a letter or digit",
        name.escape_default()
    );
    Err(ParseError::at(place.referenced, message))
}

fn is_plain_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 253 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_inner)
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): the same on every machine and in every version.
fn fnv_1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(super::fnv_1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(super::fnv_1a_64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(super::fnv_1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
