//! What the command says about itself to shells and to `man`: both made from the same `args` as `--help`.
//! Invariant: a page is there whole or not at all.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use tempfile::NamedTempFile;

use crate::error::Failure;
use crate::style::{self, count};

/// Prints the completions of one shell.
pub fn completions<A: CommandFactory>(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = A::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    style::print(script)
}

/// Writes a page for the command and one for each of its subcommands into `directory`.
pub fn pages<A: CommandFactory>(directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).map_err(|error| Failure::io(directory, &error))?;
    let mut command = A::command();
    command.build();
    let mut written = 0;
    write_pages(directory, &command, &mut written)?;
    style::print(format!("{} in {}\n", count(written, "page"), directory.display()))
}

fn write_pages(directory: &Path, command: &clap::Command, written: &mut u64) -> Result<(), Failure> {
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        write_pages(directory, subcommand, written)?;
    }
    let page = clap_mangen::Man::new(command.clone());
    let path = directory.join(page.get_filename());
    let write = || {
        let mut file = NamedTempFile::new_in(directory)?;
        page.render(&mut file)?;
        file.flush()?;
        file.persist(&path).map_err(|error| error.error)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
    };
    write().map_err(|error| Failure::io(&path, &error))?;
    *written += 1;
    Ok(())
}
