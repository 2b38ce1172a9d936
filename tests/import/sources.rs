//! What is found below the paths that are named, and what is said of it.

use sesslog::import::{FindingKind, System, compare, plan};

use super::*;

#[test]
fn each_file_is_taken_for_what_it_looks_like() {
    let bench = Bench::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/histories");
    let imported = import(&bench.store, &[folder], &ImportOptions::new(), &Progress::default());
    assert_eq!(names(&imported), [""; 0]);
    let mut found: Vec<_> = imported.sessions.iter().map(|session| (session.system, session.key.to_string())).collect();
    found.sort();
    let agent = "claude-code:123e4567-e89b-12d3-a456-426614174000";
    let expected = [
        (System::Openclaw, "agent:main:main"),
        (System::Openclaw, "agent:main:telegram:group:-100123:topic:77"),
        (System::Openclaw, "cron:nightly"),
        (System::Pi, "pi:01a200bc-f0d9-7460-96d6-036c2428b0ad"),
        (System::Codex, "codex:019b0000-0000-7000-8000-000000000001"),
        (System::Codex, "codex:019c0000-0000-7000-8000-000000000002"),
        (System::Hermes, "agent:main:discord:group:987:t1"),
        (System::Hermes, "agent:main:telegram:dm:123456789"),
        (System::Hermes, "hermes:20260319_052206_eee156a5"),
        (System::Nanobot, "discord:guild:123/thread:456"),
        (System::Nanobot, "telegram:8281248569"),
        (System::Nanobot, "websocket:123e4567-e89b-12d3-a456-426614174000"),
        (System::ClaudeCode, agent),
        (System::ClaudeCode, &format!("{agent}:agent-a1b2c3")),
        (System::Jsonl, "jsonl:chat"),
    ];
    assert_eq!(found, expected.map(|(system, key)| (system, key.to_owned())));
    let row = bench.store.session("telegram:8281248569").unwrap().row().unwrap();
    assert_eq!((row.title.as_deref(), row.updated.as_str()), (Some("Email triage"), "2026-11-22T00:51:01.896Z"));
}

#[test]
fn what_is_no_history_is_said_and_the_rest_is_imported() {
    let bench = Bench::new();
    let chat = fixture("jsonl/chat.jsonl");
    bench.write("a.jsonl", &chat);
    bench.write("notes.jsonl", b"no JSON at all\n");
    bench.write("image.png", b"\x89PNG");
    bench.write("below/b.jsonl", &chat);
    bench.write("below/a.jsonl", &chat);
    let outside = bench.folder.path().join("outside.jsonl");
    fs::write(&outside, &chat).unwrap();
    std::os::unix::fs::symlink(&outside, bench.sources().join("link.jsonl")).unwrap();
    std::os::unix::fs::symlink(bench.folder.path(), bench.sources().join("up")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.sources().join("dangling.jsonl")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.sources().join("pipe.jsonl"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let paths = [bench.sources(), bench.folder.path().join("gone.jsonl"), bench.sources().join("a.jsonl"), outside];
    let imported = import(&bench.store, &paths, &ImportOptions::new(), &Progress::default());
    let mut found: Vec<_> = imported
        .findings
        .iter()
        .map(|finding| (finding.path.file_name().unwrap().to_str().unwrap(), finding.kind.name()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("a.jsonl", "key-claimed"),
            ("dangling.jsonl", "symbolic-link"),
            ("gone.jsonl", "unreadable"),
            ("link.jsonl", "symbolic-link"),
            ("notes.jsonl", "not-a-history"),
            ("pipe.jsonl", "not-a-file"),
            ("up", "symbolic-link"),
        ]
    );
    let keys: Vec<_> = imported.sessions.iter().map(|session| session.key.as_str()).collect();
    assert_eq!(keys, ["jsonl:a", "jsonl:b", "jsonl:outside"]);
    assert_eq!(imported.passed_over, 1);
    let claimed = imported.findings.iter().find(|finding| finding.kind.name() == "key-claimed").unwrap();
    let FindingKind::KeyClaimed { by } = &claimed.kind else { panic!("{claimed:?}") };
    assert_eq!((by, &claimed.path), (&bench.sources().join("a.jsonl"), &bench.sources().join("below/a.jsonl")));
}

#[test]
fn a_mix_of_systems_is_said() {
    let bench = Bench::new();
    let name = "dGVsZWdyYW06ODI4MTI0ODU2OQ.jsonl";
    bench.write(name, &fixture(&format!("nanobot/{name}")));
    bench.write("pi.jsonl", &fixture("pi/v3-all-entry-types.jsonl"));
    bench.write("empty.jsonl", b"");
    let imported = bench.import(&ImportOptions::new().from(System::Pi));
    assert_eq!(names(&imported), ["other-system"]);
    assert!(matches!(imported.findings[0].kind, FindingKind::OtherSystem(System::Nanobot)));
    let keys: Vec<_> = imported.sessions.iter().map(|session| session.key.as_str()).collect();
    assert_eq!(keys, ["pi:empty", "pi:01a200bc-f0d9-7460-96d6-036c2428b0ad"]);
}

#[test]
fn keys_that_can_not_be_are_replaced() {
    let bench = Bench::new();
    bench.write("x.jsonl", b"{\"_type\": \"metadata\", \"key\": \"~store\", \"created_at\": \"\"}\n");
    bench.write(
        "y.jsonl",
        format!("{{\"_type\": \"metadata\", \"key\": \"{}\", \"created_at\": \"\"}}\n", "k".repeat(600)).as_bytes(),
    );
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), ["key-replaced", "key-replaced"]);
    let keys: Vec<_> = imported.sessions.iter().map(|session| session.key.as_str()).collect();
    assert_eq!(keys, ["nanobot:x", "nanobot:y"]);
}

#[test]
fn damage_makes_no_keys() {
    for (of, name, key) in
        [("pi", "2026-11-22T00-51-52-154Z_01a2.jsonl", "pi:01a2"), ("pi", "x.jsonl", "pi:x")].into_iter().chain([
            ("nanobot", "dGVsZWdyYW06ODI4MTI0ODU2OQ.jsonl", "telegram:8281248569"),
            ("nanobot", "x.jsonl", "nanobot:x"),
        ])
    {
        for id in [&b"a\0\0"[..], b"a\\u0000", b"a\\u001b[2J", b"a\x1b"] {
            let bench = Bench::new();
            let head = match of {
                "pi" => [b"{\"type\":\"session\",\"timestamp\":\"2026-11-22T00:51:52.154Z\",\"id\":\"", id, b"\"}\n"]
                    .concat(),
                _ => [b"{\"_type\":\"metadata\",\"created_at\":\"\",\"key\":\"", id, b"\"}\n"].concat(),
            };
            bench.write(name, &head);
            assert_eq!(only(&bench.import(&ImportOptions::new())).0, key, "{}", id.escape_ascii());
        }
    }
    // A bad byte in the first line: the file's name knows better, if it knows.
    for (name, key) in [("dGVsZWdyYW06ODI4MTI0ODU2OQ.jsonl", "telegram:8281248569"), ("x.jsonl", "a\u{fffd}")] {
        let bench = Bench::new();
        bench.write(name, b"{\"_type\":\"metadata\",\"created_at\":\"\",\"key\":\"a\xff\"}\n");
        assert_eq!(only(&bench.import(&ImportOptions::new())).0, key);
    }
}

#[test]
fn a_plan_writes_nothing() {
    let bench = Bench::new();
    bench.write("a.jsonl", &fixture("jsonl/chat.jsonl"));
    let planned = |store: Option<&Store>| plan(store, &[bench.sources()], &ImportOptions::new(), &Progress::default());
    let (without, with) = (planned(None), planned(Some(&bench.store)));
    assert_eq!(without.sessions, with.sessions);
    assert!(bench.store.sessions().unwrap().is_empty());
    assert_eq!(bench.import(&ImportOptions::new()).sessions, without.sessions);
    assert_eq!(planned(Some(&bench.store)).sessions[0].state, State::Unchanged);
}

#[test]
fn a_comparison_finds_every_byte_that_is_not_there() {
    let bench = Bench::new();
    let chat = fixture("jsonl/chat.jsonl");
    let path = bench.write("a.jsonl", &chat);
    let compared = || compare(&bench.store, &[bench.sources()], &ImportOptions::new(), &Progress::default());
    let found = || -> Vec<_> {
        let found = compared().findings;
        found.iter().map(|finding| (finding.kind.name(), finding.offset, finding.bytes)).collect()
    };
    let length = u64::try_from(chat.len()).unwrap();
    assert_eq!(found(), [("not-imported", 0, length)]);
    bench.import(&ImportOptions::new());
    assert_eq!(found(), []);
    assert_eq!(compared().kept.iter().map(|kept| (kept.generation, kept.bytes)).collect::<Vec<_>>(), [(1, length)]);
    for at in 0..chat.len() {
        let mut bytes = chat.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let at = u64::try_from(at).unwrap();
        let compared = compared();
        // A first line that is no JSON any more, or another system's, is said as such.
        let finding = &compared.findings[0];
        assert!(!matches!(finding.kind, FindingKind::Differs) || finding.offset == at, "{finding:?}");
        assert!(compared.kept.is_empty(), "{at}");
    }
    fs::write(&path, [&chat[..], b"more\n"].concat()).unwrap();
    assert_eq!(found(), [("missing", length, 5)]);
    fs::write(&path, &chat[..chat.len() - 1]).unwrap();
    assert_eq!(found(), [("differs", length - 1, 0)]);
}

#[test]
fn a_comparison_says_where_an_import_is_no_help() {
    let advice = |bench: &Bench| {
        let compared = compare(&bench.store, &[bench.sources()], &ImportOptions::new(), &Progress::default());
        (compared.findings[0].kind.name(), compared.findings[0].advice().unwrap())
    };
    let bench = Bench::new();
    let path = bench.write("a.jsonl", b"{\"role\":\"user\"}\n");
    assert_eq!(advice(&bench), ("not-imported", "sessctl import, which adds what is not there".to_owned()));
    bench.import(&ImportOptions::new());
    let session = bench.store.session("jsonl:a").unwrap();
    session.append(sesslog::NewRecord::new("own").unwrap()).unwrap();
    fs::write(&path, b"{\"role\":\"assistant\"}\n").unwrap();
    let (name, advice_of) = advice(&bench);
    assert!(name == "diverged" && advice_of.contains("sessctl reset"), "{name}: {advice_of}");
    let bench = Bench::new();
    bench.write("a.jsonl", b"{\"role\":\"user\"}\n");
    let session = bench.store.session("jsonl:a").unwrap();
    session.append(sesslog::NewRecord::new("own").unwrap()).unwrap();
    let (name, advice_of) = advice(&bench);
    assert!(name == "key-taken" && advice_of.contains("--key-prefix"), "{name}: {advice_of}");
}

#[test]
fn a_record_that_no_import_wrote_is_said() {
    let bench = Bench::new();
    bench.write("a.jsonl", b"{\"role\":\"user\"}\n");
    bench.import(&ImportOptions::new());
    let session = bench.store.session("jsonl:a").unwrap();
    let bad = sesslog::NewRecord::new("no bytes").unwrap().kind("meta.import.raw").unwrap().id("import:2").unwrap();
    let seq = session.append(bad).unwrap().seq;
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), ["bad-import"]);
    let FindingKind::BadImport { generation: 1, seq: at } = imported.findings[0].kind else { panic!("{imported:?}") };
    assert_eq!(at, seq);
    assert!(!imported.findings[0].advice().unwrap().contains("--key-prefix"));
}

#[test]
fn a_long_first_line_is_looked_at() {
    let bench = Bench::new();
    let name = "0a6ed333-9514-4a65-a748-85a4d0785b7b.jsonl";
    let entry = format!(
        "{{\"type\":\"user\",\"uuid\":\"u\",\"parentUuid\":null,\"sessionId\":\"s\",\"message\":{{\"content\":\"{}\"}}}}\n",
        "x".repeat(3 << 20)
    );
    bench.write(name, entry.as_bytes());
    assert_eq!(
        only(&bench.import(&ImportOptions::new())).0,
        format!("claude-code:{}", name.trim_end_matches(".jsonl"))
    );
}

/// Two homes of one system have sessions of the same key: the second is not imported over the first.
#[test]
fn another_homes_session_of_the_same_key_is_not_ours() {
    let bench = Bench::new();
    let line = |text: &str| format!("{{\"role\":\"user\",\"content\":\"{text}\"}}\n");
    let history = |text: &str| {
        let first = r#"{"_type":"metadata","key":"cli:direct","created_at":"2026-01-01T00:00:00","updated_at":"2026-01-01T00:00:00","metadata":{},"last_consolidated":0}"#;
        format!("{first}\n{}", line(text))
    };
    let name = "Y2xpOmRpcmVjdA.jsonl";
    let first = bench.write(&format!("a/sessions/{name}"), history("one").as_bytes());
    let second = bench.write(&format!("b/sessions/{name}"), history("two").as_bytes());
    let run = |path: &Path| import(&bench.store, &[path.to_owned()], &ImportOptions::new(), &Progress::default());
    assert_eq!(only(&run(&first)), ("cli:direct".to_owned(), State::New));
    let refused = run(&second);
    assert!(refused.sessions.is_empty() && matches!(refused.findings[0].kind, FindingKind::KeyTaken), "{refused:?}");
    assert_eq!(bench.store.session("cli:direct").unwrap().generation().unwrap(), 1);
    // Under a prefix of its own it is.
    let options = ImportOptions::new().key_prefix("b:");
    let imported = import(&bench.store, &[second], &options, &Progress::default());
    assert_eq!(only(&imported), ("b:cli:direct".to_owned(), State::New));
    // A file of the same home is still the key's next one.
    bench.write(&format!("a/sessions/{name}"), history("three").as_bytes());
    assert_eq!(only(&run(&first)), ("cli:direct".to_owned(), State::NextGeneration));
}
