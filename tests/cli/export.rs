//! `sessctl export`: streams, files, exit status.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

const KEY: &str = "telegram:42";

fn bench() -> Bench {
    let bench = Bench::new();
    let bodies = b"{\"role\":\"user\",\"content\":\"hi\"}\n{\"role\":\"assistant\",\"content\":\"hello\"}\n";
    bench.feed(&["append", KEY], bodies).expect(0);
    bench
}

#[test]
fn every_format_goes_to_standard_output() {
    let bench = bench();
    for (format, begins) in [
        ("jsonl", "{\"role\":\"user\""),
        ("markdown", "# telegram:42\n"),
        ("html", "<!doctype html>"),
        ("openai", "{\"messages\":["),
        ("pi", "{\"type\":\"session\",\"version\":3,"),
    ] {
        let run = bench.run(&["export", KEY, "--as", format]).expect(0);
        assert!(run.stdout.starts_with(begins) && run.stdout.contains("hello"), "{run:?}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_and_private() {
    let bench = bench();
    let path = bench.folder.path().join("page.html");
    let file = path.to_str().unwrap();
    let run = bench.run(&["export", KEY, "--as", "html", "--output", file]).expect(0);
    assert_eq!((&*run.stdout, &*run.stderr), ("", ""));
    let before = fs::metadata(&path).unwrap();
    assert_eq!(before.permissions().mode() & 0o777, 0o600);
    bench.run(&["export", KEY, "--as", "html", "--output", file]).expect(0);
    assert_ne!(fs::metadata(&path).unwrap().ino(), before.ino());
    let summary = bench.run(&["--json", "export", KEY, "--as", "jsonl", "--output", file]).expect(0).summary();
    assert_eq!((&summary["records"], &summary["generation"], &summary["gaps"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    let nowhere = bench.folder.path().join("none/page.html");
    bench.run(&["export", KEY, "--as", "html", "--output", nowhere.to_str().unwrap()]).expect(1);
}

#[test]
fn damage_is_exit_3_and_what_is_readable_is_exported() {
    let bench = bench();
    bench.damage(KEY, 1);
    for format in ["jsonl", "markdown", "html", "openai", "pi"] {
        let run = bench.run(&["export", KEY, "--as", format]).expect(3);
        assert!(run.stdout.contains("hello") && run.stderr.starts_with("gap: checksum at byte"), "{run:?}");
        let is_shown = run.stdout.contains("record 1 lost");
        assert_eq!(is_shown, matches!(format, "markdown" | "html"), "{run:?}");
    }
}

#[test]
fn records_behind_a_bad_header_are_exported() {
    let bench = bench();
    let path = bench.transcript(KEY, 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
    for format in ["jsonl", "markdown", "html", "openai", "pi"] {
        let run = bench.run(&["export", KEY, "--as", format]).expect(3);
        assert!(run.stdout.contains("hello") && run.stderr.starts_with("gap: header at byte 0"), "{run:?}");
    }
}

#[test]
fn usage_and_absence_have_their_codes() {
    let bench = bench();
    bench.run(&["export", KEY]).expect(2);
    bench.run(&["export", KEY, "--as", "docx"]).expect(2);
    let run = bench.run(&["--json", "export", KEY, "--as", "html"]).expect(2);
    assert!(run.stderr.contains("--output"), "{run:?}");
    bench.run(&["export", "nobody", "--as", "html"]).expect(6);
    bench.run(&["export", KEY, "--as", "html", "--generation", "2"]).expect(6);
    bench.run(&["reset", KEY]).expect(0);
    let run = bench.run(&["export", KEY, "--as", "openai"]).expect(0);
    assert!(run.stdout.contains("hello"), "a closed generation is shown as it was: {run:?}");
}

#[test]
fn redaction_says_how_many_of_which_kind() {
    let bench = bench();
    let token = format!("{}{}", "ghp_", "q7Rk2ZpX9vBn4LsW8yTd3HfJ6mCgQ5xV1aEu");
    let body = format!("{{\"role\":\"user\",\"content\":\"{token} and {token}\"}}\n");
    bench.feed(&["append", KEY], body.as_bytes()).expect(0);
    let run = bench.run(&["export", KEY, "--as", "jsonl", "--redact"]).expect(0);
    assert!(!run.stdout.contains(&token), "{run:?}");
    assert_eq!(run.stderr, "2 secrets redacted: GitHub token 2\n");
    let run = bench.run(&["export", KEY, "--as", "jsonl"]).expect(0);
    assert!(run.stdout.contains(&token) && run.stderr.is_empty(), "{run:?}");
}

#[test]
fn the_active_view_leaves_out_what_was_undone() {
    let bench = bench();
    bench.run(&["undo", KEY]).expect(0);
    let run = bench.run(&["export", KEY, "--as", "jsonl", "--active"]).expect(0);
    assert_eq!(run.stdout, "{\"role\":\"user\",\"content\":\"hi\"}\n");
    assert!(bench.run(&["export", KEY, "--as", "html"]).expect(0).stdout.contains("not in the active view"));
}

#[test]
fn an_export_writes_nothing_to_the_store() {
    let bench = bench();
    let before = everything(&bench.store());
    bench.run(&["export", KEY, "--as", "html"]).expect(0);
    assert_eq!(everything(&bench.store()), before);
}

#[test]
fn what_was_imported_comes_back_byte_for_byte() {
    let bench = Bench::new();
    let histories = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/histories/pi");
    let mut files: Vec<_> = fs::read_dir(histories).unwrap().map(|entry| entry.unwrap().path()).collect();
    let source = files.pop().unwrap();
    assert!(files.is_empty(), "one history of pi");
    bench.run(&["import", "--from", "pi", source.to_str().unwrap()]).expect(0);
    let key = bench.run(&["--json", "list"]).expect(0).of_type("session")[0]["key"].as_str().unwrap().to_owned();
    let run = bench.run(&["export", &key, "--as", "as-imported"]).expect(0);
    assert_eq!(run.stdout.as_bytes(), fs::read(&source).unwrap());
    assert_eq!(bench.run(&["export", &key, "--as", "pi"]).expect(0).stdout, run.stdout, "and so pi gets its file back");
    for option in ["--redact", "--active"] {
        let refused = bench.run(&["export", &key, "--as", "as-imported", option]).expect(2);
        assert!(refused.stderr.contains("would not be the original"), "{refused:?}");
    }
    let own = self::bench();
    let refused = own.run(&["export", KEY, "--as", "as-imported"]).expect(1);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("was not imported"), "{refused:?}");
    let file = bench.folder.path().join("kept");
    fs::write(&file, "before").unwrap();
    bench.damage(&key, 2);
    bench.run(&["export", &key, "--as", "as-imported", "--output", file.to_str().unwrap()]).expect(3);
    assert_eq!(fs::read_to_string(&file).unwrap(), "before", "half a file replaces nothing");
}
