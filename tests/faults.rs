//! Promises 2, 4 and 7: no error of the disk makes an acknowledged record go, or a record appear that was never appended.
//!
//! A workload of births, single and batched commits, buffered appends, flushes and a close runs again and again, each time
//! with the next operation of a kind failing. Then the store is opened on a healthy disk: everything acknowledged must be
//! there in order, whatever else is there must have been submitted in that place, and every fault must have been reported.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::faulty::{Fault, FaultyFs, Op};
use common::{bodies, numbered};
use sesslog::{Durability, Error, Item, NewRecord, Options, Progress, RebuildOptions, Store, VerifyOptions};

const KEYS: [&str; 2] = ["first", "second"];

/// What was submitted and what was acknowledged, per key.
#[derive(Debug, Default)]
struct Ledger {
    submitted: [Vec<String>; 2],
    /// Bodies whose receipt said durable, or that a successful flush covered.
    acked: [Vec<String>; 2],
    errors: Vec<Error>,
}

fn options(fs: &FaultyFs) -> Options {
    // No idle release in between: the order of operations must be the same in every run.
    Options::new().file_system(Arc::new(fs.clone())).idle_release(Duration::from_secs(3600))
}

fn run(folder: &Path, fs: &FaultyFs) -> Ledger {
    let mut ledger = Ledger::default();
    let store = match options(fs).open(folder) {
        Ok(store) => store,
        Err(error) => {
            ledger.errors.push(error);
            return ledger;
        }
    };
    let mut number = 0;
    let mut next = || {
        number += 1;
        numbered(number)
    };
    for round in 0..3 {
        for (at, key) in KEYS.iter().enumerate() {
            let session = store.session(key).unwrap();
            let mut buffered: Vec<String> = Vec::new();
            for (size, durability) in [(1, Durability::Sync), (3, Durability::Sync), (2, Durability::Buffered)] {
                let records: Vec<_> = (0..size).map(|_| next()).collect();
                let texts: Vec<_> = records.iter().map(|record| record.body().to_owned()).collect();
                ledger.submitted[at].extend(texts.iter().cloned());
                match session.append_batch_with(records, durability) {
                    Ok(receipts) => {
                        assert_eq!(receipts.len(), texts.len());
                        let durable = receipts.iter().all(|receipt| receipt.durable);
                        if durable { ledger.acked[at].extend(texts) } else { buffered.extend(texts) }
                    }
                    Err(error) => {
                        if matches!(error, Error::Poisoned { .. }) {
                            assert!(session.append(numbered(0)).is_err(), "a poisoned session refuses");
                            session.reopen().unwrap();
                        }
                        ledger.errors.push(error);
                    }
                }
            }
            match session.flush() {
                Ok(_) => ledger.acked[at].extend(buffered),
                Err(error) => {
                    session.reopen().unwrap();
                    ledger.errors.push(error);
                }
            }
            if round == 1
                && let Err(error) = session.release()
            {
                session.reopen().unwrap();
                ledger.errors.push(error);
            }
        }
    }
    match store.close() {
        Ok(flushed) => ledger.errors.extend(flushed.failures.into_iter().map(|(_, error)| error)),
        Err(error) => ledger.errors.push(error),
    }
    ledger
}

/// Opens on a healthy disk and compares.
fn check(folder: &Path, ledger: &Ledger, story: &str) {
    let store = Store::open(folder).unwrap();
    for (at, key) in KEYS.iter().enumerate() {
        let session = store.session(key).unwrap();
        session
            .append(NewRecord::json(r#""after""#).unwrap())
            .unwrap_or_else(|error| panic!("{story}: {key}: {error}"));
        let mut found = bodies(&session);
        assert_eq!(found.pop().as_deref(), Some(r#""after""#), "{story}: {key}");
        // In order of submission, none twice, none of anybody else.
        let mut submitted = ledger.submitted[at].iter();
        for body in &found {
            assert!(submitted.any(|text| text == body), "{story}: {key}: {body} is not where it was submitted");
        }
        for body in &ledger.acked[at] {
            assert!(found.contains(body), "{story}: {key}: acknowledged {body} is gone");
        }
    }
    store.close().unwrap();
    let saved = std::fs::read(folder.join("registry.jsonl")).unwrap();
    let store = Store::open(folder).unwrap();
    store.rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
    assert_eq!(std::fs::read(folder.join("registry.jsonl")).unwrap(), saved, "{story}: the registry");
    let report = store.verify(&VerifyOptions::new(), &Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{story}: {:?}", report.findings);
}

#[test]
fn every_operation_fails_once_in_every_way() {
    let mut struck = 0;
    for op in Op::ALL {
        for fault in [Fault::Eio, Fault::Short, Fault::ShortThenDead] {
            if fault == Fault::ShortThenDead && op != Op::Write {
                continue;
            }
            for only in ["", "transcripts"] {
                for k in 1.. {
                    let folder = tempfile::tempdir().unwrap();
                    let fs = FaultyFs::default();
                    fs.fail(op, k, fault, only);
                    let ledger = run(folder.path(), &fs);
                    if !fs.struck() {
                        assert!(ledger.errors.is_empty(), "{op:?} {k}: {:?}", ledger.errors);
                        break;
                    }
                    struck += 1;
                    let story = format!("{op:?} number {k} fails with {fault:?} on {only:?}");
                    // The text in a lock file and its removal are for people and for tidiness only.
                    let counts = matches!(op, Op::SyncData | Op::SyncAll | Op::SyncDir | Op::RenameNew);
                    if counts || (op == Op::Write && fault == Fault::Eio && only == "transcripts") {
                        assert!(!ledger.errors.is_empty(), "{story}: nobody was told");
                    }
                    if ledger.errors.is_empty() {
                        // A short write of a file that nobody sees yet is simply gone on with.
                        assert_eq!(ledger.acked, ledger.submitted, "{story}: nobody was told");
                    }
                    check(folder.path(), &ledger, &story);
                }
            }
        }
    }
    assert!(struck > 200, "only {struck} faults were met");
}

#[test]
fn a_failed_write_is_taken_back_and_fails_what_waits_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = options(&fs).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    let path = session.path(None).unwrap();
    let before = std::fs::read(&path).unwrap();
    fs.fail(Op::Write, 1, Fault::Short, "transcripts");
    assert!(matches!(session.append(numbered(2)), Err(Error::WriteFailed { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before, "truncated back");
    assert_eq!(fs.count(Op::SyncData, "transcripts"), 1, "and synced");
    session.append(numbered(3)).unwrap();
    assert_eq!(bodies(&session).len(), 2);
}

#[test]
fn a_failed_rollback_poisons_and_never_writes_again() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = options(&fs).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    fs.fail(Op::Write, 1, Fault::ShortThenDead, "transcripts");
    let error = session.append(numbered(2)).unwrap_err();
    assert!(matches!(error, Error::Poisoned { in_doubt: Some((2, 2)), .. }), "{error:?}");
    fs.reset();
    assert!(matches!(session.append(numbered(3)), Err(Error::Poisoned { .. })));
    assert!(matches!(store.session("k").unwrap().append(numbered(3)), Err(Error::Poisoned { .. })), "for every handle");
    drop(session);
    store.close().unwrap();
    for op in [Op::Write, Op::SetLen, Op::SyncData] {
        assert_eq!(fs.count(op, "transcripts"), 0, "{op:?} after the poisoning");
    }
}

#[test]
fn a_failed_sync_is_final_and_names_the_records_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = options(&fs).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    session.append_with(numbered(2), Durability::Buffered).unwrap();
    fs.fail(Op::SyncData, 1, Fault::Eio, "transcripts");
    let error = session.append(numbered(3)).unwrap_err();
    assert!(matches!(error, Error::Poisoned { in_doubt: Some((2, 3)), .. }), "{error:?}");
    assert_eq!(fs.count(Op::SyncData, "transcripts"), 1, "not tried again");
    fs.reset();
    session.reopen().unwrap();
    session.append(numbered(4)).unwrap();
    // What the page cache still showed was written again in place before it was believed.
    assert!(fs.count(Op::Write, "transcripts") >= 3, "two records rewritten, one appended");
    assert_eq!(bodies(&session).len(), 4);
}

#[test]
fn one_bad_session_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = options(&fs).open(folder.path()).unwrap();
    for key in ["a", "b", "c"] {
        store.session(key).unwrap().append(numbered(1)).unwrap();
        store.session(key).unwrap().append_with(numbered(2), Durability::Buffered).unwrap();
    }
    fs.fail(Op::SyncData, 2, Fault::Eio, "transcripts");
    let flushed = store.flush().unwrap();
    assert_eq!((flushed.sessions, flushed.failures.len()), (2, 1));
    assert!(matches!(flushed.failures[0].1, Error::Poisoned { .. }));
    let again = store.flush().unwrap();
    assert_eq!((again.sessions, again.failures.len()), (0, 1), "named until somebody reopens it");
}

#[test]
fn an_unreadable_place_ends_a_read_with_an_error_not_with_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = options(&fs).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append_batch((1..2000).map(numbered).collect()).unwrap();
    fs.fail(Op::Read, 4, Fault::Eio, "transcripts");
    let items: Vec<_> = session.records().unwrap().collect();
    assert!(matches!(items.last(), Some(Err(Error::Io(_)))), "{:?}", items.last());
    assert!(items.len() < 2000 && items[..items.len() - 1].iter().all(|item| matches!(item, Ok(Item::Record(_)))));
}
