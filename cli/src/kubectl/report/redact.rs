//! What must not be in a report, taken out of it: first by what a field is called, then by what is known to be secret.
//! Invariant: the shape stays, so that a reader sees that something was there. Pure.

use serde_json::{Map, Value};

/// Instead of what was taken out.
pub const LEFT_OUT: &str = "[left out]";
/// Words in the name of a field or a variable whose value is not for others.
const SECRET_WORDS: [&str; 13] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "bearer",
    "cookie",
    "otlpheaders",
];
/// Ends of names that only say where something secret is.
const PLACES: [&str; 5] = ["file", "path", "dir", "name", "ref"];
/// Shorter ones would be found everywhere.
const NEEDLE_BYTES_MIN: usize = 8;
/// Annotations that repeat the object, or what others made of it.
const NOISE: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"];

/// An object of Kubernetes without what is secret, and without what is noise.
pub fn object(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !NOISE.contains(&name.as_str()));
        }
    }
    walk(value);
}

fn walk(value: &mut Value) {
    match value {
        Value::Array(items) => {
            arguments(items);
            items.iter_mut().for_each(walk);
        }
        Value::Object(fields) => {
            variable(fields);
            for (name, value) in fields {
                match value {
                    Value::String(text) if is_secret(name) => LEFT_OUT.clone_into(text),
                    Value::String(text) => flag(text),
                    value => walk(value),
                }
            }
        }
        Value::String(text) => flag(text),
        _ => {}
    }
}

/// `{name: X_TOKEN, value: ...}` of a container's environment.
fn variable(fields: &mut Map<String, Value>) {
    if fields.get("name").and_then(Value::as_str).is_some_and(is_secret)
        && let Some(Value::String(value)) = fields.get_mut("value")
    {
        LEFT_OUT.clone_into(value);
    }
}

/// `--x-token`, `...` of a command line.
fn arguments(items: &mut [Value]) {
    let mut is_next = false;
    for item in items {
        let Value::String(text) = item else { continue };
        if std::mem::take(&mut is_next) {
            LEFT_OUT.clone_into(text);
        } else {
            is_next = text.starts_with('-') && !text.contains('=') && is_secret(text);
        }
    }
}

/// `--x-token=...` of a command line.
fn flag(text: &mut String) {
    let secret = text.strip_prefix('-').and_then(|rest| rest.split_once('=')).map(|(name, _)| name.to_owned());
    if let Some(name) = secret.filter(|name| is_secret(name)) {
        *text = format!("-{name}={LEFT_OUT}");
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    SECRET_WORDS.iter().any(|word| plain.contains(word)) && !PLACES.iter().any(|end| plain.ends_with(end))
}

/// A text without what stands before the `@` of addresses: `https://NAME:PASSWORD@HOST`.
fn without_logins(text: &str) -> String {
    let mut parts = text.split("://");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| {
        let end = part.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(part.len());
        match part.get(..end).and_then(|authority| authority.rfind('@')) {
            Some(at) => format!("{out}://{LEFT_OUT}{}", part.get(at..).unwrap_or_default()),
            None => format!("{out}://{part}"),
        }
    })
}

/// Takes known secrets out of a text, and logins in addresses, and what follows the word `Bearer`.
pub fn text(text: &str, needles: &[String]) -> String {
    let known = needles.iter().filter(|needle| needle.len() >= NEEDLE_BYTES_MIN);
    let text = known.fold(text.to_owned(), |text, needle| text.replace(needle.as_str(), LEFT_OUT));
    let text = without_logins(&text);
    let mut parts = text.split("Bearer ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| {
        let end = part.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(part.len());
        format!("{out}Bearer {LEFT_OUT}{}", part.get(end..).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{object, text};

    #[test]
    fn what_is_called_secret_is_left_out_and_where_it_is_stays() {
        let mut deployment = json!({
            "metadata": {"managedFields": [1], "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "vault/token": "s.abc", "driftkv.io/applied": "96bc"}},
            "spec": {"automountServiceAccountToken": false, "containers": [{
                "command": ["/driftkv", "--api-token=abc", "-f", "--log-level=info"],
                "env": [
                    {"name": "OTLP_AUTHORIZATION", "value": "Basic abc"},
                    {"name": "DRIFTKV_ADMIN_TOKEN_FILE", "value": "/etc/driftkv-admin/accepted"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}],
                "volumes": [{"secret": {"secretName": "demo-admin"}}]},
        });
        object(&mut deployment);
        let expected = json!({
            "metadata": {"annotations": {"vault/token": "[left out]", "driftkv.io/applied": "96bc"}},
            "spec": {"automountServiceAccountToken": false, "containers": [{
                "command": ["/driftkv", "--api-token=[left out]", "-f", "--log-level=info"],
                "env": [
                    {"name": "OTLP_AUTHORIZATION", "value": "[left out]"},
                    {"name": "DRIFTKV_ADMIN_TOKEN_FILE", "value": "/etc/driftkv-admin/accepted"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}],
                "volumes": [{"secret": {"secretName": "demo-admin"}}]},
        });
        assert_eq!(deployment, expected);
    }

    #[test]
    fn secrets_by_other_names_in_the_next_word_and_in_addresses_are_left_out() {
        let mut container = json!({
            "args": ["--token", "abc", "--token-file", "/etc/t", "--admin-token", "--verbose"],
            "env": [
                {"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "x-key=abc"},
                {"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"},
                {"name": "TLS_PRIVATE_KEY", "value": "abc"}],
        });
        object(&mut container);
        let expected = json!({
            "args": ["--token", "[left out]", "--token-file", "/etc/t", "--admin-token", "[left out]"],
            "env": [
                {"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "[left out]"},
                {"name": "AWS_SECRET_ACCESS_KEY", "value": "[left out]"},
                {"name": "TLS_PRIVATE_KEY", "value": "[left out]"}],
        });
        assert_eq!(container, expected);
        let log = "to https://me:pw@host:1/x?y=a@b and http://host/a@b, grpc://t0k@h \"s3://k:s@b\"";
        let expected =
            "to https://[left out]@host:1/x?y=a@b and http://host/a@b, grpc://[left out]@h \"s3://[left out]@b\"";
        assert_eq!(text(log, &[]), expected);
    }

    #[test]
    fn a_known_secret_is_nowhere_in_a_text_and_neither_is_what_follows_bearer() {
        let needles = ["0123456789abcdef".to_owned(), "ab".to_owned()];
        let log = "token 0123456789abcdef of ab\nauthorization: Bearer xyz\n{\"h\":\"Bearer x.y\"}";
        let expected = "token [left out] of ab\nauthorization: Bearer [left out]\n{\"h\":\"Bearer [left out]\"}";
        assert_eq!(text(log, &needles), expected);
    }
}
