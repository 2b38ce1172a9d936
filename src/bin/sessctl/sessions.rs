//! A session as commands print it: its state as of now, and its JSON object.

use std::path::PathBuf;

use serde::Serialize;
use sesslog::{Flag, Listed, OpenTurn, Parent, Row, SessionKey, SessionState, Store, Timestamp};

use crate::outcome::Failure;
use crate::render::escaped;

/// What a session in which somebody runs a turn is called.
pub(crate) const RUNNING: &str = "running";

/// Returns the name of a session's state. A turn that is open is running while a live writer holds the session; that a session
/// is closed or suspended is said all the same.
pub(crate) fn state_of(store: &Store, row: &Row) -> Result<&'static str, Failure> {
    let is_resting = matches!(row.state, SessionState::Closed | SessionState::Suspended);
    if !is_resting && row.status.turn.is_some() && store.session(&row.key)?.is_running()? {
        return Ok(RUNNING);
    }
    Ok(row.state.name())
}

/// Returns the rows of all sessions, and what can not be read.
pub(crate) fn rows_of(store: &Store) -> Result<(Vec<Row>, Vec<Failure>), Failure> {
    Ok(sorted_out(store.sessions()?))
}

/// Tells rows from what can not be read.
pub(crate) fn sorted_out(all: Vec<Listed>) -> (Vec<Row>, Vec<Failure>) {
    let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
    for listed in all {
        match listed {
            Listed::Session(row) => rows.push(row),
            Listed::Unreadable { error, .. } => unreadable.push(Failure::Store(error)),
            _ => {}
        }
    }
    (rows, unreadable)
}

/// A session as `list`, `info` and the commands that change one print it.
#[derive(Serialize)]
pub(crate) struct SessionLine<'a> {
    key: &'a str,
    generation: u64,
    id: &'a str,
    parent: Option<&'a Parent>,
    state: &'static str,
    turn: Option<OpenTurn>,
    pending: Option<&'a Flag>,
    suspended: Option<&'a Flag>,
    resume_attempts: u64,
    labels: &'a [String],
    created: Timestamp,
    updated: Timestamp,
    records: u64,
    bytes: u64,
    last_seq: u64,
    last_crc: sesslog::Crc,
    durable_seq: u64,
    title: Option<&'a str>,
    path: String,
}

impl<'a> SessionLine<'a> {
    pub(crate) fn new(store: &Store, row: &'a Row, state: &'static str) -> Self {
        Self {
            key: &row.key,
            generation: row.generation,
            id: &row.id,
            parent: row.parent.as_ref(),
            state,
            turn: row.status.turn,
            pending: row.status.pending.as_ref(),
            suspended: row.status.suspended.as_ref(),
            resume_attempts: row.status.resume_attempts,
            labels: &row.status.labels,
            created: row.created,
            updated: row.updated,
            records: row.records,
            bytes: row.length_bytes,
            last_seq: row.last_seq,
            last_crc: row.last_crc,
            durable_seq: row.durable_seq,
            title: row.title.as_deref(),
            path: path_of(store, row).to_string_lossy().into_owned(),
        }
    }
}

/// Says where a session was forked from.
pub(crate) fn parent_text(parent: &Parent) -> String {
    format!("{} generation {} up to record {}", escaped(&parent.key), parent.generation, parent.seq)
}

/// Returns the transcript's path without asking the disk for it.
fn path_of(store: &Store, row: &Row) -> PathBuf {
    let name = SessionKey::new(&row.key).map(|key| key.file_name(row.generation)).unwrap_or_default();
    store.path().join(sesslog::format::TRANSCRIPTS_DIR).join(name)
}

/// Leaves the newest generation of each key.
pub(crate) fn retain_newest(rows: &mut Vec<Row>) {
    let mut newest: std::collections::HashMap<String, u64> = std::collections::HashMap::new();
    for row in rows.iter() {
        let generation = newest.entry(row.key.clone()).or_default();
        *generation = row.generation.max(*generation);
    }
    rows.retain(|row| newest.get(&row.key) == Some(&row.generation));
}

/// Says whether the session is the store's own: starts and stops of gateways, no conversation.
pub(crate) fn is_own(row: &Row) -> bool {
    SessionKey::new(&row.key).is_ok_and(|key| key.is_reserved())
}
