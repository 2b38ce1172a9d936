//! The read-only report: is every transcript sound, and which command mends what is not.
//!
//! Takes no lock and writes nothing; safe beside live writers, whose moving tails are looked at twice before they are judged.

use std::path::{Path, PathBuf};

use crate::damage::{Defect, Gap, Tail, TailState};
use crate::error::Error;
use crate::fs::{IoContext as _, OpenMode, PathError};
use crate::index;
use crate::key::{SessionKey, TranscriptName};
use crate::parallel::in_parallel;
use crate::record::Record;
use crate::registry::{RegistryState, Row};
use crate::store::Store;
use crate::store::inner::Inner;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::transcript::reader::{Reader, Records};
use crate::transcript::scan::Step;
use crate::transcript::source::{Line, Source};

/// What a finding is about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FindingKind {
    /// Promised bytes of a transcript are bad or missing.
    Damage(Defect),
    /// Bytes at a transcript's end that were never promised; the next open for writing cuts them.
    Torn,
    /// The last record lacks its newline; the next open for writing adds it.
    Unterminated,
    /// A sound record's body or id is not JSON (`deep` only): it was written by another program.
    NotJson,
    /// The transcript's header is of an unknown format.
    UnsupportedFormat,
    /// The transcript's header names another session than its file.
    Misfiled,
    /// The transcript can not be read.
    Unreadable(Error),
    /// The registry has a row whose transcript is gone.
    RowWithoutFile,
    /// There is no registry.
    RegistryMissing,
    /// Some line of the registry is not a row.
    RegistryUnusable,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Heals by itself at the next open or save; nothing that was acknowledged is affected.
    Heals,
    /// Could not be judged.
    Failed,
    /// Acknowledged records may be lost or unreadable.
    Damage,
}

impl FindingKind {
    /// Returns the name that reports and JSON output use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Damage(defect) => defect.name(),
            Self::Torn => "torn",
            Self::Unterminated => "unterminated",
            Self::NotJson => "not-json",
            Self::UnsupportedFormat => "unsupported-format",
            Self::Misfiled => "misfiled",
            Self::Unreadable(_) => "unreadable",
            Self::RowWithoutFile => "row-without-file",
            Self::RegistryMissing => "registry-missing",
            Self::RegistryUnusable => "registry-unusable",
        }
    }

    /// Returns how bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Damage(_) | Self::NotJson | Self::Misfiled | Self::RowWithoutFile => Severity::Damage,
            Self::UnsupportedFormat | Self::Unreadable(_) => Severity::Failed,
            Self::Torn | Self::Unterminated | Self::RegistryMissing | Self::RegistryUnusable => Severity::Heals,
        }
    }
}

/// One thing that is not as it should be, and what mends it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The session's key, where it is known.
    pub key: Option<SessionKey>,
    /// Its generation.
    pub generation: Option<u64>,
    /// The file.
    pub path: PathBuf,
    /// Where in the file, in bytes (for the registry: the line).
    pub offset: u64,
    /// The record expected there.
    pub seq: u64,
    /// How many bytes are concerned.
    pub bytes: u64,
    /// First and last record lost to it.
    pub lost: Option<(u64, u64)>,
}

impl Finding {
    fn new(kind: FindingKind, path: PathBuf) -> Self {
        Self { kind, key: None, generation: None, path, offset: 0, seq: 0, bytes: 0, lost: None }
    }

    fn about(mut self, key: Option<&SessionKey>, generation: u64) -> Self {
        self.key = key.cloned();
        self.generation = Some(generation);
        self
    }

    /// Returns what mends it: a `sessctl` command, or words where no command does.
    pub fn mend(&self) -> String {
        let repair = || match (&self.key, self.generation) {
            (Some(key), Some(generation)) => {
                let dashes = if key.as_str().starts_with('-') { "-- " } else { "" };
                format!("sessctl repair --generation {generation} {dashes}{}", shell_quoted(key.as_str()))
            }
            _ => "sessctl repair KEY, with the key that this file belongs to".to_owned(),
        };
        match &self.kind {
            FindingKind::Damage(_) => repair(),
            FindingKind::Torn
            | FindingKind::Unterminated
            | FindingKind::RegistryMissing
            | FindingKind::RegistryUnusable => "sessctl rebuild-index".to_owned(),
            FindingKind::RowWithoutFile => {
                "restore the file from a backup, or: sessctl rebuild-index --accept-loss".to_owned()
            }
            FindingKind::Misfiled => "give the file back the name that its header stands for".to_owned(),
            FindingKind::UnsupportedFormat => "use the version of sessctl that wrote it".to_owned(),
            FindingKind::NotJson => "sessctl show, to look at the record".to_owned(),
            FindingKind::Unreadable(_) => "make the file readable, then verify again".to_owned(),
        }
    }
}

/// Quotes a key for a POSIX shell where it needs it.
fn shell_quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._-/@+,=%".contains(&byte);
    if text.bytes().all(plain) && !text.starts_with('-') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

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

impl Store {
    /// Judges transcripts and rows without changing anything. Costs one read of every transcript.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`] for a key that has neither a transcript nor a row, [`Error::Io`] when the folder can not be
    /// listed. Whatever is wrong with one transcript is a finding, not an error.
    pub fn verify(&self, options: &VerifyOptions, progress: &Progress) -> Result<Report, Error> {
        let inner = self.inner();
        let mut names = inner.layout.list()?;
        let rows = inner.rows()?;
        let stems = rows.stems();
        let mut report = Report::default();
        if options.keys.is_empty() {
            report.findings.extend(registry_finding(inner));
        } else {
            let wanted: Vec<_> = options.keys.iter().map(SessionKey::file_stem).collect();
            names.retain(|name| wanted.contains(&name.stem));
            for (key, stem) in options.keys.iter().zip(&wanted) {
                if rows.newest(key).is_none() && !names.iter().any(|name| name.stem == *stem) {
                    return Err(Error::SessionNotFound { key: key.clone(), generation: None });
                }
            }
        }
        let wanted_key = |stem: &str| options.keys.iter().find(|key| key.file_stem() == stem);
        let is_wanted = |row: &&Row| options.keys.is_empty() || options.keys.iter().any(|key| key.as_str() == row.key);
        for row in rows.iter().filter(is_wanted) {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            let path = inner.layout.transcript(&key, row.generation);
            if inner.layout.is_gone(&path) && !inner.graves.hold(inner, row)? {
                let mut finding = Finding::new(FindingKind::RowWithoutFile, path).about(Some(&key), row.generation);
                finding.lost = Some((0, row.durable_seq));
                report.findings.push(finding);
            }
        }
        let size = |name: &TranscriptName| {
            let path = inner.layout.transcripts().join(name.to_string());
            inner.layout.fs.stat(&path).map_or(0, |stat| stat.length_bytes)
        };
        let sizes: Vec<u64> = names.iter().map(size).collect();
        progress.expect(names.len(), sizes.iter().fold(0, |sum, size| sum.saturating_add(*size)));
        let parts = in_parallel(options.jobs, &names, |at, name| {
            let key = wanted_key(&name.stem).or_else(|| stems.get(&name.stem));
            let row = key.and_then(|key| rows.get(key, name.generation));
            let part = verify_one(inner, name, (key, row), options.deep);
            progress.done(sizes.get(at).copied().unwrap_or(0));
            part
        });
        for part in parts {
            report.add(part);
        }
        Ok(report)
    }
}

fn registry_finding(inner: &Inner) -> Option<Finding> {
    let path = inner.layout.registry();
    match inner.registry_state {
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

fn verify_one(inner: &Inner, name: &TranscriptName, known: Known<'_>, deep: bool) -> Report {
    let mut report = Report { sessions: 1, ..Report::default() };
    let path = inner.layout.transcripts().join(name.to_string());
    let judged =
        open(inner, name, known).and_then(|(reader, key)| judge(reader, key.as_ref(), name, deep, &mut report));
    if let Err(error) = judged {
        let kind = match error {
            Error::UnsupportedFormat { .. } => FindingKind::UnsupportedFormat,
            Error::Misfiled { .. } => FindingKind::Misfiled,
            // Pruned while we looked.
            error if error.is_gone() => return Report::default(),
            error => FindingKind::Unreadable(error),
        };
        // What is wrong with a header concerns its line.
        let is_header = matches!(kind, FindingKind::UnsupportedFormat | FindingKind::Misfiled);
        let bytes = if is_header { first_line_bytes(inner, &path).unwrap_or(0) } else { 0 };
        report.findings.push(Finding { bytes, ..Finding::new(kind, path).about(known.0, name.generation) });
    }
    report
}

fn first_line_bytes(inner: &Inner, path: &Path) -> Result<u64, PathError> {
    let file = inner.layout.fs.open(path, OpenMode::Read).context("open", path)?;
    let length_bytes = file.stat().context("stat", path)?.length_bytes;
    Ok(Source::new(file.into(), path, length_bytes, false).line(0)?.next())
}

fn open(inner: &Inner, name: &TranscriptName, (key, row): Known<'_>) -> Result<(Reader, Option<SessionKey>), Error> {
    let key = match key.cloned().map_or_else(|| index::key_of(&inner.layout, name), Ok) {
        Ok(key) => Some(key),
        // The records behind a bad header are looked at all the same.
        Err(Error::HeaderDamaged { .. }) => None,
        Err(error) => return Err(error),
    };
    if let Some(key) = key {
        return Ok((inner.reader_with(&key, name.generation, row)?, Some(key)));
    }
    let path = inner.layout.transcripts().join(name.to_string());
    let file = inner.layout.fs.open(&path, OpenMode::Read).context("open", &path)?;
    let reader = Reader::new(file.into(), &path, None, None)?;
    Ok((reader, None))
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
