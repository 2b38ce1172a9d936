//! Group commit: leader and followers, batches, flushes and releases in between, eviction of the idle.

use sesslog::Durability::{Buffered, Sync};
use sesslog::NewRecord;

use crate::explore::explore;
use crate::ledger::options;
use crate::world::{World, below, succeeds};

/// Births included: the first leader makes the transcript with everything that waits.
#[test]
fn appends_share_their_commits() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        world.run(vec![
            world.append(&session, "a", 2, 1, Sync, succeeds),
            world.append(&session, "b", 2, 1, Sync, succeeds),
            world.append(&session, "c", 1, 3, Sync, succeeds),
            world.append(&session, "d", 1, 1, Sync, succeeds),
        ]);
        world.look(&["one"]);
        world.judge();
        world.close(&store);
        world.judge();
    });
}

#[test]
fn a_flush_covers_what_was_accepted_before_it() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        let (by_session, by_store) = (world.clone(), world.clone());
        let (flushed, whole) = (session.clone(), store.clone());
        world.run(vec![
            world.append(&session, "a", 3, 1, Buffered, succeeds),
            world.append(&session, "b", 2, 2, Buffered, succeeds),
            world.append(&session, "c", 1, 1, Sync, succeeds),
            Box::new(move || {
                by_session.flush(&flushed).unwrap();
            }),
            Box::new(move || {
                assert!(by_store.flush_all(|| whole.flush()).unwrap().failures.is_empty());
            }),
        ]);
        world.look(&["one"]);
        world.judge();
        world.close(&store);
        assert!(world.ledger.calls().iter().all(crate::ledger::Call::is_durable));
        world.judge();
    });
}

/// A release lets go of the lock and seals; who appends next takes it again.
#[test]
fn a_release_beside_appends_loses_nothing() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        let (other, released) = (world.clone(), session.clone());
        let (by_store, whole) = (world.clone(), store.clone());
        world.run(vec![
            world.append(&session, "a", 2, 2, Buffered, succeeds),
            world.append(&session, "b", 2, 1, Sync, succeeds),
            Box::new(move || {
                for _ in 0..2 {
                    other.release(&released).unwrap();
                }
            }),
            Box::new(move || {
                assert!(by_store.flush_all(|| whole.flush()).unwrap().failures.is_empty());
            }),
        ]);
        world.judge();
        world.close(&store);
        assert!(world.ledger.calls().iter().all(crate::ledger::Call::is_durable));
        world.judge();
    });
}

/// One or two writers may be open, three sessions want to: whoever is idle is closed, nobody is refused or forgotten.
#[test]
fn eviction_beside_appends_loses_nothing() {
    explore(|| {
        let world = World::new();
        let most = usize::try_from(below(2)).unwrap() + 1;
        let store = options(&world.fs).open_writers_max(most).open(crate::ledger::ROOT).unwrap();
        let sessions: Vec<_> = ["one", "two", "three"].iter().map(|key| store.session(key).unwrap()).collect();
        let (by_store, whole) = (world.clone(), store.clone());
        let turns = |who, first: usize, durability| {
            let turns: Vec<_> =
                (0..3).map(|at| world.append(&sessions[(first + at) % 3], who, 1, 1, durability, succeeds)).collect();
            Box::new(move || turns.into_iter().for_each(|turn| turn())) as Box<dyn FnOnce() + Send>
        };
        world.run(vec![
            turns("a", 0, Sync),
            turns("b", 1, Buffered),
            turns("c", 2, Buffered),
            Box::new(move || {
                assert!(by_store.flush_all(|| whole.flush()).unwrap().failures.is_empty());
            }),
        ]);
        world.judge();
        world.close(&store);
        assert!(world.ledger.calls().iter().all(crate::ledger::Call::is_durable));
        world.judge();
        world.look(&["one", "two", "three"]);
    });
}

/// Several try one record at the same time, waiting for one commit or for one after the other: it is written once.
#[test]
fn one_id_is_one_record_whoever_waits_together() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        let receipts = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks = (0..3).map(|number| {
            let (session, receipts) = (session.clone(), receipts.clone());
            Box::new(move || {
                let own = NewRecord::new(&number).unwrap();
                let shared = NewRecord::new("shared").unwrap().id("shared").unwrap();
                let appended = session.append_batch(vec![own, shared]).unwrap();
                receipts.lock().unwrap().push((appended[1].seq, appended[1].crc));
            }) as Box<dyn FnOnce() + Send>
        });
        // While that one is written, the others wait together.
        let first = world.append(&session, "first", 1, 1, Sync, succeeds);
        world.run(tasks.chain([first]).collect());
        let receipts = receipts.lock().unwrap();
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
        assert_eq!(session.records().unwrap().count(), 5);
        world.close(&store);
    });
}
