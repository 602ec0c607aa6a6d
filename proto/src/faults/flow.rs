//! An experiment back as text: the one-line flow form, and a line for a human.
//! Invariant: `Experiment::parse(x.to_flow()) == x`.

use super::{
    Cut, DropRule, Experiment, Fault, Law, Links,
    units::{format_ms, format_rate},
};

impl Experiment {
    /// The experiment on one line; parsing it gives the same experiment.
    pub fn to_flow(&self) -> String {
        let faults: Vec<String> = self.faults.iter().map(Fault::to_flow).collect();
        format!(
            "{{id: {}, for: {}, seed: {}, allowQuorumLoss: {}, faults: [{}]}}",
            scalar(&self.id),
            format_ms(self.for_ms),
            self.seed,
            self.allow_quorum_loss,
            faults.join(", ")
        )
    }
}

impl Fault {
    /// The fault as it is written, on one line: `{kind: drop, between: [a, b], rate: 5%}`.
    pub fn to_flow(&self) -> String {
        let fields = match self {
            Self::Delay { links, law } => format!("{}, {}", links_flow(links), law_flow(law)),
            Self::Drop { links, rule: DropRule::Rate(rate) } => {
                format!("{}, rate: {}", links_flow(links), format_rate(*rate))
            }
            Self::Drop { links, rule: DropRule::EveryNth(every) } => format!("{}, every: {every}", links_flow(links)),
            Self::Duplicate { links, rate } => format!("{}, rate: {}", links_flow(links), format_rate(*rate)),
            Self::Reorder { links, rate, window_ms } => {
                format!("{}, rate: {}, window: {}", links_flow(links), format_rate(*rate), format_ms(*window_ms))
            }
            Self::Partition(Cut::Groups(groups)) => {
                let groups: Vec<String> = groups.iter().map(|group| list(group)).collect();
                format!("groups: [{}]", groups.join(", "))
            }
            Self::Partition(Cut::OneWay { from, to }) => one_way_flow(from, to),
            Self::Pause { node, down_ms, every_ms } => {
                let every = every_ms.map(|ms| format!(", every: {}", format_ms(ms))).unwrap_or_default();
                format!("node: {}, down: {}{every}", scalar(node), format_ms(*down_ms))
            }
            Self::Crash { node, after_ms } | Self::Wipe { node, after_ms } => {
                format!("node: {}, after: {}", scalar(node), format_ms(*after_ms))
            }
            Self::SlowDisk { node, law } => format!("node: {}, {}", scalar(node), law_flow(law)),
            Self::DiskError { node, rate } => format!("node: {}, rate: {}", scalar(node), format_rate(*rate)),
            Self::ClockSkew { node, by_ms } => {
                let sign = if *by_ms < 0 { "-" } else { "" };
                format!("node: {}, by: {sign}{}", scalar(node), format_ms(by_ms.unsigned_abs()))
            }
        };
        format!("{{kind: {}, {fields}}}", self.kind())
    }

    /// One line for a human: `delay demo-0 -> *: exponential, mean 20ms`.
    pub fn describe(&self) -> String {
        let what = match self {
            Self::Delay { links, law } => format!("{}: {}", links_words(links), law_words(law)),
            Self::Drop { links, rule: DropRule::Rate(rate) } => {
                format!("{}: {} of messages", links_words(links), format_rate(*rate))
            }
            Self::Drop { links, rule: DropRule::EveryNth(every) } => {
                format!("{}: one message in {every}", links_words(links))
            }
            Self::Duplicate { links, rate } => format!("{}: {} of messages", links_words(links), format_rate(*rate)),
            Self::Reorder { links, rate, window_ms } => {
                let (links, rate) = (links_words(links), format_rate(*rate));
                format!("{links}: {rate} of messages, by up to {}", format_ms(*window_ms))
            }
            Self::Partition(Cut::Groups(groups)) => {
                groups.iter().map(|group| group.join(", ")).collect::<Vec<_>>().join(" | ")
            }
            Self::Partition(Cut::OneWay { from, to }) => format!("{} -> {}", from.join(", "), to.join(", ")),
            Self::Pause { node, down_ms, every_ms: None } => format!("{node}: once, for {}", format_ms(*down_ms)),
            Self::Pause { node, down_ms, every_ms: Some(every_ms) } => {
                format!("{node}: for {} every {}", format_ms(*down_ms), format_ms(*every_ms))
            }
            Self::Crash { node, after_ms } | Self::Wipe { node, after_ms } => {
                format!("{node}: after {}", format_ms(*after_ms))
            }
            Self::SlowDisk { node, law } => format!("{node}: {}", law_words(law)),
            Self::DiskError { node, rate } => format!("{node}: {} of syncs", format_rate(*rate)),
            Self::ClockSkew { node, by_ms } => {
                let how = if *by_ms < 0 { "stands still for" } else { "jumps ahead by" };
                format!("{node}: {how} {}", format_ms(by_ms.unsigned_abs()))
            }
        };
        format!("{} {what}", self.kind())
    }
}

fn links_flow(links: &Links) -> String {
    match links {
        Links::OneWay { from, to } => one_way_flow(from, to),
        Links::Between(a, b) => format!("between: [{}, {}]", scalar(a), scalar(b)),
    }
}

fn one_way_flow(from: &[String], to: &[String]) -> String {
    let one_or_list = |names: &[String]| match names {
        [name] => scalar(name),
        _ => list(names),
    };
    format!("from: {}, to: {}", one_or_list(from), one_or_list(to))
}

fn law_flow(law: &Law) -> String {
    match *law {
        Law::Constant { mean_ms } => format!("law: constant, mean: {}", format_ms(mean_ms)),
        Law::Uniform { min_ms, max_ms } => {
            format!("law: uniform, min: {}, max: {}", format_ms(min_ms), format_ms(max_ms))
        }
        Law::Exponential { mean_ms } => format!("law: exponential, mean: {}", format_ms(mean_ms)),
        Law::Pareto { mean_ms, shape } => format!("law: pareto, mean: {}, shape: {shape}", format_ms(mean_ms)),
    }
}

fn links_words(links: &Links) -> String {
    match links {
        Links::OneWay { from, to } => format!("{} -> {}", from.join(", "), to.join(", ")),
        Links::Between(a, b) => format!("{a} <-> {b}"),
    }
}

fn law_words(law: &Law) -> String {
    match *law {
        Law::Constant { mean_ms } => format!("constant, {}", format_ms(mean_ms)),
        Law::Uniform { min_ms, max_ms } => format!("uniform, {} to {}", format_ms(min_ms), format_ms(max_ms)),
        Law::Exponential { mean_ms } => format!("exponential, mean {}", format_ms(mean_ms)),
        Law::Pareto { mean_ms, shape } => format!("pareto, mean {}, shape {shape}", format_ms(mean_ms)),
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| scalar(name)).collect();
    format!("[{}]", names.join(", "))
}

/// Quoted unless it plainly reads as a string. Names have no character that needs escaping (`parse::is_plain_name`).
fn scalar(name: &str) -> String {
    const WORDS_OF_YAML: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_word = WORDS_OF_YAML.contains(&name.to_ascii_lowercase().as_str());
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_word;
    if is_plain { name.to_owned() } else { format!("\"{name}\"") }
}
