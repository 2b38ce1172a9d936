//! Reading a transcript from its end back, a block at a time.
//!
//! A block begins at a record that the next line follows, so that a stray one is not taken for it, and is then walked forward
//! as any part of a transcript. It is read once: what the search for its beginning has read, the walk finds in memory.

use crate::error::Error;
use crate::frame::Crc;
use crate::transcript::first_line;
use crate::transcript::reader::{Item, Reader, Records};
use crate::transcript::scan::{Cursor, Walk};
use crate::transcript::seek;

/// The first block.
const FIRST_BYTES: u64 = 32 * 1024;
/// A later block is this part of what was given before, so that little is read that nobody asks for.
const BLOCK_SHARE: u64 = 8;
const BLOCK_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=1024 * 1024;
/// Skipping more records than this is worth a search, which reads some 20 places of the file.
const FAR_RECORDS: u64 = 256;

/// Returns the seq at which an item stands.
fn place(item: &Item) -> u64 {
    match item {
        Item::Record(record) => record.seq(),
        Item::Gap(gap) => gap.expected_seq,
    }
}

/// A backward read: an iterator over records and gaps, last first.
///
/// Reads blocks from the end, so the first items cost the same whatever the transcript's length.
pub struct Backward {
    reader: Reader,
    /// Everything from here on was given or is in the block.
    end: u64,
    /// The end of the line that stands there; the same place at the end of the file.
    successor_end: u64,
    /// In forward order.
    block: Vec<Item>,
    /// How much was given before the block.
    given: u64,
    done: bool,
    /// Records behind this one are not wanted.
    last_seq: u64,
}

impl std::fmt::Debug for Backward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backward").field("reader", &self.reader).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Backward {
    pub(crate) fn new(reader: Reader) -> Self {
        let end = reader.source.length_bytes();
        Self { reader, end, successor_end: end, block: Vec::new(), given: 0, done: false, last_seq: u64::MAX }
    }

    /// Leaves out what stands behind the record `seq` and was not given yet, seen from `at_seq`. A long way is not read.
    pub(crate) fn skip_behind(&mut self, at_seq: u64, seq: u64) -> Result<(), Error> {
        self.last_seq = seq;
        let is_in_block = self.block.first().is_some_and(|first| place(first) <= seq);
        let is_far = at_seq.saturating_sub(seq) > FAR_RECORDS && !is_in_block && !self.done;
        let Some(seed) = self.reader.seed.filter(|_| is_far) else { return Ok(()) };
        let (source, data_start) = (&mut self.reader.source, self.reader.data_start);
        let found = seek::before(source, seed, seq.saturating_add(1), data_start, self.end)?;
        // Where it is not found damage is in between, which a search does not see: then it is read block by block.
        if let Some(found) = found.filter(|found| found.info.seq == seq) {
            self.block.clear();
            self.end = found.line.next();
            self.successor_end = source.line(self.end)?.next();
            self.given = 0;
        } else if seq == 0 && self.reader.header_gap.is_none() {
            self.block.clear();
            self.done = true;
        }
        Ok(())
    }

    fn is_at_the_end(&self) -> bool {
        self.end == self.reader.source.length_bytes()
    }

    fn fill(&mut self) -> Result<(), Error> {
        let (start, start_end) = self.block_start()?;
        let is_last = start.offset <= self.reader.data_start;
        let header_gap = self.reader.header_gap.filter(|_| is_last);
        let source = self.reader.source.hand_over(self.successor_end);
        let mut block = Vec::new();
        if self.is_at_the_end() {
            // It is read as any reader reads a moving tail.
            let reader = Reader { source, header: self.reader.header.clone(), header_gap, ..self.reader };
            for item in reader.walk_from(start, 0) {
                block.push(item?);
            }
        } else {
            // Up to the end of the block's successor, whose first record tells whether something is missing before it.
            let seed = self.reader.seed.unwrap_or_default();
            let mut records =
                Records::of_part(Walk::new(source, seed, self.reader.data_start, start, None), header_gap);
            while let Some(item) = records.next_item()? {
                match item {
                    Item::Record(record) if record.offset() >= self.end => break,
                    item => block.push(item),
                }
            }
        }
        self.given = self.given.saturating_add(self.end.saturating_sub(start.offset));
        (self.end, self.successor_end, self.done) = (start.offset, start_end, is_last);
        self.block = block;
        Ok(())
    }

    /// Finds where the block before `end` begins, and where the line there ends: at a record that the next line follows, or
    /// behind the header.
    fn block_start(&mut self) -> Result<(Cursor, u64), Error> {
        let first = first_line::first_record(self.reader.data_start, self.reader.header.as_ref());
        let first = (first, self.reader.data_start);
        let Some(seed) = self.reader.seed else { return Ok(first) };
        // As for a forward read. What is before the first block is before such a record, too.
        let durable = if self.is_at_the_end() { self.reader.proven_durable()? } else { u64::MAX };
        let source = &mut self.reader.source;
        let share = self.given / BLOCK_SHARE;
        let mut bytes =
            if self.given == 0 { FIRST_BYTES } else { share.clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end()) };
        loop {
            let from = self.end.saturating_sub(bytes);
            if from <= self.reader.data_start {
                return Ok(first);
            }
            if bytes <= *BLOCK_BYTES.end() {
                // Exactly so much: what was read in sequence so far says nothing of what comes.
                source.jump();
                let whole = usize::try_from(self.successor_end.saturating_sub(from)).unwrap_or(usize::MAX);
                source.view(from, whole)?;
            }
            let mut at = source.line(from)?.next();
            let mut before: Option<(u64, Crc, u64)> = None;
            while at < self.end {
                let line = source.line(at)?;
                let info = source.check(&line, seed)?.ok().filter(|_| line.terminated);
                if let (Some((seq, crc, offset)), Some(info)) = (before, info)
                    && seq <= durable
                    && (info.seq, info.prev) == (seq.saturating_add(1), crc)
                {
                    return Ok((Cursor { offset, seq, link: None }, line.offset));
                }
                before = info.map(|info| (info.seq, info.crc, line.offset));
                at = line.next();
            }
            // Nothing there that a walk could begin with.
            bytes = bytes.saturating_mul(2);
        }
    }
}

impl Iterator for Backward {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.block.pop() {
                Some(item) if place(&item) > self.last_seq => continue,
                Some(item) => return Some(Ok(item)),
                None => {}
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.fill() {
                self.done = true;
                return Some(Err(error));
            }
        }
    }
}

impl std::iter::FusedIterator for Backward {}
