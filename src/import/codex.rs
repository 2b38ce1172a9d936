//! Codex: one rollout a thread, lines of `{"timestamp", "type", "payload"}`.
//!
//! A text stands twice in it: as what a model is sent (`response_item`), which is shown, and as what a user was shown (`event_msg`),
//! which is kept. The view is that of `reconstruct_history_from_rollout` (codex-rs/core, commit 0cf8861225d2): a compaction puts a
//! list of items in the place of the history, a rollback takes the last turns of users away. In one case it is not: when the only
//! turn that was compacted is rolled back, codex loses what the list kept of the turns before; here that stays.

use std::collections::HashMap;
use std::path::Path;

use crate::import::beside::Beside;
use crate::import::json::Object;
use crate::import::shape::{Change, Entry, Fold, Keep, Meaning, Peek, Place, Shape, Verdict};
use crate::import::times::time_of;

const TYPES: [&str; 5] = ["session_meta", "response_item", "event_msg", "turn_context", "compacted"];
/// Names of threads by their ids; what comes later counts.
const INDEX: &str = "session_index.jsonl";
/// How far above a rollout the index may be: `sessions/<year>/<month>/<day>/`.
const FOLDERS_ABOVE: usize = 5;
/// What the users' texts in a history that was compacted without a list of items may amount to: 20,000 tokens.
const USER_TEXT_BYTES: usize = 80_000;
/// What codex writes itself in a user's name is no turn.
const CONTEXTUAL: [&str; 8] = [
    "<environment_context>",
    "# AGENTS.md instructions",
    "<user_instructions>",
    "<skill>",
    "<user_shell_command>",
    "<turn_aborted>",
    "<subagent_notification>",
    "<hook_prompt",
];

#[derive(Default)]
pub(crate) struct Codex {
    names: Beside<HashMap<String, String>>,
}

impl Shape for Codex {
    fn judge(&self, peek: &Peek<'_>) -> Verdict {
        if id_in(&peek.name()).is_some() || peek.any(|object| self.is_entry(object)) {
            return Verdict::Session;
        }
        if peek.name() == INDEX { Verdict::Companion } else { Verdict::Unknown }
    }

    /// A fork repeats the thread that it is of, with its header: the file's name says which thread it is.
    fn key(&self, peek: &Peek<'_>) -> (&'static str, String) {
        let header = || {
            peek.find_map(|object| {
                let is_header = object.text("type").as_deref() == Some("session_meta");
                Some(object.object("payload").filter(|_| is_header)?.text("id")?.into_owned())
            })
        };
        let id = id_in(&peek.name()).or_else(header);
        ("codex:", id.unwrap_or_else(|| peek.stem().into_owned()))
    }

    fn is_entry(&self, object: &Object<'_>) -> bool {
        object.has("payload") && object.text("type").is_some_and(|name| TYPES.contains(&&*name))
    }

    fn facts(&self, path: &Path, key: &str) -> Vec<Change> {
        let above = path.ancestors().skip(1).take(FOLDERS_ABOVE).map(|folder| folder.join(INDEX));
        let title = above.filter(|index| index.is_file()).find_map(|index| {
            let names = self.names.get(&index, |text| {
                let lines = text.lines().filter_map(Object::parse);
                lines.filter_map(|line| Some((line.text("id")?.into(), line.text("thread_name")?.into()))).collect()
            });
            names.get(key).cloned()
        });
        title.map(Change::Title).into_iter().collect()
    }

    fn fold(&self, _path: &Path) -> Box<dyn Fold> {
        Box::new(History::default())
    }
}

/// Returns the thread's id in `rollout-<time>-<id>.jsonl`.
fn id_in(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".jsonl")?.strip_prefix("rollout-")?.split('.').next()?;
    let id = stem.get(stem.len().checked_sub(36)?..)?;
    let is_uuid = id.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    is_uuid.then(|| id.to_owned())
}

/// What a model is sent, as the lines build it up.
#[derive(Debug, Default)]
struct History {
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    at: At,
    /// The text, if it begins a turn of a user.
    user: Option<String>,
}

#[derive(Debug)]
enum At {
    /// An entry of the file.
    Entry(usize),
    /// JSON in a list that came with a compaction.
    Listed(String),
}

impl Fold for History {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let Some(object) = &entry.object else { return Meaning::default() };
        let kind = object.text("type").unwrap_or_default();
        let payload = object.object("payload").unwrap_or_default();
        let meaning = Meaning::new(object.raw("timestamp").and_then(time_of), kind == "response_item");
        match &*kind {
            "response_item" => {
                self.items.push(Item { at: At::Entry(entry.index), user: user_text(&payload) });
                meaning
            }
            "compacted" => {
                self.items = match payload.array("replacement_history") {
                    Some(items) => items.into_iter().map(Item::listed).collect(),
                    None => self.rebuilt(&payload.text("message").unwrap_or_default()),
                };
                meaning.change(Some(self.compacted()))
            }
            "event_msg" => match &*payload.text("type").unwrap_or_default() {
                "thread_rolled_back" => meaning.change(self.roll_back(payload.integer("num_turns").unwrap_or(0))),
                "thread_name_updated" => meaning.change(payload.text("thread_name").map(|n| Change::Title(n.into()))),
                _ => meaning,
            },
            _ => meaning,
        }
    }
}

impl Item {
    fn listed(item: &str) -> Self {
        let user = Object::parse(item).as_ref().and_then(user_text);
        Self { at: At::Listed(item.to_owned()), user }
    }
}

impl History {
    /// Says that the items stand in the place of all that was before.
    fn compacted(&self) -> Change {
        let listed = self.items.iter().map_while(|item| match &item.at {
            At::Listed(item) => Some(item.as_str()),
            At::Entry(_) => None,
        });
        let summary = format!("[{}]", listed.collect::<Vec<_>>().join(","));
        Change::Compacted { summary, keep_from: Keep::Nothing }
    }

    /// What codex makes of a compaction without a list: what the users said, the newest of it, and the message.
    fn rebuilt(&self, message: &str) -> Vec<Item> {
        let mut left = USER_TEXT_BYTES;
        let texts = self.items.iter().rev().filter_map(|item| item.user.as_deref());
        let mut texts: Vec<&str> = texts
            .take_while(|text| {
                let fits = text.len() <= left;
                left = left.saturating_sub(text.len());
                fits
            })
            .collect();
        texts.reverse();
        texts.push(if message.is_empty() { "(no summary available)" } else { message });
        let item = |text: &&str| {
            let content = serde_json::json!([{"type": "input_text", "text": text}]);
            let item = format!(r#"{{"type":"message","role":"user","content":{content}}}"#);
            Item { at: At::Listed(item), user: Some((*text).to_owned()) }
        };
        texts.iter().map(item).collect()
    }

    /// Takes the last turns away. What stands before the first is never taken.
    fn roll_back(&mut self, turns: i64) -> Option<Change> {
        let turns = usize::try_from(turns).ok().filter(|turns| *turns > 0)?;
        let starts = self.items.iter().enumerate().filter(|(_, item)| item.user.is_some()).map(|(at, _)| at);
        let starts: Vec<usize> = starts.collect();
        let first = *starts.get(starts.len().saturating_sub(turns))?;
        let gone = self.items.drain(first..).next()?;
        match gone.at {
            At::Entry(index) => Some(Change::Rewound(index.checked_sub(1).map_or(Place::Start, Place::Entry))),
            // Some of what came with the compaction goes, too.
            At::Listed(_) => Some(self.compacted()),
        }
    }
}

/// Returns the text of an item that begins a turn of a user.
fn user_text(item: &Object<'_>) -> Option<String> {
    if item.text("type")? != "message" || item.text("role")? != "user" {
        return None;
    }
    let mut all = String::new();
    for part in item.array("content")?.into_iter().filter_map(Object::parse) {
        let text = part.text("text").unwrap_or_default();
        let is_contextual = |start: &&str| {
            text.trim_start().get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
        };
        if CONTEXTUAL.iter().any(is_contextual) {
            return None;
        }
        all.push_str(&text);
    }
    Some(all)
}
