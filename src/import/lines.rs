//! The lines of a source file, in bounded memory, and whether the file stayed as it was meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{Fs as _, FsFile, OpenMode, OsFs, PathError, Stat};

/// What one read may bring.
const READ_BYTES: usize = 256 << 10;
/// A line that is too long for a record comes in parts of this size; each fits into a record as base64.
pub(crate) const PART_BYTES: usize = 6 << 20;

/// A line, or a part of one that is too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Counted from 1, blank lines included.
    pub(crate) number: u64,
    /// Where these bytes begin in the file.
    pub(crate) offset: u64,
    /// With the line end, if it has one.
    pub(crate) bytes: &'a [u8],
    /// Which part of a line that is too long, from 0; `None` for a whole line.
    pub(crate) part: Option<u64>,
}

/// A source file, open for reading only, or lines that were made of the rows of one.
#[derive(Debug)]
pub(crate) struct SourceFile {
    path: PathBuf,
    file: Box<dyn FsFile>,
    before: Stat,
    rows: Option<Vec<u8>>,
}

impl SourceFile {
    /// Opens a regular file. Neither this nor reading changes its times, where the file is ours or the system allows it.
    pub(crate) fn open(path: &Path) -> Result<Self, PathError> {
        let file = OsFs.open(path, OpenMode::Read).map_err(failed("open", path))?;
        let before = file.stat().map_err(failed("stat", path))?;
        Ok(Self { path: path.to_owned(), file, before, rows: None })
    }

    /// Opens a file, of which these are the lines.
    pub(crate) fn with_rows(path: &Path, rows: Vec<u8>) -> Result<Self, PathError> {
        Ok(Self { rows: Some(rows), ..Self::open(path)? })
    }

    /// Returns the size that it had when it was opened.
    pub(crate) fn length_bytes(&self) -> u64 {
        let rows = self.rows.as_ref().map(|rows| u64::try_from(rows.len()).unwrap_or(u64::MAX));
        rows.unwrap_or(self.before.length_bytes)
    }

    /// Returns the time of its last change, in milliseconds since 1970, as it was when it was opened.
    pub(crate) fn modified_ms(&self) -> i64 {
        i64::try_from(self.before.modified_ns / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Says whether the file is another one by now, or has other content.
    pub(crate) fn has_changed(&self) -> Result<bool, PathError> {
        if self.rows.is_some() {
            return Ok(false);
        }
        let now = self.file.stat().map_err(failed("stat", &self.path))?;
        let is_same = |stat: &Stat| {
            (stat.length_bytes, stat.modified_ns, stat.identity)
                == (self.before.length_bytes, self.before.modified_ns, self.before.identity)
        };
        let in_place = OsFs.stat(&self.path).is_ok_and(|stat| is_same(&stat));
        Ok(!in_place || !is_same(&now))
    }

    /// Reads what one read gives at an offset.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, PathError> {
        if let Some(rows) = &self.rows {
            let from = usize::try_from(offset).ok().and_then(|offset| rows.get(offset..)).unwrap_or_default();
            let count = from.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(from) {
                *to = *from;
            }
            return Ok(count);
        }
        self.file.read_at(buffer, offset).map_err(failed("read", &self.path))
    }

    /// Reads the first bytes.
    pub(crate) fn first(&self, bytes: usize) -> Result<Vec<u8>, PathError> {
        let mut first = vec![0; bytes.min(usize::try_from(self.length_bytes()).unwrap_or(bytes))];
        let mut filled = 0;
        while let Some(rest) = first.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, u64::try_from(filled).unwrap_or(u64::MAX))? {
                0 => break,
                count => filled = filled.saturating_add(count),
            }
        }
        first.truncate(filled);
        Ok(first)
    }
}

pub(crate) fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> PathError + 'a {
    move |source| PathError { operation, path: path.to_owned(), source: Arc::new(source) }
}

/// Gives the lines of a file one after the other.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    file: &'a SourceFile,
    line_bytes_max: usize,
    buffer: Vec<u8>,
    /// The bytes that were read and not given.
    start: usize,
    filled: usize,
    /// Up to where there is no line end.
    searched: usize,
    /// Where in the file `start` is.
    offset: u64,
    number: u64,
    /// The part that comes next, inside a line that is too long.
    part: Option<u64>,
}

impl<'a> Lines<'a> {
    /// Reads from the beginning. A line over the limit comes in parts; memory is the limit and a block.
    pub(crate) fn new(file: &'a SourceFile, line_bytes_max: usize) -> Self {
        let line_bytes_max = line_bytes_max.max(1);
        // A small file wants no large buffer.
        let bytes = usize::try_from(file.length_bytes()).map_or(READ_BYTES, |bytes| bytes.saturating_add(1));
        let buffer = vec![0; bytes.clamp(1, READ_BYTES)];
        Self { file, line_bytes_max, buffer, start: 0, filled: 0, searched: 0, offset: 0, number: 1, part: None }
    }

    /// Returns the next line; `None` at the end of the file as it was when it was opened. What it gains while it is read may go on
    /// with a line that was given as the last: that is for the next import.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, PathError> {
        let length = loop {
            let seen = self.buffer.get(self.searched..self.filled).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', seen) {
                break self.searched.saturating_sub(self.start).saturating_add(at).saturating_add(1);
            }
            self.searched = self.filled;
            let waiting = self.filled.saturating_sub(self.start);
            if self.part.is_some() && waiting >= PART_BYTES || waiting > self.line_bytes_max {
                break waiting;
            }
            if self.fill()? == 0 {
                break waiting;
            }
        };
        Ok(self.give(length))
    }

    /// Gives so many of the bytes that wait, or a part of them.
    fn give(&mut self, length: usize) -> Option<Line<'_>> {
        if length == 0 {
            return None;
        }
        let is_long = self.part.is_some() || length > self.line_bytes_max;
        let length = if is_long { length.min(PART_BYTES) } else { length };
        let (number, offset, start) = (self.number, self.offset, self.start);
        let part = is_long.then(|| self.part.unwrap_or(0));
        self.start = start.saturating_add(length);
        self.offset = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        let bytes = self.buffer.get(start..self.start).unwrap_or_default();
        if bytes.ends_with(b"\n") {
            self.number = number.saturating_add(1);
            self.part = None;
        } else {
            self.part = part.map(|part| part.saturating_add(1));
        }
        // What is given was looked through up to its own end; behind it there may be a line end.
        self.searched = self.start;
        Some(Line { number, offset, bytes, part })
    }

    /// Reads more behind what waits. 0: the file ends here.
    fn fill(&mut self) -> Result<usize, PathError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled = self.filled.saturating_sub(self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        if self.filled == self.buffer.len() {
            let bytes = self.buffer.len().saturating_mul(2).max(READ_BYTES);
            self.buffer.resize(bytes.min(self.line_bytes_max.saturating_add(READ_BYTES).max(PART_BYTES)), 0);
        }
        let at = self.offset.saturating_add(u64::try_from(self.filled).unwrap_or(u64::MAX));
        let rest = usize::try_from(self.file.length_bytes().saturating_sub(at)).unwrap_or(usize::MAX);
        let end = self.filled.saturating_add(rest).min(self.buffer.len());
        let count = self.file.read_at(self.buffer.get_mut(self.filled..end).unwrap_or_default(), at)?;
        self.filled = self.filled.saturating_add(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Given = (u64, u64, usize, Option<u64>);

    fn given(content: &[u8], line_bytes_max: usize) -> (Vec<Given>, Vec<u8>) {
        let mut source = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut source, content).unwrap();
        let file = SourceFile::open(source.path()).unwrap();
        let mut lines = Lines::new(&file, line_bytes_max);
        let (mut given, mut all) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next().unwrap() {
            given.push((line.number, line.offset, line.bytes.len(), line.part));
            all.extend_from_slice(line.bytes);
        }
        (given, all)
    }

    #[test]
    fn every_byte_is_given_once_and_lines_are_counted() {
        let (lines, all) = given(b"1\n\n22\r\n333", 100);
        assert_eq!(lines, [(1, 0, 2, None), (2, 2, 1, None), (3, 3, 4, None), (4, 7, 3, None)]);
        assert_eq!(all, b"1\n\n22\r\n333");
        assert_eq!(given(b"", 100).0, []);
        assert_eq!(given(b"\n", 100).0, [(1, 0, 1, None)]);
    }

    #[test]
    fn a_line_over_the_limit_comes_in_parts_that_are_bounded() {
        let mut content = b"first\n".to_vec();
        content.extend(std::iter::repeat_n(b'x', 2 * PART_BYTES + 7));
        content.extend_from_slice(b"\nlast\n");
        let (lines, all) = given(&content, 1 << 20);
        assert!(all == content);
        let numbers: Vec<_> = lines.iter().map(|(number, .., part)| (*number, *part)).collect();
        assert_eq!((numbers[0], *numbers.last().unwrap()), ((1, None), (3, None)));
        assert!(numbers[1..numbers.len() - 1].iter().zip(0..).all(|(at, part)| *at == (2, Some(part))));
        assert!(lines.iter().all(|(_, _, bytes, _)| *bytes <= PART_BYTES));
    }

    #[test]
    fn a_file_that_changes_is_seen_to() {
        use std::io::Write as _;
        let source = || {
            let mut source = tempfile::NamedTempFile::new().unwrap();
            source.write_all(b"1\n").unwrap();
            source
        };
        let mut grown = source();
        let file = SourceFile::open(grown.path()).unwrap();
        assert!(!file.has_changed().unwrap());
        let mut lines = Lines::new(&file, 100);
        assert_eq!(lines.next().unwrap().unwrap().bytes, b"1\n");
        grown.write_all(b"2\n").unwrap();
        assert!(lines.next().unwrap().is_none() && file.has_changed().unwrap());

        // No line comes twice, torn and whole.
        let mut torn = source();
        torn.write_all(b"2").unwrap();
        let file = SourceFile::open(torn.path()).unwrap();
        let mut lines = Lines::new(&file, 100);
        torn.write_all(b"2\n3\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap().bytes, b"1\n");
        assert_eq!(lines.next().unwrap().unwrap().bytes, b"2");
        assert!(lines.next().unwrap().is_none() && file.has_changed().unwrap());

        let gone = source();
        let file = SourceFile::open(gone.path()).unwrap();
        gone.close().unwrap();
        assert!(file.has_changed().unwrap());
        let (replaced, by) = (source(), source());
        let file = SourceFile::open(replaced.path()).unwrap();
        by.persist(replaced.path()).unwrap();
        assert!(file.has_changed().unwrap());
    }

    #[test]
    fn lines_longer_than_a_read_are_whole() {
        let line = [&vec![b'y'; 3 * READ_BYTES][..], b"\n"].concat();
        let (lines, all) = given(&line.repeat(3), 1 << 20);
        assert_eq!(lines.len(), 3);
        assert!(all == line.repeat(3));
    }
}
