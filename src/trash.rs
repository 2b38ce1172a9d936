//! Forgetting a session when somebody says so: its transcript goes to `trash/`, or for good.
//!
//! As owner of the key's lock: a mark in `~trash` says what is to go, durably; then one rename takes the transcript to `trash/`,
//! and both folders are fsynced. At every instant the session is wholly there or wholly in the trash, and a row that still knows
//! it finds the mark. A full disk takes no mark; it takes the rename all the same, and the file in `trash/` is the witness.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::fs::{IoContext as _, OpenMode};
use crate::header::Header;
use crate::key::{SessionKey, TranscriptName, TrashName};
use crate::lock::Lock;
use crate::mark::Mark;
use crate::record::NewRecord;
use crate::store::Session;
use crate::store::graves::{self, trash_key};
use crate::store::inner::Inner;
use crate::store::resumes::append_own;
use crate::timestamp::Timestamp;
use crate::transcript::first_line;
use crate::transcript::recover::Trust;

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

/// A key whose lock we hold, and which of its generations are to go.
pub(crate) struct Doomed {
    key: SessionKey,
    pub(crate) generations: Vec<u64>,
    lock: Lock,
}

/// A transcript on its way out.
struct Leaving<'a> {
    key: &'a SessionKey,
    generation: u64,
    path: PathBuf,
    id: Option<String>,
    created: Option<Timestamp>,
    last_seq: u64,
    bytes: u64,
    /// Its name in the trash, if it went there.
    fate: Result<Option<String>, Error>,
    noted: bool,
}

impl Session {
    /// Deletes the session: one generation, or all of them, oldest first. The transcripts go to the store's `trash/`, from
    /// where [`Store::restore`](crate::Store::restore) takes them back, or with `purge` for good. The next append begins the key anew.
    ///
    /// Works on a full disk, too. Readers that have a transcript open go on reading it.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::BetweenGenerations`], [`Error::TurnRunning`] while this store runs a turn in it, [`Error::Busy`] when somebody else
    /// writes to it: nothing was done. After [`Error::Io`] each generation is wholly there or wholly in the trash.
    pub fn delete(&self, generation: Option<u64>, purge: bool) -> Result<Vec<Deleted>, Error> {
        self.check_writable()?;
        let inner = self.store.inner();
        // Before the lock is taken: what is not there leaves no lock file.
        self.generations(generation)?;
        let mut doomed = Doomed::lock(self, inner.options.lock_wait)?;
        doomed.generations = self.generations(generation)?;
        if let Some(generation) = doomed.generation_between(self)? {
            return Err(Error::BetweenGenerations { key: self.key().clone(), generation });
        }
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
    /// Returns a generation that is to go and stands between two that would stay. The newest is found by counting up from one
    /// that is known: there must be no hole.
    pub(crate) fn generation_between(&self, session: &Session) -> Result<Option<u64>, Error> {
        let all = session.generations(None)?;
        let stays = |generation: &u64| !self.generations.contains(generation);
        let (lowest, highest) = (all.iter().find(|it| stays(it)), all.iter().rfind(|it| stays(it)));
        let is_between =
            |generation: &&u64| lowest.is_some_and(|it| it < *generation) && highest.is_some_and(|it| it > *generation);
        Ok(self.generations.iter().find(is_between).copied())
    }

    pub(crate) fn is_of(&self, key: &SessionKey) -> bool {
        self.key == *key
    }

    /// Has our own writer let go, and takes the key's lock.
    pub(crate) fn lock(session: &Session, wait: Duration) -> Result<Self, Error> {
        let (inner, key) = (session.store.inner(), session.key());
        match session.release() {
            // What is in doubt goes with the transcript.
            Err(Error::Poisoned { .. }) => inner.forget_poisoned(&session.slot),
            Err(Error::WriteFailed { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        let lock = lock(inner, key, wait)?;
        Ok(Self { key: key.clone(), generations: Vec::new(), lock })
    }

    /// Something comes back of which nobody knows in what state it went: whoever opens it next recovers it first.
    pub(crate) fn doubt(&mut self) {
        self.lock.doubt();
    }
}

/// Takes a key's lock, if need be with the space of the reserve.
pub(crate) fn lock(inner: &Inner, key: &SessionKey, wait: Duration) -> Result<Lock, Error> {
    with_room(inner, || inner.lock_briefly(key, wait))
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
        let (bytes, header, mut fate) = match looked {
            Ok((bytes, header)) => (bytes, header, Ok(None)),
            Err(error) => (0, None, Err(error)),
        };
        if let Some(Header { body, .. }) =
            header.as_ref().filter(|header| !first_line::is_filed_as(header, key, generation))
        {
            let (header_key, header_generation) = (body.key.clone(), body.generation);
            fate = Err(Error::Misfiled { path: path.clone(), header_key, header_generation });
        }
        let row = inner.row(key, generation).unwrap_or_else(|error| {
            fate = Err(error);
            None
        });
        // Of a damaged session nobody knows what was the last: every row of it is about what is deleted.
        let last_seq = match inner.sound_row(key, Some(generation), Trust::Anchor) {
            Ok(now) => now.last_seq.max(row.as_ref().map_or(0, |row| row.durable_seq)),
            Err(_) => u64::MAX,
        };
        let created = header.as_ref().map(|header| header.ts);
        // A damaged header has no id; the row may know it.
        let id = header.map(|header| header.body.id).or_else(|| row.map(|row| row.id));
        Self { key, generation, path, id, created, last_seq, bytes, fate, noted: false }
    }

    fn mark(&self, purged: bool) -> NewRecord {
        let (key, generation, id) = (self.key.to_string(), self.generation, self.id.clone());
        let (created, last_seq) = (self.created, self.last_seq);
        NewRecord::mark(&Mark::Deleted { key, generation, id, created, last_seq, purged })
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
            header.map_or(Ok(()), |header| file.set_len(header.length_bytes))?;
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
            inner.forget_row(self.key, self.generation, self.id.as_deref());
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
pub(crate) fn with_room<T>(inner: &Inner, action: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    match action() {
        Err(error) if is_full(&error) && inner.layout.give_up_reserve() => action(),
        done => done,
    }
}

fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        Error::Partial { source, .. } => is_full(source),
        Error::WriteFailed { source, .. } | Error::Poisoned { source, .. } | Error::Io(source) => {
            matches!(source.kind(), StorageFull | QuotaExceeded)
        }
        _ => false,
    }
}
