//! openclaw: transcripts as pi has them, beside a registry `sessions.json` that gives each the key of its session.
//!
//! Beyond pi's entries there are `leaf`, which sets where the conversation goes on, and `reset`, which leaves out what was before.
//! `<id>.jsonl.reset.<time>` and `.deleted.<time>` are what was left of sessions, and are imported; backups, checkpoints of
//! compactions, trajectories and locks hold nothing that the transcripts do not. Since 2026.8 all of it is in a database.

use std::path::Path;

use crate::import::beside::{Beside, Registry};
use crate::import::finding::FindingKind;
use crate::import::inside::Inside;
use crate::import::json::Object;
use crate::import::pi::{Entries, Pi, is_header};
use crate::import::shape::{Change, Entry, Fold, Meaning, Peek, Shape, Verdict};
use crate::import::times::time_of;
use crate::timestamp::Timestamp;

const REGISTRY: &str = "sessions.json";
/// A column behind those of an event that is compressed: its text.
pub(crate) const EVENT_TEXT: &str = "event_text";
const DATABASE: &str = "openclaw-agent.sqlite";
/// The ends of names of what a session left when it was reset or deleted.
const ARCHIVES: [&str; 2] = [".jsonl.reset.", ".jsonl.deleted."];

#[derive(Default)]
pub(crate) struct Openclaw {
    registries: Beside<Registry>,
}

impl Shape for Openclaw {
    fn wants(&self, name: &str) -> bool {
        let is_transcript = Path::new(name).extension().is_some_and(|extension| extension == "jsonl");
        is_transcript || name == REGISTRY || name.ends_with(DATABASE) || is_archive(name)
    }

    fn judge(&self, peek: &Peek<'_>) -> Verdict {
        let name = peek.name();
        if name == REGISTRY {
            let has_entries = !self.registry(peek.path).entries.is_empty();
            return if has_entries { Verdict::Companion } else { Verdict::Unknown };
        }
        if is_copy(&name) || name.ends_with(DATABASE) {
            return Verdict::Companion;
        }
        // Else it is pi's.
        let registry = self.registry(peek.path);
        let is_at_home = || !registry.entries.is_empty() || is_in_agents(peek.path) || is_archive(&name);
        match self.accept(peek) {
            Verdict::Session if is_at_home() || peek.any(is_signed) => Verdict::Session,
            Verdict::Unknown if registered(&registry, &name).is_some() => Verdict::Session,
            _ => Verdict::Unknown,
        }
    }

    fn accept(&self, peek: &Peek<'_>) -> Verdict {
        let name = peek.name();
        if name == REGISTRY || is_copy(&name) || name.ends_with(DATABASE) || peek.is_sqlite() {
            return Verdict::Companion;
        }
        if peek.any(|object| is_header(object) || self.is_entry(object)) { Verdict::Session } else { Verdict::Unknown }
    }

    fn key(&self, peek: &Peek<'_>) -> (&'static str, String) {
        let name = peek.name();
        let registry = self.registry(peek.path);
        if let Some((key, _)) = registered(&registry, &name).and_then(|name| registry.of(&name).next()) {
            return ("", key.clone());
        }
        // Transcripts of a session's topics, and what it left, have its id in their headers, too.
        let stem = name.strip_suffix(".jsonl").unwrap_or(&name).replacen(".jsonl.", ".", 1);
        if stem.contains("-topic-") || is_archive(&name) {
            return ("openclaw:", stem);
        }
        let header = peek.find_map(|object| Some(object.text("id")?.into_owned()).filter(|_| is_header(object)));
        ("openclaw:", header.unwrap_or(stem))
    }

    fn is_entry(&self, object: &Object<'_>) -> bool {
        let is_own = object.text("type").is_some_and(|name| matches!(&*name, "leaf" | "reset"));
        is_own && object.has("parentId") && object.has("timestamp") || Pi.is_entry(object)
    }

    fn facts(&self, path: &Path, _name: &str) -> Vec<Change> {
        let registry = self.registry(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let entry = registered(&registry, &name).and_then(|name| registry.of(&name).next());
        entry.map(|(_, entry)| facts(entry)).unwrap_or_default()
    }

    fn inside(&self, path: &Path) -> Result<Vec<Inside>, FindingKind> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name != REGISTRY {
            return if is_copy(&name) { Ok(Vec::new()) } else { database(path) };
        }
        let registry = self.registry(path);
        if let Some(reason) = registry.broken.clone() {
            return Err(FindingKind::BadRegistry { reason });
        }
        let entries = registry.entries.iter();
        let inside = |(key, entry): &(String, String)| {
            let (name, time) = (key.clone(), time_of_entry(entry));
            Inside { prefix: "", name, time, beside: facts(entry), rows: None }
        };
        Ok(entries.map(inside).collect())
    }

    /// The row of a session says when it was used last.
    fn rewrites(&self, line: u64, object: Option<&Object<'_>>) -> bool {
        line == 1 && object.is_some_and(is_window)
    }

    fn fold(&self, _path: &Path) -> Box<dyn Fold> {
        Box::new(Events::default())
    }
}

/// Entries, as lines of a transcript or rows of the database.
#[derive(Debug, Default)]
struct Events {
    entries: Entries,
}

impl Fold for Events {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let Some(object) = &entry.object else { return Meaning::default() };
        if is_window(object) {
            return Meaning::new(object.raw("created_at").and_then(time_of), false);
        }
        if !object.has("event_json") {
            return self.entries.entry(entry);
        }
        let text = object.text(EVENT_TEXT).or_else(|| object.text("event_json")).unwrap_or_default();
        let meaning = self.entries.entry(&Entry { index: entry.index, object: Object::entry(&text) });
        let time = meaning.time.or_else(|| object.raw("created_at").and_then(time_of));
        Meaning { time, ..meaning }
    }
}

/// Says whether an object is the row of a session.
fn is_window(object: &Object<'_>) -> bool {
    object.has("session_id") && object.has("session_key") && !object.has("type")
}

#[cfg(feature = "import-sqlite")]
use crate::import::openclaw_db::database;

#[cfg(not(feature = "import-sqlite"))]
fn database(_path: &Path) -> Result<Vec<Inside>, FindingKind> {
    Err(FindingKind::no_databases())
}

impl Openclaw {
    /// Returns the registry in a file's folder.
    fn registry(&self, path: &Path) -> std::sync::Arc<Registry> {
        self.registries.get(&path.with_file_name(REGISTRY), |text| Registry::parse(text, name_of))
    }
}

/// Returns the name of the transcript of an entry.
fn name_of(entry: &Object<'_>) -> Option<String> {
    let id = entry.text("sessionId")?;
    let file = entry.text("sessionFile");
    let name = file.as_deref().and_then(|file| file.rsplit(['/', '\\']).next()).filter(|name| !name.is_empty());
    Some(name.map_or_else(|| format!("{id}.jsonl"), str::to_owned))
}

/// Returns the name by which the registry has a transcript: the files of topics are not always told.
fn registered(registry: &Registry, name: &str) -> Option<String> {
    if registry.of(name).next().is_some() {
        return Some(name.to_owned());
    }
    let session = format!("{}.jsonl", name.strip_suffix(".jsonl")?.split_once("-topic-")?.0);
    let is_topic = registry.of(&session).any(|(key, _)| key.contains(":topic:"));
    is_topic.then_some(session)
}

fn is_archive(name: &str) -> bool {
    ARCHIVES
        .iter()
        .any(|end| name.split_once(end).is_some_and(|(_, time)| time.starts_with(|c: char| c.is_ascii_digit())))
}

/// Says whether a file beside the transcripts only repeats what they hold.
fn is_copy(name: &str) -> bool {
    let checkpoint = name.strip_suffix(".jsonl").and_then(|stem| stem.rsplit_once(".checkpoint."));
    name.ends_with(".trajectory.jsonl") || checkpoint.is_some_and(|(_, id)| id.len() == 36)
}

/// Says whether a file is in `agents/<agent>/sessions/`.
fn is_in_agents(path: &Path) -> bool {
    let mut above = path.ancestors().skip(1).map(|folder| folder.file_name().unwrap_or_default());
    above.next().is_some_and(|name| name == "sessions") && above.nth(1).is_some_and(|name| name == "agents")
}

/// Says whether an entry is one that pi does not write.
fn is_signed(object: &Object<'_>) -> bool {
    let is_own = |message: Object<'_>| message.text("provider").as_deref() == Some("openclaw");
    let in_home = object.text("cwd").is_some_and(|folder| folder.contains(".openclaw"));
    in_home
        || object.text("type").is_some_and(|name| matches!(&*name, "leaf" | "reset"))
        || object.text("customType").is_some_and(|name| name.starts_with("openclaw"))
        || object.object("message").is_some_and(is_own)
}

/// Returns when an entry of the registry was changed.
pub(crate) fn time_of_entry(entry: &str) -> Option<Timestamp> {
    Object::parse(entry)?.raw("updatedAt").and_then(time_of)
}

/// Returns what an entry of the registry says.
pub(crate) fn facts(kept: &str) -> Vec<Change> {
    let mut facts = vec![Change::Registry("registry", kept.to_owned())];
    let Some(entry) = Object::parse(kept) else { return facts };
    let text =
        |entry: &Object<'_>, name| entry.text(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let title = ["label", "displayName", "subject"].iter().find_map(|name| text(&entry, name));
    let title = title.or_else(|| text(&entry.object("origin")?, "label"));
    let labels = [("archivedAt", "archived"), ("pinnedAt", "pinned")];
    let labels =
        labels.iter().filter(|(field, _)| entry.integer(field).is_some()).map(|(_, label)| (*label).to_owned());
    let labels: Vec<String> = labels.collect();
    // What was running as the gateway went down is taken up again by the next.
    let is_pending = entry.text("status").as_deref() == Some("running") && entry.is_true("abortedLastRun");
    facts.extend(title.map(Change::Title));
    facts.extend((!labels.is_empty()).then_some(Change::Labels(labels)));
    facts.extend(is_pending.then(|| Change::ResumePending("the gateway went down while it ran".to_owned())));
    facts
}
