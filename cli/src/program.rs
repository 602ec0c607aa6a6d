//! What a person calls this program: `driftkv`, or `kubectl driftkv` with the flags that say which cluster.
//! Invariant: a command that we suggest can be run as it is printed.

use std::sync::OnceLock;

static PLUGIN: OnceLock<String> = OnceLock::new();

/// From now on this is the plugin, called by `words`.
#[cfg(feature = "kubectl")]
pub fn become_plugin(words: String) {
    let _ = PLUGIN.set(words);
}

/// The words that begin a command line.
pub fn name() -> &'static str {
    PLUGIN.get().map_or("driftkv", String::as_str)
}

/// The flag of a causal context: kubectl has another --context.
pub fn context_flag() -> String {
    let is_plugin = PLUGIN.get().is_some();
    if is_plugin { format!("--{}", crate::args::CONTEXT_ID) } else { "--context".to_owned() }
}

/// What to look at when no node answers.
pub fn is_it_up() -> String {
    match PLUGIN.get() {
        Some(words) => format!("Is the cluster up? `{words} status` shows its pods and why they are not ready."),
        None => "Is the cluster up? `driftkv up -f examples/local.yaml` starts one here;\n\
                 --endpoint HOST:PORT names another."
            .to_owned(),
    }
}
