//! What a gateway shows: `context`, `undo` and `fork`.
//!
//! Summaries come from the library, as from a gateway: no command makes them.

use std::fs;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use sesslog::{SessionKey, Store};

use super::look::SESSION;
use super::marks::HOSTILE;
use super::{Bench, Run, everything, names};

impl Bench {
    /// Lets a gateway do something, and waits until it has let go of the store.
    fn gateway_does(&self, work: impl FnOnce(&Store)) {
        let gateway = self.gateway();
        work(&gateway);
        gateway.close().unwrap();
    }

    /// A session `k` of five records of which the first three are summed up.
    fn summed_up() -> Self {
        let bench = Self::with_records("k", 5);
        let summary = RawValue::from_string(r#"{"z": 1, "a":[2.50]}"#.to_owned()).unwrap();
        bench.gateway_does(|gateway| drop(gateway.session("k").unwrap().compact(&summary, 4).unwrap()));
        bench
    }

    /// Runs a command that must fail, as text and as JSON, and gives what the text says.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32) -> String {
        let run = self.run(args).expect(code);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(run.stderr.contains("\nhint: "), "{}", run.stderr);
        let json = self.run(&[&["--json"], args].concat()).expect(code);
        let errors = json.of_type("error");
        assert!(run.stderr.contains(errors[0]["error"].as_str().unwrap()), "{errors:?}");
        assert!(run.stderr.contains(errors[0]["hint"].as_str().unwrap()), "{errors:?}");
        assert_eq!(json.summary()["changed"], false);
        run.stderr
    }
}

fn bodies(run: &Run) -> Vec<Value> {
    run.of_type("record").into_iter().map(|record| record["body"].clone()).collect()
}

#[test]
fn a_context_is_the_summary_and_what_is_behind_it() {
    let bench = Bench::summed_up();
    let text = bench.run(&["context", "k"]).expect(0);
    assert_eq!(text.stdout, "{\"summary\":{\"z\": 1, \"a\":[2.50]}}\n{\"n\":4}\n{\"n\":5}\n");
    assert_eq!(text.stderr, "");
    let run = bench.run(&["context", "k", "--json"]).expect(0);
    assert!(run.stdout.contains(r#""summary":{"z": 1, "a":[2.50]}"#), "not byte for byte: {}", run.stdout);
    let types: Vec<_> = run.objects().iter().map(|object| object["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["mark", "record", "record", "summary"]);
    let mark = &run.of_type("mark")[0];
    assert_eq!(names(mark), ["generation", "keep_from", "key", "mark", "seq", "summary", "ts", "type"]);
    let marks = bench.run(&["info", "k", "--json"]).expect(0).of_type("mark");
    let told = marks.iter().find(|told| told["mark"] == "compacted").unwrap();
    for name in names(told) {
        assert_eq!(told[name], mark[name], "{name} is not what info prints");
    }
    let shown = bench.run(&["show", "k", "--from", "4", "--json"]).expect(0);
    assert_eq!(run.of_type("record"), shown.of_type("record"));
    let summary = run.summary();
    assert_eq!(names(&summary), ["clamped", "gaps", "head", "records", "status", "type"]);
    let session = bench.session("k");
    let head = json!({"generation": 1, "seq": session["last_seq"], "crc": session["last_crc"]});
    assert_eq!((&summary["head"], &summary["records"]), (&head, &json!(2)));

    let history = |count: &str| bench.run(&["context", "k", "--history", count]).expect(0).stdout;
    assert_eq!(history("3"), "{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n");
    assert_eq!((history("0").as_str(), history("9").lines().count()), ("", 5));
    let run = bench.run(&["context", "k", "--history", "1", "--json"]).expect(0);
    assert_eq!((bodies(&run), &run.summary()["head"]), (vec![json!({"n": 5})], &Value::Null));
}

#[test]
fn a_reset_leaves_nothing_to_see_but_by_its_generation() {
    let bench = Bench::summed_up();
    let before = bench.run(&["context", "k"]).expect(0).stdout;
    bench.run(&["reset", "k"]).expect(0);
    assert_eq!(bench.run(&["context", "k"]).expect(0).stdout, "");
    assert_eq!(bench.run(&["context", "k", "--history", "5"]).expect(0).stdout, "");
    bench.feed(&["append", "k"], b"\"anew\"\n").expect(0);
    assert_eq!(bench.run(&["context", "k"]).expect(0).stdout, "\"anew\"\n");
    assert_eq!(bench.run(&["context", "k", "--history", "5"]).expect(0).stdout, "\"anew\"\n");
    assert_eq!(bench.run(&["context", "k", "--generation", "1"]).expect(0).stdout, before);
    let run = bench.run(&["context", "k", "--generation", "1", "--json"]).expect(0);
    assert_eq!((&run.summary()["head"]["generation"], &run.of_type("mark")[0]["generation"]), (&json!(1), &json!(1)));
    bench.run(&["context", "k", "--generation", "3"]).expect(6);
    bench.run(&["context", "k", "--generation", "1", "--history", "1"]).expect(2);
}

#[test]
fn damage_in_a_context_shows_as_a_gap() {
    let bench = Bench::with_records("k", 4);
    bench.damage("k", 2);
    let run = bench.run(&["context", "k"]).expect(3);
    assert_eq!(run.stdout, "{\"n\":1}\n{\"n\":3}\n{\"n\":4}\n");
    assert!(run.stderr.starts_with("gap: checksum at byte "), "{}", run.stderr);
    assert!(run.stderr.ends_with("\nhint: sessctl verify, to see which command mends it\n"), "{}", run.stderr);
    for args in [&["context", "k", "--json"][..], &["context", "k", "--history", "4", "--json"]] {
        let run = bench.run(args).expect(3);
        let types: Vec<_> = run.objects().iter().map(|object| object["type"].as_str().unwrap().to_owned()).collect();
        assert_eq!(types, ["record", "gap", "record", "record", "summary"]);
        assert_eq!((&run.summary()["gaps"], &run.summary()["status"]), (&json!(1), &json!("damaged")));
    }
    bench.run(&["context", "k", "--history", "2"]).expect(0);
}

/// A mark of a program that counted wrong, as it may stand in a transcript.
#[test]
fn a_number_that_can_not_be_is_a_warning() {
    let bench = Bench::with_records("k", 2);
    let path = bench.transcript("k", 1);
    let mut bytes = fs::read(&path).unwrap();
    let crc = |line: &[u8], seed: u32| {
        let mut hasher = crc32fast::Hasher::new_with_initial(seed);
        hasher.update(line);
        hasher.finalize()
    };
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    // Without `,"crc":"01234567"}` and the newline.
    let checked = |line: &[u8], seed| crc(&line[..line.len() - 19], seed);
    let seed = checked(lines[0], 0);
    let (seq, prev) = (lines.len(), checked(lines[lines.len() - 1], seed));
    let line = format!(
        r#"{{"seq":{seq},"durable":{},"prev":"{prev:08x}","ts":"2026-11-22T08:15:00.000Z","kind":"mark","body":{}"#,
        seq - 1,
        r#"{"mark":"compacted","summary":"s","keep_from":1000}"#
    );
    let end = format!(",\"crc\":\"{:08x}\"}}\n", crc(line.as_bytes(), seed));
    bytes.extend(line.into_bytes().into_iter().chain(end.into_bytes()));
    fs::write(&path, bytes).unwrap();
    let run = bench.run(&["context", "k"]).expect(0);
    assert_eq!(run.stdout, "{\"summary\":\"s\"}\n{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(run.stderr, format!("warning: keep_from 1000 in the mark of record {seq} can not be, taken for 1\n"));
    let run = bench.run(&["context", "k", "--json"]).expect(0);
    assert_eq!((run.stderr.as_str(), &run.summary()["clamped"]), ("", &json!(1)));
    let clamped = json!({"type": "clamped", "key": "k", "generation": 1, "seq": seq, "field": "keep_from",
        "given": 1000, "used": 1});
    assert_eq!(run.of_type("clamped"), [clamped]);
}

#[test]
fn an_undo_is_told_first_and_then_done() {
    let bench = Bench::summed_up();
    let before = everything(&bench.store());
    let plan = bench.run(&["undo", "k", "--dry-run"]).expect(0);
    assert_eq!(plan.stdout, "k generation 1: 1 record would be undone: not shown any more from record 5 on\n");
    let plan = bench.run(&["undo", "k", "2", "--dry-run", "--json"]).expect(0);
    assert!(everything(&bench.store()) == before, "a dry run wrote something");
    let done = bench.run(&["undo", "k", "2", "--json"]).expect(0);
    for (run, changed) in [(&plan, false), (&done, true)] {
        let expected = json!({"type": "summary", "key": "k", "changed": changed, "undone": 2, "from_seq": 4,
            "dry_run": !changed, "status": "done"});
        assert_eq!(run.summary(), expected);
        let sessions = run.of_type("session");
        assert_eq!((sessions.len(), &sessions[0]["changed"]), (1, &json!(changed)));
        assert_eq!(sessions[0].as_object().unwrap().len(), SESSION.len() + 1);
    }
    // What is summed up stands as it did.
    assert_eq!(bench.run(&["context", "k"]).expect(0).stdout, "{\"summary\":{\"z\": 1, \"a\":[2.50]}}\n");
    let text = bench.run(&["undo", "k"]).expect(0).stdout;
    assert_eq!(text, "k generation 1: 1 record undone: not shown any more from record 3 on\n");
    assert_eq!(bench.run(&["context", "k"]).expect(0).stdout, "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout.lines().count(), 5, "the records stay");
    bench.feed(&["append", "k"], b"\"instead\"\n").expect(0);
    assert_eq!(bench.run(&["context", "k", "--history", "2"]).expect(0).stdout, "{\"n\":2}\n\"instead\"\n");
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn to_undo_nothing_is_no_error() {
    let bench = Bench::with_records("k", 1);
    let before = bench.content();
    for dry in [&[][..], &["--dry-run"]] {
        let run = bench.run(&[&["undo", "k", "0"], dry].concat()).expect(0);
        assert_eq!(run.stdout, "k generation 1: nothing to undo, nothing changed\n");
        let run = bench.run(&[&["undo", "k", "0", "--json"], dry].concat()).expect(0);
        assert_eq!((&run.summary()["changed"], &run.summary()["from_seq"]), (&json!(false), &Value::Null));
    }
    assert!(bench.content() == before, "a no-op wrote something");
    bench.run(&["undo", "k", "-1"]).expect(2);
    bench.run(&["undo", "k", "all"]).expect(2);
}

#[test]
fn an_undo_that_can_not_be_says_why_also_as_a_dry_run() {
    let bench = Bench::with_records("k", 2);
    let before = bench.content();
    let each = |args: &[&str], code: i32, error: &str, hint: &str| {
        for dry in [&[][..], &["--dry-run"]] {
            let text = bench.refused(&[args, dry].concat(), code);
            assert!(text.contains(error) && text.ends_with(&format!("\nhint: {hint}\n")), "{text}");
        }
    };
    each(
        &["undo", "k", "3"],
        1,
        "has 2 of the 3 records to undo; the first is record 1",
        "to undo all of them: sessctl undo k 2",
    );
    each(&["undo", "nobody"], 6, "no session \"nobody\"", "sessctl list");
    assert!(bench.content() == before, "a refusal wrote something");
    bench.run(&["undo", "k", "2"]).expect(0);
    each(&["undo", "k"], 1, "has 0 of the 1 records to undo", "what was appended stays readable: sessctl show k");
    bench.run(&["reset", "k"]).expect(0);
    let hint = "the next append begins the next generation: sessctl append k";
    each(&["undo", "k"], 1, "session \"k\" generation 1 is closed", hint);
    for args in [&["undo", "~store"][..], &["undo", "~store", "--dry-run"]] {
        assert!(bench.run(args).expect(1).stderr.contains("are the store's own"));
    }

    let bench = Bench::with_records("k", 3);
    let gateway = bench.gateway();
    let turn = gateway.session("k").unwrap().begin_turn(Vec::new()).unwrap();
    assert!(bench.refused(&["undo", "k"], 5).contains("hint: wait for it with --wait SECONDS, or stop "));
    // It only looks.
    bench.run(&["undo", "k", "--dry-run"]).expect(0);
    drop(turn);
    gateway.close().unwrap();
    bench.damage("k", 2);
    fs::remove_file(bench.store().join("registry.jsonl")).unwrap();
    for dry in [&[][..], &["--dry-run"]] {
        let text = bench.refused(&[&["undo", "k", "2"], dry].concat(), 3);
        assert!(text.ends_with("hint: sessctl repair --generation 1 k\n"), "{text}");
    }
}

#[test]
fn a_fork_is_told_first_and_then_made() {
    let bench = Bench::summed_up();
    let last_seq = bench.session("k")["last_seq"].clone();
    let before = everything(&bench.store());
    let text = bench.run(&["fork", "k", "new", "--at", "2", "--dry-run"]).expect(0).stdout;
    assert_eq!(text, "new generation 1: would be forked from k generation 1 up to record 2\n");
    let plan = bench.run(&["fork", "k", "new", "--dry-run", "--json"]).expect(0);
    assert_eq!(plan.objects().len(), 1);
    assert!(everything(&bench.store()) == before, "a dry run wrote something");
    let parent = bench.transcript("k", 1);
    let done = bench.run(&["fork", "k", "new", "--json"]).expect(0);
    for (run, changed) in [(&plan, false), (&done, true)] {
        let expected = json!({"type": "summary", "key": "new", "generation": 1, "changed": changed, "dry_run": !changed,
            "parent": {"key": "k", "generation": 1, "seq": last_seq}, "status": "done"});
        assert_eq!(run.summary(), expected);
    }
    let sessions = done.of_type("session");
    assert_eq!((sessions.len(), &sessions[0]["changed"], &sessions[0]["key"]), (1, &json!(true), &json!("new")));
    assert_eq!(sessions[0]["parent"], done.summary()["parent"]);
    assert_eq!(bench.run(&["context", "new"]).expect(0).stdout, bench.run(&["context", "k"]).expect(0).stdout);
    let text = bench.run(&["fork", "k", "two", "--at", "2"]).expect(0).stdout;
    assert_eq!(text, "two generation 1: forked from k generation 1 up to record 2\n");
    assert_eq!(bench.run(&["context", "two"]).expect(0).stdout, "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(bench.feed(&["append", "two"], b"3\n").expect(0).stdout, "two 3\n");
    bench.run(&["fork", "k", "none", "--at", "0"]).expect(0);
    assert_eq!(bench.run(&["show", "none"]).expect(0).stdout, "");
    assert!(before.contains(&(parent.clone(), fs::read(parent).unwrap())), "the parent was written to");
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_closed_generation_is_forked_as_it_was() {
    let bench = Bench::with_records("k", 2);
    bench.run(&["reset", "k"]).expect(0);
    bench.feed(&["append", "k"], b"\"anew\"\n").expect(0);
    let run = bench.run(&["fork", "k", "old", "--generation", "1", "--json"]).expect(0);
    assert_eq!(run.summary()["parent"]["generation"], 1);
    assert_eq!(bench.feed(&["append", "old"], b"\"on\"\n").expect(0).code, Some(0));
    assert_eq!(bench.run(&["context", "old"]).expect(0).stdout, "{\"n\":1}\n{\"n\":2}\n\"on\"\n");
    // A key that was reset is free: also the parent's own.
    bench.run(&["reset", "k"]).expect(0);
    for dry in [&["--dry-run"][..], &[]] {
        let run = bench.run(&[&["fork", "k", "k", "--json"], dry].concat()).expect(0);
        assert_eq!((&run.summary()["generation"], &run.summary()["parent"]["generation"]), (&json!(3), &json!(2)));
    }
    assert_eq!(bench.run(&["context", "k"]).expect(0).stdout, "\"anew\"\n");
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_fork_that_can_not_be_says_why_also_as_a_dry_run() {
    let bench = Bench::with_records("k", 2);
    bench.feed(&["append", "taken"], b"1\n").expect(0);
    let before = bench.content();
    let each = |args: &[&str], code: i32, error: &str, hint: &str| {
        for dry in [&[][..], &["--dry-run"]] {
            let text = bench.refused(&[args, dry].concat(), code);
            assert!(text.contains(error) && text.ends_with(&format!("\nhint: {hint}\n")), "{text}");
        }
    };
    let hint = "name another key, or close the session first: sessctl reset taken";
    each(&["fork", "k", "taken"], 1, "session \"taken\" exists, its newest generation is 1", hint);
    let last_seq = &bench.session("k")["last_seq"];
    let hint = format!("name a record up to {last_seq}; to look for it: sessctl show --json --generation 1 k");
    each(&["fork", "k", "new", "--at", "99"], 1, "at_seq 99 of session \"k\" generation 1 is beyond", &hint);
    each(&["fork", "nobody", "new"], 6, "no session \"nobody\"", "sessctl list");
    each(&["fork", "k", "new", "--generation", "2"], 6, "no session \"k\" generation 2", "sessctl list");
    for args in [&["fork", "k", "~own"][..], &["fork", "k", "~own", "--dry-run"]] {
        assert!(bench.run(args).expect(1).stderr.contains("are the store's own"));
    }
    bench.run(&["fork", "k", ""]).expect(2);
    bench.run(&["fork", "k"]).expect(2);
    bench.damage("k", 1);
    each(&["fork", "k", "new"], 3, "(record 1): checksum", "sessctl repair --generation 1 k");
    let unchanged = bench.content().iter().filter(|file| before.contains(file)).count();
    assert_eq!((unchanged, bench.content().len()), (before.len() - 1, before.len()), "a refusal wrote something");

    // Somebody is making the session at this moment.
    let lock = bench.store().join("locks").join(format!("{}.lock", SessionKey::new("new").unwrap().file_stem()));
    let held = fs::File::create(lock).unwrap();
    held.lock().unwrap();
    let text = bench.refused(&["fork", "taken", "new"], 5);
    assert!(text.contains("hint: wait for it with --wait SECONDS, or stop "), "{text}");
    drop(held);
    // The parent is only read: it may be held.
    let gateway = bench.gateway();
    let _turn = gateway.session("taken").unwrap().begin_turn(Vec::new()).unwrap();
    bench.run(&["fork", "taken", "new"]).expect(0);
}

#[test]
fn what_is_not_there_is_6_and_is_not_made() {
    let bench = Bench::new();
    for args in [
        &["context", "k"][..],
        &["context", "k", "--history", "1"],
        &["undo", "k"],
        &["undo", "k", "--dry-run"],
        &["fork", "k", "new"],
        &["fork", "k", "new", "--dry-run"],
    ] {
        let run = bench.run(args).expect(6);
        assert!(run.stderr.starts_with("error: no store at "), "{}", run.stderr);
    }
    assert!(!bench.store().exists());
    bench.feed(&["append", "there"], b"1\n").expect(0);
    let run = bench.run(&["context", "k", "--json"]).expect(6);
    assert_eq!(run.of_type("error")[0]["error"], "no session \"k\"");
    assert_eq!((&run.summary()["head"], &run.summary()["status"]), (&Value::Null, &json!("not-found")));
}

#[test]
fn no_key_talks_to_the_terminal() {
    let bench = Bench::with_records("k", 2);
    let runs = [
        bench.run(&["fork", "k", HOSTILE, "--dry-run"]).expect(0),
        bench.run(&["fork", "k", HOSTILE]).expect(0),
        bench.run(&["fork", "k", HOSTILE]).expect(1),
        bench.run(&["fork", HOSTILE, "new", "--dry-run"]).expect(0),
        bench.run(&["fork", HOSTILE, "new"]).expect(0),
        bench.run(&["fork", HOSTILE, "newer", "--at", "9"]).expect(1),
        bench.run(&["undo", HOSTILE, "--dry-run"]).expect(0),
        bench.run(&["undo", HOSTILE]).expect(0),
        bench.run(&["undo", HOSTILE, "9"]).expect(1),
    ];
    for run in &runs {
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        }
        assert!(run.stdout.lines().count() <= 1, "{}", run.stdout);
    }
}
