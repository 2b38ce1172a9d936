//! Promise 10: what the store makes is private, whatever the umask and whoever makes it; what exists keeps its mode.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use sesslog::{NewRecord, Options, Store};

use crate::{filled, run, sessctl, sessctl_after, transcript};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every path below a folder and itself, with its mode and whether it is a folder.
fn modes(folder: &Path) -> Vec<(String, bool, u32)> {
    let mut found = Vec::new();
    let mut paths = vec![folder.to_owned()];
    while let Some(path) = paths.pop() {
        let is_folder = path.is_dir();
        if is_folder {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path.strip_prefix(folder).unwrap().display().to_string(), is_folder, mode(&path)));
    }
    found
}

fn flip_a_body_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let body = bytes.windows(12).rposition(|window| window == b"\"body\":{\"n\":").unwrap();
    bytes[body + 12] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn all_that_is_made_is_private_under_any_umask() {
    for umask in ["000", "022", "077", "777"] {
        let folder = tempfile::tempdir().unwrap();
        // Two folders that are missing, too: whoever may write to them can replace the store.
        let store = folder.path().join("made/also").join("store");
        let setting = format!("umask {umask}");
        // The last umask leaves nobody but root a way into a folder that it has just made.
        let store = if umask == "777" { folder.path().join("store") } else { store };
        let mut append = sessctl_after(&setting, &store, &["append", "k"]);
        let mut child = append.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut acknowledged = BufReader::new(child.stdout.take().unwrap());
        for seq in 1..=3 {
            stdin.write_all(format!("{{\"n\":{seq}}}\n").as_bytes()).unwrap();
            let mut line = String::new();
            acknowledged.read_line(&mut line).unwrap();
            assert_eq!(line, format!("k {seq}\n"), "umask {umask}");
        }
        let locks: Vec<_> = modes(&store.join("locks")).into_iter().filter(|(_, is_folder, _)| !is_folder).collect();
        assert!(matches!(locks.as_slice(), [(_, false, 0o600)]), "umask {umask}: {locks:?}");
        drop(stdin);
        assert!(child.wait().unwrap().success());
        // A torn tail, cut by a rebuild; then damage, repaired: temp files, quarantine, registry and transcript anew.
        let path = transcript(&store, "k", 1);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        fs::remove_file(store.join("registry.jsonl")).unwrap();
        run(&mut sessctl_after(&setting, &store, &["rebuild-index"])).expect(0);
        flip_a_body_byte(&path);
        run(&mut sessctl_after(&setting, &store, &["repair", "k"])).expect(3);
        fs::remove_dir(store.join("quarantine").join("none")).unwrap_err();
        let found =
            modes(folder.path().join("made").exists().then(|| folder.path().join("made")).as_deref().unwrap_or(&store));
        assert!(found.iter().filter(|(path, ..)| path.contains("quarantine/")).count() == 2, "{found:?}");
        for (path, is_folder, mode) in found {
            assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "umask {umask}: {path}");
        }
    }
}

#[test]
fn options_say_otherwise_and_are_kept_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Options::new().modes(0o640, 0o2750).open(&path).unwrap();
    let session = store.session("k").unwrap();
    session.append(NewRecord::new(&1).unwrap()).unwrap();
    let lock = fs::read_dir(path.join("locks")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&lock), 0o640);
    store.close().unwrap();
    for (name, is_folder, mode) in modes(&path) {
        assert_eq!(mode, if is_folder { 0o2750 } else { 0o640 }, "{name}");
    }
}

#[test]
fn what_exists_keeps_its_mode_and_what_is_made_anew_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    filled(&store, "k", 3);
    let path = transcript(&store, "k", 1);
    for folder in ["", "transcripts", "locks", "quarantine"] {
        set_mode(&store.join(folder), 0o755);
    }
    set_mode(&path, 0o644);
    set_mode(&store.join("registry.jsonl"), 0o666);
    let opened = Store::open(&store).unwrap();
    opened.session("k").unwrap().append(NewRecord::json(r#"{"n":4}"#).unwrap()).unwrap();
    opened.close().unwrap();
    assert_eq!(mode(&path), 0o644, "an operator's choice is his");
    assert_eq!(mode(&store.join("transcripts")), 0o755);
    assert_eq!(mode(&store.join("registry.jsonl")), 0o600, "a new file each time");
    flip_a_body_byte(&path);
    sessctl(&store, &["repair", "k"]).expect(3);
    assert_eq!(mode(&path), 0o600, "a new file, too");
    let kept = fs::read_dir(store.join("quarantine")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&kept), 0o644, "the original with its own mode: it is the same file under another name");
    // A new session in the same folders.
    let opened = Store::open(&store).unwrap();
    opened.session("new").unwrap().append(NewRecord::new(&1).unwrap()).unwrap();
    assert_eq!(mode(&transcript(&store, "new", 1)), 0o600);
}
