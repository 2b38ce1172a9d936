//! openclaw's database: the rows of its events give what the lines of a transcript give.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::*;

const ID: &str = "0a6ed333-9514-4a65-a748-85a4d0785b7b";
const KEY: &str = "agent:main:main";

/// The tables of openclaw 2026.9.6, with some of their columns.
const SCHEMA: &str = "
    CREATE TABLE session_nodes (session_key TEXT NOT NULL PRIMARY KEY, current_session_id TEXT NOT NULL,
        entry_json TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT;
    CREATE TABLE session_windows (session_id TEXT NOT NULL PRIMARY KEY, session_key TEXT NOT NULL, reason TEXT,
        created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
    CREATE TABLE transcript_events (session_id TEXT NOT NULL, seq INTEGER NOT NULL, event_json TEXT,
        created_at INTEGER NOT NULL, event_zstd BLOB, event_utf8_bytes INTEGER, navigation_json TEXT,
        PRIMARY KEY (session_id, seq)) STRICT;
    CREATE TABLE session_transcript_cold_archives (session_id TEXT NOT NULL PRIMARY KEY, archive_name TEXT) STRICT;
";

fn database(bench: &Bench) -> Connection {
    let path = bench.write("agents/main/agent/openclaw-agent.sqlite", b"");
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

fn window(connection: &Connection, id: &str) {
    let sql = "INSERT INTO session_windows VALUES (?1, ?2, 'initial', 1777200000000, 1777200000000)";
    connection.execute(sql, [id, KEY]).unwrap();
}

/// Puts an event; the one with a `compressed` seq as openclaw keeps what is long.
fn put(connection: &Connection, seq: usize, event: &str, is_compressed: bool) {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = is_compressed.then(|| ruzstd::encoding::compress_to_vec(event.as_bytes(), level));
    let text = (!is_compressed).then_some(event);
    let sql = "INSERT INTO transcript_events VALUES (?1, ?2, ?3, 1777200000000, ?4, ?5, NULL)";
    connection
        .execute(sql, params![ID, i64::try_from(seq).unwrap(), text, zstd, i64::try_from(event.len()).unwrap()])
        .unwrap();
}

/// The entries that are shown, of rows or lines.
fn shown(bench: &Bench, key: &str) -> (Option<String>, Vec<Value>) {
    let context = bench.store.session(key).unwrap().context().unwrap();
    let entries = context.items.iter().map(|item| {
        let row: Value = serde_json::from_str(&body(item)).unwrap();
        let text = row.get("event_text").filter(|text| text.is_string()).or_else(|| row.get("event_json"));
        text.map_or_else(|| row.clone(), |text| serde_json::from_str(text.as_str().unwrap()).unwrap())
    });
    (context.summary.map(|summary| summary.json().to_owned()), entries.collect())
}

#[test]
fn rows_give_what_lines_give() {
    let source = fixture(&format!("openclaw/{ID}.jsonl"));
    let lines = Bench::new();
    lines.write(&format!("{ID}.jsonl"), &source);
    let key = only(&lines.import(&ImportOptions::new().from(sesslog::import::System::Openclaw))).0;

    let rows = Bench::new();
    let connection = database(&rows);
    window(&connection, ID);
    window(&connection, "before");
    let entry = json!({"sessionId": ID, "displayName": "Mail", "status": "running", "abortedLastRun": true});
    let sql = "INSERT INTO session_nodes VALUES (?1, ?2, ?3, 0)";
    connection.execute(sql, params![KEY, ID, entry.to_string()]).unwrap();
    connection.execute(sql, params!["cron:nightly", "none", json!({"sessionId": "none"}).to_string()]).unwrap();
    let events = String::from_utf8(source).unwrap();
    for (seq, event) in events.lines().enumerate() {
        put(&connection, seq, event, seq == 3);
    }
    let imported = rows.import(&ImportOptions::new());
    assert_eq!(names(&imported), Vec::<&str>::new());
    let keys: Vec<_> = imported.sessions.iter().map(|session| session.key.as_str()).collect();
    assert_eq!(keys, [KEY, "openclaw:before", "cron:nightly"]);
    assert_eq!(shown(&rows, KEY), shown(&lines, &key));
    let row = rows.store.session(KEY).unwrap().row().unwrap();
    assert_eq!((row.state, row.title.as_deref()), (sesslog::SessionState::Pending, Some("Mail")));
    assert_eq!(row.updated, lines.store.session(key).unwrap().row().unwrap().updated);

    // It goes on.
    connection.execute("UPDATE session_windows SET updated_at = 1777200001000", []).unwrap();
    let leaf = json!({"type": "leaf", "id": "f1", "parentId": "e6f7a8b9", "timestamp": "2026-04-26T11:00:01.000Z", "targetId": "a1b2c3d4"});
    put(&connection, 7, &leaf.to_string(), false);
    let imported = rows.import(&ImportOptions::new());
    assert_eq!((imported.sessions[0].state, imported.sessions[0].generation), (State::Grown, 1));
    let (summary, entries) = shown(&rows, KEY);
    assert_eq!((summary, entries.len(), &entries[0]["id"]), (None, 1, &json!("a1b2c3d4")));
    let again = rows.import(&ImportOptions::new());
    assert!(
        again.sessions.iter().all(|session| (session.state, session.records) == (State::Unchanged, 0)),
        "{again:?}"
    );
}

#[test]
fn what_is_put_away_is_said() {
    let bench = Bench::new();
    let connection = database(&bench);
    window(&connection, ID);
    connection.execute("INSERT INTO session_transcript_cold_archives VALUES (?1, 'a.jsonl.zst')", [ID]).unwrap();
    let imported = bench.import(&ImportOptions::new());
    assert_eq!((names(&imported), only(&imported).0), (vec!["database"], format!("openclaw:{ID}")));
}
