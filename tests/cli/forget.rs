//! Forgetting: `delete` and `prune`, told first and then done, and that nothing else forgets.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sesslog::{KEEP_LABEL, SessionKey};

use super::marks::HOSTILE;
use super::{Bench, Run, everything, names};

const FATE: [&str; 7] = ["bytes", "deleted", "generation", "key", "noted", "trash", "type"];

impl Bench {
    /// Sessions `k` with two generations and `other`.
    pub(super) fn with_two_generations() -> Self {
        let bench = Self::with_records("k", 2);
        bench.run(&["reset", "k"]).expect(0);
        bench.feed(&["append", "k"], b"\"anew\"\n").expect(0);
        bench.feed(&["append", "other"], b"1\n").expect(0);
        bench
    }

    /// Sessions `h0` to `h9`, last used in those hours of some day long ago.
    fn aged() -> Self {
        let bench = Self::new();
        let line = |hour| format!("{{\"key\":\"h{hour}\",\"ts\":\"2020-01-01T0{hour}:00:00.000Z\",\"body\":1}}\n");
        bench.feed(&["append"], (0..10).map(line).collect::<String>().as_bytes()).expect(0);
        bench
    }

    pub(super) fn registry(&self) -> PathBuf {
        self.store().join("registry.jsonl")
    }

    /// Names of what is in the trash.
    pub(super) fn trashed(&self) -> Vec<String> {
        let lines = self.run(&["trash", "list", "--json"]).expect(0).of_type("trash");
        lines.iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs a command that must fail, as text and as JSON, and gives what the text says.
    #[track_caller]
    pub(super) fn fails(&self, args: &[&str], code: i32, error: &str, hint: &str) {
        let run = self.run(args).expect(code);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(run.stderr.contains(error), "{}", run.stderr);
        assert!(run.stderr.ends_with(&format!("\nhint: {hint}\n")), "{}", run.stderr);
        let json = self.run(&[&["--json"], args].concat()).expect(code);
        let errors = json.of_type("error");
        assert!(errors[0]["error"].as_str().unwrap().contains(error), "{errors:?}");
        assert_eq!(errors[0]["hint"], hint);
    }
}

/// The transcripts of a key, wherever they are.
pub(super) fn of(files: &[(PathBuf, Vec<u8>)], folder: &Path, key: &str) -> Vec<Vec<u8>> {
    let stem = SessionKey::new(key).unwrap().file_stem();
    let is_one = |path: &Path| {
        path.parent() == Some(folder) && path.file_name().unwrap().to_string_lossy().starts_with(&format!("{stem}."))
    };
    files.iter().filter(|(path, _)| is_one(path)).map(|(_, bytes)| bytes.clone()).collect()
}

fn fates(run: &Run) -> Vec<(Value, Value, Value)> {
    run.of_type("session").iter().map(|it| (it["key"].clone(), it["generation"].clone(), it["kept"].clone())).collect()
}

#[test]
fn a_delete_is_told_first_then_done_and_comes_back_byte_for_byte() {
    let bench = Bench::with_two_generations();
    let (transcripts, trash) = (bench.store().join("transcripts"), bench.store().join("trash"));
    let before = everything(&bench.store());
    let sizes: Vec<_> = of(&before, &transcripts, "k").iter().map(Vec::len).collect();
    let plan = bench.run(&["delete", "k", "--dry-run"]).expect(0);
    let would = |generation: usize, how: &str| {
        format!("k generation {generation}: would be deleted{how}, {} bytes\n", sizes[generation - 1])
    };
    assert_eq!((plan.stdout, plan.stderr.as_str()), (would(1, "") + &would(2, ""), ""));
    let text = bench.run(&["delete", "k", "--dry-run", "--purge", "--generation", "2"]).expect(0).stdout;
    assert_eq!(text, would(2, " for good"));
    let plan = bench.run(&["delete", "k", "--dry-run", "--json"]).expect(0);
    assert!(everything(&bench.store()) == before, "a dry run wrote something");
    let done = bench.run(&["delete", "k", "--json"]).expect(0);
    for (run, deleted) in [(&plan, false), (&done, true)] {
        let bytes: usize = sizes.iter().sum();
        let expected = json!({"type": "summary", "key": "k", "named": 2, "bytes": bytes,
            "deleted": if deleted { 2 } else { 0 }, "dry_run": !deleted, "status": "done"});
        assert_eq!(run.summary(), expected);
        for (session, generation) in run.of_type("session").iter().zip(1..) {
            assert_eq!(
                [&session["generation"], &session["bytes"], &session["deleted"], &session["noted"]],
                [&json!(generation), &json!(sizes[generation - 1]), &json!(deleted), &json!(deleted)]
            );
            assert_eq!(session["trash"].is_string(), deleted);
        }
    }
    assert_eq!(names(&done.of_type("session")[0]), FATE);
    assert_eq!(plan.of_type("session")[0]["running"], false);

    let there = everything(&bench.store());
    assert_eq!(of(&there, &transcripts, "k"), Vec::<Vec<u8>>::new());
    assert_eq!(of(&there, &trash, "k"), of(&before, &transcripts, "k"));
    assert_eq!(bench.keys(&["--all-generations"]), ["other"]);
    bench.run(&["show", "k"]).expect(6);
    bench.run(&["verify", "--deep"]).expect(0);

    let listed = bench.run(&["trash", "list", "--json"]).expect(0);
    assert_eq!(names(&listed.of_type("trash")[0]), ["bytes", "deleted", "generation", "key", "name", "type"]);
    assert_eq!(names(&listed.summary()), ["bytes", "status", "transcripts", "type"]);
    let text = bench.run(&["trash", "list"]).expect(0).stdout;
    let cells: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    for ((line, row), (told, generation)) in
        cells.iter().zip(listed.of_type("trash")).zip(done.of_type("session").iter().zip(1..))
    {
        assert_eq!((&row["key"], &row["generation"], &row["name"]), (&json!("k"), &json!(generation), &told["trash"]));
        let number = generation.to_string();
        let bytes = row["bytes"].to_string();
        let (deleted, name) = (row["deleted"].as_str().unwrap(), row["name"].as_str().unwrap());
        assert_eq!(*line, ["k", &number, &bytes, deleted, name]);
    }

    let before_restore = everything(&bench.store());
    let plan = bench.run(&["trash", "restore", "k", "--dry-run"]).expect(0).stdout;
    let names_there = bench.trashed();
    let line = |will: &str, at: usize| format!("k generation {}: {will}restored from {}\n", at + 1, names_there[at]);
    assert_eq!(plan, line("would be ", 0) + &line("would be ", 1));
    let plan = bench.run(&["trash", "restore", "k", "--dry-run", "--json"]).expect(0);
    assert!(everything(&bench.store()) == before_restore, "a dry run wrote something");
    assert_eq!(bench.run(&["trash", "restore", &names_there[1]]).expect(0).stdout, line("", 1));
    let done = bench.run(&["trash", "restore", "k", "--json"]).expect(0);
    assert_eq!((plan.of_type("trash").len(), done.of_type("trash").len()), (2, 1));
    assert_eq!(
        (&plan.of_type("trash")[0]["restored"], &done.of_type("trash")[0]["restored"]),
        (&false.into(), &true.into())
    );
    assert_eq!(names(&done.summary()), ["bytes", "dry_run", "failed", "status", "transcripts", "type"]);
    let after = everything(&bench.store());
    assert_eq!(of(&after, &transcripts, "k"), of(&before, &transcripts, "k"));
    assert_eq!(of(&after, &trash, "k"), Vec::<Vec<u8>>::new());
    assert_eq!(bench.run(&["show", "k", "--generation", "1"]).expect(0).stdout, "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(bench.feed(&["append", "k"], b"2\n").expect(0).stdout, "k 2\n");
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_purge_leaves_nothing_and_the_key_begins_anew() {
    let bench = Bench::with_two_generations();
    let bytes = fs::metadata(bench.transcript("k", 1)).unwrap().len();
    let text = bench.run(&["delete", "k", "--generation", "1", "--purge"]).expect(0).stdout;
    assert_eq!(text, format!("k generation 1: deleted for good, {bytes} bytes\n"));
    assert_eq!(
        (bench.trashed().len(), bench.keys(&["--all-generations"])),
        (0, vec!["k".to_owned(), "other".to_owned()])
    );
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "\"anew\"\n");
    let run = bench.run(&["delete", "k", "--purge", "--json"]).expect(0);
    assert_eq!((&run.of_type("session")[0]["trash"], &run.summary()["deleted"]), (&Value::Null, &json!(1)));
    assert_eq!(bench.feed(&["append", "k"], b"1\n").expect(0).stdout, "k 1\n");
    assert_eq!(bench.session("k")["generation"], 1);
    bench.run(&["verify", "--deep"]).expect(0);
    // What was deleted when says the store's own session.
    let marks = bench.run(&["info", "~trash"]).expect(0).stdout;
    assert!(marks.contains("  deleted  k generation 1, for good\n"), "{marks}");
}

#[test]
fn a_registry_from_before_brings_nothing_back() {
    for purge in [&[][..], &["--purge"]] {
        let bench = Bench::with_two_generations();
        let stale = fs::read(bench.registry()).unwrap();
        bench.run(&[&["delete", "k"], purge].concat()).expect(0);
        fs::write(bench.registry(), &stale).unwrap();
        bench.run(&["verify"]).expect(0);
        assert_eq!(bench.keys(&["--all-generations"]), ["other"]);
        bench.run(&["delete", "k"]).expect(6);
        bench.run(&["rebuild-index"]).expect(0);
        bench.run(&["trash", "empty"]).expect(0);
        fs::write(bench.registry(), &stale).unwrap();
        bench.run(&["verify"]).expect(0);
        assert_eq!(bench.feed(&["append", "k"], b"1\n").expect(0).stdout, "k 1\n");
        assert_eq!(bench.session("k")["generation"], 1);
        // And what is lost is a loss.
        fs::remove_file(bench.transcript("other", 1)).unwrap();
        fs::write(bench.registry(), &stale).unwrap();
        bench.run(&["verify"]).expect(3);
        bench.run(&["delete", "other"]).expect(3);
    }
}

#[test]
fn what_somebody_writes_to_is_not_deleted() {
    let bench = Bench::with_two_generations();
    let mut writer = bench.start(&["append", "k"]);
    writer.send("1\n");
    writer.line();
    let before = bench.content();
    for args in [&["delete", "k"][..], &["delete", "k", "--purge", "--generation", "1"]] {
        let run = bench.run(args).expect(5);
        assert!(run.stderr.contains("\nhint: wait for it with --wait SECONDS, or stop process "), "{}", run.stderr);
        let json = bench.run(&[&["--json"], args].concat()).expect(5);
        assert_eq!((&json.summary()["deleted"], &json.summary()["status"]), (&json!(0), &json!("busy")));
    }
    let plan = bench.run(&["delete", "k", "--dry-run", "--json"]).expect(0);
    assert!(plan.of_type("session").iter().all(|session| session["running"] == true), "{plan:?}");
    let plan = bench.run(&["delete", "k", "--dry-run"]).expect(0).stdout;
    assert!(plan.lines().all(|line| line.ends_with(" bytes, but somebody writes to it")), "{plan}");
    assert!(bench.content() == before, "a refusal changed something");
    let waiting = bench.start(&["delete", "k", "--wait", "600"]);
    assert!(writer.end().success());
    assert_eq!(waiting.wait().expect(0).stdout.lines().count(), 2);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn each_rule_names_the_oldest() {
    let bench = Bench::aged();
    let before = everything(&bench.store());
    let named = |rules: &[&str]| {
        let run = bench.run(&[&["prune", "--dry-run", "--json"], rules].concat()).expect(0);
        let sessions = run.of_type("session");
        assert_eq!((&run.summary()["named"], &run.summary()["deleted"]), (&json!(sessions.len()), &json!(0)));
        sessions.iter().map(|session| session["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named(&["--keep-newest", "8"]), ["h0", "h1"]);
    let bytes = fs::metadata(bench.transcript("h0", 1)).unwrap().len();
    assert_eq!(named(&["--max-bytes", &(bytes * 7).to_string()]), ["h0", "h1", "h2"]);
    assert_eq!(named(&["--older-than", "1h"]).len(), 10);
    assert!(named(&["--older-than", "5000w"]).is_empty());
    assert_eq!(named(&["--keep-newest", "9", "--max-bytes", &(bytes * 7).to_string()]).len(), 3);
    let plan = bench.run(&["prune", "--keep-newest", "9", "--dry-run"]).expect(0);
    let line = format!("h0 generation 1: would be deleted, {bytes} bytes, last active 2020-01-01T00:00:00.000Z\n");
    assert_eq!((plan.stdout, plan.stderr), (line, format!("1 session would be deleted, {bytes} bytes, 0 kept\n")));
    assert!(everything(&bench.store()) == before, "a dry run wrote something");

    let run = bench.run(&["prune", "--keep-newest", "9", "--json"]).expect(0);
    let mut fields = FATE.to_vec();
    fields.extend(["kept", "updated"]);
    fields.sort_unstable();
    assert_eq!(names(&run.of_type("session")[0]), fields);
    let expected = json!({"type": "summary", "named": 1, "bytes": bytes, "deleted": 1, "dry_run": false, "kept": 0,
        "failed": 0, "unreadable": 0, "status": "done"});
    assert_eq!(run.summary(), expected);
    let run = bench.run(&["prune", "--keep-newest", "8"]).expect(0);
    let line = format!("h1 generation 1: deleted, {bytes} bytes, in the trash as {}, last active ", bench.trashed()[1]);
    assert!(run.stdout.starts_with(&line), "{}", run.stdout);
    let run = bench.run(&["prune", "--keep-newest", "7", "--purge"]).expect(0);
    assert!(run.stdout.starts_with("h2 generation 1: deleted for good, "), "{}", run.stdout);
    assert_eq!((bench.trashed().len(), bench.keys(&[]).len()), (2, 7));
    bench.run(&["verify"]).expect(0);
}

#[test]
fn what_is_in_use_or_to_be_kept_stays() {
    let bench = Bench::aged();
    bench.run(&["mark", "h1", "resume-pending", "--reason", "restart"]).expect(0);
    bench.run(&["mark", "h2", "suspend", "--reason", "loops"]).expect(0);
    bench.run(&["label", "h3", "work", KEEP_LABEL]).expect(0);
    let gateway = bench.gateway();
    drop(gateway.session("h0").unwrap().begin_turn(Vec::new()).unwrap());
    gateway.close().unwrap();
    let mut writer = bench.start(&["append", "h4"]);
    writer.send("{\"n\":1}\n");
    writer.line();
    // What a row says is folded anew.
    fs::remove_file(bench.registry()).unwrap();
    let before = bench.content();
    let kept = |key: &str, why: &str| (json!(key), json!(1), json!(why));
    let expected = [
        kept("h0", "running"),
        kept("h1", "pending"),
        kept("h2", "suspended"),
        kept("h3", "labelled"),
        kept("h4", "running"),
    ];
    let plan = bench.run(&["prune", "--keep-newest", "0", "--dry-run", "--json"]).expect(0);
    assert!(bench.content() == before, "a dry run wrote something");
    let text = bench.run(&["prune", "--keep-newest", "0"]).expect(0);
    assert!(
        text.stdout.contains("\nh1 generation 1: kept, pending, last active 2020-01-01T01:00:00.000Z\n"),
        "{text:?}"
    );
    assert!(text.stderr.starts_with("5 sessions deleted, ") && text.stderr.ends_with(", 5 kept\n"), "{text:?}");
    let done = bench.run(&["prune", "--keep-newest", "0", "--json"]).expect(0);
    for (run, deleted) in [(&plan, 5), (&done, 0)] {
        let mut stayed = fates(run);
        stayed.retain(|(_, _, kept)| *kept != Value::Null);
        stayed.sort_by_key(|(key, _, _)| key.to_string());
        assert_eq!(stayed, expected);
        assert_eq!((&run.summary()["named"], &run.summary()["kept"]), (&json!(deleted), &json!(5)));
    }
    let after = bench.content();
    for key in ["h0", "h1", "h2", "h3", "h4"] {
        assert!(after.iter().any(|file| file.0 == bench.transcript(key, 1) && before.contains(file)), "{key} changed");
    }
    assert_eq!(bench.trashed().len(), 5);
    assert!(writer.end().success());
    bench.run(&["verify"]).expect(0);
}

#[test]
fn what_no_rule_can_judge_is_told_and_stays() {
    let bench = Bench::aged();
    let path = bench.transcript("h0", 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let run = bench.run(&["prune", "--keep-newest", "0", "--json"]).expect(3);
    assert_eq!((run.of_type("error").len(), run.of_type("session").len()), (1, 9));
    assert_eq!((&run.summary()["unreadable"], &run.summary()["deleted"]), (&json!(1), &json!(9)));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let text = bench.run(&["prune", "--keep-newest", "0"]).expect(3);
    assert!(text.stderr.starts_with("0 sessions deleted, 0 bytes, 0 kept\nerror: "), "{}", text.stderr);

    let bench = Bench::aged();
    let line = br#"{"key":"later","ts":"2999-01-01T00:00:00.000Z","body":1}"#;
    bench.feed(&["append"], line).expect(0);
    let before = everything(&bench.store());
    let hint = "set the clock right; if it is, that record's time is wrong, and the session has to go first: \
                sessctl show --json --generation 1 --from ";
    for dry in [&[][..], &["--dry-run"]] {
        let args = [&["prune", "--older-than", "1h"], dry].concat();
        let run = bench.run(&args).expect(1);
        assert!(run.stderr.starts_with("error: the clock says "), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("\nhint: {hint}")), "{}", run.stderr);
        let run = bench.run(&[&["--json"], &args[..]].concat()).expect(1);
        assert_eq!((&run.summary()["named"], &run.summary()["status"]), (&json!(0), &json!("failed")));
    }
    assert!(everything(&bench.store()) == before, "a refusal wrote something");
    bench.run(&["delete", "later"]).expect(0);
    bench.run(&["prune", "--older-than", "1h"]).expect(0);
}

#[test]
fn a_prune_needs_a_rule() {
    let bench = Bench::aged();
    let before = everything(&bench.store());
    for args in [
        &["prune"][..],
        &["prune", "--purge"],
        &["prune", "--dry-run"],
        &["prune", "--older-than", "7"],
        &["prune", "--older-than", "-1d"],
        &["prune", "--keep-newest", "-1"],
        &["prune", "--max-bytes", "1G"],
        &["trash"],
        &["trash", "restore"],
        &["trash", "empty", "--older-than", "soon"],
        &["delete"],
        &["delete", ""],
        &["delete", "h0", "--generation", "all"],
    ] {
        assert_eq!(bench.run(args).expect(2).stdout, "", "{args:?}");
    }
    assert!(everything(&bench.store()) == before, "a usage error changed something");
}

#[test]
fn what_is_not_there_is_6_and_is_not_made() {
    let bench = Bench::new();
    for args in [
        &["delete", "k"][..],
        &["delete", "k", "--dry-run"],
        &["prune", "--keep-newest", "0"],
        &["prune", "--keep-newest", "0", "--dry-run"],
        &["trash", "list"],
        &["trash", "restore", "k"],
        &["trash", "restore", "k", "--dry-run"],
        &["trash", "empty"],
        &["trash", "empty", "--dry-run"],
    ] {
        let run = bench.run(args).expect(6);
        assert!(run.stderr.starts_with("error: no store at "), "{}", run.stderr);
        bench.run(&[&["--json"], args].concat()).expect(6).summary();
    }
    assert!(!bench.store().exists());
    bench.feed(&["append", "there"], b"1\n").expect(0);
    // A store from before there was a trash.
    fs::remove_dir_all(bench.store().join("trash")).unwrap();
    let before = everything(&bench.store());
    assert_eq!(bench.run(&["trash", "list"]).expect(0).stdout, "");
    for dry in [&[][..], &["--dry-run"]] {
        bench.fails(&[&["delete", "k"], dry].concat(), 6, "no session \"k\"", "sessctl list");
        let args = [&["delete", "there", "--generation", "2"], dry].concat();
        bench.fails(&args, 6, "no session \"there\" generation 2", "sessctl list");
        for own in ["~store", "~trash"] {
            let run = bench.run(&[&["delete", own], dry].concat()).expect(1);
            assert!(run.stderr.contains("are the store's own"), "{}", run.stderr);
        }
    }
    fs::remove_dir_all(bench.store().join("trash")).unwrap();
    assert!(everything(&bench.store()) == before, "a refusal made something");
    bench.run(&["delete", "there"]).expect(0);
    assert_eq!(bench.trashed().len(), 1);
}

#[test]
fn no_key_talks_to_the_terminal() {
    let bench = Bench::with_records("k", 2);
    let make = || bench.run(&["fork", "k", HOSTILE]).expect(0);
    make();
    let mut runs = vec![
        bench.run(&["delete", HOSTILE, "--dry-run"]).expect(0),
        bench.run(&["delete", HOSTILE]).expect(0),
        bench.run(&["delete", HOSTILE]).expect(6),
        bench.run(&["trash", "list"]).expect(0),
        bench.run(&["trash", "restore", HOSTILE]).expect(0),
        bench.run(&["trash", "restore", HOSTILE]).expect(6),
        bench.run(&["delete", HOSTILE]).expect(0),
    ];
    make();
    runs.push(bench.run(&["trash", "restore", HOSTILE]).expect(1));
    runs.push(bench.run(&["delete", HOSTILE]).expect(0));
    runs.push(bench.run(&["trash", "restore", HOSTILE]).expect(1));
    runs.push(bench.run(&["info", "~trash"]).expect(0));
    runs.push(bench.run(&["trash", "empty", "--dry-run"]).expect(0));
    runs.push(bench.run(&["trash", "empty"]).expect(0));
    make();
    runs.push(bench.run(&["mark", HOSTILE, "suspend", "--reason", "r"]).expect(0));
    runs.push(bench.run(&["prune", "--keep-newest", "0"]).expect(0));
    bench.run(&["mark", HOSTILE, "release"]).expect(0);
    runs.push(bench.run(&["prune", "--keep-newest", "0"]).expect(0));
    for run in &runs {
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        }
    }
}
