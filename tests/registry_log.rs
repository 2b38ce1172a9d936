//! The log beside a large registry: lists and lookups say the same with it and without, whatever happened to it.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::faulty::{Fault, FaultyFs, Op};
use common::{copy_folder, numbered};
use sesslog::{Error, Listed, Options, Progress, RebuildOptions, Row, Session, Store, VerifyOptions};

const KEYS: u64 = 30;

/// With a log from the first row on; nothing happens by the clock.
fn options() -> Options {
    Options::new().registry_log_from(0).idle_release(Duration::MAX).registry_save_delay(Duration::MAX)
}

/// A store of some sessions, closed.
fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = options().open(folder.path()).unwrap();
    (0..KEYS).for_each(|number| append(&session(&store, number), number));
    store.close().unwrap();
    assert!(log(folder.path()).contains("\"proof\""));
    folder
}

fn session(store: &Store, number: u64) -> Session {
    store.session(format!("key {number}")).unwrap()
}

fn append(session: &Session, number: u64) {
    assert!(session.append(numbered(number)).unwrap().durable);
    // Times of updates differ, so that the newest are known.
    std::thread::sleep(Duration::from_millis(2));
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("registry.changes.jsonl")).unwrap_or_default()
}

fn rows(listed: Vec<Listed>) -> Vec<Row> {
    let row = |listed| match listed {
        Listed::Session(row) => row,
        Listed::Unreadable { error, .. } => panic!("{error}"),
        other => panic!("{other:?}"),
    };
    listed.into_iter().map(row).collect()
}

/// What a reader lists is what one lists who has no registry, and what it costs is counted.
fn check(folder: &Path) -> usize {
    let fs = FaultyFs::default();
    let reader = options().file_system(Arc::new(fs.clone())).open_read_only(folder).unwrap();
    let recent = rows(reader.recent(5).unwrap());
    let looks = fs.count(Op::Open, "transcripts") + fs.count(Op::ReadDir, "transcripts");
    let bare = tempfile::tempdir().unwrap();
    copy_folder(folder, bare.path());
    for name in ["registry.jsonl", "registry.changes.jsonl"] {
        fs::remove_file(bare.path().join(name)).ok();
    }
    let truth = Options::new().open_read_only(bare.path()).unwrap();
    let plain = |rows: Vec<Row>| rows.into_iter().map(|row| (row.key, row.generation, row.last_crc, row.updated));
    let all = |store: &Store| plain(rows(store.sessions().unwrap())).collect::<Vec<_>>();
    assert_eq!(all(&reader), all(&truth));
    assert_eq!(plain(recent).collect::<Vec<_>>(), plain(rows(truth.recent(5).unwrap())).collect::<Vec<_>>());
    looks
}

#[test]
fn a_list_reads_no_transcript_and_a_session_only_its_own_row() {
    let folder = made();
    assert_eq!(check(folder.path()), 0);
    let fs = FaultyFs::default();
    let store = options().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    append(&session(&store, 3), 7);
    assert_eq!(fs.count(Op::ReadDir, "transcripts"), 0, "nobody looks for generations that the registry knows");
    assert_eq!(check(folder.path()), 1, "one is written to, and looked at");
    session(&store, 3).release().unwrap();
    assert_eq!(check(folder.path()), 0, "it was let go of");
    append(&store.session("born").unwrap(), 8);
    assert_eq!(fs.count(Op::ReadDir, "transcripts"), 0, "nobody looks for generations of which nobody told");
    assert_eq!(check(folder.path()), 1);
    store.close().unwrap();
    assert_eq!(check(folder.path()), 0);
    let saved = fs::read(folder.path().join("registry.jsonl")).unwrap();
    Store::open(folder.path()).unwrap().rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
    assert_eq!(fs::read(folder.path().join("registry.jsonl")).unwrap(), saved);
}

#[test]
fn births_beside_each_other_are_told() {
    let folder = made();
    let fs = FaultyFs::default();
    let store = options().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..8 {
                    let born = store.session(format!("born {thread} {number}")).unwrap();
                    append(&born, number);
                    born.release().unwrap();
                }
            });
        }
    });
    assert_eq!(fs.count(Op::ReadDir, "transcripts"), 0);
    assert_eq!(check(folder.path()), 0, "each told the folder's time, and let go of its session");
}

#[test]
fn births_of_our_own_are_no_reason_to_list_a_large_folder_again() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    fs.slow(Op::ReadDir, Duration::from_millis(100));
    let options = Options::new().idle_release(Duration::MAX).registry_save_delay(Duration::MAX);
    let store = options.file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    append(&session(&store, 0), 0);
    // Longer than a list that somebody else has made old is used.
    std::thread::sleep(Duration::from_millis(1100));
    (1..5).for_each(|number| append(&session(&store, number), number));
    assert_eq!(fs.count(Op::ReadDir, "transcripts"), 1);
    let other = Store::open(folder.path()).unwrap();
    append(&session(&other, 7), 7);
    session(&other, 7).reset("user").unwrap();
    append(&session(&other, 7), 8);
    session(&other, 7).delete(Some(1), true).unwrap();
    other.close().unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    append(&session(&store, 7), 9);
    assert_eq!(fs.count(Op::ReadDir, "transcripts"), 2, "somebody else's are");
    assert_eq!(session(&store, 7).row().unwrap().generation, 2);
}

#[test]
fn a_close_copies_the_rows_that_nobody_changed() {
    let folder = tempfile::tempdir().unwrap();
    let made = options().open(folder.path()).unwrap();
    (0..400).for_each(|number| drop(session(&made, number).append(numbered(number)).unwrap()));
    made.close().unwrap();
    let registry = folder.path().join("registry.jsonl");
    for round in 0..8 {
        let fs = FaultyFs::default();
        let store = options().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
        append(&session(&store, 40 * round), 7);
        match round % 4 {
            1 => append(&store.session(format!("born {round}")).unwrap(), 8),
            2 => session(&store, 40 * round + 1).reset("user").map(drop).unwrap(),
            _ => {}
        }
        let before = fs.count(Op::Read, "registry.jsonl");
        store.close().unwrap();
        let reads = fs.count(Op::Read, "registry.jsonl") - before;
        assert!(round % 4 == 3 || reads < 80, "{reads}");
        if round % 4 == 3 {
            let store = options().open(folder.path()).unwrap();
            // One of the newest, too.
            session(&store, 2 * round).delete(None, true).unwrap();
            session(&store, 399 - round).delete(None, true).unwrap();
            store.close().unwrap();
        }
        let saved = fs::read(&registry).unwrap();
        assert_eq!(check(folder.path()), 0, "round {round}");
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        Store::open(copy.path()).unwrap().rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
        assert_eq!(fs::read(copy.path().join("registry.jsonl")).unwrap(), saved, "round {round}");
    }
}

#[test]
fn a_reader_that_stays_open_follows_whoever_folds_the_log() {
    let folder = made();
    let fs = FaultyFs::default();
    let reader = options().file_system(Arc::new(fs.clone())).open_read_only(folder.path()).unwrap();
    for round in 0..3 {
        assert_eq!(rows(reader.sessions().unwrap()).len(), usize::try_from(KEYS + round).unwrap());
        let store = options().open(folder.path()).unwrap();
        append(&session(&store, round), 7);
        append(&store.session(format!("born {round}")).unwrap(), 8);
        store.close().unwrap();
        fs.reset();
        let newest: Vec<_> = rows(reader.recent(2).unwrap()).into_iter().map(|row| row.key).collect();
        assert_eq!(newest, [format!("born {round}"), format!("key {round}")]);
        assert_eq!(fs.count(Op::Open, "transcripts") + fs.count(Op::ReadDir, "transcripts"), 0);
    }
}

/// Whoever holds a session goes on writing to it without telling again, whoever folds the log meanwhile.
#[test]
fn a_session_that_is_open_stays_touched_through_the_folds_of_others() {
    let folder = made();
    let holder = options().open(folder.path()).unwrap();
    append(&session(&holder, 3), 7);
    for round in 0..3 {
        let other = options().open(folder.path()).unwrap();
        append(&session(&other, 9 + round), 1);
        other.close().unwrap();
        assert!(check(folder.path()) > 0);
        append(&session(&holder, 3), round);
        check(folder.path());
    }
    holder.close().unwrap();
    assert_eq!(check(folder.path()), 0);
}

/// A killed process: what it did is in the files, its row is not.
#[test]
fn what_a_killed_writer_did_is_seen() {
    let folder = made();
    let store = options().open(folder.path()).unwrap();
    append(&session(&store, 3), 7);
    append(&store.session("born").unwrap(), 8);
    std::mem::forget(store);
    assert!(check(folder.path()) > 0);
    // The next close folds it in, all but what is locked: to the system this process is alive.
    options().open(folder.path()).unwrap().close().unwrap();
    assert_eq!(check(folder.path()), 2);
}

#[test]
fn who_wrote_before_there_was_a_log_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let before = Options::new().idle_release(Duration::MAX).open(folder.path()).unwrap();
    append(&session(&before, 0), 0);
    let store = options().open(folder.path()).unwrap();
    append(&session(&store, 1), 1);
    store.close().unwrap();
    options().open(folder.path()).unwrap().close().unwrap();
    assert!(log(folder.path()).contains("\"proof\""));
    check(folder.path());
    append(&session(&before, 0), 2);
    check(folder.path());
    before.close().unwrap();
    check(folder.path());
}

#[test]
fn a_log_or_a_registry_that_is_not_what_was_saved_is_not_believed() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 9] = [
        ("log gone", |folder| fs::remove_file(folder.join("registry.changes.jsonl")).unwrap()),
        ("log empty", |folder| fs::write(folder.join("registry.changes.jsonl"), b"").unwrap()),
        ("log garbage", |folder| fs::write(folder.join("registry.changes.jsonl"), [7; 5000]).unwrap()),
        ("half a line", |folder| {
            let text = log(folder);
            fs::write(folder.join("registry.changes.jsonl"), &text[..text.len() - 9]).unwrap();
        }),
        ("a line of a later version", |folder| {
            let text = log(folder) + "{}\n";
            fs::write(folder.join("registry.changes.jsonl"), text).unwrap();
        }),
        ("registry gone", |folder| fs::remove_file(folder.join("registry.jsonl")).unwrap()),
        ("registry garbage of the same length", |folder| {
            let length = fs::metadata(folder.join("registry.jsonl")).unwrap().len();
            fs::write(folder.join("registry.jsonl"), vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
        }),
        ("an older registry", |folder| {
            let text = fs::read_to_string(folder.join("registry.jsonl")).unwrap();
            let older: String = text.split_inclusive('\n').take(7).collect();
            fs::write(folder.join("registry.jsonl"), older).unwrap();
        }),
        ("another start of the machine", |folder| {
            let text = log(folder);
            let at = text.find("\"boot\":\"").unwrap() + 8;
            fs::write(folder.join("registry.changes.jsonl"), [&text[..at], "0", &text[at + 1..]].concat()).unwrap();
        }),
    ];
    for (name, harm) in harms {
        let folder = made();
        harm(folder.path());
        assert!(check(folder.path()) > 0, "{name}");
        let store = options().open(folder.path()).unwrap();
        append(&session(&store, 3), 7);
        append(&store.session("born").unwrap(), 8);
        check(folder.path());
        store.close().unwrap();
        options().open(folder.path()).unwrap().close().unwrap();
        assert_eq!(check(folder.path()), 0, "{name}: the next close vouches for it again");
        let report = Store::open(folder.path()).unwrap().verify(&VerifyOptions::new(), &Progress::default()).unwrap();
        assert!(report.findings.is_empty(), "{name}: {report:?}");
    }
}

#[test]
fn half_a_line_proves_nothing_until_it_is_whole() {
    let folder = made();
    let path = folder.path().join("registry.changes.jsonl");
    let whole = fs::read(&path).unwrap();
    let fs_ = FaultyFs::default();
    let reader = options().file_system(Arc::new(fs_.clone())).open_read_only(folder.path()).unwrap();
    let looks = || {
        reader.recent(3).unwrap();
        let looks = fs_.count(Op::ReadDir, "transcripts");
        fs_.reset();
        looks
    };
    assert_eq!(looks(), 0);
    let line = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    fs::write(&path, [&whole, &line[..line.len() / 2]].concat()).unwrap();
    assert!(looks() > 0);
    assert!(looks() > 0);
    fs::write(&path, [&whole[..], line].concat()).unwrap();
    assert_eq!(looks(), 0);
}

#[test]
fn what_others_do_to_the_files_is_seen() {
    let folder = made();
    let other = made();
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder.join("transcripts")).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    // A session is put into the folder, one is taken away, one is restored over itself.
    let store = options().open(other.path()).unwrap();
    append(&store.session("from elsewhere").unwrap(), 1);
    let path = store.session("from elsewhere").unwrap().path(None).unwrap();
    store.close().unwrap();
    fs::copy(&path, folder.path().join("transcripts").join(path.file_name().unwrap())).unwrap();
    check(folder.path());
    let one = &names(folder.path())[4];
    let lines = fs::read_to_string(one).unwrap();
    options().open(folder.path()).unwrap().close().unwrap();
    assert_eq!(check(folder.path()), 0);
    fs::write(one, lines.lines().next().unwrap().to_owned() + "\n").unwrap();
    let reader = options().open_read_only(folder.path()).unwrap();
    let newest = rows(reader.recent(40).unwrap());
    assert!(newest.iter().any(|row| row.records == 0), "what was cut is seen to be shorter");
    fs::remove_file(one).unwrap();
    let listed = options().open_read_only(folder.path()).unwrap().recent(40).unwrap();
    let lost = |listed: &Listed| matches!(listed, Listed::Unreadable { error: Error::TranscriptLost { .. }, .. });
    assert!(listed.iter().any(lost), "corrupt is never absent, and lost is not either");
}

#[test]
fn the_witness_of_a_loss_may_stand_in_the_log() {
    let folder = made();
    let store = options().open(folder.path()).unwrap();
    let session = session(&store, 3);
    append(&session, 7);
    session.release().unwrap();
    let path = session.path(None).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    fs::write(&path, lines[..lines.len() - 1].concat()).unwrap();
    std::mem::forget(store);
    for believed in [true, false] {
        if !believed {
            let text = log(folder.path()) + "{}\n";
            fs::write(folder.path().join("registry.changes.jsonl"), text).unwrap();
        }
        let store = options().open(folder.path()).unwrap();
        let refused = store.session("key 3").unwrap().append(numbered(1)).unwrap_err();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
        std::mem::forget(store);
    }
}

#[test]
fn many_stores_at_once_lose_nothing() {
    let folder = made();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let path = folder.path();
            scope.spawn(move || {
                for round in 0..6 {
                    let store = options().lock_wait(Duration::from_secs(20)).open(path).unwrap();
                    append(&session(&store, thread * 7 + round), round);
                    append(&store.session(format!("born {thread} {round}")).unwrap(), round);
                    if round % 2 == 0 {
                        store.close().unwrap();
                    } else {
                        rows(store.recent(3).unwrap());
                    }
                }
            });
        }
    });
    check(folder.path());
    options().open(folder.path()).unwrap().close().unwrap();
    assert_eq!(rows(Store::open(folder.path()).unwrap().sessions().unwrap()).len(), 54);
    check(folder.path());
}

fn keys(listed: Vec<Listed>) -> Vec<String> {
    rows(listed).into_iter().map(|row| row.key).collect()
}

#[test]
fn a_birth_is_told_also_beside_a_fold() {
    let folder = made();
    let fs = FaultyFs::default();
    let ours = options().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    append(&session(&ours, 1), 1);
    let (looks, path) = (ours.clone(), folder.path().to_owned());
    fs.before(Op::SyncAll, ".tmp", move || {
        let other = options().open(&path).unwrap();
        append(&session(&other, 5), 1);
        other.close().unwrap();
        looks.session("nobody").unwrap().row().unwrap_err();
    });
    append(&ours.session("late").unwrap(), 9);
    check(folder.path());
}

/// A store in which of `k` only generation 3 is left.
fn with_third() -> tempfile::TempDir {
    let folder = made();
    let store = options().open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    for number in 0..3 {
        append(&session, number);
        if number < 2 {
            session.reset("user").unwrap();
        }
    }
    session.release().unwrap();
    (1..3).for_each(|generation| drop(session.delete(Some(generation), true).unwrap()));
    store.close().unwrap();
    folder
}

/// Deletes the only session left of a key, and returns its name in the trash.
fn delete(store: &Store, key: &str) -> String {
    store.session(key).unwrap().delete(None, false).unwrap().remove(0).trash.unwrap()
}

#[test]
fn what_is_restored_beside_a_birth_is_not_begun_anew() {
    let folder = with_third();
    let store = options().open(folder.path()).unwrap();
    let name = delete(&store, "k");
    store.close().unwrap();
    options().open(folder.path()).unwrap().close().unwrap();
    let fs = FaultyFs::default();
    let ours = options().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    append(&session(&ours, 1), 1);
    let path = folder.path().to_owned();
    fs.before(Op::RenameNew, "other", move || drop(options().open(&path).unwrap().restore(&name).unwrap()));
    append(&ours.session("other").unwrap(), 1);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(ours.session("k").unwrap().append(numbered(4)).unwrap().generation, 3);
    check(folder.path());
}

#[test]
fn a_fork_beside_a_birth_is_listed() {
    let folder = made();
    let fs = FaultyFs::default();
    let ours = options().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    let path = folder.path().to_owned();
    fs.before(Op::RenameNew, "other", move || {
        session(&options().open(&path).unwrap(), 29).fork("forked", 1).unwrap();
    });
    append(&ours.session("other").unwrap(), 1);
    check(folder.path());
}

#[test]
fn what_we_deleted_and_somebody_restored_is_there_again() {
    for (key, generation) in [("k", 3), ("key 3", 1)] {
        let folder = with_third();
        options().open(folder.path()).unwrap().close().unwrap();
        let ours = options().open(folder.path()).unwrap();
        ours.restore(&delete(&ours, key)).unwrap();
        let other = options().open(folder.path()).unwrap();
        append(&other.session(key).unwrap(), 5);
        other.close().unwrap();
        let third = options().open(folder.path()).unwrap();
        third.rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
        third.close().unwrap();
        assert_eq!(keys(ours.recent(3).unwrap())[0], key);
        assert_eq!(ours.session(key).unwrap().append(numbered(4)).unwrap().generation, generation);
    }
}

#[test]
fn the_first_page_has_what_others_folded_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = options().open(folder.path()).unwrap();
    (0..160).for_each(|number| append(&session(&store, number), number));
    store.close().unwrap();
    let ours = options().open(folder.path()).unwrap();
    (0..60).for_each(|number| append(&session(&ours, number), number));
    let other = options().open(folder.path()).unwrap();
    (150..153).for_each(|number| append(&session(&other, number), number));
    other.close().unwrap();
    ours.close().unwrap();
    assert_eq!(check(folder.path()), 0);
}

#[test]
fn a_settling_beside_a_poisoned_session_leaves_its_files_alone() {
    let folder = made();
    let fs = FaultyFs::default();
    let often = options().registry_save_delay(Duration::from_millis(1)).file_system(Arc::new(fs.clone()));
    let store = often.open(folder.path()).unwrap();
    append(&session(&store, 3), 1);
    fs.fail(Op::SyncData, 1, Fault::Eio, "key_3~");
    session(&store, 3).append(numbered(5)).unwrap_err();
    fs.reset();
    fs::write(folder.path().join("registry.changes.jsonl"), "nothing is proven by this\n").unwrap();
    for number in 10..16 {
        append(&session(&store, number), 1);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(log(folder.path()).contains("\"proof\""), "it was settled");
    assert_eq!([Op::Write, Op::SyncData, Op::SetLen, Op::Remove].map(|op| fs.count(op, "key_3~")), [0; 4]);
}
