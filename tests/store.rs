//! Promises 1, 8, 9 and 10, and what the handles of a store do: locks, group commit, LRU, idle release, modes, keys.
//!
//! Real files, and two stores on one folder where two processes are meant: they exclude each other the same way.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::time::Duration;

use common::faulty::{FaultyFs, Op};
use common::{bodies, numbered};
use sesslog::{
    Durability, Error, Item, KeyError, NewRecord, Options, Progress, ReadOptions, RecordError, Store, VerifyOptions,
    atomic,
};

#[test]
fn a_commit_is_one_write_and_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = Options::new().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    fs.reset();
    for number in 2..10 {
        session.append(numbered(number)).unwrap();
    }
    session.append_batch((10..50).map(numbered).collect()).unwrap();
    assert_eq!((fs.count(Op::Write, "transcripts"), fs.count(Op::SyncData, "")), (9, 9));
    for op in [Op::Read, Op::Open, Op::SyncAll, Op::SyncDir] {
        assert_eq!(fs.count(op, "transcripts"), 0, "{op:?}");
    }
}

#[test]
fn buffered_appends_sync_nothing_and_a_flush_syncs_once() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let options = Options::new().durability(Durability::Buffered).file_system(Arc::new(fs.clone()));
    let store = options.open(folder.path()).unwrap();
    assert_eq!(store.flush().unwrap().sessions, 0);
    for key in ["a", "b"] {
        store.session(key).unwrap().append(numbered(1)).unwrap();
    }
    fs.reset();
    for number in 2..100 {
        assert!(!store.session("a").unwrap().append(numbered(number)).unwrap().durable);
    }
    let syncs = || fs.count(Op::SyncData, "") + fs.count(Op::SyncAll, "") + fs.count(Op::SyncDir, "");
    assert_eq!(syncs(), 0);
    assert_eq!(store.session("b").unwrap().flush().unwrap(), 0);
    assert_eq!(syncs(), 0, "nothing to flush, nothing done");
    assert_eq!(store.flush().unwrap().sessions, 1);
    assert_eq!(syncs(), 1);
    assert_eq!(store.flush().unwrap().sessions, 0);
    assert_eq!(syncs(), 1);
    // One durable append makes all before it durable.
    store.session("a").unwrap().append(numbered(100)).unwrap();
    assert!(store.session("a").unwrap().append_with(numbered(101), Durability::Sync).unwrap().durable);
    assert_eq!(store.flush().unwrap().sessions, 0);
}

#[test]
fn a_reader_may_ask_for_what_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let store = Options::new().durability(Durability::Buffered).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    for number in 1..=3 {
        session.append(numbered(number)).unwrap();
    }
    let durable = |store: &Store| {
        let session = store.session("k").unwrap();
        session.read(&ReadOptions::new().durable_only(true)).unwrap().count()
    };
    let other = Options::new().open_read_only(folder.path()).unwrap();
    assert_eq!((bodies(&session).len(), durable(&store), durable(&other)), (3, 1, 1));
    session.flush().unwrap();
    assert_eq!(durable(&store), 3);
}

#[test]
fn closing_and_dropping_flush() {
    let folder = tempfile::tempdir().unwrap();
    let store = Options::new().durability(Durability::Buffered).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    session.append(numbered(2)).unwrap();
    assert_eq!(store.close().unwrap().sessions, 1);
    assert!(matches!(session.append(numbered(3)), Err(Error::Closed)));
    assert_eq!(bodies(&session).len(), 2, "reading goes on");
    let fs = FaultyFs::default();
    let options = Options::new().durability(Durability::Buffered).file_system(Arc::new(fs.clone()));
    let store = options.open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(3)).unwrap();
    drop(store);
    fs.reset();
    assert_eq!(fs.count(Op::SyncData, "transcripts"), 0, "a handle to a session keeps its store");
    drop(session);
    assert_eq!(fs.count(Op::SyncData, "transcripts"), 1);
    assert!(fs::read_dir(folder.path().join("locks")).unwrap().next().is_none(), "every lock was let go");
}

#[test]
fn handles_to_one_session_share_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let session = store.session("k").unwrap();
            std::thread::spawn(move || {
                (0..25).map(|n| session.append(numbered(thread * 100 + n)).unwrap().seq).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut seqs: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    assert_eq!(bodies(&store.session("k").unwrap()).len(), 200);
}

#[test]
fn writers_of_two_stores_exclude_each_other_and_say_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path()).unwrap();
    let second = Store::open(folder.path()).unwrap();
    first.session("k").unwrap().append(numbered(1)).unwrap();
    let error = second.session("k").unwrap().append(numbered(2)).unwrap_err();
    let Error::Busy { holder: Some(holder), .. } = &error else { panic!("{error:?}") };
    assert_eq!(holder.pid, std::process::id());
    assert_eq!(bodies(&second.session("k").unwrap()).len(), 1, "a reader is never blocked");
    second.session("other").unwrap().append(numbered(1)).unwrap();
    first.session("k").unwrap().release().unwrap();
    second.session("k").unwrap().append(numbered(2)).unwrap();
    assert!(first.session("k").unwrap().append(numbered(3)).unwrap_err().is_busy());
}

#[test]
fn an_idle_session_lets_go_of_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let first = Options::new().idle_release(Duration::from_millis(50)).open(folder.path()).unwrap();
    first.session("k").unwrap().append_batch(vec![numbered(1), numbered(2)]).unwrap();
    let batch = first.session("k").unwrap().append_batch(vec![numbered(3), numbered(4)]).unwrap();
    let second = Options::new().lock_wait(Duration::from_secs(20)).open(folder.path()).unwrap();
    let receipt = second.session("k").unwrap().append(numbered(5)).unwrap();
    assert_eq!(receipt.seq, batch[1].seq + 2, "behind the seal that proves the batch");
    second.session("k").unwrap().release().unwrap();
    first.session("k").unwrap().append(numbered(6)).unwrap();
    assert_eq!(bodies(&first.session("k").unwrap()).len(), 6);
}

#[test]
fn few_descriptors_carry_many_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let store = Options::new().open_writers_max(4).open(folder.path()).unwrap();
    for round in 0..3 {
        for key in 0..40 {
            store.session(format!("k{key}")).unwrap().append(numbered(round)).unwrap();
            let open = fs::read_dir(folder.path().join("locks")).unwrap().count();
            assert!(open <= 4, "{open} sessions are open");
        }
    }
    store.close().unwrap();
    let report =
        Options::new().open_read_only(folder.path()).unwrap().verify(&VerifyOptions::new(), &Progress::default());
    let report = report.unwrap();
    assert_eq!((report.sessions, report.records, report.findings.len()), (40, 120, 0));
}

#[test]
fn a_file_that_is_not_ours_any_more_is_not_written_to() {
    for story in ["replaced", "unlinked", "grown", "cut", "lock removed"] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let session = store.session("k").unwrap();
        session.append(numbered(1)).unwrap();
        let path = session.path(None).unwrap();
        let bytes = fs::read(&path).unwrap();
        match story {
            "replaced" => atomic::write(&path, &bytes, Durability::Buffered).unwrap(),
            "unlinked" => fs::remove_file(&path).unwrap(),
            "grown" => fs::write(&path, [&bytes[..], b"\t"].concat()).unwrap(),
            "cut" => fs::write(&path, &bytes[..bytes.len() - 1]).unwrap(),
            _ => fs::remove_file(fs::read_dir(folder.path().join("locks")).unwrap().next().unwrap().unwrap().path())
                .unwrap(),
        }
        let after = fs::read(&path).ok();
        let error = session.append(numbered(2)).unwrap_err();
        assert!(matches!(error, Error::Poisoned { in_doubt: None, .. }), "{story}: {error:?}");
        store.close().ok();
        assert_eq!(fs::read(&path).ok(), after, "{story}");
    }
}

#[test]
fn reading_takes_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append_batch((1..=3000).map(numbered).collect()).unwrap();
    for number in 3001..=3010 {
        session.append(numbered(number)).unwrap();
    }
    let seq = |item: Result<Item, Error>| match item.unwrap() {
        Item::Record(record) => record.seq(),
        other => panic!("{other:?}"),
    };
    for from in [0, 1, 2, 17, 1500, 2999, 3010] {
        let seqs: Vec<_> = session.read(&ReadOptions::new().from_seq(from)).unwrap().map(seq).collect();
        assert_eq!(seqs, (from.max(1)..=3010).collect::<Vec<_>>(), "from {from}");
    }
    assert_eq!(session.read(&ReadOptions::new().from_seq(3011)).unwrap().count(), 0);
    let backward: Vec<_> = session.backward().unwrap().map(seq).collect();
    assert_eq!(backward, (1..=3010).rev().collect::<Vec<_>>());
    for count in [0, 1, 31, 32, 33, 1000, 5000] {
        let last: Vec<_> = session.last(count).unwrap().into_iter().map(|item| seq(Ok(item))).collect();
        assert_eq!(last, (3011 - u64::try_from(count.min(3010)).unwrap()..=3010).collect::<Vec<_>>(), "last {count}");
    }
    assert_eq!(session.get(1234).unwrap().unwrap().body(), numbered(1234).body());
    assert!(session.get(4000).unwrap().is_none());
}

#[test]
fn a_batch_over_a_mebibyte_proves_itself_commit_by_commit() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let store = Options::new().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(0)).unwrap();
    fs.reset();
    let big = NewRecord::json(&format!("\"{}\"", "z".repeat(300_000))).unwrap();
    let receipts = session.append_batch(vec![big; 10]).unwrap();
    assert_eq!(receipts.len(), 10);
    assert_eq!(fs.count(Op::SyncData, "transcripts"), 4, "three records a commit");
    let claims: Vec<_> = session
        .records()
        .unwrap()
        .map(|item| if let Item::Record(record) = item.unwrap() { record.durable() } else { 0 })
        .collect();
    assert_eq!(claims, [0, 1, 1, 1, 4, 4, 4, 7, 7, 7, 10]);
}

#[test]
fn bad_input_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Options::new().record_bytes_max(1000).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    let long = NewRecord::json(&format!("\"{}\"", "x".repeat(2000))).unwrap();
    assert!(matches!(session.append(long), Err(Error::Record(RecordError::TooLarge { limit_bytes: 1000, .. }))));
    assert!(matches!(store.session("~store").unwrap().append(numbered(1)), Err(Error::Key(KeyError::Reserved))));
    assert!(matches!(store.session(""), Err(Error::Key(KeyError::Empty))));
    assert!(session.append_batch(Vec::new()).unwrap().is_empty());
    assert!(fs::read_dir(folder.path().join("transcripts")).unwrap().next().is_none(), "no session was made");
    assert!(matches!(session.records(), Err(Error::SessionNotFound { .. })));
}

#[test]
fn hostile_keys_make_sessions_inside_the_store() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("store");
    let store = Store::open(&folder).unwrap();
    let emoji = "\u{1f600}".repeat(128);
    let keys = ["../../etc/passwd", "CON", "a/b", "A", "a", "\0", "a\nb", "-rf", emoji.as_str(), "\u{202e}gnp.exe"];
    for key in keys {
        store.session(key).unwrap().append(NewRecord::new(key).unwrap()).unwrap();
    }
    for key in keys {
        assert_eq!(bodies(&store.session(key).unwrap()), [serde_json::to_string(key).unwrap()]);
    }
    store.close().unwrap();
    assert_eq!(fs::read_dir(folder.join("transcripts")).unwrap().count(), keys.len());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    for (path, _) in common::contents(outside.path()) {
        assert!(path.starts_with(&folder), "{}", path.display());
    }
}

#[test]
fn everything_is_private_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    store.session("k").unwrap().append(numbered(1)).unwrap();
    store.close().unwrap();
    let mut folders = vec![folder.path().join("store")];
    while let Some(next) = folders.pop() {
        assert_eq!(fs::metadata(&next).unwrap().permissions().mode() & 0o7777, 0o700, "{}", next.display());
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600, "{}", path.display());
                // And the space that is laid aside for deletions.
                let is_ours = path.extension().is_some_and(|it| it == "jsonl") || path.ends_with("trash/.reserve");
                assert!(is_ours, "{}", path.display());
            }
        }
    }
}

#[test]
fn links_and_pipes_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    session.release().unwrap();
    let path = session.path(None).unwrap();
    let target = folder.path().join("target");
    fs::rename(&path, &target).unwrap();
    symlink(&target, &path).unwrap();
    let before = fs::read(&target).unwrap();
    assert!(session.append(numbered(2)).is_err());
    assert!(session.records().is_err());
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(session.append(numbered(2)).is_err(), "and does not wait for the pipe's other end");
    assert!(session.records().is_err());
    assert_eq!(fs::read(&target).unwrap(), before);
    fs::remove_file(&path).unwrap();
    fs::rename(&target, &path).unwrap();
    session.append(numbered(2)).unwrap();
    // A folder of the store that leads elsewhere is not used.
    let elsewhere = tempfile::tempdir().unwrap();
    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    symlink(elsewhere.path(), second.join("transcripts")).unwrap();
    assert!(matches!(Store::open(&second), Err(Error::Io(_))));
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

#[test]
fn reading_writes_nothing_and_needs_no_rights_to() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Options::new().open_read_only(folder.path()).unwrap_err().is_not_found());
    let store = Store::open(folder.path()).unwrap();
    store.session("k").unwrap().append_batch(vec![numbered(1), numbered(2)]).unwrap();
    store.close().unwrap();
    fs::remove_file(folder.path().join("registry.jsonl")).unwrap();
    let before = common::contents(folder.path());
    let store = Options::new().open_read_only(folder.path()).unwrap();
    assert_eq!(store.sessions().unwrap().len(), 1);
    assert_eq!(bodies(&store.session("k").unwrap()).len(), 2);
    assert!(matches!(store.session("k").unwrap().append(numbered(3)), Err(Error::ReadOnly)));
    store.verify(&VerifyOptions::new().deep(true), &Progress::default()).unwrap();
    drop(store);
    assert_eq!(common::contents(folder.path()), before);
}

#[test]
fn a_reader_beside_a_writer_sees_a_growing_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(0)).unwrap();
    let writer = std::thread::spawn(move || {
        for number in 1..400 {
            session.append_with(numbered(number), Durability::Buffered).unwrap();
        }
    });
    let reader = Options::new().open_read_only(folder.path()).unwrap();
    let mut seen = 0;
    while !writer.is_finished() {
        let bodies = bodies(&reader.session("k").unwrap());
        for (body, number) in bodies.iter().zip(0..) {
            assert_eq!(body, numbered(number).body());
        }
        assert!(bodies.len() >= seen, "{} after {seen}", bodies.len());
        seen = bodies.len();
    }
    writer.join().unwrap();
    assert_eq!(bodies(&reader.session("k").unwrap()).len(), 400);
}

#[test]
fn a_replaced_file_is_old_or_new_and_leaves_no_temp_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    atomic::write(&path, b"one", Durability::Sync).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let foreign = folder.path().join(".state.0123456789abcdef.tmp");
    fs::write(&foreign, b"somebody else's").unwrap();
    atomic::write(&path, b"two", Durability::Buffered).unwrap();
    assert_eq!(
        (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().permissions().mode() & 0o7777),
        (b"two".to_vec(), 0o640)
    );
    fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(atomic::write(&folder.path().join("folder"), b"x", Durability::Sync).is_err());
    assert!(atomic::write(&folder.path().join("missing/state"), b"x", Durability::Sync).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "state, folder, and the foreign temp file");
    assert_eq!(fs::read(foreign).unwrap(), b"somebody else's");
}
