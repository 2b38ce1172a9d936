//! What all handles of one store share: the rows, the slots, the list of open writers.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::Error;
use crate::fs::{FsFile, IoContext as _, OpenMode, Stat};
use crate::index::{self, Indexed};
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::lock::{Lock, LockError, Purpose};
use crate::mark::Mark;
use crate::registry::{RegistryState, Row, Rows};
use crate::status::SessionState;
use crate::store::committers::Committers;
use crate::store::folder::{self, Folder};
use crate::store::graves::Graves;
use crate::store::job::Job;
use crate::store::keeper::Keeper;
use crate::store::resumes::{self, Start};
use crate::store::slot::Slot;
use crate::store::turns::Turns;
use crate::store::{Flushed, Listed, Options};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Instant, Mutex, MutexGuard, PoisonError};
use crate::transcript::reader::Reader;
use crate::transcript::recover::{self, Judgement, Trust};
use crate::transcript::writer::Writer;

/// The store behind its handles.
#[derive(Debug)]
pub(crate) struct Inner {
    /// For the keeper, which must not keep the store alive.
    pub(crate) me: Weak<Self>,
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    pub(crate) registry_state: RegistryState,
    pub(crate) folder: Folder,
    pub(crate) graves: Graves,
    read_only: bool,
    registry: Mutex<Registry>,
    /// One save at a time.
    saving: Mutex<()>,
    slots: Mutex<HashMap<SessionKey, Weak<Slot>>>,
    /// Slots with an open or a poisoned writer.
    open: Mutex<Vec<Arc<Slot>>>,
    closed: AtomicBool,
    root_synced: AtomicBool,
    started: Instant,
    pub(crate) keeper: Keeper,
    pub(crate) committers: Committers,
    /// Bytes of records that were submitted and are not answered.
    pub(crate) queued_bytes: AtomicU64,
    pub(crate) turns: Turns,
    /// Set once this process has noted its start.
    start: Mutex<Option<Start>>,
}

/// The rows in memory, and what is known of those on disk.
#[derive(Debug)]
struct Registry {
    rows: Rows,
    /// Folded since the last save: what we know better than the file.
    folded: BTreeSet<(SessionKey, u64)>,
    /// Deleted since the last save, with their header ids.
    gone: Vec<(SessionKey, u64, String)>,
    /// What was found on disk was missing or no registry.
    unsound: bool,
    /// The file is to be replaced whatever it holds.
    replace: bool,
    /// The file that we read or wrote last.
    on_disk: Option<Stat>,
}

/// A generation that is to be made.
pub(crate) struct Unborn {
    pub(crate) generation: u64,
    pub(crate) lock: Lock,
    /// The generation before it, which a reset closed.
    pub(crate) closed: Option<Box<Row>>,
}

/// A session opened for writing.
pub(crate) enum Opened {
    /// Its writer, and the mark that says what recovery cut.
    Writer(Box<Writer>, Option<Mark>),
    /// The next append makes a generation.
    Absent(Unborn),
}

impl Inner {
    pub(crate) fn new(layout: Layout, options: Options, read_only: bool) -> Result<Arc<Self>, Error> {
        let on_disk = layout.fs.stat(&layout.registry()).ok();
        let (rows, registry_state) = Rows::load(&*layout.fs, &layout.registry())?;
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            layout,
            options,
            registry_state,
            folder: Folder::default(),
            graves: Graves::default(),
            read_only,
            registry: Mutex::new(Registry {
                rows,
                folded: BTreeSet::new(),
                gone: Vec::new(),
                unsound: registry_state != RegistryState::Sound,
                replace: false,
                on_disk,
            }),
            saving: Mutex::new(()),
            slots: Mutex::default(),
            open: Mutex::default(),
            closed: AtomicBool::new(false),
            root_synced: AtomicBool::new(false),
            started: Instant::now(),
            keeper: Keeper::default(),
            committers: Committers::default(),
            queued_bytes: AtomicU64::new(0),
            turns: Turns::default(),
            start: Mutex::default(),
        }))
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn start(&self) -> MutexGuard<'_, Option<Start>> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SessionKey, Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the store was opened.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn slot(&self, key: &SessionKey) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(key).and_then(Weak::upgrade) {
            return slot;
        }
        if slots.len() == slots.capacity() {
            // Before the map grows: handles that were dropped leave their entry behind.
            slots.retain(|_, slot| slot.strong_count() > 0);
        }
        let slot = Arc::new(Slot::new(key.clone()));
        slots.insert(key.clone(), Arc::downgrade(&slot));
        slot
    }

    // --- rows

    pub(crate) fn row(&self, key: &SessionKey, generation: u64) -> Option<Row> {
        self.registry().rows.get(key, generation).cloned()
    }

    pub(crate) fn rows(&self) -> Rows {
        self.registry().rows.clone()
    }

    /// Takes over a row whose content is durable.
    pub(crate) fn fold(&self, key: &SessionKey, row: &Row) {
        let mut registry = self.registry();
        registry.rows.update(key, row);
        registry.folded.insert((key.clone(), row.generation));
        drop(registry);
        self.keeper.changed();
    }

    /// Takes out the row of a session that was deleted, if it is still that one's.
    pub(crate) fn forget_row(&self, key: &SessionKey, generation: u64, deleted: Option<&str>) {
        let mut registry = self.registry();
        let Some(id) = registry.rows.get(key, generation).map(|row| row.id.clone()) else { return };
        if deleted.is_some_and(|deleted| deleted != id) {
            return;
        }
        registry.rows.remove(key, generation, &id);
        registry.folded.remove(&(key.clone(), generation));
        registry.gone.push((key.clone(), generation, id));
        drop(registry);
        self.keeper.changed();
    }

    /// Saves the rows if they changed: what other processes saved is merged row by row, then the file is replaced. Outside of
    /// every session's lock, and without fsync.
    pub(crate) fn save_registry(&self) -> Result<(), Error> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_foreign_rows()?;
        let path = self.layout.registry();
        let saved = {
            let registry = self.registry();
            if registry.folded.is_empty() && registry.gone.is_empty() && !registry.replace && !registry.unsound {
                return Ok(());
            }
            registry.rows.clone()
        };
        saved.save(&*self.layout.fs, &path, self.layout.file_mode)?;
        let mut registry = self.registry();
        registry.on_disk = self.layout.fs.stat(&path).ok();
        (registry.replace, registry.unsound) = (false, false);
        // What was folded meanwhile waits for the next save.
        let Registry { rows, folded, gone, .. } = &mut *registry;
        folded.retain(|(key, generation)| rows.get(key, *generation) != saved.get(key, *generation));
        gone.retain(|(key, generation, id)| saved.get(key, *generation).is_some_and(|row| row.id == *id));
        Ok(())
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
    pub(crate) fn replace_rows(&self, mut rows: Rows, old: &Rows) -> Result<(), Error> {
        let mut registry = self.registry();
        for row in registry.rows.iter() {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if old.get(&key, row.generation) != Some(row) {
                rows.put(row.clone());
            }
        }
        registry.rows = rows;
        registry.replace = true;
        drop(registry);
        self.save_registry()
    }

    /// Says whether a transcript is exactly what its row says.
    fn confirms(&self, row: &Row) -> bool {
        SessionKey::new(&row.key).is_ok_and(|key| recover::agrees(&self.layout, &key, row).unwrap_or(false))
    }

    // --- looking

    /// Returns the generation asked for, or the newest, if it exists.
    pub(crate) fn generation(&self, key: &SessionKey, generation: Option<u64>) -> Result<u64, Error> {
        let found = if let Some(generation) = generation {
            let found = folder::exists(&self.layout, key, generation)?.then_some(generation);
            if found.is_none() {
                self.check_not_lost(key, self.row(key, generation))?;
            }
            found
        } else {
            let row = self.registry().rows.newest(key).cloned();
            let newest = self.folder.newest(&self.layout, key, row.as_ref())?;
            self.check_newest(key, newest)?;
            newest
        };
        found.ok_or_else(|| Error::SessionNotFound { key: key.clone(), generation })
    }

    /// Looks for rows of generations behind the newest that has a transcript.
    fn check_newest(&self, key: &SessionKey, newest: Option<u64>) -> Result<(), Error> {
        let rows = self.registry().rows.behind(key, newest.unwrap_or(0));
        rows.into_iter().try_for_each(|row| self.check_not_lost(key, Some(row)))
    }

    /// A row whose transcript is gone is the witness of a loss, unless somebody deleted it: without it an append would begin
    /// anew as if nothing had been.
    fn check_not_lost(&self, key: &SessionKey, row: Option<Row>) -> Result<(), Error> {
        let Some(row) = row else { return Ok(()) };
        let (generation, last_seq) = (row.generation, row.last_seq);
        if self.graves.hold(self, &row)? {
            self.forget_row(key, generation, Some(&row.id));
            return Ok(());
        }
        if folder::exists(&self.layout, key, generation)? {
            // Somebody took it back from the trash just now.
            return Ok(());
        }
        let path = self.layout.transcript(key, generation);
        Err(Error::TranscriptLost { key: key.clone(), generation, path, last_seq })
    }

    pub(crate) fn open_transcript(&self, key: &SessionKey, generation: u64) -> Result<Arc<dyn FsFile>, Error> {
        let path = self.layout.transcript(key, generation);
        match self.layout.fs.open(&path, OpenMode::Read).context("open", &path) {
            Ok(file) => Ok(file.into()),
            Err(error) if error.is_not_found() => {
                Err(Error::SessionNotFound { key: key.clone(), generation: Some(generation) })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn reader(&self, key: &SessionKey, generation: u64) -> Result<Reader, Error> {
        let path = self.layout.transcript(key, generation);
        let row = self.row(key, generation);
        let file = self.open_transcript(key, generation)?;
        Reader::new(file, &path, Some((key, generation)), row.as_ref())
    }

    /// Returns a row that agrees with its transcript, reading what the one we have does not cover. Writes nothing; what is
    /// not durable yet is in it.
    pub(crate) fn current_row(&self, key: &SessionKey, generation: Option<u64>) -> Result<Row, Error> {
        let generation = self.generation(key, generation)?;
        self.judge(key, generation, Trust::Anchor).map(|judged| judged.row)
    }

    /// Returns a current row if the transcript can be written to: behind damage may stand a mark.
    pub(crate) fn sound_row(&self, key: &SessionKey, generation: Option<u64>, trust: Trust) -> Result<Row, Error> {
        let generation = self.generation(key, generation)?;
        let judged = self.judge(key, generation, trust)?;
        match judged.damage {
            Some(gap) => Err(recover::damaged(key, generation, &self.layout.transcript(key, generation), gap)),
            None => Ok(judged.row),
        }
    }

    /// Returns the generation that a new transcript of the key would be.
    pub(crate) fn unborn_generation(&self, key: &SessionKey) -> Result<u64, Error> {
        match self.generation(key, None) {
            Err(error) if error.is_not_found() => Ok(1),
            Err(error) => Err(error),
            Ok(generation) if self.judge(key, generation, Trust::Anchor)?.row.state == SessionState::Closed => {
                Ok(generation.saturating_add(1))
            }
            Ok(generation) => Err(Error::SessionExists { key: key.clone(), generation }),
        }
    }

    fn judge(&self, key: &SessionKey, generation: u64, trust: Trust) -> Result<Judgement, Error> {
        let file = self.open_transcript(key, generation)?;
        let path = self.layout.transcript(key, generation);
        let row = self.row(key, generation);
        recover::judge(&file, &path, key, generation, row.as_ref(), trust, false)
    }

    pub(crate) fn sessions(&self) -> Result<Vec<Listed>, Error> {
        let keys = self.rows().stems();
        let mut listed = Vec::new();
        for name in self.layout.list()? {
            let known = keys.get(&name.stem);
            let row = known.and_then(|key| self.row(key, name.generation));
            if let Some(row) = row.filter(|row| self.confirms(row)) {
                listed.push(Listed::Session(row));
                continue;
            }
            let path = self.layout.transcripts().join(name.to_string());
            let found = known.cloned().map_or_else(|| index::key_of(&self.layout, &name), Ok);
            match found.and_then(|key| self.current_row(&key, Some(name.generation))) {
                Ok(row) => listed.push(Listed::Session(row)),
                // Pruned while we looked.
                Err(error) if error.is_gone() => {}
                Err(error) => listed.push(Listed::Unreadable { path, error }),
            }
        }
        for row in self.rows().iter() {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if let Err(error @ Error::TranscriptLost { .. }) = self.generation(&key, Some(row.generation)) {
                let path = self.layout.transcript(&key, row.generation);
                listed.push(Listed::Unreadable { path, error });
            }
        }
        Ok(listed)
    }

    // --- writing

    /// Takes the session's lock and opens its newest generation, or says which one is to be made.
    pub(crate) fn open_writer(&self, slot: &Slot) -> Result<Opened, Error> {
        self.make_room();
        let key = &slot.key;
        let lock = Lock::acquire(
            &self.layout.fs,
            &self.layout.lock(key),
            self.layout.file_mode,
            self.options.lock_wait,
            Purpose::Append,
        )
        .map_err(|error| lock_error(key, error))?;
        self.sync_root_once()?;
        let row = self.registry().rows.newest(key).cloned();
        let newest = self.folder.newest(&self.layout, key, row.as_ref())?;
        self.check_newest(key, newest)?;
        let opened = match newest {
            None => Opened::Absent(Unborn { generation: 1, lock, closed: None }),
            Some(generation) => {
                let row = row.filter(|row| row.generation == generation).or_else(|| self.row(key, generation));
                let recovered = recover::recover(&self.layout, key, generation, row.as_ref(), Trust::Anchor)?;
                if recovered.row.state == SessionState::Closed {
                    self.fold(key, &recovered.row);
                    Opened::Absent(Unborn {
                        generation: generation.saturating_add(1),
                        lock,
                        closed: Some(Box::new(recovered.row)),
                    })
                } else {
                    let path = self.layout.transcript(key, generation);
                    let recover::Recovered { file, header, row, mark, .. } = recovered;
                    Opened::Writer(Box::new(Writer::resume(&self.layout, file, path, lock, header.crc, row)?), mark)
                }
            }
        };
        let mut open = self.open();
        if !open.iter().any(|open| open.key == slot.key) {
            open.extend(self.slots().get(key).and_then(Weak::upgrade));
        }
        drop(open);
        self.keeper.start(self);
        Ok(opened)
    }

    /// Takes a key's lock for one thing to be done, not to append.
    pub(crate) fn lock_briefly(&self, key: &SessionKey, wait: Duration) -> Result<Lock, Error> {
        let layout = &self.layout;
        Lock::acquire(&layout.fs, &layout.lock(key), layout.file_mode, wait, Purpose::Brief)
            .map_err(|error| lock_error(key, error))
    }

    /// The process that made the store may have died before it made the names durable.
    pub(crate) fn sync_root_once(&self) -> Result<(), Error> {
        if !self.root_synced.load(Ordering::Acquire) {
            self.layout.sync_root()?;
            self.root_synced.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Closes the session that is idle for the longest when too many are open.
    fn make_room(&self) {
        loop {
            let mut idle = self.open().clone();
            if idle.len() < self.options.open_writers_max {
                return;
            }
            // Cached: the key of a slot in use changes while it is sorted.
            idle.sort_by_cached_key(|slot| slot.last_used_ms());
            // One that is in use, or that fails, stays open: more descriptors are better than a blocked append.
            if !idle.iter().any(|slot| slot.release_if_idle(self).unwrap_or(false)) {
                return;
            }
        }
    }

    /// Seals and closes the sessions that nobody wrote to for a while.
    pub(crate) fn release_idle(&self, idle_for: Duration) {
        let idle_ms = u64::try_from(idle_for.as_millis()).unwrap_or(u64::MAX);
        let deadline = self.now_ms().saturating_sub(idle_ms);
        let open = self.open().clone();
        for slot in open.iter().filter(|slot| slot.last_used_ms() <= deadline) {
            // A failure poisons the session, and its next append says so.
            slot.release_if_idle(self).ok();
        }
    }

    /// Takes a closed session out of the list of open ones.
    pub(crate) fn writer_closed(&self, slot: &Slot) {
        self.open().retain(|open| open.key != slot.key);
    }

    pub(crate) fn forget_poisoned(&self, slot: &Slot) {
        slot.forget_poisoned(self);
    }

    pub(crate) fn flush(&self) -> Result<Flushed, Error> {
        self.check_writable()?;
        let mut flushed = Flushed::default();
        let open = self.open().clone();
        for slot in open.iter().filter(|slot| slot.has_unsynced()) {
            match slot.flush(self) {
                Ok(0) => {}
                Ok(_) => flushed.sessions = flushed.sessions.saturating_add(1),
                Err(error) => flushed.failures.push((slot.key.clone(), error)),
            }
        }
        Ok(flushed)
    }

    /// Brings the rows up to date with every transcript: those of other processes, those of a registry that was lost.
    /// Not those of the `poisoned`: nothing of ours touches their files before somebody asks for that.
    fn index_stale(&self, poisoned: &[String]) -> Result<(), Error> {
        let rows = self.rows();
        let keys = rows.stems();
        for name in self.layout.list()?.into_iter().filter(|name| !poisoned.contains(&name.stem)) {
            let key = keys.get(&name.stem);
            let row = key.and_then(|key| rows.get(key, name.generation));
            if row.is_none_or(|row| !self.confirms(row))
                && let Indexed { row: Some(row), .. } = index::index(&self.layout, &name, key, row, index::How::CLOSE)
                && let Ok(key) = SessionKey::new(&row.key)
            {
                self.fold(&key, &row);
            }
        }
        for row in rows.iter() {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if !folder::exists(&self.layout, &key, row.generation)? && self.graves.hold(self, row)? {
                self.forget_row(&key, row.generation, Some(&row.id));
            }
        }
        Ok(())
    }

    pub(crate) fn close(&self) -> Result<Flushed, Error> {
        let mut flushed = Flushed::default();
        // A stop is clean once everything is durable; what is appended beside a close is not its business.
        if self.check_writable().is_ok() && resumes::has_noted_start(self) {
            let early = self.flush()?;
            flushed.sessions = early.sessions;
            if early.failures.is_empty()
                && let Err(error) = resumes::note_stop(self)
            {
                flushed.failures.push((resumes::store_key(), error));
            }
        }
        if self.read_only || self.closed.swap(true, Ordering::AcqRel) {
            return Ok(flushed);
        }
        self.keeper.stop();
        let open = std::mem::take(&mut *self.open());
        let mut poisoned = Vec::new();
        for slot in open {
            let had_unsynced = slot.has_unsynced();
            match slot.submit(self, Job::Release) {
                Ok(_) => flushed.sessions = flushed.sessions.saturating_add(usize::from(had_unsynced)),
                Err(error) => {
                    if matches!(error, Error::Poisoned { .. }) {
                        poisoned.push(slot.key.file_stem());
                    }
                    flushed.failures.push((slot.key.clone(), error));
                }
            }
        }
        // What other processes know first: a loss that somebody accepted is no finding of ours.
        let saved = self.save_registry().and_then(|()| self.index_stale(&poisoned)).and_then(|()| self.save_registry());
        flushed.registry = saved.err();
        Ok(flushed)
    }
}

fn lock_error(key: &SessionKey, error: LockError) -> Error {
    match error {
        LockError::Busy(holder) => Error::Busy { key: key.clone(), holder },
        LockError::Io(error) => Error::Io(error),
    }
}
