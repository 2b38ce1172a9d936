//! Turns and marks: `mark`, `reset`, `title`, `label`, and what `list`, `info`, `show` and `tail` say then.
//!
//! The gateway is the test itself, through the library: to `sessctl` it is another process.

use std::fs;

use serde_json::{Value, json};
use sesslog::{NewRecord, Outcome, Store};

use super::look::SESSION;
use super::{Bench, Run, everything, names};

/// What no terminal may get to see.
pub(super) const HOSTILE: &str = "a\u{1b}]0;evil\u{7}\n\u{9b}2J\u{202e}b";

fn record(text: &str) -> NewRecord {
    NewRecord::new(text).unwrap()
}

impl Bench {
    pub(super) fn gateway(&self) -> Store {
        Store::open(self.store()).unwrap()
    }

    /// A store with a session `k` whose turn did not end.
    pub(super) fn interrupted() -> Self {
        let bench = Self::with_records("k", 1);
        drop(bench.gateway().session("k").unwrap().begin_turn(vec![record("question")]).unwrap());
        bench
    }

    pub(super) fn session(&self, key: &str) -> Value {
        self.run(&["info", key, "--json"]).expect(0).of_type("session").remove(0)
    }

    pub(super) fn keys(&self, args: &[&str]) -> Vec<String> {
        let sessions = self.run(&[&["list", "--sort", "key", "--json"], args].concat()).expect(0).of_type("session");
        sessions.iter().map(|session| session["key"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs a check on the store as it is, then without its registry, then after a rebuild.
    fn each(&self, check: impl Fn()) {
        check();
        fs::remove_file(self.store().join("registry.jsonl")).unwrap();
        check();
        self.run(&["rebuild-index"]).expect(0);
        check();
    }
}

/// What a command that changes something says of it.
#[track_caller]
fn changed(run: Run, is: bool) -> Value {
    let run = run.expect(0);
    let sessions = run.of_type("session");
    assert_eq!(sessions.len(), 1, "{run:?}");
    assert_eq!((&sessions[0]["changed"], &run.summary()["changed"]), (&json!(is), &json!(is)), "{run:?}");
    assert_eq!(names(&run.summary()), ["changed", "key", "status", "type"]);
    let mut expected = SESSION.to_vec();
    expected.push("changed");
    expected.sort_unstable();
    assert_eq!(names(&sessions[0]), expected);
    sessions[0].clone()
}

#[test]
fn a_mark_is_made_once_and_told() {
    let bench = Bench::with_records("k", 1);
    let mark = |args: &[&str]| bench.run(&[&["mark", "k", "--json"], args].concat());
    let row = changed(mark(&["resume-pending", "--reason", "restart"]), true);
    assert_eq!((&row["state"], &row["pending"]["reason"]), (&json!("pending"), &json!("restart")));
    // Another reason replaces the first: that is a change.
    let row = changed(mark(&["resume-pending", "--reason", "update"]), true);
    assert_eq!(row["pending"]["reason"], "update");
    let row = changed(mark(&["clear"]), true);
    assert_eq!((&row["state"], &row["pending"]), (&json!("open"), &Value::Null));
    let before = bench.content();
    changed(mark(&["clear"]), false);
    changed(mark(&["release"]), false);
    assert!(bench.content() == before, "a no-op wrote something");
    let row = changed(mark(&["suspend", "--reason", "loops"]), true);
    assert_eq!((&row["state"], &row["suspended"]["reason"]), (&json!("suspended"), &json!("loops")));
    let again = changed(mark(&["suspend", "--reason", "again"]), false);
    assert_eq!(again["suspended"], row["suspended"]);
    assert_eq!(changed(mark(&["release"]), true)["state"], "open");

    let text = |args: &[&str]| bench.run(&[&["mark", "k"], args].concat()).expect(0).stdout;
    assert_eq!(text(&["clear"]), "k generation 1: was not pending, nothing changed\n");
    assert_eq!(text(&["release"]), "k generation 1: was not suspended, nothing changed\n");
    assert_eq!(text(&["resume-pending", "--reason", "r"]), "k generation 1: pending\n");
    assert_eq!(text(&["clear"]), "k generation 1: not pending any more\n");
    assert_eq!(text(&["suspend", "--reason", "r"]), "k generation 1: suspended\n");
    assert_eq!(text(&["suspend", "--reason", "r"]), "k generation 1: was suspended already, nothing changed\n");
    assert_eq!(text(&["release"]), "k generation 1: released\n");
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_reason_belongs_to_some_marks_only() {
    let bench = Bench::with_records("k", 1);
    let before = everything(&bench.store());
    for args in [
        &["mark", "k", "resume-pending"][..],
        &["mark", "k", "suspend"],
        &["mark", "k", "clear", "--reason", "r"],
        &["mark", "k", "release", "--reason", ""],
        &["mark", "k", "sealed"],
        &["mark", "k"],
        &["label", "k", "a", "--clear"],
        &["title", "k"],
        &["resumable", "--fresh", "soon"],
        &["list", "--state", "gone"],
    ] {
        let run = bench.run(args).expect(2);
        assert_eq!(run.stdout, "", "{args:?}");
    }
    let run = bench.run(&["mark", "k", "clear", "--reason", "r"]);
    assert!(run.stderr.contains("'--reason <R>' cannot be used with 'clear'"), "{}", run.stderr);
    assert!(run.stderr.contains("Usage: sessctl mark "), "{}", run.stderr);
    assert!(everything(&bench.store()) == before, "a usage error changed something");
    // A key may look like an option, and like a mark.
    bench.feed(&["append"], b"{\"key\":\"-rf\",\"body\":1}\n{\"key\":\"clear\",\"body\":1}\n").expect(0);
    bench.run(&["mark", "--reason", "r", "--", "-rf", "suspend"]).expect(0);
    bench.run(&["mark", "clear", "clear"]).expect(0);
    let run = bench.run(&["mark", "--reason", "r", "--", "-rf", "resume-pending"]).expect(1);
    assert!(run.stderr.ends_with("hint: sessctl mark -- -rf release\n"), "{}", run.stderr);
    bench.run(&["mark", "--", "-rf", "release"]).expect(0);
}

#[test]
fn refusals_have_a_status_and_name_the_next_step() {
    let bench = Bench::with_records("k", 1);
    let long = "x".repeat(4097);
    let label = "x".repeat(129);
    bench.run(&["mark", "k", "suspend", "--reason", "loops"]).expect(0);
    let before = bench.content();
    for (args, error, hint) in [
        (&["mark", "k", "resume-pending", "--reason", "r"][..], "loops", "sessctl mark k release"),
        (&["mark", "k", "suspend", "--reason", &long], "4097 bytes", "say it shorter"),
        (&["reset", "k", "--reason", &long], "4097 bytes", "say it shorter"),
        (&["title", "k", &long], "4097 bytes", "say it shorter"),
        (&["label", "k", &label], "129 bytes", "say it shorter"),
    ] {
        let run = bench.run(args).expect(1);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(run.stderr.contains(error) && run.stderr.contains(&format!("\nhint: {hint}")), "{}", run.stderr);
        let run = bench.run(&[&["--json"], args].concat()).expect(1);
        let errors = run.of_type("error");
        assert!(errors[0]["hint"].as_str().unwrap().starts_with(hint), "{errors:?}");
        assert_eq!((&run.summary()["changed"], &run.summary()["status"]), (&json!(false), &json!("failed")));
    }
    assert!(bench.content() == before, "a refusal wrote something");
    bench.run(&["reset", "k"]).expect(0);
    for args in [&["mark", "k", "clear"][..], &["title", "k", "t"], &["label", "k", "l"], &["label", "k", "--clear"]] {
        let run = bench.run(args).expect(1);
        assert!(run.stderr.contains("session \"k\" generation 1 is closed\nhint: "), "{}", run.stderr);
    }
    for args in [&["mark", "~store", "clear"][..], &["reset", "~store"], &["title", "~store", "t"]] {
        bench.run(args).expect(1);
    }
}

#[test]
fn what_is_not_known_is_6_and_is_not_made() {
    let changes = [
        &["mark", "nobody", "resume-pending", "--reason", "r"][..],
        &["mark", "nobody", "clear"],
        &["mark", "nobody", "suspend", "--reason", "r"],
        &["mark", "nobody", "release"],
        &["reset", "nobody"],
        &["title", "nobody", "t"],
        &["label", "nobody", "l"],
        &["label", "nobody"],
        &["label", "nobody", "--clear"],
    ];
    let bench = Bench::new();
    for args in changes.into_iter().chain([&["resumable"][..]]) {
        let run = bench.run(args).expect(6);
        assert!(run.stderr.starts_with("error: no store at "), "{}", run.stderr);
    }
    assert!(!bench.store().exists());
    bench.feed(&["append", "there"], b"1\n").expect(0);
    let before = bench.content();
    for args in changes {
        let run = bench.run(&[args, &["--json"]].concat()).expect(6);
        assert_eq!(run.of_type("error")[0]["error"], "no session \"nobody\"");
        assert_eq!(run.summary()["status"], "not-found");
    }
    assert!(bench.content() == before);
}

#[test]
fn beside_a_live_gateway_a_held_session_is_busy_and_the_others_are_not() {
    let bench = Bench::with_records("k", 1);
    bench.feed(&["append", "free"], b"1\n").expect(0);
    let gateway = bench.gateway();
    let turn = gateway.session("k").unwrap().begin_turn(vec![record("question")]).unwrap();
    let changes = [
        &["mark", "k", "resume-pending", "--reason", "r"][..],
        &["mark", "k", "suspend", "--reason", "r"],
        &["mark", "k", "clear"],
        &["mark", "k", "release"],
        &["reset", "k"],
        &["title", "k", "t"],
        &["label", "k", "l"],
    ];
    for args in changes {
        let run = bench.run(args).expect(5);
        assert!(run.stderr.contains("hint: wait for it with --wait SECONDS, or stop "), "{}", run.stderr);
        assert_eq!(bench.run(&[&["--json"], args].concat()).expect(5).summary()["status"], "busy");
    }
    bench.run(&["label", "k"]).expect(0);
    bench.run(&["mark", "free", "suspend", "--reason", "r"]).expect(0);
    // The gateway sees what was done beside it.
    let refused = gateway.session("free").unwrap().begin_turn(vec![]);
    assert!(matches!(refused, Err(sesslog::Error::Suspended { .. })), "{refused:?}");
    assert_eq!(bench.session("k")["state"], "running");
    assert_eq!(bench.keys(&["--state", "running"]), ["k"]);
    assert_eq!(bench.keys(&["--state", "interrupted"]), Vec::<String>::new());
    assert_eq!(bench.run(&["list", "--sort", "key"]).expect(0).stdout.lines().nth(1).unwrap()[..12], *"k     1  run");
    let mut waiting = bench.start(&["title", "k", "waited", "--wait", "60"]);
    turn.finish(Outcome::Success, vec![]).unwrap();
    drop(turn);
    gateway.session("k").unwrap().release().unwrap();
    assert_eq!(waiting.line(), "k generation 1: title waited\n");
    assert!(waiting.end().success());
    // A turn that is dropped was interrupted, even while its gateway lives on.
    drop(gateway.session("k").unwrap().begin_turn(vec![]).unwrap());
    gateway.session("k").unwrap().release().unwrap();
    assert_eq!(bench.session("k")["state"], "interrupted");
    assert_eq!(bench.keys(&["--state", "interrupted"]), ["k"]);
    bench.run(&["reset", "k"]).expect(0);
}

#[test]
fn states_survive_the_registry_and_select_sessions() {
    let bench = Bench::interrupted();
    for key in ["open", "pending", "suspended", "closed"] {
        bench.feed(&["append", key], b"1\n").expect(0);
    }
    bench.run(&["mark", "pending", "resume-pending", "--reason", "restart"]).expect(0);
    bench.run(&["mark", "suspended", "suspend", "--reason", "loops"]).expect(0);
    bench.run(&["reset", "closed", "--reason", "new topic"]).expect(0);
    bench.run(&["label", "pending", "home", "work"]).expect(0);
    bench.run(&["label", "open", "work"]).expect(0);
    bench.each(|| {
        for state in ["open", "pending", "suspended", "closed"] {
            assert_eq!(bench.keys(&["--state", state]), [state]);
        }
        assert_eq!(bench.keys(&["--state", "interrupted"]), ["k"]);
        assert_eq!(bench.keys(&["--state", "running"]), Vec::<String>::new());
        assert_eq!(bench.keys(&["--label", "work"]), ["open", "pending"]);
        assert_eq!(bench.keys(&["--label", "work", "--label", "home"]), ["pending"]);
        assert_eq!(bench.keys(&["--label", "wor"]), Vec::<String>::new());
        // The limit is one of what is wanted.
        assert_eq!(bench.keys(&["--state", "suspended", "--limit", "1"]), ["suspended"]);
        assert_eq!(bench.session("pending")["labels"], json!(["home", "work"]));
    });
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_reset_closes_a_generation_and_an_append_opens_the_next() {
    let bench = Bench::interrupted();
    bench.run(&["title", "k", "first"]).expect(0);
    let row = changed(bench.run(&["reset", "k", "--reason", "new topic", "--json"]), true);
    assert_eq!((&row["state"], &row["turn"], &row["generation"]), (&json!("closed"), &Value::Null, &json!(1)));
    changed(bench.run(&["reset", "k", "--json"]), false);
    assert_eq!(bench.run(&["reset", "k"]).expect(0).stdout, "k generation 1: was closed already, nothing changed\n");
    assert_eq!(bench.run(&["resumable"]).expect(0).stdout, "");
    bench.feed(&["append", "k"], b"\"anew\"\n").expect(0);
    assert_eq!(
        bench.run(&["reset", "k"]).expect(0).stdout,
        "k generation 2: closed, the next append begins generation 3\n"
    );
    bench.each(|| {
        assert_eq!(bench.session("k")["title"], Value::Null);
        let old = bench.run(&["info", "k", "--generation", "1", "--json"]).expect(0);
        assert_eq!(old.of_type("session")[0]["title"], "first");
        let marks = old.of_type("mark");
        assert_eq!(marks.last().unwrap()["reason"], "new topic", "{marks:?}");
        let last = bench.run(&["info", "k", "--generation", "1", "--marks", "1", "--json"]).expect(0);
        assert_eq!((last.of_type("mark").len(), &last.summary()["marks_left_out"]), (1, &json!(true)));
        assert_eq!(last.of_type("mark")[0], *marks.last().unwrap());
    });
    bench.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_follower_goes_on_after_a_reset_by_command() {
    let bench = Bench::with_records("k", 1);
    let mut follower = bench.start(&["tail", "k", "-f"]);
    assert_eq!(follower.line(), "{\"n\":1}\n");
    bench.run(&["mark", "k", "suspend", "--reason", "r"]).expect(0);
    bench.run(&["reset", "k"]).expect(0);
    bench.feed(&["append", "k"], b"\"anew\"\n").expect(0);
    assert_eq!(follower.line(), "\"anew\"\n");
    follower.signal(rustix::process::Signal::TERM);
    assert_eq!(follower.wait().expect(0).stdout, "");
}

#[test]
fn titles_and_labels_are_given_shown_and_taken_away() {
    let bench = Bench::with_records("k", 1);
    assert_eq!(changed(bench.run(&["title", "k", "a b", "--json"]), true)["title"], "a b");
    assert!(bench.run(&["list"]).expect(0).stdout.ends_with("  a b\n"));
    assert_eq!(changed(bench.run(&["title", "k", "", "--json"]), true)["title"], Value::Null);
    bench.each(|| assert_eq!(bench.session("k")["title"], Value::Null));
    assert_eq!(bench.run(&["label", "k"]).expect(0).stdout, "");
    assert_eq!(changed(bench.run(&["label", "k", "one", "two", "--json"]), true)["labels"], json!(["one", "two"]));
    let before = bench.content();
    assert_eq!(bench.run(&["label", "k"]).expect(0).stdout, "one\ntwo\n");
    assert_eq!(changed(bench.run(&["label", "k", "--json"]), false)["labels"], json!(["one", "two"]));
    assert!(bench.content() == before);
    assert_eq!(changed(bench.run(&["label", "k", "three", "--json"]), true)["labels"], json!(["three"]));
    assert_eq!(changed(bench.run(&["label", "k", "--clear", "--json"]), true)["labels"], json!([]));
    assert_eq!(bench.run(&["title", "k", "-x"]).code, Some(2), "a dash wants --");
    bench.run(&["title", "--", "k", "-x"]).expect(0);
    assert_eq!(bench.session("k")["title"], "-x");
}

#[test]
fn info_tells_the_state_and_the_last_marks() {
    let bench = Bench::interrupted();
    bench.run(&["mark", "k", "resume-pending", "--reason", "restart"]).expect(0);
    let gateway = bench.gateway();
    gateway.session("k").unwrap().note_resume_attempt().unwrap();
    gateway.close().unwrap();
    bench.run(&["label", "k", "home"]).expect(0);
    bench.each(|| {
        let text = bench.run(&["info", "k"]).expect(0).stdout;
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name:12} "))).map(|line| &line[13..]);
            line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
        };
        assert_eq!((value("state"), value("tries"), value("labels")), ("pending".into(), "1".into(), "home".into()));
        assert!(value("open turn").starts_with("since 2"), "{text}");
        assert!(value("pending").starts_with("since 2") && value("pending").ends_with("Z  restart"), "{text}");
        let run = bench.run(&["info", "k", "--json"]).expect(0);
        let marks = run.of_type("mark");
        let told: Vec<_> = marks.iter().map(|mark| mark["mark"].as_str().unwrap()).collect();
        assert_eq!(told, ["turn_started", "resume_pending", "resume_attempted", "labels"]);
        assert_eq!(names(&marks[1]), ["generation", "key", "mark", "reason", "seq", "ts", "type"]);
        assert_eq!((&run.summary()["marks"], &run.summary()["marks_left_out"]), (&json!(4), &json!(false)));
        let session = &run.of_type("session")[0];
        assert_eq!((&session["resume_attempts"], &session["turn"]["seq"]), (&json!(1), &marks[0]["seq"]));
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("mark ")).collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].ends_with("  resume_pending  restart"), "{}", lines[1]);
        let two = bench.run(&["info", "k", "--json", "--marks", "2"]).expect(0);
        assert_eq!((two.of_type("mark")[..] == marks[2..], &two.summary()["marks_left_out"]), (true, &json!(true)));
        assert_eq!(bench.run(&["info", "k", "--json", "--marks", "0"]).expect(0).of_type("mark").len(), 0);
        let shown = bench.run(&["show", "k", "--marks"]).expect(0).stdout;
        for mark in &told {
            assert!(shown.contains(&format!("\"mark\":\"{mark}\"")), "{shown}");
        }
    });
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "{\"n\":1}\n\"question\"\n");
    assert_eq!(bench.run(&["tail", "k"]).expect(0).stdout, "{\"n\":1}\n\"question\"\n");
    bench.run(&["verify", "--deep"]).expect(0);
    // By default the last 20.
    for n in 0..20 {
        bench.run(&["title", "k", &n.to_string()]).expect(0);
    }
    let marks = bench.run(&["info", "k", "--json"]).expect(0).of_type("mark");
    assert_eq!((marks.len(), &marks[0]["title"], &marks[19]["title"]), (20, &json!("0"), &json!("19")));
}

#[test]
fn no_reason_title_or_label_talks_to_the_terminal() {
    let bench = Bench::with_records("k", 1);
    let mut runs = vec![
        bench.run(&["title", "k", HOSTILE]).expect(0),
        bench.run(&["label", "k", HOSTILE]).expect(0),
        bench.run(&["label", "k"]).expect(0),
        bench.run(&["mark", "k", "resume-pending", "--reason", HOSTILE]).expect(0),
        bench.run(&["resumable"]).expect(0),
        bench.run(&["list"]).expect(0),
        bench.run(&["info", "k"]).expect(0),
        bench.run(&["mark", "k", "suspend", "--reason", HOSTILE]).expect(0),
        bench.run(&["mark", "k", "resume-pending", "--reason", "r"]).expect(1),
        bench.run(&["info", "k"]).expect(0),
        bench.run(&["reset", "k", "--reason", HOSTILE]).expect(0),
        bench.run(&["info", "k"]).expect(0),
    ];
    runs.push(bench.run(&["mark", HOSTILE, "clear"]).expect(6));
    for run in &runs {
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        }
    }
    assert_eq!([&runs[2], &runs[4], &runs[5]].map(|run| run.stdout.lines().count()), [1, 1, 1]);
    assert_eq!(bench.session("k")["labels"], json!([HOSTILE]));
}
