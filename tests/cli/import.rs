//! `import` and `verify --against`: what they print, and what they exit with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Bench, finish, names, spawn};

const CHAT: &str = "{\"role\":\"user\",\"content\":\"hi\"}\n{\"role\":\"assistant\",\"content\":\"hello\"}\n";

fn source(bench: &Bench, name: &str, content: &str) -> PathBuf {
    let folder = bench.folder.path().join("sources");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), content).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn histories_are_imported_once() {
    let bench = Bench::new();
    let folder = source(&bench, "chat.jsonl", CHAT);
    let run = bench.run(&["import", "--dry-run", text(&folder)]).expect(0);
    assert!(run.stderr.starts_with("nothing was changed: 1 session (1 new), 2 lines, "), "{run:?}");
    assert!(!bench.store().exists());
    bench.run(&["verify", "--against", text(&folder)]).expect(6);
    let run = bench.run(&["import", text(&folder)]).expect(0);
    assert_eq!(run.stdout, format!("jsonl:chat generation 1: new, 4 records, {}/chat.jsonl\n", text(&folder)));
    assert_eq!(run.stderr, format!("1 session (1 new), 2 lines, {} bytes, 0 findings\n", CHAT.len()));
    assert_eq!(bench.run(&["context", "jsonl:chat"]).expect(0).stdout, CHAT);
    let run = bench.run(&["import", "--json", "--from", "jsonl", "--jobs", "1", text(&folder)]).expect(0);
    let sessions = run.of_type("session");
    let fields = [
        "bytes",
        "from",
        "generation",
        "key",
        "lines",
        "messages",
        "path",
        "raw_bytes",
        "raw_lines",
        "records",
        "salvaged",
        "state",
        "type",
    ];
    assert_eq!(names(&sessions[0]), fields);
    assert_eq!((&sessions[0]["state"], &sessions[0]["records"]), (&json!("unchanged"), &json!(0)));
    let summary = run.summary();
    let fields = [
        "bytes",
        "dry_run",
        "findings",
        "grown",
        "lines",
        "messages",
        "new",
        "next_generation",
        "not_imported",
        "passed_over",
        "raw_bytes",
        "raw_lines",
        "records",
        "salvaged",
        "sources",
        "status",
        "type",
        "unchanged",
    ];
    assert_eq!(names(&summary), fields);
    assert_eq!(
        (&summary["sources"], &summary["unchanged"], &summary["status"]),
        (&json!(1), &json!(1), &json!("done"))
    );
    let run = bench.run(&["verify", "--against", text(&folder)]).expect(0);
    assert!(run.stdout.starts_with("jsonl:chat generation 1: kept, "), "{run:?}");
    assert_eq!(run.stderr, format!("sound: 1 session, {} bytes, 0 findings\n", CHAT.len()));
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn damage_that_is_kept_is_told_and_no_failure() {
    let bench = Bench::new();
    let folder = source(&bench, "chat.jsonl", &format!("{CHAT}{{\"role\":\"us"));
    let run = bench.run(&["import", "--json", text(&folder)]).expect(0);
    let findings = run.of_type("finding");
    let fields = ["bytes", "defect", "kept", "key", "line", "mend", "offset", "path", "salvaged", "type"];
    assert_eq!(names(&findings[0]), fields);
    let finding = &findings[0];
    assert_eq!((&finding["defect"], &finding["line"], &finding["kept"]), (&json!("torn"), &json!(3), &json!(true)));
    assert_eq!((&finding["offset"], &finding["bytes"]), (&json!(CHAT.len()), &json!(11)));
    let summary = run.summary();
    assert_eq!(
        (&summary["findings"], &summary["raw_lines"], &summary["raw_bytes"]),
        (&json!(1), &json!(1), &json!(11))
    );
    bench.run(&["verify", "--against", text(&folder)]).expect(0);
    let run = bench.run(&["import", "--key-prefix", "x:", text(&folder)]).expect(0);
    let line = format!(
        "torn: {}/chat.jsonl, line 3 at byte {}, 11 bytes, kept as bytes, 0 records read of it",
        text(&folder),
        CHAT.len()
    );
    assert_eq!(run.stdout.lines().nth(1), Some(line.as_str()));
}

#[test]
fn what_is_not_imported_is_a_failure() {
    let bench = Bench::new();
    let folder = source(&bench, "chat.jsonl", CHAT);
    source(&bench, "notes.jsonl", "no history\n");
    let gone = folder.join("gone");
    let run = bench.run(&["import", "--json", text(&gone), text(&folder)]).expect(1);
    let defects: Vec<_> = run.of_type("finding").iter().map(|finding| finding["defect"].clone()).collect();
    assert_eq!(defects, ["unreadable", "not-a-history"]);
    assert_eq!((&run.summary()["new"], &run.summary()["not_imported"]), (&json!(1), &json!(2)));
    // A comparison calls missing what is missing.
    fs::remove_file(folder.join("notes.jsonl")).unwrap();
    fs::write(folder.join("chat.jsonl"), format!("{CHAT}{CHAT}")).unwrap();
    let run = bench.run(&["verify", "--against", text(&folder)]).expect(3);
    assert!(run.stdout.starts_with("missing: "), "{run:?}");
    bench.run(&["import", "--from", "nonsense", text(&folder)]).expect(2);
    bench.run(&["import"]).expect(2);
    bench.run(&["verify", "--against", text(&folder), "--deep"]).expect(2);
}

#[test]
fn a_key_that_was_appended_to_is_left_alone() {
    let bench = Bench::new();
    bench.feed(&["append", "jsonl:chat"], b"{\"own\":1}\n").expect(0);
    let folder = source(&bench, "chat.jsonl", CHAT);
    let before = bench.content();
    let run = bench.run(&["import", text(&folder)]).expect(1);
    assert!(run.stdout.starts_with("key-taken: "), "{run:?}");
    assert!(bench.content() == before);
}

#[test]
fn a_source_is_known_by_where_it_is() {
    let bench = Bench::new();
    let import_in = |folder: &Path, path: &str| {
        finish(spawn(bench.command(&["import", "--json", path]).current_dir(bench.folder.path().join(folder))))
    };
    for name in ["a", "b"] {
        fs::create_dir(bench.folder.path().join(name)).unwrap();
    }
    let (a, b) = (bench.folder.path().join("a/chat.jsonl"), bench.folder.path().join("b/chat.jsonl"));
    fs::write(&a, CHAT).unwrap();
    import_in(Path::new("a"), "chat.jsonl").expect(0);
    // Spelled the same, another file: whether it holds something else or goes on where the first ends.
    for other in [CHAT.replace("hello", "good bye"), format!("{CHAT}{CHAT}")] {
        fs::write(&b, other).unwrap();
        let run = import_in(Path::new("b"), "chat.jsonl").expect(1);
        assert_eq!(run.of_type("finding")[0]["defect"], "key-taken");
    }
    // The same bytes are there, whoever has them.
    fs::write(&b, CHAT).unwrap();
    assert_eq!(import_in(Path::new("b"), "chat.jsonl").expect(0).summary()["unchanged"], 1);
    // Spelled otherwise, the same file.
    fs::write(&a, format!("{CHAT}{CHAT}")).unwrap();
    assert_eq!(import_in(Path::new("b"), "../a/chat.jsonl").expect(0).summary()["grown"], 1);
    fs::write(&a, CHAT.replace("hello", "good bye")).unwrap();
    assert_eq!(import_in(Path::new("b"), text(&a)).expect(0).summary()["next_generation"], 1);
}

#[test]
fn a_session_that_somebody_writes_to_is_busy() {
    let bench = Bench::new();
    let folder = source(&bench, "chat.jsonl", CHAT);
    bench.run(&["import", text(&folder)]).expect(0);
    let mut running = bench.start(&["append", "jsonl:chat"]);
    running.send("{\"own\":1}\n");
    running.line();
    source(&bench, "chat.jsonl", &format!("{CHAT}{CHAT}"));
    source(&bench, "other.jsonl", CHAT);
    let run = bench.run(&["import", "--json", text(&folder)]).expect(5);
    assert_eq!(run.summary()["new"], 1, "the others are imported");
    assert!(running.end().success());
    let run = bench.run(&["import", "--json", text(&folder)]).expect(0);
    assert_eq!(run.of_type("finding")[0]["defect"], "went-on");
    assert_eq!(run.summary()["grown"], 1);
    assert_eq!(bench.run(&["context", "jsonl:chat"]).expect(0).stdout, format!("{CHAT}{{\"own\":1}}\n{CHAT}"));
}
