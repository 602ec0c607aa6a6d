//! Draws a report with every kind of figure, from made-up numbers: `cargo run -p driftkv-lab --example report_demo -- DIRECTORY`.
//! To look at how reports look; `lab/tests/browser.rs` loads the same in a browser.

use std::path::PathBuf;

mod demo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/report-demo".to_owned()));
    driftkv_lab::report::write(&directory, &demo::report())?;
    println!("{}", directory.join("report.html").display());
    Ok(())
}
