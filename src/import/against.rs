//! The proof that a move lost nothing: every byte of the sources, against what the store gives back of them.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::error::Error;
use crate::import::finding::{Finding, FindingKind};
use crate::import::known::Known;
use crate::import::lines::SourceFile;
use crate::import::original::{OriginalError, write_lines};
use crate::import::sources::{Shapes, Sources};
use crate::import::write::{Failure, Job, refused};
use crate::import::{ImportOptions, System};
use crate::key::SessionKey;
use crate::parallel::in_parallel;
use crate::store::{Session, Store};
use crate::verify::Progress;

/// What came of a comparison.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Compared {
    /// The sources of which every byte is in the store.
    pub kept: Vec<Against>,
    /// The others, and what could not be compared.
    pub findings: Vec<Finding>,
    /// Files in folders that, by their names, are no histories.
    pub passed_over: u64,
}

/// A source that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Against {
    /// The source, spelled as its path was given.
    pub path: PathBuf,
    /// Whose it is.
    pub system: System,
    /// The session's key.
    pub key: SessionKey,
    /// The generation that holds it.
    pub generation: u64,
    /// Its size.
    pub bytes: u64,
}

/// Says of each source below the paths whether every byte of it is in the store. The options must be those of the import. Changes
/// nothing; takes no lock.
pub fn compare(store: &Store, paths: &[PathBuf], options: &ImportOptions, progress: &Progress) -> Compared {
    let shapes = Shapes::new();
    let Sources { jobs, findings, passed_over } = Sources::find(&shapes, paths, options, progress);
    let mut compared = Compared { findings, passed_over, ..Compared::default() };
    let results = in_parallel(options.jobs, &jobs, |_, (job, bytes)| {
        let result = against(store, job);
        progress.done(*bytes);
        result
    });
    for (result, (job, _)) in results.into_iter().zip(&jobs) {
        match result {
            Ok(Ok(kept)) => compared.kept.push(kept),
            Ok(Err(finding)) => compared.findings.push(finding.key(&job.key)),
            Err(failure) => compared.findings.push(Finding::new(&job.path, failure.kind()).key(&job.key)),
        }
    }
    compared
}

/// Compares one source with the generation that holds it; if none does, with the newest that was imported.
fn against(store: &Store, job: &Job<'_>) -> Result<Result<Against, Finding>, Failure> {
    let (file, _) = job.open()?;
    let session = store.session(job.key.as_str())?;
    let newest = match session.generation() {
        Ok(newest) => newest,
        Err(Error::SessionNotFound { .. }) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut first = None;
    for generation in (1..=newest).rev() {
        if Known::source_of(&session, generation).map_err(|error| refused(&session, generation, error))?.is_none() {
            continue;
        }
        match same(&session, generation, &file)? {
            None => {
                let (path, system, key) = (job.path.clone(), job.system, job.key.clone());
                return Ok(Ok(Against { path, system, key, generation, bytes: file.length_bytes() }));
            }
            Some(found) => first = first.or(Some(found)),
        }
    }
    let (kind, offset) = first.unwrap_or((FindingKind::NotImported, 0));
    // Where an import would refuse, it is no help.
    let kind = match job.decide(Some(&session), &file) {
        Ok(_) => kind,
        Err(Failure::Refused(kind)) => kind,
        Err(failure) => return Err(failure),
    };
    let mut finding = Finding::new(&job.path, kind);
    (finding.offset, finding.bytes) = (offset, file.length_bytes().saturating_sub(offset));
    Ok(Err(finding))
}

/// Says how the source differs from a generation, and from where on.
fn same(session: &Session, generation: u64, file: &SourceFile) -> Result<Option<(FindingKind, u64)>, Failure> {
    let mut compare = Compare { file, buffer: Vec::new(), at: 0, failed: None, differs: None };
    let written = write_lines(session, generation, &mut compare);
    if let Some(error) = compare.failed {
        return Err(Failure::Source(error));
    }
    if let Some(at) = compare.differs {
        return Ok(Some((FindingKind::Differs, at)));
    }
    let at = compare.at;
    match written {
        Ok(_) if at == file.length_bytes() => Ok(None),
        Ok(_) | Err(OriginalError::Unfinished) => Ok(Some((FindingKind::Missing, at))),
        Err(error) => Err(refused(session, generation, error)),
    }
}

/// Reads the source along with what is written.
struct Compare<'a> {
    file: &'a SourceFile,
    buffer: Vec<u8>,
    at: u64,
    failed: Option<crate::fs::PathError>,
    differs: Option<u64>,
}

impl Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.resize(bytes.len(), 0);
        let count = match self.file.read_at(&mut self.buffer, self.at) {
            Ok(count) => count,
            Err(error) => {
                self.failed = Some(error);
                return Err(io::ErrorKind::Other.into());
            }
        };
        let same = self.buffer.iter().take(count).zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
        self.at = self.at.saturating_add(u64::try_from(same).unwrap_or(u64::MAX));
        if same < count || count == 0 && !bytes.is_empty() {
            self.differs = Some(self.at);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
