//! SQLite, one transaction an append.

use std::path::Path;
use std::sync::Mutex;

use rusqlite::Connection;

use crate::body::Body;
use crate::peers::{Peer, Seqs};

struct Sqlite {
    connection: Mutex<Connection>,
    seqs: Seqs,
}

/// A table with its rows in the order of their arrival: pages fill up one after the other, the longest row apart. Without rowids
/// the rows would lie in the index, which SQLite advises against for rows as long as these.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS records(session INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY(session, seq))";
const INSERT: &str = "INSERT INTO records(session, seq, body) VALUES (?, ?, ?)";

/// Opens a database, each of whose commits is on stable storage.
pub(crate) fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a database");
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).expect("a mode");
    assert_eq!(mode, "wal");
    connection.execute_batch("PRAGMA synchronous=FULL").expect("a pragma");
    connection
}

pub(crate) fn insert(connection: &Connection, session: usize, seq: u64, body: &Body) {
    let mut statement = connection.prepare_cached(INSERT).expect("a statement");
    statement.execute((session as i64, seq as i64, &body.json)).expect("an insert");
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let connection = connect(&folder.join("records.db"));
    connection.execute_batch(SCHEMA).expect("a table");
    Box::new(Sqlite { connection: Mutex::new(connection), seqs: Seqs::new(sessions) })
}

impl Peer for Sqlite {
    fn append(&self, session: usize, body: &'static Body) {
        let connection = self.connection.lock().expect("nobody panicked");
        insert(&connection, session, self.seqs.next(session), body);
    }
}
