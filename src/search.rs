//! Looking for records in all transcripts, without an index, about as fast as their bytes can be read.
//!
//! Whole blocks of lines are searched; only a line in which something was found is checked and read. So nothing is said of the
//! lines in between, which is what a verification is for; but every record that is given is sound, and one that a reader would be
//! given. Where a line in question is not sound, the transcript is read again as a reader reads it, with its gaps; what nothing proves
//! to have been durable, which may stand behind a torn hole, is read so anyway.

use std::ops::ControlFlow;

use crate::error::Error;
use crate::format::{is_padding, to_u64};
use crate::frame::Crc;
use crate::fs::{IoContext as _, OpenMode};
use crate::header::Header;
use crate::key::{SessionKey, TranscriptName};
use crate::parallel::fold_in_parallel;
use crate::record::Record;
use crate::store::Store;
use crate::store::inner::Inner;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::transcript::first_line::HeaderState;
use crate::transcript::reader::Item;
use crate::transcript::source::Source;
use crate::verify::Progress;

/// Items that are held before they are given.
const FOUND_BYTES: usize = 1024 * 1024;

/// A line that is longer is left to the reader, which holds only what is a record.
const LINE_BYTES: usize = 64 * 1024 * 1024;

/// What is looked for.
pub trait Needle: Sync {
    /// Returns where in these lines of a transcript, at `at` or behind it, the first may be in whose record it is; `None` if there is
    /// none. May stop at one where it is not, must not pass over one where it is. `at` is where a line begins.
    fn candidate(&self, lines: &[u8], at: usize) -> Option<usize>;

    /// Says whether it is in a record.
    fn is_in(&self, record: &Record) -> bool;
}

/// Where to look.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct SearchOptions {
    keys: Vec<SessionKey>,
    marks: bool,
    jobs: usize,
}

impl SearchOptions {
    /// Returns the defaults: all generations of all sessions but the store's own, on all cores.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key: only the sessions of the keys added are looked at.
    pub fn key(mut self, key: SessionKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Looks at the store's marks, too.
    pub fn marks(mut self, marks: bool) -> Self {
        self.marks = marks;
        self
    }

    /// Sets how many transcripts are read at once; 0 (the default) stands for one a core.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }
}

/// Some of what was found in a session, in order; what comes later of the same session comes later.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The session's key.
    pub key: SessionKey,
    /// Its generation.
    pub generation: u64,
    /// Records, and damage that was met.
    pub items: Vec<Item>,
}

/// What a search came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Searched {
    /// Transcripts looked at.
    pub sessions: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Records found.
    pub records: u64,
    /// Damage met.
    pub gaps: u64,
    /// Transcripts that could not be looked at, with the reason.
    pub failures: Vec<(std::path::PathBuf, Error)>,
}

impl Store {
    /// Looks for records in every transcript, and gives them to `found` as they are found, which may end the search. Sessions come
    /// in any order, the records of one in theirs.
    ///
    /// Costs one read of every transcript. Takes no lock and writes nothing. Memory for each job: some MiB, or the longest record.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] for a key without transcripts, [`Error::Io`] when the folder can not be listed. What is wrong with
    /// one transcript is in the outcome.
    pub fn search(
        &self,
        needle: &dyn Needle,
        options: &SearchOptions,
        progress: &Progress,
        found: &(dyn Fn(Found) -> ControlFlow<()> + Sync),
    ) -> Result<Searched, Error> {
        let inner = self.inner();
        let mut names = inner.layout.list()?;
        if !options.keys.is_empty() {
            let stems: Vec<_> = options.keys.iter().map(SessionKey::file_stem).collect();
            names.retain(|name| stems.contains(&name.stem));
            let lacking = stems.iter().position(|stem| !names.iter().any(|name| name.stem == *stem));
            if let Some(key) = lacking.and_then(|at| options.keys.get(at)) {
                return Err(Error::SessionNotFound { key: key.clone(), generation: None });
            }
        }
        progress.expect(names.len(), 0);
        let search = Search { inner, needle, options, found, ended: AtomicBool::new(false) };
        let mut names = names.into_iter().take_while(|_| !search.ended.load(Ordering::Relaxed));
        let parts = fold_in_parallel(
            options.jobs,
            || names.next(),
            |searched: &mut Searched, name| {
                let bytes = searched.bytes;
                if let Err(error) = search.at(&name, searched) {
                    // Deleted while we looked.
                    if !error.is_gone() {
                        searched.failures.push((inner.layout.transcripts().join(name.to_string()), error));
                    }
                }
                progress.done(searched.bytes.saturating_sub(bytes));
            },
        );
        let mut searched = Searched::default();
        for part in parts {
            searched.sessions = searched.sessions.saturating_add(part.sessions);
            searched.bytes = searched.bytes.saturating_add(part.bytes);
            searched.records = searched.records.saturating_add(part.records);
            searched.gaps = searched.gaps.saturating_add(part.gaps);
            searched.failures.extend(part.failures);
        }
        searched.failures.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(searched)
    }
}

struct Search<'a> {
    inner: &'a Inner,
    needle: &'a dyn Needle,
    options: &'a SearchOptions,
    found: &'a (dyn Fn(Found) -> ControlFlow<()> + Sync),
    ended: AtomicBool,
}

/// What was found in one transcript and not given yet.
struct Finds<'a> {
    search: &'a Search<'a>,
    searched: &'a mut Searched,
    key: SessionKey,
    generation: u64,
    items: Vec<Item>,
    bytes: usize,
    /// The last record that was found.
    last_seq: u64,
}

impl Search<'_> {
    fn at(&self, name: &TranscriptName, searched: &mut Searched) -> Result<(), Error> {
        let path = self.inner.layout.transcripts().join(name.to_string());
        let file = self.inner.layout.fs.open(&path, OpenMode::Read).context("open", &path)?;
        let mut source = Source::open(file.into(), &path)?;
        source.expect_all();
        let (key, seed_and_start) = match HeaderState::read(&mut source)? {
            HeaderState::Sound { header, data_start, separator } => {
                let key = SessionKey::new(&header.body.key)?;
                if key.file_stem() != name.stem || header.body.generation != name.generation {
                    let Header { body, .. } = header;
                    return Err(Error::Misfiled { path, header_key: body.key, header_generation: body.generation });
                }
                (key, separator.is_none().then_some((header.crc, data_start)))
            }
            HeaderState::Format(format) => return Err(Error::UnsupportedFormat { path, format }),
            // A reader may find the records behind it, if anybody knows whose they are.
            HeaderState::Bad { gap, .. } => {
                let known = self.options.keys.iter().find(|key| key.file_stem() == name.stem).cloned();
                let known = known
                    .map_or_else(|| Ok(self.inner.rows()?.stems().remove(&name.stem)), |key| Ok::<_, Error>(Some(key)));
                (known?.ok_or(Error::HeaderDamaged { path, bytes: gap.bytes })?, None)
            }
        };
        if key.is_reserved() && !self.options.keys.contains(&key) {
            return Ok(());
        }
        searched.sessions = searched.sessions.saturating_add(1);
        searched.bytes = searched.bytes.saturating_add(source.length_bytes());
        let (items, bytes, last_seq) = (Vec::new(), 0, 0);
        let mut finds = Finds { search: self, searched, key, generation: name.generation, items, bytes, last_seq };
        let rest = seed_and_start.map_or(Ok(Some(0)), |(seed, start)| finds.in_blocks(&mut source, seed, start))?;
        if let Some(from_seq) = rest {
            finds.in_order(from_seq)?;
        }
        finds.give();
        Ok(())
    }
}

impl Finds<'_> {
    /// Searches whole lines, a block at a time. Returns from which record on that was not to be had.
    fn in_blocks(&mut self, source: &mut Source, seed: Crc, start: u64) -> Result<Option<u64>, Error> {
        let (mut offset, mut want) = (start, 1);
        let mut proven = None;
        while !self.search.ended.load(Ordering::Relaxed) {
            let left = source.length_bytes().saturating_sub(offset);
            let view = source.view(offset, want)?;
            let Some(newline) = memchr::memrchr(b'\n', view) else {
                if to_u64(view.len()) < left && view.len() < LINE_BYTES {
                    want = view.len().saturating_mul(2).max(1);
                    continue;
                }
                // A line without its end may be a record all the same.
                return Ok(if view.iter().copied().all(is_padding) { None } else { Some(0) });
            };
            let lines = view.get(..=newline).unwrap_or_default();
            let mut at = 0;
            while let Some(hit) = self.search.needle.candidate(lines, at) {
                let begin =
                    memchr::memrchr(b'\n', lines.get(..hit).unwrap_or_default()).map_or(0, |at| at.saturating_add(1));
                let Some(end) = memchr::memchr(b'\n', lines.get(hit..).unwrap_or_default()) else { break };
                let end = hit.saturating_add(end);
                let line_offset = offset.saturating_add(to_u64(begin));
                let Ok(record) = Record::decode(lines.get(begin..end).unwrap_or_default(), seed, line_offset) else {
                    return Ok(Some(0));
                };
                if record.seq() > self.last_seq && self.is_wanted(&record) {
                    let known = proven.map_or_else(|| self.proven_durable(), Ok)?;
                    if record.seq() > known {
                        return Ok(Some(known.saturating_add(1)));
                    }
                    proven = Some(known);
                    self.take(Item::Record(record));
                }
                at = end.saturating_add(1);
            }
            offset = offset.saturating_add(to_u64(lines.len()));
            want = 1;
        }
        Ok(None)
    }

    fn proven_durable(&self) -> Result<u64, Error> {
        self.search.inner.reader(&self.key, self.generation)?.proven_durable()
    }

    /// Searches what a reader is given, behind what was found already.
    fn in_order(&mut self, from_seq: u64) -> Result<(), Error> {
        let records = self.search.inner.reader(&self.key, self.generation)?.forward(from_seq)?;
        let found = self.last_seq;
        for item in records {
            let item = item?;
            match &item {
                Item::Record(record) if record.seq() <= found || !self.is_wanted(record) => continue,
                _ => self.take(item),
            }
            if self.search.ended.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    fn is_wanted(&self, record: &Record) -> bool {
        (self.search.options.marks || !record.is_mark()) && self.search.needle.is_in(record)
    }

    fn take(&mut self, item: Item) {
        if let Item::Record(record) = &item {
            self.last_seq = self.last_seq.max(record.seq());
            self.bytes = self.bytes.saturating_add(record.line().len());
            self.searched.records = self.searched.records.saturating_add(1);
        } else {
            self.searched.gaps = self.searched.gaps.saturating_add(1);
        }
        self.items.push(item);
        if self.bytes >= FOUND_BYTES {
            self.give();
        }
    }

    fn give(&mut self) {
        let items = std::mem::take(&mut self.items);
        self.bytes = 0;
        if items.is_empty() || self.search.ended.load(Ordering::Relaxed) {
            return;
        }
        let found = Found { key: self.key.clone(), generation: self.generation, items };
        if (self.search.found)(found).is_break() {
            self.search.ended.store(true, Ordering::Relaxed);
        }
    }
}
