//! The rows that all handles of a store share, and the registry on disk behind them.
//!
//! A small registry is read whole and saved whole. Of a large one that is proven ([`changes`]) only the rows asked for are read, and
//! only what changed is written, to the log beside it; a close folds the log in. No lock here is held across I/O that an append waits
//! for.

use std::collections::{BTreeSet, HashSet};

use crate::error::Error;
use crate::fs::{IoContext as _, Stat};
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::registry::base::Base;
use crate::registry::changes::Changes;
use crate::registry::lines::{Lines, REGISTRY_BYTES_MAX};
use crate::registry::{RegistryState, Row, Rows};
use crate::store::inner::Inner;
use crate::sync::{MutexGuard, PoisonError};
use crate::transcript::recover;

/// The rows in memory, and what is known of those on disk.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) rows: Rows,
    /// Folded since the last save: what we know better than the file.
    pub(super) folded: BTreeSet<(SessionKey, u64)>,
    /// Of these the ones that are not in the log either.
    pub(super) unlogged: BTreeSet<(SessionKey, u64)>,
    /// Deleted since the last save, with their header ids.
    pub(super) gone: Vec<(SessionKey, u64, String)>,
    /// What was found on disk.
    pub(super) state: RegistryState,
    /// That was missing or no registry.
    pub(super) unsound: bool,
    /// The file is to be replaced whatever it holds.
    pub(super) replace: bool,
    /// The file that we read or wrote last.
    pub(super) on_disk: Option<Stat>,
    /// Where the other rows are, until all are read.
    pub(super) rest: Option<Rest>,
}

/// Rows on disk that are read when asked for.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) base: Base,
    /// Every line of it is the row that belongs there: a row that is looked for is found, or is not there.
    pub(super) checked: bool,
    /// Keys whose rows are in memory.
    pub(super) learned: HashSet<SessionKey>,
}

impl Rest {
    fn new(base: Base, checked: bool) -> Self {
        Self { base, checked, learned: HashSet::new() }
    }
}

impl Registry {
    /// Reads what there is: of a large registry that is proven, the log only; also of one that has so many bytes and that nobody
    /// will write to.
    pub(crate) fn open(layout: &Layout, unread_from: Option<u64>) -> Result<(Self, Option<Changes>), Error> {
        let (fs, path) = (&*layout.fs, layout.registry());
        let on_disk = fs.stat(&path).ok();
        let mut changes = Changes::load(fs, &layout.changes());
        if let Some((rows, rest)) = changes.as_mut().and_then(|log| read_proven(layout, log)) {
            return Ok((Self::new(rows, on_disk, RegistryState::Sound, Some(rest)), changes));
        }
        let is_unread =
            |stat: &Stat| unread_from.is_some_and(|from| (from..=REGISTRY_BYTES_MAX).contains(&stat.length_bytes));
        let rest = on_disk.filter(is_unread).and_then(|_| Some(Rest::new(Base::open(fs, &path).ok()?, false)));
        let (mut rows, state) = match rest {
            Some(_) => (Rows::default(), RegistryState::Sound),
            None => Rows::load(fs, &path)?,
        };
        // Nobody vouches for it, but a row in the log may be the later witness.
        let page = changes.iter_mut().flat_map(Changes::take_page).collect::<Vec<_>>();
        let logged = changes.into_iter().flat_map(|changes| changes.rows.into_rows());
        page.into_iter().chain(logged).for_each(|row| rows.put_later(row));
        Ok((Self::new(rows, on_disk, state, rest), None))
    }

    fn new(rows: Rows, on_disk: Option<Stat>, state: RegistryState, rest: Option<Rest>) -> Self {
        let (folded, unlogged, gone) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let unsound = state != RegistryState::Sound;
        Self { rows, folded, unlogged, gone, state, unsound, replace: false, on_disk, rest }
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.folded.is_empty() || !self.gone.is_empty() || self.replace || self.unsound
    }

    /// Takes over rows from disk that we have not.
    fn learn(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            if !self.is_gone(&row) {
                self.rows.put_later(row);
            }
        }
    }

    fn is_gone(&self, row: &Row) -> bool {
        let is_it = |(gone, generation, id): &(SessionKey, u64, String)| {
            (gone.as_str(), *generation, id) == (row.key.as_str(), row.generation, &row.id)
        };
        self.gone.iter().any(is_it)
    }
}

/// The registry in memory, and what was read of the rows that are not in it.
type WithRest<'a> = (MutexGuard<'a, Registry>, Option<(Rows, RegistryState)>);

/// Returns the rows that a log has of a registry that it proves, and where the others are.
fn read_proven(layout: &Layout, changes: &mut Changes) -> Option<(Rows, Rest)> {
    let (fs, path) = (&*layout.fs, layout.registry());
    changes.holds(fs, &path, &layout.transcripts())?;
    let base = Base::open(fs, &path).ok()?;
    Some((std::mem::take(&mut changes.rows), Rest::new(base, true)))
}

impl Inner {
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> MutexGuard<'_, Option<Changes>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the rows of a key if they are not in memory.
    pub(super) fn learn(&self, key: &SessionKey) -> Result<(), Error> {
        let (base, checked) = match &self.registry().rest {
            Some(rest) if !rest.learned.contains(key) => (rest.base.clone(), rest.checked),
            _ => return Ok(()),
        };
        if !checked {
            self.check_rest(&base)?;
            return self.learn(key);
        }
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

    /// Looks whether rows can be looked up in a registry that nobody vouches for; if not, reads them all.
    fn check_rest(&self, base: &Base) -> Result<(), Error> {
        let path = self.layout.registry();
        let mut lines = Lines::new(base.file()).context("read", &path)?;
        while lines.next_rows(base.file()).context("read", &path)?.is_some() {}
        if lines.state() != RegistryState::Sound {
            return self.learn_all();
        }
        if let Some(rest) = self.registry().rest.as_mut().filter(|rest| rest.base.is(base)) {
            rest.checked = true;
        }
        Ok(())
    }

    /// Returns what was found on disk when the store was opened.
    pub(crate) fn registry_state(&self) -> Result<RegistryState, Error> {
        let unchecked = self.registry().rest.as_ref().filter(|rest| !rest.checked).map(|rest| rest.base.clone());
        unchecked.map_or(Ok(()), |base| self.check_rest(&base))?;
        Ok(self.registry().state)
    }

    /// Returns the rows in memory, and the registry's file if others are to be read from it.
    pub(crate) fn rows_and_base(&self) -> (Rows, Option<Base>) {
        let registry = self.registry();
        (registry.rows.clone(), registry.rest.as_ref().map(|rest| rest.base.clone()))
    }

    /// Says whether a row was taken out for a deletion.
    pub(crate) fn is_row_gone(&self, row: &Row) -> bool {
        self.registry().is_gone(row)
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
            if registry.rest.take().is_some_and(|rest| !rest.checked) {
                registry.state = state;
            }
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

    /// Says whether a transcript is exactly what its row says.
    pub(crate) fn confirms(&self, row: &Row) -> bool {
        SessionKey::new(&row.key).is_ok_and(|key| recover::agrees(&self.layout, &key, row).unwrap_or(false))
    }
}
