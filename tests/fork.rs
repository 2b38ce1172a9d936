//! Forks: a new session that begins as another was, whole or not at all.

#![cfg(feature = "sim")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::sync::Arc;

use sesslog::sim::{Chance, SimFault, SimFs, SimOp};
use sesslog::{Error, Item, Mark, NewRecord, Options, Progress, Record, Session, SessionState, Store, VerifyOptions};

fn open(fs: &SimFs) -> Store {
    Options::new().file_system(Arc::new(fs.clone())).open("/store").unwrap()
}

fn records(session: &Session) -> Vec<Record> {
    let record = |item| if let Ok(Item::Record(record)) = item { record } else { panic!("{item:?}") };
    session.records().unwrap().map(record).collect()
}

/// What a fork must keep of a record.
fn kept(record: &Record) -> (u64, sesslog::Timestamp, String, Option<String>, String) {
    let id = record.id().map(ToOwned::to_owned);
    (record.seq(), record.ts(), record.kind().to_owned(), id, record.body().to_owned())
}

fn is_sound(store: &Store) {
    let report = store.verify(&VerifyOptions::new().deep(true), &Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// A session with some of everything.
fn talk(store: &Store) -> Session {
    let session = store.session("parent").unwrap();
    let text = |text: &str| NewRecord::json(text).unwrap();
    session
        .append_batch(vec![text(r#"{"b":1,"a":2.50}"#).id("x").unwrap(), text("2").kind("tool.call").unwrap()])
        .unwrap();
    session.set_labels(&["work"]).unwrap();
    session.append(text("3").at(sesslog::Timestamp::from_unix_ms(1))).unwrap();
    session.compact("summed up", 3).unwrap();
    session.append(text("4").kind("meta.usage").unwrap()).unwrap();
    session
}

#[test]
fn a_fork_begins_as_its_parent_was() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = talk(&store);
    let parent = records(&session);
    let before = fs.files();
    for at_seq in 0..=6 {
        let fork = session.fork(format!("fork {at_seq}"), at_seq).unwrap();
        let copied: Vec<_> = records(&fork).iter().map(kept).collect();
        assert_eq!(copied, parent.iter().take(copied.len()).map(kept).collect::<Vec<_>>());
        assert_eq!(u64::try_from(copied.len()).unwrap(), at_seq);
        let row = fork.row().unwrap();
        let named = row.parent.unwrap();
        assert_eq!((named.key.as_str(), named.generation, named.seq), ("parent", 1, at_seq));
        assert_eq!(row.status.labels, if at_seq >= 3 { vec!["work".to_owned()] } else { vec![] });
        assert_eq!(row.durable_seq, at_seq);
        // It goes on, and its parent does not notice.
        assert_eq!(fork.append(NewRecord::json("5").unwrap()).unwrap().seq, at_seq + 1);
        assert_eq!(fork.context().unwrap().summary.is_some(), at_seq >= 5);
    }
    let unchanged = |(path, bytes): &(std::path::PathBuf, Vec<u8>)| fs.files().contains(&(path.clone(), bytes.clone()));
    assert!(before.iter().filter(|(path, _)| path.to_string_lossy().contains("parent~")).all(unchanged));
    // An id that was taken along is known there, too.
    let fork = store.session("fork 1").unwrap();
    assert_eq!(fork.append(NewRecord::json(r#"{"b":1,"a":2.50}"#).unwrap().id("x").unwrap()).unwrap().seq, 1);
    store.close().unwrap();
    is_sound(&open(&fs));
}

#[test]
fn what_the_parent_was_doing_is_not_taken_along() {
    let store = open(&SimFs::new());
    let session = store.session("k").unwrap();
    let turn = session.begin_turn(vec![NewRecord::json("1").unwrap()]).unwrap();
    session.mark_resume_pending("restart").unwrap();
    session.note_resume_attempt().unwrap();
    session.suspend("loops").unwrap();
    let head = session.head().unwrap();
    let fork = session.fork("fork", head.seq).unwrap();
    let row = fork.row().unwrap();
    assert!(row.state == SessionState::Open && row.status.is_idle() && row.status.resume_attempts == 0, "{row:?}");
    assert_eq!(fork.begin_turn(Vec::new()).unwrap().session().key().as_str(), "fork");
    assert_eq!(session.row().unwrap().state, SessionState::Suspended);
    drop(turn);
    // A closed generation is forked as it was before it was closed.
    session.reset("new").unwrap();
    let reset = session.head().unwrap();
    let fork = session.fork("fork of a closed one", reset.seq).unwrap();
    assert_eq!(fork.row().unwrap().parent.unwrap().seq, reset.seq - 1);
    fork.append(NewRecord::json("2").unwrap()).unwrap();
}

#[test]
fn what_can_not_be_forked_is_refused_and_named() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = talk(&store);
    store.session("taken").unwrap().append(NewRecord::json("1").unwrap()).unwrap();
    store.session("done").unwrap().append(NewRecord::json("1").unwrap()).unwrap();
    store.session("done").unwrap().reset("new").unwrap();
    let before = fs.files();
    assert!(matches!(session.fork("new", 7), Err(Error::BeyondHistory { what: "at_seq", seq: 7, last_seq: 6, .. })));
    assert!(matches!(session.fork("taken", 1), Err(Error::SessionExists { generation: 1, .. })));
    assert!(matches!(session.fork("parent", 1), Err(Error::SessionExists { .. })));
    assert!(matches!(session.fork("~store", 1), Err(Error::Key(_))));
    assert!(matches!(session.fork("", 1), Err(Error::Key(_))));
    assert!(matches!(session.fork_of(Some(2), "new", 1), Err(Error::SessionNotFound { .. })));
    assert!(matches!(store.session("none").unwrap().fork("new", 0), Err(Error::SessionNotFound { .. })));
    assert_eq!(fs.files(), before, "nothing was written");
    assert_eq!(session.fork("done", 1).unwrap().generation().unwrap(), 2);
    // Damage, wherever it is.
    store.close().unwrap();
    let (path, mut bytes) =
        fs.files().into_iter().find(|(path, _)| path.to_string_lossy().contains("parent~")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs.tamper(&path, &bytes);
    let store = open(&fs);
    let refused = store.session("parent").unwrap().fork("new", 1);
    assert!(matches!(&refused, Err(Error::Damaged { key, .. }) if key.as_str() == "parent"), "{refused:?}");
    assert!(store.session("new").unwrap().generation().is_err());
}

/// A way to make a session with these records of its parent.
type Make = fn(&Store, &[Record]) -> Result<(), Error>;

/// By a fork, and from records of its own.
const MAKES: [Make; 2] = [
    |store, _| store.session("parent")?.fork("fork", 5).map(drop),
    |store, records| {
        let made = store.session("fork")?.create(|new| {
            for record in records {
                let copy = match record.as_mark() {
                    None => NewRecord::json(record.body())?.kind(record.kind().to_owned())?,
                    Some(Mark::Compacted { keep_from }) => NewRecord::summary("\"summed up\"", keep_from)?,
                    Some(mark) => NewRecord::state(&mark)?,
                };
                let copy = record.id().map_or(Ok(copy.clone()), |id| copy.id(id))?;
                new.put(&copy.at(record.ts()))?;
            }
            Ok(())
        });
        made.map(drop)
    },
];

#[test]
fn crashed_or_failed_anywhere_it_is_whole_or_not_there() {
    MAKES.into_iter().for_each(is_made_whole_or_not_at_all);
}

fn is_made_whole_or_not_at_all(make: Make) {
    let made = SimFs::new();
    let store = open(&made);
    let mut parent = records(&talk(&store));
    parent.truncate(5);
    let expected: Vec<_> = parent.iter().map(kept).collect();
    store.close().unwrap();
    drop(store);
    let judge = |fs: &SimFs, is_done: bool| {
        let store = open(fs);
        let fork = store.session("fork").unwrap();
        match fork.generation() {
            Ok(_) => assert_eq!(records(&fork).iter().map(kept).collect::<Vec<_>>(), expected),
            Err(error) => assert!(error.is_not_found() && !is_done, "{error:?}"),
        }
        assert_eq!(records(&store.session("parent").unwrap()).len(), 6);
        store.close().unwrap();
        is_sound(&open(fs));
    };
    let mut tried = 0;
    for operation in 1.. {
        let fs = made.fork();
        let store = open(&fs);
        fs.cut_power_at(Some(fs.operations() + operation));
        let result = make(&store, &parent);
        fs.cut_power_at(None);
        for seed in 0..8 {
            let disk = fs.fork();
            disk.crash(&mut Chance::new(seed * 1000 + operation));
            judge(&disk, result.is_ok());
            tried += 1;
        }
        if result.is_ok() {
            break;
        }
    }
    for op in [SimOp::Create, SimOp::Write, SimOp::Sync, SimOp::SyncDir, SimOp::Rename, SimOp::Read] {
        for fault in [SimFault::Eio, SimFault::Enospc] {
            for number in 1.. {
                let fs = made.fork();
                let store = open(&fs);
                fs.take_met();
                fs.fail(op, number, fault);
                let result = make(&store, &parent);
                if fs.take_met().is_empty() {
                    break;
                }
                fs.heal();
                drop(store);
                fs.crash(&mut Chance::new(number));
                judge(&fs, result.is_ok());
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}
