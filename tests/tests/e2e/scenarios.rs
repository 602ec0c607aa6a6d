//! Every scenario, in the order in which they run: first what a cluster is, then what may be done to it, then its end, and at
//! last the chart, whose scenarios install the operator anew.

use crate::site::Operator;

mod changes;
mod chaos;
mod chart;
mod consents;
mod failures;
mod lab;
mod life;
mod plugin;

/// A scenario: it panics if it fails.
pub type Scenario = fn(&Operator);

/// All of them.
pub const ALL: &[(&str, Scenario)] = &[
    ("apply to ready", life::apply_to_ready),
    ("a settled cluster costs no write", life::settled),
    ("two clusters in one namespace", life::two_clusters),
    ("drift is reverted", life::drift),
    ("a killed pod", failures::killed_pod),
    ("all pods killed at once", failures::all_killed),
    ("a drained machine", failures::drained),
    ("rolling update and new settings under load", changes::rolling_update),
    ("resources changed while a node is in a crash loop", changes::crash_loop),
    ("a broken image and its repair", changes::broken_image),
    ("operator killed in the middle of a rollout", changes::operator_killed),
    ("chaos: every consent, the vocabulary, the token", consents::refusals),
    ("chaos: delay and slow disk in latencies, drops in counters", chaos::timing_and_drops),
    ("chaos: a 2-3 partition in siblings, a pause in hints", chaos::partition_and_pause),
    ("chaos: a kill in a restart, once; ids are used up", chaos::kill_and_ids),
    ("chaos: removed heals; operator dead ends by itself; rollouts wait", chaos::ends),
    ("kubectl driftkv: the plugin", plugin::plugin_commands),
    ("lab run --kubernetes: made, stopped, there, refused", lab::experiments),
    ("deleted and applied again", life::delete_and_reapply),
    ("deleted with the operator down", life::deleted_without_operator),
    ("a namespace deleted", life::namespace_deleted),
    ("helm test", chart::helm_test),
    ("examples", chart::examples),
    ("upgrade of the chart", chart::upgrade),
    ("another release takes ownership", chart::another_release),
];
