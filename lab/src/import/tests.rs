#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! Each format: what holds, what does not, what is not understood.

use super::{Format, ImportError, Imported, read};
use crate::judges::account::{Did, NEVER, NIL, Seen, Value};
use crate::judges::linearizable::{Choice, Model, Report, check};
use crate::judges::{Budget, Verdict};

fn report(text: &str, format: Format, model: Model, initial: Option<&str>) -> Report {
    let imported = read(text.as_bytes(), format, model, initial).unwrap();
    check(&imported.account, model, &Budget::default(), Choice::Fastest)
}

fn verdict(text: &str, format: Format, model: Model, initial: Option<&str>) -> Verdict {
    report(text, format, model, initial).verdict
}

fn refused(text: &str, format: Format, model: Model) -> ImportError {
    read(text.as_bytes(), format, model, None).map(|Imported { account, .. }| account).unwrap_err()
}

const LOG: &str = "\
INFO  jepsen.util - 4\t:invoke\t:read\tnil
INFO  jepsen.util - 4\t:ok\t:read\tnil
INFO  jepsen.util - 1 :invoke :write 1
INFO  jepsen.util - 3 :invoke :cas [1 2]
INFO  jepsen.util - 1 :info :write :timed-out
INFO  jepsen.util - 3 :ok :cas [1 2]
INFO  jepsen.util - 0 :invoke :cas [4 5]
INFO  jepsen.util - 0 :fail :cas [4 5]
INFO  jepsen.util - 0 :invoke :read nil
INFO  jepsen.util - 0 :ok :read 2
";

#[test]
fn a_log_has_spaces_or_tabs_and_operations_without_an_end() {
    let imported = read(LOG.as_bytes(), Format::JepsenLog, Model::CasRegister, None).unwrap();
    let operations = &imported.account.keys[0].operations;
    assert_eq!(operations[0].did, Did::Read(Seen::One(NIL)));
    let write = operations.iter().find(|operation| matches!(operation.did, Did::Write(_))).unwrap();
    assert_eq!((write.end, write.source, write.process), (NEVER, 3, 1));
    assert_eq!(verdict(LOG, Format::JepsenLog, Model::CasRegister, None), Verdict::Valid);
    assert_eq!(
        verdict(&LOG.replace(":read 2", ":read 1"), Format::JepsenLog, Model::CasRegister, None),
        Verdict::Invalid
    );
}

#[test]
fn a_stack_trace_in_a_log_is_about_something_else() {
    let trace = "WARN  jepsen.core - Process 1 crashed\njava.net.SocketTimeoutException: Read timed out\n\
        \tat java.net.SocketInputStream.read(SocketInputStream.java:150)\n\tat clojure.lang.AFn.run(AFn.java:22) ~[clojure.jar:na]\n\
        Caused by: java.io.IOException: gone\n\t... 3 more\n";
    let imported = read(format!("{trace}{LOG}").as_bytes(), Format::JepsenLog, Model::CasRegister, None).unwrap();
    assert_eq!((imported.other_lines, imported.account.keys[0].operations.len()), (6, 5));
    let error = refused(&format!("something else\n{LOG}"), Format::JepsenLog, Model::CasRegister);
    assert_eq!(error.line, 1);
}

#[test]
fn a_swap_that_failed_in_a_log_found_something_else_and_in_edn_says_nothing() {
    let log = LOG.replace("[4 5]", "[2 5]");
    assert_eq!(verdict(&log, Format::JepsenLog, Model::CasRegister, None), Verdict::Invalid);
    let timed_out = log.replace(":fail :cas [2 5]", ":fail :cas :timed-out");
    assert_eq!(verdict(&timed_out, Format::JepsenLog, Model::CasRegister, None), Verdict::Valid);
    let edn = "[{:process 0 :type :invoke :f :cas :value [2 5]} {:process 0 :type :fail :f :cas :value [2 5]}]";
    assert_eq!(verdict(edn, Format::JepsenEdn, Model::CasRegister, Some("2")), Verdict::Valid);
}

const EDN: &str = "{:process 0, :type :invoke, :f :write, :value 0}
{:process :nemesis, :type :info, :f :start, :value nil}
#jepsen.history.Op{:index 1, :type :ok, :f :write, :value 0, :process 0} ; it is 0 now
{:type :invoke, :f :read, :value nil, :process 1, :error [:a #{1} \"x\\n\" \\c 1.5e3 #inst \"2020\"]}
{:type :ok, :f :read, :value 0N, :process 1}";

#[test]
fn edn_may_be_a_vector_a_list_or_maps() {
    for history in [EDN.to_owned(), format!("[{EDN}\n]"), format!(" ({EDN}\n)\n")] {
        assert_eq!(verdict(&history, Format::JepsenEdn, Model::CasRegister, None), Verdict::Valid);
        assert_eq!(verdict(&history.replace("0N", "3"), Format::JepsenEdn, Model::CasRegister, None), Verdict::Invalid);
        // A read of nil says nothing, as Knossos has it.
        assert_eq!(verdict(&history.replace("0N", "nil"), Format::JepsenEdn, Model::CasRegister, None), Verdict::Valid);
    }
}

#[test]
fn the_initial_value_is_written_as_the_history_writes_it() {
    let read = "[{:process 0 :type :invoke :f :read :value nil} {:process 0 :type :ok :f :read :value 7}]";
    assert_eq!(verdict(read, Format::JepsenEdn, Model::Register, None), Verdict::Invalid);
    assert_eq!(verdict(read, Format::JepsenEdn, Model::Register, Some("7")), Verdict::Valid);
    let wrong = super::read(read.as_bytes(), Format::JepsenEdn, Model::Register, Some("[7")).unwrap_err();
    assert!(wrong.what.contains("the initial value \"[7\": is not closed"), "{wrong}");
}

const KV: &str = r#"{:process 0, :type :invoke, :f :append, :key "3", :value "x 0 1 y"}
{:process 1, :type :invoke, :f :get, :key "3", :value nil}
{:process 0, :type :ok, :f :append, :key "3", :value "x 0 1 y"}
{:process 1, :type :ok, :f :get, :key "3", :value ""}
{:process 1, :type :invoke, :f :append, :key "3", :value "x 1 1 y"}
{:process 2, :type :invoke, :f :get, :key "3", :value nil}
{:process 2, :type :ok, :f :get, :key "3", :value "x 0 1 yx 1 1 y"}
{:process 2, :type :invoke, :f :put, :key "4", :value "z"}
{:process 2, :type :ok, :f :put, :key "4", :value "z"}
"#;

#[test]
fn key_value_lines_are_judged_key_by_key() {
    let report = report(KV, Format::PorcupineKv, Model::Append, None);
    assert_eq!((report.verdict, report.valid), (Verdict::Valid, 2));
    let swapped = KV.replace("x 0 1 yx 1 1 y", "x 1 1 yx 0 1 y");
    let report = self::report(&swapped, Format::PorcupineKv, Model::Append, None);
    assert_eq!((report.verdict, report.invalid, report.valid), (Verdict::Invalid, 1, 1));
    let finding = &report.findings[0];
    assert_eq!(finding.key, "3");
    assert!(!finding.witness.is_empty() && finding.witness.len() <= 10, "{finding:?}");
}

#[test]
fn a_list_grows_too() {
    let edn = "[{:process 0 :type :invoke :f :append :value 5} {:process 0 :type :ok :f :append :value 5}
        {:process 0 :type :invoke :f :append :value 6} {:process 0 :type :info :f :append :value 6}
        {:process 1 :type :invoke :f :read :value nil} {:process 1 :type :ok :f :read :value [5 6]}]";
    assert_eq!(verdict(edn, Format::JepsenEdn, Model::Append, None), Verdict::Valid);
    assert_eq!(verdict(&edn.replace("[5 6]", "[6]"), Format::JepsenEdn, Model::Append, None), Verdict::Invalid);
}

#[test]
fn a_set_is_read_as_a_set_or_a_list() {
    let edn = "[{:process 0 :type :invoke :f :add :value 5} {:process 0 :type :ok :f :add :value 5}
        {:process 1 :type :invoke :f :read :value nil} {:process 1 :type :ok :f :read :value #{5}}]";
    assert_eq!(verdict(edn, Format::JepsenEdn, Model::Set, None), Verdict::Valid);
    assert_eq!(verdict(&edn.replace("#{5}", "[5]"), Format::JepsenEdn, Model::Set, None), Verdict::Valid);
    let twice = report(&edn.replace("#{5}", "[5 5]"), Format::JepsenEdn, Model::Set, None);
    assert_eq!(twice.verdict, Verdict::Invalid, "no set has an element twice");
    assert_eq!(verdict(&edn.replace("#{5}", "[]"), Format::JepsenEdn, Model::Set, None), Verdict::Invalid);
}

const JSON: &str = r#"[
  {"ClientId": 0, "Input": {"op": 1, "arg1": 5}, "Call": 1764000000000000000, "Output": {}, "Return": 1764000000000000010},
  {"client_id": 1, "input": {"op": "read"}, "call": 1764000000000000020, "output": {"exists": true, "value": 5}, "return": 1764000000000000030},
  {"ClientId": 2, "Input": {"op": 2, "arg1": 5, "arg2": 6}, "Call": 1764000000000000040, "Output": {"ok": true}, "Return": 1764000000000000050},
  {"ClientId": 2, "Input": {"op": 2, "arg1": 5, "arg2": 7}, "Call": 1764000000000000060, "Output": {"ok": false}, "Return": 1764000000000000070}
]"#;

#[test]
fn json_operations_have_times_of_their_own() {
    let lines: String =
        JSON.lines().filter(|line| line.len() > 2).map(|line| line.trim_end_matches(',').to_owned() + "\n").collect();
    for history in [JSON, &lines] {
        assert_eq!(verdict(history, Format::PorcupineJson, Model::CasRegister, None), Verdict::Valid);
        let stale = history.replace(r#""arg1": 5, "arg2": 7"#, r#""arg1": 6, "arg2": 7"#);
        assert_eq!(verdict(&stale, Format::PorcupineJson, Model::CasRegister, None), Verdict::Invalid, "6 was there");
        for never in ["null", "9223372036854775807", "18446744073709551615"] {
            let unknown = stale.replace(r#""Return": 1764000000000000070"#, &format!(r#""Return": {never}"#));
            assert_eq!(verdict(&unknown, Format::PorcupineJson, Model::CasRegister, None), Verdict::Valid, "{never}");
        }
    }
}

#[test]
fn a_write_of_json_has_its_value_under_a_known_name_or_writes_nothing() {
    let operation =
        |input: &str| format!("{{\"ClientId\": 0, \"Input\": {input}, \"Call\": 1, \"Output\": {{}}, \"Return\": 2}}");
    let error = refused(&operation(r#"{"Op": "write", "Key": "k", "Val": 5}"#), Format::PorcupineJson, Model::Register);
    assert!(error.what.contains("`Val`, which is not known"), "{error}");
    for (input, output, what) in [
        (r#"{"Op": "read", "Key": "k"}"#, r#"{"result": 5}"#, "`result`, which is not known"),
        (
            r#"{"Op": "cas", "Key": "k", "Arg1": 1, "Arg2": 2}"#,
            r#"{"success": false}"#,
            "`success`, which is not known",
        ),
        (r#"{"Op": "cas", "Key": "k", "Arg1": 1, "Arg2": 2}"#, "{}", "whether it was done"),
    ] {
        let text = operation(input).replace("{}, \"Return\"", &format!("{output}, \"Return\""));
        let error = refused(&text, Format::PorcupineJson, Model::CasRegister);
        assert!(error.what.contains(what), "{text}: {error}");
    }
    let empty = operation(r#"{"Op": "write", "Key": "k"}"#) + &operation(r#"{"Op": "read", "Key": "k", "Rev": 3}"#);
    assert_eq!(verdict(&empty, Format::PorcupineJson, Model::Register, None), Verdict::Valid);
    let whole = r#"{"ClientId": 0, "Input": {"op": "write", "value": 1.0}, "Call": 1, "Output": null, "Return": 2}
        {"ClientId": 0, "Input": {"op": "read"}, "Call": 3, "Output": 1, "Return": 4}"#;
    assert_eq!(verdict(whole, Format::PorcupineJson, Model::Register, None), Verdict::Valid);
    let other = whole.replace("1.0", "1.5");
    assert_eq!(verdict(&other, Format::PorcupineJson, Model::Register, None), Verdict::Invalid);
    let keyed = whole.replace("\"write\",", "\"write\", \"key\": 7.0,").replace("\"read\"", "\"read\", \"key\": 7");
    assert_eq!(report(&keyed, Format::PorcupineJson, Model::Register, None).valid, 1, "one key");
    let without = whole.replace("\"write\",", "\"write\", \"key\": null,");
    assert_eq!(report(&without, Format::PorcupineJson, Model::Register, None).valid, 1, "one key");
    for huge in ["18446744073709551617", "9007199254740994.0", "1e300"] {
        let error = refused(&whole.replace("1.0", huge), Format::PorcupineJson, Model::Register);
        assert!(error.what.contains("cannot be told from its neighbours"), "{huge}: {error}");
    }
}

/// The model of sets as Porcupine's own tests write it: `op` true adds, `values` are what was read.
#[test]
fn a_set_of_json_is_read_as_porcupine_writes_it() {
    let add = |value, call| {
        format!(
            "{{\"ClientId\": 0, \"Input\": {{\"op\": true, \"value\": {value}}}, \"Call\": {call}, \"Output\": {{}}, \"Return\": {}}}\n",
            call + 1
        )
    };
    let read = |values: &str| {
        format!(
            "{{\"ClientId\": 1, \"Input\": {{\"op\": false}}, \"Call\": 9, \"Output\": {{\"values\": {values}}}, \"Return\": 10}}\n"
        )
    };
    let of = |values: &str| {
        let history = add(100, 0) + &add(110, 2) + &read(values);
        verdict(&history, Format::PorcupineJson, Model::Set, None)
    };
    assert_eq!(of("[100, 110]"), Verdict::Valid);
    assert_eq!(of("[100]"), Verdict::Invalid);
    assert_eq!(of("[100, 100, 110]"), Verdict::Invalid, "no set has an element twice");
}

/// An answer that tells of a failure is no answer, and one that says what is not known is an error.
#[test]
fn an_output_of_json_that_tells_of_a_failure_leaves_the_outcome_open() {
    let operations = |output: &str| {
        format!(
            "{{\"ClientId\": 0, \"Input\": {{\"op\": \"put\", \"value\": \"1\"}}, \"Call\": 1, \"Output\": {output}, \"Return\": 2}}
            {{\"ClientId\": 1, \"Input\": {{\"op\": \"get\"}}, \"Call\": 3, \"Output\": \"\", \"Return\": 4}}"
        )
    };
    let of = |output: &str| verdict(&operations(output), Format::PorcupineJson, Model::Append, None);
    assert_eq!(of("{}"), Verdict::Invalid);
    assert_eq!(of("{\"error\": null}"), Verdict::Invalid);
    assert_eq!(of("{\"error\": \"timeout\"}"), Verdict::Valid);
    let failed_read =
        operations("{}").replace("\"Output\": \"\"", "\"Output\": {\"err\": \"timeout\", \"value\": \"\"}");
    assert_eq!(
        verdict(&failed_read, Format::PorcupineJson, Model::Append, None),
        Verdict::Valid,
        "a read of nothing is none"
    );
    let error = refused(&operations("{\"status\": \"late\"}"), Format::PorcupineJson, Model::Append);
    assert!(error.what.contains("`status`, which is not known"), "{error}");
}

/// Two keys, each honest; as one register they are not.
const KEYS_IN_VALUES: &str = "\
{:process 0 :type :invoke :f :write :value [1 10]}{:process 0 :type :ok :f :write :value [1 10]}
{:process 0 :type :invoke :f :write :value [2 20]}{:process 0 :type :ok :f :write :value [2 20]}
{:process 0 :type :invoke :f :read :value [1 nil]}{:process 0 :type :ok :f :read :value [1 10]}
{:process 1 :type :invoke :f :cas :value [1 [10 11]]}{:process 1 :type :ok :f :cas :value [1 [10 11]]}
{:process 1 :type :invoke :f :cas :value [2 [99 21]]}{:process 1 :type :fail :f :cas :value [2 [99 21]]}
{:process 2 :type :invoke :f :read :value [2 nil]}{:process 2 :type :info :f :read :value [2 nil] :error :timeout}
{:process 0 :type :invoke :f :read :value [1 nil]}{:process 0 :type :ok :f :read :value [1 11]}
";

#[test]
fn keys_in_values_are_judged_each_by_itself() {
    let judged = |text: &str| verdict(text, Format::JepsenEdn, Model::CasRegister, None);
    assert_eq!(judged(KEYS_IN_VALUES), Verdict::Valid);
    assert_eq!(
        judged(&KEYS_IN_VALUES.replace(":value [1 11]}\n", ":value [1 10]}\n")),
        Verdict::Invalid,
        "it was swapped"
    );
    for (from, to, what) in [
        (":ok :f :read :value [1 10]", ":ok :f :read :value [2 10]", "is of another key"),
        (":ok :f :read :value [1 10]", ":ok :f :read :value 10", "10 is none"),
        (":invoke :f :write :value [2 20]", ":invoke :f :write :value 20", "20 is none"),
    ] {
        let error = refused(&KEYS_IN_VALUES.replacen(from, to, 1), Format::JepsenEdn, Model::CasRegister);
        assert!(error.what.contains(what), "{error}");
    }
}

#[test]
fn equal_sets_and_maps_are_one_value_however_they_are_written() {
    for (one, other) in [("#{1 2}", "#{2 1}"), ("{:a 1, :b 2}", "{:b 2, :a 1}"), ("[#{1 2}]", "[#{2 1}]")] {
        let edn = format!(
            "{{:process 0 :type :invoke :f :write :value {one}}}{{:process 0 :type :ok :f :write :value {one}}}\
             {{:process 0 :type :invoke :f :read}}{{:process 0 :type :ok :f :read :value {other}}}"
        );
        assert_eq!(verdict(&edn, Format::JepsenEdn, Model::Register, None), Verdict::Valid, "{edn}");
    }
}

#[test]
fn a_mark_of_the_order_of_bytes_is_no_part_of_a_history() {
    let edn = "\u{feff}{:process 0 :type :invoke :f :read}{:process 0 :type :ok :f :read :value nil}";
    assert_eq!(verdict(edn, Format::JepsenEdn, Model::Register, None), Verdict::Valid);
    assert_eq!(verdict(&format!("\u{feff}{JSON}"), Format::PorcupineJson, Model::CasRegister, None), Verdict::Valid);
}

#[test]
fn what_is_not_understood_is_told_with_its_place() {
    let place = |text: &str, format| {
        let error = refused(text, format, Model::CasRegister);
        ((error.line, error.column), error.what)
    };
    let mut misplaced = Vec::new();
    for (text, format, at, what) in [
        ("[{:process 0 :type :invoke\n :f :read :value [1}]", Format::JepsenEdn, (2, 20), "closes nothing"),
        ("[{:process 0, :type :ok, :f :read}]", Format::JepsenEdn, (1, 2), "never began"),
        ("\n  {:type :ok, :f :read}", Format::JepsenEdn, (2, 3), "no :process"),
        ("{:process 0, :type :done, :f :read}", Format::JepsenEdn, (1, 1), "the type done"),
        ("{:process 0, :type :invoke, :f :enqueue}", Format::JepsenEdn, (1, 1), "`enqueue` is no operation"),
        (
            "{:process 0 :type :invoke :f :read}\n{:process 0 :type :invoke :f :read}",
            Format::JepsenEdn,
            (2, 1),
            "line 1 has no end",
        ),
        ("[7]", Format::JepsenEdn, (1, 2), "a map is expected"),
        ("[{:process 0 :type", Format::JepsenEdn, (1, 2), "not closed"),
        ("[", Format::JepsenEdn, (1, 2), "ends before"),
        ("[] x", Format::JepsenEdn, (1, 4), "something follows"),
        ("", Format::JepsenEdn, (1, 1), "no operation"),
        ("{:process 0 :a \"x", Format::PorcupineKv, (1, 16), "closing"),
        ("INFO  jepsen.util - 3 :invoke", Format::JepsenLog, (1, 23), "no operation"),
        ("INFO  jepsen.util - 3 :invoke :cas [1 2", Format::JepsenLog, (1, 36), "not closed"),
        ("INFO  jepsen.util - x :invoke :cas [1 2]", Format::JepsenLog, (1, 21), "the process `x`"),
        ("INFO  jepsen.core - hello\nhello", Format::JepsenLog, (2, 1), "is no event"),
        ("INFO  jepsen.util - 3 :inv", Format::JepsenLog, (1, 1), "is no event"),
        (
            "INFO  jepsen.util - 3 :invoke :cas [1]\nINFO  jepsen.util - 3 :ok :cas [1]",
            Format::JepsenLog,
            (1, 1),
            "two values",
        ),
        ("[\n {\"Input\": {\"op\": 0}}]", Format::PorcupineJson, (2, 22), "no Call"),
        ("[\n {\"Input\": }]", Format::PorcupineJson, (2, 12), "expected value"),
        ("[{\"Input\": {\"op\": 9}, \"Call\": 1}]", Format::PorcupineJson, (1, 33), "the op 9"),
        (
            "[{\"Input\": {\"op\": 1, \"value\": 1}, \"Call\": 3, \"Return\": 2}]",
            Format::PorcupineJson,
            (1, 58),
            "ends before it begins",
        ),
    ] {
        let (place, told) = place(text, format);
        assert!(told.contains(what), "{text}: {told}");
        misplaced.extend((place != at).then(|| format!("{text}: {told}: {place:?} instead of {at:?}")));
    }
    assert!(misplaced.is_empty(), "{}", misplaced.join("\n"));
    let bytes = read(b"[\n\xff]", Format::JepsenEdn, Model::Register, None).unwrap_err();
    assert_eq!((bytes.line, bytes.column), (2, 1));
}

#[test]
fn deep_nesting_is_refused_before_the_stack_is() {
    for open in ["[", "{", "#{", "(", "#a ", "#_ "] {
        let error = refused(&format!("[{{:process {}", open.repeat(1_000_000)), Format::JepsenEdn, Model::Register);
        assert!(error.what.contains("nested deeper"), "{open}: {error}");
    }
    let json = format!("[{{\"Input\": {}", "[".repeat(1_000_000));
    assert!(refused(&json, Format::PorcupineJson, Model::Register).what.contains("recursion limit"));
}

#[test]
fn values_are_the_same_only_if_they_are_written_the_same() {
    let imported = read(
        b"[{:process 0 :type :invoke :f :write :value 1} {:process 1 :type :invoke :f :write :value \"1\"}]",
        Format::JepsenEdn,
        Model::Register,
        None,
    );
    let account = imported.unwrap().account;
    let values: Vec<&Did> = account.keys[0].operations.iter().map(|operation| &operation.did).collect();
    assert_eq!(values, [&Did::Write(Value(1)), &Did::Write(Value(2))]);
}

#[test]
fn the_initial_set_is_its_elements_however_it_is_written_and_the_initial_list_its_own() {
    let read = |value: &str| {
        format!("{{:process 0, :type :invoke, :f :read}}\n{{:process 0, :type :ok, :f :read, :value {value}}}\n")
    };
    let set = |initial: &str, value: &str| verdict(&read(value), Format::JepsenEdn, Model::Set, Some(initial));
    for initial in ["#{1 2}", "[2 1 1]", "(1 2)"] {
        assert_eq!(set(initial, "#{1 2}"), Verdict::Valid, "{initial}");
        assert_eq!(set(initial, "#{1}"), Verdict::Invalid, "{initial}");
    }
    for initial in ["#{}", "[]"] {
        assert_eq!(set(initial, "#{}"), Verdict::Valid, "{initial}");
        assert_eq!(set(initial, "#{1}"), Verdict::Invalid, "{initial}");
    }
    let json = r#"{"ClientId": 0, "Input": {"op": "read"}, "Call": 0, "Output": [1, 2], "Return": 5}"#;
    assert_eq!(verdict(json, Format::PorcupineJson, Model::Set, Some("[2, 1]")), Verdict::Valid);
    for (initial, value) in [("[1 2]", "[1 2]"), ("(1 2)", "[1 2]"), ("[]", "nil"), ("[]", "[]")] {
        assert_eq!(verdict(&read(value), Format::JepsenEdn, Model::Append, Some(initial)), Verdict::Valid, "{initial}");
    }
    assert_eq!(verdict(&read("[2 1]"), Format::JepsenEdn, Model::Append, Some("[1 2]")), Verdict::Invalid);
}
