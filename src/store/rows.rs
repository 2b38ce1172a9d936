//! The rows that all handles of a store share, and the registry on disk behind them.
//!
//! A small registry is read whole and saved whole. Of a large one that is proven ([`changes`]) only the rows asked for are read, and
//! only what changed is written, to the log beside it; a close folds the log in. No lock here is held across I/O that an append waits
//! for.

use std::collections::{BTreeSet, HashSet};
use std::io;

use crate::atomic::TempFile;
use crate::error::Error;
use crate::fs::{IoContext as _, Stat};
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::registry::base::Base;
use crate::registry::changes::{self, Changes, Line};
use crate::registry::merge;
use crate::registry::{RegistryState, Row, Rows};
use crate::store::inner::Inner;
use crate::sync::{MutexGuard, PoisonError};
use crate::transcript::recover;

/// The rows in memory, and what is known of those on disk.
#[derive(Debug)]
pub(crate) struct Registry {
    rows: Rows,
    /// Folded since the last save: what we know better than the file.
    folded: BTreeSet<(SessionKey, u64)>,
    /// Of these the ones that are not in the log either.
    unlogged: BTreeSet<(SessionKey, u64)>,
    /// Deleted since the last save, with their header ids.
    gone: Vec<(SessionKey, u64, String)>,
    /// What was found on disk was missing or no registry.
    unsound: bool,
    /// The file is to be replaced whatever it holds.
    replace: bool,
    /// The file that we read or wrote last.
    on_disk: Option<Stat>,
    /// Where the other rows are, until all are read.
    rest: Option<Rest>,
}

/// Rows on disk that are read when asked for.
#[derive(Debug)]
struct Rest {
    base: Base,
    /// Keys whose rows are in memory.
    learned: HashSet<SessionKey>,
}

impl Registry {
    /// Reads what there is: of a large registry that is proven, the log only.
    pub(crate) fn open(layout: &Layout) -> Result<(Self, Option<Changes>, RegistryState), Error> {
        let (fs, path) = (&*layout.fs, layout.registry());
        let on_disk = fs.stat(&path).ok();
        let mut changes = Changes::load(fs, &layout.changes());
        if let Some((rows, rest)) = changes.as_mut().and_then(|log| read_proven(layout, log)) {
            return Ok((Self::new(rows, on_disk, RegistryState::Sound, Some(rest)), changes, RegistryState::Sound));
        }
        let (mut rows, state) = Rows::load(fs, &path)?;
        // Nobody vouches for it, but a row in the log may be the later witness.
        let page = changes.iter_mut().flat_map(Changes::take_page).collect::<Vec<_>>();
        let logged = changes.into_iter().flat_map(|changes| changes.rows.into_rows());
        page.into_iter().chain(logged).for_each(|row| rows.put_later(row));
        Ok((Self::new(rows, on_disk, state, None), None, state))
    }

    fn new(rows: Rows, on_disk: Option<Stat>, state: RegistryState, rest: Option<Rest>) -> Self {
        let (folded, unlogged, gone) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        Self { rows, folded, unlogged, gone, unsound: state != RegistryState::Sound, replace: false, on_disk, rest }
    }

    fn has_unsaved(&self) -> bool {
        !self.folded.is_empty() || !self.gone.is_empty() || self.replace || self.unsound
    }

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

    /// Takes over rows from disk that we have not.
    fn learn(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            let is_gone = |(gone, generation, id): &(SessionKey, u64, String)| {
                (gone.as_str(), *generation, id) == (row.key.as_str(), row.generation, &row.id)
            };
            if !self.gone.iter().any(is_gone) {
                self.rows.put_later(row);
            }
        }
    }
}

/// The registry in memory, and what was read of the rows that are not in it.
type WithRest<'a> = (MutexGuard<'a, Registry>, Option<(Rows, RegistryState)>);

/// Returns the rows that a log has of a registry that it proves, and where the others are.
fn read_proven(layout: &Layout, changes: &mut Changes) -> Option<(Rows, Rest)> {
    let (fs, path) = (&*layout.fs, layout.registry());
    changes.holds(fs, &path, &layout.transcripts())?;
    let base = Base::open(fs, &path).ok()?;
    Some((std::mem::take(&mut changes.rows), Rest { base, learned: HashSet::new() }))
}

impl Inner {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> MutexGuard<'_, Option<Changes>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the rows of a key if they are not in memory.
    fn learn(&self, key: &SessionKey) -> Result<(), Error> {
        let base = match &self.registry().rest {
            Some(rest) if !rest.learned.contains(key) => rest.base.clone(),
            _ => return Ok(()),
        };
        let Ok(rows) = base.rows_of(key) else {
            // Not as it was saved after all.
            return self.learn_all();
        };
        let mut registry = self.registry();
        match &mut registry.rest {
            Some(rest) if rest.base.is(&base) => {
                rest.learned.insert(key.clone());
                registry.learn(rows);
                Ok(())
            }
            // Another registry has taken its place meanwhile.
            _ => {
                drop(registry);
                self.learn(key)
            }
        }
    }

    /// Reads the rows that are not in memory, if there are any; with them the registry in memory as it is then.
    fn read_rest(&self) -> Result<WithRest<'_>, Error> {
        let registry = self.registry();
        let Some(base) = registry.rest.as_ref().map(|rest| rest.base.clone()) else { return Ok((registry, None)) };
        drop(registry);
        let read = Rows::read(base.file()).context("read", &self.layout.registry())?;
        let registry = self.registry();
        if registry.rest.as_ref().is_some_and(|rest| rest.base.is(&base)) {
            return Ok((registry, Some(read)));
        }
        drop(registry);
        self.read_rest()
    }

    /// Reads all rows that are not in memory.
    pub(crate) fn learn_all(&self) -> Result<(), Error> {
        if let (mut registry, Some((rows, state))) = self.read_rest()? {
            registry.learn(rows.into_rows());
            registry.rest = None;
            registry.unsound |= state != RegistryState::Sound;
        }
        Ok(())
    }

    pub(crate) fn row(&self, key: &SessionKey, generation: u64) -> Result<Option<Row>, Error> {
        self.learn(key)?;
        Ok(self.registry().rows.get(key, generation).cloned())
    }

    /// Returns the row of the newest generation.
    pub(crate) fn newest_row(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        self.learn(key)?;
        Ok(self.registry().rows.newest(key).cloned())
    }

    /// Returns the rows of the generations behind this one; none as a rule.
    pub(crate) fn rows_behind(&self, key: &SessionKey, generation: u64) -> Result<Vec<Row>, Error> {
        self.learn(key)?;
        Ok(self.registry().rows.behind(key, generation))
    }

    /// Returns all rows. Of a large registry they do not stay in memory: a list is made now and then, a store is open for long.
    pub(crate) fn rows(&self) -> Result<Rows, Error> {
        match self.read_rest()? {
            (registry, None) => Ok(registry.rows.clone()),
            (registry, Some((mut rows, RegistryState::Sound))) => {
                registry.rows.iter().for_each(|row| rows.put_later(row.clone()));
                registry.gone.iter().for_each(|(key, generation, id)| rows.remove(key, *generation, id));
                Ok(rows)
            }
            (registry, Some(_)) => {
                drop(registry);
                self.learn_all()?;
                self.rows()
            }
        }
    }

    /// Returns those of the rows in memory that are wanted.
    pub(crate) fn rows_in_memory(&self, wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
        self.registry().rows.iter().filter(|row| wanted(row)).cloned().collect()
    }

    /// As [`Rows::latest`], of the rows in memory.
    pub(crate) fn latest_in_memory(&self, limit: usize, wanted: impl Fn(&Row) -> bool) -> (Vec<Row>, usize) {
        self.registry().rows.latest(limit, wanted)
    }

    pub(crate) fn count_in_memory(&self) -> u64 {
        u64::try_from(self.registry().rows.len()).unwrap_or(u64::MAX)
    }

    /// Says whether every row is in memory.
    pub(crate) fn knows_all(&self) -> bool {
        self.registry().rest.is_none()
    }

    /// Begins anew with a registry that another process has saved, if it is proven. What we folded since our own last save stays.
    pub(crate) fn reload(&self) -> Option<Changes> {
        let fs = &*self.layout.fs;
        let mut changes = Changes::load(fs, &self.layout.changes())?;
        let on_disk = fs.stat(&self.layout.registry()).ok();
        let (rows, rest) = read_proven(&self.layout, &mut changes)?;
        let mut registry = self.registry();
        let old = std::mem::replace(&mut registry.rows, rows);
        for (key, generation) in registry.folded.clone() {
            old.get(&key, generation).into_iter().for_each(|row| registry.rows.put_later(row.clone()));
        }
        (registry.rest, registry.on_disk) = (Some(rest), on_disk);
        // A proof that holds now was begun behind every deletion of ours: what it knows was restored, or born again.
        registry.gone.clear();
        Some(changes)
    }

    /// Takes over the rows of the log's first page.
    pub(crate) fn take_page(&self, changes: &mut Changes) {
        self.registry().learn(changes.take_page());
    }

    /// Takes over what the log has new from others: rows of sessions that they let go of.
    pub(crate) fn take_logged(&self, changes: &mut Changes) {
        let logged = std::mem::take(&mut changes.rows);
        self.registry().learn(logged.into_rows());
    }

    /// Takes over a row whose content is durable.
    pub(crate) fn fold(&self, key: &SessionKey, row: &Row) {
        let mut registry = self.registry();
        registry.rows.update(key, row);
        registry.folded.insert((key.clone(), row.generation));
        registry.unlogged.insert((key.clone(), row.generation));
        drop(registry);
        self.keeper.changed();
    }

    /// Takes out the row of a session that was deleted, if it is still that one's.
    pub(crate) fn forget_row(&self, key: &SessionKey, generation: u64, deleted: Option<&str>) {
        if self.learn(key).is_err() {
            return;
        }
        let mut registry = self.registry();
        let Some(id) = registry.rows.get(key, generation).map(|row| row.id.clone()) else { return };
        if deleted.is_some_and(|deleted| deleted != id) {
            return;
        }
        registry.rows.remove(key, generation, &id);
        registry.folded.remove(&(key.clone(), generation));
        registry.unlogged.remove(&(key.clone(), generation));
        registry.gone.push((key.clone(), generation, id));
        drop(registry);
        self.keeper.changed();
    }

    /// Returns the registry's file as it was saved or read last.
    pub(crate) fn saved_as(&self) -> Option<Stat> {
        self.registry().on_disk
    }

    /// Says whether anything is known that the registry's file does not say.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.registry().has_unsaved()
    }

    /// Returns which rows were folded since the last save.
    pub(crate) fn folded(&self) -> BTreeSet<(SessionKey, u64)> {
        self.registry().folded.clone()
    }

    /// Has the next save replace the file.
    pub(crate) fn replace_on_save(&self) {
        self.registry().replace = true;
    }

    /// Makes what changed known to other processes and to the next one: in the log where there is one, else by a whole save.
    pub(crate) fn save_registry(&self) -> Result<(), Error> {
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

    /// Says whether a transcript is exactly what its row says.
    pub(crate) fn confirms(&self, row: &Row) -> bool {
        SessionKey::new(&row.key).is_ok_and(|key| recover::agrees(&self.layout, &key, row).unwrap_or(false))
    }
}
