//! hermes-agent: a database `state.db`, which has sessions, their messages and the gateway's routing; before that one transcript a
//! session, and the routing in `sessions.json`.
//!
//! The view is that of `get_messages_as_conversation` (`hermes_state.py` of 0.19.0), without the repairs that it makes to what it
//! read: rows that are active are shown. Rows that were compacted stay messages, before the first that is active. What else the
//! database has, of costs, searches and the gateway's own work, is not of a session's history and is not imported.

use std::path::Path;
use std::sync::Arc;

use crate::import::beside::{Beside, Registry};
use crate::import::finding::FindingKind;
use crate::import::inside::Inside;
use crate::import::json::Object;
use crate::import::shape::{Change, Entry, Fold, Keep, Meaning, Peek, Shape, Verdict};
use crate::import::times::time_of;

const DATABASE: &str = "state.db";
pub(crate) const REGISTRY: &str = "sessions.json";
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
    pub(crate) fn registry(&self, path: &Path) -> Arc<Registry> {
        self.registries.get(&path.with_file_name(REGISTRY), |text| Registry::parse(text, id_of))
    }

    /// Returns the sessions of a registry that `is_wanted` by their ids, without transcripts.
    pub(crate) fn only_registered(
        &self,
        path: &Path,
        registry: &Registry,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Vec<Inside> {
        let entries = registry.entries.iter();
        let entries =
            entries.filter(|(_, entry)| Object::parse(entry).as_ref().and_then(id_of).is_some_and(|id| is_wanted(&id)));
        let inside = |(key, entry): &(String, String)| {
            let beside = self.known_of(path, key, entry);
            let time = Object::parse(entry).and_then(|entry| time_of(entry.raw("updated_at")?));
            Inside { prefix: "", name: key.clone(), time, beside, rows: None }
        };
        entries.map(inside).collect()
    }

    /// Returns what the gateway knows of a session.
    pub(crate) fn known_of(&self, path: &Path, key: &str, entry: &str) -> Vec<Change> {
        let mut facts = vec![Change::Registry("registry", entry.to_owned())];
        let restarts = RESTARTS.iter().map(|name| path.with_file_name(name)).filter(|path| path.is_file());
        let restarts = restarts.filter_map(|path| {
            let counts = self.restarts.get(&path, |text| {
                let counts = Object::parse(text).unwrap_or_default();
                counts.fields().map(|(key, count)| (key.to_owned(), count.to_owned())).collect()
            });
            counts.iter().find(|(of, _)| of == key).map(|(_, count)| count.clone())
        });
        facts.extend(
            restarts
                .take(1)
                .map(|count| Change::Registry("restarts", format!(r#"{{"restart_failure_count":{count}}}"#))),
        );
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
        Err(FindingKind::no_databases())
    }
}

pub(crate) fn id_of(entry: &Object<'_>) -> Option<String> {
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
        parts
            .next()
            .is_some_and(|part| bytes.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    is_part(8..=8) && is_part(6..=6) && is_part(6..=8) && parts.next().is_none()
}

/// Messages, as lines of a transcript or rows of the database.
#[derive(Debug, Default)]
struct Messages {
    /// Where what is summed up ends.
    behind_compacted: Option<usize>,
    has_active: bool,
}

impl Fold for Messages {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let Some(object) = &entry.object else { return Meaning::default() };
        if is_session(object) {
            return Meaning::new(object.raw("started_at").and_then(time_of), false);
        }
        let is_of_model = object.text("role").is_some_and(|role| role != "session_meta");
        let is_active = object.integer("active").is_none_or(|is| is != 0);
        // Behind a row that was taken back into use nothing can be left out but by its kind.
        let is_compacted = !self.has_active && !is_active && object.integer("compacted").is_some_and(|is| is != 0);
        self.has_active |= is_active;
        if is_compacted {
            self.behind_compacted = Some(entry.index.saturating_add(1));
        }
        Meaning::new(object.raw("timestamp").and_then(time_of), is_of_model && (is_active || is_compacted))
    }

    fn end(&mut self) -> Vec<Change> {
        let compacted = |at| Change::Compacted { summary: "null".to_owned(), keep_from: Keep::From(at) };
        self.behind_compacted.map(compacted).into_iter().collect()
    }
}
