//! The binaries that tests start, built from this very source: stable cargo lets no package depend on another one's.
//! Not here: running them (`cluster`, and the tests of the command).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory that has `driftkv` and `driftkv-node`; they are built when first asked for, in the profile of the tests.
///
/// Panics if they do not build.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        // TARGET/PROFILE/deps/TEST: the binaries belong into TARGET/PROFILE.
        let me = std::env::current_exe().expect("this executable");
        let deps = me.ancestors().find(|path| path.ends_with("deps")).expect("cargo's layout");
        let directory = deps.parent().expect("cargo's layout").to_owned();
        build(&directory);
        directory
    })
}

fn build(directory: &Path) {
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--workspace", "--bins", "--profile", profile, "--target-dir"])
        .arg(directory.parent().expect("cargo's layout"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the binaries do not build");
}
