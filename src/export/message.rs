//! One understanding of a record's body, whichever system wrote it: who says what, thinks what, calls which tool.
//!
//! What is not understood is kept as JSON. Nothing here is trusted: any field may be missing or of another type.

mod chat;
mod claude_code;
mod codex;
mod pi;

use crate::export::json::{Object, array, string};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The person, or whoever writes to the gateway.
    User,
    /// The model.
    Assistant,
    /// A tool, with what it gave back.
    Tool,
    /// Instructions.
    System,
    /// A summary of what was before.
    Summary,
    /// An entry beside the conversation: settings, counters, events.
    Note,
}

impl Role {
    /// Returns the name that outputs use.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::System => "system",
            Self::Summary => "summary",
            Self::Note => "note",
        }
    }
}

/// A part of what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Plain text.
    Text(String),
    /// What the model thought.
    Thinking(String),
    /// The model calls a tool.
    ToolCall {
        /// Links the call to its result; may be empty.
        id: String,
        /// The tool.
        name: String,
        /// JSON text, as a rule an object.
        arguments: String,
    },
    /// What a tool gave back.
    ToolResult {
        /// The id of the call; may be empty.
        call_id: String,
        /// The tool's name, where the record says it.
        name: Option<String>,
        /// It failed.
        is_error: bool,
        /// Texts, images and what is not understood.
        content: Vec<Part>,
    },
    /// An image.
    Image(Image),
    /// JSON text that is not understood.
    Json(String),
}

/// An image, inside the record or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Image {
    /// Inside the record.
    Inline {
        /// What it claims to be, e.g. `image/png`.
        media_type: String,
        /// As it stands there.
        base64: String,
    },
    /// Somewhere else.
    Url(String),
}

/// Tokens of one answer of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Read, those from a cache not included where the record tells them apart.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from a cache.
    pub cached: u64,
    /// The counts are those of the whole session up to here, not of one answer.
    pub is_total: bool,
}

/// Where a system writes the same text twice, which of the two this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lane {
    /// The only one, or the one to be preferred.
    First,
    /// An echo: shown only if there is none in the first.
    Second,
}

/// A record's body, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What, in order.
    pub parts: Vec<Part>,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens, where the record carries them.
    pub usage: Option<Usage>,
    /// Messages with the same group that follow each other are one answer of the model.
    pub group: Option<String>,
    /// Which of two lanes.
    pub lane: Lane,
    /// What a note is about, e.g. `model_change`; `None` where the shape is not known.
    pub label: Option<String>,
}

impl Message {
    pub(crate) fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, model: None, usage: None, group: None, lane: Lane::First, label: None }
    }

    /// A note with the whole body for whoever unfolds it.
    pub(crate) fn note(label: impl Into<String>, body: &str) -> Self {
        Self { label: Some(label.into()), ..Self::new(Role::Note, vec![Part::Json(body.to_owned())]) }
    }

    /// What nobody here knows the shape of.
    fn unknown(body: &str) -> Self {
        Self::new(Role::Note, vec![Part::Json(body.to_owned())])
    }

    /// Understands a body. Never fails: what has none of the known shapes is a note that holds it.
    ///
    /// ```
    /// use sesslog::export::{Message, Part, Role};
    /// let message = Message::read(r#"{"role":"user","content":"hi"}"#);
    /// assert_eq!((message.role, message.parts), (Role::User, vec![Part::Text("hi".to_owned())]));
    /// ```
    pub fn read(body: &str) -> Self {
        let Some(object) = Object::read(body) else {
            // A program that appends bare strings means them as text.
            return match string(body) {
                Some(text) => Self::new(Role::Note, vec![Part::Text(text.into_owned())]),
                None => Self::unknown(body),
            };
        };
        let kind = object.text("type").unwrap_or_default();
        let understood = if codex::is_line(&kind) && object.object("payload").is_some() {
            codex::read(&kind, &object, body)
        } else if claude_code::is_line(&kind, &object) {
            claude_code::read(&kind, &object, body)
        } else if pi::is_entry(&kind) {
            pi::read(&kind, &object, body)
        } else if object.text("role").is_some() {
            chat::read(&object, body)
        } else if object.text("_type").as_deref() == Some("metadata") {
            Some(Self::note("metadata", body))
        } else {
            None
        };
        understood.unwrap_or_else(|| Self::unknown(body))
    }

    /// Reads a summary as a compaction left it: a text, a list of what takes the history's place, or any JSON.
    pub fn read_summary(json: &str) -> Vec<Self> {
        let as_summary = |parts| Self::new(Role::Summary, parts);
        if let Some(text) = string(json) {
            return vec![as_summary(vec![Part::Text(text.into_owned())])];
        }
        let items = array(json).unwrap_or_default();
        let messages: Vec<_> = items.iter().filter_map(|item| codex::read_item(&Object::read(item)?, item)).collect();
        if messages.is_empty() || messages.len() < items.len() {
            let text = Object::read(json).and_then(|it| it.filled("summary").or_else(|| it.filled("text")));
            return vec![as_summary(vec![
                text.map_or_else(|| Part::Json(json.to_owned()), |text| Part::Text(text.into_owned())),
            ])];
        }
        messages
    }

    /// Returns the texts that are said, without thinking, calls and results.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(&**text) } else { None });
        texts.collect::<Vec<_>>().join("\n\n")
    }
}

/// Reads content that is a string or a list of parts, of any of the systems.
fn content(json: &str) -> Vec<Part> {
    if let Some(text) = string(json) {
        return if text.is_empty() { Vec::new() } else { vec![Part::Text(text.into_owned())] };
    }
    match array(json) {
        Some(elements) => elements.into_iter().map(part).collect(),
        None if json == "null" => Vec::new(),
        None if Object::read(json).is_some() => vec![part(json)],
        None => vec![Part::Json(json.to_owned())],
    }
}

/// Reads one part by its type. The types' names differ between the systems and do not collide.
fn part(json: &str) -> Part {
    if let Some(text) = string(json) {
        return Part::Text(text.into_owned());
    }
    let read = || {
        let object = Object::read(json)?;
        let kind = object.text("type")?;
        let own = |name: &str| object.text(name).map(std::borrow::Cow::into_owned);
        let called = |name: &str| own(name).unwrap_or_default();
        Some(match &*kind {
            "text" | "input_text" | "output_text" | "summary_text" | "reasoning_text" => Part::Text(own("text")?),
            "refusal" => Part::Text(own("refusal")?),
            "thinking" => Part::Thinking(own("thinking")?),
            "toolCall" => {
                Part::ToolCall { id: called("id"), name: called("name"), arguments: arguments(object.raw("arguments")) }
            }
            "tool_use" | "server_tool_use" => {
                Part::ToolCall { id: called("id"), name: called("name"), arguments: arguments(object.raw("input")) }
            }
            "tool_result" => Part::ToolResult {
                call_id: called("tool_use_id"),
                name: None,
                is_error: object.is_true("is_error"),
                content: content(object.raw("content").unwrap_or("null")),
            },
            "image" | "image_url" | "input_image" => Part::Image(image(&object)?),
            _ => return None,
        })
    };
    read().unwrap_or_else(|| Part::Json(json.to_owned()))
}

/// Reads an image of any of the shapes `{"data","mimeType"}`, `{"source":{...}}`, `{"image_url":"..."|{"url":"..."}}`.
fn image(object: &Object<'_>) -> Option<Image> {
    if let Some(data) = object.text("data") {
        let media_type = object.text("mimeType").or_else(|| object.text("media_type"))?;
        return Some(Image::Inline { media_type: media_type.into_owned(), base64: data.into_owned() });
    }
    if let Some(source) = object.object("source") {
        if let Some(url) = source.text("url") {
            return Some(Image::Url(url.into_owned()));
        }
        let (media_type, base64) = (source.text("media_type")?.into_owned(), source.text("data")?.into_owned());
        return Some(Image::Inline { media_type, base64 });
    }
    let nested = object.object("image_url");
    let url = object.text("image_url").or_else(|| nested.as_ref()?.text("url")).or_else(|| object.text("url"))?;
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    Some(match inline {
        Some((media_type, base64)) => Image::Inline { media_type: media_type.to_owned(), base64: base64.to_owned() },
        None => Image::Url(url.into_owned()),
    })
}

/// Returns arguments as JSON text: some systems write an object, some a string that holds one.
fn arguments(json: Option<&str>) -> String {
    let json = json.unwrap_or("{}");
    match string(json) {
        Some(text) if text.trim().is_empty() => "{}".to_owned(),
        Some(text) => text.into_owned(),
        None => json.to_owned(),
    }
}

/// Reads token counts by the names that a system uses.
fn usage(object: &Object<'_>, input: &str, output: &str, cached: &str) -> Option<Usage> {
    // What a cache is filled with was read, too.
    let filled = object.number("cache_creation_input_tokens").or_else(|| object.number("cacheWrite")).unwrap_or(0);
    let usage = Usage {
        input: object.number(input).unwrap_or(0).saturating_add(filled),
        output: object.number(output).unwrap_or(0),
        cached: object.number(cached).unwrap_or(0),
        is_total: false,
    };
    (usage.input > 0 || usage.output > 0 || usage.cached > 0).then_some(usage)
}
