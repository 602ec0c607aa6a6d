//! Pauses and crashes: when they begin, how long they hold, and what they do not touch.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::time::{self, Instant};

use super::{counters, experiment, move_to, ms, running, states};

#[tokio::test(start_paused = true)]
async fn a_pause_holds_only_its_node_and_only_so_long() {
    let ((here, _), (there, _)) = (running("a"), running("b"));
    let (here_paused, there_paused) = (here.paused(), there.paused());
    let (start, text) = (Instant::now(), experiment("x", "{kind: pause, node: a, down: 5s}"));
    here.apply(&text).unwrap();
    there.apply(&text).unwrap();
    assert!(*here_paused.borrow() && !*there_paused.borrow());
    move_to(start, ms(4_999)).await;
    assert!(*here_paused.borrow());
    move_to(start, ms(5_000)).await;
    assert!(!*here_paused.borrow());
    move_to(start, ms(59_000)).await;
    assert!(!*here_paused.borrow());
    assert_eq!((counters(&here, 0).activations, counters(&there, 0).activations), (1, 0));
    assert!(counters(&here, 0).applies_here && !counters(&there, 0).applies_here);
}

#[tokio::test(start_paused = true)]
async fn a_pause_returns_as_often_as_written_and_ends_with_its_experiment() {
    let (node, _) = running("a");
    let (paused, start) = (node.paused(), Instant::now());
    node.apply(&experiment("x", "{kind: pause, node: a, down: 5s, every: 19s}")).unwrap();
    let turns = [(0, true), (4_999, true), (5_000, false), (18_999, false), (19_000, true), (24_000, false)];
    let later = [(38_000, true), (43_000, false), (57_000, true), (59_999, true), (60_000, false), (76_000, false)];
    for (at, is_paused) in turns.into_iter().chain(later) {
        move_to(start, ms(at)).await;
        assert_eq!(*paused.borrow(), is_paused, "at {at} ms");
    }
    assert_eq!(counters(&node, 0).activations, 4);
    assert_eq!(states(&node.status()), [("x", "expired", 0)]);
}

#[tokio::test(start_paused = true)]
async fn clear_ends_a_pause_at_once() {
    let (node, _) = running("a");
    let paused = node.paused();
    node.apply(&experiment("x", "{kind: pause, node: a, down: 50s}")).unwrap();
    assert!(*paused.borrow());
    node.clear("x").unwrap();
    assert!(!*paused.borrow());
}

#[tokio::test(start_paused = true)]
async fn two_pauses_hold_until_the_last_of_them_ends() {
    let (node, _) = running("a");
    let (paused, start) = (node.paused(), Instant::now());
    node.apply(&experiment("x", "{kind: pause, node: a, down: 5s}, {kind: pause, node: a, down: 8s}")).unwrap();
    move_to(start, ms(7_999)).await;
    assert!(*paused.borrow());
    move_to(start, ms(8_000)).await;
    assert!(!*paused.borrow());
    assert_eq!((counters(&node, 0).activations, counters(&node, 1).activations), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_crash_calls_the_hook_once_on_its_node_and_in_its_time() {
    let ((here, crashes), (there, others)) = (running("a"), running("b"));
    let (start, text) = (Instant::now(), experiment("x", "{kind: crash, node: a, after: 3s}"));
    here.apply(&text).unwrap();
    there.apply(&text).unwrap();
    move_to(start, ms(2_999)).await;
    assert_eq!(*crashes.lock().unwrap(), [""; 0]);
    move_to(start, ms(3_000)).await;
    assert_eq!(*crashes.lock().unwrap(), ["{kind: crash, node: a, after: 3s}"]);
    move_to(start, ms(59_999)).await;
    assert_eq!((crashes.lock().unwrap().len(), others.lock().unwrap().len()), (1, 0));
    assert_eq!(counters(&here, 0).activations, 1);
}

#[tokio::test(start_paused = true)]
async fn a_crash_that_is_cleared_in_time_does_not_happen() {
    let (node, crashes) = running("a");
    let start = Instant::now();
    node.apply(&experiment("x", "{kind: crash, node: a, after: 3s}")).unwrap();
    move_to(start, ms(2_999)).await;
    node.clear("x").unwrap();
    move_to(start, ms(10_000)).await;
    assert_eq!(*crashes.lock().unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_end_of_a_pause_returns_when_it_ends() {
    let (node, _) = running("a");
    let mut paused = node.paused();
    let start = Instant::now();
    node.apply(&experiment("x", "{kind: pause, node: a, down: 5s}")).unwrap();
    // The paused clock moves by itself to the next timer: here the end of the pause, not the deadline of an hour.
    let end = async { paused.wait_for(|is_paused| !is_paused).await.map(|_| ()) };
    assert!(matches!(time::timeout(Duration::from_secs(3_600), end).await, Ok(Ok(()))));
    assert_eq!(start.elapsed(), ms(5_000));
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_late_ends_with_the_others_and_nobody_lasts_longer_than_written() {
    let (start, text) = (Instant::now(), experiment("x", "{kind: delay, from: a, to: b, mean: 5ms}"));
    for (left_ms, expected_ms) in [(20_000, 20_000), (90_000, 60_000)] {
        let (node, _) = running("a");
        let status = node.apply_within(&text, ms(left_ms)).unwrap();
        assert_eq!(states(&status), [("x", "active", expected_ms)]);
        // The same again, with less left, is the same experiment.
        node.apply_within(&text, ms(1_000)).unwrap();
        assert_eq!(states(&node.status()), [("x", "active", expected_ms)]);
    }
    let (node, _) = running("a");
    node.apply_within(&text, ms(20_000)).unwrap();
    move_to(start, ms(19_999)).await;
    assert_eq!(node.active_count(), 1);
    move_to(start, ms(20_000)).await;
    assert_eq!(states(&node.status()), [("x", "expired", 0)]);
}
