//! Lines of a codex rollout. What is said stands there twice: as items that a model gets, and as events that a person sees.

use std::borrow::Cow;

use crate::export::json::{Object, quoted};
use crate::export::message::{Image, Lane, Message, Part, Role, arguments, content, usage};

/// The answer of a model is a run of items, of which nothing but their order says that they belong together.
const GROUP: &str = "codex";

pub(super) fn is_line(kind: &str) -> bool {
    matches!(kind, "response_item" | "event_msg" | "session_meta" | "turn_context" | "compacted")
}

pub(super) fn read(kind: &str, line: &Object<'_>, body: &str) -> Option<Message> {
    let payload = line.object("payload")?;
    match kind {
        "response_item" => Some(read_item(&payload, line.raw("payload")?).unwrap_or_else(|| note(&payload, body))),
        "event_msg" => Some(event(&payload, body)),
        "compacted" => {
            let Some(message) = payload.filled("message").map(Cow::into_owned) else {
                return Some(Message::note(kind, body));
            };
            Some(Message { label: Some(kind.to_owned()), ..Message::new(Role::Summary, vec![Part::Text(message)]) })
        }
        _ => Some(Message::note(kind, body)),
    }
}

fn note(payload: &Object<'_>, body: &str) -> Message {
    Message::note(payload.filled("type").unwrap_or("record".into()), body)
}

/// Reads an item as a model gets it; `None` if it is none that says anything.
pub(super) fn read_item(item: &Object<'_>, json: &str) -> Option<Message> {
    let own = |name: &str| item.text(name).map(Cow::into_owned).unwrap_or_default();
    let assistant = |part: Part| Message { group: Some(GROUP.to_owned()), ..Message::new(Role::Assistant, vec![part]) };
    Some(match &*item.text("type")? {
        "message" => {
            let said = content(item.raw("content").unwrap_or("null"));
            match &*item.text("role")? {
                "user" if is_instruction(&said) => Message::new(Role::System, said),
                "user" => Message::new(Role::User, said),
                "assistant" => Message { group: Some(GROUP.to_owned()), ..Message::new(Role::Assistant, said) },
                _ => Message::new(Role::System, said),
            }
        }
        "reasoning" => {
            let mut texts: Vec<_> = item.array("summary");
            texts.extend(item.array("content"));
            let text = Message::new(Role::Assistant, texts.into_iter().map(super::part).collect()).text();
            if text.is_empty() {
                return Some(Message::note("reasoning, encrypted", json));
            }
            assistant(Part::Thinking(text))
        }
        "function_call" => assistant(Part::ToolCall {
            id: own("call_id"),
            name: own("name"),
            arguments: arguments(item.raw("arguments")),
        }),
        "custom_tool_call" => {
            let arguments = format!("{{\"input\":{}}}", quoted(&own("input")));
            assistant(Part::ToolCall { id: own("call_id"), name: own("name"), arguments })
        }
        kind @ ("local_shell_call" | "web_search_call") => {
            let arguments = item.some("action").unwrap_or("{}").to_owned();
            let name = kind.trim_end_matches("_call").to_owned();
            assistant(Part::ToolCall { id: own("call_id"), name, arguments })
        }
        "function_call_output" | "custom_tool_call_output" => {
            let output = item.raw("output").unwrap_or("null");
            // Once an object with the text inside and whether it worked.
            let nested = Object::read(output);
            let given = nested.as_ref().and_then(|it| it.raw("content")).unwrap_or(output);
            let is_error = nested.as_ref().is_some_and(|it| it.raw("success") == Some("false"));
            Message::new(
                Role::Tool,
                vec![Part::ToolResult { call_id: own("call_id"), name: None, is_error, content: content(given) }],
            )
        }
        _ => return None,
    })
}

/// Says whether a user's message is what the program itself put there.
fn is_instruction(said: &[Part]) -> bool {
    let begins = |text: &str| {
        ["<environment_context>", "<user_instructions>", "# AGENTS.md instructions"]
            .iter()
            .any(|it| text.starts_with(it))
    };
    matches!(said.first(), Some(Part::Text(text)) if begins(text))
}

fn event(payload: &Object<'_>, body: &str) -> Message {
    let echo = |role, part| Message { lane: Lane::Second, ..Message::new(role, vec![part]) };
    let said = |name: &str| payload.filled(name).map(Cow::into_owned);
    let read = || {
        Some(match &*payload.text("type")? {
            "user_message" => {
                let mut message = echo(Role::User, Part::Text(said("message")?));
                let images = payload.array("images");
                let urls = images.into_iter().filter_map(crate::export::json::string);
                message.parts.extend(urls.map(|url| Part::Image(Image::Url(url.into_owned()))));
                message
            }
            "agent_message" => echo(Role::Assistant, Part::Text(said("message")?)),
            "agent_reasoning" => echo(Role::Assistant, Part::Thinking(said("text")?)),
            "token_count" => {
                let mut message = note(payload, body);
                let info = payload.object("info")?;
                let counts = |name: &str| {
                    usage(&info.object(name)?, "input_tokens", "output_tokens", "cached_input_tokens").map(
                        |mut usage| {
                            // Here the cached ones are part of the others.
                            usage.input = usage.input.saturating_sub(usage.cached);
                            usage
                        },
                    )
                };
                let total = || {
                    counts("total_token_usage").map(|mut usage| {
                        usage.is_total = true;
                        usage
                    })
                };
                message.usage = counts("last_token_usage").or_else(total);
                message
            }
            _ => return None,
        })
    };
    read().unwrap_or_else(|| note(payload, body))
}
