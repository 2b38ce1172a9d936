//! Appending again: each id is in the transcript once, whatever became of the first try; and appending only to what was seen.

#![cfg(feature = "sim")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::sync::Arc;

use sesslog::sim::{Chance, SimFault, SimFs, SimOp};
use sesslog::{Durability, Error, Item, NewRecord, Options, Receipt, Session, Store};

fn open(fs: &SimFs) -> Store {
    Options::new().file_system(Arc::new(fs.clone())).open("/store").unwrap()
}

fn record(id: &str) -> NewRecord {
    NewRecord::new(&format!("body of {id}")).unwrap().id(id).unwrap()
}

fn ids(session: &Session) -> Vec<String> {
    let mut ids = Vec::new();
    for item in session.records().unwrap() {
        match item.unwrap() {
            Item::Record(record) => ids.extend(record.id().map(ToOwned::to_owned)),
            other => panic!("{other:?}"),
        }
    }
    ids
}

fn place(receipt: &Receipt) -> (u64, u64, sesslog::Crc) {
    (receipt.generation, receipt.seq, receipt.crc)
}

#[test]
fn a_second_try_gets_the_first_receipt() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let first = session.append(record("a")).unwrap();
    session.append(NewRecord::new("without an id").unwrap()).unwrap();
    let odd = session.append(NewRecord::new("x").unwrap().id("q\"\\\u{1}\u{e9}").unwrap()).unwrap();
    let before = fs.files();
    assert_eq!(session.append(record("a")).unwrap(), first);
    assert_eq!(session.append(NewRecord::new("x").unwrap().id("q\"\\\u{1}\u{e9}").unwrap()).unwrap(), odd);
    assert_eq!(fs.files(), before, "nothing was written");
    // By another process, too, and as a part of a batch that was cut.
    store.close().unwrap();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let receipts = session.append_batch(vec![record("a"), record("b"), record("a"), record("b")]).unwrap();
    assert_eq!(place(&receipts[0]), place(&first));
    assert_eq!((&receipts[2], &receipts[3]), (&receipts[0], &receipts[1]));
    assert_eq!(ids(&session), ["a", "q\"\\\u{1}\u{e9}", "b"]);
}

#[test]
fn an_id_of_another_record_is_refused_and_named() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let reused = |result: Result<Vec<Receipt>, Error>| match result {
        Err(Error::IdReused { generation: 1, seq, .. }) => seq,
        other => panic!("{other:?}"),
    };
    let other = || NewRecord::new("another").unwrap().id("a").unwrap();
    // Against one that is born with it, one in the same batch, one in the transcript; of another kind.
    assert_eq!(reused(session.append_batch(vec![record("a"), other()])), 1);
    assert!(session.generation().is_err(), "nothing was written");
    session.append_batch(vec![record("x"), record("a")]).unwrap();
    let before = fs.files();
    assert_eq!(reused(session.append_batch(vec![record("new"), other()])), 2);
    assert_eq!(reused(session.append_batch(vec![record("new"), NewRecord::new("n").unwrap().id("new").unwrap()])), 3);
    assert_eq!(reused(session.append_batch(vec![record("a").kind("tool").unwrap()])), 2);
    assert_eq!(fs.files(), before);
    // A generation has its own.
    session.reset("new").unwrap();
    assert_eq!(session.append(other()).unwrap().generation, 2);
}

#[test]
fn what_was_buffered_is_durable_when_it_is_tried_again_durably() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    session.append(record("first")).unwrap();
    let buffered = session.append_with(record("a"), Durability::Buffered).unwrap();
    assert!(!buffered.durable && !session.append_with(record("a"), Durability::Buffered).unwrap().durable);
    let again = session.append_with(record("a"), Durability::Sync).unwrap();
    assert!(again.durable && place(&again) == place(&buffered));
    let disk = fs.fork();
    disk.crash(&mut Chance::new(7));
    assert_eq!(ids(&open(&disk).session("k").unwrap()), ["first", "a"]);
}

#[test]
fn a_full_disk_refuses_nothing_that_is_there() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let first = session.append(record("a")).unwrap();
    fs.fail(SimOp::Write, 0, SimFault::Enospc);
    assert_eq!(session.append(record("a")).unwrap(), first);
    let Err(Error::Partial { receipts, .. }) = session.append_batch(vec![record("a"), record("b")]) else { panic!() };
    assert_eq!(receipts, [first]);
}

#[test]
fn threads_that_append_one_id_write_one_record() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let appends: Vec<_> = (0..16)
        .map(|number| {
            let session = session.clone();
            std::thread::spawn(move || {
                session.append_batch(vec![record(["a", "b", "c"][number % 3]), record("d")]).unwrap()
            })
        })
        .collect();
    let receipts: Vec<_> = appends.into_iter().flat_map(|append| append.join().unwrap()).collect();
    let mut places: Vec<_> = receipts.iter().map(|receipt| receipt.seq).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places, [1, 2, 3, 4]);
    assert_eq!(ids(&session).len(), 4);
}

/// Cuts the power, or fails an operation, at every place of an append with ids; then tries again until it is acknowledged, by
/// the same process if it lives, else by the next.
#[test]
fn retried_after_every_crash_and_every_failure_each_id_is_there_once() {
    let batch = || ["b", "c", "d"].map(record).to_vec();
    let prepared = || {
        let fs = SimFs::new();
        let store = open(&fs);
        store.session("k").unwrap().append(record("a")).unwrap();
        store.close().unwrap();
        fs
    };
    let mut tried = 0;
    for is_new in [false, true] {
        let start = |fs: &SimFs| if is_new { SimFs::new() } else { fs.fork() };
        let made = prepared();
        for operation in 1.. {
            let fs = start(&made);
            let store = open(&fs);
            fs.cut_power_at(Some(fs.operations() + operation));
            let result = store.session("k").unwrap().append_batch(batch());
            fs.cut_power_at(None);
            if result.is_ok() {
                break;
            }
            drop(store);
            for seed in 0..12 {
                let disk = fs.fork();
                disk.crash(&mut Chance::new(seed * 1000 + operation));
                again(&disk, &batch(), is_new);
                tried += 1;
            }
        }
        for (op, fault) in [
            (SimOp::Write, SimFault::Eio),
            (SimOp::Write, SimFault::Enospc),
            (SimOp::Sync, SimFault::Eio),
            (SimOp::SyncDir, SimFault::Eio),
            (SimOp::Rename, SimFault::Eio),
            (SimOp::SetLen, SimFault::Eio),
            (SimOp::Read, SimFault::Eio),
        ] {
            for number in 1.. {
                let fs = start(&made);
                let store = open(&fs);
                fs.take_met();
                fs.fail(op, number, fault);
                let session = store.session("k").unwrap();
                let first = session.append_batch(batch());
                if fs.take_met().is_empty() {
                    break;
                }
                fs.heal();
                session.reopen().unwrap();
                let second = session.append_batch(batch()).unwrap();
                if let Ok(first) = first {
                    assert_eq!(
                        first.iter().map(place).collect::<Vec<_>>(),
                        second.iter().map(place).collect::<Vec<_>>()
                    );
                }
                drop((session, store));
                again(&fs, &batch(), is_new);
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

/// Tries again with a store of its own; then everything is there once, and stays so.
fn again(fs: &SimFs, batch: &[NewRecord], is_new: bool) {
    let store = open(fs);
    let session = store.session("k").unwrap();
    let first = session.append_batch(batch.to_vec()).unwrap();
    let expected: &[&str] = if is_new { &["b", "c", "d"] } else { &["a", "b", "c", "d"] };
    assert_eq!(ids(&session), expected);
    fs.crash(&mut Chance::new(1));
    drop((session, store));
    let store = open(fs);
    let session = store.session("k").unwrap();
    let second = session.append_batch(batch.to_vec()).unwrap();
    assert_eq!(first.iter().map(place).collect::<Vec<_>>(), second.iter().map(place).collect::<Vec<_>>());
    assert_eq!(ids(&session), expected);
}

#[test]
fn an_append_to_what_was_seen_is_refused_when_others_went_on() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let say = |text: &str| vec![NewRecord::new(text).unwrap()];
    let first = session.append_if(None, say("a")).unwrap();
    assert!(matches!(session.append_if(None, say("b")), Err(Error::HeadMoved { current: Some(_), .. })));
    let head = session.head().unwrap();
    assert_eq!(head, first[0].head());
    let seen =
        session.append_batch(vec![NewRecord::new("b").unwrap(), NewRecord::new("c").unwrap()]).unwrap()[1].head();
    match session.append_if(Some(head), say("d")).unwrap_err() {
        Error::HeadMoved { current, .. } => assert_eq!(current, Some(seen)),
        other => panic!("{other:?}"),
    }
    // The store's own seal moves nothing; a mark that somebody made does.
    session.release().unwrap();
    assert_eq!(session.head().unwrap().seq, seen.seq + 1);
    let next = session.append_if(Some(seen), say("d")).unwrap()[0].head();
    session.set_title("t").unwrap();
    assert!(matches!(session.append_if(Some(next), say("e")), Err(Error::HeadMoved { .. })));
    let closed = session.head().unwrap();
    session.reset("new").unwrap();
    assert!(matches!(session.append_if(Some(closed), say("e")), Err(Error::HeadMoved { .. })));
    let reset = session.head().unwrap();
    assert_eq!(session.append_if(Some(reset), say("e")).unwrap()[0].generation, 2);
}

/// The key was deleted and begun anew: the same seq of the same generation, and another record.
#[test]
fn the_head_of_another_session_is_none_of_this_one() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let head = session.append(NewRecord::new("old").unwrap()).unwrap().head();
    session.delete(None, true).unwrap();
    session.append(NewRecord::new("new").unwrap()).unwrap();
    let refused = session.append_if(Some(head), vec![NewRecord::new("x").unwrap()]);
    assert!(matches!(refused, Err(Error::HeadMoved { .. })), "{refused:?}");
}

#[test]
fn tried_again_it_is_not_its_own_competitor() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let head = session.append(record("a")).unwrap().head();
    let first = session.append_if(Some(head), vec![record("b"), record("c")]).unwrap();
    assert_eq!(session.append_if(Some(head), vec![record("b"), record("c")]).unwrap(), first);
    assert!(matches!(session.append_if(Some(head), vec![record("b"), record("d")]), Err(Error::HeadMoved { .. })));
    assert_eq!(ids(&session), ["a", "b", "c"]);
}

/// A crash may leave a part of a batch: tried again, the rest follows it, unless somebody else was faster.
#[test]
fn what_a_crash_left_of_a_batch_is_gone_on_with() {
    let made = SimFs::new();
    let store = open(&made);
    let head = store.session("k").unwrap().append(record("a")).unwrap().head();
    store.session("k").unwrap().append_batch(vec![record("b"), record("c")]).unwrap();
    store.close().unwrap();
    let store = open(&made);
    let session = store.session("k").unwrap();
    let batch = ["b", "c", "d"].map(record).to_vec();
    let receipts = session.append_if(Some(head), batch.clone()).unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>()[..2], [2, 3]);
    assert_eq!(session.append_if(Some(head), batch.clone()).unwrap(), receipts);
    session.append(NewRecord::new("another").unwrap()).unwrap();
    let more = ["b", "c", "d", "e"].map(record).to_vec();
    assert!(matches!(session.append_if(Some(head), more), Err(Error::HeadMoved { .. })));
    assert_eq!(ids(&session), ["a", "b", "c", "d"]);
}
