//! Saving the registry: to the log beside it, merged into a large one that is proven, or whole.
//!
//! Outside of every session's lock, and without fsync. One save at a time.

use std::collections::BTreeSet;
use std::io;

use crate::atomic::TempFile;
use crate::error::Error;
use crate::fs::{IoContext as _, Stat};
use crate::key::SessionKey;
use crate::registry::base::Base;
use crate::registry::changes::{self, Changes, Line};
use crate::registry::merge;
use crate::registry::{RegistryState, Rows};
use crate::store::inner::Inner;
use crate::store::rows::Registry;
use crate::sync::PoisonError;
use crate::telemetry;

impl Registry {
    /// Returns the keys of which the registry's file does not say what we do.
    fn unsaved(&self) -> impl Iterator<Item = &SessionKey> {
        self.folded.iter().map(|(key, _)| key).chain(self.gone.iter().map(|(key, ..)| key))
    }

    /// Notes what was saved. What was folded meanwhile waits for the next save.
    fn note_saved(&mut self, saved: &Rows, stat: Stat) {
        self.on_disk = Some(stat);
        (self.replace, self.unsound) = (false, false);
        let Self { rows, folded, unlogged, gone, .. } = self;
        folded.retain(|(key, generation)| rows.get(key, *generation) != saved.get(key, *generation));
        unlogged.retain(|session| folded.contains(session));
        gone.retain(|(key, generation, id)| saved.get(key, *generation).is_some_and(|row| row.id == *id));
    }
}

impl Inner {
    /// Makes what changed known to other processes and to the next one: in the log where there is one, else by a whole save.
    pub(crate) fn save_registry(&self) -> Result<(), Error> {
        telemetry::span!("save_registry");
        if self.changes().is_none() {
            return self.save_whole();
        }
        if self.log_open_rows() {
            return Ok(());
        }
        *self.changes() = None;
        self.save_whole()
    }

    /// Logs the rows of sessions that are written to: as witnesses, no more, so they stay touched.
    fn log_open_rows(&self) -> bool {
        let mut registry = self.registry();
        let unlogged = std::mem::take(&mut registry.unlogged);
        let with_row = |(key, number)| Some((registry.rows.get(&key, number)?.clone(), key));
        let open: Vec<_> = unlogged.into_iter().filter_map(with_row).collect();
        drop(registry);
        let both = open.iter().flat_map(|(row, key)| [Line::Row(row), Line::Touched(key, row.generation)]);
        self.log(&changes::encode(both))
    }

    /// Saves the rows if they changed, whole.
    pub(crate) fn save_whole(&self) -> Result<(), Error> {
        self.save_whole_by(1)
    }

    /// Saves the rows if they changed: what other processes saved is merged row by row, then the file is replaced. Outside of
    /// every session's lock, and without fsync.
    fn save_whole_by(&self, jobs: usize) -> Result<(), Error> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.learn_all()?;
        self.take_foreign_rows()?;
        let path = self.layout.registry();
        let saved = {
            let registry = self.registry();
            if !registry.has_unsaved() {
                return Ok(());
            }
            registry.rows.clone()
        };
        let stat = saved.save(&*self.layout.fs, &path, self.layout.file_mode, jobs)?;
        self.registry().note_saved(&saved, stat);
        Ok(())
    }

    /// Saves the rows over a registry that is proven to be as we know it: what is not in memory is copied, not read. `false` where
    /// that is not to be had and they have to be saved whole.
    pub(crate) fn save_merged(&self) -> Result<bool, Error> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        // All others in memory are as the registry has them: they were read from it, or stood on the log's first page.
        let mut changed: BTreeSet<_> =
            self.changes().iter().flat_map(Changes::news).map(|(key, _)| key.clone()).collect();
        let (saved, base) = loop {
            let registry = self.registry();
            let Some(rest) = &registry.rest else { return Ok(false) };
            let new: Vec<_> = registry.unsaved().filter(|key| !changed.contains(*key)).cloned().collect();
            if new.is_empty() && changed.iter().all(|key| rest.learned.contains(key)) {
                break (registry.rows.clone(), rest.base.clone());
            }
            drop(registry);
            changed.extend(new);
            changed.iter().try_for_each(|key| self.learn(key))?;
        };
        let (fs, path) = (&*self.layout.fs, self.layout.registry());
        let temp = TempFile::create(fs, &path, self.layout.file_mode)?;
        match merge::merge(&base, &changed, &saved, &*temp.file) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
            merged => merged.context("write", &temp.path)?,
        }
        let stat = temp.replace(&path)?.stat().context("stat", &path)?;
        let merged = Base::open(fs, &path).context("open", &path)?;
        let mut registry = self.registry();
        registry.note_saved(&saved, stat);
        if let Some(rest) = registry.rest.as_mut().filter(|rest| rest.base.is(&base) && merged.was(&stat)) {
            rest.base = merged;
        }
        Ok(true)
    }

    /// Merges the file into our rows if somebody else replaced it.
    ///
    /// Of the rows that we did not fold since our last save the file knows better, also that they are gone: somebody may have
    /// accepted a loss. A file that is missing or no registry knows nothing. The caller is the only one who saves.
    fn take_foreign_rows(&self) -> Result<(), Error> {
        let path = self.layout.registry();
        let stat = self.layout.fs.stat(&path).ok();
        let (ours, folded) = {
            let registry = self.registry();
            if registry.replace || stat == registry.on_disk {
                return Ok(());
            }
            (registry.rows.clone(), registry.folded.clone())
        };
        let (theirs, state) = Rows::load(&*self.layout.fs, &path)?;
        let mut merged;
        let mut lacking = Vec::new();
        if state == RegistryState::Sound {
            merged = theirs;
            merged.merge(&ours, folded.iter(), |row| self.confirms(row));
            // Who saved at the same time as we did may not have seen our rows. One that its transcript confirms was not taken out
            // for a loss.
            lacking.extend(ours.identities().filter(|(key, generation)| {
                let row = ours.get(key, *generation).filter(|_| merged.get(key, *generation).is_none());
                row.is_some_and(|row| self.confirms(row))
            }));
            lacking
                .iter()
                .filter_map(|(key, generation)| ours.get(key, *generation))
                .for_each(|row| merged.put(row.clone()));
        } else {
            merged = ours.clone();
            let unknown: Vec<_> =
                theirs.identities().filter(|(key, generation)| ours.get(key, *generation).is_none()).collect();
            merged.merge(&theirs, unknown.iter(), |row| self.confirms(row));
        }
        let mut registry = self.registry();
        // What was folded while we merged is newer than both.
        for (key, generation) in &registry.folded {
            if let Some(row) = registry.rows.get(key, *generation).filter(|row| ours.get(key, *generation) != Some(row))
            {
                merged.put(row.clone());
            }
        }
        for (key, generation, id) in &registry.gone {
            merged.remove(key, *generation, id);
        }
        registry.folded.extend(lacking);
        registry.rows = merged;
        registry.on_disk = stat;
        registry.unsound |= state != RegistryState::Sound;
        Ok(())
    }

    /// Replaces all rows by those of a rebuild and saves them. Rows that a writer of ours folded meanwhile stay: `old` is what
    /// the rebuild began with.
    pub(crate) fn replace_rows(&self, mut rows: Rows, old: &Rows, jobs: usize) -> Result<(), Error> {
        let mut registry = self.registry();
        for row in registry.rows.iter() {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if old.get(&key, row.generation) != Some(row) {
                rows.put(row.clone());
            }
        }
        registry.rows = rows;
        (registry.replace, registry.rest) = (true, None);
        drop(registry);
        self.save_whole_by(jobs)
    }
}
