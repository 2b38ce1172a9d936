//! pi: one file a session, a header and then a tree of entries.
//!
//! What its `buildSessionContext` (session-manager.js of 0.73.1) sends to a model is shown; settings, labels and the shell
//! commands that were kept from the model are not. A compaction keeps from its first kept entry on if that is an ancestor.

use std::path::Path;

use crate::import::json::Object;
use crate::import::shape::{Change, Entry, Fold, Keep, Meaning, Peek, Shape, Verdict};
use crate::import::times::time_of;
use crate::import::tree::Tree;

const TYPES: [&str; 9] = [
    "message",
    "model_change",
    "thinking_level_change",
    "compaction",
    "branch_summary",
    "custom",
    "custom_message",
    "label",
    "session_info",
];

pub(crate) struct Pi;

impl Shape for Pi {
    fn judge(&self, peek: &Peek<'_>) -> Verdict {
        if peek.any(|object| is_header(object) || self.is_entry(object)) { Verdict::Session } else { Verdict::Unknown }
    }

    fn key(&self, peek: &Peek<'_>) -> (&'static str, String) {
        let header = |object: &Object<'_>| Some(object.text("id")?.into_owned()).filter(|_| is_header(object));
        // The file's name is the time, and the id.
        let named = peek.stem().split_once('_').map(|(_, id)| id.to_owned());
        ("pi:", peek.key(header, named).unwrap_or_else(|| peek.stem().into_owned()))
    }

    fn is_entry(&self, object: &Object<'_>) -> bool {
        let is_known = object.text("type").is_some_and(|name| TYPES.contains(&&*name));
        is_known && object.has("timestamp") && (object.has("parentId") || !object.has("id"))
    }

    fn fold(&self, _path: &Path) -> Box<dyn Fold> {
        Box::new(Entries::default())
    }
}

pub(crate) fn is_header(object: &Object<'_>) -> bool {
    object.text("type").as_deref() == Some("session") && object.text("id").is_some() && object.has("timestamp")
}

/// The entries of a file, which other systems have, too.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) tree: Tree,
}

impl Fold for Entries {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let Some(object) = &entry.object else { return Meaning::default() };
        let kind = object.text("type").unwrap_or_default();
        let message = object.object("message").filter(|_| kind == "message");
        // Of a message its own time, as the lists of sessions have it; of everything else that of the entry.
        let own = message.as_ref().and_then(|message| message.raw("timestamp").and_then(time_of));
        let time = own.or_else(|| object.raw("timestamp").and_then(time_of));
        let meaning = Meaning::new(time, is_shown(object, message.as_ref(), &kind));
        if kind == "session" {
            return meaning;
        }
        // Before version 2 entries had no ids and stood one behind the other.
        let parent = object.text(if kind == "leaf" { "targetId" } else { "parentId" });
        let behind = object.text("id").and_then(|id| self.tree.add(&id, parent.as_deref(), entry.index));
        let change = match &*kind {
            "session_info" => Some(Change::Title(object.text("name").unwrap_or_default().trim().to_owned())),
            "compaction" | "reset" => Some(Change::Compacted {
                summary: object.raw("summary").unwrap_or("null").to_owned(),
                keep_from: self.keep_from(object),
            }),
            _ => None,
        };
        meaning.behind(behind).change(change)
    }
}

impl Entries {
    fn keep_from(&self, compaction: &Object<'_>) -> Keep {
        // Before version 2 it was counted, the header being 0.
        let counted = || usize::try_from(compaction.integer("firstKeptEntryIndex")?).ok();
        let named = |id: &str| self.tree.on_path(id);
        let first = compaction.text("firstKeptEntryId").map_or_else(counted, |id| named(&id));
        first.map_or(Keep::Nothing, Keep::From)
    }
}

fn is_shown(object: &Object<'_>, message: Option<&Object<'_>>, kind: &str) -> bool {
    match kind {
        "message" => !message.is_some_and(|message| message.is_true("excludeFromContext")),
        "custom_message" => true,
        "branch_summary" => object.text("summary").is_some_and(|summary| !summary.is_empty()),
        _ => false,
    }
}
