//! A transcript that is written whole before it has its name: by a repair, by a fork.
//!
//! Every record may claim that the one before it is durable: the claims become visible by the rename only, and that follows
//! the fsync of them all. Memory is bounded by the longest record.

use std::ops::Range;

use crate::atomic::TempFile;
use crate::format::{COMMIT_BYTES_MAX, FRAME_TAIL_BYTES, KIND_MARK, to_u64};
use crate::frame::{self, Content, Crc, Place};
use crate::fs::{Fs, IoContext as _, PathError, write_all};
use crate::header::{Header, Parent};
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::record::{Info, NewRecord, Record};
use crate::registry::Row;
use crate::timestamp::Timestamp;
use crate::transcript::source::Source;

/// The new transcript on its way to its temp file.
pub(crate) struct NewFile<'a> {
    temp: &'a TempFile<'a>,
    buffer: Vec<u8>,
    written: u64,
    seed: Crc,
    row: Row,
}

impl<'a> NewFile<'a> {
    /// Begins with the header.
    pub(crate) fn begin(
        fs: &dyn Fs,
        temp: &'a TempFile<'a>,
        key: &SessionKey,
        generation: u64,
        parent: Option<Parent>,
        created: Timestamp,
    ) -> Result<Self, PathError> {
        let mut buffer = Vec::new();
        let header = Header::encode(&mut buffer, fs, key, generation, parent, created)
            .context("get random bytes for", &temp.path)?;
        Ok(Self { temp, buffer, written: 0, seed: header.crc, row: Row::born(&header) })
    }

    /// The fold of what was put.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Takes over the record `seq` of another transcript, which was sound when it was found: its ts, kind, id and body.
    pub(crate) fn copy(
        &mut self,
        source: &mut Source,
        seed: Crc,
        seq: u64,
        range: Range<u64>,
    ) -> Result<(), PathError> {
        let bytes = source.copy(range.start, range.end)?;
        // Now it is not: the disk is failing as we read.
        let changed = || std::io::Error::new(std::io::ErrorKind::InvalidData, "a record changed while it was copied");
        let (head, _) = frame::decode(&bytes, seed).map_err(|_| changed()).context("read", source.path())?;
        let body = bytes.get(head.body_start..bytes.len().saturating_sub(FRAME_TAIL_BYTES)).unwrap_or_default();
        let content = Content { ts: head.ts, kind: head.kind, id_json: head.id_json, body };
        // A record that is no text is kept as it is: nobody can read it, and nobody else has it.
        let mark = Record::decode(&bytes, seed, range.start).ok().and_then(|record| record.as_mark());
        self.put(seq, &content, mark.as_ref())
    }

    fn put(&mut self, seq: u64, content: &Content<'_>, mark: Option<&Mark>) -> Result<(), PathError> {
        let place = Place { seq, durable: seq.saturating_sub(1), prev: self.row.last_crc };
        let crc = frame::encode(&mut self.buffer, self.seed, place, content);
        let is_activity = crate::record::is_activity(content.kind);
        let is_mark = content.kind == KIND_MARK;
        let info = Info { seq, durable: place.durable, prev: place.prev, crc, ts: content.ts, is_mark, is_activity };
        self.row.fold(self.written.saturating_add(to_u64(self.buffer.len())), &info, mark);
        if self.buffer.len() >= COMMIT_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Puts a record behind everything.
    pub(crate) fn put_record(&mut self, record: &NewRecord, now: Timestamp) -> Result<(), PathError> {
        self.put(self.row.last_seq.saturating_add(1), &record.content(now), record.as_mark().as_ref())
    }

    /// Puts the mark that stands for lost records.
    pub(crate) fn put_gap(&mut self, from_seq: u64, to_seq: u64, now: Timestamp) -> Result<(), PathError> {
        let mark = Mark::Gap { from_seq, to_seq };
        let record = NewRecord::mark(&mark);
        self.put(to_seq, &record.content(now), Some(&mark))
    }

    /// Writes what is left, and returns the row of it all. The caller syncs.
    pub(crate) fn end(mut self) -> Result<Row, PathError> {
        self.flush()?;
        Ok(self.row)
    }

    fn flush(&mut self) -> Result<(), PathError> {
        write_all(&*self.temp.file, &self.buffer, self.written).context("write", &self.temp.path)?;
        self.written = self.written.saturating_add(to_u64(self.buffer.len()));
        self.buffer.clear();
        Ok(())
    }
}
