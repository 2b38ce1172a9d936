//! Keys and headers that would lead elsewhere: no byte of a key picks a path, and a header that names another session than its
//! file's name is refused by everything that reads or writes.

use std::fs;
use std::path::Path;

use sesslog::{Error, KeyError, Listed, NewRecord, SessionKey, Store};

use crate::{filled, forge, sessctl, sessctl_with_input, transcript};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn no_key_leads_out_of_the_folder_or_to_another_session() {
    let long = "../".repeat(170);
    let look_alikes =
        ["telegram:1", "Telegram:1", "TELEGRAM:1", "tel\u{435}gram:1", "telegram:1\u{200b}", "telegram\u{ff1a}1"];
    let keys: Vec<&str> = [
        "../x",
        "..",
        ".",
        "/etc/passwd",
        "/",
        "a/../../b",
        "nul\0byte",
        "\0",
        "\n",
        "a\nb",
        "..\\x",
        "C:\\x",
        "~root",
        ".hidden",
        "-rf",
        "x.1.jsonl",
        "registry.jsonl",
        "\u{e9}",
        "e\u{301}",
        "\u{212a}",
        "k",
        "K",
        "\u{1b}]0;x\u{7}",
        long.as_str(),
    ]
    .into_iter()
    .chain(look_alikes)
    .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/store");
    let store = Store::open(&path).unwrap();
    for key in &keys {
        let result = store.session(key).unwrap().append(NewRecord::new(key).unwrap());
        if key.starts_with('~') {
            assert!(matches!(result, Err(Error::Key(KeyError::Reserved))), "{key:?}");
        } else {
            assert_eq!(result.unwrap().seq, 1, "{key:?} is a session of its own");
        }
    }
    store.close().unwrap();
    let made = names(&path.join("transcripts"));
    assert_eq!(made.len(), keys.len() - 1);
    for name in &made {
        // What a folder of any system takes, and nothing that a shell or a terminal would read.
        assert!(
            name.len() <= 100
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._~-".contains(&b)),
            "{name}"
        );
    }
    assert_eq!(names(folder.path()), ["a"]);
    assert_eq!(names(&folder.path().join("a")), ["b"]);
    assert_eq!(names(&folder.path().join("a/b")), ["store"]);
    assert_eq!(names(&path), ["locks", "quarantine", "registry.jsonl", "transcripts", "trash"]);
    let store = Store::open(&path).unwrap();
    for key in keys.iter().filter(|key| !key.starts_with('~')) {
        let bodies = crate::common::bodies(&store.session(key).unwrap());
        assert_eq!(bodies, [serde_json::to_string(key).unwrap()], "{key:?}");
    }
    let too_long = "x".repeat(513);
    assert!(matches!(store.session(&too_long), Err(Error::Key(KeyError::TooLong { .. }))));
    assert!(matches!(store.session(""), Err(Error::Key(KeyError::Empty))));
}

#[test]
fn a_header_that_names_another_session_is_refused_and_left() {
    // Every one is sound in itself: whoever can write to the folder can compute a checksum.
    let headers = [
        ("another session's", forge::header("victim", 1)),
        ("another generation's", forge::header("k", 2)),
        ("a path", forge::header("../../outside", 1)),
        ("an absolute path", forge::header("/etc/passwd", 1)),
        ("no key", forge::header("", 1)),
        ("a key that is too long", forge::header(&"x".repeat(4000), 1)),
        ("a NUL", forge::header("k\0", 1)),
        ("the store's own", forge::header("~store", 1)),
        ("generation 0", forge::header("k", 0)),
        ("the last generation", forge::header("k", u64::MAX)),
    ];
    for (story, header) in headers {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        filled(&path, "victim", 1);
        let file = transcript(&path, "k", 1);
        fs::write(&file, &header).unwrap();
        let victim = fs::read(transcript(&path, "victim", 1)).unwrap();
        let store = Store::open(&path).unwrap();
        let session = store.session("k").unwrap();
        assert!(matches!(session.append(NewRecord::new(&1).unwrap()), Err(Error::Misfiled { .. })), "{story}");
        assert!(matches!(session.records(), Err(Error::Misfiled { .. })), "{story}");
        let key = SessionKey::new("k").unwrap();
        assert!(matches!(store.repair(&key, None, false), Err(Error::Misfiled { .. })), "{story}");
        let listed = store.sessions().unwrap();
        let sessions: Vec<_> = listed
            .iter()
            .filter_map(|item| if let Listed::Session(row) = item { Some(row.key.as_str()) } else { None })
            .collect();
        assert_eq!((listed.len(), sessions), (2, vec!["victim"]), "{story}");
        store.close().unwrap();
        sessctl(&path, &["verify"]).expect(if ["no key", "a key that is too long"].contains(&story) { 1 } else { 3 });
        sessctl(&path, &["rebuild-index"]);
        let registry = fs::read_to_string(path.join("registry.jsonl")).unwrap();
        assert_eq!(registry.lines().count(), 1, "{story}: {registry}");
        assert_eq!(fs::read_to_string(&file).unwrap(), header, "{story}");
        assert_eq!(fs::read(transcript(&path, "victim", 1)).unwrap(), victim, "{story}");
        assert_eq!(names(folder.path()), ["store"], "{story}");
    }
}

#[test]
fn a_file_of_another_generation_moves_no_history() {
    // The last number there is must not make the search for the newest generation run for ever.
    for generation in [2, 7, u64::MAX - 1, u64::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        filled(&path, "k", 2);
        let planted = transcript(&path, "k", generation);
        fs::write(&planted, forge::header("k", 1)).unwrap();
        let first = fs::read(transcript(&path, "k", 1)).unwrap();
        for registry in ["kept", "removed"] {
            if registry == "removed" {
                fs::remove_file(path.join("registry.jsonl")).ok();
            }
            // Behind a hole in the numbers it is not met while the row says which generation is the newest.
            let appended = sessctl_with_input(&path, &["append", "k"], b"3\n");
            let met = generation == 2 || registry == "removed";
            assert_eq!(appended.code, Some(if met { 3 } else { 0 }), "{generation}, registry {registry}: {appended:?}");
            sessctl(&path, &["show", "--generation", "1", "k"]).expect(0);
            sessctl(&path, &["verify"]).expect(3);
        }
        assert!(fs::read(transcript(&path, "k", 1)).unwrap().starts_with(&first), "{generation}");
        assert_eq!(fs::read_to_string(&planted).unwrap(), forge::header("k", 1), "{generation}");
    }
}

#[test]
fn behind_the_last_generation_and_the_last_number_nothing_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path, "other", 1);
    // A generation that is closed and has no successor.
    let header = forge::header("k", u64::MAX);
    let seed = forge::stored(&header);
    let reset = forge::line(seed, (1, 0, seed), "mark", r#"{"mark":"reset","reason":""}"#);
    let last = transcript(&path, "k", u64::MAX);
    fs::write(&last, format!("{header}{reset}")).unwrap();
    sessctl_with_input(&path, &["append", "k"], b"1\n").expect(1);
    assert_eq!(fs::read_to_string(&last).unwrap(), format!("{header}{reset}"));
    // A repair's mark up to the last number: what came behind it no reader would take.
    let header = forge::header("full", 1);
    let seed = forge::stored(&header);
    let mark = format!(r#"{{"mark":"gap","from_seq":1,"to_seq":{}}}"#, u64::MAX);
    let gap = forge::line(seed, (u64::MAX, 0, seed), "mark", &mark);
    let full = transcript(&path, "full", 1);
    fs::write(&full, format!("{header}{gap}")).unwrap();
    let appended = sessctl_with_input(&path, &["append", "full"], b"1\n").expect(1);
    assert!(appended.stdout.is_empty(), "{appended:?}");
    assert_eq!(fs::read_to_string(&full).unwrap(), format!("{header}{gap}"));
    sessctl(&path, &["show", "full"]).expect(0);
    assert_eq!(crate::bodies_of(&path, "other"), crate::numbered_bodies(1..=1));
}
