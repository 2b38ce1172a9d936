//! A disk that fails once: everyone is told what came of their records, and a reopened session goes on.

use sesslog::Durability::{self, Buffered, Sync};
use sesslog::Error;
use sesslog::sim::{SimFault, SimOp};

use crate::explore::explore;
use crate::world::{World, below};

fn pick<T: Copy>(of: &[T]) -> T {
    of[usize::try_from(below(of.len() as u64)).unwrap()]
}

/// The answers that a failing disk may give. A poisoned writer names the session and, to those who wrote, what is in doubt.
fn told(result: Result<(), Error>) {
    match result {
        Ok(()) | Err(Error::Poisoned { .. } | Error::WriteFailed { .. } | Error::Io(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// The fault was met or will not be.
fn mend(world: &World) {
    world.fs.heal();
}

fn any_durability() -> Durability {
    pick(&[Sync, Sync, Buffered])
}

/// Appends, flush and release beside a sync that fails: all of them end, and nothing that was said is untrue. Then the
/// session is reopened, once, and goes on.
#[test]
fn a_failed_sync_is_told_to_everyone() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        // Half of them fail at birth.
        if below(2) == 0 {
            world.ledger.append(&session, "first", 1, Sync).unwrap();
        }
        world.fs.fail(SimOp::Sync, below(4) + 1, pick(&[SimFault::Eio, SimFault::EioDrop]));
        let (other, flushed) = (world.clone(), session.clone());
        world.run(vec![
            world.append(&session, "a", 2, 1, any_durability(), told),
            world.append(&session, "b", 2, 1, any_durability(), told),
            world.append(&session, "c", 1, 2, any_durability(), told),
            world.append(&session, "d", 1, 1, Sync, told),
            Box::new(move || {
                told(other.flush(&flushed).map(drop));
                told(other.release(&flushed));
            }),
        ]);
        world.judge();
        mend(&world);
        session.reopen().unwrap();
        world.ledger.append(&session, "last", 1, Sync).unwrap();
        world.close(&store);
        world.judge();
    });
}

/// Once poisoned, always poisoned, until somebody reopens: no append in between is accepted.
#[test]
fn poison_stays_until_somebody_reopens() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        world.ledger.append(&session, "first", 1, Sync).unwrap();
        world.fs.fail(SimOp::Sync, 1, SimFault::Eio);
        let stubborn = |who| {
            let poisoned = std::cell::Cell::new(false);
            world.append(&session, who, 3, 1, Sync, move |result| match result {
                Err(Error::Poisoned { in_doubt, .. }) => {
                    assert!(in_doubt.is_some());
                    poisoned.set(true);
                }
                Ok(()) => assert!(!poisoned.get(), "accepted by a poisoned writer"),
                Err(other) => panic!("{other:?}"),
            })
        };
        world.run(vec![stubborn("a"), stubborn("b"), stubborn("c")]);
        assert!(!world.fs.take_met().is_empty());
        // Whoever comes now is refused, too.
        assert!(matches!(world.ledger.append(&session, "late", 1, Sync), Err(Error::Poisoned { .. })));
        world.judge();
        session.reopen().unwrap();
        world.ledger.append(&session, "last", 2, Sync).unwrap();
        world.close(&store);
        world.judge();
    });
}

/// Everyone who meets the poison reopens and tries again with something else. The disk fails once: who has reopened is not
/// told of that failure again.
#[test]
fn reopening_beside_appends_loses_nothing() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        world.fs.fail(SimOp::Sync, below(4) + 1, pick(&[SimFault::Eio, SimFault::EioDrop]));
        let reopening = |who, durability| {
            let again = session.clone();
            let reopened = std::cell::Cell::new(false);
            world.append(&session, who, 3, 1, durability, move |result| {
                if let Err(Error::Poisoned { .. }) = result {
                    assert!(!reopened.replace(true), "reopened, and still poisoned by the same failure");
                    again.reopen().unwrap();
                } else {
                    told(result);
                }
            })
        };
        let (other, flushed) = (world.clone(), store.clone());
        world.run(vec![
            reopening("a", Sync),
            reopening("b", Sync),
            reopening("c", Buffered),
            Box::new(move || {
                other.flush_all(|| flushed.flush()).unwrap();
            }),
        ]);
        world.judge();
        mend(&world);
        session.reopen().unwrap();
        world.ledger.append(&session, "last", 1, Sync).unwrap();
        world.close(&store);
        world.judge();
    });
}

/// A full disk, or one that fails a write: what failed is taken back, whoever shared the commit is told, the next goes on.
#[test]
fn a_failed_write_is_taken_back() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        if below(2) == 0 {
            world.ledger.append(&session, "first", 2, any_durability()).unwrap();
        }
        let op = pick(&[SimOp::Write, SimOp::Write, SimOp::Create, SimOp::SyncDir, SimOp::Rename, SimOp::Open]);
        world.fs.fail(op, below(4) + 1, pick(&[SimFault::Enospc, SimFault::Eio]));
        world.run(vec![
            world.append(&session, "a", 2, 1, any_durability(), told),
            world.append(&session, "b", 1, 3, any_durability(), told),
            world.append(&session, "c", 2, 1, any_durability(), told),
        ]);
        world.judge();
        mend(&world);
        session.reopen().unwrap();
        world.ledger.append(&session, "next", 1, Sync).unwrap();
        world.close(&store);
        world.judge();
    });
}

/// One session's failure is nobody else's.
#[test]
fn poison_is_one_sessions_own() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let (one, two) = (store.session("one").unwrap(), store.session("two").unwrap());
        world.ledger.append(&two, "before", 1, Sync).unwrap();
        world.fs.fail(SimOp::Sync, 2, SimFault::Eio);
        let (other, flushed) = (world.clone(), store.clone());
        world.run(vec![
            world.append(&one, "a", 2, 1, Sync, told),
            world.append(&one, "b", 2, 1, Sync, told),
            world.append(&two, "c", 2, 1, Buffered, told),
            Box::new(move || {
                // It may be this one's sync that fails, of either session.
                let flushed = other.flush_all(|| flushed.flush()).unwrap();
                assert!(flushed.failures.len() <= 1, "{flushed:?}");
            }),
        ]);
        world.judge();
        let failed = world.flush_all(|| store.close()).unwrap().failures;
        assert!(failed.len() <= 1, "{failed:?}");
        world.judge();
    });
}
