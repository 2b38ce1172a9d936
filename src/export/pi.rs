//! A session file of pi, version 3: a header, then entries of which each names the one before it.
//!
//! What came from pi (or openclaw) goes back as it was. Everything else becomes entries of pi: messages, `custom_message` for
//! instructions and summaries, `custom` for what a model never sees. A rewind is a branch, a summary a `compaction`; what the
//! store's other marks say has no place there. Of an active view the entries form one line, with the compaction at its end.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use crate::export::ExportError;
use crate::export::json::{Object, quoted, string};
use crate::export::message::{Image, Lane, Message, Part, Role, Usage};
use crate::export::taken::{Source, Step, Taken};
use crate::mark::Mark;
use crate::timestamp::Timestamp;

pub(super) fn write(source: &mut Source, out: &mut dyn Write) -> Result<(), ExportError> {
    let survey = source.survey.as_ref();
    let id = survey.and_then(|survey| survey.row.as_ref()).map(|row| row.id.clone()).unwrap_or_default();
    let start = survey.and_then(|survey| survey.span).map_or_else(|| Timestamp::from_unix_ms(0), |(first, _)| first);
    let mut tree = Tree {
        out,
        own_header: header(&quoted(&uuid(&id)), &quoted(start.as_str()), "\"/\""),
        began: false,
        is_line: source.is_only_active(),
        leaf: None,
        written: None,
        leaves: Vec::new(),
        entries: Vec::new(),
        ids: HashSet::new(),
        ours: None,
        tools: HashMap::new(),
        held: None,
        number: 0,
        is_summed_up: false,
    };
    let mut summary = None;
    while let Some(step) = source.step()? {
        match step {
            Step::Record(taken) if source.survey.as_ref().is_some_and(|survey| survey.is_echo(taken.seq())) => {}
            Step::Record(taken) => tree.record(&taken)?,
            // What pointed to a record that is lost would point nowhere.
            Step::Gap(_) => tree.is_line = true,
            Step::Summary { ts, json } => summary = Some((ts, json)),
        }
    }
    tree.begin()?;
    if let Some((ts, json)) = summary {
        let first = tree.entries.first().map(|(_, id)| id.clone());
        tree.compaction(ts, &json, first)?;
    }
    tree.finish(start)
}

/// Writes entries and knows where in the tree it is.
struct Tree<'a> {
    out: &'a mut dyn Write,
    own_header: String,
    began: bool,
    /// The parents that entries of pi name are not to be believed: each follows the one before it.
    is_line: bool,
    leaf: Option<String>,
    /// The last entry of the file, which pi takes for the leaf.
    written: Option<String>,
    /// The leaf behind each record and mark, by seq.
    leaves: Vec<(u64, Option<String>)>,
    /// Entries by the seq of their record.
    entries: Vec<(u64, String)>,
    /// Ids of all entries so far.
    ids: HashSet<String>,
    /// The last compaction that is our own, and what it stands behind.
    ours: Option<(String, Option<String>)>,
    /// Names of tools by the id of the call.
    tools: HashMap<String, String>,
    /// An answer of which more may come.
    held: Option<Held>,
    number: u64,
    /// The last entry is a compaction of pi's own: the mark that was made of it says nothing new.
    is_summed_up: bool,
}

struct Held {
    id: String,
    parent: Option<String>,
    ts: Timestamp,
    message: Message,
}

impl Tree<'_> {
    fn record(&mut self, taken: &Taken) -> Result<(), ExportError> {
        let seq = taken.seq();
        match &taken.mark {
            Some(Mark::Rewound { to_seq }) if *to_seq < seq => {
                self.flush()?;
                let behind = self.leaves.partition_point(|(seq, _)| seq <= to_seq);
                let leaf = behind.checked_sub(1).and_then(|last| self.leaves.get(last));
                self.leaf = leaf.and_then(|(_, leaf)| leaf.clone());
            }
            Some(Mark::Compacted { keep_from }) if !self.is_summed_up => {
                self.flush()?;
                let json = Object::read(taken.body()).and_then(|mark| mark.some("summary")).unwrap_or("\"\"");
                let kept = self.entries.partition_point(|(seq, _)| seq < keep_from);
                let kept = self.entries.get(kept).map(|(_, id)| id.clone());
                self.begin()?;
                self.compaction(taken.ts(), json, kept)?;
            }
            Some(_) => {}
            None if matches!(taken.kind(), "meta.import.source" | "meta.import.end" | "meta.import.registry") => {}
            None => self.body(taken)?,
        }
        self.leaves.push((seq, self.leaf.clone()));
        Ok(())
    }

    fn body(&mut self, taken: &Taken) -> Result<(), ExportError> {
        let object = Object::read(taken.body());
        let kind = object.as_ref().and_then(|it| it.text("type")).unwrap_or_default().into_owned();
        if let Some(object) = object.as_ref().filter(|_| kind == "session" && !self.began) {
            if object.number("version") == Some(3) {
                taken.body().clone_into(&mut self.own_header);
            } else if let (Some(id), Some(ts)) = (object.raw("id"), object.raw("timestamp")) {
                self.own_header = header(id, ts, object.some("cwd").unwrap_or("\"/\""));
            }
            return self.begin();
        }
        self.begin()?;
        let own_id = object.as_ref().and_then(|it| it.filled("id").filter(|_| it.raw("parentId").is_some()));
        if let (Some(object), Some(id), true) = (object.as_ref(), own_id, is_entry(&kind)) {
            self.flush()?;
            let id = id.into_owned();
            let parent = object.text("parentId");
            let is_known = parent.as_ref().is_none_or(|parent| self.ids.contains(&**parent));
            // Who appended it knew nothing of an entry that we have put there since.
            let skips_ours = self.ours.as_ref().is_some_and(|(ours, before)| {
                self.leaf.as_ref() == Some(ours) && before.as_deref() == parent.as_deref()
            });
            if self.is_line || !is_known || skips_ours {
                let parent = self.leaf.as_deref().map_or_else(|| "null".to_owned(), quoted);
                self.line(&object.with("parentId", &parent))?;
            } else {
                self.line(taken.body())?;
            }
            self.is_summed_up = kind == "compaction";
            self.take(taken.seq(), id);
            return Ok(());
        }
        // What its kind keeps from a model is kept from it there, too.
        let read = taken.message();
        let is_shown = taken.is_activity() || read.lane == Lane::Second;
        let message = if is_shown { read } else { Message::note("record", taken.body()) };
        for message in split(message) {
            self.message(taken.seq(), taken.ts(), message, taken.body())?;
        }
        Ok(())
    }

    fn message(&mut self, seq: u64, ts: Timestamp, message: Message, body: &str) -> Result<(), ExportError> {
        if let Some(held) =
            self.held.as_mut().filter(|held| held.message.group.is_some() && held.message.group == message.group)
        {
            held.message.parts.extend(message.parts);
            held.message.usage = message.usage.or(held.message.usage);
            return Ok(());
        }
        self.flush()?;
        let (id, parent) = (self.new_id(), self.leaf.clone());
        if message.role == Role::Assistant {
            self.take(seq, id.clone());
            self.held = Some(Held { id, parent, ts, message });
            return Ok(());
        }
        let entry = match message.role {
            Role::Note => entry(
                "custom",
                &id,
                parent.as_deref(),
                ts,
                &[("customType", quoted("sesslog.record")), ("data", body.to_owned())],
            ),
            Role::System | Role::Summary => {
                let fields = [
                    ("customType", quoted(message.role.name())),
                    ("content", content(&message.parts)),
                    ("display", "true".to_owned()),
                ];
                entry("custom_message", &id, parent.as_deref(), ts, &fields)
            }
            _ => {
                let fields = self.message_fields(&message, ts);
                entry("message", &id, parent.as_deref(), ts, &[("message", fields)])
            }
        };
        self.line(&entry)?;
        self.take(seq, id);
        Ok(())
    }

    fn message_fields(&mut self, message: &Message, ts: Timestamp) -> String {
        let time = ("timestamp", ts.unix_ms().to_string());
        if let Some(Part::ToolResult { call_id, name, is_error, content: given }) =
            message.parts.first().filter(|_| message.role == Role::Tool)
        {
            let name = name.as_deref().or_else(|| self.tools.get(call_id).map(String::as_str)).unwrap_or("unknown");
            return object(&[
                ("role", quoted("toolResult")),
                ("toolCallId", quoted(call_id)),
                ("toolName", quoted(name)),
                ("content", content(given)),
                ("isError", is_error.to_string()),
                time,
            ]);
        }
        if message.role != Role::Assistant {
            return object(&[("role", quoted("user")), ("content", content(&message.parts)), time]);
        }
        let calls = message
            .parts
            .iter()
            .filter_map(|part| if let Part::ToolCall { id, name, .. } = part { Some((id, name)) } else { None });
        let before = self.tools.len();
        self.tools.extend(calls.map(|(id, name)| (id.clone(), name.clone())));
        let stop = if self.tools.len() > before { "toolUse" } else { "stop" };
        object(&[
            ("role", quoted("assistant")),
            ("content", content(&message.parts)),
            ("api", quoted("unknown")),
            ("provider", quoted("unknown")),
            ("model", quoted(message.model.as_deref().unwrap_or("unknown"))),
            ("usage", usage(message.usage.unwrap_or_default())),
            ("stopReason", quoted(stop)),
            time,
        ])
    }

    fn compaction(&mut self, ts: Timestamp, summary: &str, kept: Option<String>) -> Result<(), ExportError> {
        self.flush()?;
        let (id, parent) = (self.new_id(), self.leaf.clone());
        // A list stands for the history that it takes the place of; pi has a text.
        let text = string(summary).map_or_else(
            || Message::read_summary(summary).iter().map(Message::text).collect::<Vec<_>>().join("\n\n"),
            std::borrow::Cow::into_owned,
        );
        // Itself is none of those before it: nothing is kept.
        let kept = kept.unwrap_or_else(|| id.clone());
        let fields =
            [("summary", quoted(&text)), ("firstKeptEntryId", quoted(&kept)), ("tokensBefore", "0".to_owned())];
        let entry = entry("compaction", &id, parent.as_deref(), ts, &fields);
        self.line(&entry)?;
        self.ours = Some((id.clone(), parent));
        self.ids.insert(id.clone());
        self.leaf = Some(id.clone());
        self.written = Some(id);
        Ok(())
    }

    fn finish(mut self, ts: Timestamp) -> Result<(), ExportError> {
        self.flush()?;
        if self.leaf != self.written {
            // pi goes on behind the last entry of a file: one that says nothing leads back.
            let (id, parent) = (self.new_id(), self.leaf.clone());
            let entry = entry("custom", &id, parent.as_deref(), ts, &[("customType", quoted("sesslog.rewound"))]);
            self.line(&entry)?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), ExportError> {
        if !std::mem::replace(&mut self.began, true) {
            let header = std::mem::take(&mut self.own_header);
            self.line(&header)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        let Some(Held { id, parent, ts, message }) = self.held.take() else { return Ok(()) };
        let fields = self.message_fields(&message, ts);
        let entry = entry("message", &id, parent.as_deref(), ts, &[("message", fields)]);
        self.line(&entry)
    }

    fn line(&mut self, text: &str) -> Result<(), ExportError> {
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    fn take(&mut self, seq: u64, id: String) {
        self.entries.push((seq, id.clone()));
        self.ids.insert(id.clone());
        self.leaf = Some(id.clone());
        self.written = Some(id);
    }

    /// pi's own ids are hexadecimal: no `s` among them.
    fn new_id(&mut self) -> String {
        self.number = self.number.saturating_add(1);
        self.is_summed_up = false;
        format!("s{:07}", self.number)
    }
}

fn entry(kind: &str, id: &str, parent: Option<&str>, ts: Timestamp, more: &[(&str, String)]) -> String {
    let mut fields = vec![
        ("type", quoted(kind)),
        ("id", quoted(id)),
        ("parentId", parent.map_or_else(|| "null".to_owned(), quoted)),
        ("timestamp", quoted(ts.as_str())),
    ];
    fields.extend(more.iter().cloned());
    object(&fields)
}

fn is_entry(kind: &str) -> bool {
    matches!(
        kind,
        "message"
            | "compaction"
            | "branch_summary"
            | "custom"
            | "custom_message"
            | "model_change"
            | "thinking_level_change"
            | "session_info"
            | "label"
    )
}

/// pi has one message for each result, and what a user says beside them comes behind.
fn split(message: Message) -> Vec<Message> {
    if !message.parts.iter().any(|part| matches!(part, Part::ToolResult { .. })) {
        return vec![message];
    }
    let (results, rest): (Vec<_>, Vec<_>) =
        message.parts.into_iter().partition(|part| matches!(part, Part::ToolResult { .. }));
    let mut split: Vec<_> = results.into_iter().map(|part| Message::new(Role::Tool, vec![part])).collect();
    if !rest.is_empty() {
        split.push(Message::new(message.role, rest));
    }
    split
}

fn content(parts: &[Part]) -> String {
    let text = |text: &str| object(&[("type", quoted("text")), ("text", quoted(text))]);
    let part = |part: &Part| match part {
        Part::Text(said) | Part::Json(said) => text(said),
        Part::Thinking(thought) => object(&[("type", quoted("thinking")), ("thinking", quoted(thought))]),
        Part::ToolCall { id, name, arguments } => {
            let is_object = Object::read(arguments).is_some();
            let arguments = if is_object { arguments.clone() } else { object(&[("input", quoted(arguments))]) };
            object(&[
                ("type", quoted("toolCall")),
                ("id", quoted(id)),
                ("name", quoted(name)),
                ("arguments", arguments),
            ])
        }
        Part::ToolResult { content: given, .. } => text(&Message::new(Role::Tool, given.clone()).text()),
        Part::Image(Image::Inline { media_type, base64 }) => {
            object(&[("type", quoted("image")), ("data", quoted(base64)), ("mimeType", quoted(media_type))])
        }
        Part::Image(Image::Url(url)) => text(url),
    };
    format!("[{}]", parts.iter().map(part).collect::<Vec<_>>().join(","))
}

fn usage(usage: Usage) -> String {
    let total = usage.input.saturating_add(usage.output).saturating_add(usage.cached);
    let cost = "{\"input\":0,\"output\":0,\"cacheRead\":0,\"cacheWrite\":0,\"total\":0}".to_owned();
    object(&[
        ("input", usage.input.to_string()),
        ("output", usage.output.to_string()),
        ("cacheRead", usage.cached.to_string()),
        ("cacheWrite", "0".to_owned()),
        ("totalTokens", total.to_string()),
        ("cost", cost),
    ])
}

fn header(id: &str, ts: &str, cwd: &str) -> String {
    let fields = [
        ("type", quoted("session")),
        ("version", "3".to_owned()),
        ("id", id.to_owned()),
        ("timestamp", ts.to_owned()),
        ("cwd", cwd.to_owned()),
    ];
    object(&fields)
}

/// Spells 128 bits of hex as other systems spell ids.
fn uuid(hex: &str) -> String {
    // Of a damaged header the id is not known.
    let hex = format!("{hex:0<32}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", fields.join(","))
}
