//! The rows of a registry's file, some at a time: memory is bounded by those, not by what else the file holds.

use std::cmp::Ordering;
use std::io;

use crate::format::to_u64;
use crate::fs::FsFile;
use crate::registry::{ROW_BYTES_MAX, RegistryState, Row};

/// Some millions of rows.
pub(crate) const REGISTRY_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// What is wrong with a line of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BadLine {
    /// It is no row.
    NoRow,
    /// It is about the session of the line before.
    Duplicate,
    /// It belongs before the line before.
    Unsorted,
    /// It has the number of another line.
    Misnumbered,
}

/// A registry as far as it was read.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    offset: u64,
    rows: Vec<Row>,
    /// Key and generation of the last row.
    last: (String, u64),
    /// First line that is not the row that belongs there, counted from 1.
    bad: Option<u64>,
    /// The worst that is wrong with any, and the first such line. A line too many has those behind it misnumbered.
    worst: Option<(BadLine, u64)>,
    /// Of the line that is being read; what is beyond the longest row is dropped.
    partial: Vec<u8>,
    too_long: bool,
    unfinished: bool,
    finished: u64,
}

impl Lines {
    /// Begins. A file larger than any registry is an error of kind `FileTooLarge`.
    pub(crate) fn new(file: &dyn FsFile) -> io::Result<Self> {
        if file.stat()?.length_bytes > REGISTRY_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let (buffer, last) = (vec![0; READ_BYTES], (String::new(), 0));
        let (rows, partial) = (Vec::new(), Vec::new());
        let (offset, bad, worst, too_long, unfinished, finished) = (0, None, None, false, false, 0);
        Ok(Self { buffer, offset, rows, last, bad, worst, partial, too_long, unfinished, finished })
    }

    /// Returns some more rows; `None` behind the last. A bad line costs itself only.
    pub(crate) fn next_rows(&mut self, file: &dyn FsFile) -> io::Result<Option<Vec<Row>>> {
        let count = if self.offset <= REGISTRY_BYTES_MAX { file.read_at(&mut self.buffer, self.offset)? } else { 0 };
        if count == 0 && !self.unfinished {
            return Ok(None);
        }
        self.offset = self.offset.saturating_add(to_u64(count));
        let buffer = std::mem::take(&mut self.buffer);
        self.take(buffer.get(..count).unwrap_or_default());
        self.buffer = buffer;
        if count == 0 {
            self.end();
        }
        Ok(Some(std::mem::take(&mut self.rows)))
    }

    /// Says what was found, once all is read. An empty file is what the registry of an empty store is, too.
    pub(crate) fn state(&self) -> RegistryState {
        self.bad.map_or(RegistryState::Sound, |line| RegistryState::Unusable { line })
    }

    /// Returns the worst that is wrong with any line, and the first such line, once all is read.
    pub(crate) fn worst(&self) -> Option<(BadLine, u64)> {
        self.worst
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            let rest = text.unwrap_or(piece);
            self.too_long |= self.partial.len().saturating_add(rest.len()) > ROW_BYTES_MAX;
            if self.too_long {
                self.partial.clear();
            } else {
                self.partial.extend_from_slice(rest);
            }
            self.unfinished = text.is_none();
            if !self.unfinished {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        let decoded = Row::decode(&self.partial).filter(|_| !self.too_long);
        // A row that is not in its place is believed all the same: as a witness it costs a look at its file at most.
        let wrong = decoded.as_ref().map_or(Some(BadLine::NoRow), |(index, row)| {
            match self.last.0.as_str().cmp(&row.key).then(self.last.1.cmp(&row.generation)) {
                Ordering::Equal => Some(BadLine::Duplicate),
                Ordering::Greater => Some(BadLine::Unsorted),
                Ordering::Less => (*index != self.finished).then_some(BadLine::Misnumbered),
            }
        });
        if let Some((wrong, line)) = wrong.zip(self.finished.checked_add(1)) {
            self.bad = self.bad.or(Some(line));
            self.worst = self.worst.into_iter().chain([(wrong, line)]).min();
        }
        if let Some((_, row)) = decoded {
            self.last.0.clone_from(&row.key);
            self.last.1 = row.generation;
            self.rows.push(row);
        }
        self.finished = self.finished.saturating_add(1);
        self.partial.clear();
        (self.too_long, self.unfinished) = (false, false);
    }
}
