//! Readers beside a live writer, and two stores on one folder, as two processes are.

use std::time::Duration;

use sesslog::Durability::{Buffered, Sync};
use sesslog::fs::Fs as _;
use sesslog::{Error, Item, Progress, ReadOptions, VerifyOptions};

use crate::closing::rows_agree;
use crate::explore::explore;
use crate::ledger::{Call, ROOT, options, read};
use crate::world::{World, succeeds};

/// Accepted, or refused because the other one writes.
fn or_busy(result: Result<(), Error>) {
    match result {
        Ok(()) | Err(Error::Busy { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// A reader sees whole records, dense and in order, at least what was acknowledged before it looked; of durable records
/// only, none that is lost by a power cut.
#[test]
fn a_reader_sees_a_prefix_that_has_what_was_acknowledged() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let session = store.session("one").unwrap();
        world.ledger.append(&session, "first", 1, Sync).unwrap();
        let own = world.clone();
        let reader = session.clone();
        let foreign = world.clone();
        let (other, released) = (world.clone(), session.clone());
        world.run(vec![
            world.append(&session, "a", 2, 2, Buffered, succeeds),
            world.append(&session, "b", 2, 1, Sync, succeeds),
            Box::new(move || {
                other.release(&released).unwrap();
            }),
            Box::new(move || {
                let known = own.ledger.calls();
                own.ledger.agrees("one", &known, &read(&reader));
                let seqs = |items: Vec<Item>| -> Vec<u64> {
                    let seq = |item| if let Item::Record(record) = item { record.seq() } else { panic!("{item:?}") };
                    items.into_iter().map(seq).collect()
                };
                let last = seqs(reader.last(2).unwrap());
                assert!(last.is_sorted() && !last.is_empty());
                let durable = reader.read(&ReadOptions::new().durable_only(true)).unwrap();
                let durable = seqs(durable.map(Result::unwrap).collect()).last().copied().unwrap();
                let disk = own.fs.fork();
                disk.crash(&mut sesslog::sim::Chance::new(crate::world::below(u64::MAX)));
                let kept = read(&crate::ledger::open(&disk).session("one").unwrap());
                // A seal that is not synced yet may be the last that is shown; the store's marks promise nothing.
                let shown = read(&reader).into_iter().filter(|(seq, _)| *seq <= durable).count();
                assert!(kept.len() >= shown, "shown as durable up to {durable}, kept {kept:?}");
            }),
            Box::new(move || {
                let store = options(&foreign.fs).open_read_only(ROOT).unwrap();
                let known = foreign.ledger.calls();
                foreign.ledger.agrees("one", &known, &read(&store.session("one").unwrap()));
                let report = store.verify(&VerifyOptions::new().jobs(1), &Progress::default()).unwrap();
                assert!(
                    report.findings.iter().all(|finding| finding.kind.name() == "registry-missing"),
                    "{:?}",
                    report.findings
                );
            }),
        ]);
        world.judge();
        world.close(&store);
        world.look(&["one"]);
        world.judge();
    });
}

/// Two stores want one session: they take turns or are told that it is busy, and nobody writes over the other's records.
#[test]
fn two_stores_exclude_each_other() {
    explore(|| {
        let world = World::new();
        let (ours, theirs) =
            (world.open(), options(&world.fs).lock_wait(Duration::from_millis(60)).open(ROOT).unwrap());
        let (one, same) = (ours.session("one").unwrap(), theirs.session("one").unwrap());
        let other = world.of_store(1);
        let turns = |world: &World, session: &sesslog::Session, who, durability| {
            let append = world.append(session, who, 2, 1, durability, or_busy);
            let (world, session) = (world.clone(), session.clone());
            Box::new(move || {
                append();
                world.release(&session).unwrap();
            }) as Box<dyn FnOnce() + Send>
        };
        world.run(vec![
            turns(&world, &one, "a", Sync),
            turns(&world, &one, "b", Buffered),
            turns(&other, &same, "c", Sync),
            turns(&other, &same, "d", Buffered),
        ]);
        world.judge();
        world.close(&ours);
        other.close(&theirs);
        assert!(world.ledger.calls().iter().all(|call| call.is_durable() || call.is_refused()));
        rows_agree(&world, &["one"]);
        world.judge();
    });
}

/// Each store has sessions of its own; they save the one registry, and close beside each other. A close looks at every
/// transcript, the other's among them, and is in no append's way.
#[test]
fn two_stores_share_a_registry() {
    explore(|| {
        let world = World::new();
        sesslog::sync::set_rings(6);
        let store = || options(&world.fs).registry_save_delay(Duration::ZERO).open(ROOT).unwrap();
        let (ours, theirs) = (store(), store());
        let (one, two) = (ours.session("one").unwrap(), theirs.session("two").unwrap());
        let other = world.of_store(1);
        let closing = |world: &World, store: &sesslog::Store, append: Box<dyn FnOnce() + Send>| {
            let (world, store) = (world.clone(), store.clone());
            Box::new(move || {
                append();
                world.close(&store);
            }) as Box<dyn FnOnce() + Send>
        };
        world.run(vec![
            closing(&world, &ours, world.append(&one, "a", 2, 1, Buffered, succeeds)),
            closing(&other, &theirs, other.append(&two, "b", 2, 2, Sync, succeeds)),
        ]);
        assert!(world.ledger.calls().iter().all(Call::is_durable));
        // Each saved what it knew; the next to open folds what the last save did not have.
        let next = world.open();
        world.look(&["one", "two"]);
        world.close(&next);
        rows_agree(&world, &["one", "two"]);
        world.judge();
    });
}

/// A store goes on knowing what it acknowledged while it merges what another one saved: it names the loss of a transcript,
/// and how much was lost.
#[test]
fn a_merge_forgets_nothing_that_was_acknowledged() {
    explore(|| {
        let world = World::new();
        sesslog::sync::set_rings(8);
        let open = || options(&world.fs).registry_save_delay(Duration::ZERO).open(ROOT).unwrap();
        let (ours, theirs) = (open(), open());
        let other = world.of_store(1);
        let append = other.append(&theirs.session("theirs").unwrap(), "b", 2, 1, Sync, succeeds);
        let closing = Box::new(move || {
            append();
            other.close(&theirs);
        }) as Box<dyn FnOnce() + Send>;
        // Each is folded once: a later fold would say it again.
        let sessions = ["one", "two", "three"].map(|key| ours.session(key).unwrap());
        let appends = sessions.iter().map(|session| world.append(session, "a", 1, 2, Sync, succeeds));
        world.run(appends.chain([closing]).collect());
        world.judge();
        for session in &sessions {
            let name = format!("transcripts/{}~", session.key());
            let files = world.fs.files();
            let (transcript, _) = files.iter().find(|(path, _)| path.to_string_lossy().contains(&name)).unwrap();
            world.fs.remove(transcript).unwrap();
            match session.records().unwrap_err() {
                Error::TranscriptLost { last_seq, .. } => assert!(last_seq >= 2, "{last_seq}"),
                other => panic!("{other:?}"),
            }
        }
    });
}
