//! Looking into the trash, taking a session back from it, emptying it. Each file is dealt with as owner of its key's lock.

use std::path::PathBuf;

use crate::error::Error;
use crate::fs::{FileKind, IoContext as _};
use crate::header::Header;
use crate::key::{SessionKey, TrashName};
use crate::mark::Mark;
use crate::record::NewRecord;
use crate::store::Store;
use crate::store::graves::{self, trash_key};
use crate::store::resumes::append_own;
use crate::timestamp::Timestamp;
use crate::trash::{Doomed, lock, with_room};

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
            // What is no file is not ours.
            let Some(stat) = layout.fs.stat(&path).ok().filter(|stat| stat.kind == FileKind::Regular) else { continue };
            let key = graves::header(layout, &path).ok().flatten().map(|header| header.body.key);
            let (generation, deleted) = (name.transcript.generation, Timestamp::from_unix_ms(name.deleted_ms));
            found.push(Trashed { name: name.to_string(), key, generation, deleted, bytes: stat.length_bytes });
        }
        Ok(found)
    }

    /// Takes a transcript back from the trash, by its name there. Returns its key and generation.
    ///
    /// It has to follow the newest generation that there is, closed by a reset, or stand right before the oldest: of several
    /// the oldest comes first.
    ///
    /// # Errors
    ///
    /// [`Error::NotInTrash`], [`Error::HeaderDamaged`] when the file does not say whose it is, [`Error::SessionExists`] when the
    /// key was begun anew, [`Error::Busy`]: nothing was done. After [`Error::Io`] it is wholly there or wholly in the trash.
    pub fn restore(&self, name: &str) -> Result<(SessionKey, u64), Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let layout = &inner.layout;
        let (path, header) = self.trashed(name)?;
        let session = self.session(&header.body.key)?;
        session.check_writable()?;
        let (key, generation) = (session.key(), header.body.generation);
        let mut doomed = Doomed::lock(&session, inner.options.lock_wait)?;
        // Once more: somebody may have taken it back, and deleted it again.
        let (_, header) = self.trashed(name)?;
        let there = session
            .generations(None)
            .or_else(|error| if error.is_not_found() { Ok(Vec::new()) } else { Err(error) })?;
        let is_before = there.first().is_some_and(|oldest| generation.checked_add(1) == Some(*oldest));
        if let Some(newest) = there.last().filter(|_| !is_before)
            && inner.unborn_generation(key)? != generation
        {
            return Err(Error::SessionExists { key: key.clone(), generation: *newest });
        }
        let to = layout.transcript(key, generation);
        let mark = Mark::Restored { key: key.to_string(), generation, id: Some(header.body.id) };
        append_own(inner, &trash_key(), &[NewRecord::mark(&mark)])?;
        doomed.doubt();
        // As a fork's: who believes that nobody told of this key would begin it anew.
        inner.touch(key, generation);
        layout.fs.rename_new(&path, &to).context("rename from the trash to", &to)?;
        let transcripts = layout.transcripts();
        layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts)?;
        layout.fs.sync_dir(&layout.trash()).context("fsync folder", &layout.trash())?;
        inner.folder.forget();
        Ok((key.clone(), generation))
    }

    /// Finds a transcript in the trash, and whose it is.
    fn trashed(&self, name: &str) -> Result<(PathBuf, Header), Error> {
        let layout = &self.inner().layout;
        let path = layout.trash().join(name);
        let not_there = || Error::NotInTrash { name: name.to_owned() };
        let parsed = TrashName::parse(name).ok_or_else(not_there)?;
        let header = match graves::header(layout, &path) {
            Ok(header) => header.ok_or_else(|| Error::HeaderDamaged { path: path.clone(), bytes: 0 })?,
            Err(error) if error.is_gone() => return Err(not_there()),
            Err(error) => return Err(error),
        };
        let stem = SessionKey::new(&header.body.key)?.file_stem();
        if (stem, header.body.generation) != (parsed.transcript.stem, parsed.transcript.generation) {
            let (header_key, header_generation) = (header.body.key, header.body.generation);
            return Err(Error::Misfiled { path, header_key, header_generation });
        }
        Ok((path, header))
    }

    /// Removes from the trash, for good, what was deleted before `before`. Returns what it was. With `dry_run` only says.
    ///
    /// # Errors
    ///
    /// The first that was met, once everything was tried; those of [`restore`](Self::restore).
    pub fn empty_trash(&self, before: Timestamp, dry_run: bool) -> Result<Vec<Trashed>, Error> {
        let inner = self.inner();
        if !dry_run {
            inner.check_writable()?;
        }
        let mut old: Vec<_> = self.trash()?.into_iter().filter(|trashed| trashed.deleted < before).collect();
        if dry_run || old.is_empty() {
            return Ok(old);
        }
        let mut failed = None;
        old.retain(|trashed| match self.remove_trashed(trashed) {
            Ok(()) => true,
            // Taken back, or removed by somebody else.
            Err(error) if error.is_gone() => false,
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        let trash = inner.layout.trash();
        inner.layout.fs.sync_dir(&trash).context("fsync folder", &trash)?;
        inner.layout.lay_reserve();
        failed.map_or(Ok(old), Err)
    }

    fn remove_trashed(&self, trashed: &Trashed) -> Result<(), Error> {
        let inner = self.inner();
        let path = inner.layout.trash().join(&trashed.name);
        let key = trashed.key.as_ref().and_then(|key| SessionKey::new(key).ok());
        let _lock = key.map(|key| lock(inner, &key, inner.options.lock_wait)).transpose()?;
        if let Some(Header { body, ts, .. }) = graves::header(&inner.layout, &path)?
            && !inner.graves.have_noted(inner, &body.key, body.generation, &body.id)?
        {
            // Only the file said so.
            let (key, generation, id, created) = (body.key, body.generation, Some(body.id), Some(ts));
            let mark = Mark::Deleted { key, generation, id, created, last_seq: u64::MAX, purged: true };
            with_room(inner, || append_own(inner, &trash_key(), &[NewRecord::mark(&mark)]))?;
        }
        inner.layout.fs.remove(&path).context("remove", &path)?;
        Ok(())
    }
}
