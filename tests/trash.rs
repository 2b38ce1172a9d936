//! Forgetting: a session is wholly there or wholly in the trash, a deletion is no loss and a loss is no deletion.

#![cfg(feature = "sim")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sesslog::fs::Fs as _;
use sesslog::sim::{Chance, SimFault, SimFs, SimOp};
use sesslog::{
    Error, Finding, Item, KEEP_LABEL, Kept, Listed, NewRecord, Options, Progress, PruneOptions, RebuildOptions,
    Session, Store, Timestamp, VerifyOptions,
};

fn open(fs: &SimFs) -> Store {
    Options::new().file_system(Arc::new(fs.clone())).open("/store").unwrap()
}

fn say(session: &Session, text: &str) {
    session.append(NewRecord::new(text).unwrap()).unwrap();
}

fn bodies(session: &Session) -> Vec<String> {
    let mut bodies = Vec::new();
    for item in session.records().unwrap() {
        match item.unwrap() {
            Item::Record(record) if record.is_mark() => {}
            Item::Record(record) => bodies.push(record.parse().unwrap()),
            other => panic!("{other:?}"),
        }
    }
    bodies
}

fn findings(fs: &SimFs) -> Vec<Finding> {
    let store = Options::new().file_system(Arc::new(fs.clone())).open_read_only("/store").unwrap();
    store.verify(&VerifyOptions::new().deep(true).jobs(1), &Progress::default()).unwrap().findings
}

fn assert_sound(fs: &SimFs) {
    // A crash may take the registry, which is a cache.
    let mut findings = findings(fs);
    findings.retain(|finding| finding.path != Path::new("/store/registry.jsonl"));
    assert!(findings.is_empty(), "{findings:?}");
}

/// The callers' sessions in a listing.
fn listed(store: &Store) -> Vec<String> {
    let name = |listed| match listed {
        Listed::Session(row) => format!("{} {}", row.key, row.generation),
        other => panic!("{other:?}"),
    };
    store.sessions().unwrap().into_iter().map(name).filter(|name| !name.starts_with('~')).collect()
}

fn in_folder(fs: &SimFs, folder: &str, part: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let is_in = |(path, _): &(PathBuf, Vec<u8>)| {
        path.parent() == Some(Path::new(folder)) && path.to_string_lossy().contains(part)
    };
    fs.files().into_iter().filter(is_in).collect()
}

/// A closed store with two generations of `k` and another session.
fn made() -> SimFs {
    let fs = SimFs::new();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    say(&session, "old");
    session.reset("new").unwrap();
    say(&session, "a");
    say(&session, "b");
    say(&store.session("other").unwrap(), "kept");
    store.close().unwrap();
    fs
}

#[test]
fn a_deleted_session_comes_back_byte_for_byte() {
    let fs = made();
    let before = in_folder(&fs, "/store/transcripts", "/k~");
    let store = open(&fs);
    let session = store.session("k").unwrap();
    let deleted = session.delete(None, false).unwrap();
    assert_eq!(
        deleted.iter().map(|it| (it.generation, it.noted, it.trash.is_some())).collect::<Vec<_>>(),
        [(1, true, true), (2, true, true)]
    );
    assert!(in_folder(&fs, "/store/transcripts", "/k~").is_empty());
    assert_eq!(listed(&store), ["other 1"]);
    assert!(matches!(session.records(), Err(Error::SessionNotFound { .. })));
    assert!(matches!(session.delete(None, false), Err(Error::SessionNotFound { .. })));
    let trash = store.trash().unwrap();
    assert_eq!(
        trash.iter().map(|it| (it.key.as_deref(), it.generation)).collect::<Vec<_>>(),
        [(Some("k"), 1), (Some("k"), 2)]
    );
    for trashed in trash {
        store.restore(&trashed.name).unwrap();
        assert!(matches!(store.restore(&trashed.name), Err(Error::NotInTrash { .. })));
    }
    assert_eq!(in_folder(&fs, "/store/transcripts", "/k~"), before);
    assert_eq!(
        (bodies(&session), listed(&store)),
        (vec!["a".to_owned(), "b".to_owned()], vec!["k 1".to_owned(), "k 2".to_owned(), "other 1".to_owned()])
    );
    say(&session, "c");
    store.close().unwrap();
    assert_sound(&fs);
}

#[test]
fn a_stale_registry_brings_nothing_back_and_calls_nothing_lost() {
    for purge in [false, true] {
        let fs = made();
        let registry = fs.files().into_iter().find(|(path, _)| path.ends_with("registry.jsonl")).unwrap();
        // Another process that knows the rows, too.
        let theirs = open(&fs);
        let store = open(&fs);
        store.session("k").unwrap().delete(None, purge).unwrap();
        assert_eq!(listed(&theirs), ["other 1"]);
        assert!(matches!(theirs.session("k").unwrap().context(), Err(Error::SessionNotFound { .. })));
        store.close().unwrap();
        assert_sound(&fs);
        // From before the deletion.
        fs.tamper(&registry.0, &registry.1);
        assert_sound(&fs);
        let store = open(&fs);
        assert_eq!(listed(&store), ["other 1"]);
        let rebuilt = store.rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
        assert!(rebuilt.notes.is_empty(), "{:?}", rebuilt.notes);
        fs.tamper(&registry.0, &registry.1);
        let store = open(&fs);
        let session = store.session("k").unwrap();
        assert_eq!(session.append(NewRecord::new("anew").unwrap()).unwrap().generation, 1);
        store.close().unwrap();
        theirs.close().unwrap();
        assert_sound(&fs);
        assert_eq!(bodies(&open(&fs).session("k").unwrap()), ["anew"]);
        // A rebuild writes what the close left.
        let left = fs.files();
        open(&fs).rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
        assert_eq!(fs.files(), left);
    }
}

#[test]
fn what_is_lost_is_no_deletion_also_after_it_was_one() {
    let fs = made();
    let store = open(&fs);
    store.session("k").unwrap().delete(None, false).unwrap();
    for trashed in store.trash().unwrap() {
        store.restore(&trashed.name).unwrap();
    }
    store.close().unwrap();
    for (path, _) in in_folder(&fs, "/store/transcripts", "/k~") {
        fs.remove(&path).unwrap();
    }
    let store = open(&fs);
    assert!(matches!(
        store.session("k").unwrap().append(NewRecord::new("x").unwrap()),
        Err(Error::TranscriptLost { .. })
    ));
    assert_eq!(findings(&fs).len(), 2);
    // A deletion of one generation excuses no other.
    let fs = made();
    let store = open(&fs);
    store.session("k").unwrap().delete(Some(2), true).unwrap();
    store.close().unwrap();
    for (path, _) in in_folder(&fs, "/store/transcripts", "/k~") {
        fs.remove(&path).unwrap();
    }
    let refused = open(&fs).session("k").unwrap().append(NewRecord::new("x").unwrap());
    assert!(matches!(refused, Err(Error::TranscriptLost { generation: 1, .. })), "{refused:?}");
}

#[test]
fn what_somebody_uses_is_not_deleted() {
    let fs = made();
    let (ours, theirs) = (open(&fs), open(&fs));
    say(&theirs.session("k").unwrap(), "c");
    assert!(matches!(ours.session("k").unwrap().delete(None, false), Err(Error::Busy { .. })));
    theirs.close().unwrap();
    let session = ours.session("k").unwrap();
    let turn = session.begin_turn(Vec::new()).unwrap();
    assert!(matches!(session.delete(None, false), Err(Error::TurnRunning { .. })));
    drop(turn);
    // A writer of our own lets go.
    say(&session, "d");
    assert_eq!(session.delete(None, false).unwrap().len(), 2);
    assert_eq!(session.append(NewRecord::new("anew").unwrap()).unwrap().generation, 1);
    let name = ours.trash().unwrap()[0].name.clone();
    assert!(matches!(ours.restore(&name), Err(Error::SessionExists { generation: 1, .. })));
    assert!(matches!(ours.restore("../registry.jsonl"), Err(Error::NotInTrash { .. })));
    assert!(matches!(ours.session("~trash").unwrap().delete(None, true), Err(Error::Key(_))));
}

#[test]
fn a_full_disk_takes_a_deletion() {
    for purge in [false, true] {
        let fs = made();
        let registry = fs.files().into_iter().find(|(path, _)| path.ends_with("registry.jsonl")).unwrap();
        let store = open(&fs);
        fs.fail(SimOp::Write, 0, SimFault::Enospc);
        let deleted = store.session("k").unwrap().delete(None, purge).unwrap();
        assert!(deleted.iter().all(|deleted| !deleted.noted && deleted.trash.is_some()), "{deleted:?}");
        assert!(in_folder(&fs, "/store/transcripts", "/k~").is_empty());
        let left: usize = in_folder(&fs, "/store/trash", "/k~").iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(left < 600, purge, "{left}");
        drop(store);
        fs.crash(&mut Chance::new(3));
        // Nothing but the files in the trash says so.
        fs.tamper(&registry.0, &registry.1);
        assert_sound(&fs);
        let store = open(&fs);
        assert_eq!(listed(&store), ["other 1"]);
        // Emptied, the trash leaves a note.
        assert_eq!(store.empty_trash(Timestamp::from_unix_ms(i64::MAX / 2), false).unwrap().len(), 2);
        assert!(in_folder(&fs, "/store/trash", "~").is_empty());
        drop(store);
        fs.tamper(&registry.0, &registry.1);
        assert_sound(&fs);
    }
}

#[test]
fn a_damaged_session_can_be_deleted_and_comes_back_as_damaged_as_it_was() {
    for at in [3, 120, 400] {
        let fs = made();
        let (path, mut bytes) = in_folder(&fs, "/store/transcripts", ".2.").remove(0);
        bytes[at] ^= 1;
        fs.tamper(&path, &bytes);
        let store = open(&fs);
        store.session("k").unwrap().delete(None, false).unwrap();
        assert_sound(&fs);
        let trashed = store.trash().unwrap().into_iter().find(|it| it.generation == 2).unwrap();
        match store.restore(&trashed.name) {
            Ok(_) => assert_eq!(in_folder(&fs, "/store/transcripts", ".2."), [(path, bytes)]),
            // Nobody knows whose it is any more.
            Err(error) => assert!(matches!(error, Error::HeaderDamaged { .. }) && trashed.key.is_none(), "{error:?}"),
        }
    }
}

/// A power cut before every operation of a deletion, and every operation failing: wholly there, or wholly gone, and never lost.
#[test]
fn crashed_or_failed_anywhere_it_is_there_or_in_the_trash() {
    let made = made();
    let bytes: Vec<_> = in_folder(&made, "/store/transcripts", "/k~").into_iter().map(|(_, bytes)| bytes).collect();
    let judge = |fs: &SimFs, purge: bool, is_done: bool, what: &str| {
        let there = in_folder(fs, "/store/transcripts", "/k~");
        let trash = in_folder(fs, "/store/trash", "/k~");
        for (number, bytes) in bytes.iter().enumerate() {
            let generation = format!(".{}.", number + 1);
            let is_there = there.iter().any(|(path, it)| path.to_string_lossy().contains(&generation) && it == bytes);
            let is_in_trash =
                trash.iter().any(|(path, it)| path.to_string_lossy().contains(&generation) && it == bytes);
            assert!(is_there != is_in_trash || (purge && !is_there), "{what}: {number}");
            assert!(!(is_done && is_there), "{what}: {number} came back");
        }
        assert_sound(fs);
        let store = open(fs);
        assert_eq!(listed(&store).len(), 1 + there.len(), "{what}");
        say(&store.session("k").unwrap(), "goes on");
        store.close().unwrap();
        assert_sound(fs);
    };
    let mut tried = 0;
    for purge in [false, true] {
        for operation in 1.. {
            let fs = made.fork();
            let store = open(&fs);
            fs.cut_power_at(Some(fs.operations() + operation));
            let result = store.session("k").unwrap().delete(None, purge);
            fs.cut_power_at(None);
            for seed in 0..8 {
                let disk = fs.fork();
                disk.crash(&mut Chance::new(seed * 1000 + operation));
                judge(&disk, purge, result.is_ok(), &format!("purge {purge}, cut before {operation}, seed {seed}"));
                tried += 1;
            }
            if result.is_ok() {
                break;
            }
        }
        let ops = [
            SimOp::Create,
            SimOp::Write,
            SimOp::Sync,
            SimOp::SyncDir,
            SimOp::Rename,
            SimOp::Remove,
            SimOp::Read,
            SimOp::SetLen,
        ];
        for op in ops {
            for fault in [SimFault::Eio, SimFault::Enospc, SimFault::EioDrop] {
                for number in 1.. {
                    let fs = made.fork();
                    let store = open(&fs);
                    fs.take_met();
                    fs.fail(op, number, fault);
                    let result = store.session("k").unwrap().delete(None, purge);
                    if fs.take_met().is_empty() {
                        break;
                    }
                    fs.heal();
                    drop(store);
                    let what = format!("purge {purge}, {op:?} {number} {fault:?}: {result:?}");
                    let disk = fs.fork();
                    disk.crash(&mut Chance::new(number));
                    judge(&disk, purge, result.is_ok(), &what);
                    judge(&fs, purge, result.is_ok(), &what);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

/// A crash between the mark and the rename leaves a session that is noted as deleted and goes on: its loss is a loss.
#[test]
fn a_deletion_that_was_only_noted_excuses_no_later_loss() {
    let made = made();
    let mut noted = 0;
    for operation in 1.. {
        let fs = made.fork();
        let store = open(&fs);
        fs.cut_power_at(Some(fs.operations() + operation));
        let result = store.session("k").unwrap().delete(None, false);
        fs.cut_power_at(None);
        if result.is_ok() {
            break;
        }
        drop(store);
        fs.crash(&mut Chance::new(operation));
        let store = open(&fs);
        let session = store.session("k").unwrap();
        if session.generation().ok() != Some(2) {
            continue;
        }
        noted += u32::from(!in_folder(&fs, "/store/transcripts", "trash~").is_empty());
        say(&session, "after all");
        store.close().unwrap();
        for (path, _) in in_folder(&fs, "/store/transcripts", "/k~") {
            fs.remove(&path).unwrap();
        }
        let refused = open(&fs).session("k").unwrap().append(NewRecord::new("x").unwrap());
        assert!(matches!(refused, Err(Error::TranscriptLost { .. })), "{operation}: {refused:?}");
    }
    assert!(noted > 0);
}

/// A process that knows the session from before a repair, which gave it another header.
#[test]
fn a_repaired_and_deleted_session_is_lost_to_nobody() {
    let fs = made();
    let theirs = open(&fs);
    let (path, mut bytes) = in_folder(&fs, "/store/transcripts", ".2.").remove(0);
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    fs.tamper(&path, &bytes);
    let store = open(&fs);
    let session = store.session("k").unwrap();
    assert!(store.repair(session.key(), None, false).unwrap().quarantine.is_some());
    session.delete(None, false).unwrap();
    assert_eq!(theirs.session("k").unwrap().append(NewRecord::new("anew").unwrap()).unwrap().generation, 1);
}

/// The newest generation is found by counting up: no deletion and no restore leaves a hole, or puts an old one behind a new.
#[test]
fn generations_stay_without_holes() {
    let fs = made();
    let store = open(&fs);
    let session = store.session("k").unwrap();
    session.reset("again").unwrap();
    say(&session, "third");
    let refused = session.delete(Some(2), false);
    assert!(matches!(refused, Err(Error::BetweenGenerations { generation: 2, .. })), "{refused:?}");
    session.delete(None, false).unwrap();
    say(&session, "anew");
    for trashed in store.trash().unwrap() {
        assert!(matches!(store.restore(&trashed.name), Err(Error::SessionExists { generation: 1, .. })));
    }
    session.delete(None, true).unwrap();
    let names: Vec<_> = store.trash().unwrap().into_iter().map(|trashed| trashed.name).collect();
    for name in &names {
        store.restore(name).unwrap();
    }
    assert_eq!((bodies(&session), session.generations(None).unwrap()), (vec!["third".to_owned()], vec![1, 2, 3]));
    // Of those that a rule names, the one in between stays.
    let (fs, store) = aged();
    let session = store.session("h0").unwrap();
    for hour in [2, 1, 9] {
        session.reset("new").unwrap();
        session.append(NewRecord::new("x").unwrap().at(hours(hour))).unwrap();
    }
    let now = Timestamp::from_unix_ms(hours(10).unix_ms().max(fs.now().unix_ms() + 1));
    session.reset("new").unwrap();
    store.session("h0").unwrap().append(NewRecord::new("x").unwrap().at(hours(9))).unwrap();
    let age = Duration::from_millis(u64::try_from(now.unix_ms() - hours(1).unix_ms() - 1).unwrap());
    let pruned = store.prune(&PruneOptions::new().older_than(age), now).unwrap();
    let left = session.generations(None).unwrap();
    assert!(left.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{left:?}: {pruned:?}");
}

#[test]
fn an_error_of_the_note_is_over_when_it_is() {
    let fs = made();
    let store = open(&fs);
    store.session("other").unwrap().delete(None, false).unwrap();
    fs.fail(SimOp::Sync, 0, SimFault::Eio);
    assert!(store.session("k").unwrap().delete(None, false).is_err());
    fs.heal();
    assert_eq!(store.session("k").unwrap().delete(None, false).unwrap().len(), 2);
}

// --- prune

fn hours(hours: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + hours * 3_600_000)
}

/// Sessions `h0` to `h9`, last used at those hours.
fn aged() -> (SimFs, Store) {
    let fs = SimFs::new();
    let store = open(&fs);
    for hour in 0..10 {
        let session = store.session(format!("h{hour}")).unwrap();
        session.append(NewRecord::new("x").unwrap().at(hours(hour))).unwrap();
        session.append(NewRecord::new("y").unwrap().kind("meta.usage").unwrap().at(hours(9))).unwrap();
    }
    (fs, store)
}

fn keys(rows: &[sesslog::Row]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}

#[test]
fn each_rule_names_the_oldest_and_a_dry_run_does_nothing() {
    let (fs, store) = aged();
    let before = fs.files();
    let dry = |options: PruneOptions| store.prune(&options.dry_run(true), hours(10)).unwrap();
    let by_age = dry(PruneOptions::new().older_than(Duration::from_secs(7 * 3600)));
    // Of exactly that age is not older.
    assert_eq!(keys(&by_age.named), ["h0", "h1", "h2"]);
    assert_eq!(keys(&dry(PruneOptions::new().keep_newest(8)).named), ["h0", "h1"]);
    let bytes = by_age.named[0].length_bytes;
    assert_eq!(keys(&dry(PruneOptions::new().bytes_max(bytes * 6)).named), ["h0", "h1", "h2", "h3"]);
    assert_eq!(
        keys(&dry(PruneOptions::new().keep_newest(9).older_than(Duration::from_secs(8 * 3600))).named),
        ["h0", "h1"]
    );
    assert!(dry(PruneOptions::new()).named.is_empty(), "no rule, nothing");
    assert_eq!(fs.files(), before);
    let pruned = store.prune(&PruneOptions::new().keep_newest(8), hours(10)).unwrap();
    assert_eq!(pruned.deleted.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["h0", "h1"]);
    assert_eq!((listed(&store).len(), store.trash().unwrap().len()), (8, 2));
    store.close().unwrap();
    assert_sound(&fs);
}

#[test]
fn what_is_in_use_or_to_be_kept_stays() {
    let (fs, store) = aged();
    let session = |hour: u32| store.session(format!("h{hour}")).unwrap();
    let turn = session(0).begin_turn(Vec::new()).unwrap();
    session(1).mark_resume_pending("restart").unwrap();
    session(2).suspend("loops").unwrap();
    session(3).set_labels(&["work", KEEP_LABEL]).unwrap();
    let theirs = open(&fs);
    session(4).release().unwrap();
    theirs.session("h4").unwrap().append(NewRecord::new("z").unwrap().at(hours(4))).unwrap();
    // The row is missing: it is folded, and then judged as any other.
    store.close().unwrap();
    drop(turn);
    fs.tamper(Path::new("/store/registry.jsonl"), b"");
    let store = open(&fs);
    let now = Timestamp::from_unix_ms(hours(10).unix_ms().max(fs.now().unix_ms() + 1));
    let pruned = store.prune(&PruneOptions::new().keep_newest(2), now).unwrap();
    let kept: Vec<_> = pruned.kept.iter().map(|(row, kept)| (row.key.as_str(), *kept)).collect();
    assert_eq!(
        kept,
        [
            ("h0", Kept::Running),
            ("h1", Kept::Pending),
            ("h2", Kept::Suspended),
            ("h3", Kept::Labelled),
            ("h4", Kept::Running)
        ]
    );
    assert_eq!(pruned.deleted.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["h5", "h6", "h7"]);
    assert!(pruned.failed.is_empty() && pruned.unreadable.is_empty());
    assert_eq!(listed(&store).len(), 7);
}

#[test]
fn a_clock_that_stands_before_the_newest_record_prunes_nothing() {
    let (fs, store) = aged();
    let before = fs.files();
    match store.prune(&PruneOptions::new().keep_newest(0), hours(8)).unwrap_err() {
        Error::ClockBehind { key, seq: 2, newest, .. } => assert_eq!((key.as_str().len(), newest), (2, hours(9))),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs.files(), before);
}

/// Behind damage may stand what keeps it.
#[test]
fn what_is_damaged_in_its_middle_is_not_pruned() {
    let (fs, store) = aged();
    let session = store.session("h0").unwrap();
    session.set_labels(&[KEEP_LABEL]).unwrap();
    drop((session, store));
    let (path, mut bytes) = in_folder(&fs, "/store/transcripts", "/h0~").remove(0);
    bytes[260] ^= 1;
    fs.tamper(&path, &bytes);
    fs.tamper(Path::new("/store/registry.jsonl"), b"");
    let store = open(&fs);
    let now = Timestamp::from_unix_ms(hours(10).unix_ms().max(fs.now().unix_ms() + 1));
    for dry_run in [true, false] {
        let pruned = store.prune(&PruneOptions::new().keep_newest(0).purge(true).dry_run(dry_run), now).unwrap();
        let named: Vec<_> = pruned.failed.iter().map(|(key, _, error)| (key.as_str(), error.is_damage())).collect();
        assert_eq!(named, [("h0", true)]);
    }
    assert_eq!(in_folder(&fs, "/store/transcripts", "/h0~"), [(path, bytes)]);
}

#[test]
fn damage_is_no_reason_to_forget() {
    let (fs, store) = aged();
    store.close().unwrap();
    let (path, mut bytes) = in_folder(&fs, "/store/transcripts", "/h0~").remove(0);
    bytes[10] ^= 1;
    fs.tamper(&path, &bytes);
    let store = open(&fs);
    let pruned = store.prune(&PruneOptions::new().keep_newest(0), hours(10)).unwrap();
    assert_eq!((pruned.deleted.len(), pruned.unreadable.len()), (9, 1));
    assert_eq!(in_folder(&fs, "/store/transcripts", "/h0~"), [(path, bytes)]);
}
