//! Commands that only look: `list`, `show`, `tail`, `info`, `path`, `verify`.

use std::fs;

use serde_json::json;

use super::{Bench, names};

pub(super) const SESSION: [&str; 20] = [
    "bytes",
    "created",
    "durable_seq",
    "generation",
    "id",
    "key",
    "labels",
    "last_crc",
    "last_seq",
    "parent",
    "path",
    "pending",
    "records",
    "resume_attempts",
    "state",
    "suspended",
    "title",
    "turn",
    "type",
    "updated",
];

#[test]
fn what_is_not_there_is_6_and_is_not_made() {
    let bench = Bench::new();
    for args in [
        &["list"][..],
        &["show", "k"],
        &["tail", "k"],
        &["tail", "-f", "k"],
        &["info", "k"],
        &["path", "k"],
        &["verify"],
        &["rebuild-index"],
        &["rebuild-index", "--dry-run"],
        &["repair", "k"],
        &["repair", "k", "--dry-run"],
    ] {
        let run = bench.run(args).expect(6);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(run.stderr.starts_with("error: no store at "), "{}", run.stderr);
        assert!(run.stderr.contains("\nhint: "), "{}", run.stderr);
    }
    assert!(!bench.store().exists());
    bench.feed(&["append", "there"], b"1\n").expect(0);
    for command in ["show", "tail", "info", "path", "verify", "repair"] {
        let run = bench.run(&["--json", command, "k"]).expect(6);
        let errors = run.of_type("error");
        assert_eq!(names(&errors[0]), ["caused_by", "error", "hint", "type"]);
        assert_eq!(errors[0]["error"], "no session \"k\"");
        assert_eq!(run.summary()["status"], "not-found");
        assert_eq!(run.stderr, "");
    }
    bench.run(&["show", "there", "--generation", "2"]).expect(6);
}

#[test]
fn usage_errors_are_2() {
    let bench = Bench::new();
    for args in [&[][..], &["lost"], &["show"], &["list", "--active", "soon"], &["append", "--kind", "x"]] {
        let run = bench.run(args).expect(2);
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains("Usage:") || run.stderr.starts_with("error:"), "{}", run.stderr);
    }
    let help = bench.run(&["repair", "--help"]).expect(0);
    assert!(help.stdout.contains("\nExit status:\n  0  sound or done\n"), "{}", help.stdout);
}

#[test]
fn the_store_is_found_by_name_by_environment_and_by_default() {
    let bench = Bench::with_records("k", 1);
    let data = tempfile::tempdir().unwrap();
    fs::rename(bench.store(), data.path().join("sesslog")).unwrap();
    let run = |name: &str, value: &std::path::Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sessctl"));
        command.env_clear().env(name, value).args(["show", "k"]);
        super::spawn(command.stdout(std::process::Stdio::piped())).wait_with_output().unwrap()
    };
    assert_eq!(run("SESSLOG_STORE", &data.path().join("sesslog")).stdout, b"{\"n\":1}\n");
    assert_eq!(run("XDG_DATA_HOME", data.path()).stdout, b"{\"n\":1}\n");
    fs::create_dir_all(data.path().join(".local/share")).unwrap();
    fs::rename(data.path().join("sesslog"), data.path().join(".local/share/sesslog")).unwrap();
    assert_eq!(run("HOME", data.path()).stdout, b"{\"n\":1}\n");
}

#[test]
fn list_sorts_selects_and_limits() {
    let bench = Bench::new();
    let input = r#"{"key":"old","ts":"2020-01-01T00:00:00.000Z","body":"a long body, longer than the others"}
{"key":"b","ts":"2021-01-01T00:00:00.000Z","body":1}
{"key":"a","ts":"2022-01-01T00:00:00.000Z","body":1}
"#;
    bench.feed(&["append"], input.as_bytes()).expect(0);
    bench.feed(&["append", "now"], b"1\n2\n").expect(0);
    let keys = |args: &[&str]| -> Vec<String> {
        let run = bench.run(&[&["list", "--json"], args].concat()).expect(0);
        let sessions = run.of_type("session");
        assert!(sessions.iter().all(|session| names(session) == SESSION), "{sessions:?}");
        assert_eq!(run.summary()["sessions"], sessions.len());
        sessions.iter().map(|session| session["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&[]), ["now", "a", "b", "old"]);
    assert_eq!(keys(&["--limit", "2"]), ["now", "a"]);
    assert_eq!(keys(&["--sort", "key"]), ["a", "b", "now", "old"]);
    assert_eq!(keys(&["--sort", "bytes"])[..2], ["now", "old"]);
    assert_eq!(keys(&["--active", "7d"]), ["now"]);
    assert_eq!(keys(&["--state", "closed"]), Vec::<String>::new());
    let text = bench.run(&["list"]).expect(0).stdout;
    let columns: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(columns[0][..4], ["now", "1", "open", "2"]);
    assert_eq!(columns[3][0], "old");
    assert_eq!(columns[3][5], "2020-01-01T00:00:00.000Z");
    assert_eq!(Bench::of_fixture("two-generations").run(&["list"]).expect(0).stdout.lines().count(), 1);
}

#[test]
fn generations_are_told_apart() {
    let bench = Bench::of_fixture("two-generations");
    let key = "telegram:two-generations";
    let sessions = bench.run(&["list", "--all-generations", "--sort", "key", "--json"]).expect(0).of_type("session");
    let states: Vec<_> = sessions.iter().map(|row| (row["generation"].clone(), row["state"].clone())).collect();
    assert_eq!(states, [(json!(2), json!("open")), (json!(1), json!("closed"))]);
    assert_eq!(bench.run(&["list", "--state", "closed"]).expect(0).stdout, "");
    for generation in ["1", "2"] {
        let path = bench.run(&["path", key, "--generation", generation]).expect(0).stdout;
        assert!(path.ends_with(&format!(".{generation}.jsonl\n")), "{path}");
        let records = bench.run(&["show", key, "--generation", generation, "--json"]).expect(0).of_type("record");
        let number: u64 = generation.parse().unwrap();
        assert!(!records.is_empty() && records.iter().all(|record| record["generation"] == number), "{records:?}");
    }
    let path = bench.run(&["path", key]).expect(0).stdout;
    assert_eq!(path.trim_end(), bench.transcript(key, 2).to_str().unwrap());
}

#[test]
fn show_selects_records() {
    let bench = Bench::new();
    bench.feed(&["append", "k"], b"1\n2\n").expect(0);
    bench.feed(&["append", "k"], b"3\n4\n").expect(0);
    let show = |args: &[&str]| bench.run(&[&["show", "k"], args].concat()).expect(0).stdout;
    assert_eq!(show(&[]), "1\n2\n3\n4\n");
    assert_eq!(show(&["--tail", "2"]), "3\n4\n");
    assert_eq!(show(&["--tail", "2", "--generation", "1"]), "3\n4\n");
    assert_eq!(show(&["--tail", "0"]), "");
    assert_eq!(show(&["--tail", "9"]), "1\n2\n3\n4\n");
    assert_eq!(show(&["--from", "2"]), "2\n3\n4\n");
    let whole = fs::read_to_string(bench.transcript("k", 1)).unwrap();
    assert_eq!(show(&["--marks", "--frames"]), whole);
    let marks = show(&["--marks"]);
    assert_eq!(marks.lines().filter(|line| line.contains("\"mark\":\"sealed\"")).count(), 1, "{marks}");
    let mut frames = whole.lines().filter(|line| line.contains("\"kind\":\"message\""));
    assert!(show(&["--frames"]).lines().eq(frames.by_ref()));
    let run = bench.run(&["show", "k", "--marks", "--frames", "--json"]).expect(0);
    let lines: Vec<_> =
        run.of_type("record").iter().map(|record| record["frame"].as_str().unwrap().to_owned()).collect();
    assert!(whole.lines().eq(&lines));
}

#[test]
fn info_and_path_have_their_shape() {
    let bench = Bench::with_records("k", 3);
    let sessions = bench.run(&["info", "k", "--json"]).expect(0).of_type("session");
    let mut expected = SESSION.to_vec();
    expected.push("file_bytes");
    expected.sort_unstable();
    assert_eq!(names(&sessions[0]), expected);
    assert_eq!(sessions[0]["records"], 3);
    assert_eq!(sessions[0]["last_seq"], 3);
    assert_eq!(sessions[0]["file_bytes"], sessions[0]["bytes"]);
    let text = bench.run(&["info", "k"]).expect(0).stdout;
    assert!(text.contains("records      3\n"), "{text}");
    let path = bench.run(&["path", "k", "--json"]).expect(0).of_type("session");
    assert_eq!(path[0]["path"], sessions[0]["path"]);
    assert_eq!(names(&path[0]), ["generation", "key", "path", "type"]);
}

#[test]
fn damage_shows_as_gaps_and_never_hides_a_good_record() {
    let bench = Bench::with_records("k", 4);
    bench.damage("k", 2);
    let run = bench.run(&["show", "k"]).expect(3);
    assert_eq!(run.stdout, "{\"n\":1}\n{\"n\":3}\n{\"n\":4}\n");
    assert!(run.stderr.starts_with("gap: checksum at byte "), "{}", run.stderr);
    assert!(run.stderr.contains("record 2 lost"), "{}", run.stderr);
    let run = bench.run(&["show", "k", "--json"]).expect(3);
    let types: Vec<_> = run.objects().iter().map(|object| object["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["record", "gap", "record", "record", "summary"]);
    let gaps = run.of_type("gap");
    assert_eq!(
        names(&gaps[0]),
        ["bytes", "defect", "from_seq", "generation", "key", "offset", "seq", "to_seq", "type"]
    );
    assert_eq!((&gaps[0]["from_seq"], &gaps[0]["to_seq"]), (&json!(2), &json!(2)));
    bench.run(&["show", "k", "--from", "3"]).expect(0);
    bench.run(&["tail", "k", "-n", "2"]).expect(0);
    bench.run(&["tail", "k", "-n", "3"]).expect(3);
}

#[test]
fn what_can_not_be_listed_is_told() {
    let bench = Bench::of_fixture("unknown-format");
    let run = bench.run(&["list"]).expect(1);
    assert!(run.stderr.contains("has format "), "{}", run.stderr);
    let bench = Bench::of_fixture("bad-header-bit");
    let run = bench.run(&["list", "--json"]).expect(3);
    assert_eq!(run.of_type("error").len(), 1);
    assert_eq!(run.summary()["unreadable"], 1);
}

#[test]
fn no_key_and_no_title_talks_to_the_terminal() {
    let bench = Bench::new();
    let key = "a\u{1b}]0;evil\u{7}\n\u{9b}2J\u{202e}b";
    let line = json!({"key": key, "body": 1}).to_string();
    let run = bench.feed(&["append"], line.as_bytes()).expect(0);
    let listed = bench.run(&["list"]).expect(0);
    let info = bench.run(&["info", key]).expect(0);
    bench.damage_any();
    let shown = bench.run(&["verify"]).expect(3);
    let refused = bench.feed(&["append", key], b"1\n").expect(3);
    let missing = bench.run(&["show", "\u{1b}[31mred"]).expect(6);
    for run in [&run, &listed, &info, &shown, &refused, &missing] {
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        }
    }
    assert_eq!(listed.stdout.lines().count(), 1);
    let sessions = bench.run(&["list", "--json"]).expect(0).of_type("session");
    assert_eq!(sessions[0]["key"], key);
}

impl Bench {
    /// Flips a bit in the last record of the only transcript.
    fn damage_any(&self) {
        let (path, mut bytes) = self.content().pop().unwrap();
        let at = bytes.len() - 30;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}
