//! What all handles of one store share: the rows, the slots, the list of open writers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::Error;
use crate::fs::{FsFile, IoContext as _, OpenMode};
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::lock::{Lock, LockError, Purpose};
use crate::mark::Mark;
use crate::registry::Row;
use crate::registry::changes::Changes;
use crate::status::SessionState;
use crate::store::committers::Committers;
use crate::store::folder::{self, Folder};
use crate::store::graves::Graves;
use crate::store::job::Job;
use crate::store::keeper::Keeper;
use crate::store::resumes::{self, Start};
use crate::store::rows::Registry;
use crate::store::settle::FOLD_WAIT;
use crate::store::slot::Slot;
use crate::store::turns::Turns;
use crate::store::{Flushed, Options};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Instant, Mutex, MutexGuard, PoisonError};
use crate::transcript::reader::Reader;
use crate::transcript::recover::{self, Judgement, Trust};
use crate::transcript::source::Source;
use crate::transcript::writer::Writer;

/// The store behind its handles.
#[derive(Debug)]
pub(crate) struct Inner {
    /// For the keeper, which must not keep the store alive.
    pub(crate) me: Weak<Self>,
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    pub(crate) folder: Folder,
    pub(crate) graves: Graves,
    read_only: bool,
    pub(crate) registry: Mutex<Registry>,
    /// The log beside the registry, as far as it was read; `None` where nothing is proven by it.
    pub(crate) changes: Mutex<Option<Changes>>,
    /// One save at a time.
    pub(crate) saving: Mutex<()>,
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
        // What is written to is merged with what others saved, and saved whole: of that nothing is left unread.
        let unread_from = read_only.then_some(options.registry_log_from);
        let (registry, changes) = Registry::open(&layout, unread_from)?;
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            layout,
            options,
            folder: Folder::default(),
            graves: Graves::default(),
            read_only,
            registry: Mutex::new(registry),
            changes: Mutex::new(changes),
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

    // --- looking

    /// Returns the generation asked for, or the newest, if it exists.
    pub(crate) fn generation(&self, key: &SessionKey, generation: Option<u64>) -> Result<u64, Error> {
        let found = if let Some(generation) = generation {
            let found = folder::exists(&self.layout, key, generation)?.then_some(generation);
            if found.is_none() {
                self.check_not_lost(key, self.row(key, generation)?)?;
            }
            found
        } else {
            let row = self.newest_row(key)?;
            let newest = self.folder.newest(&self.layout, key, row.as_ref(), || self.newest_told(key))?;
            self.check_newest(key, newest)?;
            newest
        };
        found.ok_or_else(|| Error::SessionNotFound { key: key.clone(), generation })
    }

    /// Looks for rows of generations behind the newest that has a transcript.
    fn check_newest(&self, key: &SessionKey, newest: Option<u64>) -> Result<(), Error> {
        let rows = self.rows_behind(key, newest.unwrap_or(0))?;
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

    /// Opens a transcript to be read.
    pub(crate) fn source(&self, key: &SessionKey, generation: u64) -> Result<Source, Error> {
        let file = self.open_transcript(key, generation)?;
        Ok(Source::open(file, &self.layout.transcript(key, generation))?)
    }

    pub(crate) fn reader(&self, key: &SessionKey, generation: u64) -> Result<Reader, Error> {
        let row = self.row(key, generation)?;
        Reader::new(self.source(key, generation)?, Some((key, generation)), row.as_ref())
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
        let row = self.row(key, generation)?;
        recover::judge(&file, &path, key, generation, row.as_ref(), trust, false)
    }

    // --- writing

    /// Takes the session's lock and opens its newest generation, or says which one is to be made.
    pub(crate) fn open_writer(&self, slot: &Slot) -> Result<Opened, Error> {
        self.make_room();
        let key = &slot.key;
        let mut lock = Lock::acquire(
            &self.layout.fs,
            &self.layout.lock(key),
            self.layout.file_mode,
            self.options.lock_wait,
            Purpose::Append,
        )
        .map_err(|error| lock_error(key, error))?;
        self.sync_root_once()?;
        let row = self.newest_row(key)?;
        let newest = self.folder.newest(&self.layout, key, row.as_ref(), || self.newest_told(key))?;
        self.check_newest(key, newest)?;
        let opened = match newest {
            None => Opened::Absent(Unborn { generation: 1, lock, closed: None }),
            Some(generation) => {
                let row = match row.filter(|row| row.generation == generation) {
                    Some(row) => Some(row),
                    None => self.row(key, generation)?,
                };
                self.touch(key, generation);
                let recovered = recover::recover_newest(&self.layout, key, generation, row.as_ref(), &mut lock)?;
                if recovered.row.state == SessionState::Closed {
                    self.fold(key, &recovered.row);
                    self.let_go(&recovered.row);
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

    /// Returns the keys that nothing of ours touches before somebody asks for that.
    pub(crate) fn poisoned(&self) -> Vec<SessionKey> {
        let open = self.open().clone();
        open.iter().filter(|slot| slot.is_poisoned()).map(|slot| slot.key.clone()).collect()
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
                        poisoned.push(slot.key.clone());
                    }
                    flushed.failures.push((slot.key.clone(), error));
                }
            }
        }
        flushed.registry = self.settle(&poisoned, FOLD_WAIT).err();
        Ok(flushed)
    }
}

fn lock_error(key: &SessionKey, error: LockError) -> Error {
    match error {
        LockError::Busy(holder) => Error::Busy { key: key.clone(), holder },
        LockError::Io(error) => Error::Io(error),
    }
}
