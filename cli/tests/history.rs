#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
//! `driftkv lab check --format`: exit codes, and what is told.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const GOOD: &str = "INFO  jepsen.util - 1 :invoke :write 1\nINFO  jepsen.util - 1 :ok :write 1\n\
                    INFO  jepsen.util - 2\t:invoke\t:read\tnil\nINFO  jepsen.util - 2\t:ok\t:read\t1\n";

/// Judges `history`, which comes by stdin.
fn check(words: &[&str], history: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftkv"));
    command.args(["lab", "check", "--format"]).args(words).arg("-");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its flags does not read.
    let _ = child.stdin.take().unwrap().write_all(history.as_bytes());
    child.wait_with_output().unwrap()
}

fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("no signal"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_history_that_holds_ends_with_0_and_one_that_does_not_with_1_and_a_witness() {
    let (code, told, _) = ended(&check(&["jepsen-log", "--model", "cas-register"], GOOD));
    assert_eq!((code, told.starts_with("linearizable: 2 operations of 1 key")), (0, true), "{told}");
    let (code, told, _) =
        ended(&check(&["jepsen-log", "--model", "register"], &GOOD.replace(":read\t1", ":read\tnil")));
    assert_eq!((code, told.contains("read nil")), (1, true), "{told}");
    let (code, told, _) =
        ended(&check(&["jepsen-log", "--model", "register", "-o", "json"], &GOOD.replace(":read\t1", ":read\t7")));
    assert_eq!((code, told.contains("\"verdict\": \"invalid\"")), (1, true), "{told}");
}

#[test]
fn a_budget_that_is_used_up_ends_with_2() {
    // Forty swaps at once of which none can be last, and nothing that says so early.
    let invoke: String = (0..40).map(|number| format!("- {number} :invoke :write {}\n", number % 20)).collect();
    let end: String = (0..40).map(|number| format!("- {number} :ok :write {}\n", number % 20)).collect();
    let last = "- 99 :invoke :read nil\n- 99 :ok :read 77\n";
    let words = ["jepsen-log", "--model", "register", "--search-only", "--budget", "50ms"];
    let (code, told, why) = ended(&check(&words, &(invoke + &end + last)));
    assert_eq!((code, told.starts_with("unknown")), (2, true), "{told}{why}");
}

#[test]
fn bad_input_and_wrong_flags_end_with_64_and_say_where() {
    let (code, _, why) = ended(&check(&["jepsen-log", "--model", "register"], &GOOD.replace(":read\t1", ":read\t[1")));
    assert_eq!((code, why.contains("line 4, column 33: is not closed")), (64, true), "{why}");
    for words in
        [&["jepsen-log"][..], &["nothing", "--model", "set"], &["jepsen-log", "--model", "set", "--budget", "x"]]
    {
        assert_eq!(ended(&check(words, GOOD)).0, 64, "{words:?}");
    }
}

#[test]
fn what_is_for_another_way_of_judging_is_refused_and_other_commands_keep_their_exit_code() {
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftkv"));
        ended(&command.args(words).env_remove("DRIFTKV_ENDPOINTS").stdin(Stdio::null()).output().unwrap())
    };
    for flag in [["--settle", "1s"], ["--timeout", "1s"], ["-r", "2"]] {
        let (code, _, why) = run(&["lab", "check", "nowhere", flag[0], flag[1]]);
        assert_eq!((code, why.contains(&format!("{} is for reading the store", flag[0]))), (64, true), "{why}");
    }
    assert_eq!(run(&["lab", "check", "nowhere", "--expect", "freshh"]).0, 64);
    assert_eq!(run(&["lab", "check", "nowhere", "--data", "x", "--bogus"]).0, 2);
    assert_eq!(run(&["put", "lab", "check", "--bogus"]).0, 2, "a key and a value are no command");
}
