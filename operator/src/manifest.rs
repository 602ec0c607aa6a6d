//! Reads a manifest the way a person needs it: strictly, with line and column, and with all broken rules at once.
//! The API server drops unknown fields and reads `n` as false; here a misspelled field is an error that names it.
//! Not here: running it (`driftkv up`), or applying it (the API server checks the same rules by CEL).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use driftkv_core::config::{ClusterConfig, Field};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::crd::{API_VERSION, KIND, KVCluster, KVClusterSpec};

/// Longest `metadata.name`: names of pods and volumes are made from it.
pub const NAME_BYTES_MAX: usize = 40;
/// Longest manifest, and most documents in one: each is read with its lines where they are in the file.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
const DOCUMENTS_MAX: usize = 100;
/// Longest name of a zone.
const ZONE_BYTES_MAX: usize = 63;

/// Why a file is not the manifest of a cluster. Nothing was done; whoever wrote the file should act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// Not YAML, or not of the right shape.
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1; 0 if there is none to name.
        line: u64,
        /// Column, from 1; 0 if there is none to name.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// Not exactly one KVCluster.
    Documents {
        /// The file.
        file: String,
        /// Documents in it.
        documents: usize,
        /// KVClusters among them.
        clusters: usize,
    },
    /// Well formed, but breaks rules.
    Invalid {
        /// The file.
        file: String,
        /// Each a sentence that starts with the field.
        problems: Vec<String>,
    },
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::Syntax { file, line: 0, message, .. } => write!(f, "{file}: {message}"),
            ManifestError::Syntax { file, line, column, message } => write!(f, "{file}:{line}:{column}: {message}"),
            ManifestError::Documents { file, documents: 0, .. } => write!(f, "{file}: is empty; expected one {KIND}"),
            ManifestError::Documents { file, documents, clusters } => {
                write!(f, "{file}: has {documents} documents, {clusters} of them a {KIND}; expected exactly one {KIND}")
            }
            ManifestError::Invalid { file, problems } => write!(f, "{file}: {}", problems.join(&format!("\n{file}: "))),
        }
    }
}

impl std::error::Error for ManifestError {}

/// What every document says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: Option<String>,
    kind: Option<String>,
}

/// The whole document, strictly.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: KVClusterSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Reads the one KVCluster in `text`; `file` is its name in errors.
///
/// A file of several documents is taken if exactly one is a KVCluster; the others are not looked at.
pub fn parse_manifest(text: &str, file: &str) -> Result<KVCluster, ManifestError> {
    check_size(text, file)?;
    let mut documents: Vec<(String, Head)> = Vec::new();
    for document in split(text) {
        if let Some(head) = parse::<Option<Head>>(&document, file)? {
            documents.push((document, head));
        }
    }
    let several = documents.len() > 1;
    let is_cluster = |head: &Head| head.kind.as_deref() == Some(KIND);
    let clusters = documents.iter().filter(|(_, head)| is_cluster(head)).count();
    let error = ManifestError::Documents { file: file.to_owned(), documents: documents.len(), clusters };
    let chosen = documents.into_iter().find(|(_, head)| !several || is_cluster(head));
    let (document, head) = chosen.filter(|_| !several || clusters == 1).ok_or(error)?;
    check(check_head(&head), file)?;
    let manifest: Manifest = parse(&document, file)?;
    check(problems(&manifest), file)?;
    let Metadata { name, namespace, labels, annotations } = manifest.metadata;
    let metadata = ObjectMeta { name: Some(name), namespace, labels, annotations, ..ObjectMeta::default() };
    Ok(KVCluster { metadata, spec: manifest.spec, status: None })
}

/// Order: before the text is taken apart, which costs the product of its documents and its lines.
fn check_size(text: &str, file: &str) -> Result<(), ManifestError> {
    let documents = text.lines().filter(|line| is_separator(line)).count();
    let message = if text.len() > TEXT_BYTES_MAX {
        format!("has {} bytes; allowed is {TEXT_BYTES_MAX}", text.len())
    } else if documents > DOCUMENTS_MAX {
        format!("has {documents} documents; allowed is {DOCUMENTS_MAX}")
    } else {
        return Ok(());
    };
    Err(ManifestError::Syntax { file: file.to_owned(), line: 0, column: 0, message })
}

fn is_separator(line: &str) -> bool {
    line == "---" || line.starts_with("--- ")
}

/// One text a document, each with empty lines in place of the others, so that line numbers stay true.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if is_separator(line) {
            documents.push("\n".repeat(number));
        }
        if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
}

fn parse<T: DeserializeOwned>(document: &str, file: &str) -> Result<T, ManifestError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(document, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        ManifestError::Syntax { file: file.to_owned(), line, column, message: message(&error) }
    })
}

/// The parser's own words, without the place, which we say first, and without its advice to programmers.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
    let text = place.and_then(|place| text.strip_suffix(&place)).unwrap_or(&text);
    match text {
        "invalid u32" | "invalid u64" => "expected a whole number, 0 or more".to_owned(),
        "invalid boolean (strict mode expects true/false)" => "expected true or false".to_owned(),
        _ => text.replace(", set DuplicateKeyPolicy in Options if acceptable", ""),
    }
}

fn check(problems: Vec<String>, file: &str) -> Result<(), ManifestError> {
    if problems.is_empty() { Ok(()) } else { Err(ManifestError::Invalid { file: file.to_owned(), problems }) }
}

fn check_head(head: &Head) -> Vec<String> {
    let expected = [("apiVersion", &head.api_version, API_VERSION), ("kind", &head.kind, KIND)];
    let wrong = expected.into_iter().filter(|(_, value, expected)| value.as_deref() != Some(expected));
    wrong
        .map(|(field, value, expected)| match value {
            Some(value) => format!("{field} is {value}; expected {expected}"),
            None => format!("{field} is missing; expected {expected}"),
        })
        .collect()
}

fn problems(manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    let Metadata { name, namespace, .. } = &manifest.metadata;
    // Services are named after it, and Kubernetes wants their names to begin with a letter.
    if !is_dns_label(name, NAME_BYTES_MAX) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        problems.push(format!(
            "metadata.name is {name:?}; allowed are a-z first, then a-z, 0-9 and - inside, 1 to {NAME_BYTES_MAX} characters"
        ));
    }
    if let Some(namespace) = namespace.as_ref().filter(|namespace| !is_dns_label(namespace, 63)) {
        problems.push(format!("metadata.namespace is {namespace:?}; allowed are a-z, 0-9 and - inside"));
    }
    let spec = &manifest.spec;
    if let Err(errors) = ClusterConfig::from(spec).validate() {
        problems.extend(errors.iter().map(|error| format!("spec.{}", error.describe(Field::manifest_name))));
    }
    if !is_size(&spec.storage.size) {
        let size = &spec.storage.size;
        problems.push(format!("spec.storage.size is {size:?}; allowed is a whole number with a unit, such as 10Gi"));
    }
    let mut seen = BTreeSet::new();
    for zone in &spec.zones {
        if zone.is_empty() || zone.len() > ZONE_BYTES_MAX {
            problems.push(format!("spec.zones has {zone:?}; allowed are 1 to {ZONE_BYTES_MAX} characters"));
        }
        if !seen.insert(zone) {
            problems.push(format!("spec.zones has {zone:?} twice; name each zone once, nodes are spread in turn"));
        }
    }
    problems
}

/// RFC 1123: letters, digits, and hyphens that are neither first nor last.
fn is_dns_label(text: &str, bytes_max: usize) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_bounded = !text.is_empty() && text.len() <= bytes_max;
    is_bounded && text.bytes().all(is_allowed) && !text.starts_with('-') && !text.ends_with('-')
}

/// The same as the schema's pattern.
fn is_size(text: &str) -> bool {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let units = ["", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"];
    (1..=18).contains(&digits) && !number.starts_with('0') && units.contains(&unit)
}

#[cfg(test)]
mod tests;
