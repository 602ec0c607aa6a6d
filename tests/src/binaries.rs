//! The binaries that tests start. `cargo test --workspace` makes them before any test runs, since both packages have tests of
//! their programs; stable cargo lets no package depend on another one's binary.
//! Not here: running them (`cluster`, and the tests of the command).

use std::path::PathBuf;

/// The program `name` that this build made.
///
/// Panics if it is not there: then only a part of the workspace was built.
pub fn program(name: &str) -> PathBuf {
    // TARGET/PROFILE/deps/TEST or TARGET/PROFILE/PROGRAM: what we look for is in TARGET/PROFILE.
    let me = std::env::current_exe().expect("this executable");
    let profile = me.ancestors().find(|path| path.ends_with("deps")).unwrap_or(&me);
    let program = profile.with_file_name(name);
    assert!(
        program.is_file(),
        "{} is missing: run `make test`, or `cargo build --workspace --bins`",
        program.display()
    );
    program
}
