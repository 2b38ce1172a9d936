//! Reading one transcript without a lock, beside whoever writes to it.
//!
//! Forward, backward, from a seq, the last n. Damage shows as explicit gaps; the history is never silently shortened. What a
//! live writer is just writing looks torn for a moment, so no verdict but "sound" is believed before a second look, made a
//! moment later, sees the same bytes.

use std::path::{Path, PathBuf};

use crate::damage::{Defect, Gap, Tail, TailState};
use crate::error::Error;
use crate::frame::Crc;
use crate::fs::{IoContext as _, PathError};
use crate::header::Header;
use crate::key::SessionKey;
use crate::record::Record;
use crate::registry::Row;
use crate::transcript::backward::Backward;
use crate::transcript::first_line::{self, HeaderState};
use crate::transcript::scan::{Cursor, Place, Step, Walk};
use crate::transcript::seek;
use crate::transcript::source::{Line, Source};

/// Looks at a tail that changes every time; then its bytes are pending.
const SETTLE_LOOKS: u32 = 50;

/// One item of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// A sound record, the store's own marks included.
    Record(Record),
    /// Damage: bytes that are bad, or records that are missing.
    Gap(Gap),
}

/// An open transcript, ready to be read from any place.
pub(crate) struct Reader {
    pub(crate) source: Source,
    /// `None` when the header is bad.
    pub(crate) header: Option<Header>,
    /// The header's checksum, if it could be found.
    pub(super) seed: Option<Crc>,
    pub(super) data_start: u64,
    /// Damage of the header itself.
    pub(super) header_gap: Option<Gap>,
    /// What the registry knew to be durable when the read began.
    pub(super) witness: Option<u64>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.source.path()).finish_non_exhaustive()
    }
}

impl Reader {
    /// Takes an open transcript; its header is read at once. The row was looked up before, or what was appended meanwhile
    /// would be missed in a file that was shorter when its length was taken.
    pub(crate) fn new(mut source: Source, key: Option<(&SessionKey, u64)>, row: Option<&Row>) -> Result<Self, Error> {
        let path = source.path().to_owned();
        let (header, seed, data_start, header_gap) = match HeaderState::read(&mut source)? {
            HeaderState::Format(format) => return Err(Error::UnsupportedFormat { path, format }),
            HeaderState::Bad { gap, data_start, seed } => (None, seed, data_start, Some(gap)),
            HeaderState::Sound { header, data_start, separator } => {
                if key.is_some_and(|(key, generation)| !first_line::is_filed_as(&header, key, generation)) {
                    let (header_key, header_generation) = (header.body.key, header.body.generation);
                    return Err(Error::Misfiled { path, header_key, header_generation });
                }
                let crc = header.crc;
                (Some(header), Some(crc), data_start, separator)
            }
        };
        let is_its_row = |row: &&Row| header.as_ref().is_some_and(|header| header.body.id == row.id);
        let witness = row.filter(is_its_row).map(|row| row.durable_seq);
        Ok(Self { source, header, seed, data_start, header_gap, witness })
    }

    /// Reads forward from `from_seq`.
    pub(crate) fn forward(mut self, from_seq: u64) -> Result<Records, Error> {
        let first = first_line::first_record(self.data_start, self.header.as_ref());
        let end = self.source.length_bytes();
        let start = match self.seed {
            Some(seed) if from_seq > 1 => {
                // A walk may begin only where everything before was durable once: sound records behind a torn hole are no history.
                let from_durable = from_seq.min(self.proven_durable()?.saturating_add(1));
                let found = seek::before(&mut self.source, seed, from_durable, self.data_start, end)?;
                self.source.jump();
                found.map_or(first, |found| Cursor { offset: found.line.offset, seq: found.info.seq, link: None })
            }
            _ => first,
        };
        // Damage of the header says something about a read that begins behind it, too: its records may be anyone's.
        Ok(self.walk_from(start, from_seq))
    }

    pub(super) fn walk_from(self, start: Cursor, from_seq: u64) -> Records {
        let Self { source, header: _, seed, data_start, header_gap, witness } = self;
        let path = source.path().to_owned();
        let walk = Walk::new(source, seed.unwrap_or_default(), data_start, start, witness);
        // Without the header's checksum no line can be told sound; the gap covers them all.
        let unreadable = seed.is_none();
        Records {
            walk,
            path,
            from_seq,
            last_seq: u64::MAX,
            header_gap,
            unreadable,
            witness,
            settled: 0,
            looks: 0,
            tail: None,
        }
    }

    /// Reads backward from the end.
    pub(crate) fn backward(self) -> Backward {
        Backward::new(self)
    }

    /// Returns the highest seq that the last sound record or the registry's row proves durable.
    pub(crate) fn proven_durable(&mut self) -> Result<u64, Error> {
        Ok(self.claimed_durable()?.max(self.witness.unwrap_or(0)))
    }

    /// Returns the highest `durable` that the last sound record claims: what the file proves of itself.
    pub(crate) fn claimed_durable(&mut self) -> Result<u64, Error> {
        let Some(seed) = self.seed else { return Ok(0) };
        let mut end = self.source.length_bytes();
        while end > self.data_start {
            let start = self.source.line_start_before(end)?;
            let line = self.source.line(start)?;
            if let (true, Ok(info)) = (line.terminated, self.source.check(&line, seed)?) {
                return Ok(info.durable);
            }
            end = start;
        }
        Ok(0)
    }
}

/// A forward read: an iterator over records and gaps.
///
/// It sees the transcript as it was when the read began, and what was appended while it waited to judge the tail.
pub struct Records {
    walk: Walk,
    path: PathBuf,
    from_seq: u64,
    /// Records behind are not wanted.
    last_seq: u64,
    header_gap: Option<Gap>,
    unreadable: bool,
    /// Of when the read began: what is promised meanwhile, a later read may hold against the file.
    witness: Option<u64>,
    /// Bytes below were seen twice.
    settled: u64,
    looks: u32,
    tail: Option<Tail>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("path", &self.path).field("cursor", &self.walk.cursor()).finish_non_exhaustive()
    }
}

impl Records {
    /// Returns the transcript's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what follows the last record, once the iterator has returned `None`.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Reads a part of a transcript behind which a sound record stands: nothing in it moves any more.
    pub(super) fn of_part(walk: Walk, header_gap: Option<Gap>) -> Self {
        Self {
            path: walk.source.path().to_owned(),
            walk,
            from_seq: 0,
            last_seq: u64::MAX,
            header_gap,
            unreadable: false,
            witness: None,
            settled: u64::MAX,
            looks: SETTLE_LOOKS,
            tail: None,
        }
    }

    /// Ends the read behind `last_seq`.
    pub(crate) fn until(mut self, last_seq: u64) -> Self {
        self.last_seq = last_seq;
        self
    }

    /// Returns the header's checksum.
    pub(crate) fn seed(&self) -> Crc {
        self.walk.seed()
    }

    /// Returns the seq that the next record would have.
    pub(crate) fn expected_seq(&self) -> u64 {
        self.walk.cursor().seq
    }

    pub(crate) fn source(&mut self) -> &mut Source {
        &mut self.walk.source
    }

    /// Copies a line of a record.
    pub(crate) fn line_bytes(&mut self, line: &Line) -> Result<Vec<u8>, PathError> {
        self.walk.source.copy(line.offset, line.end())
    }

    /// Returns the next step; sound records are not copied.
    pub(crate) fn step(&mut self) -> Result<Step, PathError> {
        if let Some(gap) = self.header_gap.take() {
            if self.unreadable {
                let bytes = self.walk.source.length_bytes();
                self.tail = Some(Tail { offset: bytes, bytes: 0, state: TailState::Clean });
                return Ok(Step::Gap(Gap { bytes, ..gap }));
            }
            return Ok(Step::Gap(gap));
        }
        if let Some(tail) = self.tail {
            return Ok(Step::End(tail));
        }
        loop {
            let before = self.walk.place();
            let step = self.walk.step()?;
            let doubtful = match &step {
                Step::Record(..) | Step::End(Tail { state: TailState::Clean | TailState::Padding, .. }) => false,
                Step::Gap(gap) => gap.offset.saturating_add(gap.bytes) >= self.settled || gap.defect == Defect::Lost,
                Step::End(_) => true,
            };
            if !doubtful || self.looks >= SETTLE_LOOKS || self.is_settled(before)? {
                if let Step::End(tail) = step {
                    self.tail = Some(tail);
                }
                self.looks = 0;
                return Ok(step);
            }
        }
    }

    /// Looks a second time at the line where a verdict was made. If it changed the walk goes on from there.
    fn is_settled(&mut self, before: Place) -> Result<bool, PathError> {
        let first = self.digest(before.offset())?;
        self.walk.source.file().settle();
        let length_bytes = self.walk.source.file().stat().context("stat", &self.path)?.length_bytes;
        let old_length_bytes = self.walk.source.length_bytes();
        self.looks = self.looks.saturating_add(1);
        self.walk.source.refresh(length_bytes);
        let second = self.digest(before.offset())?;
        if first == second && length_bytes == old_length_bytes {
            self.settled = length_bytes;
            return Ok(true);
        }
        self.walk.rewind(before, length_bytes, self.witness);
        if first == second {
            // The place is as it was, only the file went on behind it: the verdict is made anew, and then believed.
            self.settled = length_bytes;
            self.looks = SETTLE_LOOKS;
        }
        Ok(false)
    }

    fn digest(&mut self, offset: u64) -> Result<(Line, Crc), PathError> {
        let line = self.walk.source.line(offset)?;
        let crc = self.walk.source.checksum(line.offset, line.end(), Crc::ZERO)?;
        Ok((line, crc))
    }

    pub(super) fn next_item(&mut self) -> Result<Option<Item>, Error> {
        loop {
            match self.step()? {
                Step::Record(_, info) if info.seq < self.from_seq => {}
                Step::Record(_, info) if info.seq > self.last_seq => {
                    let tail = Tail { offset: self.walk.cursor().offset, bytes: 0, state: TailState::Clean };
                    self.tail = Some(tail);
                }
                Step::Record(line, info) => {
                    let bytes = self.line_bytes(&line)?;
                    return Ok(Some(match Record::take(bytes, self.walk.seed(), line.offset) {
                        Ok(record) => Item::Record(record),
                        // A sound checksum over text that is none: only who knows the header's checksum can make it.
                        Err(defect) => Item::Gap(Gap {
                            offset: line.offset,
                            bytes: line.next().saturating_sub(line.offset),
                            expected_seq: info.seq,
                            lost: Some((info.seq, info.seq)),
                            defect: defect.into(),
                        }),
                    }));
                }
                Step::Gap(gap)
                    if gap.lost.map_or(gap.expected_seq, |(_, last)| last) < self.from_seq && gap.expected_seq != 0 => {
                }
                Step::Gap(gap) => return Ok(Some(Item::Gap(gap))),
                Step::End(_) => return Ok(None),
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_item() {
            Ok(item) => item.map(Ok),
            Err(error) => {
                // Nothing can be said about what is behind an unreadable place.
                self.tail.get_or_insert(Tail { offset: self.walk.cursor().offset, bytes: 0, state: TailState::Clean });
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Records {}
