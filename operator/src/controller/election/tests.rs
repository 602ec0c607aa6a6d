#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::{Decision, Seen, Term, Times, decide};

const LEASE: Duration = Duration::from_secs(15);

fn seen(holder: &str, unchanged_s: u64) -> Seen {
    Seen {
        holder: holder.to_owned(),
        version: Some("7".to_owned()),
        duration: LEASE,
        unchanged: Duration::from_secs(unchanged_s),
    }
}

#[test]
fn a_lease_is_made_if_there_is_none_and_taken_if_it_is_free() {
    assert_eq!(decide(&Seen::default(), "a"), Decision::Create);
    assert_eq!(decide(&seen("", 0), "a"), Decision::Take);
}

#[test]
fn the_holder_renews_however_long_it_was_silent() {
    assert_eq!(decide(&seen("a", 0), "a"), Decision::Renew);
    // Nobody has taken it meanwhile: the version that is replaced says so.
    assert_eq!(decide(&seen("a", 100), "a"), Decision::Renew);
}

#[test]
fn anothers_lease_is_left_alone_until_we_saw_it_unchanged_for_its_whole_time() {
    assert_eq!(decide(&seen("b", 0), "a"), Decision::Wait);
    assert_eq!(decide(&seen("b", 14), "a"), Decision::Wait);
    assert_eq!(decide(&seen("b", 15), "a"), Decision::Take);
}

#[test]
fn a_holder_stops_before_another_may_begin() {
    let Times { lease, renew_deadline, retry } = Times::default();
    assert!(retry < renew_deadline && renew_deadline < lease);
}

/// Two processes that fall silent for a while now and then: at no time do both believe that they hold the lease.
#[test]
fn two_never_act_at_once() {
    #[derive(Default)]
    struct Process {
        acts_until: u64,
        silent_until: u64,
        observed: (u64, u64),
    }
    let times = Times::default();
    let deadline_s = times.renew_deadline.as_secs();
    let mut takeovers = 0;
    for seed in 0..2_000_u64 {
        let mut state = seed;
        let mut roll = move |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        let (mut holder, mut version) = ("", 1);
        let mut processes = [("a", Process::default()), ("b", Process::default())];
        for now in 1..120_u64 {
            for (name, process) in &mut processes {
                if roll(10) == 0 {
                    process.silent_until = now + roll(40);
                }
                if now < process.silent_until {
                    continue;
                }
                if process.observed.0 != version {
                    process.observed = (version, now);
                }
                let decision = decide(&seen(holder, now - process.observed.1), name);
                takeovers += u32::from(decision == Decision::Take && !holder.is_empty());
                if decision != Decision::Wait {
                    (holder, version) = (*name, version + 1);
                    process.observed = (version, now);
                    process.acts_until = now + deadline_s;
                }
            }
            let acting = processes.iter().filter(|(_, process)| process.acts_until >= now).count();
            assert!(acting <= 1, "seed {seed}, second {now}");
        }
    }
    assert!(takeovers > 1_000, "{takeovers}");
}

#[test]
fn a_lease_that_was_deleted_begins_no_older_term() {
    let term = Term::default();
    assert_eq!(term.get(), None, "without an election nothing is said");
    term.hold(3, tokio::time::Instant::now());
    assert_eq!((term.get(), term.at_least(4)), (Some(3), 4));
    // A node has seen nine: whoever makes the Lease anew begins there.
    term.clone().raise(9);
    assert_eq!((term.get(), term.at_least(1)), (Some(3), 9));
    term.raise(u64::MAX);
    assert_eq!(term.at_least(1), i32::MAX);
}
