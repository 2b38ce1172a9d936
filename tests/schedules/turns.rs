//! Turns beside a drain, and the calls that are futures: no mark is left behind, no wake is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sesslog::sync::set_rings;
use sesslog::{Error, NewRecord, Outcome, Session, Store, Turn};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore::explore;
use crate::ledger::{ROOT, options};
use crate::world::{World, below};

const WAIT: Duration = Duration::from_secs(1);

fn record() -> NewRecord {
    NewRecord::new("x").unwrap()
}

/// What somebody who opens the disk as it is now finds of the sessions: what there is to be resumed of each.
fn left(world: &World, keys: &[&str]) -> Vec<(bool, bool)> {
    let store = options(&world.fs).open_read_only(ROOT).unwrap();
    let status = |key: &&str| match store.session(key).unwrap().row() {
        Ok(row) => (row.status.turn.is_some(), row.status.pending.is_some()),
        Err(error) => {
            assert!(error.is_not_found(), "{error:?}");
            (false, false)
        }
    };
    keys.iter().map(status).collect()
}

/// Begins a turn and finishes it, unless a drain was there before. Says whether it ran.
fn run(session: &Session, outcome: Outcome) -> bool {
    match session.begin_turn(vec![record()]) {
        Ok(turn) => {
            turn.append(record()).unwrap();
            turn.finish(outcome, vec![record()]).unwrap();
            true
        }
        Err(Error::Draining) => false,
        Err(other) => panic!("{other:?}"),
    }
}

fn outcome() -> Outcome {
    if below(2) == 0 { Outcome::Success } else { Outcome::Failed }
}

/// However a turn and a drain meet, and whether the drain's time is up before: a turn that was finished leaves no mark.
#[test]
fn a_turn_that_was_finished_beside_a_drain_leaves_no_mark() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let rings = below(4);
        set_rings(u32::try_from(rings).unwrap());
        let ran = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = ["one", "two"]
            .map(|key| {
                let (session, ran, outcome) = (store.session(key).unwrap(), Arc::clone(&ran), outcome());
                thread::spawn(move || {
                    if run(&session, outcome) {
                        ran.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .into();
        let drained = store.drain(WAIT, "restart", &[]).unwrap();
        let after_drain = left(&world, &["one", "two"]);
        assert!(drained.failed.is_empty(), "{drained:?}");
        if rings == 0 {
            assert!(drained.interrupted.is_empty(), "it had the time: {drained:?}");
            assert_eq!(after_drain, [(false, false); 2], "{drained:?}");
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(drained.finished.len() + drained.interrupted.len() <= ran.load(Ordering::Relaxed));
        assert_eq!(left(&world, &["one", "two"]), [(false, false); 2], "{drained:?}");
        assert!(matches!(store.session("one").unwrap().begin_turn(vec![]), Err(Error::Draining)));
        world.close(&store);
    });
}

/// A turn that nobody finishes is marked, whether it is kept until the drain is over or given up beside it.
#[test]
fn a_turn_that_is_not_finished_is_left_to_be_resumed() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let (kept, given_up) = (begin(&store, "kept"), begin(&store, "given up"));
        set_rings(8);
        let dropping = thread::spawn(move || drop(given_up));
        let drained = store.drain(WAIT, "restart", &[]).unwrap();
        dropping.join().unwrap();
        let names: Vec<_> = drained.interrupted.iter().map(sesslog::SessionKey::as_str).collect();
        assert!(names.contains(&"kept") && drained.finished.is_empty() && drained.failed.is_empty(), "{drained:?}");
        // Given up before the drain looked: it is interrupted, and was not the drain's to mark.
        assert_eq!(left(&world, &["kept", "given up"]), [(true, true), (true, names.contains(&"given up"))]);
        drop(kept);
        world.close(&store);
    });
}

fn begin(store: &Store, key: &str) -> Turn {
    store.session(key).unwrap().begin_turn(vec![record()]).unwrap()
}

/// Futures that are awaited, and some that are dropped: every wake comes, every call is made.
#[test]
fn a_call_that_is_a_future_is_made_and_wakes_whoever_waits() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        let append = session.submit(record());
        let begin = session.begin_turn_async(vec![record()]);
        let awaited = below(2) == 0;
        if awaited {
            assert!(block_on(append).unwrap()[0].durable);
        } else {
            drop(append);
        }
        let turn = block_on(begin).unwrap();
        let drain = store.drain_async(WAIT, "restart", vec![]);
        let finish = turn.finish_async(outcome(), vec![record()]);
        block_on(finish).unwrap();
        let drained = block_on(drain).unwrap();
        assert!(drained.interrupted.is_empty() && drained.failed.is_empty(), "{drained:?}");
        assert_eq!(left(&world, &["one"]), [(false, false)]);
        let records = || session.last(9).unwrap().len();
        while !awaited && records() < 3 {
            thread::yield_now();
        }
        assert_eq!(records(), 3);
        world.close(&store);
    });
}
