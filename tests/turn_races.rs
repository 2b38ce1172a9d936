//! Turns, drains and routes beside each other: guards that outlive their turn, calls at the same moment, other processes.

mod common;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::faulty::{FaultyFs, Op};
use sesslog::resume::{ResumePolicy, RoutePolicy};
use sesslog::{Error, NewRecord, Options, Outcome, Store, Timestamp};

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
    fs.slow(Op::SyncData, Duration::from_millis(50));
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

#[test]
fn a_session_that_is_done_as_a_drain_begins_is_not_marked_any_more() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let store = Store::open(folder.path()).unwrap();
        let session = store.session(format!("k{round}")).unwrap();
        session.append(record("hi")).unwrap();
        let keys = [session.key().clone()];
        let barrier = Barrier::new(2);
        let drained = std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                std::thread::sleep(Duration::from_micros(round * 10));
                session.clear_resume_pending().unwrap();
            });
            barrier.wait();
            store.drain(Duration::from_millis(20), "stop", &keys).unwrap()
        });
        if !drained.finished.is_empty() {
            assert!(session.row().unwrap().status.pending.is_none(), "round {round}: {drained:?}");
        }
    }
}

#[test]
fn the_end_of_a_turn_takes_back_what_the_drain_marked_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    let turn = session.begin_turn(vec![]).unwrap();
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| store.drain(Duration::from_secs(30), "stop", &[]).unwrap());
        while session.row().unwrap().status.pending.is_none() {
            std::thread::yield_now();
        }
        session.mark_resume_pending("half done").unwrap();
        turn.finish(Outcome::Interrupted, vec![]).unwrap();
        draining.join().unwrap();
    });
    assert_eq!(session.row().unwrap().status.pending.unwrap().reason, "half done");
}

#[test]
fn a_turn_that_can_not_begin_does_not_keep_a_drain_from_marking() {
    let folder = tempfile::tempdir().unwrap();
    let other = Store::open(folder.path()).unwrap();
    let held = other.session("held").unwrap().begin_turn(vec![]).unwrap();
    let store = Options::new().lock_wait(Duration::from_secs(4)).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(record("hi")).unwrap();
    let keys = [session.key().clone(), store.session("~store").unwrap().key().clone()];
    std::thread::scope(|scope| {
        let beginning = scope.spawn(|| store.session("held").unwrap().begin_turn(vec![]).map(drop));
        std::thread::sleep(Duration::from_millis(100));
        let draining = scope.spawn(|| store.drain(Duration::from_secs(2), "stop", &keys).unwrap());
        std::thread::sleep(Duration::from_millis(700));
        assert!(session.row().unwrap().status.pending.is_some(), "before the wait");
        let second = store.drain(Duration::ZERO, "now", &[]).unwrap();
        assert!(second.interrupted.is_empty() && second.finished.is_empty(), "{second:?}");
        session.clear_resume_pending().unwrap();
        let drained = draining.join().unwrap();
        assert_eq!((drained.finished.len(), drained.interrupted.len()), (1, 0), "not lost to the second drain");
        assert!(matches!(drained.failed[..], [(_, Error::Key(_))]), "{drained:?}");
        assert!(beginning.join().unwrap().is_err());
    });
    drop(held);
}

#[test]
fn of_messages_that_are_routed_at_once_one_begins_the_next_generation() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = Options::new().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(record("hi")).unwrap();
    let now = Timestamp::from_unix_ms(session.row().unwrap().updated.unix_ms() + 61_000);
    let policy = RoutePolicy::new().idle(Duration::from_secs(60));
    fs.slow(Op::SyncData, Duration::from_millis(20));
    let barrier = Barrier::new(4);
    let turns: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|delay| {
                let (session, policy, barrier) = (&session, &policy, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    // All of them look before the first has closed the generation; two answers come when it has a successor.
                    std::thread::sleep(Duration::from_millis(delay));
                    session.route(now, policy).unwrap();
                    session.begin_turn(vec![record("go").at(now)])
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(session.generation().unwrap(), 2);
    assert_eq!(turns.iter().filter(|turn| turn.is_ok()).count(), 1);
    assert!(session.row().unwrap().status.turn.is_some(), "and no other message has closed it");
}

#[test]
fn a_start_waits_for_another_start() {
    let folder = tempfile::tempdir().unwrap();
    let locks = folder.path().join("locks");
    let store = Store::open(folder.path()).unwrap();
    let lock = std::fs::File::create(locks.join(store.session("~store").unwrap().key().file_stem() + ".lock")).unwrap();
    lock.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            lock.unlock().unwrap();
        });
        store.resume_candidates(Timestamp::now(), &ResumePolicy::new()).unwrap();
    });
}
