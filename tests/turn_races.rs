//! Turns, drains and routes beside each other: guards that outlive their turn, calls at the same moment, other processes.

mod common;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::faulty::FaultyFs;
use sesslog::{Error, NewRecord, Options, Outcome, Store};

fn record(text: &str) -> NewRecord {
    NewRecord::new(text).unwrap()
}

#[test]
fn a_guard_of_the_generation_before_does_not_touch_the_turn_of_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    let old = session.begin_turn(vec![record("one")]).unwrap();
    session.reset("new").unwrap();
    let new = session.begin_turn(vec![record("two")]).unwrap();
    assert_eq!((old.seq(), new.seq()), (1, 1), "their marks have the same number");
    assert!(matches!(old.append(record("late")), Err(Error::TurnOver { .. })));
    drop(old);
    assert!(session.is_running().unwrap());
    new.append(record("goes on")).unwrap();
    let drained = store.drain(Duration::ZERO, "stop", &[]).unwrap();
    assert_eq!(drained.interrupted.len(), 1, "{drained:?}");
}

#[test]
fn of_turns_that_are_begun_at_once_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = Options::new().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(record("hi")).unwrap();
    fs.slow_syncs(Duration::from_millis(50));
    let barrier = Barrier::new(5);
    let turns: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            session.append(record("whose commit they queue behind")).unwrap();
        });
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    std::thread::sleep(Duration::from_millis(10));
                    session.begin_turn(vec![])
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (begun, refused): (Vec<_>, Vec<_>) = turns.into_iter().partition(Result::is_ok);
    assert_eq!(begun.len(), 1);
    assert!(refused.iter().all(|turn| matches!(turn, Err(Error::TurnRunning { .. }))));
}

#[test]
fn a_turn_that_another_process_ended_appends_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
    let (session, others) = (store.session("k").unwrap(), other.session("k").unwrap());
    let turn = session.begin_turn(vec![]).unwrap();
    let path = session.path(None).unwrap();
    let sound = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&sound[..], b"x"].concat()).unwrap();
    assert!(matches!(turn.append(record("x")), Err(Error::Poisoned { .. })), "and the lock is let go of");
    std::fs::write(&path, &sound).unwrap();
    others.begin_turn(vec![]).unwrap().finish(Outcome::Success, vec![]).unwrap();
    others.release().unwrap();
    session.reopen().unwrap();
    assert!(matches!(turn.append(record("late")), Err(Error::TurnOver { .. })));
    assert!(session.begin_turn(vec![]).is_ok(), "the guard of a turn that is over is in nobody's way");
}

#[test]
fn a_turn_that_a_reset_ended_is_nothing_to_wait_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    let turn = session.begin_turn(vec![record("one")]).unwrap();
    session.reset("new").unwrap();
    let drained = store.drain(Duration::MAX, "stop", &[]).unwrap();
    assert!(drained.interrupted.is_empty(), "{drained:?}");
    drop(turn);
}
