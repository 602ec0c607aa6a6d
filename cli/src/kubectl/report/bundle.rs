//! The archive of a report: a gzipped tar that is there whole or not at all.
//! Invariants: every text goes through `redact` on its way in; a file that is there is not overwritten; only its owner may read it;
//! one part is in memory at a time.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use super::redact;
use crate::error::Failure;

/// An archive in the making.
pub struct Bundle {
    tar: tar::Builder<GzEncoder<NamedTempFile>>,
    target: PathBuf,
    /// The directory that it unpacks to.
    root: String,
    needles: Vec<String>,
    parts: Vec<(String, u64)>,
    gaps: Vec<String>,
}

impl Bundle {
    /// Makes `target` in the end; what it unpacks to is called `root`.
    ///
    /// Errors: there is such a file, or its directory cannot be written to.
    pub fn begin(target: &Path, root: &str) -> Result<Bundle, Failure> {
        if target.exists() {
            return Err(Failure::usage(format!("{} is there already", target.display())).hint("--file names another."));
        }
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(directory).map_err(|error| Failure::io(directory, &error))?;
        Ok(Bundle {
            tar: tar::Builder::new(GzEncoder::new(file, Compression::default())),
            target: target.to_owned(),
            root: root.to_owned(),
            needles: Vec::new(),
            parts: Vec::new(),
            gaps: Vec::new(),
        })
    }

    /// Texts that must not be in it.
    pub fn hide(&mut self, needles: Vec<String>) {
        self.needles.extend(needles);
    }

    /// One more part.
    pub fn add(&mut self, path: &str, text: &str) -> Result<(), Failure> {
        let content = redact::text(text, &self.needles);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        header.set_cksum();
        let name = format!("{}/{path}", self.root);
        self.tar
            .append_data(&mut header, name, content.as_bytes())
            .map_err(|error| Failure::io(&self.target, &error))?;
        self.parts.push((path.to_owned(), content.len() as u64));
        Ok(())
    }

    /// One more part, or why it could not be had.
    pub fn add_or_tell(&mut self, path: &str, text: Result<String, Failure>) -> Result<(), Failure> {
        match text {
            Ok(text) => self.add(path, &text),
            Err(failure) => {
                self.gap(format!("{path}: {failure}"));
                Ok(())
            }
        }
    }

    /// Something that is not in it.
    pub fn gap(&mut self, why: String) {
        self.gaps.push(redact::text(&why, &self.needles));
    }

    /// What is not in it, a line each.
    pub fn gaps(&self) -> &[String] {
        &self.gaps
    }

    /// What is in it, and how many bytes each has.
    pub fn parts(&self) -> &[(String, u64)] {
        &self.parts
    }

    /// Puts it where it belongs; its size in bytes.
    pub fn finish(self) -> Result<u64, Failure> {
        let wrong = |error: std::io::Error| Failure::io(&self.target, &error);
        let mut file = self.tar.into_inner().and_then(GzEncoder::finish).map_err(wrong)?;
        file.flush().map_err(wrong)?;
        let kept: File = file.persist_noclobber(&self.target).map_err(|error| wrong(error.error))?;
        kept.sync_all().map_err(wrong)?;
        kept.metadata().map(|metadata| metadata.len()).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use flate2::read::GzDecoder;

    use super::Bundle;
    use crate::error::{Exit, Failure};

    fn read(path: &Path) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).unwrap()));
        let content = |mut entry: tar::Entry<'_, GzDecoder<std::fs::File>>| {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        };
        archive.entries().unwrap().map(|entry| content(entry.unwrap())).collect()
    }

    #[test]
    fn an_archive_has_its_parts_without_secrets_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.tar.gz");
        let mut bundle = Bundle::begin(&path, "report").unwrap();
        bundle.hide(vec!["0123456789".to_owned()]);
        bundle.add("logs/demo-0.log", "one 0123456789 two").unwrap();
        bundle.add_or_tell("events.yaml", Err(Failure::failed("list events: not allowed for 0123456789"))).unwrap();
        assert_eq!(bundle.gaps(), ["events.yaml: list events: not allowed for [left out]"]);
        assert_eq!(bundle.parts(), [("logs/demo-0.log".to_owned(), 18)]);
        assert!(!path.exists(), "it is there whole or not at all");
        let size = bundle.finish().unwrap();
        assert_eq!(size, std::fs::metadata(&path).unwrap().len());
        let parts = read(&path);
        assert_eq!(parts, BTreeMap::from([("report/logs/demo-0.log".to_owned(), "one [left out] two".to_owned())]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Bundle::begin(&path, "report").err().unwrap().exit, Exit::Usage);
        drop(Bundle::begin(&directory.path().join("other"), "report").unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "what is given up leaves nothing");
    }
}
