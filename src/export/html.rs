//! A session as one page that needs nothing else: no network, no file beside it.
//!
//! Templates escape every string; the style sheet and the script are constant and named by their hashes in the page's policy, so
//! that nothing else runs even if an escape were missed. There is no inline style and no inline handler.

mod head;
mod strip;
mod view;

use std::io::Write;
use std::sync::Arc;

use askama::Template;

use crate::export::ExportError;
use crate::export::json::Object;
use crate::export::message::{Message, Role};
use crate::export::shown::{Weight, at, counted, gap_text, mark_text, number, visible};
use crate::export::survey::{Standing, Survey};
use crate::export::taken::{Source, Step, Taken};
use crate::export::turns::Ending;
use crate::mark::Mark;
use crate::store::Session;
use crate::timestamp::Timestamp;
use head::Head;
use view::{Block, Piece, Viewer, chunks, is_long, preview};

const SCRIPT: &str = include_str!("html/page.js");

#[derive(Template)]
#[template(path = "turn.html")]
struct TurnHead {
    turn: usize,
    facts: Vec<String>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Article<'a> {
    seq: u64,
    role: &'static str,
    standing: &'static str,
    name: &'static str,
    label: Option<String>,
    badge: Option<&'static str>,
    datetime: &'a str,
    at: String,
    blocks: Vec<Block>,
}

#[derive(Template)]
#[template(path = "notes.html")]
struct Notes {
    label: String,
    preview: String,
    list: Vec<Note>,
}

/// An entry beside the conversation.
struct Note {
    seq: u64,
    standing: &'static str,
    label: String,
    preview: String,
    at: String,
    is_long: bool,
    chunks: Vec<String>,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventLine<'a> {
    class: &'static str,
    anchor: &'a str,
    text: &'a str,
    at: Option<String>,
}

#[derive(Template)]
#[template(path = "foot.html")]
struct Foot {
    is_empty: bool,
    closing: String,
    script: &'static str,
}

pub(super) fn write(source: &mut Source, session: &Session, out: &mut dyn Write) -> Result<(), ExportError> {
    let Some(survey) = source.survey.clone() else { return Ok(()) };
    // Of a session that can not be read nobody can say.
    let is_running = session.is_running().unwrap_or(false);
    Head::of(source, session, &survey, is_running).write_into(out)?;
    let mut page = Page {
        out,
        // Of an active view they are no part.
        restart: if source.is_only_active() { survey.restarts.len() } else { 0 },
        survey,
        is_running,
        turn: None,
        gap: 0,
        notes: Vec::new(),
        viewer: Viewer::default(),
        messages: 0,
        echoes: 0,
        summary: None,
    };
    while let Some(step) = source.step()? {
        match step {
            Step::Record(taken) => page.record(&taken)?,
            Step::Gap(gap) => {
                page.flush_notes()?;
                page.gap += 1;
                let anchor = format!("g{}", page.gap);
                page.event(&anchor, Weight::Loss, &format!("Damage: {}", gap_text(&gap)), None)?;
            }
            Step::Summary { ts, json } => {
                for message in Message::read_summary(&json) {
                    page.article(&message, 0, ts, Standing::Active)?;
                }
            }
        }
    }
    if let Some(tail) = source.tail() {
        page.flush_notes()?;
        let text = format!(
            "{} behind the last record that nobody promised: torn, or being written",
            counted(tail.bytes, "byte")
        );
        page.event("tail", Weight::Warning, &text, None)?;
    }
    page.finish()
}

/// The transcript while it is written.
struct Page<'a> {
    out: &'a mut dyn Write,
    survey: Arc<Survey>,
    is_running: bool,
    /// Index of the turn whose section is open.
    turn: Option<usize>,
    /// Restarts that were written.
    restart: usize,
    gap: u64,
    /// Entries beside the conversation that follow each other.
    notes: Vec<Note>,
    viewer: Viewer,
    messages: u64,
    /// Events that are left out: an item has said what they say.
    echoes: u64,
    /// The last message, if it was a summary.
    summary: Option<String>,
}

impl Page<'_> {
    fn record(&mut self, taken: &Taken) -> Result<(), ExportError> {
        self.restarts(Some(taken.ts()))?;
        self.turn_at(taken.seq())?;
        if let Some(mark) = &taken.mark {
            if matches!(mark, Mark::Title { .. } | Mark::Labels { .. }) {
                // What holds of them now is in the header.
                let label = if matches!(mark, Mark::Title { .. }) { "title" } else { "labels" };
                self.note(taken, &Message::note(label, taken.body()));
            } else if let Some((text, weight)) = mark_text(mark, taken.body()) {
                self.flush_notes()?;
                self.event(&format!("r{}", taken.seq()), weight, &visible(&text), Some(taken.ts()))?;
            }
            if matches!(mark, Mark::Compacted { .. }) {
                self.summary(taken)?;
            }
            return Ok(());
        }
        if self.survey.is_echo(taken.seq()) {
            self.echoes = self.echoes.saturating_add(1);
            return Ok(());
        }
        let message = taken.message();
        // What is said in a shape that nobody knows is said all the same.
        if message.role == Role::Note && (message.label.is_some() || !taken.is_activity()) {
            self.note(taken, &message);
            return Ok(());
        }
        self.article(&message, taken.seq(), taken.ts(), taken.standing)
    }

    fn article(&mut self, message: &Message, seq: u64, ts: Timestamp, standing: Standing) -> Result<(), ExportError> {
        self.flush_notes()?;
        self.messages = self.messages.saturating_add(1);
        self.summary = (message.role == Role::Summary).then(|| message.text());
        let label = message.model.as_deref().or(message.label.as_deref()).map(|label| visible(label).into_owned());
        let article = Article {
            seq,
            role: message.role.name(),
            standing: class_of(standing),
            name: name_of(message.role),
            label,
            badge: match standing {
                Standing::Active => None,
                Standing::SummedUp => Some("summed up"),
                Standing::Left => Some("not in the active view"),
            },
            datetime: ts.as_str(),
            at: at(ts),
            blocks: self.viewer.blocks(message),
        };
        article.write_into(self.out)?;
        Ok(())
    }

    /// Writes what a compaction left, unless an entry of the system it came from has just said it.
    fn summary(&mut self, taken: &Taken) -> Result<(), ExportError> {
        let mark = Object::read(taken.body());
        let Some(json) = mark.as_ref().and_then(|mark| mark.some("summary")) else { return Ok(()) };
        let messages = Message::read_summary(json);
        if let ([message], Some(said)) = (&messages[..], &self.summary)
            && message.text() == *said
        {
            return Ok(());
        }
        for message in &messages {
            self.article(message, 0, taken.ts(), taken.standing)?;
        }
        Ok(())
    }

    fn note(&mut self, taken: &Taken, message: &Message) {
        let label = message.label.as_deref().unwrap_or_else(|| taken.kind());
        let text = message.text();
        let body = crate::export::json::pretty(taken.body());
        let about = message.model.as_deref().unwrap_or(if text.is_empty() { taken.body() } else { &text });
        self.notes.push(Note {
            seq: taken.seq(),
            standing: class_of(taken.standing),
            label: preview(label),
            preview: preview(about),
            at: at(taken.ts()),
            is_long: is_long(&body),
            chunks: chunks(&body),
        });
    }

    fn flush_notes(&mut self) -> Result<(), ExportError> {
        let notes = std::mem::take(&mut self.notes);
        if notes.is_empty() {
            return Ok(());
        }
        let count = u64::try_from(notes.len()).unwrap_or(u64::MAX);
        let mut labels: Vec<&str> = notes.iter().map(|note| &*note.label).collect();
        labels.dedup();
        let label = match count {
            1 => "1 entry beside the conversation".to_owned(),
            _ => format!("{} entries beside the conversation", number(count)),
        };
        Notes { label, preview: preview(&labels.join(", ")), list: notes }.write_into(self.out)?;
        Ok(())
    }

    fn event(&mut self, anchor: &str, weight: Weight, text: &str, ts: Option<Timestamp>) -> Result<(), ExportError> {
        EventLine { class: weight.name(), anchor, text, at: ts.map(at) }.write_into(self.out)?;
        Ok(())
    }

    /// Writes the restarts up to some time, or all that are left.
    fn restarts(&mut self, until: Option<Timestamp>) -> Result<(), ExportError> {
        while let Some(ts) =
            self.survey.restarts.get(self.restart).copied().filter(|ts| until.is_none_or(|until| *ts <= until))
        {
            self.restart = self.restart.saturating_add(1);
            self.flush_notes()?;
            self.event(&format!("s{}", self.restart), Weight::Warning, "Restart: a gateway started", Some(ts))?;
        }
        Ok(())
    }

    /// Opens the section of the turn that a record belongs to.
    fn turn_at(&mut self, seq: u64) -> Result<(), ExportError> {
        let index = self.survey.turns.partition_point(|turn| turn.first_seq <= seq).checked_sub(1);
        if index == self.turn {
            return Ok(());
        }
        self.close_turn()?;
        self.turn = index;
        let survey = Arc::clone(&self.survey);
        if let Some((index, turn)) = index.and_then(|index| Some((index, survey.turns.get(index)?))) {
            let before = index.checked_sub(1).and_then(|before| survey.turns.get(before));
            TurnHead { turn: index.saturating_add(1), facts: strip::facts(turn, before) }.write_into(self.out)?;
        }
        Ok(())
    }

    fn close_turn(&mut self) -> Result<(), ExportError> {
        self.flush_notes()?;
        let Some(index) = self.turn.take() else { return Ok(()) };
        let survey = Arc::clone(&self.survey);
        if let Some(turn) = survey.turns.get(index).filter(|turn| turn.ending == Ending::Open) {
            let is_last = index.saturating_add(1) == survey.turns.len();
            let text =
                if self.is_running && is_last { "The turn is running" } else { "The turn did not end: interrupted" };
            self.event(&format!("i{}", index.saturating_add(1)), Weight::Warning, text, Some(turn.end))?;
        }
        self.out.write_all(b"</section>\n")?;
        Ok(())
    }

    fn finish(mut self) -> Result<(), ExportError> {
        self.restarts(None)?;
        self.flush_notes()?;
        self.close_turn()?;
        let echoes = match self.echoes {
            0 => String::new(),
            count => format!(" Left out: {} that only said the same again.", counted(count, "event")),
        };
        let (generation, version) = (self.survey.generation, env!("CARGO_PKG_VERSION"));
        let closing = format!("Generation {generation}.{echoes} Times are in UTC. Written by sesslog {version}.");
        Foot { is_empty: self.messages == 0, closing, script: SCRIPT }.write_into(self.out)?;
        Ok(())
    }
}

fn class_of(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "",
        Standing::SummedUp => " summed",
        Standing::Left => " left",
    }
}

fn name_of(role: Role) -> &'static str {
    match role {
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
        Role::System => "System",
        Role::Summary => "Summary",
        Role::Note => "Record",
    }
}
