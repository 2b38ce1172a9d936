//! hermes-agent: a database `state.db`, which has sessions, their messages and the gateway's routing; before that one transcript a
//! session, and the routing in `sessions.json`.
//!
//! The view is that of `get_messages_as_conversation` (hermes_state.py of 0.19.0), without the repairs that it makes to what it
//! read: rows that are active are shown. Rows that were compacted stay messages, before the first that is active.

use std::path::Path;
use std::sync::Arc;

use crate::import::beside::{Beside, Registry};
use crate::import::finding::FindingKind;
use crate::import::inside::Inside;
use crate::import::json::Object;
use crate::import::shape::{Change, Entry, Fold, Keep, Meaning, Peek, Shape, Verdict};
use crate::import::times::time_of;

const DATABASE: &str = "state.db";
const REGISTRY: &str = "sessions.json";
/// How often a session was running as the gateway went down: beside the registry, or above it.
const RESTARTS: [&str; 3] = ["restart_failure_counts.json", ".restart_failure_counts", "../.restart_failure_counts"];
/// The gateway's own.
const COMPANIONS: [&str; 2] = ["restart_failure_counts.json", "restart_loop.json"];

#[derive(Default)]
pub(crate) struct Hermes {
    registries: Beside<Registry>,
    restarts: Beside<Vec<(String, String)>>,
}

impl Shape for Hermes {
    fn wants(&self, name: &str) -> bool {
        let is_transcript = Path::new(name).extension().is_some_and(|extension| extension == "jsonl");
        is_transcript || [DATABASE, REGISTRY].contains(&name) || COMPANIONS.contains(&name)
    }

    fn judge(&self, peek: &Peek<'_>) -> Verdict {
        let name = peek.name();
        let is_registry = || name == REGISTRY && !self.registry(peek.path).entries.is_empty();
        if name == DATABASE || COMPANIONS.contains(&&*name) || is_registry() {
            return Verdict::Companion;
        }
        let is_registered = || self.registry(peek.path).of(&peek.stem()).next().is_some();
        let is_header = |object: &Object<'_>| object.text("role").as_deref() == Some("session_meta");
        let is_named = || is_id(&peek.stem()) && peek.any(|object| self.is_entry(object));
        if peek.any(is_header) || is_named() || is_registered() { Verdict::Session } else { Verdict::Unknown }
    }

    fn accept(&self, peek: &Peek<'_>) -> Verdict {
        if peek.name() == REGISTRY || peek.is_sqlite() {
            return Verdict::Companion;
        }
        if peek.any(|object| object.has("role")) { Verdict::Session } else { self.judge(peek) }
    }

    fn key(&self, peek: &Peek<'_>) -> (&'static str, String) {
        let id = peek.stem();
        let key = self.registry(peek.path).of(&id).next().map(|(key, _)| key.clone());
        key.map_or_else(|| ("hermes:", id.into_owned()), |key| ("", key))
    }

    fn is_entry(&self, object: &Object<'_>) -> bool {
        object.has("role") && object.has("timestamp") && (object.has("content") || object.has("tool_calls"))
    }

    /// The row of a session counts its messages and tokens.
    fn rewrites(&self, line: u64, object: Option<&Object<'_>>) -> bool {
        line == 1 && object.is_some_and(is_session)
    }

    fn facts(&self, path: &Path, _name: &str) -> Vec<Change> {
        let registry = self.registry(path);
        let id = path.file_stem().unwrap_or_default().to_string_lossy();
        let kept = registry.of(&id).next().map(|(key, entry)| self.known_of(path, key, entry));
        kept.unwrap_or_default()
    }

    fn inside(&self, path: &Path) -> Result<Vec<Inside>, FindingKind> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == REGISTRY {
            let registry = self.registry(path);
            if let Some(reason) = registry.broken.clone() {
                return Err(FindingKind::BadRegistry { reason });
            }
            return Ok(self.only_registered(path, &registry, |_| true));
        }
        if COMPANIONS.contains(&&*name) { Ok(Vec::new()) } else { self.database(path) }
    }

    fn fold(&self, _path: &Path) -> Box<dyn Fold> {
        Box::new(Messages::default())
    }
}

impl Hermes {
    /// Returns the registry in a file's folder.
    fn registry(&self, path: &Path) -> Arc<Registry> {
        self.registries.get(&path.with_file_name(REGISTRY), |text| Registry::parse(text, id_of))
    }

    /// Returns the sessions of a registry that `is_wanted` by their ids, without transcripts.
    fn only_registered(&self, path: &Path, registry: &Registry, is_wanted: impl Fn(&str) -> bool) -> Vec<Inside> {
        let entries = registry.entries.iter();
        let entries = entries.filter(|(_, entry)| {
            Object::parse(entry).as_ref().and_then(id_of).is_some_and(|id| is_wanted(&id))
        });
        let inside = |(key, entry): &(String, String)| {
            let beside = self.known_of(path, key, entry);
            Inside { prefix: "", name: key.clone(), beside, rows: None }
        };
        entries.map(inside).collect()
    }

    /// Returns what the gateway knows of a session.
    fn known_of(&self, path: &Path, key: &str, entry: &str) -> Vec<Change> {
        let mut facts = vec![Change::Registry("registry", entry.to_owned())];
        let restarts = RESTARTS.iter().map(|name| path.with_file_name(name)).filter(|path| path.is_file());
        let restarts = restarts.filter_map(|path| {
            let counts = self.restarts.get(&path, |text| {
                let counts = Object::parse(text).unwrap_or_default();
                counts.fields().map(|(key, count)| (key.to_owned(), count.to_owned())).collect()
            });
            counts.iter().find(|(of, _)| of == key).map(|(_, count)| count.clone())
        });
        facts.extend(restarts.take(1).map(|count| {
            Change::Registry("restarts", format!(r#"{{"restart_failure_count":{count}}}"#))
        }));
        let Some(entry) = Object::parse(entry) else { return facts };
        let reason = entry.text("resume_reason").unwrap_or_default().into_owned();
        facts.extend(entry.text("display_name").map(|name| Change::Title(name.into_owned())));
        // Who suspended a session does not want it resumed.
        if entry.is_true("suspended") {
            facts.push(Change::Suspended(reason));
        } else if entry.is_true("resume_pending") {
            facts.push(Change::ResumePending(reason));
        }
        facts
    }

    #[cfg(not(feature = "import-sqlite"))]
    #[allow(clippy::unused_self, reason = "with the feature it is used")]
    fn database(&self, _path: &Path) -> Result<Vec<Inside>, FindingKind> {
        Err(FindingKind::Database { reason: "this build can not read databases (feature import-sqlite)".to_owned() })
    }
}

#[cfg(feature = "import-sqlite")]
mod database {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::import::inside::Rows;
    use crate::import::sqlite::{Database, has_table, rows};

    impl Hermes {
        /// Returns the sessions of a database. The one that the routing names has the key of its chat, or the newest that goes on;
        /// those before have their ids.
        pub(super) fn database(&self, path: &Path) -> Result<Vec<Inside>, FindingKind> {
            let bad = |error: rusqlite::Error| FindingKind::Database { reason: error.to_string() };
            let database = Arc::new(Database::open(path)?);
            let connection = database.connect().map_err(bad)?;
            for table in ["sessions", "messages"] {
                if !has_table(&connection, table).map_err(bad)? {
                    return Err(FindingKind::Database { reason: format!("it has no table {table}") });
                }
            }
            let read = |sql: &str| rows(&connection, sql, "rowid", "").0;
            let mut routing = Vec::new();
            if has_table(&connection, "gateway_routing").map_err(bad)? {
                for line in read("SELECT session_key, entry_json FROM gateway_routing") {
                    let line = String::from_utf8_lossy(&line);
                    let entry = Object::parse(&line);
                    let entry = entry.and_then(|row| Some((row.text("session_key")?, row.text("entry_json")?)));
                    routing.extend(entry.map(|(key, entry)| (key.into_owned(), entry.into_owned())));
                }
            }
            let file = self.registry(&path.with_file_name("sessions").join(REGISTRY));
            // An entry that only the file has is older than the table.
            for (key, entry) in self.registry(path).entries.iter().chain(&file.entries) {
                if !routing.iter().any(|(of, _)| of == key) {
                    routing.push((key.clone(), entry.clone()));
                }
            }
            let routing = Registry::of_entries(routing, id_of);
            let (sessions, failed) = rows(&connection, "SELECT rowid AS place, * FROM sessions", "rowid", "");
            let sessions: Vec<String> = sessions.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            let sessions: Vec<Object<'_>> = sessions.iter().filter_map(|line| Object::parse(line)).collect();
            let mut current = HashMap::new();
            for session in sessions.iter().filter(|session| session.raw("ended_at") == Some("null")) {
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
                inside.push(Inside { prefix, name, beside: only_first(beside), rows: Some(rows) });
                ids.insert(id);
            }
            let orphans = "SELECT DISTINCT session_id FROM messages WHERE session_id NOT IN (SELECT id FROM sessions)";
            for line in rows(&connection, orphans, "session_id", "").0 {
                let line = String::from_utf8_lossy(&line);
                let Some(id) = Object::parse(&line).and_then(|row| Some(row.text("session_id")?.into_owned())) else { continue };
                let rows: Arc<dyn Rows> = Arc::new(Session { database: Arc::clone(&database), id: id.clone() });
                inside.push(Inside { prefix: "hermes:", name: id, beside: Vec::new(), rows: Some(rows) });
            }
            inside.extend(self.only_registered(path, &routing, |id| !ids.contains(id)));
            match failed {
                Some(error) if inside.is_empty() => Err(bad(error)),
                _ => Ok(inside),
            }
        }
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
                Err(error) => return (lines, Some(FindingKind::Database { reason: error.to_string() })),
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
            let failed = failed.or(also_failed).map(|error| FindingKind::Database { reason: error.to_string() });
            (lines, failed)
        }
    }
}

fn id_of(entry: &Object<'_>) -> Option<String> {
    entry.text("session_id").map(std::borrow::Cow::into_owned)
}

/// Says whether an object is the row of a session.
fn is_session(object: &Object<'_>) -> bool {
    object.has("started_at") && !object.has("role")
}

/// Says whether a text is the id of a session: `<day>_<time>_<hexadecimal>`.
fn is_id(text: &str) -> bool {
    let mut parts = text.split('_');
    let mut is_part = |bytes: std::ops::RangeInclusive<usize>| {
        parts.next().is_some_and(|part| {
            bytes.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    is_part(8..=8) && is_part(6..=6) && is_part(6..=8) && parts.next().is_none()
}

/// Messages, as lines of a transcript or rows of the database.
#[derive(Debug, Default)]
struct Messages {
    /// Rows were seen that are summed up, and none that is active.
    is_compacted: bool,
}

impl Fold for Messages {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let Some(object) = &entry.object else { return Meaning::default() };
        if is_session(object) {
            return Meaning::new(object.raw("started_at").and_then(time_of), false);
        }
        let time = object.raw("timestamp").and_then(time_of);
        let is_of_model = object.text("role").is_some_and(|role| role != "session_meta");
        let is_compacted = object.integer("compacted").is_some_and(|is| is != 0);
        let is_active = object.integer("active").is_none_or(|is| is != 0);
        let meaning = Meaning::new(time, is_of_model && (is_active || is_compacted));
        if !is_active {
            self.is_compacted |= is_compacted;
            return meaning;
        }
        let is_first = std::mem::take(&mut self.is_compacted);
        let summed_up = Change::Compacted { summary: "null".to_owned(), keep_from: Keep::From(entry.index) };
        meaning.change(is_first.then_some(summed_up))
    }
}
