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

#[test]
fn an_operation_leaves_no_timer_behind() {
    let mut net = five();
    let (owners, fallbacks) = net.owners();
    for n in 0..50 {
        let put = Put { intent: Intent::OverwriteAll, timeout_ms: 60_000, ..put_of("v", u128::from(n)) };
        net.put(if n % 2 == 0 { owners[0] } else { fallbacks[0] }, n, put);
        net.get(fallbacks[1], 1_000 + n, n % 3 == 0);
    }
    for node in &net.nodes {
        assert_eq!((node.timers.next(), node.in_flight(), node.answered.len()), (None, 0, 0));
        assert!(node.is_idle());
    }
}

#[test]
fn a_slow_replica_does_not_use_up_the_room_for_clients() {
    let mut net = five();
    let (owners, _) = net.owners();
    net.cut.insert(owners[2]);
    net.nodes[owners[0]].settings.in_flight_max = 2;
    for n in 0..8 {
        net.put(owners[0], n, put_of("v", u128::from(n)));
        assert!(net.replies[&n].is_ok());
    }
    assert_eq!((net.nodes[owners[0]].in_flight(), net.nodes[owners[0]].is_idle()), (0, false));
    net.put(owners[0], 9, put_of("v", 9));
    assert_eq!(net.replies[&9], Err(Failure::Overloaded { in_flight: 2 }), "but there is an end");
}
