//! The program `kubectl-driftkv` without a Kubernetes, and what is packed for Krew.
#![cfg(feature = "kubectl")]
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn plugin(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-driftkv"));
    command.args(arguments).env("KUBECONFIG", "/nowhere/config").output().expect("the program runs")
}

#[test]
fn help_names_every_command() {
    let help = String::from_utf8(plugin(&["--help"]).stdout).unwrap();
    for command in ["status", "ring", "chaos", "logs", "report", "get", "put", "delete", "completion", "man"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in:\n{help}");
    }
}

#[test]
fn a_bad_experiment_is_refused_by_line_and_column_before_anybody_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.yaml");
    std::fs::write(&file, "for: 5s\nfaults:\n- {kind: explode}\n").unwrap();
    let output = plugin(&["chaos", "apply", "-f", &file.display().to_string()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && told.contains("bad.yaml:3:"), "{told}");
    std::fs::write(&file, "for: 5s\nfaults:\n- {kind: pause, node: demo-0, down: 1s}\n").unwrap();
    let output = plugin(&["chaos", "apply", "-f", &file.display().to_string()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && told.contains("/nowhere/config"), "{told}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pack(url: &str, directory: &Path) -> Output {
    Command::new(root().join("plugins/krew/pack")).arg(url).arg(directory).output().expect("the script runs")
}

fn platforms(manifest: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let value: Value = serde_saphyr::from_str(&text).expect("YAML");
    let version = value.pointer("/spec/version").and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(version, format!("v{}", env!("CARGO_PKG_VERSION")), "the manifest is of this version");
    value.pointer("/spec/platforms").and_then(Value::as_array).unwrap().clone()
}

fn text<'a>(platform: &'a Value, pointer: &str) -> &'a str {
    platform.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn what_is_packed_for_krew_is_what_its_manifest_says() {
    let directory = tempfile::tempdir().unwrap();
    let templates = platforms(&root().join("plugins/krew/driftkv.yaml"));
    let name = |platform: &Value| {
        format!("{}-{}", text(platform, "/selector/matchLabels/os"), text(platform, "/selector/matchLabels/arch"))
    };
    let refused = pack("https://x.example", directory.path());
    assert!(!refused.status.success(), "no program was there");
    for template in &templates {
        std::fs::write(directory.path().join(format!("kubectl-driftkv-{}", name(template))), name(template)).unwrap();
    }
    let packed = pack("https://x.example/v0/", directory.path());
    assert!(packed.status.success(), "{packed:?}");
    let platforms = platforms(&directory.path().join("driftkv.yaml"));
    assert_eq!(platforms.len(), 4);
    for platform in &platforms {
        let archive = text(platform, "/uri").strip_prefix("https://x.example/v0/").expect("the address");
        assert_eq!(archive, format!("kubectl-driftkv-v{}-{}.tar.gz", env!("CARGO_PKG_VERSION"), name(platform)));
        let path = directory.path().join(archive);
        let sum = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        assert!(String::from_utf8(sum).unwrap().starts_with(text(platform, "/sha256")), "{platform}");
        let program = Command::new("tar").args(["-xzOf"]).arg(&path).arg(text(platform, "/bin")).output().unwrap();
        assert_eq!(String::from_utf8(program.stdout).unwrap(), name(platform), "each platform has its own program");
    }
    let first = std::fs::read_to_string(directory.path().join("driftkv.yaml")).unwrap();
    pack("https://x.example/v0/", directory.path());
    assert_eq!(std::fs::read_to_string(directory.path().join("driftkv.yaml")).unwrap(), first, "the same again");
}
