//! What turns, marks and drains cost in flushes: a mark is one fdatasync, and a turn's records come with its marks.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::faulty::{FaultyFs, Op};
use sesslog::resume::ResumePolicy;
use sesslog::{Error, NewRecord, Options, Outcome, Session, Store, Timestamp};

fn records(count: usize) -> Vec<NewRecord> {
    (0..count).map(|number| NewRecord::new(&number).unwrap()).collect()
}

struct World {
    folder: tempfile::TempDir,
    fs: FaultyFs,
    store: Store,
}

impl World {
    /// A store that does nothing by itself.
    fn new() -> Self {
        let (folder, fs) = (tempfile::tempdir().unwrap(), FaultyFs::default());
        let options = Options::new().idle_release(Duration::MAX).registry_save_delay(Duration::MAX);
        let store = options.file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
        Self { folder, fs, store }
    }

    /// A session that has records and is open for writing.
    fn session(&self, key: &str) -> Session {
        let session = self.store.session(key).unwrap();
        session.append(NewRecord::new("hi").unwrap()).unwrap();
        session
    }

    /// Runs `work`, and returns (writes, fdatasyncs) in all of the store. Anything else that flushes is too much.
    fn cost<T>(&self, work: impl FnOnce() -> T) -> ((usize, usize), T) {
        self.fs.reset();
        let done = work();
        for op in [Op::SyncAll, Op::SyncDir, Op::Create, Op::Rename, Op::RenameNew, Op::SetLen] {
            assert_eq!(self.fs.count(op, ""), 0, "{op:?}");
        }
        ((self.fs.count(Op::Write, ""), self.fs.count(Op::SyncData, "")), done)
    }
}

#[test]
fn beginning_and_finishing_is_one_fdatasync_each_with_their_records() {
    let world = World::new();
    let session = world.session("a");
    for count in [0, 1, 3, 50] {
        let (cost, turn) = world.cost(|| session.begin_turn(records(count)).unwrap());
        assert_eq!((cost, turn.receipts().len()), ((1, 1), count));
        let (cost, _) = world.cost(|| turn.append_batch(records(count + 1)).unwrap());
        assert_eq!(cost, (1, 1), "an append between them");
        let (cost, receipts) = world.cost(|| turn.finish(Outcome::Success, records(count)).unwrap());
        assert_eq!((cost, receipts.len()), ((1, 1), count));
    }
    // What is refused costs nothing.
    let turn = session.begin_turn(vec![]).unwrap();
    let (cost, refused) = world.cost(|| session.begin_turn(records(3)));
    assert!(cost == (0, 0) && matches!(refused, Err(Error::TurnRunning { .. })), "{cost:?}");
    turn.finish(Outcome::Failed, vec![]).unwrap();
    let (cost, refused) = world.cost(|| turn.finish(Outcome::Success, records(3)));
    assert!(cost == (0, 0) && matches!(refused, Err(Error::TurnOver { .. })), "{cost:?}");
}

#[test]
fn a_turn_that_makes_its_session_costs_what_an_append_does_that_makes_one() {
    let world = World::new();
    // The first one makes names of the store durable, too.
    world.session("first");
    let flushes = |work: &dyn Fn()| {
        world.fs.reset();
        work();
        [Op::Write, Op::SyncData, Op::SyncAll, Op::SyncDir].map(|op| world.fs.count(op, "transcripts"))
    };
    let append = flushes(&|| {
        world.store.session("appended").unwrap().append_batch(records(3)).unwrap();
    });
    let begin = flushes(&|| drop(world.store.session("begun").unwrap().begin_turn(records(3)).unwrap()));
    assert_eq!(begin, append);
    assert_eq!(append.iter().sum::<usize>(), 3, "one write, one flush of the file, one of the folder: {append:?}");
}

/// A change, and whether it changed anything.
type Change<'a> = (&'a str, &'a dyn Fn() -> Result<bool, Error>);

#[test]
fn every_mark_is_one_fdatasync_and_one_that_changes_nothing_is_none() {
    let world = World::new();
    let session = world.session("a");
    let changes: [Change<'_>; 10] = [
        ("pending", &|| session.mark_resume_pending("restart").map(|()| true)),
        ("attempt", &|| session.note_resume_attempt().map(|_| true)),
        ("clear", &|| session.clear_resume_pending()),
        ("clear again", &|| session.clear_resume_pending()),
        ("suspend", &|| session.suspend("loops")),
        ("suspend again", &|| session.suspend("loops")),
        ("lift", &|| session.lift_suspension()),
        ("title", &|| session.set_title("t").map(|()| true)),
        ("labels", &|| session.set_labels(&["a", "b"]).map(|()| true)),
        ("compact", &|| session.compact("all that was", 1).map(|_| true)),
    ];
    for (name, change) in changes {
        let (cost, changed) = world.cost(|| change().unwrap());
        assert_eq!((cost, changed), if name.ends_with("again") { ((0, 0), false) } else { ((1, 1), true) }, "{name}");
    }
    world.fs.reset();
    assert!(session.reset("new topic").unwrap());
    assert_eq!((world.fs.count(Op::Write, "transcripts"), world.fs.count(Op::SyncData, "")), (1, 1), "reset");
}

#[test]
fn a_drain_is_one_fdatasync_for_each_running_session() {
    let world = World::new();
    let turns: Vec<_> = (0..40).map(|n| world.session(&format!("s{n}")).begin_turn(vec![]).unwrap()).collect();
    for n in 0..40 {
        // Not running: not the drain's business.
        world.session(&format!("idle{n}"));
    }
    let (cost, drained) = world.cost(|| world.store.drain(Duration::ZERO, "restart", &[]).unwrap());
    assert_eq!((cost, drained.interrupted.len()), ((40, 40), 40));
    let (cost, ()) = world.cost(|| turns.iter().for_each(|turn| drop(turn.finish(Outcome::Partial, vec![]).unwrap())));
    assert_eq!(cost, (40, 40), "an end and the mark taken back are one");
    // A second drain finds nothing to mark.
    let (cost, _) = world.cost(|| world.store.drain(Duration::ZERO, "restart", &[]).unwrap());
    assert_eq!(cost, (0, 0));
}

#[test]
fn a_start_flushes_nothing_of_the_sessions() {
    let World { folder, fs, store } = World::new();
    for n in 0..40 {
        let session = store.session(format!("s{n}")).unwrap();
        drop(session.begin_turn(records(1)).unwrap());
    }
    store.close().unwrap();
    fs.reset();
    let store = Options::new().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    let policy = ResumePolicy::new().fresh_for(0).attempts_max(0);
    fs.reset();
    let found = store.resume_candidates(Timestamp::now(), &policy).unwrap();
    assert_eq!(found.offered.len(), 40);
    let flushed = [Op::SyncData, Op::SyncAll].map(|op| fs.count(op, "transcripts/s"));
    assert_eq!((flushed, fs.count(Op::Write, "transcripts/s")), ([0, 0], 0));
}
