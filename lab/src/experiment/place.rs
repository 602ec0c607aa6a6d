//! Lines and columns of a YAML text, by the path of what stands there: errors of values that are checked after they were read,
//! or of what was made of them, name a place too. What a grid or `quick` sets stands where they say so.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Line and column, from 1.
pub(super) type At = (u64, u64);

/// Where a value stands, and what is in it.
#[derive(Debug, Default)]
pub(super) struct Places {
    here: Option<At>,
    within: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    name: String,
    /// Of the name; an item of a list has none.
    key: Option<At>,
    value: Places,
}

impl Places {
    /// The places of `text`; none if it is no YAML.
    pub(super) fn of(text: &str) -> Self {
        serde_saphyr::from_str::<Spanned<Within>>(text).map(Self::from).unwrap_or_default()
    }

    /// The place of `path`, or of the innermost part of it that is there; `None` if nothing of it is.
    pub(super) fn find(&self, path: &[String]) -> Option<At> {
        let (first, rest) = path.split_first()?;
        let named = self.within.iter().find(|named| named.name == *first)?;
        named.value.find(rest).or(named.value.here).or(named.key)
    }

    /// The path of what stands at or last before `at`.
    pub(super) fn path_at(&self, at: At) -> Vec<String> {
        let before = |named: &&Named| named.key.or(named.value.here).is_some_and(|here| here <= at);
        match self.within.iter().rev().find(before) {
            Some(named) => [vec![named.name.clone()], named.value.path_at(at)].concat(),
            None => Vec::new(),
        }
    }
}

/// The path of what stands at line and column of a YAML text, or last before; for programs that write a text and are told a place in it.
pub fn path_at(text: &str, line: u64, column: u64) -> Vec<String> {
    Places::of(text).path_at((line, column))
}

impl From<Spanned<Within>> for Places {
    fn from(read: Spanned<Within>) -> Self {
        Self { here: place(&read), within: read.value.0 }
    }
}

fn place<T>(read: &Spanned<T>) -> Option<At> {
    let place = read.referenced;
    (place.line() > 0).then(|| (place.line(), place.column()))
}

/// What is in a value; nothing in a single one.
struct Within(Vec<Named>);

impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Walk)
    }
}

struct Walk;

macro_rules! single {
    ($($visit:ident: $of:ty),*) => {
        $(fn $visit<E>(self, _: $of) -> Result<Within, E> {
            Ok(Within(Vec::new()))
        })*
    };
}

impl<'de> Visitor<'de> for Walk {
    type Value = Within;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("anything")
    }

    single!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Within, E> {
        Ok(Within(Vec::new()))
    }

    fn visit_none<E>(self) -> Result<Within, E> {
        Ok(Within(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Within, A::Error> {
        let mut within = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Within>>()? {
            within.push(Named { name: within.len().to_string(), key: None, value: item.into() });
        }
        Ok(Within(within))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Within, A::Error> {
        let mut within = Vec::new();
        while let Some(name) = fields.next_key::<Spanned<String>>()? {
            let value = fields.next_value::<Spanned<Within>>()?;
            within.push(Named { key: place(&name), name: name.value, value: value.into() });
        }
        Ok(Within(within))
    }
}
