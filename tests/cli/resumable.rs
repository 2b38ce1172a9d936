//! What a start of a gateway would find, and where the store keeps its starts: `resumable`, and the session `~store`.

use std::fs;

use serde_json::{Value, json};
use sesslog::resume::ResumePolicy;
use sesslog::{SessionKey, Timestamp};

use super::{Bench, everything, names};

#[test]
fn resumable_judges_and_changes_nothing() {
    let bench = Bench::interrupted();
    for key in ["waiting", "tired", "old", "held", "plain", "off"] {
        bench.feed(&["append", key], b"1\n").expect(0);
    }
    let line = r#"{"key":"old","ts":"2020-01-01T00:00:00.000Z","body":1}"#;
    bench.run(&["mark", "waiting", "resume-pending", "--reason", "restart now"]).expect(0);
    bench.run(&["mark", "off", "suspend", "--reason", "loops"]).expect(0);
    let gateway = bench.gateway();
    drop(gateway.session("old").unwrap().begin_turn(vec![]).unwrap());
    gateway.session("old").unwrap().release().unwrap();
    bench.feed(&["append"], line.as_bytes()).expect(0);
    let tired = gateway.session("tired").unwrap();
    tired.mark_resume_pending("restart").unwrap();
    for _ in 0..3 {
        tired.note_resume_attempt().unwrap();
    }
    tired.release().unwrap();
    let turn = gateway.session("held").unwrap().begin_turn(vec![]).unwrap();
    let before = everything(&bench.store());
    let run = bench.run(&["resumable", "--json"]).expect(0);
    let sessions = run.of_type("session");
    assert_eq!(
        names(&sessions[0]),
        ["age_seconds", "generation", "key", "reason", "resume_attempts", "since", "type", "verdict", "why"]
    );
    let verdict = |key: &str, sessions: &[Value]| {
        let session = sessions.iter().find(|session| session["key"] == key).unwrap();
        [&session["why"], &session["reason"], &session["resume_attempts"], &session["verdict"]].map(Clone::clone)
    };
    assert_eq!(sessions.len(), 5, "{sessions:?}");
    assert_eq!(sessions[0]["key"], "old", "the oldest comes first");
    assert_eq!(verdict("k", &sessions), [json!("interrupted"), Value::Null, json!(0), json!("resume")]);
    assert_eq!(verdict("old", &sessions), [json!("interrupted"), Value::Null, json!(0), json!("stale")]);
    assert_eq!(verdict("waiting", &sessions), [json!("pending"), json!("restart now"), json!(0), json!("resume")]);
    assert_eq!(verdict("tired", &sessions), [json!("pending"), json!("restart"), json!(3), json!("exhausted")]);
    assert_eq!(verdict("held", &sessions), [json!("interrupted"), Value::Null, json!(0), json!("running")]);
    let summary = run.summary();
    let counts = ["sessions", "resume", "stale", "exhausted", "running", "unreadable"].map(|name| &summary[name]);
    assert_eq!(counts, [&json!(5), &json!(2), &json!(1), &json!(1), &json!(1), &json!(0)]);
    let text = bench.run(&["resumable"]).expect(0);
    assert_eq!(text.stderr, "");
    let waiting: Vec<_> =
        text.stdout.lines().find(|line| line.starts_with("waiting")).unwrap().split_whitespace().collect();
    assert_eq!(waiting[..3], ["waiting", "1", "pending"]);
    assert_eq!(waiting[4..], ["0", "resume", "restart", "now"]);
    let loose = bench.run(&["resumable", "--json", "--fresh", "0", "--attempts", "0"]).expect(0).of_type("session");
    for key in ["old", "tired"] {
        assert_eq!(verdict(key, &loose)[3], "resume");
    }
    let tight = bench.run(&["resumable", "--json", "--attempts", "4"]).expect(0).of_type("session");
    assert_eq!(verdict("tired", &tight)[3], "resume");
    assert!(everything(&bench.store()) == before, "a look changed something");
    drop(turn);
    gateway.close().unwrap();

    // A start agrees.
    let resumable = bench.gateway().resume_candidates(Timestamp::now(), &ResumePolicy::new()).unwrap();
    let mut offered: Vec<_> = resumable.offered.iter().map(|row| row.key.as_str()).collect();
    offered.sort_unstable();
    assert_eq!(offered, ["held", "k", "waiting"]);
    assert_eq!((resumable.stale[0].key.as_str(), resumable.suspended[0].key.as_str()), ("old", "tired"));
    assert_eq!(bench.session("tired")["state"], "suspended");
}

#[test]
fn too_many_starts_show_beforehand() {
    let bench = Bench::interrupted();
    for start in 1..=5 {
        let run = bench.run(&["resumable", "--json"]).expect(0);
        assert_eq!(run.summary()["held_back"], start == 5, "start {start}");
        let found = bench.gateway().resume_candidates(Timestamp::now(), &ResumePolicy::new()).unwrap();
        assert_eq!(found.held_back.len(), usize::from(start == 5), "start {start}");
    }
    let run = bench.run(&["resumable"]).expect(0);
    assert!(run.stderr.starts_with("held back: "), "{}", run.stderr);
    bench.run(&["mark", "k", "suspend", "--reason", "it loops"]).expect(0);
    let run = bench.run(&["resumable"]).expect(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
}

#[test]
fn the_stores_own_session_is_hidden_and_looked_after() {
    let bench = Bench::interrupted();
    bench.gateway().resume_candidates(Timestamp::now(), &ResumePolicy::new()).unwrap();
    assert_eq!(bench.keys(&[]), ["k"]);
    assert_eq!(bench.keys(&["--all-generations"]), ["k"]);
    assert_eq!(bench.keys(&["--state", "open"]), Vec::<String>::new());
    assert_eq!(bench.keys(&["--own"]), ["k", "~store"]);
    let marks = bench.run(&["info", "~store", "--json"]).expect(0).of_type("mark");
    let marks: Vec<_> = marks.iter().map(|mark| mark["mark"].as_str().unwrap()).collect();
    assert_eq!(marks, ["started", "resumes_found", "stopped"]);
    assert_eq!(bench.run(&["verify", "--json"]).expect(0).summary()["sessions"], 2);
    assert_eq!(bench.run(&["rebuild-index", "--json"]).expect(0).summary()["sessions"], 2);
    let path = bench.transcript("~store", 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(path, bytes).unwrap();
    bench.run(&["verify"]).expect(3);
    // What is left to say is said.
    fs::remove_file(bench.store().join("registry.jsonl")).unwrap();
    let run = bench.run(&["resumable", "--json"]).expect(3);
    assert_eq!(run.of_type("session")[0]["key"], "k");
    assert!(run.summary()["unreadable"].as_u64() > Some(0), "{run:?}");
}

#[test]
fn two_who_look_do_not_take_each_other_for_a_writer() {
    let bench = Bench::interrupted();
    // As a killed writer leaves it.
    let name = format!("{}.lock", SessionKey::new("k").unwrap().file_stem());
    let lock = fs::File::create(bench.store().join("locks").join(name)).unwrap();
    let verdict = || bench.run(&["resumable", "--json"]).expect(0).of_type("session")[0]["verdict"].clone();
    assert!(lock.try_lock_shared().is_ok());
    assert_eq!((verdict(), bench.keys(&["--state", "interrupted"])), (json!("resume"), vec!["k".to_owned()]));
    lock.unlock().unwrap();
    assert!(lock.try_lock().is_ok());
    assert_eq!((verdict(), bench.keys(&["--state", "running"])), (json!("running"), vec!["k".to_owned()]));
}
