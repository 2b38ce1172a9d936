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

mod against;
mod beside;
mod facts;
mod find;
mod finding;
mod ids;
mod inside;
mod json;
mod known;
mod lines;
mod original;
mod plan;
mod salvage;
mod shape;
mod sources;
#[cfg(feature = "import-sqlite")]
mod sqlite;
mod system;
mod times;
mod tree;
mod write;

mod claude_code;
mod codex;
mod hermes;
#[cfg(feature = "import-sqlite")]
mod hermes_db;
mod jsonl;
mod nanobot;
mod openclaw;
#[cfg(feature = "import-sqlite")]
mod openclaw_db;
mod pi;

use std::path::PathBuf;

pub use against::{Against, Compared, compare};
pub use finding::{Finding, FindingKind};
pub use original::{Original, OriginalError, write_original};
pub use salvage::Reason;
pub use system::{System, SystemError};

use crate::format::RECORD_BYTES_MAX_DEFAULT;
use crate::import::sources::{Shapes, Sources};
use crate::key::SessionKey;
use crate::parallel::in_parallel;
use crate::store::Store;
use crate::verify::Progress;

const JOBS_PER_CORE: usize = 8;

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
    /// Returns the defaults: each file is of the system that it looks like.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the system; files that look like another's are not imported.
    pub fn from(mut self, system: System) -> Self {
        self.from = Some(system);
        self
    }

    /// Sets how many files are imported at once; 0, the default, stands for eight a core: most of the time each waits for the disk.
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

    pub(crate) fn job_count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if self.jobs == 0 { cores.saturating_mul(JOBS_PER_CORE) } else { self.jobs }
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
    let Sources { jobs, findings, passed_over } = Sources::find(&shapes, paths, options, progress);
    let mut imported = Imported { findings, passed_over, ..Imported::default() };
    for (result, job) in in_parallel(options.job_count(), &jobs, |_, (job, bytes)| {
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
