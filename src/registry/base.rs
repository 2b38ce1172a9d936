//! Rows of a large registry, looked up in the file: nobody who wants one session reads a million.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::format::to_u64;
use crate::frame::{self, Crc};
use crate::fs::{Fs, FsFile, OpenMode, Stat, read_from};
use crate::key::SessionKey;
use crate::registry::{ROW_BYTES_MAX, Row};

/// Read at once: some rows.
const BLOCK_BYTES: usize = 4096;
/// Read by a step of a search, which wants the first whole row in it: what it reads is in no cache of the processor.
const STEP_BYTES: usize = 1024;

/// A registry that was proven to be as it was saved. The file stays the one that was opened, whatever takes its name.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    file: Arc<dyn FsFile>,
    identity: (u64, u64),
    length_bytes: u64,
}

/// A line, where it begins and where the next does.
struct Found {
    line: Vec<u8>,
    start: u64,
    next: u64,
}

/// What the search wants to know of a row.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

impl Found {
    fn is_before(&self, key: &SessionKey) -> io::Result<bool> {
        self.compare(key).map(Ordering::is_lt)
    }

    /// Compares the row's key with this one.
    fn compare(&self, key: &SessionKey) -> io::Result<Ordering> {
        let (head, _) = frame::decode(&self.line, Crc::ZERO).map_err(|_| io::ErrorKind::InvalidData)?;
        let named: Named<'_> = serde_json::from_slice(head.body(&self.line))?;
        Ok(named.key.as_ref().cmp(key.as_str()))
    }

    fn row(&self) -> io::Result<Row> {
        Row::decode(&self.line).map(|(_, row)| row).ok_or(io::ErrorKind::InvalidData.into())
    }
}

impl Base {
    pub(crate) fn open(fs: &dyn Fs, path: &Path) -> io::Result<Self> {
        let file: Arc<dyn FsFile> = fs.open(path, OpenMode::Read)?.into();
        let Stat { identity, length_bytes, .. } = file.stat()?;
        Ok(Self { file, identity, length_bytes })
    }

    /// Says whether it is the same open file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Says whether it is the file that had this `stat`.
    pub(crate) fn was(&self, stat: &Stat) -> bool {
        (self.identity, self.length_bytes) == (stat.identity, stat.length_bytes)
    }

    pub(crate) fn file(&self) -> &dyn FsFile {
        &*self.file
    }

    pub(crate) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Returns the rows of a key. A line that is no row is an error of kind `InvalidData`, here and below.
    pub(crate) fn rows_of(&self, key: &SessionKey) -> io::Result<Vec<Row>> {
        self.rows_at(self.between(key, 0, self.length_bytes)?, key).map(|(rows, _)| rows)
    }

    /// Returns the rows of a key that begin here, and where they end.
    pub(crate) fn rows_at(&self, mut at: u64, key: &SessionKey) -> io::Result<(Vec<Row>, u64)> {
        let mut rows = Vec::new();
        while let Some(found) = self.line_at(at, &[])? {
            if found.compare(key)?.is_ne() {
                break;
            }
            at = found.next;
            rows.push(found.row()?);
        }
        Ok((rows, at))
    }

    /// Returns where the rows of a key begin, or would. `from` is where a line begins that is not behind them; the cost grows
    /// with the distance from there: a read each time it doubles, and one each time that is halved again.
    pub(crate) fn seek(&self, key: &SessionKey, mut from: u64) -> io::Result<u64> {
        let (mut end, mut step) = (from, 0);
        while let Some(found) = self.first_from(end)? {
            if !found.is_before(key)? {
                break;
            }
            from = found.next;
            end = from.saturating_add(step).min(self.length_bytes);
            step = step.saturating_mul(2).max(to_u64(BLOCK_BYTES));
        }
        self.between(key, from, end)
    }

    /// The same by binary search: the file is sorted.
    fn between(&self, key: &SessionKey, mut from: u64, mut end: u64) -> io::Result<u64> {
        // A line begins at `from`; all before it are of smaller keys, those that begin at `end` or behind it are not.
        while from < end {
            let middle = from.midpoint(end);
            match self.first_from(middle)?.filter(|found| found.start < end) {
                Some(found) if found.is_before(key)? => from = found.next,
                Some(found) if found.start == from => break,
                _ => end = middle,
            }
        }
        Ok(from)
    }

    /// Returns the first line that begins at `offset` or behind it.
    fn first_from(&self, offset: u64) -> io::Result<Option<Found>> {
        let Some(mut at) = offset.checked_sub(1) else { return self.line_at(0, &[]) };
        loop {
            let block = read_from(&*self.file, at, STEP_BYTES)?;
            if let Some(newline) = memchr::memchr(b'\n', &block) {
                let start = newline.saturating_add(1);
                return self.line_at(plus(at, start), block.get(start..).unwrap_or_default());
            }
            if block.is_empty() {
                return Ok(None);
            }
            at = plus(at, block.len());
        }
    }

    /// Returns the line that begins here, where `held` was read already; `None` at the end.
    fn line_at(&self, start: u64, held: &[u8]) -> io::Result<Option<Found>> {
        if start >= self.length_bytes {
            return Ok(None);
        }
        let found = |bytes: &[u8]| {
            let length = memchr::memchr(b'\n', bytes)?;
            let line = bytes.get(..length).unwrap_or_default().to_vec();
            Some(Found { line, start, next: plus(plus(start, length), 1) })
        };
        if let Some(found) = found(held) {
            return Ok(Some(found));
        }
        let mut wanted = BLOCK_BYTES;
        loop {
            let block = read_from(&*self.file, start, wanted)?;
            if let Some(found) = found(&block) {
                return Ok(Some(found));
            }
            if block.len() < wanted || wanted > ROW_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            wanted = wanted.saturating_mul(8);
        }
    }
}

fn plus(offset: u64, bytes: usize) -> u64 {
    offset.saturating_add(to_u64(bytes))
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::fs::OsFs;
    use crate::header::Header;
    use crate::registry::Rows;
    use crate::timestamp::Timestamp;

    #[test]
    fn every_key_is_found_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.jsonl");
        let mut rows = Rows::default();
        for number in 0..300_u64 {
            let key = SessionKey::new(format!("key {number}")).unwrap();
            // Rows of all lengths, some longer than a block; some keys with generations.
            for generation in [1 + number % 3, 9].into_iter().take(if number % 5 == 0 { 2 } else { 1 }) {
                let now = Timestamp::from_unix_ms(0);
                let header = Header::encode(&mut Vec::new(), &OsFs, &key, generation, None, now).unwrap();
                let title = Some("t".repeat(usize::try_from(number * number % 7000).unwrap()));
                rows.put(Row { title, ..Row::born(&header) });
            }
        }
        for count in [0, 1, 2, 300] {
            let mut some = Rows::default();
            rows.iter().take(count).for_each(|row| some.put(row.clone()));
            some.save(&OsFs, &path, 0o600, 1).unwrap();
            let base = Base::open(&OsFs, &path).unwrap();
            for number in 0..302 {
                for text in [format!("key {number}"), format!("key {number}!")] {
                    let key = SessionKey::new(&text).unwrap();
                    let expected: Vec<_> = some.iter().filter(|row| row.key == text).cloned().collect();
                    assert_eq!(base.rows_of(&key).unwrap(), expected, "{text} of {count}");
                }
            }
        }
    }
}
