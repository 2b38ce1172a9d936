//! The second read of a session: what goes into an export, one item after the other, secrets already replaced.

use std::borrow::Cow;
use std::sync::Arc;

use crate::damage::{Gap, Tail, TailState};
use crate::error::Error;
use crate::export::Exported;
use crate::export::json::Object;
use crate::export::message::Message;
use crate::export::redact::Redactor;
use crate::export::survey::{Standing, Survey};
use crate::mark::Mark;
use crate::record::{Record, is_activity};
use crate::store::{ReadOptions, Session};
use crate::timestamp::Timestamp;
use crate::transcript::reader::{Item, Records};

/// A record or mark that goes into an export.
#[derive(Debug)]
pub(crate) struct Taken {
    record: Record,
    /// The body, if a secret was replaced in it.
    redacted: Option<String>,
    pub(crate) mark: Option<Mark>,
    pub(crate) standing: Standing,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    Record(Taken),
    Gap(Gap),
    /// Of the active view: what stands for what is left out.
    Summary {
        ts: Timestamp,
        json: String,
    },
}

/// Gives what goes into an export, in order.
pub(crate) struct Source {
    pub(crate) survey: Option<Arc<Survey>>,
    only_active: bool,
    /// Marks are part of the format.
    pub(crate) with_marks: bool,
    summary: Option<(Timestamp, String)>,
    records: Records,
    redactor: Option<Redactor>,
    done: Exported,
}

impl Source {
    pub(crate) fn open(
        session: &Session,
        generation: u64,
        survey: Option<Survey>,
        mut redactor: Option<Redactor>,
        only_active: bool,
    ) -> Result<Self, Error> {
        let read = |from_seq| session.read(&ReadOptions::new().generation(generation).from_seq(from_seq));
        let mut summary = None;
        if let Some((seq, _)) = survey.as_ref().and_then(|survey| survey.summary).filter(|_| only_active) {
            for item in read(seq)? {
                let Item::Record(record) = item? else { continue };
                let json = Object::read(record.body()).and_then(|mark| mark.some("summary").map(ToOwned::to_owned));
                let json = json.filter(|_| record.seq() == seq);
                summary = json.map(|json| (record.ts(), redact(&mut redactor, &json).into_owned()));
                break;
            }
        }
        let done = Exported { generation, ..Exported::default() };
        let survey = survey.map(Arc::new);
        Ok(Self { survey, only_active, with_marks: true, summary, records: read(0)?, redactor, done })
    }

    /// Returns the next item, `None` behind the last one that the first look has seen.
    pub(crate) fn step(&mut self) -> Result<Option<Step>, Error> {
        if let Some((ts, json)) = self.summary.take() {
            return Ok(Some(Step::Summary { ts, json }));
        }
        loop {
            let Some(item) = self.records.next().transpose()? else { return Ok(None) };
            let record = match item {
                Item::Record(record) => record,
                Item::Gap(gap) => {
                    self.done.gaps.push(gap);
                    return Ok(Some(Step::Gap(gap)));
                }
            };
            if self.survey.as_ref().is_some_and(|survey| record.seq() > survey.last_seq) {
                return Ok(None);
            }
            let standing = self.survey.as_ref().map_or(Standing::Active, |survey| survey.standing(record.seq()));
            if self.only_active && (standing != Standing::Active || !is_activity(record.kind())) {
                continue;
            }
            if record.is_mark() && !self.with_marks {
                continue;
            }
            let redacted = match redact(&mut self.redactor, record.body()) {
                Cow::Owned(text) => Some(text),
                Cow::Borrowed(_) => None,
            };
            // What people write into marks may be a secret, too.
            let mark = record.is_mark().then(|| Mark::parse(redacted.as_deref().unwrap_or_else(|| record.body())));
            if mark.is_none() {
                self.done.records = self.done.records.saturating_add(1);
            }
            return Ok(Some(Step::Record(Taken { record, redacted, mark, standing })));
        }
    }

    pub(crate) fn is_only_active(&self) -> bool {
        self.only_active
    }

    /// Replaces secrets in a text that is not a body.
    pub(crate) fn text(&mut self, text: &str) -> String {
        match &mut self.redactor {
            Some(redactor) => redactor.text(text).into_owned(),
            None => text.to_owned(),
        }
    }

    /// Returns what follows the last record, if that is more than nothing.
    pub(crate) fn tail(&self) -> Option<Tail> {
        self.records.tail().filter(|tail| matches!(tail.state, TailState::Torn { .. }))
    }

    pub(crate) fn finish(self) -> Exported {
        Exported { redacted: self.redactor.map(|it| it.counts).unwrap_or_default(), ..self.done }
    }
}

impl Taken {
    pub(crate) fn seq(&self) -> u64 {
        self.record.seq()
    }

    pub(crate) fn ts(&self) -> Timestamp {
        self.record.ts()
    }

    pub(crate) fn kind(&self) -> &str {
        self.record.kind()
    }

    pub(crate) fn body(&self) -> &str {
        self.redacted.as_deref().unwrap_or_else(|| self.record.body())
    }

    /// Says whether a user would see it, by its kind.
    pub(crate) fn is_activity(&self) -> bool {
        is_activity(self.record.kind())
    }

    pub(crate) fn message(&self) -> Message {
        Message::read(self.body())
    }
}

fn redact<'a>(redactor: &mut Option<Redactor>, json: &'a str) -> Cow<'a, str> {
    match redactor {
        Some(redactor) => redactor.json(json),
        None => Cow::Borrowed(json),
    }
}
