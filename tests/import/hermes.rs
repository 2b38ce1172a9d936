//! hermes-agent before its database: transcripts, and the routing beside them.

use serde_json::{Value, json};

use super::*;

const ID: &str = "20260319_052206_eee156a5";
const DM: &str = "agent:main:telegram:dm:123456789";
const GROUP: &str = "agent:main:discord:group:987:t1";

#[test]
fn the_samples() {
    let bench = Bench::new();
    let transcript = fixture(&format!("hermes/{ID}.jsonl"));
    bench.write(&format!("{ID}.jsonl"), &transcript);
    for name in ["sessions.json", "restart_failure_counts.json", "restart_loop.json"] {
        bench.write(name, &fixture(&format!("hermes/{name}")));
    }
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), Vec::<&str>::new());
    let keys: Vec<_> = imported.sessions.iter().map(|session| (session.key.as_str(), session.messages)).collect();
    assert_eq!(keys, [(&*format!("hermes:{ID}"), 4), (DM, 0), (GROUP, 0)]);
    // The first line is the gateway's.
    let lines: Vec<&str> = std::str::from_utf8(&transcript).unwrap().lines().collect();
    assert_eq!(bench.view(&format!("hermes:{ID}")), lines[1..]);
    assert_eq!(bench.original(&format!("hermes:{ID}")), transcript);
    let row = |key: &str| bench.store.session(key).unwrap().row().unwrap();
    assert_eq!((row(DM).state, row(DM).title.as_deref()), (sesslog::SessionState::Pending, Some("Alice")));
    assert_eq!((row(GROUP).state, row(GROUP).title.as_deref()), (sesslog::SessionState::Suspended, Some("ops")));
    let records = bench.store.session(DM).unwrap().records().unwrap();
    let known: Vec<Value> = records
        .filter_map(|item| match item.unwrap() {
            Item::Record(record) if record.kind() == "meta.import.registry" => Some(record.parse().unwrap()),
            _ => None,
        })
        .collect();
    let registry: Value = serde_json::from_slice(&fixture("hermes/sessions.json")).unwrap();
    assert_eq!(known, [registry[DM].clone(), json!({"restart_failure_count": 2})]);
    let again = bench.import(&ImportOptions::new());
    assert!(
        again.sessions.iter().all(|session| (session.state, session.records) == (State::Unchanged, 0)),
        "{again:?}"
    );
}

#[test]
fn the_routing_gives_a_transcript_its_key_and_state() {
    let bench = Bench::new();
    bench.write(&format!("{ID}.jsonl"), &fixture(&format!("hermes/{ID}.jsonl")));
    let route = |suspended: bool| {
        let entry = json!({"session_key": DM, "session_id": ID, "suspended": suspended, "resume_pending": true,
            "resume_reason": "restart_timeout"});
        bench.write("sessions.json", json!({"_README": "Not one.", DM: entry}).to_string().as_bytes());
    };
    let state = || bench.store.session(DM).unwrap().row().unwrap().state;
    route(false);
    assert_eq!(
        (only(&bench.import(&ImportOptions::new())), state()),
        ((DM.to_owned(), State::New), sesslog::SessionState::Pending)
    );
    route(true);
    assert_eq!(
        (only(&bench.import(&ImportOptions::new())).1, state()),
        (State::Grown, sesslog::SessionState::Suspended)
    );
    route(false);
    assert_eq!((only(&bench.import(&ImportOptions::new())).1, state()), (State::Grown, sesslog::SessionState::Pending));
    assert_eq!(only(&bench.import(&ImportOptions::new())).1, State::Unchanged);
}
