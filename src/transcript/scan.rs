//! The walk over one transcript: records in order, explicit gaps where bytes are damaged, and what the end is.
//!
//! The one implementation of "torn or damaged" (`src/format.md`); recovery, readers, `verify` and repair all stand on it. It
//! reads through [`Source`], knows no path, no clock and no lock, and writes nothing.
//!
//! Invariants: items come in the order of their bytes; without damage their seqs have no hole; every byte between the
//! header and the end belongs to a record, a gap, or the tail.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::damage::{Defect, Gap, Tail, TailState};
use crate::frame::{Crc, FrameDefect};
use crate::fs::PathError;
use crate::mark::Mark;
use crate::record::Info;
use crate::transcript::edge;
use crate::transcript::seek;
use crate::transcript::source::{Line, Source};

/// Ranges remembered to tell a misplaced record from a foreign one; a file with more holes is past telling.
const MISSING_MAX: usize = 1024;

/// Strays that are compared with the record of the same seq.
const STRAYS_MAX: u64 = 256;

/// One step of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Record(Line, Info),
    Gap(Gap),
    End(Tail),
}

/// Where a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Start of a line.
    pub(crate) offset: u64,
    /// The seq expected there.
    pub(crate) seq: u64,
    /// Checksum of the record before; `None` when that is not known.
    pub(crate) link: Option<Crc>,
}

/// A walk over one transcript.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) source: Source,
    seed: Crc,
    /// Behind the header.
    data_start: u64,
    /// The registry's row says that this much was durable.
    witness: Option<u64>,
    cursor: Cursor,
    /// The record before the cursor has no newline.
    newline_missing: bool,
    bad: Option<BadRun>,
    missing: Vec<(u64, u64)>,
    /// Records with a seq that was passed already.
    strays: u64,
    /// Those of them that stand among bad lines: no items of the walk, but something to salvage.
    pub(crate) buried: Vec<Line>,
    /// The highest `durable` claim of sound whole lines from an offset on: lookahead of rule 4.
    claims: Option<(u64, u64)>,
    end: Option<Tail>,
}

/// A place in a walk, and what is open there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    cursor: Cursor,
    newline_missing: bool,
    bad: Option<BadRun>,
}

impl Place {
    pub(crate) fn offset(&self) -> u64 {
        self.cursor.offset
    }
}

/// Bad lines in a row.
#[derive(Debug, Clone, Copy)]
struct BadRun {
    offset: u64,
    lines: u64,
    defect: Defect,
}

impl Walk {
    /// Walks `source`, whose header has the checksum `seed` and ends at `data_start`, from `cursor` on.
    pub(crate) fn new(source: Source, seed: Crc, data_start: u64, cursor: Cursor, witness: Option<u64>) -> Self {
        Self {
            source,
            seed,
            data_start,
            witness,
            cursor,
            newline_missing: false,
            bad: None,
            missing: Vec::new(),
            strays: 0,
            buried: Vec::new(),
            claims: None,
            end: None,
        }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    pub(crate) fn seed(&self) -> Crc {
        self.seed
    }

    /// Returns where the walk stands, to come back to.
    pub(crate) fn place(&self) -> Place {
        Place { cursor: self.cursor, newline_missing: self.newline_missing, bad: self.bad }
    }

    /// Looks at the same place again with a new length and witness: the file moved while we read.
    pub(crate) fn rewind(&mut self, place: Place, length_bytes: u64, witness: Option<u64>) {
        self.source.refresh(length_bytes);
        Place { cursor: self.cursor, newline_missing: self.newline_missing, bad: self.bad } = place;
        self.witness = witness;
        self.claims = None;
        self.end = None;
    }

    /// Returns the next item; after [`Step::End`] that same one for ever.
    pub(crate) fn step(&mut self) -> Result<Step, PathError> {
        if let Some(tail) = self.end {
            return Ok(Step::End(tail));
        }
        if self.newline_missing && self.source.view(self.cursor.offset, 1)?.first() == Some(&b'\n') {
            // Its owner opened the file for writing meanwhile and has added it.
            self.newline_missing = false;
            self.cursor.offset = self.cursor.offset.saturating_add(1);
        }
        loop {
            let line = self.source.line(self.cursor.offset)?;
            let checked = if line.length_bytes == 0 { Err(EMPTY) } else { self.source.check(&line, self.seed)? };
            let step = match checked {
                // Only behind a record without newline: what is right here is its missing separator, never a line's start.
                Ok(info) if line.terminated && !self.newline_missing => self.sound(line, info)?,
                Ok(_) => self.edge(line, Defect::Malformed)?,
                Err(defect) => self.edge(line, defect.into())?,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// A sound whole line: the next record, or one with a wrong link.
    fn sound(&mut self, line: Line, info: Info) -> Result<Option<Step>, PathError> {
        let expected = self.cursor.seq;
        if info.seq >= expected
            && let Some(gap) = self.close_bad(line.offset, Some(info.seq))
        {
            return Ok(Some(Step::Gap(gap)));
        }
        if info.seq < expected {
            return self.stray(line, info);
        }
        let linked = self.cursor.link.is_none_or(|link| link == info.prev);
        let gap = |defect, lost| Gap { offset: line.offset, bytes: 0, expected_seq: expected, lost, defect };
        if info.seq == expected || (linked && self.is_gap_mark(&line, &info)?) {
            if linked {
                return Ok(Some(self.advance(line, info)));
            }
            self.cursor.link = None;
            return Ok(Some(Step::Gap(gap(Defect::Fork, None))));
        }
        let lost = (expected, info.seq.saturating_sub(1));
        self.remember_missing(lost);
        self.cursor.seq = info.seq;
        self.cursor.link = None;
        Ok(Some(Step::Gap(gap(Defect::Gap, Some(lost)))))
    }

    /// A sound record with a seq that was passed already.
    fn stray(&mut self, line: Line, info: Info) -> Result<Option<Step>, PathError> {
        if self.bad.is_some() {
            if self.buried.len() < MISSING_MAX {
                self.buried.push(line);
            }
            self.cursor.offset = line.next();
            return Ok(None);
        }
        let was_missing = self.missing.iter().any(|(from, to)| (*from..=*to).contains(&info.seq));
        self.strays = self.strays.saturating_add(1);
        let defect = if was_missing {
            Defect::Misplaced
        } else if self.strays > STRAYS_MAX {
            // Each look costs a search; a file with so many is past telling.
            Defect::Duplicate
        } else {
            let first = seek::exactly(&mut self.source, self.seed, info.seq, self.data_start, line.offset)?;
            let same = first.is_some_and(|first| first.info.crc == info.crc);
            if same { Defect::Duplicate } else { Defect::Fork }
        };
        let bytes = line.next().saturating_sub(line.offset);
        self.cursor.offset = line.next();
        Ok(Some(Step::Gap(Gap { offset: line.offset, bytes, expected_seq: self.cursor.seq, lost: None, defect })))
    }

    /// A place that is no good record: rules 1 to 6.
    fn edge(&mut self, line: Line, defect: Defect) -> Result<Option<Step>, PathError> {
        let Cursor { offset, seq, .. } = self.cursor;
        let promised = self.witness.is_some_and(|durable| durable >= seq);
        let length_bytes = self.source.length_bytes();
        if self.source.skip_padding(offset)? >= length_bytes {
            if let Some(gap) = self.close_bad(offset, None) {
                return Ok(Some(Step::Gap(gap)));
            }
            if promised {
                return Ok(Some(Step::Gap(self.lost(offset))));
            }
            let state = match (self.newline_missing, offset < length_bytes) {
                (true, _) => TailState::Unterminated,
                (false, true) => TailState::Padding,
                (false, false) => TailState::Clean,
            };
            return Ok(Some(self.finish(state)));
        }
        if self.newline_missing {
            return self.behind_unterminated(line, promised);
        }
        let (in_bad_run, link) = (self.bad.is_some(), self.cursor.link);
        let accepts = |info: &Info| {
            let is_due = info.seq == seq || (info.seq > seq && (in_bad_run || info.is_mark));
            is_due && link.is_none_or(|link| in_bad_run || link == info.prev)
        };
        let found = edge::unterminated_record(&mut self.source, &line, self.seed, accepts)?;
        if let Some(found) = found {
            if let Some(gap) = self.close_bad(offset, Some(found.info.seq)) {
                return Ok(Some(Step::Gap(gap)));
            }
            let object = Line { length_bytes: found.end.saturating_sub(offset), ..line };
            if found.info.seq > seq && !self.is_gap_mark(&object, &found.info)? {
                return self.torn_or_bad(line, defect, promised);
            }
            return self.unterminated(line, found, promised).map(Some);
        }
        self.torn_or_bad(line, defect, promised)
    }

    /// Rules 4 to 6.
    fn torn_or_bad(&mut self, line: Line, defect: Defect, promised: bool) -> Result<Option<Step>, PathError> {
        if self.is_torn(&line, promised)? {
            if let Some(gap) = self.close_bad(line.offset, None) {
                return Ok(Some(Step::Gap(gap)));
            }
            return Ok(Some(self.finish(TailState::Torn { newline_missing: false })));
        }
        // What would be torn had it not been promised is lost; what is whole and bad is named by its own defect.
        let defect = if promised && !line.terminated { Defect::Lost } else { defect };
        self.add_bad(line, defect);
        Ok(None)
    }

    /// Rule 3: the record is kept; what follows it decides the rest.
    fn unterminated(&mut self, line: Line, found: edge::Unterminated, promised: bool) -> Result<Step, PathError> {
        let length_bytes = found.end.saturating_sub(line.offset);
        let record = Line { offset: line.offset, length_bytes, terminated: false };
        let step = self.advance(record, found.info);
        self.newline_missing = true;
        let rest_is_padding = self.source.skip_padding(found.end)? >= self.source.length_bytes();
        if rest_is_padding && promised {
            // The registry saw this record durable, and with it its newline.
            self.separator(0);
        }
        Ok(step)
    }

    /// Bytes behind a record that has no newline.
    fn behind_unterminated(&mut self, line: Line, promised: bool) -> Result<Option<Step>, PathError> {
        let at = self.cursor.offset;
        let is_padding = self.source.view(at, 1)?.first().is_some_and(|byte| crate::format::is_padding(*byte));
        if is_padding {
            // A blanked newline with a sound record behind it is a damaged separator; anything else is judged again here.
            let next = self.source.line(at.saturating_add(1))?;
            let follows = |info: &Info| info.seq == self.cursor.seq && Some(info.prev) == self.cursor.link;
            let sound = next.terminated && self.source.check(&next, self.seed)?.is_ok_and(|info| follows(&info));
            if !sound && self.is_torn(&line, promised)? {
                return Ok(Some(self.finish(TailState::Torn { newline_missing: true })));
            }
        }
        self.separator(1);
        Ok(None)
    }

    /// Begins a bad run with a damaged separator of `bytes` bytes at the cursor.
    fn separator(&mut self, bytes: u64) {
        self.newline_missing = false;
        self.bad = Some(BadRun { offset: self.cursor.offset, lines: 0, defect: Defect::Separator });
        self.cursor.offset = self.cursor.offset.saturating_add(bytes);
    }

    /// Rules 4 and 5. No newline: torn. A lost sector: torn, unless a later record proves that this one was on disk.
    fn is_torn(&mut self, line: &Line, promised: bool) -> Result<bool, PathError> {
        if promised {
            return Ok(false);
        }
        if !line.terminated {
            return Ok(true);
        }
        Ok(edge::has_lost_sector(&mut self.source, line)? && !self.is_proven_later(line)?)
    }

    /// Rule 4: a later sound whole line with a higher seq claims that the one expected here was durable.
    fn is_proven_later(&mut self, line: &Line) -> Result<bool, PathError> {
        let expected = self.cursor.seq;
        let highest = match self.claims {
            // The claims of all lines behind an earlier place still bound those behind this one from above, and the line
            // that makes the highest claim stands behind every place that is bad for its sake.
            Some((last_claimed_at, highest)) if last_claimed_at >= line.next() || highest < expected => highest,
            _ => {
                let (mut at, mut highest, mut highest_at) = (line.next(), 0, 0);
                let end = self.source.length_bytes();
                while let Some(found) = seek::first_sound(&mut self.source, self.seed, at, end)? {
                    if found.info.seq > expected && found.info.durable >= highest {
                        (highest, highest_at) = (found.info.durable, found.line.offset);
                    }
                    at = found.line.next();
                }
                self.claims = Some((highest_at, highest));
                highest
            }
        };
        Ok(highest >= expected)
    }

    fn add_bad(&mut self, line: Line, defect: Defect) {
        let run = self.bad.get_or_insert(BadRun { offset: line.offset, lines: 0, defect });
        run.lines = run.lines.saturating_add(1);
        self.cursor.offset = line.next();
    }

    /// Ends a bad run before `end`, where the record `next_seq` follows if one does.
    fn close_bad(&mut self, end: u64, next_seq: Option<u64>) -> Option<Gap> {
        let run = self.bad.take()?;
        let expected_seq = self.cursor.seq;
        let last = match next_seq {
            Some(next_seq) => next_seq.checked_sub(1),
            None => expected_seq.saturating_add(run.lines).checked_sub(1).max(self.witness),
        };
        let lost = last.filter(|last| *last >= expected_seq).map(|last| (expected_seq, last));
        if let Some(lost) = lost {
            self.remember_missing(lost);
        }
        // What the registry promised is accounted for.
        self.cursor.seq = last.map_or(expected_seq, |last| last.saturating_add(1)).max(expected_seq);
        if run.lines > 0 || lost.is_some() {
            // The record before the next one is not known; behind a mere separator it is.
            self.cursor.link = None;
        }
        let bytes = end.saturating_sub(run.offset);
        Some(Gap { offset: run.offset, bytes, expected_seq, lost, defect: run.defect })
    }

    /// Rule 1 with nothing but padding behind.
    fn lost(&mut self, offset: u64) -> Gap {
        let expected_seq = self.cursor.seq;
        let last = self.witness.unwrap_or(expected_seq);
        self.witness = None;
        Gap { offset, bytes: 0, expected_seq, lost: Some((expected_seq, last)), defect: Defect::Lost }
    }

    fn advance(&mut self, line: Line, info: Info) -> Step {
        self.cursor = Cursor { offset: line.next(), seq: info.seq.saturating_add(1), link: Some(info.crc) };
        Step::Record(line, info)
    }

    fn finish(&mut self, state: TailState) -> Step {
        let offset = self.cursor.offset;
        let tail = Tail { offset, bytes: self.source.length_bytes().saturating_sub(offset), state };
        self.end = Some(tail);
        Step::End(tail)
    }

    fn remember_missing(&mut self, range: (u64, u64)) {
        if self.missing.len() < MISSING_MAX {
            self.missing.push(range);
        }
    }

    /// Says whether a record is the mark that a repair left for the seqs from the one expected here to its own.
    fn is_gap_mark(&mut self, line: &Line, info: &Info) -> Result<bool, PathError> {
        if !info.is_mark {
            return Ok(false);
        }
        let bytes = self.source.copy(line.offset, line.end())?;
        let mark =
            crate::record::Record::decode(&bytes, self.seed, line.offset).ok().and_then(|record| record.as_mark());
        Ok(mark == Some(Mark::Gap { from_seq: self.cursor.seq, to_seq: info.seq }))
    }
}

/// A line of no bytes, as a defect.
const EMPTY: FrameDefect = FrameDefect::Malformed { what: "empty line" };
