//! From the lines of a source to the records of a session: which there are, in which order, under which ids. What is there already
//! is passed over by its id, so that an import can be done again, after a crash too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::import::facts;
use crate::import::finding::{Finding, FindingKind};
use crate::import::ids::{
    End, KIND_END, KIND_ENTRY, KIND_RAW, KIND_REGISTRY, KIND_SOURCE, LineId, Raw, SOURCE, Source, end_id,
};
use crate::import::json::Object;
use crate::import::known::Known;
use crate::import::lines::{Line, PART_BYTES};
use crate::import::salvage::{Kept, Newline, Reason, keep};
use crate::import::shape::{Change, Entry, Fold, Keep, Place, Shape};
use crate::mark::Mark;
use crate::record::NewRecord;
use crate::timestamp::Timestamp;

/// Findings of one file that are told one by one; the rest is counted.
const FINDINGS_MAX: usize = 1000;
/// Longest title and reason, most labels, longest label that a mark takes.
const TEXT_BYTES_MAX: usize = 4096;
const LABELS_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 128;

/// Where a record came to stand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seq {
    /// Its seq.
    At(u64),
    /// It is about to be written, as the so manyth; the seq is known then.
    Later(usize),
}

/// Takes the records of an import.
pub(crate) trait Sink {
    fn put(&mut self, record: NewRecord) -> Result<Seq, Error>;

    /// Returns a seq, after writing what it takes to know it.
    fn seq(&mut self, at: Seq) -> Result<u64, Error>;
}

/// What came of a source.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) records: u64,
    pub(crate) messages: u64,
    pub(crate) raw: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) salvaged: u64,
    pub(crate) findings: Vec<Finding>,
    pub(crate) findings_left_out: u64,
}

/// The records of one source.
pub(crate) struct Plan<'a> {
    shape: &'a dyn Shape,
    fold: Box<dyn Fold>,
    /// What is known beside the source.
    pub(crate) beside: &'a [Change],
    sink: &'a mut dyn Sink,
    known: Option<&'a Known>,
    /// Lines that the store has in another version.
    changed: &'a BTreeSet<u64>,
    path: PathBuf,
    newline: Newline,
    /// For each entry where its record stands, and the last of what it changes.
    entries: Vec<(Seq, Seq)>,
    time: Timestamp,
    pub(crate) told: Told,
}

impl<'a> Plan<'a> {
    /// Begins. `time` is that of what comes before the first time in the file.
    pub(crate) fn new(
        shape: &'a dyn Shape,
        sink: &'a mut dyn Sink,
        (known, changed): (Option<&'a Known>, &'a BTreeSet<u64>),
        path: &Path,
        time: Timestamp,
    ) -> Self {
        let fold = shape.fold(path);
        let newline = known.map_or_else(Newline::default, |known| known.newline);
        let (path, entries, told) = (path.to_owned(), Vec::new(), Told::default());
        Self { shape, fold, beside: &[], sink, known, changed, path, newline, entries, time, told }
    }

    /// Puts the record that says where all this is from.
    pub(crate) fn source(&mut self, source: &Source) -> Result<(), Error> {
        if self.known.is_none() {
            self.newline = if source.newline == "\r\n" { Newline::CrLf } else { Newline::Lf };
            self.put(NewRecord::new(source)?.kind(KIND_SOURCE)?, SOURCE, self.time)?;
        }
        Ok(())
    }

    /// Puts a line, and what can be read of it.
    pub(crate) fn line(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let (id, is_known) = self.id_of(line.number);
        if line.part.unwrap_or(0) == 0 && self.changed.contains(&line.number) {
            self.take_back(id)?;
        }
        if let Some(part) = line.part {
            match self.told.findings.last_mut().filter(|finding| part > 0 && finding.line == Some(line.number)) {
                Some(finding) => finding.bytes = finding.bytes.saturating_add(length_of(line.bytes)),
                None if part > 0 => {}
                None => {
                    self.find(line, FindingKind::KeptRaw { reason: Reason::TooLong, salvaged: 0 });
                    self.told.raw = self.told.raw.saturating_add(1);
                }
            }
            return self.raw(LineId { part, ..id }, is_known, line.offset, line.bytes, Reason::TooLong);
        }
        let shape = self.shape;
        match keep(line.bytes, self.newline, &|object| shape.is_entry(object)) {
            Kept::Body(record) => {
                let known = self.known.filter(|_| is_known).and_then(|known| known.get(line.number));
                self.entry(record, &id.to_string(), known.map(|known| known.seq))
            }
            Kept::Raw(reason, records) => {
                let salvaged = u64::try_from(records.len()).unwrap_or(u64::MAX);
                self.find(line, FindingKind::KeptRaw { reason, salvaged });
                self.told.raw = self.told.raw.saturating_add(1);
                self.told.salvaged = self.told.salvaged.saturating_add(salvaged);
                for (bytes, part) in line.bytes.chunks(PART_BYTES).zip(0_u64..) {
                    let before = part.saturating_mul(u64::try_from(PART_BYTES).unwrap_or(u64::MAX));
                    let offset = line.offset.saturating_add(before);
                    self.raw(LineId { part, ..id }, is_known, offset, bytes, reason)?;
                }
                for (record, number) in records.into_iter().zip(1_u64..) {
                    let id = format!("{id}.{number}");
                    let known = self.known.and_then(|known| known.seq(&id));
                    self.entry(record, &id, known)?;
                }
                Ok(())
            }
        }
    }

    /// Puts what holds at the end of the file.
    pub(crate) fn end(&mut self, end: &End) -> Result<(), Error> {
        let mut all = self.fold.end();
        all.extend_from_slice(self.beside);
        for (id, change) in facts::news(all, self.known, self.entries.len()) {
            let is_release = change == Change::Released;
            if let Some(at) = self.change(change, &id)?.filter(|_| is_release) {
                // As long as that is not written, nothing is to be resumed.
                self.sink.seq(at)?;
            }
        }
        let mut id = end_id(end);
        // Lines without an end behind them are no import: not those that take the place of others of the same size either.
        let is_said = |known: &Known| known.end == Some(*end) && !known.is_cut_off && self.changed.is_empty();
        if !self.known.is_some_and(is_said) {
            if let Some(known) = self.known.filter(|known| known.seq(&id).is_some()) {
                id = format!("{id}:{}", known.end_seq());
            }
            self.put(NewRecord::new(end)?.kind(KIND_END)?, &id, self.time)?;
        }
        Ok(())
    }

    /// Returns the name of a line, and whether the store has it.
    fn id_of(&self, line: u64) -> (LineId, bool) {
        let known = self.known.and_then(|known| known.get(line));
        let is_changed = self.changed.contains(&line);
        let version = known.map_or(1, |known| known.version.saturating_add(u64::from(is_changed)));
        (LineId { line, version, part: 0 }, known.is_some() && !is_changed)
    }

    /// Takes what the last line showed out of the view, when a longer one that shows it again comes in its place. Not where it would
    /// take more: records that others appended, or the summary that stands behind.
    fn take_back(&mut self, id: LineId) -> Result<(), Error> {
        let is_last = |known: &&Known| id.line == known.line_count() && !known.has_others;
        let known = self.known.filter(is_last).filter(|known| known.newest_fact("compacted").is_none());
        let before = LineId { version: id.version.saturating_sub(1), ..id };
        let was_shown = |known: &Known| {
            known.get(id.line).is_some_and(|line| !line.is_raw()) || known.seq(&format!("{before}.1")).is_some()
        };
        if known.is_some_and(was_shown) {
            let place = self.entries.len().checked_sub(1).map_or(Place::Start, Place::Entry);
            // What is read of a line is counted from 1.
            self.change(Change::Rewound(place), &format!("{id}.0.rewound"))?;
        }
        Ok(())
    }

    fn raw(&mut self, id: LineId, is_known: bool, offset: u64, bytes: &[u8], reason: Reason) -> Result<(), Error> {
        self.told.raw_bytes = self.told.raw_bytes.saturating_add(length_of(bytes));
        let parts = self.known.filter(|_| is_known).and_then(|known| known.get(id.line)).map_or(0, |line| line.parts());
        if id.part >= parts {
            let record = NewRecord::new(&Raw::new(reason.name(), offset, bytes))?.kind(KIND_RAW)?;
            self.put(record, &id.to_string(), self.time)?;
        }
        Ok(())
    }

    /// Puts an entry, or passes over the one that stands at `known`, and what it changes.
    fn entry(&mut self, record: NewRecord, id: &str, known: Option<u64>) -> Result<(), Error> {
        let entry = Entry { index: self.entries.len(), object: Object::entry(record.body()) };
        let meaning = self.fold.entry(&entry);
        self.time = meaning.time.unwrap_or(self.time);
        if let Some(place) = meaning.behind {
            self.change(Change::Rewound(place), &format!("{id}.rewound"))?;
        }
        self.told.messages = self.told.messages.saturating_add(u64::from(meaning.is_shown));
        let at = if let Some(seq) = known {
            Seq::At(seq)
        } else {
            let record = if meaning.is_shown { record } else { record.kind(KIND_ENTRY)? };
            self.put(record, id, self.time)?
        };
        self.entries.push((at, at));
        for change in meaning.changes {
            let (name, _) = facts::fact(&change, self.entries.len());
            if let Some(end) = self.change(change, &format!("{id}.{name}"))?
                && let Some(entry) = self.entries.last_mut()
            {
                entry.1 = end;
            }
        }
        Ok(())
    }

    /// Puts a change, if it is not there, and returns where it stands.
    fn change(&mut self, change: Change, id: &str) -> Result<Option<Seq>, Error> {
        if let Some(seq) = self.known.and_then(|known| known.seq(id)) {
            return Ok(Some(Seq::At(seq)));
        }
        match self.mark(change) {
            Ok(record) => self.put(record, id, self.time).map(Some),
            Err(error @ (Error::Record(_) | Error::MarkTooLong { .. })) => {
                self.note(Finding::new(&self.path, FindingKind::NoMark(error)));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn mark(&mut self, change: Change) -> Result<NewRecord, Error> {
        let mark = match change {
            Change::Title(title) => Mark::Title { title: cut(title, TEXT_BYTES_MAX) },
            Change::Labels(mut labels) => {
                labels.truncate(LABELS_MAX);
                Mark::Labels { labels: labels.into_iter().map(|label| cut(label, LABEL_BYTES_MAX)).collect() }
            }
            Change::Suspended(reason) => Mark::Suspended { reason: cut(reason, TEXT_BYTES_MAX) },
            Change::ResumePending(reason) => Mark::ResumePending { reason: cut(reason, TEXT_BYTES_MAX) },
            Change::Released => return Ok(NewRecord::mark(&Mark::Released)),
            Change::ResumeCleared => return Ok(NewRecord::mark(&Mark::ResumeCleared)),
            Change::Rewound(place) => Mark::Rewound { to_seq: self.end_of(place)? },
            Change::Registry(_, entry) => return Ok(NewRecord::json(&entry)?.kind(KIND_REGISTRY)?),
            Change::Compacted { summary, keep_from } => {
                let keep_from = match keep_from {
                    Keep::From(index) => self.entries.get(index).map(|(at, _)| *at),
                    Keep::Nothing => None,
                };
                let keep_from = match (keep_from, self.entries.last().map(|(_, end)| *end)) {
                    (Some(at), _) => self.sink.seq(at)?,
                    (None, Some(last)) => self.sink.seq(last)?.saturating_add(1),
                    (None, None) => 1,
                };
                return Ok(NewRecord::summary(&summary, keep_from)?);
            }
        };
        NewRecord::state(&mark)
    }

    fn end_of(&mut self, place: Place) -> Result<u64, Error> {
        match place {
            Place::Start => Ok(0),
            Place::Entry(index) => self.entries.get(index).map_or(Ok(0), |(_, end)| self.sink.seq(*end)),
        }
    }

    fn put(&mut self, record: NewRecord, id: &str, time: Timestamp) -> Result<Seq, Error> {
        self.told.records = self.told.records.saturating_add(1);
        self.sink.put(record.id(id)?.at(time))
    }

    fn find(&mut self, line: &Line<'_>, kind: FindingKind) {
        let mut finding = Finding::new(&self.path, kind);
        (finding.line, finding.offset) = (Some(line.number), line.offset);
        finding.bytes = length_of(line.bytes);
        self.note(finding);
    }

    fn note(&mut self, finding: Finding) {
        if self.told.findings.len() < FINDINGS_MAX {
            self.told.findings.push(finding);
        } else {
            self.told.findings_left_out = self.told.findings_left_out.saturating_add(1);
        }
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Cuts a text to so many bytes, between characters.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
