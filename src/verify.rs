//! The read-only report: is every transcript sound, and which command mends what is not.
//!
//! Takes no lock and writes nothing; safe beside live writers, whose moving tails are looked at twice before they are judged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use crate::damage::{Gap, Tail, TailState};
use crate::error::Error;
use crate::finding::{Finding, FindingKind, Severity};
use crate::fs::{IoContext as _, OpenMode, PathError};
use crate::index;
use crate::key::{SessionKey, TranscriptName};
use crate::parallel::fold_in_parallel;
use crate::record::Record;
use crate::registry::{RegistryState, Row};
use crate::store::Store;
use crate::store::each_row::EachRow;
use crate::store::inner::Inner;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::transcript::reader::{Reader, Records};
use crate::transcript::scan::Step;
use crate::transcript::source::{Line, Source};

/// Of one transcript. A line of a hundred bytes that was copied is a finding of several hundred: with all of them held, a report
/// would be some times the size of the file.
const FINDINGS_MAX: usize = 1000;

/// What a verification found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// Transcripts looked at.
    pub sessions: u64,
    /// Sound records in them, the store's own marks included.
    pub records: u64,
    /// Bytes looked at.
    pub bytes: u64,
    /// Everything that is not as it should be, by file and offset; of one transcript the first thousand.
    pub findings: Vec<Finding>,
    /// Findings behind the first thousand of their transcript, none of them worse than those.
    pub findings_left_out: u64,
}

impl Report {
    /// Returns the worst severity found; `None` when all is sound.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.kind.severity()).max()
    }

    fn add(&mut self, other: Self) {
        self.sessions = self.sessions.saturating_add(other.sessions);
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.findings.extend(other.findings);
        self.findings_left_out = self.findings_left_out.saturating_add(other.findings_left_out);
    }

    /// Adds a finding of the one transcript that this is the report of.
    fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out = self.findings_left_out.saturating_add(1);
        }
    }
}

/// How far a long operation is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Transcripts to go through.
    pub sessions_total: AtomicU64,
    /// Transcripts done.
    pub sessions: AtomicU64,
    /// Bytes to go through.
    pub bytes_total: AtomicU64,
    /// Bytes done.
    pub bytes: AtomicU64,
}

impl Progress {
    pub(crate) fn expect(&self, sessions: usize, bytes: u64) {
        self.sessions_total.store(u64::try_from(sessions).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.bytes_total.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn done(&self, bytes: u64) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What to verify, and how.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct VerifyOptions {
    keys: Vec<SessionKey>,
    deep: bool,
    jobs: usize,
}

impl VerifyOptions {
    /// Returns the defaults: every transcript and the registry, checksums and links, on all cores.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key: only the transcripts of the keys added, and their rows, are judged.
    pub fn key(mut self, key: SessionKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Parses the JSON of every body, too. A sound checksum proves the bytes that were validated before the append; this
    /// finds records that another program wrote.
    pub fn deep(mut self, deep: bool) -> Self {
        self.deep = deep;
        self
    }

    /// Sets how many transcripts are read at once; 0 (the default) stands for one a core.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }
}

/// Of so few transcripts the sizes are asked for beforehand, to show how far it is.
const SIZED_MAX: usize = 1000;
/// Transcripts without a row that are looked at together.
const UNKNOWN_MAX: usize = 4096;

impl Store {
    /// Judges transcripts and rows without changing anything. Costs one read of every transcript. Memory: some MiB, and 20 bytes a
    /// transcript beside what the store holds.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] for a key that has neither a transcript nor a row, [`Error::Io`] when the folder can not be
    /// listed or the registry not read. Whatever is wrong with one transcript is a finding, not an error.
    pub fn verify(&self, options: &VerifyOptions, progress: &Progress) -> Result<Report, Error> {
        let inner = self.inner();
        let look = Look { inner, options, progress };
        let mut report = if options.keys.is_empty() { look.at_all()? } else { look.at_keys()? };
        // A file's findings stand together, in its order.
        report.findings.sort_by_cached_key(Finding::rank);
        // A broken registry may have a row twice.
        let is_lost = |finding: &Finding| matches!(finding.kind, FindingKind::RowWithoutFile);
        report.findings.dedup_by(|a, b| is_lost(a) && is_lost(b) && a.path == b.path);
        Ok(report)
    }
}

/// One verification.
struct Look<'a> {
    inner: &'a Inner,
    options: &'a VerifyOptions,
    progress: &'a Progress,
}

impl Look<'_> {
    fn at_keys(&self) -> Result<Report, Error> {
        let Self { inner, options, .. } = self;
        let stems: HashMap<_, _> = options.keys.iter().map(|key| (key.file_stem(), key)).collect();
        let mut names = BTreeSet::new();
        inner.layout.each_transcript(|name| names.extend(Some(name).filter(|name| stems.contains_key(&name.stem))))?;
        let mut rows = BTreeMap::new();
        for (stem, key) in &stems {
            let of_key = inner.rows_behind(key, 0)?;
            rows.extend(
                of_key.into_iter().map(|row| (TranscriptName { stem: stem.clone(), generation: row.generation }, row)),
            );
            if !names.iter().chain(rows.keys()).any(|name| name.stem == *stem) {
                return Err(Error::SessionNotFound { key: SessionKey::clone(key), generation: None });
            }
        }
        names.extend(rows.keys().cloned());
        self.expect(names.iter(), names.len());
        let mut names = names.iter();
        Ok(self.fold(|| names.next(), |look, name| look.at(name, stems.get(&name.stem).copied(), rows.get(name))))
    }

    fn at_all(&self) -> Result<Report, Error> {
        let Self { inner, .. } = self;
        let listed = Names::list(inner)?;
        if listed.count() <= SIZED_MAX {
            self.expect(inner.layout.list()?.iter(), listed.count());
        } else {
            self.progress.expect(listed.count(), 0);
        }
        let (mut rows, mut failed) = (EachRow::new(inner)?, None);
        let next = || {
            rows.next().unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        };
        let mut report = self.fold(next, |look, row| {
            let Ok(key) = SessionKey::new(&row.key) else { return Report::default() };
            let name = TranscriptName { stem: key.file_stem(), generation: row.generation };
            if listed.tick(&name) == Tick::Again {
                return Report::default();
            }
            look.at(&name, Some(&key), Some(&row))
        });
        failed.map_or(Ok(()), Err)?;
        report.findings.extend(registry_finding(inner, rows.state()));
        if listed.left() {
            let mut names = Vec::new();
            let mut look_at = |names: &mut Vec<TranscriptName>| {
                let mut unknown = names.drain(..);
                report.add(self.fold(|| unknown.next(), |look, name| look.at(&name, None, None)));
            };
            inner.layout.each_transcript(|name| {
                if listed.tick(&name) == Tick::First {
                    names.push(name);
                }
                if names.len() == UNKNOWN_MAX {
                    look_at(&mut names);
                }
            })?;
            look_at(&mut names);
        }
        Ok(report)
    }

    /// Says how much there is to look at.
    fn expect<'a>(&self, names: impl Iterator<Item = &'a TranscriptName>, count: usize) {
        let layout = &self.inner.layout;
        let size = |name: &TranscriptName| {
            layout.fs.stat(&layout.transcripts().join(name.to_string())).map_or(0, |stat| stat.length_bytes)
        };
        self.progress.expect(count, names.map(size).fold(0, u64::saturating_add));
    }

    /// Adds up the reports of all that `next` gives.
    fn fold<T: Send>(
        &self,
        next: impl FnMut() -> Option<T> + Send,
        look_at: impl Fn(&Self, T) -> Report + Sync,
    ) -> Report {
        let reports = fold_in_parallel(self.options.jobs, next, |report: &mut Report, item| {
            let part = look_at(self, item);
            self.progress.done(part.bytes);
            report.add(part);
        });
        let mut report = Report::default();
        for part in reports {
            report.add(part);
        }
        report
    }

    /// Judges one transcript, with what the registry knows of it.
    fn at(&self, name: &TranscriptName, key: Option<&SessionKey>, row: Option<&Row>) -> Report {
        let Self { inner, options, .. } = self;
        let mut report = Report { sessions: 1, ..Report::default() };
        let path = inner.layout.transcripts().join(name.to_string());
        let new = |kind| Finding::new(kind, path.clone()).about(key, name.generation);
        let judged = open(inner, name, (key, row))
            .and_then(|(reader, key)| judge(reader, key.as_ref(), name, options.deep, &mut report));
        let finding = match judged {
            Ok(()) => return report,
            Err(error) if error.is_gone() => {
                report = Report::default();
                match row.map(|row| (row, inner.graves.hold(inner, row))) {
                    Some((row, Ok(false))) => {
                        Finding { lost: Some((0, row.durable_seq)), ..new(FindingKind::RowWithoutFile) }
                    }
                    Some((_, Err(error))) => new(FindingKind::Unreadable(error)),
                    // Deleted; one without a row while we looked.
                    Some((_, Ok(true))) | None => return report,
                }
            }
            Err(Error::UnsupportedFormat { .. }) => new(FindingKind::UnsupportedFormat),
            Err(Error::Misfiled { .. }) => new(FindingKind::Misfiled),
            Err(error) => new(FindingKind::Unreadable(error)),
        };
        // What is wrong with a header concerns its line.
        let is_header = matches!(finding.kind, FindingKind::UnsupportedFormat | FindingKind::Misfiled);
        let bytes = if is_header { first_line_bytes(inner, &path).unwrap_or(0) } else { 0 };
        report.findings.push(Finding { bytes, ..finding });
        report
    }
}

/// What ticking a name off came to.
#[derive(PartialEq, Eq)]
pub(crate) enum Tick {
    First,
    /// It was ticked off.
    Again,
    /// It was not in the folder.
    Unlisted,
}

/// The transcripts in the folder, each to be ticked off once. Of a name only a hash is kept, too long for two to be the same.
pub(crate) struct Names {
    hashers: [RandomState; 2],
    /// In order, each with whether it is ticked off.
    hashes: Vec<(u64, u64)>,
    ticked: Vec<AtomicBool>,
}

impl Names {
    pub(crate) fn list(inner: &Inner) -> Result<Self, Error> {
        let mut listed =
            Self { hashers: [RandomState::new(), RandomState::new()], hashes: Vec::new(), ticked: Vec::new() };
        let Self { hashers, hashes, .. } = &mut listed;
        inner.layout.each_transcript(|name| hashes.push(hash(hashers, &name)))?;
        hashes.sort_unstable();
        listed.ticked = listed.hashes.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(listed)
    }

    fn count(&self) -> usize {
        self.hashes.len()
    }

    /// Ticks a name off.
    pub(crate) fn tick(&self, name: &TranscriptName) -> Tick {
        let found = self.hashes.binary_search(&hash(&self.hashers, name)).ok();
        match found.and_then(|at| self.ticked.get(at)).map(|ticked| ticked.swap(true, Ordering::Relaxed)) {
            None => Tick::Unlisted,
            Some(false) => Tick::First,
            Some(true) => Tick::Again,
        }
    }

    /// Says whether any is left.
    pub(crate) fn left(&self) -> bool {
        self.ticked.iter().any(|ticked| !ticked.load(Ordering::Relaxed))
    }
}

fn hash([first, second]: &[RandomState; 2], name: &TranscriptName) -> (u64, u64) {
    (first.hash_one(name), second.hash_one(name))
}

fn registry_finding(inner: &Inner, state: RegistryState) -> Option<Finding> {
    let path = inner.layout.registry();
    match state {
        RegistryState::Missing => Some(Finding::new(FindingKind::RegistryMissing, path)),
        RegistryState::Unusable { line } => {
            let mut finding = Finding::new(FindingKind::RegistryUnusable, path);
            finding.offset = line;
            Some(finding)
        }
        RegistryState::Sound => None,
    }
}

/// What the registry knows of a transcript.
type Known<'a> = (Option<&'a SessionKey>, Option<&'a Row>);

fn first_line_bytes(inner: &Inner, path: &Path) -> Result<u64, PathError> {
    let file = inner.layout.fs.open(path, OpenMode::Read).context("open", path)?;
    Ok(Source::open(file.into(), path)?.line(0)?.next())
}

fn open(inner: &Inner, name: &TranscriptName, (key, row): Known<'_>) -> Result<(Reader, Option<SessionKey>), Error> {
    let key = match key.cloned().map_or_else(|| index::key_of(&inner.layout, name), Ok) {
        Ok(key) => Some(key),
        // The records behind a bad header are looked at all the same.
        Err(Error::HeaderDamaged { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut source = if let Some(key) = &key {
        inner.source(key, name.generation)?
    } else {
        let path = inner.layout.transcripts().join(name.to_string());
        let file = inner.layout.fs.open(&path, OpenMode::Read).context("open", &path)?;
        Source::open(file.into(), &path)?
    };
    source.expect_all();
    let reader = Reader::new(source, key.as_ref().map(|key| (key, name.generation)), row)?;
    Ok((reader, key))
}

fn judge(
    reader: Reader,
    key: Option<&SessionKey>,
    name: &TranscriptName,
    deep: bool,
    report: &mut Report,
) -> Result<(), Error> {
    let path = reader.source.path().to_owned();
    let new = |kind| Finding::new(kind, path.clone()).about(key, name.generation);
    let mut records = reader.forward(0)?;
    loop {
        match records.step()? {
            Step::Record(line, info) => {
                report.records = report.records.saturating_add(1);
                if deep && !records.is_json(&line)? {
                    let (offset, bytes) = (line.offset, line.length_bytes);
                    report.find(Finding { offset, bytes, seq: info.seq, ..new(FindingKind::NotJson) });
                }
            }
            Step::Gap(Gap { offset, bytes, expected_seq, lost, defect }) => {
                let finding = new(FindingKind::Damage(defect));
                report.find(Finding { offset, bytes, seq: expected_seq, lost, ..finding });
            }
            Step::End(Tail { offset, bytes, state }) => {
                report.bytes = report.bytes.saturating_add(offset.saturating_add(bytes));
                let kind = match state {
                    TailState::Clean | TailState::Padding => return Ok(()),
                    TailState::Unterminated => FindingKind::Unterminated,
                    TailState::Torn { .. } => FindingKind::Torn,
                };
                report.find(Finding { offset, bytes, seq: records.expected_seq(), ..new(kind) });
                return Ok(());
            }
        }
    }
}

impl Records {
    fn is_json(&mut self, line: &Line) -> Result<bool, Error> {
        let bytes = self.line_bytes(line)?;
        // What a read can not give is found, too: JSON lets an id hold half a surrogate pair, a string of ours can not.
        let record = Record::decode(&bytes, self.seed(), line.offset);
        Ok(record.is_ok_and(|record| serde_json::from_str::<serde::de::IgnoredAny>(record.line()).is_ok()))
    }
}
