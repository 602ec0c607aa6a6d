//! What is bounded, refused in time, or forgotten.

use super::{Net, five, put_of};
use crate::config::{ClusterConfig, Limits};
use crate::effect::{Failure, Get, Input, Intent, Put, Request};
use crate::time::Time;

fn five_with_siblings(siblings_max: u32) -> Net {
    let limits = Limits { siblings_max, ..Limits::default() };
    Net::new(5, ClusterConfig { replicas: 5, partitions: 16, limits, ..ClusterConfig::default() })
}

#[test]
fn a_request_that_expired_in_the_queue_is_not_run() {
    let mut net = five();
    let (owners, _) = net.owners();
    net.now = Time(100_000);
    let put = Put { timeout_ms: 10, ..put_of("late", 3) };
    let get = Get { key: super::key(), is_monotonic: false, r: 0, timeout_ms: 0 };
    net.sent.clear();
    for (token, request) in [(1, Request::Put(put)), (2, Request::Get(get))] {
        net.input(owners[0], Input::Client { token, at: Time(1), request });
        let expected = Failure::DeadlineExceeded { needed: 2, primaries: 0, fallbacks: 0, maybe_applied: false };
        assert_eq!(net.replies[&token], Err(expected));
    }
    assert!(net.sent.is_empty());
}

#[test]
fn blind_tombstones_count_towards_the_sibling_cap() {
    let mut net = five_with_siblings(5);
    for n in 0..9 {
        net.put(0, n, Put { value: None, intent: Intent::AddSibling, ..put_of("", u128::from(n) + 1) });
    }
    assert!(net.replies[&4].is_ok());
    assert_eq!(net.replies[&5], Err(Failure::TooManySiblings { siblings: 5, siblings_max: 5 }));
}

#[test]
fn a_stale_context_is_as_blind_as_none() {
    let mut net = five_with_siblings(5);
    net.put(0, 1, put_of("a", 1));
    let context = net.get(0, 2, false).1;
    for n in 10..30 {
        net.put(0, n, Put { context: context.clone(), ..put_of("b", u128::from(n)) });
    }
    assert!(net.replies[&14].is_ok());
    assert!(matches!(net.replies[&15], Err(Failure::TooManySiblings { siblings: 5, .. })), "{:?}", net.replies[&15]);
    let (siblings, context) = net.get(0, 40, false);
    assert_eq!(siblings.len(), 5);
    net.put(0, 41, Put { context, ..put_of("c", 41) });
    assert_eq!(net.get(0, 42, false).0.len(), 1, "a put that covers some is never refused");
}
