//! What a reader may believe: regressions of reads that said more, or less, than the file proves.
//!
//! Each test tells the story of its bug on a small store.

mod common;

use std::fs;

use common::{bodies, numbered};
use sesslog::{
    Durability, Item, NewRecord, Options, Progress, ReadOptions, RebuildOptions, Severity, Store, VerifyOptions,
};

fn seqs(items: impl Iterator<Item = Result<Item, sesslog::Error>>) -> Vec<u64> {
    items
        .map(|item| match item.unwrap() {
            Item::Record(record) => record.seq(),
            gap => panic!("{gap:?}"),
        })
        .collect()
}

#[test]
fn records_behind_a_torn_hole_are_no_history_from_whatever_side() {
    // A power cut left a hole in an unsynced batch. A forward read ended there, but the last n, a read from a seq and a
    // backward read began behind it and showed records that the next open for writing cut.
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    for number in 1..=3 {
        session.append(numbered(number)).unwrap();
    }
    let large = |number: u32| NewRecord::json(&format!(r#"{{"n":{number},"text":"{}"}}"#, "z".repeat(700))).unwrap();
    session.append_batch((4..64).map(large).collect()).unwrap();
    let path = session.path(None).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let third = bytes.windows(8).position(|window| window == b"{\"seq\":6").unwrap();
    let sector = third.next_multiple_of(512);
    bytes[sector..sector + 512].fill(0);
    let crashed = tempfile::tempdir().unwrap();
    for name in ["transcripts", "quarantine", "locks"] {
        fs::create_dir(crashed.path().join(name)).unwrap();
    }
    fs::write(crashed.path().join(path.strip_prefix(folder.path()).unwrap()), &bytes).unwrap();
    let reader = Options::new().open_read_only(crashed.path()).unwrap();
    let session = reader.session("k").unwrap();
    assert_eq!(seqs(session.records().unwrap()), [1, 2, 3, 4, 5]);
    assert!(seqs(session.read(&ReadOptions::new().from_seq(58)).unwrap()).is_empty());
    assert_eq!(seqs(session.read(&ReadOptions::new().from_seq(5)).unwrap()), [5]);
    assert_eq!(seqs(session.backward().unwrap()), [5, 4, 3, 2, 1]);
    assert_eq!(session.last(3).unwrap().len(), 3);
    assert!(session.get(60).unwrap().is_none());
    assert_eq!(session.get(5).unwrap().unwrap().seq(), 5);
}

#[test]
fn a_newline_that_its_owner_adds_meanwhile_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    let path = session.path(None).unwrap();
    drop((session, store));
    fs::remove_file(folder.path().join("registry.jsonl")).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let reader = Options::new().open_read_only(folder.path()).unwrap();
    let mut records = reader.session("k").unwrap().records().unwrap();
    assert!(matches!(records.next(), Some(Ok(Item::Record(_)))));
    // The reader stands behind a record without newline; now its owner goes on.
    let store = Store::open(folder.path()).unwrap();
    store.session("k").unwrap().append(numbered(2)).unwrap();
    let rest: Vec<_> = records.map(|item| item.unwrap()).collect();
    assert!(rest.iter().all(|item| matches!(item, Item::Record(_))), "{rest:?}");
}

#[test]
fn a_loss_that_was_accepted_beside_a_live_gateway_stays_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Store::open(folder.path()).unwrap();
    for key in ["restored", "gone", "other"] {
        gateway.session(key).unwrap().append(numbered(1)).unwrap();
    }
    let backup = fs::read(gateway.session("restored").unwrap().path(None).unwrap()).unwrap();
    gateway.session("restored").unwrap().append(numbered(2)).unwrap();
    let restored = gateway.session("restored").unwrap().path(None).unwrap();
    let gone = gateway.session("gone").unwrap().path(None).unwrap();
    for key in ["restored", "gone", "other"] {
        gateway.session(key).unwrap().release().unwrap();
    }
    // Two processes with the same memory of what was there.
    Store::open(folder.path()).unwrap().close().unwrap();
    drop(gateway);
    let gateway = Store::open(folder.path()).unwrap();
    fs::write(restored, backup).unwrap();
    fs::remove_file(gone).unwrap();
    let operator = Store::open(folder.path()).unwrap();
    operator.rebuild_index(RebuildOptions::new().accept_loss(true), &Progress::default()).unwrap();
    operator.close().unwrap();
    gateway.session("other").unwrap().append(numbered(2)).unwrap();
    gateway.close().unwrap();
    let reader = Options::new().open_read_only(folder.path()).unwrap();
    let report = reader.verify(&VerifyOptions::new(), &Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let store = Store::open(folder.path()).unwrap();
    store.session("restored").unwrap().append(numbered(3)).unwrap();
    assert_eq!(bodies(&store.session("restored").unwrap()).len(), 2);
}

#[test]
fn an_append_while_a_thread_unwinds_is_an_append() {
    struct AppendOnDrop(sesslog::Session);
    impl Drop for AppendOnDrop {
        fn drop(&mut self) {
            self.0.append(numbered(2)).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    let guard = AppendOnDrop(session.clone());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _guard = guard;
        std::panic::resume_unwind(Box::new("a bug of the caller's"));
    }));
    assert!(panicked.is_err());
    session.append(numbered(3)).unwrap();
    assert_eq!(bodies(&session).len(), 3);
}

#[test]
fn garbage_in_the_registrys_place_takes_nothing_down() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.session("k").unwrap().append_with(numbered(1), Durability::Buffered).unwrap();
    store.close().unwrap();
    let registry = folder.path().join("registry.jsonl");
    fs::remove_file(&registry).unwrap();
    fs::File::create(&registry).unwrap().set_len(1 << 43).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(bodies(&store.session("k").unwrap()).len(), 1);
    store.close().unwrap();
    assert!(fs::metadata(&registry).unwrap().len() < 1000);
    fs::remove_file(&registry).unwrap();
    fs::create_dir(&registry).unwrap();
    let reader = Options::new().open_read_only(folder.path()).unwrap();
    assert_eq!(reader.sessions().unwrap().len(), 1);
    let report = reader.verify(&VerifyOptions::new(), &Progress::default()).unwrap();
    assert_eq!(report.worst(), Some(Severity::Heals));
}
