//! Operations and faults in words.

use crate::judges::account::{Account, Covers, Did, Key, NIL, Seen, Value};
use crate::judges::states::Model;
use crate::judges::zones::{Cluster, Fault};

/// The longest name that is told whole.
const NAME_CHARS_MAX: usize = 60;
/// The most values of a set that are told.
const VALUES_MAX: usize = 12;

/// What `value` of `key` is called.
pub(super) fn value(account: &Account, key: &Key, model: Model, value: Value) -> String {
    if model == Model::Append { text(account, &key.texts.symbols(value)) } else { short(account.names.name(value)) }
}

/// A fault of zones.
pub(super) fn of_fault(account: &Account, key: &Key, clusters: &[Cluster], fault: Fault) -> String {
    match fault {
        Fault::Phantom(_) => "a read returned what was never written".to_owned(),
        Fault::Future { .. } => "a read had ended before the write of its value began".to_owned(),
        Fault::Conflict(one, other) => {
            let name = |place: usize| {
                let value = clusters.get(place).map_or(NIL, |cluster| cluster.value);
                if value == key.initial {
                    format!("{} (the initial value)", short(account.names.name(value)))
                } else {
                    short(account.names.name(value))
                }
            };
            format!(
                "{} was there both before and after {}: each was seen before the other was seen for the last time",
                name(one),
                name(other)
            )
        }
    }
}

/// An operation.
pub(super) fn did(account: &Account, key: &Key, did: &Did) -> String {
    let names = &account.names;
    // Only the append model has texts.
    let name = |value: &Value| match key.texts.is_used() {
        true => text(account, &key.texts.symbols(*value)),
        false => short(names.name(*value)),
    };
    let set = |values: &[Value]| {
        let mut told: Vec<_> = values.iter().take(VALUES_MAX).map(name).collect();
        if values.len() > VALUES_MAX {
            told.push(format!("and {} more", values.len() - VALUES_MAX));
        }
        format!("{{{}}}", told.join(" "))
    };
    match did {
        Did::Read(Seen::Anything) => "read".to_owned(),
        Did::Read(Seen::One(value)) => format!("read {}", name(value)),
        Did::Read(Seen::Many(values)) => format!("read {}", set(values)),
        Did::Write(value) => format!("write {}", name(value)),
        Did::Swap { from, to } => format!("cas {} {}", name(from), name(to)),
        Did::Differs(value) => format!("cas from {}, refused", name(value)),
        Did::Append(symbols) => format!("append {}", text(account, symbols)),
        Did::Add(value) => format!("add {}", name(value)),
        Did::Replace { id, is_delete, covers } => {
            let what = if *is_delete { "delete" } else { "put" };
            let over = match covers {
                Covers::These(covers) => set(covers),
                Covers::Everything => "everything".to_owned(),
            };
            format!("{what} {} over {over}", name(id))
        }
    }
}

fn text(account: &Account, symbols: &[u32]) -> String {
    short(&symbols.iter().map(|symbol| account.names.symbol(*symbol)).collect::<String>())
}

fn short(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - NAME_CHARS_MAX).collect();
    format!("({} characters)…{end}", count)
}
