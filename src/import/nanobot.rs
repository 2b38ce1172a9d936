//! nanobot: one file a session, its name the key in base64url, its first line metadata that every save writes anew, then messages.
//!
//! What `Session.get_history` (session/manager.py of 0.3.5) leaves out is not shown: commands, and answers that say nothing. The metadata
//! count how many messages are summed up; behind them the history begins with a message of the user.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::import::json::{self, Object};
use crate::import::shape::{Change, Entry, Fold, Keep, Meaning, Peek, Shape, Verdict};
use crate::import::times::time_of;

/// Stands for a summary where there is nothing to sum up.
const NO_SUMMARY: &str = "(nothing)";

pub(crate) struct Nanobot;

impl Shape for Nanobot {
    fn judge(&self, peek: &Peek<'_>) -> Verdict {
        let is_named = key_of(&peek.stem()).is_some_and(|key| key.contains(':'));
        if is_named || peek.any(|object| kind_of(object) == Kind::Metadata && object.has("created_at")) {
            Verdict::Session
        } else {
            Verdict::Unknown
        }
    }

    fn key(&self, peek: &Peek<'_>) -> (&'static str, String) {
        let is_metadata = |object: &Object<'_>| kind_of(object) == Kind::Metadata;
        let own = |object: &Object<'_>| object.text("key").filter(|_| is_metadata(object)).map(Cow::into_owned);
        let own = peek.key(own, key_of(&peek.stem()));
        own.map_or_else(|| ("nanobot:", peek.stem().into_owned()), |key| ("", key))
    }

    fn is_entry(&self, object: &Object<'_>) -> bool {
        kind_of(object) != Kind::Message || object.has("role") && object.has("content")
    }

    fn rewrites(&self, _line: u64, object: Option<&Object<'_>>) -> bool {
        object.is_some_and(|object| kind_of(object) != Kind::Message)
    }

    fn fold(&self, _path: &Path) -> Box<dyn Fold> {
        Box::new(Session::default())
    }
}

/// Reads the key in a file's name.
fn key_of(stem: &str) -> Option<String> {
    let key = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(stem).ok()?).ok()?;
    (!key.is_empty() && !key.contains(char::is_control)).then_some(key)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Metadata,
    ProviderState,
    Message,
}

fn kind_of(object: &Object<'_>) -> Kind {
    match object.text("_type").as_deref() {
        Some("metadata") => Kind::Metadata,
        Some("provider_state") => Kind::ProviderState,
        _ => Kind::Message,
    }
}

#[derive(Debug, Default)]
struct Session {
    messages: Vec<Message>,
    /// Messages that are summed up.
    offset: i64,
    title: String,
    summary: Option<String>,
}

/// What decides where a history may begin.
#[derive(Debug)]
struct Message {
    index: usize,
    role: Role,
    /// Sent without being asked: the user may be answering it.
    is_delivery: bool,
}

#[derive(Debug)]
enum Role {
    User,
    /// With the ids of the tools called.
    Assistant(Vec<String>),
    /// With the id of the call.
    Tool(String),
    Other,
}

impl Fold for Session {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let Some(object) = &entry.object else { return Meaning::default() };
        let time = |name: &str| object.raw(name).and_then(time_of);
        match kind_of(object) {
            Kind::Metadata => {
                self.metadata(object);
                Meaning::new(time("created_at"), false)
            }
            Kind::ProviderState => Meaning::default(),
            Kind::Message => {
                let message = Message::of(entry.index, object);
                let is_shown = !is_set(object, "_command") && !is_silent(object, &message.role);
                self.messages.push(message);
                Meaning::new(time("timestamp"), is_shown)
            }
        }
    }

    fn end(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.title.is_empty() {
            changes.push(Change::Title(std::mem::take(&mut self.title)));
        }
        let start = self.start();
        if start > 0 || self.summary.is_some() {
            let summary = serde_json::to_string(&self.summary).unwrap_or_else(|_| "null".to_owned());
            let first = self.messages.get(start).map(|message| message.index);
            changes.push(Change::Compacted { summary, keep_from: first.map_or(Keep::Nothing, Keep::From) });
        }
        changes
    }
}

impl Session {
    fn metadata(&mut self, object: &Object<'_>) {
        let offset = ["last_archived", "last_consolidated"].iter().find_map(|name| object.integer(name));
        self.offset = offset.unwrap_or(0);
        let metadata = object.object("metadata").unwrap_or_default();
        let title = metadata.text("title").unwrap_or_default();
        let is_edited = metadata.is_true("title_user_edited");
        self.title = if is_edited { title.into_owned() } else { without_thoughts(&title) };
        let summary = metadata.object("_last_summary").and_then(|summary| Some(summary.text("text")?.into_owned()));
        self.summary = summary.filter(|text| !text.is_empty() && text != NO_SUMMARY);
    }

    /// Returns the first message that the history has.
    fn start(&self) -> usize {
        // An offset that can not be would hide everything.
        let offset = usize::try_from(self.offset).ok().filter(|offset| *offset <= self.messages.len()).unwrap_or(0);
        let behind = self.messages.get(offset..).unwrap_or_default();
        let user = behind.iter().position(|message| matches!(message.role, Role::User)).unwrap_or(0);
        let before =
            user.checked_sub(1).filter(|before| behind.get(*before).is_some_and(|message| message.is_delivery));
        let first = before.unwrap_or(user);
        // A result of a tool whose call is not there is left out, and all before it.
        let (mut called, mut start) = (HashSet::new(), first);
        for (message, at) in behind.get(first..).unwrap_or_default().iter().zip(first..) {
            match &message.role {
                Role::Assistant(calls) => called.extend(calls.iter().map(String::as_str)),
                Role::Tool(call) if !call.is_empty() && !called.contains(call.as_str()) => {
                    start = at.saturating_add(1);
                    called.clear();
                }
                _ => {}
            }
        }
        offset.saturating_add(start)
    }
}

impl Message {
    fn of(index: usize, object: &Object<'_>) -> Self {
        let role = match object.text("role").as_deref() {
            Some("user") => Role::User,
            Some("assistant") => {
                let calls = object.array("tool_calls").unwrap_or_default();
                Role::Assistant(calls.into_iter().filter_map(|call| name_of(Object::parse(call)?.raw("id")?)).collect())
            }
            Some("tool") => Role::Tool(object.raw("tool_call_id").and_then(name_of).unwrap_or_default()),
            _ => Role::Other,
        };
        Self { index, role, is_delivery: is_set(object, "_channel_delivery") }
    }
}

/// Spells an id, which may be a number.
fn name_of(json: &str) -> Option<String> {
    match json::string(json) {
        Some(text) => Some(text.into_owned()),
        None => Some(json.to_owned()).filter(|json| json != "null"),
    }
}

/// Says whether a field is there and not empty.
fn is_set(object: &Object<'_>, name: &str) -> bool {
    object.raw(name).is_some_and(|value| !matches!(value, "null" | "false" | "0" | "\"\"" | "[]" | "{}"))
}

/// Says whether an answer says nothing, calls nothing and thinks nothing.
fn is_silent(object: &Object<'_>, role: &Role) -> bool {
    let is_empty =
        object.raw("content").is_none_or(|content| json::string(content).is_some_and(|text| text.trim().is_empty()));
    let is_more = ["tool_calls", "reasoning_content", "thinking_blocks"].iter().any(|name| object.has(name));
    matches!(role, Role::Assistant(_)) && is_empty && !is_more
}

/// Takes the thoughts out of a title that a model made.
fn without_thoughts(title: &str) -> String {
    let mut title = title.to_owned();
    for tag in ["think", "thinking", "thought"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        while let Some((before, rest)) = title.split_once(&open) {
            // One that is not closed goes to the end.
            let behind = rest.split_once(&close).map_or("", |(_, behind)| behind);
            title = format!("{before}{behind}");
        }
    }
    title.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_has_no_thoughts() {
        for (given, expected) in
            [(" Email triage ", "Email triage"), ("<think>hm</think>Email<thinking>", "Email"), ("a < b", "a < b")]
        {
            assert_eq!(without_thoughts(given), expected);
        }
    }

    #[test]
    fn keys_are_in_the_names_of_files() {
        assert_eq!(key_of("dGVsZWdyYW06ODI4MTI0ODU2OQ").as_deref(), Some("telegram:8281248569"));
        for other in ["chat", "", "agent-a1b2c3", "dGVsZWdyYW06ODI4MTI0ODU2OQ=="] {
            assert_eq!(key_of(other), None, "{other}");
        }
    }
}
