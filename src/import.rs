//! Moving in: histories of other systems become sessions of a store, without the loss of a byte.
//!
//! Each line of a source becomes one record whose body is the line; its time, its place in the conversation and what it changes are
//! understood, so that lists and [`Session::context`](crate::Session::context) show what the system itself would. A line that can
//! not be a body is kept as bytes, and what can be read of it follows as records. [`write_original`] gives the source back.
//!
//! - An import can be done again: what is there is passed over, what a source has gained is appended, and a source that was
//!   rewritten becomes the next generation. A session that was not imported is never appended to.
//! - A source is only read, and not even its times change. A symbolic link below a folder is not followed.
//! - What is not as it should be is a [`Finding`], and the rest goes on.
//!
//! ```
//! use sesslog::import::{ImportOptions, import};
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("chat.jsonl"), "{\"role\":\"user\",\"content\":\"hi\"}\n")?;
//! let store = sesslog::Store::open(folder.path().join("store"))?;
//! let imported = import(&store, &[folder.path().join("chat.jsonl")], &ImportOptions::new(), &sesslog::Progress::default());
//! assert_eq!((imported.sessions.len(), imported.findings.len()), (1, 0));
//! assert_eq!(store.session("jsonl:chat")?.context()?.items.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod find;
mod finding;
mod ids;
mod json;
mod known;
mod lines;
mod original;
mod plan;
mod salvage;
mod shape;
mod system;
mod times;
mod tree;
mod write;

mod jsonl;
mod pi;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

pub use finding::{Finding, FindingKind};
pub use original::{Original, OriginalError, write_original};
pub use salvage::Reason;
pub use system::{System, SystemError};

use crate::format::RECORD_BYTES_MAX_DEFAULT;
use crate::import::find::File;
use crate::import::lines::SourceFile;
use crate::import::shape::{Peek, Shape, Verdict};
use crate::import::write::Job;
use crate::key::{KeyError, SessionKey};
use crate::parallel::in_parallel;
use crate::store::Store;
use crate::verify::Progress;

/// What the frame of a record, and the fields of a mark around a summary, may add to a line.
const FRAME_BYTES: usize = 4096;

/// What to import, and how.
#[derive(Debug, Clone)]
#[must_use]
pub struct ImportOptions {
    from: Option<System>,
    jobs: usize,
    key_prefix: Option<String>,
    record_bytes_max: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { from: None, jobs: 0, key_prefix: None, record_bytes_max: RECORD_BYTES_MAX_DEFAULT }
    }
}

impl ImportOptions {
    /// Returns the defaults: each file is of the system that it looks like, on all cores.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the system; files that look like another's are not imported.
    pub fn from(mut self, system: System) -> Self {
        self.from = Some(system);
        self
    }

    /// Sets how many files are imported at once; 0 stands for one a core.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// Sets what stands before the system's own name of a session in its key; by default `pi:` and the like, and nothing where the
    /// system is a gateway.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = Some(prefix.into());
        self
    }

    /// Sets the limit for one record that the store was opened with; a line that is longer is kept in parts.
    pub fn record_bytes_max(mut self, bytes: usize) -> Self {
        self.record_bytes_max = bytes;
        self
    }
}

/// What came of an import.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Imported {
    /// One for each source that is in the store now, in the order of the paths.
    pub sessions: Vec<ImportedSession>,
    /// What whoever moves in should know.
    pub findings: Vec<Finding>,
    /// Findings of lines beyond a thousand in a file.
    pub findings_left_out: u64,
    /// Files in folders that, by their names, are no histories.
    pub passed_over: u64,
}

/// A source that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedSession {
    /// The source, spelled as its path was given.
    pub path: PathBuf,
    /// Whose it is.
    pub system: System,
    /// The session's key.
    pub key: SessionKey,
    /// The generation that it is in.
    pub generation: u64,
    /// What was done.
    pub state: State,
    /// Lines of the source.
    pub lines: u64,
    /// Bytes of the source.
    pub bytes: u64,
    /// Records and marks that were written.
    pub records: u64,
    /// Records in the source that a user or a model sees as a part of the conversation; not counted where nothing was to be done.
    pub messages: u64,
    /// Lines that are kept as bytes.
    pub raw_lines: u64,
    /// Bytes in them.
    pub raw_bytes: u64,
    /// Records that were read of such lines.
    pub salvaged: u64,
}

/// What was done with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It is a new session.
    New,
    /// It had grown; the rest was appended.
    Grown,
    /// It was there.
    Unchanged,
    /// It had been rewritten and is the key's next generation.
    NextGeneration,
}

impl State {
    /// Returns the name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Grown => "grown",
            Self::Unchanged => "unchanged",
            Self::NextGeneration => "next-generation",
        }
    }
}

/// Imports what is below the paths. What fails is a finding; everything else is imported.
///
/// A new session costs one read of its source, one write and one fsync. Memory for each job: the longest line that may be a record.
pub fn import(store: &Store, paths: &[PathBuf], options: &ImportOptions, progress: &Progress) -> Imported {
    run(Some(store), paths, options, progress, false)
}

/// Says what [`import`] would do, to a store that is open for reading only or, without one, to an empty store. Writes nothing.
pub fn plan(store: Option<&Store>, paths: &[PathBuf], options: &ImportOptions, progress: &Progress) -> Imported {
    run(store, paths, options, progress, true)
}

fn run(
    store: Option<&Store>,
    paths: &[PathBuf],
    options: &ImportOptions,
    progress: &Progress,
    dry_run: bool,
) -> Imported {
    let shapes = Shapes::new();
    let Jobs { jobs, mut imported } = jobs(&shapes, paths, options, progress);
    for (result, job) in in_parallel(options.jobs, &jobs, |_, (job, bytes)| {
        let result = job.run(store, dry_run);
        progress.done(*bytes);
        result
    })
    .into_iter()
    .zip(&jobs)
    {
        match result {
            Ok((session, told)) => {
                imported.sessions.push(session);
                imported.findings.extend(told.findings);
                imported.findings_left_out = imported.findings_left_out.saturating_add(told.findings_left_out);
            }
            Err(failure) => imported.findings.push(Finding::new(&job.0.path, failure.kind()).key(&job.0.key)),
        }
    }
    imported
}

/// The shapes of all systems, in the order in which they are asked.
struct Shapes(Vec<(System, Box<dyn Shape>)>);

impl Shapes {
    fn new() -> Self {
        Self(System::ALL.into_iter().map(|system| (system, system.shape())).collect())
    }

    fn of(&self, wanted: System) -> Option<&dyn Shape> {
        self.0.iter().find(|(system, _)| *system == wanted).map(|(_, shape)| &**shape)
    }

    /// Tells whose file it is.
    fn judge(&self, peek: &Peek<'_>) -> Option<(System, Verdict)> {
        let verdicts = self.0.iter().map(|(system, shape)| (*system, shape.judge(peek)));
        verdicts.into_iter().find(|(_, verdict)| *verdict != Verdict::Unknown)
    }
}

/// What is to be imported, each with the size of its file.
struct Jobs<'a> {
    jobs: Vec<(Job<'a>, u64)>,
    imported: Imported,
}

/// Finds the sources below the paths, whose they are, and their keys.
fn jobs<'a>(shapes: &'a Shapes, paths: &[PathBuf], options: &ImportOptions, progress: &Progress) -> Jobs<'a> {
    let is_wanted = |name: &str| match options.from {
        Some(system) => shapes.of(system).is_some_and(|shape| shape.wants(name)),
        None => shapes.0.iter().any(|(_, shape)| shape.wants(name)),
    };
    let found = find::find(paths, &is_wanted);
    let mut imported = Imported { findings: found.findings, passed_over: found.passed_over, ..Imported::default() };
    let mut jobs: Vec<(Job<'a>, u64)> = Vec::new();
    let mut claimed: HashMap<SessionKey, usize> = HashMap::new();
    let looked = in_parallel(options.jobs, &found.files, |_, file| look(shapes, file, options.from, None));
    let mut neighbours = HashMap::new();
    for (file, looked) in found.files.iter().zip(&looked) {
        if let (Some(folder), Ok(Some(looked))) = (file.resolved.parent(), looked) {
            neighbours.entry(folder.to_owned()).or_insert(looked.system);
        }
    }
    for (file, looked) in found.files.into_iter().zip(looked) {
        let neighbour = file.resolved.parent().and_then(|folder| neighbours.get(folder)).copied();
        let looked = match looked {
            Err(FindingKind::NotAHistory) if neighbour.is_some() => look(shapes, &file, options.from, neighbour),
            looked => looked,
        };
        let looked = match looked {
            Ok(Some(looked)) => looked,
            // Another file of the system.
            Ok(None) => continue,
            Err(kind) => {
                imported.findings.push(Finding::new(file.path, kind));
                continue;
            }
        };
        let Some(shape) = shapes.of(looked.system) else { continue };
        let prefix = options.key_prefix.as_deref().unwrap_or(looked.prefix);
        let key = session_key(&format!("{prefix}{}", looked.name)).or_else(|error| {
            let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
            imported.findings.push(Finding::new(&file.path, FindingKind::KeyReplaced(error)));
            session_key(&format!("{}:{stem}", looked.system))
        });
        let key = match key {
            Ok(key) => key,
            Err(error) => {
                imported.findings.push(Finding::new(file.path, FindingKind::KeyReplaced(error)));
                continue;
            }
        };
        if let Some((first, _)) = claimed.get(&key).and_then(|at| jobs.get(*at)) {
            let kind = FindingKind::KeyClaimed { by: first.path.clone() };
            imported.findings.push(Finding::new(file.path, kind).key(&key));
            continue;
        }
        claimed.insert(key.clone(), jobs.len());
        let line_bytes_max = options.record_bytes_max.saturating_sub(FRAME_BYTES);
        let File { path, resolved, .. } = file;
        jobs.push((Job { path, resolved, system: looked.system, shape, key, line_bytes_max }, looked.bytes));
    }
    let bytes = jobs.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    progress.sessions_total.store(u64::try_from(jobs.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    progress.bytes_total.store(bytes, Ordering::Relaxed);
    Jobs { jobs, imported }
}

fn session_key(text: &str) -> Result<SessionKey, KeyError> {
    SessionKey::new(text).and_then(|key| if key.is_reserved() { Err(KeyError::Reserved) } else { Ok(key) })
}

/// What a look at a file told.
struct Looked {
    system: System,
    prefix: &'static str,
    name: String,
    bytes: u64,
}

/// Tells whose session a file is; `None` if it is another file of the system.
///
/// What says nothing of itself, empty or damaged from its beginning, is taken for a file of the system asked for, else of the one
/// that another file in its folder is of, if its name fits.
fn look(
    shapes: &Shapes,
    file: &File,
    from: Option<System>,
    neighbour: Option<System>,
) -> Result<Option<Looked>, FindingKind> {
    let source = SourceFile::open(&file.resolved).map_err(FindingKind::Unreadable)?;
    let peek = Peek::of(&file.resolved, &source).map_err(FindingKind::Unreadable)?;
    let own = from.and_then(|from| Some((from, shapes.of(from)?.judge(&peek))));
    let judged = own.filter(|(_, verdict)| *verdict != Verdict::Unknown).or_else(|| shapes.judge(&peek));
    let (system, verdict) = match (judged, from.or(neighbour)) {
        (Some((system, _)), Some(wanted)) if system != wanted && system != System::Jsonl => {
            return Err(FindingKind::OtherSystem(system));
        }
        (Some((system, verdict)), wanted) if wanted.is_none_or(|wanted| wanted == system) => (system, verdict),
        (None, Some(wanted)) if shapes.of(wanted).is_some_and(|shape| shape.wants(&peek.name())) => {
            (wanted, Verdict::Session)
        }
        _ => return Err(FindingKind::NotAHistory),
    };
    let looked = shapes.of(system).filter(|_| verdict == Verdict::Session).map(|shape| {
        let (prefix, name) = shape.key(&peek);
        Looked { system, prefix, name, bytes: source.length_bytes() }
    });
    Ok(looked)
}
