//! The bytes of a transcript, a window at a time.
//!
//! Memory stays bounded whatever the file holds: a line of more than [`LINE_BYTES_MAX`] is checked in pieces, never held. A
//! file under the writer's lock is read through a map, every other one with `read(2)`: somebody may cut it any time.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{FRAME_TAIL_BYTES, HEAD_BYTES_MAX, is_padding, to_u64};
use crate::frame::{self, Crc, FrameDefect};
use crate::fs::{FsFile, IoContext as _, PathError};
use crate::map::Map;
use crate::mark::Mark;
use crate::record::{Info, Record};

/// First read; doubled with every further one in sequence.
const READ_BYTES_MIN: usize = 8 * 1024;
/// Fits the second-level cache: the checksum then runs at twice the speed of main memory.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Longest line that is held in memory to be checked.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Longest mark that is understood.
const MARK_BYTES_MAX: u64 = 64 * 1024;
/// A map pays for files of at least this size; of a much larger one it would count as memory of ours.
const MAP_BYTES: std::ops::RangeInclusive<u64> = 1024 * 1024..=64 * 1024 * 1024;

/// Memory to read into. A thread that has read one transcript may have thousands to read: it keeps one for the next.
#[derive(Debug)]
struct Buffer(Vec<u8>);

std::thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Buffer {
    fn take() -> Self {
        Self(SPARE.try_with(Cell::take).unwrap_or_default())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if (1..=READ_BYTES_MAX).contains(&self.0.len()) {
            SPARE.try_with(|spare| spare.set(std::mem::take(&mut self.0))).ok();
        }
    }
}

/// An open transcript up to some length.
#[derive(Debug)]
pub(crate) struct Source {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    map: Option<Map>,
    /// What is looked at; never beyond what the file had when it was last asked.
    length_bytes: u64,
    buffer: Buffer,
    /// So many bytes of the buffer are the file's, from `buffer_start` on. The rest is kept, so that it need not be cleared again.
    held: usize,
    buffer_start: u64,
    read_bytes: usize,
    first_read_bytes: usize,
}

/// A run of bytes up to a newline or the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) offset: u64,
    /// Without the newline.
    pub(crate) length_bytes: u64,
    /// A newline follows.
    pub(crate) terminated: bool,
}

impl Line {
    /// Where the bytes of the line end, before its newline.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length_bytes)
    }

    /// Where the next line begins.
    pub(crate) fn next(&self) -> u64 {
        self.end().saturating_add(u64::from(self.terminated))
    }
}

impl Source {
    /// Looks at the first `length_bytes` of a file. `locked`: we hold the lock of its writer.
    pub(crate) fn new(file: Arc<dyn FsFile>, path: &Path, length_bytes: u64, locked: bool) -> Self {
        let map = if locked && MAP_BYTES.contains(&length_bytes) { file.map(length_bytes) } else { None };
        Self {
            file,
            path: path.to_owned(),
            map,
            length_bytes,
            buffer: Buffer::take(),
            held: 0,
            buffer_start: 0,
            read_bytes: READ_BYTES_MIN,
            first_read_bytes: READ_BYTES_MIN,
        }
    }

    /// Looks at what a file holds now.
    pub(crate) fn open(file: Arc<dyn FsFile>, path: &Path) -> Result<Self, PathError> {
        let length_bytes = file.stat().context("stat", path)?.length_bytes;
        Ok(Self::new(file, path, length_bytes, false))
    }

    /// All of the file will be read: it is from the start on read in large pieces.
    pub(crate) fn expect_all(&mut self) {
        (self.first_read_bytes, self.read_bytes) = (READ_BYTES_MAX, READ_BYTES_MAX);
    }

    pub(crate) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &Arc<dyn FsFile> {
        &self.file
    }

    /// Returns the same file up to some length, with what was read of it.
    pub(crate) fn hand_over(&mut self, length_bytes: u64) -> Self {
        let buffer = Buffer(std::mem::take(&mut self.buffer.0));
        let wanted = usize::try_from(length_bytes.saturating_sub(self.buffer_start)).unwrap_or(usize::MAX);
        let held = std::mem::take(&mut self.held).min(wanted);
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        Self {
            file,
            path,
            map: None,
            length_bytes,
            buffer,
            held,
            buffer_start: self.buffer_start,
            read_bytes: READ_BYTES_MIN,
            first_read_bytes: READ_BYTES_MIN,
        }
    }

    /// Looks at a file that grew or shrank; nothing read before is trusted any more.
    pub(crate) fn refresh(&mut self, length_bytes: u64) {
        self.map = None;
        self.held = 0;
        self.length_bytes = length_bytes;
    }

    /// Starts with small reads again: what follows is a jump.
    pub(crate) fn jump(&mut self) {
        self.read_bytes = self.first_read_bytes;
    }

    /// Returns bytes from `offset` on: at least `want` of them, or all up to the end.
    pub(crate) fn view(&mut self, offset: u64, want: usize) -> Result<&[u8], PathError> {
        let left = usize::try_from(self.length_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(left);
        let mapped = self.map.as_ref().map(|map| map.get(offset, want).is_some_and(|bytes| bytes.len() >= want));
        if mapped == Some(true) {
            return Ok(self.map.as_ref().and_then(|map| map.get(offset, want)).unwrap_or_default());
        }
        // The disk does not deliver a page of the map, or the file was cut: `read(2)` says which.
        self.map = None;
        let skip = offset.checked_sub(self.buffer_start).and_then(|skip| usize::try_from(skip).ok());
        match skip.filter(|skip| *skip <= self.held) {
            Some(skip) if self.held.saturating_sub(skip) >= want => {
                return Ok(self.buffer.0.get(skip..self.held).unwrap_or_default());
            }
            Some(skip) => {
                self.buffer.0.copy_within(skip..self.held, 0);
                self.held = self.held.saturating_sub(skip);
            }
            None => self.held = 0,
        }
        self.buffer_start = offset;
        self.fill(want.max(self.read_bytes).min(left))?;
        self.read_bytes = self.read_bytes.saturating_mul(2).min(READ_BYTES_MAX);
        Ok(self.buffer.0.get(..self.held).unwrap_or_default())
    }

    /// Reads on behind what the buffer holds until it holds `want` bytes.
    fn fill(&mut self, want: usize) -> Result<(), PathError> {
        if self.buffer.0.len() < want {
            self.buffer.0.resize(want, 0);
        }
        while let Some(rest) = self.buffer.0.get_mut(self.held..want).filter(|rest| !rest.is_empty()) {
            let at = self.buffer_start.saturating_add(to_u64(self.held));
            match self.file.read_at(rest, at).context("read", &self.path)? {
                0 => {
                    // Someone cut the file since we asked for its length.
                    self.length_bytes = self.length_bytes.min(at);
                    break;
                }
                count => self.held = self.held.saturating_add(count),
            }
        }
        Ok(())
    }

    /// Finds where the line that begins at `offset` ends.
    pub(crate) fn line(&mut self, offset: u64) -> Result<Line, PathError> {
        let mut searched = 0;
        let mut want = 1;
        loop {
            // A view from the line's start as long as the line may be held, so that the check that follows finds it in the buffer.
            let (start, skip) = if searched < LINE_BYTES_MAX {
                (offset, searched)
            } else {
                (offset.saturating_add(to_u64(searched)), 0)
            };
            let view = self.view(start, want)?;
            if let Some(found) = memchr::memchr(b'\n', view.get(skip..).unwrap_or_default()) {
                let length_bytes = to_u64(searched.saturating_add(found));
                return Ok(Line { offset, length_bytes, terminated: true });
            }
            searched = searched.saturating_add(view.len().saturating_sub(skip));
            let end = offset.saturating_add(to_u64(searched));
            if end >= self.length_bytes {
                let length_bytes = self.length_bytes.saturating_sub(offset);
                return Ok(Line { offset, length_bytes, terminated: false });
            }
            want = if searched < LINE_BYTES_MAX { searched.saturating_mul(2) } else { 1 };
        }
    }

    /// Checks a line as a record of the transcript whose header's checksum is `seed`.
    pub(crate) fn check(&mut self, line: &Line, seed: Crc) -> Result<Result<Info, FrameDefect>, PathError> {
        match usize::try_from(line.length_bytes) {
            Ok(length) if length <= LINE_BYTES_MAX => {
                let bytes = self.view(line.offset, length)?;
                let decoded = bytes.get(..length).map(|bytes| frame::decode(bytes, seed));
                Ok(decoded.unwrap_or(Err(SHRUNK)).map(|(head, crc)| Info::new(&head, crc)))
            }
            _ => self.check_long(line, seed),
        }
    }

    /// Checks a line in pieces.
    fn check_long(&mut self, line: &Line, seed: Crc) -> Result<Result<Info, FrameDefect>, PathError> {
        let covered_end = line.end().saturating_sub(to_u64(FRAME_TAIL_BYTES));
        let computed = self.checksum(line.offset, covered_end, seed)?;
        let tail = self.view(covered_end, FRAME_TAIL_BYTES)?;
        let crc = match frame::check_tail(tail.get(..FRAME_TAIL_BYTES).unwrap_or_default(), computed) {
            Ok(crc) => crc,
            Err(defect) => return Ok(Err(defect)),
        };
        let head = self.view(line.offset, HEAD_BYTES_MAX)?;
        Ok(frame::decode_head(head.get(..HEAD_BYTES_MAX).unwrap_or(head)).map(|head| Info::new(&head, crc)))
    }

    /// Continues a checksum over a range.
    pub(crate) fn checksum(&mut self, start: u64, end: u64, seed: Crc) -> Result<Crc, PathError> {
        let mut crc = seed;
        let mut at = start;
        while at < end {
            let view = self.view(at, 1)?;
            let count = view.len().min(usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX));
            if count == 0 {
                break;
            }
            crc = crc.extend(view.get(..count).unwrap_or_default());
            at = at.saturating_add(to_u64(count));
        }
        Ok(crc)
    }

    /// Reads the mark in a sound line. One that is longer than ours ever are, or no mark of this version, is unknown.
    pub(crate) fn mark(&mut self, line: &Line, seed: Crc) -> Result<Option<Mark>, PathError> {
        if line.length_bytes > MARK_BYTES_MAX {
            return Ok(Some(Mark::Unknown));
        }
        let bytes = self.copy(line.offset, line.end())?;
        Ok(Record::decode(&bytes, seed, line.offset).ok().and_then(|record| record.as_mark()))
    }

    /// Copies a range; the caller knows that it is a record, so its size was accepted once.
    pub(crate) fn copy(&mut self, start: u64, end: u64) -> Result<Vec<u8>, PathError> {
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        if length <= LINE_BYTES_MAX {
            let view = self.view(start, length)?;
            return Ok(view.get(..length).unwrap_or(view).to_vec());
        }
        // Piece by piece: the window would grow to the size of the record, and stay so.
        let mut copied = Vec::with_capacity(length);
        while copied.len() < length {
            let view = self.view(start.saturating_add(to_u64(copied.len())), 1)?;
            if view.is_empty() {
                break;
            }
            let count = view.len().min(length.saturating_sub(copied.len()));
            copied.extend_from_slice(view.get(..count).unwrap_or_default());
        }
        Ok(copied)
    }

    /// Returns the first byte from `start` on that is no padding.
    pub(crate) fn skip_padding(&mut self, start: u64) -> Result<u64, PathError> {
        let mut at = start;
        while at < self.length_bytes {
            let view = self.view(at, 1)?;
            match view.iter().position(|byte| !is_padding(*byte)) {
                Some(found) => return Ok(at.saturating_add(to_u64(found))),
                None => at = at.saturating_add(to_u64(view.len())),
            }
        }
        Ok(at)
    }

    /// Returns where the last line that begins before `end` begins.
    pub(crate) fn line_start_before(&mut self, end: u64) -> Result<u64, PathError> {
        // The newline right before `end` closes the line that we look for.
        let mut at = end.saturating_sub(1);
        // Stepping back line by line finds most of them in what was read for the last one.
        if let Some(held) = at.checked_sub(self.buffer_start).and_then(|held| usize::try_from(held).ok())
            && let Some(bytes) = self.buffer.0.get(..held).filter(|_| held <= self.held)
        {
            if let Some(found) = memchr::memrchr(b'\n', bytes) {
                return Ok(self.buffer_start.saturating_add(to_u64(found)).saturating_add(1));
            }
            at = self.buffer_start;
        }
        let mut want = to_u64(READ_BYTES_MIN);
        while at > 0 {
            let start = at.saturating_sub(want);
            let length = usize::try_from(at.saturating_sub(start)).unwrap_or(0);
            let view = self.view(start, length)?;
            if let Some(found) = memchr::memrchr(b'\n', view.get(..length).unwrap_or(view)) {
                return Ok(start.saturating_add(to_u64(found)).saturating_add(1));
            }
            at = start;
            want = want.saturating_mul(2).min(to_u64(READ_BYTES_MAX));
        }
        Ok(0)
    }
}

/// A line that was there when it was looked for.
const SHRUNK: FrameDefect = FrameDefect::Malformed { what: "cut while it was read" };
