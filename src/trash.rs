//! Forgetting a session when somebody says so: its transcript goes to `trash/`, or for good.
//!
//! As owner of the key's lock: a mark in `~trash` says what is to go, durably; then one rename takes the transcript to `trash/`,
//! and both folders are fsynced. At every instant the session is wholly there or wholly in the trash, and a row that still knows
//! it finds the mark. A full disk takes no mark; it takes the rename all the same, and the file in `trash/` is the witness.

use std::path::PathBuf;

use crate::error::Error;
use crate::fs::{IoContext as _, OpenMode};
use crate::key::{SessionKey, TranscriptName, TrashName};
use crate::lock::{Lock, Purpose};
use crate::mark::Mark;
use crate::record::NewRecord;
use crate::store::graves::{self, trash_key};
use crate::store::inner::{Inner, lock_error};
use crate::store::resumes::append_own;
use crate::store::{Session, Store};
use crate::timestamp::Timestamp;

/// A transcript that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The session's key.
    pub key: SessionKey,
    /// Its generation.
    pub generation: u64,
    /// The transcript's size.
    pub bytes: u64,
    /// Its name in `trash/`; `None` when it was purged.
    pub trash: Option<String>,
    /// The deletion is noted in the store. A full disk may have kept it from that; then only the file in the trash says so.
    pub noted: bool,
}

/// A transcript in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trashed {
    /// Its name in `trash/`, by which it is restored.
    pub name: String,
    /// The session's key; `None` when its header is damaged.
    pub key: Option<String>,
    /// Its generation.
    pub generation: u64,
    /// When it was deleted.
    pub deleted: Timestamp,
    /// Its size.
    pub bytes: u64,
}

/// A key whose lock we hold, and which of its generations are to go.
pub(crate) struct Doomed {
    key: SessionKey,
    pub(crate) generations: Vec<u64>,
    _lock: Lock,
}

/// A transcript on its way out.
struct Leaving<'a> {
    key: &'a SessionKey,
    generation: u64,
    path: PathBuf,
    id: Option<String>,
    bytes: u64,
    /// Its name in the trash, if it went there.
    fate: Result<Option<String>, Error>,
    noted: bool,
}

impl Session {
    /// Deletes the session: one generation, or all of them, oldest first. The transcripts go to the store's `trash/`, from
    /// where [`Store::restore`] takes them back, or with `purge` for good. The next append begins the key anew.
    ///
    /// Works on a full disk, too. Readers that have a transcript open go on reading it.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::TurnRunning`] while this store runs a turn in it, [`Error::Busy`] when somebody else
    /// writes to it: nothing was done. After [`Error::Io`] each generation is wholly there or wholly in the trash.
    pub fn delete(&self, generation: Option<u64>, purge: bool) -> Result<Vec<Deleted>, Error> {
        self.check_writable()?;
        let inner = self.store.inner();
        // Before the lock is taken: what is not there leaves no lock file.
        self.generations(generation)?;
        let mut doomed = Doomed::lock(self, inner.options.lock_wait)?;
        doomed.generations = self.generations(generation)?;
        let deleted = bury(inner, &[doomed], purge);
        // The index is a cache: whoever saves next leaves the rows out.
        inner.save_registry().ok();
        deleted.into_iter().map(|(_, _, deleted)| deleted).collect()
    }

    /// Returns the generations that have a transcript, oldest first: all of them, or the one asked for.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::TranscriptLost`] when only a row knows the session, [`Error::Io`].
    pub fn generations(&self, generation: Option<u64>) -> Result<Vec<u64>, Error> {
        let inner = self.store.inner();
        let stem = self.key().file_stem();
        let is_asked_for =
            |name: &TranscriptName| name.stem == stem && generation.is_none_or(|it| it == name.generation);
        let found: Vec<_> = inner.layout.list()?.into_iter().filter(is_asked_for).map(|name| name.generation).collect();
        if found.is_empty() {
            inner.generation(self.key(), generation).map(|generation| vec![generation])
        } else {
            Ok(found)
        }
    }
}

impl Doomed {
    pub(crate) fn is_of(&self, key: &SessionKey) -> bool {
        self.key == *key
    }

    /// Has our own writer let go, and takes the key's lock.
    pub(crate) fn lock(session: &Session, wait: std::time::Duration) -> Result<Self, Error> {
        let (inner, key) = (session.store.inner(), session.key());
        match session.release() {
            // What is in doubt goes with the transcript.
            Err(Error::Poisoned { .. }) => inner.forget_poisoned(&session.slot),
            Err(Error::WriteFailed { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        let layout = &inner.layout;
        let lock = with_room(inner, || {
            Lock::acquire(&layout.fs, &layout.lock(key), layout.file_mode, wait, Purpose::Brief)
                .map_err(|error| lock_error(key, error))
        })?;
        Ok(Self { key: key.clone(), generations: Vec::new(), _lock: lock })
    }
}

/// Deletes what is doomed, all of it with one mark each in one commit, and one fsync of each folder. Tells of each generation
/// what became of it.
pub(crate) fn bury(inner: &Inner, doomed: &[Doomed], purge: bool) -> Vec<(SessionKey, u64, Result<Deleted, Error>)> {
    let generations = |doomed: &'_ Doomed| doomed.generations.clone();
    let leave =
        |doomed| generations(doomed).into_iter().map(|generation| Leaving::look(inner, &doomed.key, generation));
    let mut leaving: Vec<_> = doomed.iter().flat_map(leave).collect();
    let noted = with_room(inner, || note(inner, &leaving, purge));
    // A disk that is full in spite of the reserve takes no mark.
    let is_noted = noted.is_ok();
    let result = noted.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) }).and_then(|()| {
        for leaving in &mut leaving {
            leaving.leave(inner, purge && is_noted);
        }
        sync_both(inner)
    });
    for leaving in &mut leaving {
        leaving.noted = is_noted;
        if let Err(error) = &result {
            leaving.fate = Err(error.clone());
        }
        if purge && !is_noted {
            leaving.purge_late(inner);
        }
        leaving.settle(inner);
    }
    inner.folder.forget();
    inner.layout.lay_reserve();
    leaving.into_iter().map(Leaving::end).collect()
}

/// Notes that these are about to be deleted.
fn note(inner: &Inner, leaving: &[Leaving<'_>], purged: bool) -> Result<(), Error> {
    inner.sync_root_once()?;
    let marks: Vec<_> = leaving.iter().filter(|it| it.fate.is_ok()).map(|it| it.mark(purged)).collect();
    if marks.is_empty() { Ok(()) } else { append_own(inner, &trash_key(), &marks) }
}

impl<'a> Leaving<'a> {
    /// Looks at what is to go.
    fn look(inner: &Inner, key: &'a SessionKey, generation: u64) -> Self {
        let path = inner.layout.transcript(key, generation);
        let stat = inner.layout.fs.stat(&path).context("stat", &path).map_err(Error::from);
        // What can not be read now may be read later: it is not deleted without saying whose it is.
        let looked = stat.and_then(|stat| Ok((stat.length_bytes, graves::header(&inner.layout, &path)?)));
        let (bytes, header, fate) = match looked {
            Ok((bytes, header)) => (bytes, header, Ok(None)),
            Err(error) => (0, None, Err(error)),
        };
        // A damaged header has no id; the row may know it.
        let id = header.map(|header| header.body.id).or_else(|| inner.row(key, generation).map(|row| row.id));
        Self { key, generation, path, id, bytes, fate, noted: false }
    }

    fn mark(&self, purged: bool) -> NewRecord {
        let (key, generation, id) = (self.key.to_string(), self.generation, self.id.clone());
        NewRecord::mark(&Mark::Deleted { key, generation, id, purged })
    }

    /// Takes the transcript away: for good if that is noted, else to the trash.
    fn leave(&mut self, inner: &Inner, for_good: bool) {
        if self.fate.is_err() {
            return;
        }
        let removed = || inner.layout.fs.remove(&self.path).context("remove", &self.path).map(|()| None);
        self.fate =
            if for_good { removed().map_err(Error::from) } else { with_room(inner, || self.to_trash(inner)).map(Some) };
    }

    fn to_trash(&self, inner: &Inner) -> Result<String, Error> {
        let (layout, trash) = (&inner.layout, inner.layout.trash());
        match layout.check_folder(&trash) {
            Err(error) if error.is_not_found() => layout.create_folder(&trash)?,
            checked => checked?,
        }
        let transcript = TranscriptName { stem: self.key.file_stem(), generation: self.generation };
        let mut name = TrashName { transcript, deleted_ms: layout.fs.now().unix_ms() };
        loop {
            let to = trash.join(name.to_string());
            match layout.fs.rename_new(&self.path, &to) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    name.deleted_ms = name.deleted_ms.saturating_add(1);
                }
                moved => {
                    moved.context("rename a transcript to", &to)?;
                    return Ok(name.to_string());
                }
            }
        }
    }

    /// Removes for good what a full disk had go to the trash first: its bytes make room for the mark. Without that its header
    /// stays there, to say what the mark would.
    fn purge_late(&mut self, inner: &Inner) {
        let Ok(Some(name)) = &self.fate else { return };
        let (fs, trash) = (&inner.layout.fs, inner.layout.trash());
        let path = trash.join(name);
        let header = graves::header(&inner.layout, &path).ok().flatten();
        let cut = fs.open(&path, OpenMode::Write).and_then(|file| {
            file.set_len(header.map_or(0, |header| header.length_bytes))?;
            file.sync_all()
        });
        let cut = cut.context("truncate", &path).map_err(Error::from);
        let noted = cut.and_then(|()| append_own(inner, &trash_key(), &[self.mark(true)]));
        self.noted = noted.is_ok();
        let removed = || fs.remove(&path).and_then(|()| fs.sync_dir(&trash)).context("remove", &path);
        match noted {
            Ok(()) => self.fate = removed().map(|()| None).map_err(Error::from),
            Err(error) if is_full(&error) => {}
            Err(error) => self.fate = Err(error),
        }
    }

    /// Has the store forget what is gone. What is still there may be lost one day, and that must not pass for this.
    fn settle(&self, inner: &Inner) {
        if self.fate.is_ok() {
            inner.forget_row(self.key, self.generation);
            inner.turns.end_generation(self.key, self.generation);
        } else if self.noted && inner.layout.fs.stat(&self.path).is_ok() {
            let (key, generation, id) = (self.key.to_string(), self.generation, self.id.clone());
            append_own(inner, &trash_key(), &[NewRecord::mark(&Mark::Restored { key, generation, id })]).ok();
        }
    }

    fn end(self) -> (SessionKey, u64, Result<Deleted, Error>) {
        let Self { key, generation, bytes, noted, fate, .. } = self;
        let deleted = fate.map(|trash| Deleted { key: key.clone(), generation, bytes, trash, noted });
        (key.clone(), generation, deleted)
    }
}

/// First the folder that has the new names.
fn sync_both(inner: &Inner) -> Result<(), Error> {
    for folder in [inner.layout.trash(), inner.layout.transcripts()] {
        match inner.layout.fs.sync_dir(&folder) {
            // A purge needs none.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            synced => synced.context("fsync folder", &folder)?,
        }
    }
    Ok(())
}

/// Tries again with the space of the reserve if the disk is full.
fn with_room<T>(inner: &Inner, action: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    match action() {
        Err(error) if is_full(&error) && inner.layout.give_up_reserve() => action(),
        done => done,
    }
}

fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let (Error::WriteFailed { source, .. } | Error::Io(source)) = error else { return false };
    matches!(source.kind(), StorageFull | QuotaExceeded)
}

impl Store {
    /// Lists the trash, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it can not be listed.
    pub fn trash(&self) -> Result<Vec<Trashed>, Error> {
        let layout = &self.inner().layout;
        let mut found = Vec::new();
        for name in graves::list(layout)? {
            let path = layout.trash().join(name.to_string());
            let key = graves::header(layout, &path).ok().flatten().map(|header| header.body.key);
            let bytes = layout.fs.stat(&path).map_or(0, |stat| stat.length_bytes);
            let deleted = Timestamp::from_unix_ms(name.deleted_ms);
            found.push(Trashed { name: name.to_string(), key, generation: name.transcript.generation, deleted, bytes });
        }
        Ok(found)
    }

    /// Takes a transcript back from the trash, by its name there. Returns its key and generation.
    ///
    /// # Errors
    ///
    /// [`Error::NotInTrash`], [`Error::HeaderDamaged`] when the file does not say whose it is, [`Error::SessionExists`] when the
    /// generation was begun anew, [`Error::Busy`]: nothing was done. After [`Error::Io`] it is wholly there or wholly in the
    /// trash.
    pub fn restore(&self, name: &str) -> Result<(SessionKey, u64), Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let layout = &inner.layout;
        let path = layout.trash().join(name);
        let not_there = || Error::NotInTrash { name: name.to_owned() };
        let parsed = TrashName::parse(name).ok_or_else(not_there)?;
        let header = match graves::header(layout, &path) {
            Ok(header) => header.ok_or_else(|| Error::HeaderDamaged { path: path.clone(), bytes: 0 })?,
            Err(Error::Io(error)) if error.is_not_found() => return Err(not_there()),
            Err(error) => return Err(error),
        };
        let generation = parsed.transcript.generation;
        let session = self.session(&header.body.key)?;
        let key = session.key();
        if (key.file_stem(), header.body.generation) != (parsed.transcript.stem, generation) {
            let (header_key, header_generation) = (header.body.key, header.body.generation);
            return Err(Error::Misfiled { path, header_key, header_generation });
        }
        let to = layout.transcript(key, generation);
        let exists = || Error::SessionExists { key: key.clone(), generation };
        if layout.fs.stat(&to).is_ok() {
            return Err(exists());
        }
        let _doomed = Doomed::lock(&session, inner.options.lock_wait)?;
        let mark = Mark::Restored { key: key.to_string(), generation, id: Some(header.body.id) };
        append_own(inner, &trash_key(), &[NewRecord::mark(&mark)])?;
        match layout.fs.rename_new(&path, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(exists()),
            renamed => renamed.context("rename from the trash to", &to)?,
        }
        let transcripts = layout.transcripts();
        layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts)?;
        layout.fs.sync_dir(&layout.trash()).context("fsync folder", &layout.trash())?;
        inner.folder.forget();
        Ok((key.clone(), generation))
    }

    /// Removes from the trash, for good, what was deleted before `before`. Returns what it was. With `dry_run` only says.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn empty_trash(&self, before: Timestamp, dry_run: bool) -> Result<Vec<Trashed>, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let old: Vec<_> = self.trash()?.into_iter().filter(|trashed| trashed.deleted < before).collect();
        if dry_run || old.is_empty() {
            return Ok(old);
        }
        self.note_unnoted(&old)?;
        let trash = inner.layout.trash();
        for trashed in &old {
            let path = trash.join(&trashed.name);
            inner.layout.fs.remove(&path).context("remove", &path)?;
        }
        inner.layout.fs.sync_dir(&trash).context("fsync folder", &trash)?;
        Ok(old)
    }

    /// Notes the deletions of which only the file in the trash says so.
    fn note_unnoted(&self, old: &[Trashed]) -> Result<(), Error> {
        let inner = self.inner();
        let mut marks = Vec::new();
        for trashed in old {
            let path = inner.layout.trash().join(&trashed.name);
            let Some(header) = graves::header(&inner.layout, &path)? else { continue };
            let (key, generation, id) = (header.body.key, header.body.generation, header.body.id);
            if !inner.graves.are_noted(inner, &key, generation, (&id, header.ts))? {
                marks.push(NewRecord::mark(&Mark::Deleted { key, generation, id: Some(id), purged: true }));
            }
        }
        if marks.is_empty() { Ok(()) } else { append_own(inner, &trash_key(), &marks) }
    }
}
