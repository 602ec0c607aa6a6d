//! The YAML of an experiment with the place of every value, before any of it has a meaning.
//! Scalars stay text as written, so that an id such as `0e12` is not read as a number.

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::ParseError;

pub(super) type Text = Spanned<String>;
pub(super) type NameList = Spanned<Names>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawExperiment {
    pub id: Option<Text>,
    #[serde(rename = "for")]
    pub lasts: Text,
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub allow_quorum_loss: bool,
    pub faults: Spanned<Vec<RawFault>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFault {
    pub kind: Text,
    pub from: Option<NameList>,
    pub to: Option<NameList>,
    pub between: Option<Spanned<Vec<String>>>,
    pub groups: Option<Spanned<Vec<Vec<String>>>>,
    pub node: Option<Text>,
    pub law: Option<Text>,
    pub mean: Option<Text>,
    pub min: Option<Text>,
    pub max: Option<Text>,
    pub shape: Option<Text>,
    pub rate: Option<Text>,
    pub every: Option<Text>,
    pub window: Option<Text>,
    pub down: Option<Text>,
    pub after: Option<Text>,
    pub by: Option<Text>,
}

impl RawExperiment {
    pub(super) fn read(text: &str) -> Result<Self, ParseError> {
        serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            ParseError::at(error.location().unwrap_or(Location::UNKNOWN), plain_words(error))
        })
    }
}

/// What is wrong, for people who do not know what the parser calls it.
fn plain_words(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::InvalidScalar { ty: "u64", .. } = error {
        return format!("expected a whole number from 0 to {}", u64::MAX);
    }
    let serde_saphyr::Error::Unexpected { expected, .. } = error else {
        return UserMessageFormatter.format_message(error).into_owned();
    };
    match *expected {
        "sequence start" => "expected a list: [one, another]".to_owned(),
        "mapping start" => "expected fields: {name: value, another: value}".to_owned(),
        "string scalar" => "expected a single value".to_owned(),
        other => format!("expected {other}"),
    }
}

impl RawFault {
    /// The fields that were written, besides `kind`, with their places.
    pub(super) fn present(&self) -> Vec<(&'static str, Location)> {
        let text = |field: &Option<Text>| field.as_ref().map(|field| field.referenced);
        let names = |field: &Option<NameList>| field.as_ref().map(|field| field.referenced);
        let fields = [
            ("from", names(&self.from)),
            ("to", names(&self.to)),
            ("between", self.between.as_ref().map(|field| field.referenced)),
            ("groups", self.groups.as_ref().map(|field| field.referenced)),
            ("node", text(&self.node)),
            ("law", text(&self.law)),
            ("mean", text(&self.mean)),
            ("min", text(&self.min)),
            ("max", text(&self.max)),
            ("shape", text(&self.shape)),
            ("rate", text(&self.rate)),
            ("every", text(&self.every)),
            ("window", text(&self.window)),
            ("down", text(&self.down)),
            ("after", text(&self.after)),
            ("by", text(&self.by)),
        ];
        fields.into_iter().filter_map(|(name, place)| Some((name, place?))).collect()
    }
}

impl RawFault {
    /// Every node that is named, with the place of the field, or of the list, that names it.
    pub(super) fn named(&self) -> Vec<(&str, Location)> {
        let lists = [&self.from, &self.to].into_iter().flatten();
        let listed = lists.flat_map(|list| list.value.0.iter().map(|name| (name, list.referenced)));
        let between = self.between.iter().flat_map(|pair| pair.value.iter().map(|name| (name, pair.referenced)));
        let grouped = self.groups.iter().flat_map(|of| of.value.iter().flatten().map(|name| (name, of.referenced)));
        let single = self.node.iter().map(|node| (&node.value, node.referenced));
        let all = listed.chain(between).chain(grouped).chain(single);
        all.map(|(name, place)| (name.as_str(), place)).collect()
    }
}

/// One node name, or a list of them.
#[derive(Debug)]
pub(super) struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;

        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a node name or a list of them, quoted if it reads as a number or as yes or no")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_any(NamesVisitor)
    }
}
