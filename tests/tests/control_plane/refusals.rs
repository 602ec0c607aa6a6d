//! Manifests that must be refused, each with words that tell a person what to change: `tests/e2e/bad/*.yaml`, whose first lines
//! (`# refused: WORDS`) name words of the message. And the manifests that we publish, which must be taken.

use std::path::{Path, PathBuf};

use crate::plane::Plane;

/// So many at least: a directory that was not found must not pass.
const FILES_MIN: usize = 20;
const EXAMPLE: &str = "examples/kvcluster.yaml";

/// What `kubectl apply --dry-run=server` says of every manifest.
pub fn all(plane: &Plane) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    // Some of the bad ones change what cannot change.
    let (is_ok, said) = apply(plane, &root.join(EXAMPLE), &[]);
    assert!(is_ok, "{EXAMPLE}: {said}");
    for good in [EXAMPLE, "examples/local.yaml"] {
        let (is_ok, said) = apply(plane, &root.join(good), &["-n", "kube-public", "--dry-run=server"]);
        assert!(is_ok && !said.contains("Warning"), "{good}: {said}");
    }
    let files = files(&root.join("tests/e2e/bad"));
    let wrong: Vec<String> = files.iter().filter_map(|file| mistake(plane, file).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files.len() >= FILES_MIN, "{} bad manifests, expected {FILES_MIN}", files.len());
    format!("{} bad manifests refused with the words they name, 2 examples taken", files.len())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("a file").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

/// Errors: it was taken, or refused in other words.
fn mistake(plane: &Plane, file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).expect("a manifest");
    let words: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# refused: ")).collect();
    let name = file.file_name().unwrap_or_default().display();
    if words.is_empty() {
        return Err(format!("{name} does not begin with `# refused: WORDS`"));
    }
    let (is_ok, said) = apply(plane, file, &["--dry-run=server"]);
    if is_ok {
        return Err(format!("{name} was taken: {said}"));
    }
    match words.iter().find(|words| !said.contains(**words)) {
        Some(missing) => Err(format!("{name} was refused without the words {missing:?}: {said}")),
        None => Ok(()),
    }
}

fn apply(plane: &Plane, file: &Path, flags: &[&str]) -> (bool, String) {
    let output = plane.kubectl().arg("apply").args(flags).arg("-f").arg(file).output().expect("kubectl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}
