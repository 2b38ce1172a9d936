//! Sessions that are made whole, and marks among records. `tests/fork.rs` has their crashes and failures.

#![cfg(feature = "sim")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::sync::Arc;

use sesslog::sim::SimFs;
use sesslog::{
    Error, Head, Item, Mark, NewRecord, Options, Progress, RecordError, Session, SessionState, Store, Timestamp,
    VerifyOptions,
};

fn open(fs: &SimFs) -> Store {
    Options::new().file_system(Arc::new(fs.clone())).open("/store").unwrap()
}

fn text(body: &str) -> NewRecord {
    NewRecord::json(body).unwrap()
}

fn bodies(session: &Session) -> Vec<String> {
    let body = |item| if let Ok(Item::Record(record)) = item { record.body().to_owned() } else { panic!("{item:?}") };
    session.records().unwrap().map(body).collect()
}

/// Closes the store, and finds nothing wrong with it.
fn is_sound(fs: &SimFs, store: &Store) {
    store.close().unwrap();
    let report = open(fs).verify(&VerifyOptions::new().deep(true), &Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Some of everything that can be put.
fn some() -> Vec<NewRecord> {
    let state = |mark| NewRecord::state(&mark).unwrap();
    vec![
        text("1").id("a").unwrap().at(Timestamp::from_unix_ms(1_000)),
        text("2"),
        text("3"),
        state(Mark::Title { title: "t".to_owned() }).id("title").unwrap(),
        state(Mark::Rewound { to_seq: 2 }),
        text("4").kind("meta.entry").unwrap(),
        NewRecord::summary(r#"{ "z":1 }"#, 2).unwrap(),
        text("5").at(Timestamp::from_unix_ms(2_000)),
    ]
}

fn make(session: &Session, records: &[NewRecord]) -> Result<Head, Error> {
    session.create(|new| {
        for (at, record) in records.iter().enumerate() {
            assert_eq!(new.put(record)?, u64::try_from(at).unwrap() + 1);
        }
        Ok(())
    })
}

#[test]
fn a_session_is_born_with_all_its_records() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let head = make(&session, &some()).unwrap();
    assert_eq!((head.generation, head.seq), (1, 8));
    assert_eq!(session.head().unwrap(), head);
    let context = session.context().unwrap();
    let shown: Vec<_> = context.items.iter().map(|item| format!("{item:?}").contains("meta")).collect();
    assert_eq!((shown.len(), context.summary.unwrap().json()), (2, r#"{ "z":1 }"#));
    let row = session.row().unwrap();
    assert_eq!((row.title.as_deref(), row.durable_seq, row.last_seq), (Some("t"), 8, 8));
    assert_eq!(session.append(text("6")).unwrap().seq, 9);
    store.close().unwrap();
    let store = open(&fs);
    assert_eq!(bodies(&store.session("k").unwrap()).len(), 9);
    is_sound(&fs, &store);
    let saved = fs.files();
    let store = open(&fs);
    store.rebuild_index(sesslog::RebuildOptions::new(), &Progress::default()).unwrap();
    store.close().unwrap();
    assert_eq!(fs.files(), saved);
}

#[test]
fn what_is_there_is_not_replaced_and_a_closed_one_goes_on() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    session.append(text("0")).unwrap();
    assert!(matches!(make(&session, &some()), Err(Error::SessionExists { generation: 1, .. })));
    session.reset("rewritten").unwrap();
    assert_eq!(make(&session, &some()).unwrap().generation, 2);
    assert_eq!(session.append(text("6")).unwrap().seq, 9);
    assert_eq!(session.row_of(Some(1)).unwrap().state, SessionState::Closed);
    assert!(matches!(store.session("~store").unwrap().create(|_| Ok::<(), Error>(())), Err(Error::Key(_))));
    is_sound(&fs, &store);
}

#[test]
fn what_can_not_be_put_is_refused_and_the_rest_goes_on() {
    let fs = SimFs::new();
    let store = Options::new().file_system(Arc::new(fs.clone())).record_bytes_max(1_000).open("/store").unwrap();
    let session = store.session("k").unwrap();
    let head = session
        .create(|new| {
            new.put(&text("1").id("a")?)?;
            assert!(matches!(new.put(&text("2").id("a")?), Err(Error::IdReused { seq: 1, .. })));
            assert!(matches!(new.put(&text(&"1".repeat(2_000))), Err(Error::Record(_))));
            let rewound = NewRecord::state(&Mark::Rewound { to_seq: 2 })?;
            assert!(matches!(new.put(&rewound), Err(Error::BeyondHistory { what: "to_seq", last_seq: 1, .. })));
            assert!(matches!(new.put(&NewRecord::summary("1", 3)?), Err(Error::BeyondHistory { .. })));
            new.put(&NewRecord::summary("1", 2)?)?;
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(head.seq, 2);
    // A fill that fails makes nothing.
    let before = fs.files();
    let refused = store.session("l").unwrap().create(|new| {
        new.put(&text("1"))?;
        Err(Error::Closed)
    });
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    let transcripts = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        files.iter().filter(|(path, _)| path.starts_with("/store/transcripts")).count()
    };
    assert_eq!(transcripts(&fs.files()), transcripts(&before));
    for mark in
        [Mark::Sealed, Mark::TurnStarted, Mark::Reset { reason: String::new() }, Mark::Compacted { keep_from: 1 }]
    {
        assert!(matches!(NewRecord::state(&mark), Err(Error::Record(RecordError::ReservedKind))), "{mark:?}");
    }
    assert!(NewRecord::summary("1},{", 1).is_err());
}

#[test]
fn a_batch_takes_marks_too_and_each_id_once() {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let receipts = session.append_batch(some()).unwrap();
    assert_eq!(receipts.len(), 8);
    let title = || NewRecord::state(&Mark::Title { title: "t".to_owned() }).unwrap().id("title").unwrap();
    assert_eq!(session.append_batch(vec![title(), text("6")]).unwrap()[0].seq, 4);
    let far = NewRecord::state(&Mark::Rewound { to_seq: 11 }).unwrap();
    let refused = session.append_batch(vec![text("7"), far.clone()]).unwrap_err();
    assert!(matches!(refused, Error::BeyondHistory { seq: 11, last_seq: 10, .. }), "{refused:?}");
    // No turn and no queue takes one.
    let turn = session.begin_turn(vec![text("8")]).unwrap();
    assert!(matches!(turn.append(title()), Err(Error::Record(RecordError::ReservedKind))));
    assert!(matches!(session.submit(title()).wait(), Err(Error::Record(RecordError::ReservedKind))));
    drop(turn);
    session.suspend("no").unwrap();
    let pending = NewRecord::state(&Mark::ResumePending { reason: "r".to_owned() }).unwrap();
    assert!(matches!(session.append_batch(vec![pending]), Err(Error::Suspended { .. })));
    is_sound(&fs, &store);
}
