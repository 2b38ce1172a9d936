//! What a store has of a source already: which lines, in which version, and under which ids.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::import::ids::{End, KIND_END, KIND_RAW, KIND_SOURCE, LineId, PREFIX, Raw, SOURCE, Source};
use crate::import::lines::Line;
use crate::import::original::{OriginalError, for_each};
use crate::import::salvage::Newline;
use crate::store::Session;

/// A hash of a line's bytes.
pub(crate) type Digest = [u8; 16];

/// An import that a generation of the store holds.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) generation: u64,
    pub(crate) source: Option<Source>,
    pub(crate) newline: Newline,
    lines: Vec<KnownLine>,
    /// The seqs of what is no line: marks, what was read of damaged lines, ends.
    others: HashMap<String, u64>,
    /// The newest of the facts of each kind.
    facts: HashMap<String, String>,
    pub(crate) end: Option<End>,
    /// The last line had no end, or nothing says whether it had: it stands behind the last end.
    is_open: bool,
    /// There are lines behind the last end: an import was cut off.
    pub(crate) is_cut_off: bool,
    /// Records behind the first line that were not imported.
    pub(crate) has_others: bool,
}

/// The newest version of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownLine {
    pub(crate) seq: u64,
    pub(crate) version: u64,
    digest: Digest,
    length: u64,
    /// The hash is of the bytes with their line end; else without it.
    is_raw: bool,
    parts: u64,
}

/// How a line of the source compares to the one in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    Same,
    /// It begins with the one in the store, which had no line end.
    Longer,
    Other,
}

impl Known {
    /// Returns what a generation was imported from; `None` if it was not.
    pub(crate) fn source_of(session: &Session, generation: u64) -> Result<Option<Source>, OriginalError> {
        let mut source = None;
        for_each(session, generation, 1, |record| {
            if (record.id(), record.kind()) == (Some(SOURCE), KIND_SOURCE) {
                source = Some(record.parse().map_err(|_| OriginalError::BadRecord { seq: record.seq() })?);
            }
            Ok(false)
        })?;
        Ok(source)
    }

    /// Reads a generation; `None` if it was not imported.
    pub(crate) fn read(session: &Session, generation: u64) -> Result<Option<Self>, OriginalError> {
        let mut known = Self { generation, ..Self::default() };
        let mut hash = Sha256::new();
        let mut is_first = true;
        for_each(session, generation, 1, |record| {
            if std::mem::take(&mut is_first) && (record.id(), record.kind()) != (Some(SOURCE), KIND_SOURCE) {
                return Ok(false);
            }
            let bad = || OriginalError::BadRecord { seq: record.seq() };
            let Some(id) = record.id().filter(|id| id.starts_with(PREFIX)) else {
                known.has_others |= !record.is_mark();
                return Ok(true);
            };
            if id == SOURCE {
                let source: Source = record.parse().map_err(|_| bad())?;
                known.newline = if source.newline == "\r\n" { Newline::CrLf } else { Newline::Lf };
                known.source = Some(source);
                return Ok(true);
            }
            if record.kind() == KIND_END {
                let end: End = record.parse().map_err(|_| bad())?;
                (known.end, known.is_open, known.is_cut_off) = (Some(end), !end.newline, false);
            }
            let Some(id) = LineId::parse(id) else {
                known.note(id, record.seq());
                return Ok(true);
            };
            let is_raw = record.kind() == KIND_RAW;
            if id.part == 0 {
                hash = Sha256::new();
            }
            let length = if is_raw {
                let raw: Raw = record.parse().map_err(|_| bad())?;
                let bytes = raw.bytes().ok_or_else(bad)?;
                hash.update(&bytes);
                bytes.len()
            } else {
                hash.update(record.body());
                record.body().len()
            };
            known.line(id, record.seq(), is_raw, length, &hash).ok_or_else(bad)?;
            Ok(true)
        })?;
        Ok(known.source.is_some().then_some(known))
    }

    fn line(&mut self, id: LineId, seq: u64, is_raw: bool, length: usize, hash: &Sha256) -> Option<()> {
        let at = usize::try_from(id.line.checked_sub(1)?).ok()?;
        let length = u64::try_from(length).ok()?;
        let digest = digest_of(hash.clone());
        self.is_cut_off = true;
        self.is_open |= at.saturating_add(1) >= self.lines.len();
        if id.part > 0 {
            let line = self.lines.get_mut(at)?;
            (line.digest, line.length) = (digest, line.length.checked_add(length)?);
            line.parts = id.part.checked_add(1)?;
            return Some(());
        }
        let line = KnownLine { seq, version: id.version, digest, length, is_raw, parts: 1 };
        if at == self.lines.len() {
            self.lines.push(line);
        } else {
            *self.lines.get_mut(at)? = line;
        }
        Some(())
    }

    fn note(&mut self, id: &str, seq: u64) {
        if let Some((name, _)) = id.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')) {
            self.facts.insert(name.to_owned(), id.to_owned());
        }
        self.others.insert(id.to_owned(), seq);
    }

    /// Returns a line of the source, from 1.
    pub(crate) fn get(&self, line: u64) -> Option<KnownLine> {
        self.lines.get(usize::try_from(line.checked_sub(1)?).ok()?).copied()
    }

    pub(crate) fn line_count(&self) -> u64 {
        u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }

    /// Returns the seq of the last record.
    pub(crate) fn end_seq(&self) -> u64 {
        self.others.values().copied().chain(self.lines.iter().map(|line| line.seq)).max().unwrap_or(0)
    }

    /// Returns the seq of what has an id and is no line.
    pub(crate) fn seq(&self, id: &str) -> Option<u64> {
        self.others.get(id).copied()
    }

    /// Returns the id of the newest fact of a name.
    pub(crate) fn newest_fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }

    /// Says whether a line is the last, and its end was not seen.
    pub(crate) fn may_go_on(&self, line: u64) -> bool {
        self.is_open && line == self.line_count()
    }

    /// Compares a whole line of the source with the one that is known.
    pub(crate) fn compare(&self, line: &Line<'_>, known: &KnownLine) -> Likeness {
        let stripped = self.newline.strip(line.bytes).unwrap_or(line.bytes);
        let bytes = if known.is_raw { line.bytes } else { stripped };
        let digest = |bytes: &[u8]| digest_of(Sha256::new_with_prefix(bytes));
        let Some(beginning) = usize::try_from(known.length).ok().and_then(|length| bytes.get(..length)) else {
            return Likeness::Other;
        };
        if digest(beginning) != known.digest {
            return Likeness::Other;
        }
        match (bytes.len() == beginning.len(), self.may_go_on(line.number)) {
            // What was a body stays one only with this file's line end.
            (true, _) if known.is_raw || stripped.len() < line.bytes.len() || !line.bytes.ends_with(b"\n") => {
                Likeness::Same
            }
            (_, true) => Likeness::Longer,
            _ => Likeness::Other,
        }
    }
}

impl KnownLine {
    pub(crate) fn is_raw(&self) -> bool {
        self.is_raw
    }

    pub(crate) fn parts(&self) -> u64 {
        self.parts
    }
}

/// A line that is too long, compared part by part with the one that is known.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    count: u64,
    bytes: u64,
    hash: Sha256,
    /// The line begins with the one that is known, which ends with so many parts or inside one.
    begins: Option<bool>,
}

impl Parts {
    pub(crate) fn add(&mut self, bytes: &[u8], known: &KnownLine) {
        self.count = self.count.saturating_add(1);
        let end = known.length.checked_sub(self.bytes).and_then(|end| usize::try_from(end).ok());
        if let Some(beginning) = end.and_then(|end| bytes.get(..end)).filter(|beginning| !beginning.is_empty())
            && digest_of(self.hash.clone().chain_update(beginning)) == known.digest
        {
            self.begins = Some(known.is_raw && known.parts == self.count && beginning.len() == bytes.len());
        }
        self.hash.update(bytes);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Says how the whole line compares. One whose first parts are there is the same: the others can follow them.
    pub(crate) fn compare(&self, known: &KnownLine, may_go_on: bool) -> Likeness {
        match self.begins {
            Some(_) if known.is_raw && known.length == self.bytes => Likeness::Same,
            Some(true) if may_go_on => Likeness::Same,
            Some(false) if may_go_on => Likeness::Longer,
            _ => Likeness::Other,
        }
    }
}

fn digest_of(hash: Sha256) -> Digest {
    let mut digest = Digest::default();
    for (to, from) in digest.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    digest
}
