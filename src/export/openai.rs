//! The active view in the shape of chat completions: one JSON object with `messages`.
//!
//! What that shape has no place for is left out: thinking, notes. Services refuse a result whose call is summed up: it comes as a
//! user's message; so do images that a tool gave back, behind the results that stand together. They refuse a call without a
//! result, too: such a call gets one that says so, unless it is the last thing that happened.

use std::io::Write;

use serde_json::{Value, json};

use crate::export::ExportError;
use crate::export::merge::Merge;
use crate::export::message::{Image, Message, Part, Role};
use crate::export::taken::{Source, Step};

pub(super) fn write(source: &mut Source, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut chat = Chat { out, first: true, open: Vec::new(), images: Vec::new() };
    let mut merge = Merge::default();
    chat.out.write_all(b"{\"messages\":[")?;
    while let Some(step) = source.step()? {
        let messages = match step {
            Step::Record(taken) if source.survey.as_ref().is_some_and(|survey| survey.is_echo(taken.seq())) => continue,
            Step::Record(taken) => vec![taken.message()],
            Step::Summary { json, .. } => Message::read_summary(&json),
            Step::Gap(_) => continue,
        };
        for message in messages.into_iter().filter(|message| message.role != Role::Note) {
            if let Some(whole) = merge.push(message) {
                chat.message(&whole)?;
            }
        }
    }
    if let Some(last) = merge.flush() {
        chat.message(&last)?;
    }
    chat.show_images()?;
    chat.out.write_all(b"\n]}\n")?;
    Ok(())
}

struct Chat<'a> {
    out: &'a mut dyn Write,
    first: bool,
    /// Ids of the calls of the last answer that have no result yet.
    open: Vec<String>,
    /// Images that tools gave back.
    images: Vec<Value>,
}

impl Chat<'_> {
    fn put(&mut self, message: &Value) -> Result<(), ExportError> {
        let separator = if std::mem::take(&mut self.first) { "\n" } else { ",\n" };
        write!(self.out, "{separator}{message}")?;
        Ok(())
    }

    /// Ends the results of an answer: services take no call without one, and go on only behind the last.
    fn close_calls(&mut self) -> Result<(), ExportError> {
        for id in std::mem::take(&mut self.open) {
            self.put(&json!({"role": "tool", "tool_call_id": id, "content": "(no result)"}))?;
        }
        self.show_images()
    }

    fn show_images(&mut self) -> Result<(), ExportError> {
        let content = std::mem::take(&mut self.images);
        if content.is_empty() { Ok(()) } else { self.put(&json!({"role": "user", "content": content})) }
    }

    fn message(&mut self, message: &Message) -> Result<(), ExportError> {
        let (mut said, mut calls, mut results) = (Vec::new(), Vec::new(), Vec::new());
        let mut opened = Vec::new();
        for part in &message.parts {
            match part {
                Part::Text(text) | Part::Json(text) => said.push(json!({"type": "text", "text": text})),
                Part::Image(image) => said.push(image_part(image)),
                Part::Thinking(_) => {}
                Part::ToolCall { id, name, arguments } if message.role == Role::Assistant => {
                    calls.push(
                        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}),
                    );
                    opened.push(id.clone());
                }
                Part::ToolCall { name, arguments, .. } => {
                    said.push(json!({"type": "text", "text": format!("{name} {arguments}")}));
                }
                Part::ToolResult { call_id, content, .. } => results.push((call_id, content)),
            }
        }
        for (call_id, content) in results {
            let text = text_of(content);
            if let Some(at) = self.open.iter().position(|id| id == call_id) {
                self.open.remove(at);
                self.put(&json!({"role": "tool", "tool_call_id": call_id, "content": text}))?;
            } else {
                self.close_calls()?;
                self.put(&json!({"role": "user", "content": text}))?;
            }
            self.images.extend(content.iter().filter_map(|part| match part {
                Part::Image(image) => Some(image_part(image)),
                _ => None,
            }));
        }
        if said.is_empty() && calls.is_empty() {
            return Ok(());
        }
        self.close_calls()?;
        self.open = opened;
        let role = match message.role {
            Role::Assistant => "assistant",
            Role::System | Role::Summary => "system",
            _ => "user",
        };
        let mut new = json!({"role": role, "content": content_of(said)});
        if let (Some(fields), false) = (new.as_object_mut(), calls.is_empty()) {
            fields.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        self.put(&new)
    }
}

/// Text alone is a string, nothing is `null`, the rest is a list of parts.
fn content_of(said: Vec<Value>) -> Value {
    if said.is_empty() {
        return Value::Null;
    }
    let texts: Vec<_> = said.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
    if texts.len() == said.len() { Value::from(texts.join("\n\n")) } else { Value::Array(said) }
}

fn text_of(content: &[Part]) -> String {
    let texts = content.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Json(text) => Some(&**text),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

fn image_part(image: &Image) -> Value {
    let url = match image {
        Image::Inline { media_type, base64 } => format!("data:{media_type};base64,{base64}"),
        Image::Url(url) => url.clone(),
    };
    json!({"type": "image_url", "image_url": {"url": url}})
}
