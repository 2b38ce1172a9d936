//! Entries of pi and openclaw: a tree of messages, settings and summaries.

use std::borrow::Cow;

use crate::export::json::{Object, quoted};
use crate::export::message::{Message, Part, Role, content, usage};

pub(super) fn is_entry(kind: &str) -> bool {
    matches!(
        kind,
        "session"
            | "message"
            | "compaction"
            | "branch_summary"
            | "custom"
            | "custom_message"
            | "model_change"
            | "thinking_level_change"
            | "session_info"
            | "label"
            | "leaf"
            | "reset"
    )
}

pub(super) fn read(kind: &str, entry: &Object<'_>, body: &str) -> Option<Message> {
    let summary = |label: &str, text: Cow<'_, str>| {
        let parts = vec![Part::Text(text.into_owned())];
        Message { label: Some(label.to_owned()), ..Message::new(Role::Summary, parts) }
    };
    Some(match kind {
        "message" => message(&entry.object("message")?, entry.raw("message")?)?,
        "compaction" | "branch_summary" => summary(kind, entry.filled("summary")?),
        "custom_message" => {
            let parts = content(entry.raw("content").unwrap_or("null"));
            Message { label: entry.filled("customType").map(Cow::into_owned), ..Message::new(Role::System, parts) }
        }
        "model_change" => {
            let mut note = Message::note(kind, body);
            note.model = entry.filled("modelId").map(Cow::into_owned);
            note
        }
        _ => Message::note(kind, body),
    })
}

fn message(message: &Object<'_>, json: &str) -> Option<Message> {
    let said = content(message.raw("content").unwrap_or("null"));
    let own = |name: &str| message.filled(name).map(Cow::into_owned);
    Some(match &*message.text("role")? {
        "user" => Message::new(Role::User, said),
        "assistant" => Message {
            model: own("model"),
            usage: message.object("usage").and_then(|it| usage(&it, "input", "output", "cacheRead")),
            ..Message::new(Role::Assistant, said)
        },
        "toolResult" => {
            let result = Part::ToolResult {
                call_id: own("toolCallId").unwrap_or_default(),
                name: own("toolName"),
                is_error: message.is_true("isError"),
                content: said,
            };
            Message::new(Role::Tool, vec![result])
        }
        // A command that the user ran beside the model.
        "bashExecution" => {
            let command = own("command")?;
            let arguments = format!("{{\"command\":{}}}", quoted(&command));
            let call = Part::ToolCall { id: String::new(), name: "bash".to_owned(), arguments };
            let result = Part::ToolResult {
                call_id: String::new(),
                name: Some("bash".to_owned()),
                is_error: message.some("exitCode").is_some_and(|code| code != "0"),
                content: own("output").map(Part::Text).into_iter().collect(),
            };
            Message::new(Role::User, vec![call, result])
        }
        "system" | "custom" | "hookMessage" => Message::new(Role::System, said),
        "compactionSummary" | "branchSummary" => {
            Message::new(Role::Summary, own("summary").map(Part::Text).into_iter().collect())
        }
        other => Message::note(other, json),
    })
}
