//! Databases: rows become records, and neither the database nor what is beside it is touched.

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::*;

const KEY: &str = "agent:main:telegram:dm:1";

/// The tables of hermes-agent 0.19.0, with some of their columns.
const SCHEMA: &str = "
    CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT NOT NULL, session_key TEXT, display_name TEXT,
        started_at REAL NOT NULL, ended_at REAL, end_reason TEXT, message_count INTEGER DEFAULT 0, title TEXT,
        archived INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL REFERENCES sessions(id),
        role TEXT NOT NULL, content TEXT, tool_calls TEXT, timestamp REAL NOT NULL,
        active INTEGER NOT NULL DEFAULT 1, compacted INTEGER NOT NULL DEFAULT 0, api_content TEXT);
    CREATE TABLE gateway_routing (scope TEXT NOT NULL DEFAULT '', session_key TEXT NOT NULL, entry_json TEXT NOT NULL,
        updated_at REAL NOT NULL, PRIMARY KEY (scope, session_key));
";

/// A database with a log beside it, as long as the connection is open.
fn database(bench: &Bench) -> Connection {
    let connection = Connection::open(bench.sources().join("state.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    // Messages of sessions that are gone occur all the same.
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

fn session(connection: &Connection, id: &str, key: Option<&str>) {
    let sql = "INSERT INTO sessions (id, source, session_key, started_at) VALUES (?1, 'telegram', ?2, 1795308674.5)";
    connection.execute(sql, params![id, key]).unwrap();
}

fn say(connection: &Connection, id: &str, text: &str) {
    let sql = "INSERT INTO messages (session_id, role, content, timestamp) VALUES (?1, 'user', ?2, 1795308675.25)";
    connection.execute(sql, params![id, text]).unwrap();
    connection.execute("UPDATE sessions SET message_count = message_count + 1 WHERE id = ?1", [id]).unwrap();
}

/// The texts of the active view.
fn texts(bench: &Bench, key: &str) -> Vec<String> {
    let text = |body: &String| serde_json::from_str::<Value>(body).unwrap()["content"].as_str().unwrap().to_owned();
    bench.view(key).iter().map(text).collect()
}

/// What is in a folder, byte for byte, with all times but those of access to the folder's own list.
fn state_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>, [i64; 6])> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let of = fs::metadata(&entry).unwrap();
        let times = [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec(), of.atime(), of.atime_nsec()];
        all.push((entry, times));
    }
    // What reads the content here changes the time of access.
    all.sort();
    all.into_iter().map(|(path, times)| (path.clone(), fs::read(&path).unwrap(), times)).collect()
}

#[test]
fn rows_become_records_and_nothing_is_touched() {
    let bench = Bench::new();
    let connection = database(&bench);
    session(&connection, "a", Some(KEY));
    connection.execute("UPDATE sessions SET ended_at = 1.0", []).unwrap();
    say(&connection, "a", "before");
    session(&connection, "b", Some(KEY));
    say(&connection, "b", "now");
    session(&connection, "c", None);
    connection.execute("UPDATE sessions SET title = 'Named', archived = 1 WHERE id = 'c'", []).unwrap();
    say(&connection, "c", "\0json:[{\"type\":\"text\"}]");
    say(&connection, "lost", "of no session");
    let entry = json!({"session_key": KEY, "session_id": "b", "display_name": "Alice", "suspended": true});
    let sql = "INSERT INTO gateway_routing VALUES ('', ?1, ?2, 0)";
    connection.execute(sql, params![KEY, entry.to_string()]).unwrap();
    connection
        .execute(sql, params!["agent:main:gone", json!({"session_id": "z", "resume_pending": true}).to_string()])
        .unwrap();
    assert!(bench.sources().join("state.db-wal").is_file() && bench.sources().join("state.db-shm").is_file());

    state_of(&bench.sources());
    let before = state_of(&bench.sources());
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), Vec::<&str>::new());
    let keys: Vec<_> = imported.sessions.iter().map(|session| (session.key.as_str(), session.messages)).collect();
    assert_eq!(keys, [("hermes:a", 1), (KEY, 1), ("hermes:c", 1), ("hermes:lost", 1), ("agent:main:gone", 0)]);
    let again = bench.import(&ImportOptions::new());
    assert!(
        again.sessions.iter().all(|session| (session.state, session.records) == (State::Unchanged, 0)),
        "{again:?}"
    );
    let compared =
        sesslog::import::compare(&bench.store, &[bench.sources()], &ImportOptions::new(), &Progress::default());
    assert_eq!((compared.kept.len(), compared.findings.len()), (5, 0), "{compared:?}");
    assert!(state_of(&bench.sources()) == before, "the source was touched");

    let row = bench.store.session(KEY).unwrap().row().unwrap();
    assert_eq!((row.state, row.title.as_deref()), (sesslog::SessionState::Suspended, Some("Alice")));
    let row = bench.store.session("hermes:c").unwrap().row().unwrap();
    assert_eq!((row.title.as_deref(), &row.status.labels[..]), (Some("Named"), &["archived".to_owned()][..]));
    assert_eq!(row.updated.as_str(), "2026-11-22T00:51:15.250Z");
    // The columns in their order.
    let expected = r#"{"id":2,"session_id":"b","role":"user","content":"now","tool_calls":null,"timestamp":1795308675.25,"active":1,"compacted":0,"api_content":null}"#;
    assert_eq!(bench.view(KEY), [expected]);
    assert_eq!(texts(&bench, "hermes:c"), ["\0json:[{\"type\":\"text\"}]"]);
    let error = write_original(&bench.store.session(KEY).unwrap(), None, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, sesslog::import::OriginalError::Rows { .. }), "{error}");
}

#[test]
fn a_database_that_grows_is_gone_on_with() {
    let bench = Bench::new();
    let connection = database(&bench);
    session(&connection, "a", None);
    for (text, state) in [("one", State::New), ("two", State::Grown), ("three", State::Grown)] {
        say(&connection, "a", text);
        assert_eq!(only(&bench.import(&ImportOptions::new())), ("hermes:a".to_owned(), state));
    }
    assert_eq!(texts(&bench, "hermes:a"), ["one", "two", "three"]);
    // Taken back, and said otherwise.
    connection.execute("UPDATE messages SET active = 0 WHERE content = 'three'", []).unwrap();
    say(&connection, "a", "four");
    assert_eq!(only(&bench.import(&ImportOptions::new())).1, State::NextGeneration);
    assert_eq!(texts(&bench, "hermes:a"), ["one", "two", "four"]);
    // Summed up: what was before stays, and is not shown to a model.
    connection.execute("UPDATE messages SET active = 0, compacted = 1 WHERE active = 1", []).unwrap();
    say(&connection, "a", "summary");
    let imported = bench.import(&ImportOptions::new());
    assert_eq!((only(&imported).1, imported.sessions[0].messages), (State::NextGeneration, 4));
    assert_eq!(texts(&bench, "hermes:a"), ["summary"]);
    assert_eq!(only(&bench.import(&ImportOptions::new())).1, State::Unchanged);
}

#[test]
fn values_that_json_has_not_are_kept() {
    let bench = Bench::new();
    let connection = database(&bench);
    session(&connection, "a", None);
    let sql = "INSERT INTO messages (session_id, role, content, timestamp, api_content) VALUES ('a', 'user', ?1, ?2, CAST(x'ff41' AS TEXT))";
    connection.execute(sql, params![b"\0\xff".to_vec(), f64::INFINITY]).unwrap();
    bench.import(&ImportOptions::new());
    let row: Value = serde_json::from_str(&bench.view("hermes:a")[0]).unwrap();
    let expected = json!([{"base64": "AP8="}, {"base64": "/0E="}, "inf"]);
    assert_eq!(json!([row["content"], row["api_content"], row["timestamp"]]), expected);
}

#[test]
fn what_can_be_read_of_a_damaged_database_is_imported() {
    let bench = Bench::new();
    let connection = database(&bench);
    for id in ["a", "b", "c"] {
        session(&connection, id, None);
        for at in 0..20 {
            say(&connection, id, &format!("{at}{}", "x".repeat(1000)));
        }
    }
    drop(connection);
    let path = bench.sources().join("state.db");
    let sound = fs::read(&path).unwrap();
    // A page in the midst of the messages.
    let at = sound.windows(4).rposition(|bytes| bytes == b"10xx").unwrap() / 4096 * 4096;
    let mut damaged = sound.clone();
    damaged[at..at + 4096].fill(0xee);
    fs::write(&path, &damaged).unwrap();
    let imported = bench.import(&ImportOptions::new());
    assert!(names(&imported).contains(&"database"), "{imported:?}");
    assert_eq!(imported.sessions.len(), 3);
    let messages: u64 = imported.sessions.iter().map(|session| session.messages).sum();
    assert!((50..60).contains(&messages), "{messages}");
    assert!(fs::read(&path).unwrap() == damaged);

    for bad in [&b""[..], b"no database", &sound[..100], &sound[..5000]] {
        let bench = Bench::new();
        bench.write("state.db", bad);
        bench.write("chat.jsonl", &fixture("jsonl/chat.jsonl"));
        let imported = bench.import(&ImportOptions::new());
        assert_eq!((names(&imported), only(&imported).0), (vec!["database"], "jsonl:chat".to_owned()));
    }
}

/// Holds a database, as another process: run by the test below.
#[test]
fn holder() {
    let Some(path) = std::env::var_os("SESSLOG_TEST_HOLD") else { return };
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    println!("held");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_database_that_is_locked_is_said() {
    use std::io::{BufRead as _, BufReader};
    let bench = Bench::new();
    let path = bench.sources().join("state.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    session(&connection, "a", None);
    drop(connection);
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "database::holder", "--nocapture"])
        .env("SESSLOG_TEST_HOLD", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("held")));
    assert_eq!(names(&bench.import(&ImportOptions::new())), ["database"]);
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(only(&bench.import(&ImportOptions::new())).0, "hermes:a");
}
