//! Promises 5 and 6: the registry holds nothing of its own but a witness of loss, and is never in the way of an append.
//!
//! It is deleted, emptied, aged, cut, and replaced with garbage; each time the store must give the same answers and write
//! the same bytes. Then it is made to know more than the transcripts hold, which must be called a loss.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::faulty::{FaultyFs, Op};
use common::{bodies, numbered};
use sesslog::{
    Durability, Error, Item, Listed, Options, Progress, RebuildOptions, RebuildOutcome, RegistryState, Row, Severity,
    Store, VerifyOptions,
};

const KEYS: [&str; 5] = ["A", "a", "../../etc/passwd", "telegram:1", "\u{1f600}"];

fn fill(folder: &Path) {
    let store = Store::open(folder).unwrap();
    for (key, count) in KEYS.iter().zip(1..) {
        let session = store.session(key).unwrap();
        session.append(numbered(1)).unwrap();
        session.append_batch((2..count + 2).map(numbered).collect()).unwrap();
        session.append_with(numbered(9), Durability::Buffered).unwrap();
    }
    let flushed = store.close().unwrap();
    assert_eq!((flushed.sessions, flushed.failures.len()), (5, 0));
}

fn registry(folder: &Path) -> String {
    fs::read_to_string(folder.join("registry.jsonl")).unwrap()
}

fn rebuild(folder: &Path, options: RebuildOptions) -> sesslog::Rebuilt {
    Store::open(folder).unwrap().rebuild_index(options, &Progress::default()).unwrap()
}

fn rows(folder: &Path) -> Vec<Row> {
    let store = Options::new().open_read_only(folder).unwrap();
    let row = |listed| if let Listed::Session(row) = listed { row } else { panic!("{listed:?}") };
    store.sessions().unwrap().into_iter().map(row).collect()
}

#[test]
fn whatever_becomes_of_the_registry_the_answers_stay() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let golden = registry(folder.path());
    let listed = rows(folder.path());
    assert_eq!(listed.len(), KEYS.len());
    let early = {
        let other = tempfile::tempdir().unwrap();
        fill(other.path());
        registry(other.path())
    };
    let half = golden.as_bytes()[..golden.len() / 2].to_vec();
    let mut flipped = golden.clone().into_bytes();
    flipped[golden.len() / 3] ^= 4;
    let mut shuffled: Vec<_> = golden.split_inclusive('\n').collect();
    shuffled.reverse();
    let states: Vec<(&str, Option<Vec<u8>>)> = vec![
        ("deleted", None),
        ("emptied", Some(Vec::new())),
        ("cut", Some(half)),
        ("flipped", Some(flipped)),
        ("garbage", Some(b"\0\xff{}\n\n[1]\n".repeat(50))),
        ("another store's", Some(early.into_bytes())),
        ("shuffled", Some(shuffled.concat().into_bytes())),
    ];
    for (story, state) in states {
        let path = folder.path().join("registry.jsonl");
        match &state {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        assert_eq!(rows(folder.path()), listed, "{story}");
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.registry_state() == RegistryState::Missing, state.is_none(), "{story}");
        for (key, count) in KEYS.iter().zip(1..) {
            assert_eq!(bodies(&store.session(key).unwrap()).len(), count + 2, "{story}: {key}");
        }
        store.close().unwrap();
        assert_eq!(registry(folder.path()), golden, "{story}: what close leaves");
        match &state {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        let rebuilt = rebuild(folder.path(), RebuildOptions::new());
        assert_eq!(rebuilt.rows, 5, "{story}: {:?}", rebuilt.notes);
        assert_eq!(registry(folder.path()), golden, "{story}: what a rebuild writes");
    }
}

#[test]
fn an_aged_registry_costs_the_new_suffix_only() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let old = registry(folder.path());
    let store = Store::open(folder.path()).unwrap();
    store.session("A").unwrap().append_batch((10..20).map(numbered).collect()).unwrap();
    store.close().unwrap();
    let new = registry(folder.path());
    assert_ne!(old, new);
    fs::write(folder.path().join("registry.jsonl"), &old).unwrap();
    let report =
        Options::new().open_read_only(folder.path()).unwrap().verify(&VerifyOptions::new(), &Progress::default());
    assert!(report.unwrap().findings.is_empty(), "a stale row is normal");
    Store::open(folder.path()).unwrap().close().unwrap();
    assert_eq!(registry(folder.path()), new);
}

#[test]
fn a_transcript_that_fell_short_of_its_row_is_named_and_settled() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("telegram:1").unwrap();
    let path = session.path(None).unwrap();
    let row = session.row().unwrap();
    store.close().unwrap();
    let bytes = fs::read(&path).unwrap();
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(&path, lines[..4].concat()).unwrap();
    let verify = || {
        let store = Options::new().open_read_only(folder.path()).unwrap();
        store.verify(&VerifyOptions::new(), &Progress::default()).unwrap()
    };
    assert_eq!(verify().worst(), Some(Severity::Damage));
    assert_eq!(verify().findings[0].lost, Some((4, row.durable_seq)));
    let store = Store::open(folder.path()).unwrap();
    assert!(matches!(store.session("telegram:1").unwrap().append(numbered(1)), Err(Error::Damaged { .. })));
    store.close().unwrap();
    // Neither a close nor a rebuild forgets what was promised.
    rebuild(folder.path(), RebuildOptions::new());
    assert_eq!(verify().worst(), Some(Severity::Damage));
    let settled = tempfile::tempdir().unwrap();
    common::copy_folder(folder.path(), settled.path());
    // One way to settle it: accept the loss for all.
    rebuild(folder.path(), RebuildOptions::new().accept_loss(true));
    assert!(verify().findings.is_empty());
    Store::open(folder.path()).unwrap().session("telegram:1").unwrap().append(numbered(1)).unwrap();
    // The other: a repair, which leaves a mark for the lost seqs.
    let store = Store::open(settled.path()).unwrap();
    let repaired = store.repair(session.key(), None, false).unwrap();
    assert_eq!(repaired.lost, [(4, row.durable_seq)]);
    let receipt = store.session("telegram:1").unwrap().append(numbered(1)).unwrap();
    assert_eq!(receipt.seq, row.durable_seq + 1, "no lost seq is given twice");
}

#[test]
fn a_row_without_a_file_is_kept_until_the_loss_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = Store::open(folder.path()).unwrap();
    let path = store.session("a").unwrap().path(None).unwrap();
    drop(store);
    fs::remove_file(path).unwrap();
    for _ in 0..2 {
        let rebuilt = rebuild(folder.path(), RebuildOptions::new());
        assert!(matches!(rebuilt.notes[0].outcome, RebuildOutcome::RowWithoutFile { accepted: false }));
        assert_eq!((rebuilt.rows, rebuilt.sessions), (5, 4));
    }
    let rebuilt = rebuild(folder.path(), RebuildOptions::new().accept_loss(true));
    assert_eq!((rebuilt.rows, rebuilt.notes.len()), (4, 1));
    assert!(rebuild(folder.path(), RebuildOptions::new()).notes.is_empty());
}

#[test]
fn a_transcript_that_is_gone_is_not_begun_anew() {
    // An append made a fresh first generation, and its row took the place of the only witness of the loss.
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = Store::open(folder.path()).unwrap();
    let path = store.session("a").unwrap().path(None).unwrap();
    let backup = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let session = store.session("a").unwrap();
    for error in [session.append(numbered(1)).unwrap_err(), session.records().unwrap_err()] {
        assert!(matches!(error, Error::TranscriptLost { .. }) && error.is_damage(), "{error:?}");
    }
    let gone =
        store.sessions().unwrap().into_iter().filter(|listed| matches!(listed, Listed::Unreadable { .. })).count();
    assert_eq!(gone, 1);
    store.close().unwrap();
    assert!(!path.exists());
    fs::write(&path, backup).unwrap();
    Store::open(folder.path()).unwrap().session("a").unwrap().append(numbered(1)).unwrap();
    fs::remove_file(&path).unwrap();
    rebuild(folder.path(), RebuildOptions::new().accept_loss(true));
    let receipt = Store::open(folder.path()).unwrap().session("a").unwrap().append(numbered(1)).unwrap();
    assert_eq!((receipt.generation, receipt.seq), (1, 1));
}

#[test]
fn processes_that_save_merge_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path()).unwrap();
    let second = Store::open(folder.path()).unwrap();
    first.session("of the first").unwrap().append(numbered(1)).unwrap();
    second.session("of the second").unwrap().append(numbered(1)).unwrap();
    first.session("of both").unwrap().append(numbered(1)).unwrap();
    first.session("of both").unwrap().release().unwrap();
    second.session("of both").unwrap().append(numbered(2)).unwrap();
    second.close().unwrap();
    first.close().unwrap();
    let saved = registry(folder.path());
    rebuild(folder.path(), RebuildOptions::new());
    assert_eq!(registry(folder.path()), saved);
    assert_eq!(rows(folder.path()).iter().map(|row| row.records).collect::<Vec<_>>(), [2, 1, 1]);
}

#[test]
fn it_is_saved_off_the_append_path_without_fsync() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let options = Options::new().file_system(Arc::new(fs.clone())).registry_save_delay(Duration::ZERO);
    let store = options.open(folder.path()).unwrap();
    store.session("k").unwrap().append(numbered(1)).unwrap();
    let path = folder.path().join("registry.jsonl");
    // The keeper saves it by itself.
    for _ in 0..200 {
        if path.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(path.exists(), "nobody saved it");
    store.close().unwrap();
    assert!(fs.count(Op::Rename, "registry.jsonl") >= 1);
    for op in [Op::SyncData, Op::SyncAll, Op::SyncDir] {
        assert_eq!(fs.count(op, "registry"), 0, "{op:?}");
    }
}

#[test]
fn a_live_writers_unsynced_records_are_in_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = Options::new().durability(Durability::Buffered).open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    assert!(session.append(numbered(1)).unwrap().durable, "a birth is always durable");
    assert!(!session.append(numbered(2)).unwrap().durable);
    let rebuilt = rebuild(folder.path(), RebuildOptions::new());
    assert!(matches!(rebuilt.notes[0].outcome, RebuildOutcome::Busy));
    assert_eq!(rebuilt.rows, 0, "its owner folds it");
    store.close().unwrap();
    let saved = registry(folder.path());
    rebuild(folder.path(), RebuildOptions::new());
    assert_eq!(registry(folder.path()), saved);
    assert_eq!(rows(folder.path())[0].durable_seq, 2);
}

#[test]
fn what_can_not_be_listed_is_listed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = Store::open(folder.path()).unwrap();
    let path = store.session("a").unwrap().path(None).unwrap();
    drop(store);
    fs::remove_file(folder.path().join("registry.jsonl")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = Options::new().open_read_only(folder.path()).unwrap();
    let unreadable: Vec<_> =
        store.sessions().unwrap().into_iter().filter(|listed| matches!(listed, Listed::Unreadable { .. })).collect();
    assert!(matches!(&unreadable[..], [Listed::Unreadable { path: at, error }] if *at == path && error.is_damage()));
    // Its records can be read by whoever knows the key.
    let items: Vec<_> = store.session("a").unwrap().records().unwrap().map(|item| item.unwrap()).collect();
    assert!(matches!(items[0], Item::Gap(_)) && items.len() == 5, "{items:?}");
}

/// A store that is only read does not hold a large registry in memory. Whatever is wrong with that, with transcripts, or with both, a
/// verification and the rows of sessions are what they are with all rows at hand.
#[test]
fn a_registry_that_is_read_bit_by_bit_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for key in ["a", "b", "c", "d", "e"] {
        store.session(key).unwrap().append_batch((0..3).map(common::numbered).collect()).unwrap();
    }
    store.session("c").unwrap().reset("new").unwrap();
    store.session("c").unwrap().append(common::numbered(7)).unwrap();
    let paths = ["a", "b", "d"].map(|key| store.session(key).unwrap().path(None).unwrap());
    store.close().unwrap();
    let sound = fs::read_to_string(folder.path().join("registry.jsonl")).unwrap();
    let lines: Vec<_> = sound.lines().map(|line| format!("{line}\n")).collect();
    // A flipped bit, a lost tail, a lost file, a file without a row.
    let mut bytes = fs::read(&paths[0]).unwrap();
    bytes[300] ^= 1;
    fs::write(&paths[0], bytes).unwrap();
    let bytes = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &bytes[..bytes.len() - 40]).unwrap();
    fs::remove_file(&paths[2]).unwrap();
    let mut registries = vec![sound.clone(), String::new(), sound[..sound.len() - 7].to_owned(), sound.repeat(2)];
    registries.push(lines.iter().rev().cloned().collect());
    registries.push("x".repeat(300_000));
    for at in 0..lines.len() {
        let (before, rest) = (lines[..at].concat(), lines[at + 1..].concat());
        registries.push(format!("{before}{rest}"));
        registries.push(format!("{before}{}{}{rest}", lines[at], lines[at]));
        registries.push(format!("{before}garbage\n{rest}"));
        registries.push(format!("{before}{rest}{}", lines[at]));
        registries.push(format!("{before}{}{rest}", lines[at].replace("\"generation\":1", "\"generation\":2")));
    }
    for registry in registries {
        fs::write(folder.path().join("registry.jsonl"), &registry).unwrap();
        let look = |unread_from| {
            let store = Options::new().registry_log_from(unread_from).open_read_only(folder.path()).unwrap();
            let report = store.verify(&VerifyOptions::new().jobs(1), &Progress::default()).unwrap();
            let rows = ["a", "b", "c", "d", "e", "f"].map(|key| format!("{:?}", store.session(key).unwrap().row()));
            let findings: Vec<_> = report.findings.iter().map(|finding| format!("{finding:?}")).collect();
            (store.registry_state(), report.sessions, report.records, findings, rows)
        };
        assert_eq!(look(0), look(u64::MAX), "{registry}");
    }
}
