//! What a gateway shows: the active view that a model gets, the last messages, and taking some of them back.
//!
//! Each is a read from the end back and costs the same whatever the transcript's length. Nothing is ever rewritten: a summary
//! and an undo are marks, and what they leave out stays readable.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::frame::Crc;
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::record::{Head, NewRecord, Receipt, Record, RecordError, is_activity};
use crate::store::Session;
use crate::store::inner::Inner;
use crate::store::marks::{check_seq, open_row};
use crate::timestamp::Timestamp;
use crate::transcript::reader::Item;
use crate::transcript::recover::{self, Trust};
use crate::transcript::trail::{Clamped, Trail};

/// What a model should see of a session now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// The end of the history that was read.
    pub head: Head,
    /// What stands for the records that are left out.
    pub summary: Option<Summary>,
    /// The records, in order, with the damage among them. Marks and kinds that begin with `meta.` are left out.
    pub items: Vec<Item>,
    /// Marks whose numbers can not be, and what they were taken for. Empty as a rule.
    pub clamped: Vec<Clamped>,
}

/// A summary of records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The seq of the mark that holds it.
    pub seq: u64,
    /// When it was made.
    pub ts: Timestamp,
    /// The first record that is not summed up.
    pub keep_from: u64,
    json: String,
}

impl Summary {
    /// Returns the summary as JSON text, byte for byte as it was given.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Deserialises it.
    ///
    /// # Errors
    ///
    /// Those of `serde_json` when it is not a `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(&self.json)
    }

    /// Reads the mark; `None` if it is no summary. Of a number that can not be, notes what it was taken for.
    fn read(record: &Record, clamped: &mut Vec<Clamped>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Compacted<'a> {
            mark: &'a str,
            #[serde(borrow)]
            summary: &'a RawValue,
            keep_from: u64,
        }
        let mark: Compacted<'_> = record.is_mark().then(|| record.parse().ok()).flatten()?;
        if mark.mark != "compacted" {
            return None;
        }
        // A number that can not be says nothing of what is summed up: then nothing is left out.
        let keep_from = if (1..=record.seq()).contains(&mark.keep_from) { mark.keep_from } else { 1 };
        if keep_from != mark.keep_from {
            clamped.push(Clamped { seq: record.seq(), field: "keep_from", given: mark.keep_from, used: keep_from });
        }
        Some(Self { seq: record.seq(), ts: record.ts(), keep_from, json: mark.summary.get().to_owned() })
    }
}

/// What an undo did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undone {
    /// The generation.
    pub generation: u64,
    /// The first record that is not shown any more.
    pub from_seq: u64,
    /// The seq of the mark that says so.
    pub seq: u64,
}

impl Session {
    /// Returns what a model should see now: the last summary, and the records from its `keep_from` on; without a summary all
    /// of them. What was undone is left out, and so is everything before a reset: then there is nothing to see.
    ///
    /// Reads from the end back, only what it returns and a block more. Takes no lock.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn context(&self) -> Result<Context, Error> {
        self.view(None)
    }

    /// [`context`](Self::context) of some generation, as it was when a reset closed it.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn context_of(&self, generation: u64) -> Result<Context, Error> {
        self.view(Some(generation))
    }

    /// Returns the last `max` records that a user would see, in order, with the damage among them: those that are summed up
    /// count, those that were undone, marks and kinds that begin with `meta.` do not.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn history(&self, max: usize) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        if max == 0 {
            return Ok(items);
        }
        let (_, mut trail) = trail(self.store.inner(), self.key(), None)?;
        let mut records = 0_usize;
        while let Some(item) = trail.step()? {
            match &item {
                Item::Record(record) if is_reset(record) => break,
                Item::Record(record) if !is_activity(record.kind()) => continue,
                Item::Record(_) => records = records.saturating_add(1),
                Item::Gap(_) => {}
            }
            items.push(item);
            if records == max {
                break;
            }
        }
        items.reverse();
        Ok(items)
    }

    fn view(&self, generation: Option<u64>) -> Result<Context, Error> {
        let (head, mut trail) = trail(self.store.inner(), self.key(), generation)?;
        let (mut items, mut summary) = (Vec::new(), None::<Summary>);
        let mut clamped = Vec::new();
        while let Some(item) = trail.step()? {
            let from = summary.as_ref().map_or(0, |summary| summary.keep_from);
            match &item {
                // A mark of the generation's end: what comes next is of another one.
                Item::Record(record) if generation.is_none() && is_reset(record) => break,
                Item::Record(record) if record.seq() < from => break,
                Item::Record(record) if record.is_mark() => {
                    summary = summary.or_else(|| Summary::read(record, &mut clamped));
                }
                Item::Record(record) if !is_activity(record.kind()) => {}
                // Before the summary: what is lost there is summed up.
                Item::Gap(gap) if gap.lost.map_or(gap.expected_seq, |(_, last)| last) < from => break,
                Item::Record(_) | Item::Gap(_) => items.push(item),
            }
        }
        items.reverse();
        clamped.extend(trail.clamped);
        let head = trail.head.map_or(head, |(seq, crc)| Head { seq, crc, ..head });
        Ok(Context { head, summary, items, clamped })
    }

    /// Sums up what stands before the record `keep_from`: a model is shown the summary instead, which is any JSON value. The
    /// records stay, and [`history`](Self::history) goes on giving them.
    ///
    /// # Errors
    ///
    /// [`Error::Record`] when the summary is no JSON, too deep or too large, [`Error::BeyondHistory`] when `keep_from` is more
    /// than one above the last record's seq (0 is taken for 1), [`Error::SessionNotFound`], [`Error::SessionClosed`]: nothing was
    /// written. Those of [`append`](Self::append).
    pub fn compact<T: Serialize + ?Sized>(&self, summary: &T, keep_from: u64) -> Result<Receipt, Error> {
        let summary =
            serde_json::to_string(summary).map_err(|error| RecordError::NotJson { reason: error.to_string() })?;
        let keep_from = keep_from.max(1);
        let record = NewRecord::compacted(&summary, keep_from)?;
        record.check_size(self.store.inner().options.record_bytes_max)?;
        self.decide_open(move |key, row| {
            check_seq(key, (row.generation, row.last_seq), "keep_from", keep_from, row.last_seq.saturating_add(1))?;
            Ok(vec![record.clone()])
        })
        .and_then(only)
    }

    /// Goes on behind an earlier record, 0 standing for none: what stands between is not in the view any more. Named again, a
    /// record that was left comes back, with the path that led to it. Returns the mark's receipt.
    ///
    /// # Errors
    ///
    /// [`Error::BeyondHistory`] when there is no record `to_seq`, [`Error::SessionNotFound`], [`Error::SessionClosed`]: nothing
    /// was written. Those of [`append`](Self::append).
    pub fn rewind(&self, to_seq: u64) -> Result<Receipt, Error> {
        let receipts = self.decide_open(move |key, row| {
            check_seq(key, (row.generation, row.last_seq), "to_seq", to_seq, row.last_seq)?;
            Ok(vec![NewRecord::mark(&Mark::Rewound { to_seq })])
        })?;
        only(receipts)
    }

    /// Returns the first of the records that [`undo`](Self::undo) would take. Writes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`undo`](Self::undo), but that somebody else writes.
    pub fn check_undo(&self, count: u64) -> Result<u64, Error> {
        let inner = self.store.inner();
        let row = inner.sound_row(self.key(), None, Trust::Anchor)?;
        let row = open_row(self.key(), Some(&row))?;
        to_undo(inner, self.key(), row.generation, count.max(1)).map(|(first_seq, _)| first_seq)
    }

    /// Takes the last `count` records that a user would see out of the view, and what stands between and behind them. A mark
    /// says so; the records stay in the transcript. A summary that none of them was part of goes on standing for what it sums
    /// up; one that some of them were part of is taken back with them. Without a count nothing happens.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewRecords`], [`Error::SessionNotFound`], [`Error::SessionClosed`]: nothing was written. Those of
    /// [`append`](Self::append).
    pub fn undo(&self, count: u64) -> Result<Option<Undone>, Error> {
        if count == 0 {
            return self.row().map(|_| None);
        }
        let inner = Arc::clone(self.store.inner());
        let (told, undone) = std::sync::mpsc::channel();
        let receipts = self.decide_open(move |key, row| {
            let (first_seq, summaries) = to_undo(&inner, key, row.generation, count)?;
            told.send(first_seq).ok();
            let mut records = vec![NewRecord::mark(&Mark::Rewound { to_seq: first_seq.saturating_sub(1) })];
            if let Some(Summary { keep_from, json, .. }) = summaries.into_iter().find(|it| it.keep_from <= first_seq) {
                records.push(NewRecord::compacted(&json, keep_from)?);
            }
            Ok(records)
        })?;
        let from_seq = undone.try_iter().last().unwrap_or(0);
        Ok(receipts.first().map(|mark| Undone { generation: mark.generation, from_seq, seq: mark.seq }))
    }
}

/// Opens a session to be read back along its active path; its head is the header's until a record is found.
fn trail(inner: &Inner, key: &SessionKey, generation: Option<u64>) -> Result<(Head, Trail), Error> {
    let generation = inner.generation(key, generation)?;
    let reader = inner.reader(key, generation)?;
    let crc = reader.header.as_ref().map_or(Crc::ZERO, |header| header.crc);
    Ok((Head { generation, seq: 0, crc }, Trail::new(reader)))
}

/// Returns the receipt of the one record that was appended.
fn only(receipts: Vec<Receipt>) -> Result<Receipt, Error> {
    receipts.into_iter().next().ok_or(Error::Closed)
}

/// Finds the first of the last `count` records that a user would see, and the summaries behind it, last first.
fn to_undo(inner: &Inner, key: &SessionKey, generation: u64, count: u64) -> Result<(u64, Vec<Summary>), Error> {
    let (_, mut trail) = trail(inner, key, Some(generation))?;
    let (mut records, mut first_seq, mut summaries) = (0_u64, None, Vec::new());
    loop {
        let too_few = || Error::TooFewRecords { key: key.clone(), generation, asked: count, records, first_seq };
        let record = match trail.step()?.ok_or_else(too_few)? {
            Item::Record(record) => record,
            // What is lost there may have been an undo.
            Item::Gap(gap) => {
                return Err(recover::damaged(key, generation, &inner.layout.transcript(key, generation), gap));
            }
        };
        if is_activity(record.kind()) {
            first_seq = Some(record.seq());
            records = records.saturating_add(1);
            if records == count {
                return Ok((record.seq(), summaries));
            }
        }
        summaries.extend(Summary::read(&record, &mut Vec::new()));
    }
}

fn is_reset(record: &Record) -> bool {
    matches!(record.as_mark(), Some(Mark::Reset { .. }))
}
