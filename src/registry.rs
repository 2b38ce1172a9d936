//! The index: one row a session, folded from its transcript, never anything of its own but a witness of loss.
//!
//! Format: the rows in `registry.jsonl`, one frame a line (`src/format.md`), sorted by key and generation.
//!
//! Invariants: a row is derived from the transcript's bytes alone, so every route to it gives the same bytes (append,
//! recovery, rebuild); it covers the longest valid prefix, so no row anchors behind damage; it is folded only after the
//! fdatasync of what it says. The file is written by temp file and rename without fsync: a lost or torn registry costs a
//! scan, never a record.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub(crate) mod base;
pub(crate) mod changes;
pub(crate) mod lines;
pub(crate) mod merge;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, Durability};
use crate::format::KIND_ROW;
use crate::frame::{self, Content, Crc, Place};
use crate::fs::{Fs, FsFile, IoContext as _, OpenMode, PathError, Stat};
use crate::header::{Header, Parent};
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::parallel::in_parallel;
use crate::record::Info;
use crate::registry::lines::Lines;
use crate::status::{SessionState, Status};
use crate::timestamp::Timestamp;

/// What the registry knows of a session: one (key, generation).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// What the gateway routes by.
    pub key: String,
    /// 1, 2, 3 ... of the key.
    pub generation: u64,
    /// The random id in the transcript's header.
    pub id: String,
    /// Where it was forked from.
    pub parent: Option<Parent>,
    /// Time of the header.
    pub created: Timestamp,
    /// Time of the last record that counts as activity, else of the header.
    pub updated: Timestamp,
    /// The caller's records, those of `meta.` kinds included.
    pub records: u64,
    /// The session's title.
    pub title: Option<String>,
    /// What it is for whoever lists it.
    pub state: SessionState,
    /// What its marks come to.
    #[serde(default, skip_serializing_if = "Status::is_plain")]
    pub status: Status,
    /// End of the last good record's newline.
    pub length_bytes: u64,
    /// The last good record.
    pub last_seq: u64,
    /// Its checksum.
    pub last_crc: Crc,
    /// What was durable when the row was folded; a transcript that falls short of it has lost records.
    pub durable_seq: u64,
    /// Time of the last record. Stands in the row's frame, not in its body.
    #[serde(skip, default = "epoch")]
    pub(crate) last_ts: Timestamp,
}

pub(crate) fn epoch() -> Timestamp {
    Timestamp::from_unix_ms(0)
}

impl Row {
    /// Returns the row of a transcript that is only a header.
    pub(crate) fn born(header: &Header) -> Self {
        Self {
            key: header.body.key.clone(),
            generation: header.body.generation,
            id: header.body.id.clone(),
            parent: header.body.parent.clone(),
            created: header.ts,
            updated: header.ts,
            records: 0,
            title: None,
            state: SessionState::Open,
            status: Status::default(),
            length_bytes: header.length_bytes,
            last_seq: 0,
            last_crc: header.crc,
            durable_seq: 0,
            last_ts: header.ts,
        }
    }

    /// Folds the next record, whose line ends at `end`, into the row. `durable_seq` is what the file proves of itself once it
    /// is synced; a seal is never synced, so it does not count.
    pub(crate) fn fold(&mut self, end: u64, info: &Info, mark: Option<&Mark>) {
        self.length_bytes = end;
        self.last_seq = info.seq;
        self.last_crc = info.crc;
        self.last_ts = info.ts;
        if !info.is_mark {
            self.records = self.records.saturating_add(1);
        }
        if info.is_activity {
            self.updated = info.ts;
        }
        self.durable_seq = info.seq;
        match mark {
            Some(Mark::Sealed) => self.durable_seq = info.seq.saturating_sub(1),
            Some(Mark::Reset { .. }) => {
                self.state = SessionState::Closed;
                self.status.close();
            }
            Some(Mark::Title { title }) => self.title = Some(title.clone()).filter(|title| !title.is_empty()),
            Some(mark) => self.status.fold(info.seq, info.ts, mark),
            None => {}
        }
        if self.state != SessionState::Closed {
            self.state = self.status.state();
        }
    }

    fn encode(&self, out: &mut Vec<u8>, index: u64) {
        let body = serde_json::to_string(self).unwrap_or_default();
        let content = Content { ts: self.last_ts, kind: KIND_ROW, id_json: None, body: body.as_bytes() };
        // The seq of a row is its line; its `durable` is always 0, and no row links to another: rows are replaced one by one.
        frame::encode(out, Crc::ZERO, Place { seq: index, durable: 0, prev: Crc::ZERO }, &content);
    }

    /// Reads a row and the index of its line.
    fn decode(line: &[u8]) -> Option<(u64, Self)> {
        let (head, _) = frame::decode(line, Crc::ZERO).ok()?;
        let mut row: Self = serde_json::from_slice(head.body(line)).ok().filter(|_| head.kind == KIND_ROW)?;
        SessionKey::new(&row.key).ok()?;
        if [row.records, row.length_bytes, row.last_seq, row.durable_seq].into_iter().any(|count| count > COUNT_MAX) {
            return None;
        }
        row.last_ts = head.ts;
        Some((head.seq, row))
    }
}

/// What was found where the registry should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryState {
    /// Every line is a row.
    Sound,
    /// No file.
    Missing,
    /// Some line is not the row that belongs there; those that are rows were used.
    Unusable {
        /// First bad line, counted from 1.
        line: u64,
    },
}

/// More than a row can have: its longest parts are the title, which stood in a mark of at most 64 KiB, and two keys.
const ROW_BYTES_MAX: usize = 256 * 1024;
/// Encoded by one thread at a time.
const ENCODED_ROWS: usize = 4096;
/// More than any file has bytes or records. As a witness such a number would have a repair write a gap mark behind which no
/// record has a number.
const COUNT_MAX: u64 = u64::MAX / 2;

fn is_no_registry(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, InvalidInput, IsADirectory};
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_link || matches!(error.kind(), FileTooLarge | InvalidInput | IsADirectory)
}

/// All rows, by key and generation. Cheap to clone: rows are shared until one is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows(BTreeMap<(SessionKey, u64), Arc<Row>>);

impl Rows {
    /// Reads the registry. What is missing or no registry gives no rows and says so; any other error is the caller's. Memory is
    /// bounded by the rows found, not by what else the file holds.
    pub(crate) fn load(fs: &dyn Fs, path: &Path) -> Result<(Self, RegistryState), PathError> {
        match fs.open(path, OpenMode::Read).and_then(|file| Self::read(&*file)) {
            Ok(loaded) => Ok(loaded),
            // Garbage in its place: a folder, a link, a file larger than any registry.
            Err(error) if is_no_registry(&error) => Ok((Self::default(), RegistryState::Unusable { line: 1 })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((Self::default(), RegistryState::Missing)),
            Err(error) => Err(error).context("read", path),
        }
    }

    /// Reads rows; a bad line costs itself only.
    pub(crate) fn read(file: &dyn FsFile) -> std::io::Result<(Self, RegistryState)> {
        let (mut rows, mut lines) = (Self::default(), Lines::new(file)?);
        while let Some(some) = lines.next_rows(file)? {
            for row in some {
                rows.put(row);
            }
        }
        Ok((rows, lines.state()))
    }

    /// Writes the registry's bytes, on some threads where there are many: the same for the same rows.
    pub(crate) fn encode(&self, jobs: usize) -> Vec<u8> {
        let rows: Vec<_> = self.iter().zip(0..).collect();
        let parts: Vec<_> = rows.chunks(ENCODED_ROWS).collect();
        let encoded = in_parallel(jobs, &parts, |_, part| {
            let mut out = Vec::new();
            part.iter().for_each(|(row, index)| row.encode(&mut out, *index));
            out
        });
        encoded.concat()
    }

    /// Replaces the registry without any fsync, and returns what was saved.
    pub(crate) fn save(&self, fs: &dyn Fs, path: &Path, file_mode: u32, jobs: usize) -> Result<Stat, PathError> {
        let file = atomic::write_in(fs, path, &self.encode(jobs), Durability::Buffered, Some(file_mode))?;
        file.stat().context("stat", path)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.0.values().map(|row| &**row)
    }

    /// Returns the rows that are wanted with the latest activity, so many of them, and how many were wanted.
    pub(crate) fn latest(&self, limit: usize, wanted: impl Fn(&Row) -> bool) -> (Vec<Row>, usize) {
        let mut found: Vec<_> = self.iter().filter(|row| wanted(row)).collect();
        let count = found.len();
        if count > limit {
            found.select_nth_unstable_by_key(limit, |row| Reverse(row.updated));
            found.truncate(limit);
        }
        (found.into_iter().cloned().collect(), count)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, key: &SessionKey, generation: u64) -> Option<&Row> {
        self.0.get(&(key.clone(), generation)).map(|row| &**row)
    }

    /// Takes out the first row.
    pub(crate) fn pop(&mut self) -> Option<Arc<Row>> {
        self.0.pop_first().map(|(_, row)| row)
    }

    /// Returns the rows of a key's generations.
    pub(crate) fn of(&self, key: &SessionKey) -> impl DoubleEndedIterator<Item = &Row> {
        self.0.range((key.clone(), 0)..=(key.clone(), u64::MAX)).map(|(_, row)| &**row)
    }

    pub(crate) fn newest(&self, key: &SessionKey) -> Option<&Row> {
        self.of(key).next_back()
    }

    /// Returns the rows of a key's generations behind this one; none as a rule.
    pub(crate) fn behind(&self, key: &SessionKey, generation: u64) -> Vec<Row> {
        self.of(key).filter(|row| row.generation > generation).cloned().collect()
    }

    /// Returns all rows, by key and generation.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = Row> {
        self.0.into_values().map(Arc::unwrap_or_clone)
    }

    /// Takes over a row that was folded at another time, if it is the later one. What was known to be durable stays known.
    pub(crate) fn put_later(&mut self, row: Row) {
        let Ok(key) = SessionKey::new(&row.key) else { return };
        let session = (key, row.generation);
        let later = match self.0.get(&session) {
            Some(old) if old.id == row.id => {
                let durable_seq = row.durable_seq.max(old.durable_seq);
                let later = if row.last_seq >= old.last_seq { row } else { Row::clone(old) };
                Row { durable_seq, ..later }
            }
            // A repair gave it another id.
            Some(old) if old.last_ts > row.last_ts => return,
            _ => row,
        };
        self.0.insert(session, Arc::new(later));
    }

    /// Returns the keys by the stem of their files.
    pub(crate) fn stems(&self) -> HashMap<String, SessionKey> {
        self.0.keys().map(|(key, _)| (key.file_stem(), key.clone())).collect()
    }

    pub(crate) fn put(&mut self, row: Row) {
        let Ok(key) = SessionKey::new(&row.key) else { return };
        self.0.insert((key, row.generation), Arc::new(row));
    }

    /// Brings the row of `key` up to date without allocating where it exists.
    pub(crate) fn update(&mut self, key: &SessionKey, row: &Row) {
        match self.0.get_mut(&(key.clone(), row.generation)) {
            Some(old) => Arc::make_mut(old).clone_from(row),
            None => self.put(row.clone()),
        }
    }

    /// Takes out a row if it has this id.
    pub(crate) fn remove(&mut self, key: &SessionKey, generation: u64, id: &str) {
        if self.get(key, generation).is_some_and(|row| row.id == id) {
            self.0.remove(&(key.clone(), generation));
        }
    }

    /// Returns which sessions have a row.
    pub(crate) fn identities(&self) -> impl Iterator<Item = (SessionKey, u64)> {
        self.0.keys().cloned()
    }

    /// Takes over some rows of `others`: one that we do not have, and of two for one session the one that `confirms`, else
    /// ours. What either knows to be durable stays known.
    pub(crate) fn merge<'a>(
        &mut self,
        others: &Self,
        which: impl Iterator<Item = &'a (SessionKey, u64)>,
        confirms: impl Fn(&Row) -> bool,
    ) {
        for (key, generation) in which {
            let Some(theirs) = others.get(key, *generation) else { continue };
            let winner = match self.get(key, *generation) {
                Some(ours) if ours != theirs && (confirms(ours) || !confirms(theirs)) => ours.clone(),
                _ => theirs.clone(),
            };
            let same =
                [self.get(key, *generation), Some(theirs)].into_iter().flatten().filter(|row| row.id == winner.id);
            let durable_seq = same.map(|row| row.durable_seq).max().unwrap_or(winner.durable_seq);
            self.put(Row { durable_seq, ..winner });
        }
    }
}
