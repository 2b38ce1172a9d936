//! openclaw's database of an agent, since 2026.8: a session is the row of its window, and the rows of its events.
//!
//! An event is what a line of a transcript was, as text or compressed; then its text follows in a column of its own.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::import::finding::FindingKind;
use crate::import::inside::{Inside, Rows};
use crate::import::json::Object;
use crate::import::openclaw::{EVENT_TEXT, facts, time_of_entry};
use crate::import::sqlite::{Database, has_table, rows};

/// What an event may amount to when it is not compressed any more.
const EVENT_BYTES_MAX: u64 = 4 << 20;

/// Returns the sessions of a database. The one that a key stands for has that key, those before have their ids.
pub(crate) fn database(path: &Path) -> Result<Vec<Inside>, FindingKind> {
    let bad = |error: rusqlite::Error| FindingKind::of_database(&error);
    let database = Arc::new(Database::open(path)?);
    let connection = database.connect().map_err(bad)?;
    for table in ["session_nodes", "session_windows", "transcript_events"] {
        if !has_table(&connection, table).map_err(bad)? {
            return Err(FindingKind::Database { reason: format!("it has no table {table}") });
        }
    }
    let has_archives = has_table(&connection, COLD).map_err(bad)?;
    let nodes = "SELECT session_key, current_session_id, entry_json FROM session_nodes";
    let (nodes, failed) = objects(&connection, nodes, "session_key", |node| {
        Some((
            node.text("current_session_id")?.into_owned(),
            node.text("session_key")?.into_owned(),
            node.text("entry_json")?.into_owned(),
        ))
    });
    let current: HashMap<&str, (&str, &str)> =
        nodes.iter().map(|(id, key, entry)| (id.as_str(), (key.as_str(), entry.as_str()))).collect();
    let id_of = |row: &Object<'_>| Some(row.text("session_id")?.into_owned());
    let (mut ids, failed_too) = objects(&connection, "SELECT session_id FROM session_windows", "rowid", id_of);
    let orphans = "SELECT DISTINCT session_id FROM transcript_events WHERE session_id NOT IN (SELECT session_id FROM session_windows)";
    ids.extend(objects(&connection, orphans, "session_id", id_of).0);
    let mut inside = Vec::new();
    for id in &ids {
        let events = Events { database: Arc::clone(&database), id: id.clone(), has_archives };
        let rows: Option<Arc<dyn Rows>> = Some(Arc::new(events));
        inside.push(match current.get(id.as_str()) {
            Some((key, entry)) => {
                Inside { prefix: "", name: (*key).to_owned(), time: time_of_entry(entry), beside: facts(entry), rows }
            }
            None => Inside { prefix: "openclaw:", name: id.clone(), time: None, beside: Vec::new(), rows },
        });
    }
    let ids: HashSet<&String> = ids.iter().collect();
    for (_, key, entry) in nodes.iter().filter(|(id, ..)| !ids.contains(id)) {
        inside.push(Inside {
            prefix: "",
            name: key.clone(),
            time: time_of_entry(entry),
            beside: facts(entry),
            rows: None,
        });
    }
    match failed.or(failed_too) {
        Some(error) if inside.is_empty() => Err(bad(error)),
        _ => Ok(inside),
    }
}

/// Transcripts that were put away.
const COLD: &str = "session_transcript_cold_archives";

/// Returns what `read` finds in the rows of a query.
fn objects<T>(
    connection: &Connection,
    select: &str,
    order: &str,
    read: impl Fn(&Object<'_>) -> Option<T>,
) -> (Vec<T>, Option<rusqlite::Error>) {
    let (lines, failed) = rows(connection, select, order, "");
    let texts = lines.iter().map(|line| String::from_utf8_lossy(line));
    (texts.filter_map(|text| read(&Object::parse(&text)?)).collect(), failed)
}

/// The row of a session, and those of its events.
struct Events {
    database: Arc<Database>,
    id: String,
    has_archives: bool,
}

impl Rows for Events {
    fn read(&self) -> (Vec<u8>, Option<FindingKind>) {
        let mut lines = Vec::new();
        let connection = match self.database.connect() {
            Ok(connection) => connection,
            Err(error) => return (lines, Some(FindingKind::of_database(&error))),
        };
        let select = |table| format!("SELECT * FROM {table} WHERE session_id = ?1");
        let (mut all, failed) = rows(&connection, &select("session_windows"), "rowid", &self.id);
        if all.is_empty() {
            all.push(b"{}".to_vec());
        }
        let (events, failed_too) = rows(&connection, &select("transcript_events"), "seq", &self.id);
        let is_cold =
            self.has_archives && events.is_empty() && !rows(&connection, &select(COLD), "rowid", &self.id).0.is_empty();
        for mut row in all.into_iter().chain(events) {
            if let Some(text) = event_text(&row) {
                row.pop();
                row.extend_from_slice(format!(",\"{EVENT_TEXT}\":{}}}", serde_json::Value::from(text)).as_bytes());
            }
            lines.extend_from_slice(&row);
            lines.push(b'\n');
        }
        let cold = || {
            let reason = format!("the events of session {} are put away in an archive", self.id);
            is_cold.then_some(FindingKind::Database { reason })
        };
        let failed = failed.or(failed_too).map(|error| FindingKind::of_database(&error));
        (lines, failed.or_else(cold))
    }
}

/// Returns the text of an event that is compressed; one that can not be read stays as it is.
fn event_text(row: &[u8]) -> Option<String> {
    use base64::Engine as _;
    let row = std::str::from_utf8(row).ok().and_then(Object::parse)?;
    let bytes = row.object("event_zstd")?.text("base64")?.into_owned();
    let bytes = base64::prelude::BASE64_STANDARD.decode(bytes).ok()?;
    let decoder = ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()).ok()?;
    let mut text = Vec::new();
    decoder.take(EVENT_BYTES_MAX.saturating_add(1)).read_to_end(&mut text).ok()?;
    let fits = u64::try_from(text.len()).is_ok_and(|bytes| bytes <= EVENT_BYTES_MAX);
    String::from_utf8(text).ok().filter(|_| fits)
}
