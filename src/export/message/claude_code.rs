//! Lines of Claude Code: messages in an envelope with ids, and what it notes beside them.

use std::borrow::Cow;

use crate::export::json::Object;
use crate::export::message::{Message, Part, Role, content, usage};

/// Says whether a line is one of Claude Code's, by its type and what goes with that.
pub(super) fn is_line(kind: &str, object: &Object<'_>) -> bool {
    match kind {
        "user" | "assistant" => object.object("message").is_some(),
        "system" => object.raw("uuid").is_some() || object.raw("sessionId").is_some(),
        "summary" => object.raw("leafUuid").is_some(),
        "attachment" => object.raw("attachment").is_some(),
        "queue-operation" | "file-history-snapshot" | "progress" => true,
        _ => false,
    }
}

pub(super) fn read(kind: &str, object: &Object<'_>, body: &str) -> Option<Message> {
    match kind {
        "user" | "assistant" => {
            let message = object.object("message")?;
            let parts = content(message.raw("content").unwrap_or("null"));
            let only_results = !parts.is_empty() && parts.iter().all(|part| matches!(part, Part::ToolResult { .. }));
            let role = match kind {
                "assistant" => Role::Assistant,
                _ if only_results => Role::Tool,
                _ if object.is_true("isCompactSummary") => Role::Summary,
                _ if object.is_true("isMeta") => Role::System,
                _ => Role::User,
            };
            let mut read = Message::new(role, parts);
            if role == Role::Assistant {
                // One answer comes as a line for each of its parts, each with the usage of all.
                read.group = message.filled("id").map(Cow::into_owned);
                read.model = message.filled("model").map(Cow::into_owned);
                read.usage = message
                    .object("usage")
                    .and_then(|it| usage(&it, "input_tokens", "output_tokens", "cache_read_input_tokens"));
            }
            Some(read)
        }
        "summary" => {
            let text = object.text("summary")?.into_owned();
            Some(Message { label: Some("summary".to_owned()), ..Message::new(Role::Note, vec![Part::Text(text)]) })
        }
        "system" => Some(Message::note(object.filled("subtype").unwrap_or("system".into()), body)),
        "attachment" => {
            let kind = object.object("attachment").and_then(|it| it.filled("type").map(Cow::into_owned));
            Some(Message::note(kind.map_or_else(|| "attachment".to_owned(), |it| format!("attachment: {it}")), body))
        }
        other => Some(Message::note(other, body)),
    }
}
