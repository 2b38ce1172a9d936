//! Stores that are there before a row begins, each with its twin in SQLite and, where it is listed, an index in JSON.
//!
//! They are built through the public API on a file system that does not sync, and written back as a whole; two threads build
//! 100,000 sessions in a minute or so. With `--keep` they stay, and a name stands for what it holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;
use sesslog::{Listed, NewRecord, Options, Store};

use crate::bench::{Bench, settle};
use crate::body::{body, mean_bytes, short_chat};
use crate::peers::sqlite;
use crate::unsynced::Unsynced;

/// What is in a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) sessions: usize,
    pub(crate) records: usize,
    pub(crate) bodies: Bodies,
}

/// What its records hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// A line of text, where there are many.
    Short,
    /// Chat records of 200 bytes to 3 KiB, 1.2 KiB at the mean.
    Kilobyte,
    /// Chat records of 200 bytes to 16 KiB.
    Chat,
}

/// A store and its twin.
#[derive(Debug)]
pub(crate) struct Built {
    folder: PathBuf,
    pub(crate) shape: Shape,
}

/// The twin of the store: what is listed has a table of its own, with what the listing needs.
const TWIN: &str = "
    CREATE TABLE sessions(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, updated INTEGER NOT NULL,
        records INTEGER NOT NULL, title TEXT);
    CREATE INDEX sessions_updated ON sessions(updated);
    CREATE TABLE records(session INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, ts INTEGER NOT NULL,
        PRIMARY KEY(session, seq))";

impl Shape {
    fn name(self) -> String {
        let bodies = match self.bodies {
            Bodies::Short => "",
            Bodies::Kilobyte => "-kilobyte",
            Bodies::Chat => "-chat",
        };
        format!("{}x{}{bodies}", self.sessions, self.records)
    }

    /// Returns the shape of a store of chats of about that size.
    pub(crate) fn of_bytes(sessions: usize, gib: f64) -> Self {
        let bytes = gib * f64::from(1_u32 << 30) / sessions as f64;
        let records = (bytes / (mean_bytes() + 135) as f64).ceil() as usize;
        Self { sessions, records, bodies: Bodies::Chat }
    }

    fn body(self, session: usize, record: usize) -> String {
        match self.bodies {
            Bodies::Short => {}
            Bodies::Kilobyte => return short_chat(session + record).json.clone(),
            Bodies::Chat => return body(session + record).json.clone(),
        }
        let role = if record.is_multiple_of(2) { "user" } else { "assistant" };
        format!(r#"{{"role":"{role}","content":"message {record} of session {session}, a short one"}}"#)
    }
}

pub(crate) fn key(session: usize) -> String {
    format!("telegram:{}", 8_000_000_000_u64 + session as u64)
}

impl Built {
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("twin.db")
    }

    pub(crate) fn json(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    pub(crate) fn transcripts(&self) -> PathBuf {
        self.store().join("transcripts")
    }

    /// A new connection, as a process that starts has it.
    pub(crate) fn connect(&self) -> Connection {
        sqlite::connect(&self.database())
    }

    pub(crate) fn bytes(&self) -> u64 {
        let entries = std::fs::read_dir(self.transcripts()).expect("a folder");
        entries.map(|entry| entry.and_then(|entry| entry.metadata()).expect("a file").len()).sum()
    }
}

impl Bench {
    /// Removes what was built, unless the next run wants it.
    pub(crate) fn forget_stores(&self) {
        let folder = self.folder.join("stores");
        if !self.keep && folder.exists() {
            std::fs::remove_dir_all(folder).expect("a folder that can be removed");
        }
    }

    /// Builds a store and its twin, or takes what an earlier row has built, or an earlier run has kept.
    pub(crate) fn build(&self, shape: Shape) -> Built {
        let folder = self.folder.join("stores").join(shape.name());
        let built = Built { folder, shape };
        let mark = built.folder.join("built");
        if !mark.exists() {
            // What was left half built.
            std::fs::remove_dir_all(&built.folder).ok();
            std::fs::create_dir_all(&built.folder).expect("a folder");
            let started = std::time::Instant::now();
            build_store(&built.store(), shape);
            let store_done = started.elapsed();
            build_twin(&built.database(), shape);
            write_index(&built);
            settle(&built.folder);
            std::fs::write(mark, "").expect("a mark");
            eprintln!("built {} in {store_done:.1?}, all of it in {:.1?}", shape.name(), started.elapsed());
        }
        built
    }
}

pub(crate) fn build_store(folder: &Path, shape: Shape) {
    let store = Options::new().file_system(Arc::new(Unsynced)).open(folder).expect("a store");
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(session) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < shape.sessions) {
            build_session(&store, shape, session);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let closed = store.close().expect("a close");
    assert!(closed.failures.is_empty() && closed.registry.is_none(), "{closed:?}");
}

fn build_session(store: &Store, shape: Shape, number: usize) {
    let session = store.session(key(number)).expect("a session");
    // Batches: a long transcript does not have to fit into memory.
    for from in (0..shape.records).step_by(4000) {
        let records = from..shape.records.min(from + 4000);
        let batch = records.map(|n| NewRecord::json(&shape.body(number, n)).expect("a record")).collect();
        session.append_batch(batch).expect("an append");
    }
    session.release().expect("a release");
}

fn build_twin(path: &Path, shape: Shape) {
    let connection = Connection::open(path).expect("a database");
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF").expect("pragmas");
    connection.execute_batch(TWIN).expect("tables");
    connection.execute_batch("BEGIN").expect("a transaction");
    let mut records =
        connection.prepare("INSERT INTO records(session, seq, body, ts) VALUES (?, ?, ?, ?)").expect("a statement");
    let mut sessions = connection
        .prepare("INSERT INTO sessions(id, key, updated, records, title) VALUES (?, ?, ?, ?, ?)")
        .expect("a statement");
    for session in 0..shape.sessions {
        for record in 0..shape.records {
            let row = (session as i64, record as i64, shape.body(session, record), millis(session));
            records.execute(row).expect("an insert");
        }
        let row = (session as i64, key(session), millis(session), shape.records as i64, title(session));
        sessions.execute(row).expect("an insert");
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("a commit");
}

/// An index as gateways keep it: one object, a member for each session.
fn write_index(built: &Built) {
    let reader = Options::new().open_read_only(built.store()).expect("a store");
    let rows = reader.sessions().expect("a listing");
    let index: std::collections::BTreeMap<_, _> = rows
        .iter()
        .filter_map(|listed| match listed {
            Listed::Session(row) => Some((row.key.clone(), entry(&row.id, row.records))),
            _ => None,
        })
        .collect();
    assert_eq!(index.len(), built.shape.sessions);
    std::fs::write(built.json(), serde_json::to_vec_pretty(&index).expect("an index")).expect("a file");
}

/// One member of such an index.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexEntry {
    pub(crate) session_id: String,
    pub(crate) updated_at: u64,
    pub(crate) message_count: u64,
    pub(crate) display_name: String,
    pub(crate) channel: String,
    pub(crate) session_file: String,
}

pub(crate) fn entry(id: &str, records: u64) -> IndexEntry {
    let number = u64::from_str_radix(id.get(..6).unwrap_or("0"), 16).unwrap_or(0);
    IndexEntry {
        session_id: id.to_owned(),
        updated_at: millis(number as usize) as u64,
        message_count: records,
        display_name: title(number as usize),
        channel: "telegram".to_owned(),
        session_file: format!("/home/user/.gateway/sessions/{id}.jsonl"),
    }
}

fn title(session: usize) -> String {
    format!("About matter {session}")
}

/// A time of last activity, in no order: the newest are anywhere.
fn millis(session: usize) -> i64 {
    1_790_000_000_000 + (session * 7_919 % 1_000_003) as i64
}
