//! Links, pipes, devices and folders in the place of the store's files: refused or replaced, never followed, never waited for.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use sesslog::{Error, NewRecord, Options, RegistryState, Store};

use crate::{
    Outside, bodies_of, fifo, filled, is_empty, lock_file, numbered_bodies, sessctl, sessctl_with_input, transcript,
};

/// What may stand in the place of a file.
const STRANGERS: [&str; 6] = ["link", "dangling link", "pipe", "folder", "device link", "device"];

/// Puts a stranger in a place; `false` where only root can make it.
fn put(stranger: &str, place: &Path, outside: &Outside) -> bool {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    match stranger {
        "link" => symlink(&outside.path, place).unwrap(),
        "dangling link" => symlink(outside.path.with_file_name("dangling"), place).unwrap(),
        "pipe" => fifo(place),
        "folder" => fs::create_dir(place).unwrap(),
        "device link" => symlink("/dev/zero", place).unwrap(),
        _ => return mknodat(CWD, place, FileType::CharacterDevice, Mode::RWXU, makedev(1, 5)).is_ok(),
    }
    true
}

/// What makes a path what it is; for a folder not the time, which its content changes.
fn shape(path: &Path) -> (u32, u64, Option<PathBuf>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.mode(), metadata.ino(), fs::read_link(path).ok())
}

/// Everything that a command can do to a store.
fn every_command(store: &Path) -> Vec<(String, Option<i32>)> {
    let commands: [&[&str]; 11] = [
        &["list"],
        &["info", "k"],
        &["path", "k"],
        &["show", "k"],
        &["show", "--frames", "--marks", "k"],
        &["tail", "-n", "1", "k"],
        &["verify", "--deep"],
        &["rebuild-index", "--dry-run"],
        &["rebuild-index"],
        &["repair", "k"],
        &["rebuild-index", "--accept-loss"],
    ];
    let append = sessctl_with_input(store, &["append", "k"], b"1\n").code;
    let runs = commands.into_iter().map(|args| (args.join(" "), sessctl(store, args).code));
    std::iter::once(("append".to_owned(), append)).chain(runs).collect()
}

#[test]
fn a_stranger_in_the_place_of_a_transcript_is_refused_and_left() {
    for stranger in STRANGERS {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        filled(&store, "k", 2);
        filled(&store, "other", 2);
        let path = transcript(&store, "k", 1);
        // The very bytes of the session: only the way to them is wrong.
        let outside = Outside::new(&fs::read(&path).unwrap());
        fs::remove_file(&path).unwrap();
        if !put(stranger, &path, &outside) {
            continue;
        }
        let before = shape(&path);
        for (command, code) in every_command(&store) {
            let whole_store =
                command.starts_with("list") || command.starts_with("rebuild-index") || command.starts_with("verify");
            assert_eq!(code, Some(1), "{stranger}: {command} (of the whole store: {whole_store})");
            outside.is_untouched(stranger);
            assert_eq!(shape(&path), before, "{stranger}: {command}");
        }
        assert!(!outside.path.with_file_name("dangling").exists(), "{stranger}");
        // One bad session stops no other, and its own comes back as it was.
        assert_eq!(bodies_of(&store, "other"), numbered_bodies(1..=2), "{stranger}");
        if before.2.is_some() || stranger != "folder" { fs::remove_file(&path) } else { fs::remove_dir(&path) }
            .unwrap();
        fs::copy(&outside.path, &path).unwrap();
        sessctl_with_input(&store, &["append", "k"], b"3\n").expect(0);
    }
}

#[test]
fn a_stranger_in_the_place_of_a_lock_keeps_the_session_from_being_written_to() {
    for stranger in STRANGERS {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        filled(&store, "k", 2);
        let outside = Outside::new(b"precious");
        let place = lock_file(&store, "k");
        if !put(stranger, &place, &outside) {
            continue;
        }
        let before = shape(&place);
        let bytes = fs::read(transcript(&store, "k", 1)).unwrap();
        sessctl_with_input(&store, &["append", "k"], b"3\n").expect(1);
        sessctl(&store, &["rebuild-index"]).expect(1);
        // Reading needs no lock.
        sessctl(&store, &["verify"]).expect(0);
        assert_eq!(sessctl(&store, &["show", "k"]).expect(0).stdout.lines().count(), 2, "{stranger}");
        assert_eq!(shape(&place), before, "{stranger}");
        assert_eq!(fs::read(transcript(&store, "k", 1)).unwrap(), bytes, "{stranger}");
        assert!(!outside.path.with_file_name("dangling").exists(), "{stranger}");
        outside.is_untouched(stranger);
    }
}

#[test]
fn a_stranger_in_the_place_of_the_registry_is_replaced_and_never_written_to() {
    for stranger in STRANGERS {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        filled(&store, "k", 2);
        let registry = store.join("registry.jsonl");
        // Its own rows, so that only the way to them is wrong.
        let rows = fs::read(&registry).unwrap();
        let outside = Outside::new(&rows);
        fs::remove_file(&registry).unwrap();
        if !put(stranger, &registry, &outside) {
            continue;
        }
        let opened = Store::open(&store).unwrap();
        let expected = RegistryState::Unusable { line: 1 };
        let dangles = RegistryState::Missing;
        assert!([expected, dangles].contains(&opened.registry_state()), "{stranger}");
        opened.session("k").unwrap().append(crate::common::numbered(3)).unwrap();
        let closed = opened.close().unwrap();
        assert!(closed.failures.is_empty(), "{stranger}: {closed:?}");
        outside.is_untouched(stranger);
        assert!(!outside.path.with_file_name("dangling").exists(), "{stranger}");
        if stranger == "folder" {
            // No rename replaces a folder; it is a cache, so it costs nothing but time.
            assert!(closed.registry.is_some() && registry.is_dir());
            sessctl(&store, &["verify"]).expect(4);
        } else {
            assert!(closed.registry.is_none(), "{stranger}: {closed:?}");
            assert!(fs::symlink_metadata(&registry).unwrap().is_file(), "{stranger}");
            sessctl(&store, &["verify"]).expect(0);
        }
        assert_eq!(bodies_of(&store, "k"), numbered_bodies(1..=3), "{stranger}");
    }
}

#[test]
fn names_taken_in_quarantine_are_passed_over() {
    for stranger in STRANGERS {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        filled(&store, "k", 2);
        let path = transcript(&store, "k", 1);
        let bytes = fs::read(&path).unwrap();
        let torn = [&bytes[..], b"{\"seq\":3,\"dur"].concat();
        let stem = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".jsonl").to_owned();
        let outside = Outside::new(b"precious");
        let quarantine = store.join("quarantine");
        let names = [format!("{stem}.{}.torn", bytes.len()), format!("{stem}.damaged")];
        if !names.iter().all(|name| put(stranger, &quarantine.join(name), &outside)) {
            continue;
        }
        let before: Vec<_> = names.iter().map(|name| shape(&quarantine.join(name))).collect();
        fs::write(&path, &torn).unwrap();
        sessctl_with_input(&store, &["append", "k"], b"3\n").expect(0);
        assert_eq!(fs::read(quarantine.join(format!("{}.2", names[0]))).unwrap(), &torn[bytes.len()..], "{stranger}");
        let mut damaged = fs::read(&path).unwrap();
        let at = bytes.len() - 30;
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        sessctl(&store, &["repair", "k"]).expect(3);
        assert_eq!(fs::read(quarantine.join(format!("{}.2", names[1]))).unwrap(), damaged, "{stranger}");
        let after: Vec<_> = names.iter().map(|name| shape(&quarantine.join(name))).collect();
        assert_eq!(after, before, "{stranger}");
        outside.is_untouched(stranger);
    }
}

#[test]
fn the_store_may_be_a_link_and_its_folders_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    filled(&real, "k", 2);
    // The operator names the store, and may name it by a link; whoever can change that link can name another one anyway.
    let link = folder.path().join("link");
    symlink(&real, &link).unwrap();
    sessctl_with_input(&link, &["append", "k"], b"3\n").expect(0);
    assert_eq!(bodies_of(&real, "k").len(), 3);
    // One that leads nowhere is not filled.
    let nowhere = folder.path().join("nowhere");
    symlink(folder.path().join("missing"), &nowhere).unwrap();
    assert!(matches!(Store::open(&nowhere), Err(Error::Io(_))));
    assert!(!folder.path().join("missing").exists());
    for name in ["transcripts", "locks", "quarantine", "trash"] {
        let store = folder.path().join(format!("with-{name}"));
        filled(&store, "k", 2);
        let elsewhere = tempfile::tempdir().unwrap();
        fs::remove_dir_all(store.join(name)).unwrap();
        symlink(elsewhere.path(), store.join(name)).unwrap();
        assert!(matches!(Store::open(&store), Err(Error::Io(_))), "{name}");
        let reads = Options::new().open_read_only(&store);
        // A reader needs only the transcripts.
        assert_eq!(reads.is_err(), name == "transcripts", "{name}");
        sessctl_with_input(&store, &["append", "k"], b"3\n").expect(1);
        sessctl(&store, &["rebuild-index"]).expect(1);
        is_empty(elsewhere.path(), name);
        // A pipe there must not be waited for, and is no folder either.
        fs::remove_file(store.join(name)).unwrap();
        fifo(&store.join(name));
        sessctl_with_input(&store, &["append", "k"], b"3\n").expect(1);
        sessctl(&store, &["rebuild-index"]).expect(1);
        let lists = sessctl(&store, &["list"]);
        assert_eq!(lists.code, Some(i32::from(name == "transcripts")), "{name}: {lists:?}");
    }
}

#[test]
fn a_quarantine_that_becomes_a_link_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    filled(&store, "k", 2);
    let opened = Store::open(&store).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::remove_dir(store.join("quarantine")).unwrap();
    symlink(elsewhere.path(), store.join("quarantine")).unwrap();
    let path = transcript(&store, "k", 1);
    let torn = [&fs::read(&path).unwrap()[..], b"{\"seq\":3,\"dur"].concat();
    fs::write(&path, &torn).unwrap();
    let session = opened.session("k").unwrap();
    assert!(matches!(session.append(NewRecord::new(&3).unwrap()), Err(Error::Io(_))));
    is_empty(elsewhere.path(), "torn bytes");
    assert_eq!(fs::read(&path).unwrap(), torn, "nothing is cut that can not be kept");
    fs::remove_file(store.join("quarantine")).unwrap();
    session.append(NewRecord::new(&3).unwrap()).unwrap();
}

#[test]
fn second_names_of_lock_and_registry_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    filled(&store, "k", 2);
    let outside = Outside::new(b"precious");
    // As lock: it would be cut, and would get the text that says who holds it.
    fs::hard_link(&outside.path, lock_file(&store, "k")).unwrap();
    let opened = Store::open(&store).unwrap();
    let session = opened.session("k").unwrap();
    session.append(crate::common::numbered(3)).unwrap();
    outside.is_untouched("lock");
    let held = fs::symlink_metadata(lock_file(&store, "k")).unwrap();
    assert_eq!((held.nlink(), held.len() > 0), (1, true), "the session has a lock of its own");
    assert!(
        Store::open(&store).unwrap().session("k").unwrap().append(crate::common::numbered(4)).unwrap_err().is_busy()
    );
    // One that gets its second name while it is held still excludes others, also under another holder's file.
    let second = folder.path().join("second");
    fs::hard_link(lock_file(&store, "k"), &second).unwrap();
    session.append(crate::common::numbered(4)).unwrap();
    fs::remove_file(lock_file(&store, "k")).unwrap();
    fs::write(lock_file(&store, "k"), b"another's").unwrap();
    assert!(matches!(session.append(crate::common::numbered(5)), Err(Error::Poisoned { in_doubt: None, .. })));
    assert_eq!(fs::read(lock_file(&store, "k")).unwrap(), b"another's", "not ours to remove");
    drop((session, opened));
    // As registry: replaced by a rename.
    fs::remove_file(store.join("registry.jsonl")).unwrap();
    fs::hard_link(&outside.path, store.join("registry.jsonl")).unwrap();
    sessctl(&store, &["rebuild-index"]).expect(0);
    outside.is_untouched("registry");
    assert_eq!(bodies_of(&store, "k"), numbered_bodies(1..=4));
}

#[test]
fn a_second_name_of_a_transcript_is_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    filled(&store, "k", 2);
    let path = transcript(&store, "k", 1);
    let second = folder.path().join("second");
    fs::hard_link(&path, &second).unwrap();
    // Refusing would let whoever links files as a backup stop every session. It grows under both names.
    sessctl_with_input(&store, &["append", "k"], b"3\n").expect(0);
    assert_eq!(fs::read(&second).unwrap(), fs::read(&path).unwrap());
    assert_eq!(fs::metadata(&second).unwrap().mode() & 0o7777, 0o600);
    // A repair writes a new file: the second name keeps the damaged one, byte for byte.
    let mut damaged = fs::read(&path).unwrap();
    let at = damaged.len() - 30;
    damaged[at] ^= 1;
    fs::write(&path, &damaged).unwrap();
    sessctl(&store, &["repair", "k"]).expect(3);
    assert_eq!(fs::read(&second).unwrap(), damaged);
    assert_ne!(fs::metadata(&second).unwrap().ino(), fs::metadata(&path).unwrap().ino());
    // A file that is no transcript of this session is not written to, whatever its name here.
    for content in [&b"precious\n"[..], b"", b"\0\0\0\0"] {
        let outside = Outside::new(content);
        fs::remove_file(&path).unwrap();
        fs::hard_link(&outside.path, &path).unwrap();
        sessctl_with_input(&store, &["append", "k"], b"4\n").expect(3);
        sessctl(&store, &["rebuild-index"]).expect(3);
        assert_eq!(fs::read(&outside.path).unwrap(), content);
        fs::remove_file(&path).unwrap();
        outside.path.metadata().map(|metadata| assert_eq!(metadata.nlink(), 1)).unwrap();
        outside.is_untouched("transcript");
        fs::copy(&second, &path).unwrap();
    }
}
