//! Messages in the shape of chat completions (nanobot, hermes-agent), and rows of hermes-agent's database.

use std::borrow::Cow;

use crate::export::json::{Object, array};
use crate::export::message::{Message, Part, Role, arguments, content, usage};

pub(super) fn read(object: &Object<'_>, body: &str) -> Option<Message> {
    let said = content(object.raw("content").unwrap_or("null"));
    let mut message = match &*object.text("role")? {
        "user" => Message::new(Role::User, said),
        "assistant" | "model" => assistant(object, said),
        "tool" | "function" => {
            let name = object.filled("name").or_else(|| object.filled("tool_name")).map(Cow::into_owned);
            let call_id = object.text("tool_call_id").unwrap_or_default().into_owned();
            Message::new(
                Role::Tool,
                vec![Part::ToolResult { call_id, name, is_error: object.is_true("is_error"), content: said }],
            )
        }
        "system" | "developer" => Message::new(Role::System, said),
        // The rest of the line is no message.
        "session_meta" => Message::note("session_meta", body),
        _ => Message::unknown(body),
    };
    message.model = object.filled("model").map(Cow::into_owned);
    message.usage = object.object("usage").and_then(|it| {
        usage(&it, "prompt_tokens", "completion_tokens", "cached_tokens")
            .or_else(|| usage(&it, "input_tokens", "output_tokens", "cached_tokens"))
    });
    Some(message)
}

fn assistant(object: &Object<'_>, said: Vec<Part>) -> Message {
    let thought = ["reasoning_content", "reasoning"].iter().find_map(|name| object.filled(name));
    let mut parts: Vec<_> = thought.map(|text| Part::Thinking(text.into_owned())).into_iter().collect();
    parts.extend(said);
    // A database keeps the list as text.
    let kept = object.text("tool_calls");
    let calls = kept.as_deref().or_else(|| object.raw("tool_calls")).and_then(array).unwrap_or_default();
    parts.extend(calls.into_iter().map(call));
    Message::new(Role::Assistant, parts)
}

fn call(json: &str) -> Part {
    let read = || {
        let call = Object::read(json)?;
        let function = call.object("function")?;
        Some(Part::ToolCall {
            id: call.text("id").unwrap_or_default().into_owned(),
            name: function.text("name")?.into_owned(),
            arguments: arguments(function.raw("arguments")),
        })
    };
    read().unwrap_or_else(|| Part::Json(json.to_owned()))
}
