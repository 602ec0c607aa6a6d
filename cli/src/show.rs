//! How the results of get, put and delete look: to a person, to a pipe, to a program.
//! Invariant: into a pipe goes the value alone (get) or the context alone (put, delete); remarks go to stderr.

use driftkv_proto::{BUCKET_DEFAULT, v1};
use serde_json::{Value, json};

use crate::args::{KeyArgs, Output};
use crate::error::Failure;
use crate::style::{self, Paint, count, one_line, shell};
use crate::{program, token};

/// Whether stdout gets bare bytes.
pub fn is_raw(key: &KeyArgs, is_terminal: bool) -> bool {
    key.output == Output::Text && !is_terminal
}

/// Writes the answer of a get; nothing if there is no value, except as JSON.
pub fn get(key: &KeyArgs, reply: &v1::GetReply, is_terminal: bool) -> Result<(), Failure> {
    match (key.output, reply.siblings.as_slice()) {
        (Output::Json | Output::Yaml, _) => style::print_value(key.output, &get_json(key, reply)),
        (Output::Text, []) => Ok(()),
        (Output::Text, [only]) if !is_terminal => style::print(&only.value),
        (Output::Text, siblings) => style::print(get_text(Paint::stdout(), key, siblings, reply)),
    }
}

/// The sentence for a key without a live value.
pub fn not_found(key: &KeyArgs, reply: &v1::GetReply) -> String {
    let place = place(key);
    match reply.context.is_empty() {
        true => format!("not found: the replicas that answered know nothing of {place}"),
        false => format!("not found: {place} was deleted\n  context {}", token::of_context(&reply.context)),
    }
}

fn get_text(paint: Paint, key: &KeyArgs, siblings: &[v1::Sibling], reply: &v1::GetReply) -> String {
    let achieved = achieved(reply.achieved.unwrap_or_default(), "answered by");
    if let [only] = siblings {
        let context = token::of_context(&reply.context);
        let remarks = paint.dim(&format!("context {context}\n{achieved}"));
        return format!("{}\n{remarks}\n", style::value(&only.value, 0));
    }
    let title = format!("{} siblings: concurrent writes, none of which had seen the other", siblings.len());
    let mut out = format!("{}\n", paint.yellow(&title));
    for (number, sibling) in (1..).zip(siblings) {
        out += &format!("{number:>4}  {}\n", style::value(&sibling.value, 6));
    }
    out + &format!("{}\n{}\n", resolve_hint(key, reply), paint.dim(&achieved))
}

/// How to replace all siblings by one value.
pub fn resolve_hint(key: &KeyArgs, reply: &v1::GetReply) -> String {
    let context = token::of_context(&reply.context);
    let (name, flag, words) = (program::name(), program::context_flag(), words(key));
    format!("To resolve them, put what it should be:\n  {name} put {words} 'THE VALUE' {flag} {context}")
}

/// The key, and the bucket unless it is the default one, as words of a command line.
fn words(key: &KeyArgs) -> String {
    match key.bucket.as_str() {
        BUCKET_DEFAULT => shell(&key.key),
        bucket => format!("-b {} {}", shell(bucket), shell(&key.key)),
    }
}

/// Writes the answer of a put or delete. `done`: "written" or "deleted".
pub fn put(key: &KeyArgs, reply: &v1::PutReply, done: &str, is_terminal: bool) -> Result<(), Failure> {
    let context = token::of_context(&reply.context);
    match (key.output, is_terminal) {
        (Output::Json | Output::Yaml, _) => style::print_value(key.output, &put_json(key, reply)),
        (Output::Text, true) => {
            let paint = Paint::stdout();
            let context =
                if context.is_empty() { String::new() } else { paint.dim(&format!("context {context}")) + "\n" };
            style::print(put_remarks(paint, key, reply, done) + &context)
        }
        (Output::Text, false) => {
            style::note(put_remarks(Paint::stderr(), key, reply, done).trim_end());
            if context.is_empty() { Ok(()) } else { style::print(format!("{context}\n")) }
        }
    }
}

fn put_remarks(paint: Paint, key: &KeyArgs, reply: &v1::PutReply, done: &str) -> String {
    let mut out = format!("{}\n", achieved(reply.achieved.unwrap_or_default(), &format!("{done}: on disk at")));
    if reply.was_applied {
        out += "an earlier attempt with this request id had been applied already; it was not applied twice\n";
    }
    if reply.siblings > 1 {
        let told = format!(
            "{} siblings now: a put replaces only what its {} has seen",
            reply.siblings,
            program::context_flag()
        );
        out += &format!("{}\nto see and resolve them: {} get {}\n", paint.yellow(&told), program::name(), words(key));
    } else if reply.context.is_empty() {
        out += "no context: there are values that you have not seen, so get before you put again\n";
    }
    out
}

/// `answered by 2 primaries`, and what it means when fallbacks took part.
pub fn achieved(achieved: v1::Achieved, verb: &str) -> String {
    let v1::Achieved { primaries, fallbacks, strict } = achieved;
    let primaries = match primaries {
        1 => "1 primary".to_owned(),
        _ => format!("{primaries} primaries"),
    };
    match (fallbacks, strict) {
        (0, _) => format!("{verb} {primaries}"),
        (_, true) => format!("{verb} {primaries} and {}", count(fallbacks.into(), "fallback")),
        (_, false) => {
            let fallbacks = count(fallbacks.into(), "fallback");
            format!("{verb} {primaries} and {fallbacks}: a sloppy quorum, which a strict one may not overlap")
        }
    }
}

fn place(key: &KeyArgs) -> String {
    match key.bucket.as_str() {
        BUCKET_DEFAULT => format!("key \"{}\"", one_line(&key.key)),
        bucket => format!("key \"{}\" of bucket \"{}\"", one_line(&key.key), one_line(bucket)),
    }
}

fn get_json(key: &KeyArgs, reply: &v1::GetReply) -> Value {
    let siblings: Vec<Value> = reply.siblings.iter().map(sibling_json).collect();
    json!({
        "bucket": key.bucket,
        "key": key.key,
        "siblings": siblings,
        "context": token::of_context(&reply.context),
        "achieved": achieved_json(reply.achieved.unwrap_or_default()),
    })
}

fn sibling_json(sibling: &v1::Sibling) -> Value {
    let request_id = token::of_request_id(&sibling.request_id);
    match std::str::from_utf8(&sibling.value) {
        Ok(text) => json!({ "value": text, "requestId": request_id }),
        Err(_) => json!({ "valueBase64": token::of_value(&sibling.value), "requestId": request_id }),
    }
}

fn put_json(key: &KeyArgs, reply: &v1::PutReply) -> Value {
    json!({
        "bucket": key.bucket,
        "key": key.key,
        "context": token::of_context(&reply.context),
        "siblingCount": reply.siblings,
        "achieved": achieved_json(reply.achieved.unwrap_or_default()),
        "wasApplied": reply.was_applied,
        "requestId": token::of_request_id(&reply.request_id),
    })
}

fn achieved_json(achieved: v1::Achieved) -> Value {
    json!({ "primaries": achieved.primaries, "fallbacks": achieved.fallbacks, "strict": achieved.strict })
}

#[cfg(test)]
mod tests {
    use super::{achieved, get_json, get_text, not_found, put_remarks};
    use crate::args::{KeyArgs, Output};
    use crate::style::Paint;
    use bytes::Bytes;
    use driftkv_proto::v1::{Achieved, GetReply, PutReply, Sibling};
    use serde_json::json;

    fn key() -> KeyArgs {
        KeyArgs { key: "c 1".to_owned(), bucket: "b".to_owned(), trace: false, timeout: None, output: Output::Text }
    }

    fn reply(values: &[&'static [u8]]) -> GetReply {
        let sibling = |value: &&'static [u8]| Sibling { value: Bytes::from_static(value), request_id: Bytes::new() };
        GetReply {
            siblings: values.iter().map(sibling).collect(),
            context: Bytes::from_static(b"\x01\x02\x03"),
            achieved: Some(Achieved { primaries: 1, fallbacks: 1, strict: false }),
        }
    }

    #[test]
    fn siblings_are_numbered_and_the_command_that_resolves_them_is_there() {
        let reply = reply(&[b"bread\nmilk", b"\xff"]);
        let text = get_text(Paint::off(), &key(), &reply.siblings, &reply);
        assert!(text.starts_with("2 siblings"), "{text}");
        assert!(text.contains("   1  bread\n      milk\n   2  ff  (1 byte, not text)\n"), "{text}");
        assert!(text.contains("driftkv put -b b 'c 1' 'THE VALUE' --context AQID\n"), "{text}");
        assert!(text.contains("1 primary and 1 fallback: a sloppy quorum"), "{text}");
    }

    #[test]
    fn never_written_and_deleted_are_told_apart() {
        assert!(not_found(&key(), &reply(&[])).contains("was deleted\n  context AQID"));
        assert!(not_found(&key(), &GetReply::default()).contains("know nothing of"));
    }

    #[test]
    fn json_keeps_bytes_that_are_not_text() {
        let json = get_json(&key(), &reply(&[b"a", b"\xff"]));
        assert_eq!(json.pointer("/siblings/0/value"), Some(&json!("a")));
        assert_eq!(json.pointer("/siblings/1/valueBase64"), Some(&json!("/w==")));
        assert_eq!(json.pointer("/context"), Some(&json!("AQID")));
    }

    #[test]
    fn a_put_beside_unseen_siblings_says_what_to_do() {
        let remarks = put_remarks(
            Paint::off(),
            &key(),
            &PutReply { siblings: 3, was_applied: true, ..PutReply::default() },
            "written",
        );
        for part in ["3 siblings now", "driftkv get -b b 'c 1'\n", "not applied twice"] {
            assert!(remarks.contains(part), "{remarks}");
        }
        let strict = Achieved { primaries: 2, fallbacks: 0, strict: true };
        assert_eq!(achieved(strict, "answered by"), "answered by 2 primaries");
    }
}
