//! A session that is made whole: for an import, and for a fork.
//!
//! One temp file, one fsync, one rename that replaces nothing: after a crash it is there with all its records or not at all.

use std::collections::HashMap;

use crate::atomic::TempFile;
use crate::error::Error;
use crate::fs::{IoContext as _, PathError};
use crate::header::Parent;
use crate::key::SessionKey;
use crate::record::{Head, NewRecord};
use crate::store::Session;
use crate::store::inner::Inner;
use crate::store::marks::check_mark;
use crate::store::settle::Birth;
use crate::timestamp::Timestamp;
use crate::transcript::whole::NewFile;
use crate::transcript::writer::Midwife as _;

/// A session on its way: what [`Session::create`] hands out to be filled. Nobody sees it before it is whole.
pub struct NewSession<'a> {
    file: NewFile<'a>,
    key: &'a SessionKey,
    generation: u64,
    now: Timestamp,
    record_bytes_max: usize,
    ids: HashMap<String, u64>,
    /// The temp file is not what was put.
    broken: Option<Error>,
}

impl std::fmt::Debug for NewSession<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, generation, .. } = self;
        f.debug_struct("NewSession").field("key", key).field("generation", generation).finish_non_exhaustive()
    }
}

impl NewSession<'_> {
    /// Puts a record, or a mark made by [`NewRecord::state`] or [`NewRecord::summary`], behind the others, and returns its seq.
    ///
    /// Memory: about 1 MiB in all, and the ids.
    ///
    /// # Errors
    ///
    /// [`Error::Record`] when it is too large, [`Error::IdReused`] when another one has its id, [`Error::BeyondHistory`] when a
    /// mark names a record that is not there: it was not put, and others can be. After [`Error::Io`] there will be no session.
    pub fn put(&mut self, record: &NewRecord) -> Result<u64, Error> {
        record.check_size(self.record_bytes_max)?;
        check_mark(self.key, self.generation, record, self.last_seq())?;
        let seq = self.last_seq().saturating_add(1);
        if let Some(id) = record.id_json() {
            if let Some(&seq) = self.ids.get(id) {
                return Err(Error::IdReused { key: self.key.clone(), generation: self.generation, seq });
            }
            self.ids.insert(id.to_owned(), seq);
        }
        self.fill(|file, now| Ok(file.put_record(record, now)?))?;
        Ok(seq)
    }

    /// Writes to the temp file. Whoever passes over a failure gets no session for it.
    pub(crate) fn fill(
        &mut self,
        write: impl FnOnce(&mut NewFile<'_>, Timestamp) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.broken.is_none() {
            self.broken = write(&mut self.file, self.now).err();
        }
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Returns the seq of the last record that was put; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.file.row().last_seq
    }

    /// Returns the generation that it will be.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl Session {
    /// Makes the session with the records that `fill` puts, all of them durable when this returns: a first generation, or the one
    /// behind a reset. When `fill` fails there is no session.
    ///
    /// Costs one write of the records, one fsync of their file and one of the folder. The session's lock is held meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::SessionExists`], [`Error::Busy`], what `fill` returns: nothing was made. After [`Error::Io`] the session is there
    /// whole or not at all.
    ///
    /// ```
    /// use sesslog::{Error, NewRecord, Store};
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path())?;
    /// let head = store.session("pi:0199")?.create(|new| {
    ///     new.put(&NewRecord::json(r#"{"role":"user","content":"hi"}"#)?)?;
    ///     new.put(&NewRecord::json(r#"{"role":"assistant","content":"hello"}"#)?)?;
    ///     Ok::<(), Error>(())
    /// })?;
    /// assert_eq!((head.generation, head.seq), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create<E: From<Error>>(&self, fill: impl FnOnce(&mut NewSession<'_>) -> Result<(), E>) -> Result<Head, E> {
        self.check_writable()?;
        self.slot.release_if_idle(self.store.inner())?;
        self.store.inner().create(self.key(), None, fill)
    }
}

impl Inner {
    /// Makes the next generation of a key that is open to one, as [`Session::create`] says.
    pub(crate) fn create<E: From<Error>>(
        &self,
        key: &SessionKey,
        parent: Option<Parent>,
        fill: impl FnOnce(&mut NewSession<'_>) -> Result<(), E>,
    ) -> Result<Head, E> {
        let layout = &self.layout;
        let mut lock = self.lock_briefly(key, self.options.lock_wait)?;
        let generation = self.unborn_generation(key)?;
        self.sync_root_once()?;
        let path = layout.transcript(key, generation);
        let birth = Birth { inner: self, key, generation };
        let temp = birth.alone(|| TempFile::create(&*layout.fs, &path, layout.file_mode)).map_err(Error::from)?;
        let now = layout.fs.now();
        let file = NewFile::begin(&*layout.fs, &temp, key, generation, parent, now).map_err(Error::from)?;
        let record_bytes_max = self.options.record_bytes_max;
        let mut new = NewSession { file, key, generation, now, record_bytes_max, ids: HashMap::new(), broken: None };
        fill(&mut new)?;
        new.fill(|_, _| Ok(()))?;
        let row = new.file.end().map_err(Error::from)?;
        temp.file.sync_all().context("fsync", &temp.path).map_err(Error::from)?;
        // The log's proof may outlive what follows: another process's birth beside it can take the folder's new time for its own.
        self.touch(key, generation);
        birth.alone(|| temp.persist_new(&path)).map_err(|error| self.not_new(key, generation, error))?;
        lock.doubt();
        let transcripts = layout.transcripts();
        layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts).map_err(Error::from)?;
        lock.trust();
        self.folder.born(key, generation);
        self.fold(key, &row);
        self.let_go(&row);
        Ok(Head { generation, seq: row.last_seq, crc: row.last_crc })
    }

    /// Says why a new file could not get its name. The list of the folder may have been older than its time of change tells.
    fn not_new(&self, key: &SessionKey, generation: u64, error: PathError) -> Error {
        if error.kind() != std::io::ErrorKind::AlreadyExists {
            return error.into();
        }
        self.folder.forget();
        Error::SessionExists { key: key.clone(), generation }
    }
}
