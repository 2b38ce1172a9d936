//! Transcripts that are padded ahead: whoever reads them sees records, whoever quiets down leaves plain lines.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::faulty::{Fault, FaultyFs, Op};
use common::numbered;
use sesslog::{Error, Item, NewRecord, Options, Progress, Session, Store, VerifyOptions};

/// Padded from the second durable commit on.
fn hot() -> Options {
    Options::new().padding(1, 256 << 10).idle_release(Duration::MAX)
}

fn open(folder: &Path) -> (Store, Session, PathBuf) {
    let store = hot().open(folder).unwrap();
    let session = store.session("hot").unwrap();
    append(&session, 0..4);
    let path = session.path(None).unwrap();
    (store, session, path)
}

fn append(session: &Session, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert!(session.append(numbered(number)).unwrap().durable);
    }
}

fn seqs(session: &Session) -> Vec<u64> {
    let seq = |item: Result<Item, Error>| match item.unwrap() {
        Item::Record(record) => record.seq(),
        other => panic!("{other:?}"),
    };
    session.records().unwrap().map(seq).collect()
}

fn padding_of(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let content = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    assert!(bytes[content..].iter().all(|byte| *byte == b'\t'), "{}", path.display());
    bytes.len() - content
}

fn is_sound(store: &Store) {
    let report = store.verify(&VerifyOptions::new().deep(true), &Progress::default()).unwrap();
    // The registry is saved by the close.
    let is_real = |finding: &sesslog::Finding| !matches!(finding.kind, sesslog::FindingKind::RegistryMissing);
    assert!(!report.findings.iter().any(is_real), "{report:?}");
}

#[test]
fn a_padded_session_reads_as_any_other_and_is_plain_when_it_is_let_go_of() {
    let folder = tempfile::tempdir().unwrap();
    let (store, session, path) = open(folder.path());
    assert!(padding_of(&path) > 1000);
    let reader = Options::new().open_read_only(folder.path()).unwrap();
    assert_eq!(seqs(&reader.session("hot").unwrap()), [1, 2, 3, 4]);
    assert_eq!(session.last(2).unwrap().len(), 2);
    is_sound(&reader);
    let length = fs::metadata(&path).unwrap().len();
    append(&session, 4..8);
    assert_eq!(fs::metadata(&path).unwrap().len(), length, "the records took the padding's place");
    for line in fs::read_to_string(&path).unwrap().lines() {
        assert!(line.bytes().all(|byte| byte == b'\t') || serde_json::from_str::<serde_json::Value>(line).is_ok());
    }
    session.release().unwrap();
    assert_eq!(padding_of(&path), 0);
    assert_eq!(session.row().unwrap().length_bytes, fs::metadata(&path).unwrap().len());
    append(&session, 8..12);
    session.reset("done").unwrap();
    assert_eq!(padding_of(&path), 0, "behind a reset nothing is written");
    append(&session, 0..3);
    store.close().unwrap();
    for entry in fs::read_dir(folder.path().join("transcripts")).unwrap() {
        assert_eq!(padding_of(&entry.unwrap().path()), 0);
    }
}

#[test]
fn it_is_laid_further_ahead_each_time_up_to_a_limit_and_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, session, path) = open(folder.path());
    let mut lengths = vec![fs::metadata(&path).unwrap().len()];
    let body = "x".repeat(20_000);
    for _ in 0..30 {
        session.append(NewRecord::new(&body).unwrap()).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        if length != lengths[lengths.len() - 1] {
            lengths.push(length);
        }
    }
    let laid: Vec<_> = lengths.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(
        laid.len() >= 3 && laid[0] < laid[1] && laid.iter().all(|bytes| *bytes <= (256 << 10) + 24_000),
        "{laid:?}"
    );
    assert!(lengths.iter().all(|length| length % 4096 == 0), "{lengths:?}");

    let folder = tempfile::tempdir().unwrap();
    let store = hot().padding(0, 0).open(folder.path()).unwrap();
    let session = store.session("plain").unwrap();
    for number in 0..40 {
        append(&session, number..number + 1);
        assert_eq!(padding_of(&session.path(None).unwrap()), 0);
    }
}

#[test]
fn by_default_only_who_commits_often_is_padded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Options::new().idle_release(Duration::MAX).open(folder.path()).unwrap();
    let session = store.session("a").unwrap();
    append(&session, 0..10);
    assert_eq!(padding_of(&session.path(None).unwrap()), 0);
    append(&session, 10..40);
    assert!(padding_of(&session.path(None).unwrap()) > 0);
}

#[test]
fn an_idle_turn_keeps_its_session_but_not_the_padding() {
    let folder = tempfile::tempdir().unwrap();
    let store = hot().idle_release(Duration::from_millis(30)).open(folder.path()).unwrap();
    let session = store.session("hot").unwrap();
    let turn = session.begin_turn(vec![]).unwrap();
    (0..4).for_each(|number| drop(turn.append(numbered(number)).unwrap()));
    let path = session.path(None).unwrap();
    while padding_of(&path) > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(session.is_running().unwrap());
    turn.append(numbered(4)).unwrap();
    is_sound(&store);
}

/// What a killed process leaves: the padded file, its lock gone.
#[test]
fn who_opens_a_padded_file_cuts_it_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, _session, path) = open(folder.path());
    for zeros in [false, true] {
        let killed = tempfile::tempdir().unwrap();
        let transcripts = killed.path().join("transcripts");
        fs::create_dir_all(&transcripts).unwrap();
        let copy = transcripts.join(path.file_name().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        if zeros {
            // Part of it never reached the disk.
            let end = bytes.len() - 600;
            bytes[end..].fill(0);
        }
        fs::write(&copy, bytes).unwrap();
        let store = Options::new().open(killed.path()).unwrap();
        is_sound(&store);
        let session = store.session("hot").unwrap();
        assert_eq!(session.append(numbered(4)).unwrap().seq, 5);
        assert_eq!(padding_of(&copy), 0);
        assert_eq!(seqs(&session), [1, 2, 3, 4, 5]);
        let quarantine = fs::read_dir(killed.path().join("quarantine")).unwrap();
        assert_eq!(quarantine.count(), 0, "padding is no content");
    }
}

#[test]
fn what_somebody_else_wrote_into_the_padding_is_neither_overwritten_nor_cut() {
    for release in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (_store, session, path) = open(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        let content = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        bytes[content + 10..content + 13].copy_from_slice(b"hi\n");
        fs::write(&path, &bytes).unwrap();
        let refused = if release { session.release().unwrap_err() } else { session.append(numbered(4)).unwrap_err() };
        assert!(matches!(refused, Error::Poisoned { in_doubt: None, .. }), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_record_that_found_room_stands_also_when_its_padding_did_not() {
    let (folder, fs) = (tempfile::tempdir().unwrap(), FaultyFs::default());
    let store = hot().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
    let session = store.session("hot").unwrap();
    append(&session, 0..3);
    let path = session.path(None).unwrap();
    assert_eq!(padding_of(&path), 0);
    // The next commit is the first with padding, and the disk takes half of it.
    fs.fail(Op::Write, 1, Fault::Short, "transcripts");
    append(&session, 3..4);
    assert!(fs.struck() && (1..4096).contains(&padding_of(&path)));
    append(&session, 4..9);
    store.close().unwrap();
    assert_eq!(seqs(&Store::open(folder.path()).unwrap().session("hot").unwrap()), (1..10).collect::<Vec<_>>());
}
