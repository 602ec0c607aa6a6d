//! What the command tells shells and `man` of itself.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::driftkv;

#[test]
fn bash_completes_commands_and_flags_from_the_printed_script() {
    let script = driftkv(&["completions", "bash"]).ended(0);
    // As bash does it on <Tab>: all words, the place of the cursor; the command, the word there and the one before it.
    let complete = |words: &[&str]| {
        let [.., before, word] = words else { panic!("two words or more") };
        let (all, index) = (words.join(" "), words.len() - 1);
        let call = format!(
            "COMP_WORDS=({all}); COMP_CWORD={index}; _driftkv driftkv {word} {before}; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").arg("-c").arg(format!("{}\n{call}", script.text())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete(&["driftkv", "boot"]).trim(), "bootstrap");
    assert!(complete(&["driftkv", "put", "--"]).contains("--context"));
    for shell in ["zsh", "fish"] {
        assert!(driftkv(&["completions", shell]).ended(0).text().contains("bootstrap"), "{shell}");
    }
    driftkv(&["completions", "cobol"]).ended(2).told(&["cobol", "bash"]);
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = TempDir::new().unwrap();
    let man = directory.path().join("share/man1");
    driftkv(&["man", man.to_str().unwrap()]).ended(0);
    let page = |name: &str| fs::read_to_string(man.join(format!("{name}.1"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let help = driftkv(&["--help"]).ended(0);
    let commands = help.text().lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        let text = page(&format!("driftkv-{command}"));
        assert!(text.contains(".TH driftkv") && text.contains(".SH SYNOPSIS"), "{command}: {text}");
    }
    assert!(page("driftkv-chaos-apply").contains("allows") || page("driftkv-chaos-apply").contains("experiment"));
    assert!(page("driftkv").contains("Exit codes"));
}
