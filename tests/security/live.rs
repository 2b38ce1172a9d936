//! A transcript that somebody replaces, edits, restores, cuts or unlinks under a live writer: the next step of the writer is
//! refused or safe. What was acknowledged as durable is there or its loss is told; what was not is named as in doubt.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use sesslog::{Durability, Error, Item, Options, Session, Store};

use crate::common::numbered;
use crate::{numbered_bodies, transcript};

const INTRUSIONS: [&str; 7] = ["replaced", "edited by sed", "restored", "cut", "emptied", "unlinked", "moved away"];

/// Does something to the transcript. `older` is a copy of it from before the last records.
fn intrude(story: &str, path: &Path, older: &[u8]) {
    let bytes = fs::read(path).unwrap();
    let beside = path.with_extension("other");
    let replace = |bytes: &[u8]| {
        fs::write(&beside, bytes).unwrap();
        fs::rename(&beside, path).unwrap();
    };
    match story {
        "replaced" => replace(&bytes),
        // `sed -i` writes a new file.
        "edited by sed" => replace(String::from_utf8(bytes).unwrap().replace("\"n\":2", "\"n\":7").as_bytes()),
        "restored" => fs::write(path, older).unwrap(),
        "cut" => fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(u64::try_from(bytes.len()).unwrap() - 1)
            .unwrap(),
        "emptied" => fs::write(path, b"").unwrap(),
        "unlinked" => fs::remove_file(path).unwrap(),
        _ => fs::rename(path, &beside).unwrap(),
    }
}

/// A session with two durable records and, if wanted, a third one that is only written.
fn live(folder: &Path, buffered: bool, idle: Duration) -> (Store, Session, Vec<u8>) {
    let options = Options::new().idle_release(idle).registry_save_delay(Duration::from_secs(3600));
    let store = options.open(folder).unwrap();
    let session = store.session("k").unwrap();
    session.append(numbered(1)).unwrap();
    let older = fs::read(transcript(folder, "k", 1)).unwrap();
    session.append(numbered(2)).unwrap();
    if buffered {
        assert!(!session.append_with(numbered(3), Durability::Buffered).unwrap().durable);
    }
    (store, session, older)
}

const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn the_next_append_is_refused_and_the_loss_is_told() {
    for story in INTRUSIONS {
        for durability in [Durability::Sync, Durability::Buffered] {
            let folder = tempfile::tempdir().unwrap();
            let (store, session, older) = live(folder.path(), durability == Durability::Buffered, NEVER);
            let path = transcript(folder.path(), "k", 1);
            intrude(story, &path, &older);
            let after = fs::read(&path).ok();
            let error = session.append_with(numbered(4), durability).unwrap_err();
            let in_doubt = (durability == Durability::Buffered).then_some((3, 3));
            let Error::Poisoned { in_doubt: named, .. } = error else { panic!("{story}: {error:?}") };
            assert_eq!(named, in_doubt, "{story}");
            // Poisoned means that nothing is written any more, by nothing.
            assert!(matches!(session.append(numbered(4)), Err(Error::Poisoned { .. })), "{story}");
            if durability == Durability::Buffered {
                assert!(matches!(session.flush(), Err(Error::Poisoned { .. })), "{story}");
            }
            assert_eq!(fs::read(&path).ok(), after, "{story}");
            // Who opens it again is told what is missing of what was acknowledged.
            session.reopen().unwrap();
            let again = session.append(numbered(4));
            match story {
                "replaced" => {
                    again.unwrap();
                    let kept = if durability == Durability::Buffered { 1..=4 } else { 1..=2 };
                    let expected: Vec<_> = numbered_bodies(kept).into_iter().chain(numbered_bodies(4..=4)).collect();
                    let mut found = crate::common::bodies(&session);
                    found.dedup();
                    let mut expected = expected;
                    expected.dedup();
                    assert_eq!(found, expected, "{story}");
                }
                // Cut in the middle of its last byte the record is whole; the row says that its newline was promised.
                "unlinked" | "moved away" => {
                    assert!(matches!(again, Err(Error::TranscriptLost { last_seq: 2, .. })), "{story}: {again:?}");
                }
                "cut" if durability == Durability::Buffered => drop(again.unwrap()),
                _ => assert!(matches!(again, Err(Error::Damaged { .. })), "{story}: {again:?}"),
            }
            store.close().unwrap();
        }
    }
}

#[test]
fn a_flush_a_close_and_a_release_call_nothing_durable_that_readers_will_not_see() {
    for story in INTRUSIONS {
        for step in ["flush", "flush of the store", "close", "release", "idle"] {
            let folder = tempfile::tempdir().unwrap();
            let idle = if step == "idle" { Duration::from_millis(200) } else { NEVER };
            let (store, session, older) = live(folder.path(), true, idle);
            let path = transcript(folder.path(), "k", 1);
            intrude(story, &path, &older);
            let after = fs::read(&path).ok();
            let in_doubt = |error: &Error| matches!(error, Error::Poisoned { in_doubt: Some((3, 3)), .. });
            match step {
                "flush" => assert!(in_doubt(&session.flush().unwrap_err()), "{story}"),
                "flush of the store" => {
                    let flushed = store.flush().unwrap();
                    assert!(flushed.sessions == 0 && in_doubt(&flushed.failures[0].1), "{story}: {flushed:?}");
                }
                "close" => {
                    let closed = store.close().unwrap();
                    assert!(closed.sessions == 0 && in_doubt(&closed.failures[0].1), "{story}: {closed:?}");
                }
                "release" => assert!(in_doubt(&session.release().unwrap_err()), "{story}"),
                _ => {
                    // The keeper lets go of it; the append that comes next hears of what it met.
                    // Its lock file stays: what it had written is in doubt.
                    let lock = fs::File::open(crate::lock_file(folder.path(), "k")).unwrap();
                    let started = Instant::now();
                    while lock.try_lock().is_err() && started.elapsed() < Duration::from_secs(60) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    assert!(lock.try_lock().is_ok(), "{story}: the session was not let go of");
                    drop(lock);
                    assert!(in_doubt(&session.append(numbered(4)).unwrap_err()), "{story}");
                }
            }
            assert_eq!(fs::read(&path).ok(), after, "{story}, {step}");
        }
    }
}

#[test]
fn an_edit_in_place_of_equal_length_costs_the_record_that_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, session, _) = live(folder.path(), false, NEVER);
    let path = transcript(folder.path(), "k", 1);
    let at = fs::read(&path).unwrap().windows(5).position(|window| window == b"\"n\":2").unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(u64::try_from(at).unwrap() + 4)).unwrap();
    file.write_all(b"7").unwrap();
    // Neither length nor file changed: the writer does not read what it wrote. What it adds stands behind, and is kept.
    session.append(numbered(3)).unwrap();
    let found = crate::common::bodies(&session);
    assert_eq!(found, [numbered(1).body(), "gap", numbered(3).body()]);
    store.close().unwrap();
    crate::sessctl(folder.path(), &["verify"]).expect(3);
    crate::sessctl(folder.path(), &["repair", "k"]).expect(3);
    let store = Store::open(folder.path()).unwrap();
    let seq_of = |item: Result<Item, Error>| match item.unwrap() {
        Item::Record(record) => record.seq(),
        other => panic!("{other:?}"),
    };
    let seqs: Vec<_> = store.session("k").unwrap().records().unwrap().map(seq_of).collect();
    assert_eq!(seqs, [1, 2, 3], "the second one is the mark of the gap");
}

#[test]
fn an_older_copy_under_a_closed_store_is_told_from_a_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    let (store, session, older) = live(folder.path(), false, NEVER);
    drop(session);
    store.close().unwrap();
    let path = transcript(folder.path(), "k", 1);
    // The copy is sound to its last byte: only the registry knows that there was more.
    fs::write(&path, &older).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = store.session("k").unwrap().append(numbered(3)).unwrap_err();
    assert!(matches!(error, Error::Damaged { gap, .. } if gap.lost == Some((2, 2))), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), older);
}
