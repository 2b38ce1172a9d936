//! openclaw: which of its files are histories, whose they are, and what the registry knows of them.

use serde_json::{Value, json};

use super::*;

const ID: &str = "0a6ed333-9514-4a65-a748-85a4d0785b7b";
const TOPIC: &str = "agent:main:telegram:group:-100123:topic:77";

fn transcript() -> Vec<u8> {
    fixture(&format!("openclaw/{ID}.jsonl"))
}

fn registry() -> Value {
    serde_json::from_slice(&fixture("openclaw/sessions.json")).unwrap()
}

/// The bodies of a session's records of a kind.
fn of_kind(bench: &Bench, key: &str, kind: &str) -> Vec<Value> {
    let records = bench.store.session(key).unwrap().records().unwrap();
    let records = records.filter_map(|item| match item.unwrap() {
        Item::Record(record) if record.kind() == kind => Some(record.parse().unwrap()),
        _ => None,
    });
    records.collect()
}

#[test]
fn histories_are_imported_and_what_repeats_them_is_not() {
    let bench = Bench::new();
    bench.write("sessions.json", &fixture("openclaw/sessions.json"));
    let time = "2026-01-01T00-00-00.000Z";
    for name in [
        format!("{ID}.jsonl"),
        format!("{ID}.checkpoint.11111111-1111-4111-8111-111111111111.jsonl"),
        format!("{ID}.jsonl.bak-4711-1777200000000"),
        format!("{ID}.jsonl.repair-4711-1777200000000.tmp"),
        format!("old.jsonl.reset.{time}"),
        format!("old.jsonl.deleted.{time}"),
        format!("old.jsonl.bak.{time}"),
        "b1b2b3b4-0000-4000-8000-000000000002-topic-77.jsonl".to_owned(),
        "sess-1-topic-topic%2Fa%2Bb.jsonl".to_owned(),
    ] {
        bench.write(&name, &transcript());
    }
    let other = String::from_utf8(transcript()).unwrap().replace(ID, "0a6ed333-0000-4000-8000-000000000000");
    bench.write("keep.deleted.keep.jsonl", other.as_bytes());
    bench.write(&format!("{ID}.jsonl.lock"), &fixture(&format!("openclaw/{ID}.jsonl.lock")));
    bench.write(&format!("{ID}.trajectory.jsonl"), b"{\"traceSchema\":\"openclaw-trajectory\"}\n");
    bench.write("sessions.json.bak.1737420882", b"{}");
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), Vec::<&str>::new());
    let keys: Vec<_> = imported.sessions.iter().map(|session| session.key.to_string()).collect();
    assert_eq!(
        keys,
        [
            "agent:main:main".to_owned(),
            TOPIC.to_owned(),
            "openclaw:0a6ed333-0000-4000-8000-000000000000".to_owned(),
            format!("openclaw:old.deleted.{time}"),
            format!("openclaw:old.reset.{time}"),
            "openclaw:sess-1-topic-topic%2Fa%2Bb".to_owned(),
            // No more than the registry knows of it.
            "cron:nightly".to_owned(),
        ]
    );
    assert_eq!(bench.original("agent:main:main"), transcript());
    assert_eq!(bench.original(&format!("openclaw:old.reset.{time}")), transcript());
    let again = bench.import(&ImportOptions::new());
    assert!(
        again.sessions.iter().all(|session| (session.state, session.records) == (State::Unchanged, 0)),
        "{again:?}"
    );
    let compared =
        sesslog::import::compare(&bench.store, &[bench.sources()], &ImportOptions::new(), &Progress::default());
    assert_eq!((compared.kept.len(), compared.findings.len()), (7, 0));
}

#[test]
fn what_the_registry_knows_becomes_marks() {
    let bench = Bench::new();
    bench.write("sessions.json", &fixture("openclaw/sessions.json"));
    bench.write(&format!("{ID}.jsonl"), &transcript());
    bench.import(&ImportOptions::new());
    for (key, entry) in registry().as_object().unwrap() {
        assert_eq!(of_kind(&bench, key, "meta.import.registry"), std::slice::from_ref(entry), "{key}");
    }
    let row = bench.store.session(TOPIC).unwrap().row().unwrap();
    assert_eq!((row.state, row.title.as_deref()), (sesslog::SessionState::Pending, Some("ops")));
    let row = bench.store.session("agent:main:main").unwrap().row().unwrap();
    assert_eq!((row.state, row.title.as_deref()), (sesslog::SessionState::Open, None));

    // It went on, and the user named it.
    let mut entries = registry();
    entries[TOPIC]["status"] = json!("done");
    entries[TOPIC]["label"] = json!("Operations");
    entries[TOPIC]["pinnedAt"] = json!(1_777_207_000_000_u64);
    bench.write("sessions.json", entries.to_string().as_bytes());
    let imported = bench.import(&ImportOptions::new());
    let state = |key: &str| imported.sessions.iter().find(|session| session.key.as_str() == key).unwrap().state;
    assert_eq!((state(TOPIC), state("cron:nightly")), (State::Grown, State::Unchanged));
    let row = bench.store.session(TOPIC).unwrap().row().unwrap();
    assert_eq!((row.state, row.title.as_deref()), (sesslog::SessionState::Open, Some("Operations")));
    assert_eq!(row.status.labels, ["pinned"]);
    assert_eq!(of_kind(&bench, TOPIC, "meta.import.registry").len(), 2);
}

#[test]
fn a_key_that_goes_on_in_another_file_is_the_next_generation() {
    let bench = Bench::new();
    bench.write("sessions.json", &fixture("openclaw/sessions.json"));
    bench.write(&format!("{ID}.jsonl"), &transcript());
    bench.import(&ImportOptions::new());
    let next = String::from_utf8(transcript()).unwrap().replace(ID, "11111111-9514-4a65-a748-85a4d0785b7b");
    fs::rename(
        bench.sources().join(format!("{ID}.jsonl")),
        bench.sources().join(format!("{ID}.jsonl.reset.2026-01-01")),
    )
    .unwrap();
    bench.write("11111111-9514-4a65-a748-85a4d0785b7b.jsonl", next.as_bytes());
    let mut entries = registry();
    entries["agent:main:main"] = json!({"sessionId": "11111111-9514-4a65-a748-85a4d0785b7b"});
    bench.write("sessions.json", entries.to_string().as_bytes());
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), Vec::<&str>::new());
    let session = imported.sessions.iter().find(|session| session.key.as_str() == "agent:main:main").unwrap();
    assert_eq!((session.state, session.generation), (State::NextGeneration, 2));
    assert_eq!(bench.original("agent:main:main"), next.as_bytes());
}

#[test]
fn a_registry_that_can_not_be_read_is_said() {
    let bench = Bench::new();
    let entries = fixture("openclaw/sessions.json");
    bench.write("sessions.json", &entries[..entries.len() / 2]);
    bench.write(&format!("{ID}.jsonl"), &transcript());
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), ["bad-registry"]);
    assert_eq!(only(&imported).0, format!("openclaw:{ID}"));
}

#[test]
fn what_only_a_registry_knows_has_no_source_to_give_back() {
    let bench = Bench::new();
    bench.write("sessions.json", &fixture("openclaw/sessions.json"));
    bench.import(&ImportOptions::new());
    let session = bench.store.session("cron:nightly").unwrap();
    let error = write_original(&session, None, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, sesslog::import::OriginalError::Rows { .. }), "{error}");
}
