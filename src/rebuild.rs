//! Folding the registry again from the transcripts alone.
//!
//! Every transcript is judged whole: without its lock where nothing in it can be in doubt, else as its owner; torn tails are cut
//! and kept, damage is never touched. Transcripts that someone is writing to keep their rows and are counted as busy: their
//! owners fold them. The registry is replaced at the end. An old row stays as witness where its file falls short of it, and where the file is gone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::Error;
use crate::index::{self, How, Indexed, Settled};
use crate::key::{SessionKey, TranscriptName};
use crate::parallel::in_parallel;
use crate::registry::Rows;
use crate::store::Store;
use crate::store::listing::Left;
use crate::transcript::recover::Trust;
use crate::verify::Progress;

/// What a rebuild may do.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct RebuildOptions {
    no_truncate: bool,
    accept_loss: bool,
    jobs: usize,
}

impl RebuildOptions {
    /// Returns the defaults: torn tails are cut, witnesses of loss are kept, one job a core.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves torn tails where they are; the next append to the session cuts them.
    pub fn no_truncate(mut self, no_truncate: bool) -> Self {
        self.no_truncate = no_truncate;
        self
    }

    /// Forgets what the old registry knows of records and transcripts that are gone, after a restored backup.
    pub fn accept_loss(mut self, accept_loss: bool) -> Self {
        self.accept_loss = accept_loss;
        self
    }

    /// Sets how many transcripts are read at once; 0 (the default) stands for one a core.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }
}

/// A transcript that a rebuild has something to say about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RebuildNote {
    /// The transcript.
    pub path: PathBuf,
    /// Its key, where it is known.
    pub key: Option<SessionKey>,
    /// Its generation.
    pub generation: u64,
    /// What there is to say.
    pub outcome: RebuildOutcome,
}

/// What became of a transcript in a rebuild.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RebuildOutcome {
    /// Its torn tail was cut and kept in `quarantine/`, or (without truncation) left.
    Torn {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        bytes: u64,
        /// Whether it was cut.
        cut: bool,
    },
    /// Someone is writing to it; its row was kept.
    Busy,
    /// It is damaged, or can not be read; its old row was kept, or covers what stands before the damage.
    Failed(Error),
    /// The registry has a row for it, but the file is gone.
    RowWithoutFile {
        /// Whether the row was dropped.
        accepted: bool,
    },
}

/// What a rebuild did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Rebuilt {
    /// Transcripts looked at.
    pub sessions: u64,
    /// The caller's records in the rows written.
    pub records: u64,
    /// Rows in the new registry.
    pub rows: u64,
    /// Everything out of the ordinary, by file.
    pub notes: Vec<RebuildNote>,
}

impl Store {
    /// Folds the registry again from all transcripts and replaces it.
    ///
    /// Costs one sync of the file system and one read of every transcript; a rewrite and a sync of those that may have been
    /// left in doubt, and of all where the file system can not be synced as a whole. With the same transcripts it writes the same bytes, which are also those that
    /// [`close`](Self::close) leaves.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folder can not be listed or the registry can not be replaced; [`Error::ReadOnly`]. Whatever is
    /// wrong with one transcript is a note.
    pub fn rebuild_index(&self, options: RebuildOptions, progress: &Progress) -> Result<Rebuilt, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let layout = &inner.layout;
        layout.sync_root()?;
        let fold = inner.begin_rebuild(layout.count()?);
        let old = inner.rows()?;
        // Only now: what comes later is told to the log.
        let (locked, names) = (layout.locked_stems()?, layout.list()?);
        let stems = old.stems();
        progress.expect(names.len(), 0);
        let how = How { trust: Trust::Nothing, truncate: !options.no_truncate, accept_loss: options.accept_loss };
        let settled = Settled::sync(layout);
        // The generations of a key share a lock, so one job does them one after the other.
        let keys: Vec<_> = names.chunk_by(|a, b| a.stem == b.stem).collect();
        let parts = in_parallel(options.jobs, &keys, |_, generations| {
            let key = generations.first().and_then(|name| stems.get(&name.stem));
            let row = |name: &TranscriptName| old.get(key?, name.generation);
            let indexed = index::index_key(layout, generations, key, row, how, settled);
            for one in &indexed {
                progress.done(one.bytes);
            }
            indexed
        });
        let mut rebuilt = Rebuilt { sessions: u64::try_from(names.len()).unwrap_or(u64::MAX), ..Rebuilt::default() };
        let mut rows = Rows::default();
        let mut left = Left::default();
        let mut kept = BTreeSet::new();
        for (name, Indexed { row, busy, torn, error, .. }) in names.iter().zip(parts.into_iter().flatten()) {
            let key = stems.get(&name.stem).cloned().or_else(|| SessionKey::new(&row.as_ref()?.key).ok());
            let path = || layout.transcripts().join(name.to_string());
            if error.is_some() && layout.is_gone(&path()) {
                // Deleted since the folder was listed; if not, its row says so below.
                rebuilt.sessions = rebuilt.sessions.saturating_sub(1);
                continue;
            }
            let note = |outcome| RebuildNote { path: path(), key: key.clone(), generation: name.generation, outcome };
            let torn =
                torn.map(|torn| RebuildOutcome::Torn { offset: torn.offset, bytes: torn.bytes, cut: how.truncate });
            if (busy || error.is_some())
                && let Some(key) = &key
            {
                kept.insert((key.clone(), name.generation));
            }
            let busy = busy.then_some(RebuildOutcome::Busy);
            let note = busy.or(torn).or(error.map(RebuildOutcome::Failed)).map(note);
            let is_open = locked.contains(&name.stem) || note.is_some();
            rebuilt.notes.extend(note);
            match &key {
                Some(key) if is_open => drop(left.touched.insert((key.clone(), name.generation))),
                Some(_) => {}
                None => left.unknown = true,
            }
            left.unknown |= row.is_none();
            if let Some(row) = row {
                rows.put(row);
            }
        }
        for row in old.iter() {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if rows.get(&key, row.generation).is_some() && !kept.contains(&(key.clone(), row.generation)) {
                // Folded from its file just now.
                continue;
            }
            let path = layout.transcript(&key, row.generation);
            if layout.is_gone(&path) && !inner.graves.hold(inner, row)? {
                let accepted = options.accept_loss;
                left.unknown |= !accepted;
                if !accepted {
                    rows.put(row.clone());
                }
                let outcome = RebuildOutcome::RowWithoutFile { accepted };
                rebuilt.notes.push(RebuildNote { path, key: Some(key), generation: row.generation, outcome });
            }
        }
        rebuilt.rows = u64::try_from(rows.iter().count()).unwrap_or(u64::MAX);
        // A row without its file says what it likes.
        rebuilt.records = rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.records));
        inner.replace_rows(rows, &old, options.jobs)?;
        inner.end_rebuild(fold, &left);
        Ok(rebuilt)
    }
}
