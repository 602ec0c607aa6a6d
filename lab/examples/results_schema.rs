//! Prints the JSON schema of `results.json`; `make fix` keeps it as `lab/schema/results-v1.json`, and a test compares the two.

fn main() {
    print!("{}", driftkv_lab::report::results::schema_text());
}
