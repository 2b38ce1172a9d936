//! hermes-agent's database: a session is its row, and the rows of its messages.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::import::beside::Registry;
use crate::import::finding::FindingKind;
use crate::import::hermes::{Hermes, REGISTRY, id_of};
use crate::import::inside::{Inside, Rows};
use crate::import::json::Object;
use crate::import::shape::Change;
use crate::import::sqlite::{Database, has_table, rows};

impl Hermes {
    /// Returns the sessions of a database. The one that the routing names has the key of its chat, or the newest that goes on;
    /// those before have their ids.
    pub(crate) fn database(&self, path: &Path) -> Result<Vec<Inside>, FindingKind> {
        let bad = |error: rusqlite::Error| FindingKind::of_database(&error);
        let database = Arc::new(Database::open(path)?);
        let connection = database.connect().map_err(bad)?;
        for table in ["sessions", "messages"] {
            if !has_table(&connection, table).map_err(bad)? {
                return Err(FindingKind::Database { reason: format!("it has no table {table}") });
            }
        }
        let routing = self.routing(path, &connection).map_err(bad)?;
        let (sessions, failed) =
            rows(&connection, &format!("SELECT {} FROM sessions", columns(&connection).join(", ")), "rowid", "");
        let sessions: Vec<String> = sessions.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let sessions: Vec<Object<'_>> = sessions.iter().filter_map(|line| Object::parse(line)).collect();
        let mut current = HashMap::new();
        for session in sessions.iter().filter(|session| session.raw("ended_at").is_none_or(|ended| ended == "null")) {
            if let (Some(key), Some(id)) = (session.text("session_key"), session.text("id")) {
                current.insert(key.into_owned(), id.into_owned());
            }
        }
        for (key, entry) in &routing.entries {
            current.extend(Object::parse(entry).as_ref().and_then(id_of).map(|id| (key.clone(), id)));
        }
        let keys: HashMap<&String, &String> = current.iter().map(|(key, id)| (id, key)).collect();
        let mut inside = Vec::new();
        let mut ids = HashSet::new();
        for session in &sessions {
            let Some(id) = session.text("id").map(std::borrow::Cow::into_owned) else { continue };
            let (prefix, name) = keys.get(&id).map_or_else(|| ("hermes:", id.clone()), |key| ("", (*key).clone()));
            let mut beside = Vec::new();
            // The title of a session goes before the name of its chat.
            let title = session.text("title").filter(|title| !title.is_empty());
            let title = title.or_else(|| session.text("display_name"));
            beside.extend(title.map(|title| Change::Title(title.into_owned())));
            let entry = routing.of(&id).next();
            beside.extend(entry.map(|(key, entry)| self.known_of(path, key, entry)).unwrap_or_default());
            let is_archived = session.integer("archived").unwrap_or(0) != 0;
            beside.extend(is_archived.then(|| Change::Labels(vec!["archived".to_owned()])));
            let rows: Arc<dyn Rows> = Arc::new(Session { database: Arc::clone(&database), id: id.clone() });
            inside.push(Inside { prefix, name, time: None, beside: only_first(beside), rows: Some(rows) });
            ids.insert(id);
        }
        let orphans = "SELECT DISTINCT session_id FROM messages WHERE session_id NOT IN (SELECT id FROM sessions)";
        for line in rows(&connection, orphans, "session_id", "").0 {
            let line = String::from_utf8_lossy(&line);
            let Some(id) = Object::parse(&line).and_then(|row| Some(row.text("session_id")?.into_owned())) else {
                continue;
            };
            let rows: Arc<dyn Rows> = Arc::new(Session { database: Arc::clone(&database), id: id.clone() });
            inside.push(Inside { prefix: "hermes:", name: id, time: None, beside: Vec::new(), rows: Some(rows) });
        }
        inside.extend(self.only_registered(path, &routing, |id| !ids.contains(id)));
        match failed {
            Some(error) if inside.is_empty() => Err(bad(error)),
            _ => Ok(inside),
        }
    }

    /// Returns which session each chat is in: what the table does not have is looked for in the file that was before it.
    fn routing(&self, path: &Path, connection: &rusqlite::Connection) -> rusqlite::Result<Registry> {
        let mut entries = Vec::new();
        if has_table(connection, "gateway_routing")? {
            for line in rows(connection, "SELECT session_key, entry_json FROM gateway_routing", "rowid", "").0 {
                let line = String::from_utf8_lossy(&line);
                let entry = Object::parse(&line);
                let entry = entry.and_then(|row| Some((row.text("session_key")?, row.text("entry_json")?)));
                entries.extend(entry.map(|(key, entry)| (key.into_owned(), entry.into_owned())));
            }
        }
        let known: HashSet<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        let below = self.registry(&path.with_file_name("sessions").join(REGISTRY));
        let files = [self.registry(path), below];
        let more = files.iter().flat_map(|file| &file.entries).filter(|(key, _)| !known.contains(key));
        entries.extend(more.cloned());
        Ok(Registry::of_entries(entries, id_of))
    }
}

/// Returns those of the columns that tell of a session which this version of the table has: prompts would be long.
fn columns(connection: &rusqlite::Connection) -> Vec<&'static str> {
    const COLUMNS: [&str; 6] = ["id", "session_key", "ended_at", "title", "display_name", "archived"];
    let names = rows(connection, "SELECT name FROM pragma_table_info('sessions')", "cid", "").0;
    let is_there = |column: &&str| {
        let named = |line: &Vec<u8>| {
            Object::parse(&String::from_utf8_lossy(line))
                .is_some_and(|row| row.text("name").as_deref() == Some(*column))
        };
        names.iter().any(named)
    };
    COLUMNS.into_iter().filter(is_there).collect()
}

/// A fact stands for its name.
fn only_first(facts: Vec<Change>) -> Vec<Change> {
    let mut has_title = false;
    let is_first = |change: &Change| !matches!(change, Change::Title(_)) || !std::mem::replace(&mut has_title, true);
    facts.into_iter().filter(is_first).collect()
}

/// The row of a session, and those of its messages.
struct Session {
    database: Arc<Database>,
    id: String,
}

impl Rows for Session {
    fn read(&self) -> (Vec<u8>, Option<FindingKind>) {
        let mut lines = Vec::new();
        let connection = match self.database.connect() {
            Ok(connection) => connection,
            Err(error) => return (lines, Some(FindingKind::of_database(&error))),
        };
        let (mut all, failed) = rows(&connection, "SELECT * FROM sessions WHERE id = ?1", "rowid", &self.id);
        if all.is_empty() {
            all.push(b"{}".to_vec());
        }
        let messages = "SELECT * FROM messages WHERE session_id = ?1";
        let (messages, also_failed) = rows(&connection, messages, "rowid", &self.id);
        for row in all.into_iter().chain(messages) {
            lines.extend_from_slice(&row);
            lines.push(b'\n');
        }
        let failed = failed.or(also_failed).map(|error| FindingKind::of_database(&error));
        (lines, failed)
    }
}
