//! Claude Code: one file a session, its name the session's id, entries in a tree by `uuid` and `parentUuid`; one file a subagent,
//! whose entries carry the id of the session that called it.
//!
//! The conversation is the path to the last entry. Where tools were called side by side, their results are siblings in the tree, and all
//! of them belong to it. Behind a `compact_boundary` a model sees the summary that follows, and what the boundary says was kept.

use std::collections::HashSet;
use std::path::Path;

use crate::import::json::Object;
use crate::import::shape::{Change, Entry, Fold, Keep, Meaning, Peek, Place, Shape, Verdict};
use crate::import::times::time_of;
use crate::import::tree::Tree;

/// Types of entries that stand in no tree.
const NOTES: [&str; 6] =
    ["summary", "custom-title", "ai-title", "queue-operation", "file-history-snapshot", "last-prompt"];
const AGENT: &str = "agent-";

pub(crate) struct ClaudeCode;

impl Shape for ClaudeCode {
    fn judge(&self, peek: &Peek<'_>) -> Verdict {
        // What was typed at the prompt, of all sessions.
        let is_prompt = |object: &Object<'_>| object.has("display") && object.has("pastedContents");
        if peek.any(|object| self.is_entry(object)) {
            Verdict::Session
        } else if peek.name() == "history.jsonl" && peek.any(is_prompt) {
            Verdict::Companion
        } else {
            Verdict::Unknown
        }
    }

    fn key(&self, peek: &Peek<'_>) -> (&'static str, String) {
        let stem = peek.stem();
        let own = |name: &str| peek.find_map(|object| Some(object.text(name)?.into_owned()));
        // A session that was resumed may hold entries of the one before it; its file has its own id.
        let named = Some(stem.clone().into_owned()).filter(|stem| is_uuid(stem));
        if let Some(agent) = stem.strip_prefix(AGENT) {
            let agent = own("agentId").unwrap_or_else(|| agent.to_owned());
            // A file that does not say it lies in the session's folder.
            let folder = peek.path.ancestors().skip(1).find_map(|folder| {
                let name = folder.file_name()?.to_str()?;
                is_uuid(name).then(|| name.to_owned())
            });
            return match own("sessionId").or(folder) {
                Some(session) => ("claude-code:", format!("{session}:{AGENT}{agent}")),
                None => ("claude-code:", format!("{AGENT}{agent}")),
            };
        }
        ("claude-code:", named.or_else(|| own("sessionId")).unwrap_or_else(|| stem.into_owned()))
    }

    fn is_entry(&self, object: &Object<'_>) -> bool {
        let is_note = || object.text("type").is_some_and(|kind| NOTES.contains(&&*kind));
        let is_session = || object.has("sessionId") || object.has("leafUuid") || object.has("messageId");
        object.has("uuid") && object.has("parentUuid") || is_note() && is_session()
    }

    fn fold(&self, path: &Path) -> Box<dyn Fold> {
        let is_agent = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(AGENT));
        Box::new(Conversation { is_agent, ..Conversation::default() })
    }
}

/// Says whether a text is of the form 123e4567-e89b-12d3-a456-426614174000.
fn is_uuid(text: &str) -> bool {
    let is_part =
        |(part, length): (&str, usize)| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('-').count() == 5 && text.split('-').zip([8, 4, 4, 4, 12]).all(is_part)
}

#[derive(Debug, Default)]
struct Conversation {
    /// In the file of a session the entries of its subagents are not of the conversation; in that of a subagent all are.
    is_agent: bool,
    tree: Tree,
    step: Step,
    /// What the last boundary kept.
    kept: Option<usize>,
    custom_title: Option<String>,
    made_title: Option<String>,
    /// Each with the entry that it was made for, which may be of another session.
    summaries: Vec<(String, String)>,
}

/// An answer of the model, which comes as several entries, and the results of the tools that it calls.
#[derive(Debug, Default)]
struct Step {
    message: Option<String>,
    entries: HashSet<String>,
}

impl Fold for Conversation {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let Some(object) = &entry.object else { return Meaning::default() };
        let kind = object.text("type").unwrap_or_default();
        let time = object.raw("timestamp").and_then(time_of);
        let id = object.text("uuid");
        let is_aside = object.is_true("isSidechain") && !self.is_agent;
        let Some(id) = id.filter(|_| !is_aside) else {
            self.note(object, &kind);
            return Meaning::new(time, false);
        };
        let behind = self.place(object, &id, &kind, entry.index);
        let is_local = kind == "system" && object.text("subtype").as_deref() == Some("local_command");
        let is_said = matches!(&*kind, "user" | "assistant") || is_local;
        let is_summary = object.is_true("isCompactSummary");
        let is_boundary = kind == "system" && object.text("subtype").as_deref() == Some("compact_boundary");
        let summary = if is_boundary {
            self.kept = self.first_kept(object);
            Some("null".to_owned())
        } else {
            let message = object.object("message").filter(|_| is_summary);
            message.and_then(|message| message.raw("content").map(str::to_owned))
        };
        let keep_from = self.kept.map_or(Keep::Nothing, Keep::From);
        let change = summary.map(|summary| Change::Compacted { summary, keep_from });
        Meaning::new(time, is_said && !is_summary).behind(behind).change(change)
    }

    fn end(&mut self) -> Vec<Change> {
        let tree = &self.tree;
        let summary = self.summaries.iter().rev().find(|(leaf, _)| tree.has(leaf)).map(|(_, summary)| summary.clone());
        let title = self.custom_title.take().or(self.made_title.take()).or(summary);
        title.filter(|title| !title.is_empty()).map(Change::Title).into_iter().collect()
    }
}

impl Conversation {
    /// Reads what stands in no tree.
    fn note(&mut self, object: &Object<'_>, kind: &str) {
        let text = |name: &str| object.text(name).map(std::borrow::Cow::into_owned);
        match kind {
            "custom-title" => self.custom_title = text("customTitle"),
            "ai-title" => self.made_title = text("aiTitle"),
            "summary" => self.summaries.extend(text("leafUuid").zip(text("summary"))),
            _ => {}
        }
    }

    /// Puts an entry into the tree, and says where it goes on.
    fn place(&mut self, object: &Object<'_>, id: &str, kind: &str, index: usize) -> Option<Place> {
        // A boundary begins a tree of its own, but names what it stands behind.
        let parent = object.text("parentUuid").or_else(|| object.text("logicalParentUuid"));
        let is_in_step = parent.as_ref().is_some_and(|parent| self.step.entries.contains(&**parent));
        let message = object.object("message");
        let name = message.as_ref().filter(|_| kind == "assistant").and_then(|message| message.text("id"));
        let is_result = kind == "user" && message.as_ref().is_some_and(is_result);
        if kind == "assistant" && (name.is_none() || name.as_deref() != self.step.message.as_deref()) {
            self.step = Step { message: name.map(std::borrow::Cow::into_owned), entries: HashSet::new() };
        }
        if kind == "user" && !is_result {
            self.step = Step::default();
        } else if kind == "assistant" || is_in_step {
            self.step.entries.insert(id.to_owned());
        }
        if is_in_step {
            self.tree.add_last(id, index);
            None
        } else {
            self.tree.add(id, parent.as_deref(), index)
        }
    }

    /// Finds the first entry that a boundary keeps.
    fn first_kept(&self, boundary: &Object<'_>) -> Option<usize> {
        let kept = boundary.object("compactMetadata")?.object("preservedSegment")?;
        self.tree.on_path(&kept.text("headUuid")?)
    }
}

/// Says whether a message of the user holds results of tools.
fn is_result(message: &Object<'_>) -> bool {
    let blocks = message.array("content").unwrap_or_default();
    blocks
        .iter()
        .any(|block| Object::parse(block).is_some_and(|block| block.text("type").as_deref() == Some("tool_result")))
}
