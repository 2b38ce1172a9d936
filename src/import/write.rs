//! One source into the store: as a new session, behind what the store has of it, or as the next generation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::fs::PathError;
use crate::import::facts;
use crate::import::finding::{Finding, FindingKind};
use crate::import::ids::{End, Source};
use crate::import::inside::Rows;
use crate::import::known::{Known, Likeness, Parts};
use crate::import::lines::{Lines, SourceFile};
use crate::import::original::OriginalError;
use crate::import::plan::{Plan, Seq, Sink, Told};
use crate::import::salvage::Newline;
use crate::import::shape::{Change, Shape};
use crate::import::{ImportedSession, State, System, json};
use crate::key::SessionKey;
use crate::record::NewRecord;
use crate::status::SessionState;
use crate::store::{NewSession, Session, Store};
use crate::timestamp::Timestamp;

/// Records that wait to be appended as one commit.
const BATCH_BYTES: usize = 1 << 20;

/// A file that is to be imported.
pub(crate) struct Job<'a> {
    pub(crate) path: PathBuf,
    pub(crate) resolved: PathBuf,
    pub(crate) system: System,
    pub(crate) shape: &'a dyn Shape,
    pub(crate) key: SessionKey,
    pub(crate) line_bytes_max: usize,
    /// The time of what has none, if not that of the file.
    pub(crate) time: Option<Timestamp>,
    /// What is known beside the source.
    pub(crate) beside: Vec<Change>,
    /// A registry names the source as the session of this key, and may name another one later.
    pub(crate) is_registered: bool,
    /// Which session of the file it is, if that holds several, and its rows.
    pub(crate) inside: Option<(String, Option<Arc<dyn Rows>>)>,
}

/// Why a source was not imported.
pub(crate) enum Failure {
    Store(Error),
    Source(PathError),
    Refused(FindingKind),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Self::Source(error)
    }
}

impl Failure {
    pub(crate) fn kind(self) -> FindingKind {
        match self {
            Self::Store(error) => FindingKind::Store(error),
            Self::Source(error) => FindingKind::Unreadable(error),
            Self::Refused(kind) => kind,
        }
    }
}

impl Job<'_> {
    /// Imports the source, or says what an import would do.
    pub(crate) fn run(&self, store: Option<&Store>, dry_run: bool) -> Result<(ImportedSession, Told), Failure> {
        let (file, unread) = self.open()?;
        let session = store.map(|store| store.session(self.key.as_str())).transpose()?;
        let at = self.decide(session.as_ref(), &file)?;
        let nothing = BTreeSet::new();
        let (known, changed) = match &at {
            At::Behind(known, changed) => (Some(known), changed),
            _ => (None, &nothing),
        };
        let read = |sink: &mut dyn Sink| self.read(&file, sink, (known, changed));
        let mut generation = at.generation();
        let read = match (&at, session.as_ref().filter(|_| !dry_run)) {
            (At::Unchanged(_), _) => Read::default(),
            (_, None) => read(&mut Counted(known.map_or(0, Known::end_seq)))?,
            (At::Behind(..), Some(session)) => {
                let mut sink = Appended { session, batch: Vec::new(), batch_bytes: 0, seqs: Vec::new() };
                let read = read(&mut sink)?;
                sink.flush()?;
                read
            }
            (At::New | At::Next(_), Some(session)) => {
                if matches!(at, At::Next(_)) {
                    session.reset("the imported source was rewritten")?;
                }
                let mut all = None;
                let head = session.create(|new| {
                    all = Some(read(&mut Created(new))?);
                    Ok::<(), Failure>(())
                })?;
                generation = head.generation;
                all.unwrap_or_default()
            }
        };
        let mut told = read.told;
        told.findings.extend(unread.map(|kind| Finding::new(&self.path, kind)));
        if matches!(at, At::Behind(..)) && known.is_some_and(|known| known.has_others) {
            told.findings.push(Finding::new(&self.path, FindingKind::WentOn));
        }
        if file.has_changed()? {
            told.findings.push(Finding::new(&self.path, FindingKind::Changed));
        }
        for finding in &mut told.findings {
            finding.key = Some(self.key.clone());
        }
        let end = match &at {
            At::Unchanged(known) => known.end,
            _ => read.end,
        };
        let imported = ImportedSession {
            path: self.path.clone(),
            system: self.system,
            key: self.key.clone(),
            generation,
            state: at.state(),
            lines: end.map_or(0, |end| end.lines),
            bytes: end.map_or(0, |end| end.bytes),
            records: told.records,
            messages: told.messages,
            raw_lines: told.raw,
            raw_bytes: told.raw_bytes,
            salvaged: told.salvaged,
        };
        Ok((imported, told))
    }

    /// Opens the source, and says what of it can not be read.
    pub(crate) fn open(&self) -> Result<(SourceFile, Option<FindingKind>), PathError> {
        match &self.inside {
            None => Ok((SourceFile::open(&self.resolved)?, None)),
            Some((_, rows)) => {
                let (lines, unread) = rows.as_ref().map(|rows| rows.read()).unwrap_or_default();
                Ok((SourceFile::with_rows(&self.resolved, lines)?, unread))
            }
        }
    }

    /// Reads the whole source into a sink.
    fn read(
        &self,
        file: &SourceFile,
        sink: &mut dyn Sink,
        have: (Option<&Known>, &BTreeSet<u64>),
    ) -> Result<Read, Failure> {
        let time = self.time.unwrap_or_else(|| Timestamp::from_unix_ms(file.modified_ms()));
        let mut plan = Plan::new(self.shape, sink, have, &self.path, time);
        plan.beside = &self.beside;
        let mut lines = Lines::new(file, self.line_bytes_max);
        let mut end = End { lines: 0, bytes: 0, newline: false };
        let mut newline = None;
        while let Some(line) = lines.next()? {
            if newline.is_none() {
                plan.source(&self.source(*newline.insert(Newline::of(line.bytes))))?;
            }
            plan.line(&line)?;
            end.lines = line.number;
            end.bytes = end.bytes.saturating_add(u64::try_from(line.bytes.len()).unwrap_or(u64::MAX));
            end.newline = line.bytes.ends_with(b"\n");
        }
        if newline.is_none() {
            plan.source(&self.source(Newline::default()))?;
        }
        plan.end(&end)?;
        Ok(Read { told: plan.told, end: Some(end) })
    }

    fn source(&self, newline: Newline) -> Source {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (from, path) = (self.system.name().to_owned(), self.path.to_string_lossy().into_owned());
        let rows = self.inside.as_ref().map(|(name, _)| name.clone());
        let resolved = Some(spelled(&self.resolved));
        Source { from, path, resolved, name, newline: newline.as_str().to_owned(), rows }
    }

    /// Decides what is to be done, by what the store has of the key.
    pub(crate) fn decide(&self, session: Option<&Session>, file: &SourceFile) -> Result<At, Failure> {
        let Some(session) = session else { return Ok(At::New) };
        let newest = match session.generation() {
            Ok(newest) => newest,
            Err(Error::SessionNotFound { .. }) => return Ok(At::New),
            Err(error) => return Err(error.into()),
        };
        // Behind an import there may be generations of the gateway's own.
        let mut known = None;
        for generation in (1..=newest).rev() {
            known = Known::read(session, generation).map_err(|error| refused(session, generation, error))?;
            if known.is_some() {
                break;
            }
        }
        let Some(known) = known else { return Err(Failure::Refused(FindingKind::KeyTaken)) };
        if matches!(self.inside, Some((_, None))) && known.line_count() > 0 {
            // All that the registry has is there, and more.
            return Ok(At::Unchanged(known));
        }
        let compared = self.compare(file, &known)?;
        let is_ours = self.is_source_of(&known);
        let is_open = session.row()?.state != SessionState::Closed;
        if compared.is_complete {
            // A session that went on without its source knows better than what stands beside that.
            let goes_on = is_ours && is_open && known.generation == newest && !known.has_others;
            let is_news = goes_on && !facts::are_told(&self.beside, &known);
            return Ok(if is_news { At::Behind(known, compared.changed) } else { At::Unchanged(known) });
        }
        // Another file may begin with the same lines.
        if known.generation < newest || !is_ours {
            return Err(Failure::Refused(FindingKind::KeyTaken));
        }
        Ok(match (compared.is_rewritten, is_open) {
            (true, true) if known.has_others => return Err(Failure::Refused(FindingKind::Diverged)),
            (false, true) => At::Behind(known, compared.changed),
            _ => At::Next(newest.saturating_add(1)),
        })
    }

    fn is_source_of(&self, known: &Known) -> bool {
        known.source.as_ref().is_some_and(|source| {
            let path = Path::new(&source.path);
            let is_same = match &source.resolved {
                Some(resolved) => *resolved == spelled(&self.resolved),
                // What a relative path was relative to, nobody knows.
                None => path.is_absolute() && path.canonicalize().is_ok_and(|path| path == self.resolved),
            };
            // The registry may have given the key to another file since.
            let is_named = self.is_registered && source.from == self.system.name();
            is_same || is_named && source.resolved.as_deref().is_none_or(|old| self.is_beside(Path::new(old)))
        })
    }

    /// Says whether a file is of the same home: in the same folder or, of a system that has moved into a database, near that. Two
    /// homes may have the same keys.
    fn is_beside(&self, old: &Path) -> bool {
        let folder = old.parent();
        let near = folder.and_then(Path::parent).is_some_and(|near| self.resolved.starts_with(near));
        folder == self.resolved.parent() || self.inside.is_some() && near
    }

    /// Compares the source with what the store has of it.
    fn compare(&self, file: &SourceFile, known: &Known) -> Result<Compared, PathError> {
        let mut lines = Lines::new(file, self.line_bytes_max);
        let mut compared = Compared::default();
        let mut end = End { lines: 0, bytes: 0, newline: false };
        let mut long: Option<(u64, Parts)> = None;
        while let Some(line) = lines.next()? {
            let length = u64::try_from(line.bytes.len()).unwrap_or(u64::MAX);
            (end.lines, end.bytes) = (line.number, end.bytes.saturating_add(length));
            end.newline = line.bytes.ends_with(b"\n");
            if line.part.is_some() {
                let Some(old) = known.get(line.number) else { continue };
                let (number, parts) = long.get_or_insert_with(|| (line.number, Parts::default()));
                parts.add(line.bytes, &old);
                if end.newline {
                    compared.long_line(known, *number, parts);
                    long = None;
                }
                continue;
            }
            let Some(old) = known.get(line.number) else { continue };
            match known.compare(&line, &old) {
                Likeness::Same => {}
                Likeness::Longer => drop(compared.changed.insert(line.number)),
                Likeness::Other => {
                    let text = String::from_utf8_lossy(line.bytes);
                    if self.shape.rewrites(line.number, json::Object::parse(text.trim_end()).as_ref()) {
                        compared.changed.insert(line.number);
                    } else {
                        compared.is_rewritten = true;
                        break;
                    }
                }
            }
        }
        if let Some((number, parts)) = long {
            compared.long_line(known, number, &parts);
        }
        compared.is_rewritten |= end.lines < known.line_count();
        let is_same = !compared.is_rewritten && compared.changed.is_empty();
        compared.is_complete = is_same && !known.is_cut_off && known.end == Some(end);
        Ok(compared)
    }
}

/// Spells a path so that no two are spelled the same, UTF-8 or not.
fn spelled(path: &Path) -> String {
    path.to_str().map_or_else(|| path.as_os_str().as_encoded_bytes().escape_ascii().to_string(), ToOwned::to_owned)
}

/// What was found of a source in the store can not be gone on with.
pub(crate) fn refused(session: &Session, generation: u64, error: OriginalError) -> Failure {
    match error {
        OriginalError::Store(error) => Failure::Store(error),
        OriginalError::Damaged { gap } => {
            let path = session.path(Some(generation)).unwrap_or_default();
            Failure::Store(Error::Damaged { key: session.key().clone(), generation, path, gap })
        }
        OriginalError::BadRecord { seq } => Failure::Refused(FindingKind::BadImport { generation, seq }),
        _ => Failure::Refused(FindingKind::KeyTaken),
    }
}

#[derive(Default)]
struct Read {
    told: Told,
    end: Option<End>,
}

/// What is to be done with a source.
pub(crate) enum At {
    /// The key has no session.
    New,
    /// All of it is there.
    Unchanged(Known),
    /// Some of it is there; these lines in another version.
    Behind(Known, BTreeSet<u64>),
    /// It was rewritten: it becomes this generation.
    Next(u64),
}

impl At {
    fn generation(&self) -> u64 {
        match self {
            Self::New => 1,
            Self::Unchanged(known) | Self::Behind(known, _) => known.generation,
            Self::Next(generation) => *generation,
        }
    }

    fn state(&self) -> State {
        match self {
            Self::New => State::New,
            Self::Unchanged(_) => State::Unchanged,
            Self::Behind(..) => State::Grown,
            Self::Next(_) => State::NextGeneration,
        }
    }
}

#[derive(Default)]
struct Compared {
    changed: BTreeSet<u64>,
    is_rewritten: bool,
    is_complete: bool,
}

impl Compared {
    fn long_line(&mut self, known: &Known, number: u64, parts: &Parts) {
        let Some(line) = known.get(number) else { return };
        match parts.compare(&line, known.may_go_on(number)) {
            Likeness::Same if line.parts() == parts.count() || self.changed.is_empty() => {}
            // The parts of a line stand together: not so behind a line that comes before it.
            Likeness::Same | Likeness::Longer => drop(self.changed.insert(number)),
            Likeness::Other => self.is_rewritten = true,
        }
    }
}

/// Only counts: a dry run.
struct Counted(u64);

impl Sink for Counted {
    fn put(&mut self, _record: NewRecord) -> Result<Seq, Error> {
        self.0 = self.0.saturating_add(1);
        Ok(Seq::At(self.0))
    }

    fn seq(&mut self, at: Seq) -> Result<u64, Error> {
        Ok(if let Seq::At(seq) = at { seq } else { 0 })
    }
}

/// A session that is born with all of it.
struct Created<'a, 'b>(&'a mut NewSession<'b>);

impl Sink for Created<'_, '_> {
    fn put(&mut self, record: NewRecord) -> Result<Seq, Error> {
        self.0.put(&record).map(Seq::At)
    }

    fn seq(&mut self, at: Seq) -> Result<u64, Error> {
        Ok(if let Seq::At(seq) = at { seq } else { self.0.last_seq() })
    }
}

/// A session that some of it is appended to. What a mark names is written before the mark: only then its seq is certain.
struct Appended<'a> {
    session: &'a Session,
    batch: Vec<NewRecord>,
    batch_bytes: usize,
    /// Of what was put, in order, as far as it is written.
    seqs: Vec<u64>,
}

impl Appended<'_> {
    fn flush(&mut self) -> Result<(), Error> {
        self.batch_bytes = 0;
        let receipts = self.session.append_batch(std::mem::take(&mut self.batch))?;
        self.seqs.extend(receipts.iter().map(|receipt| receipt.seq));
        Ok(())
    }
}

impl Sink for Appended<'_> {
    fn put(&mut self, record: NewRecord) -> Result<Seq, Error> {
        let at = self.seqs.len().saturating_add(self.batch.len());
        self.batch_bytes = self.batch_bytes.saturating_add(record.body().len()).saturating_add(256);
        self.batch.push(record);
        if self.batch_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(Seq::Later(at))
    }

    fn seq(&mut self, at: Seq) -> Result<u64, Error> {
        match at {
            Seq::At(seq) => Ok(seq),
            Seq::Later(at) => {
                if at >= self.seqs.len() {
                    self.flush()?;
                }
                self.seqs.get(at).copied().ok_or(Error::Closed)
            }
        }
    }
}
