//! Which generation of a key is the newest, without listing the folder for every append.
//!
//! The row answers when its file exists, does not end a generation, and the next number does not exist. Otherwise the
//! folder does: listed once, and again when somebody else changed it. Two changes within one tick of the folder's clock may
//! hide one; that is why a birth never replaces a file and lists again when it finds one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::fs::{FileKind, IoContext as _, PathError};
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::registry::{Row, SessionState};

/// The newest generation of each key in the folder, as of its time of change.
#[derive(Debug, Default)]
pub(crate) struct Folder(Mutex<Option<Snapshot>>);

#[derive(Debug)]
struct Snapshot {
    modified_ns: i128,
    newest: HashMap<String, u64>,
}

impl Folder {
    /// Returns the newest generation of `key`; `row` is the newest row of it.
    pub(crate) fn newest(
        &self,
        layout: &Layout,
        key: &SessionKey,
        row: Option<&Row>,
    ) -> Result<Option<u64>, PathError> {
        if let Some(row) = row.filter(|row| row.state == SessionState::Open) {
            let next = row.generation.saturating_add(1);
            if exists(layout, key, row.generation)? && !exists(layout, key, next)? {
                return Ok(Some(row.generation));
            }
        }
        let mut snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The time before the list: a change in between makes the list look older than it is, never newer.
        let modified_ns = modified_ns(layout)?;
        if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| snapshot.modified_ns == modified_ns) {
            return Ok(snapshot.newest.get(&key.file_stem()).copied());
        }
        let mut newest = HashMap::new();
        for name in layout.list()? {
            let generation: &mut u64 = newest.entry(name.stem).or_default();
            *generation = name.generation.max(*generation);
        }
        let found = newest.get(&key.file_stem()).copied();
        *snapshot = Some(Snapshot { modified_ns, newest });
        Ok(found)
    }

    /// Runs a birth of our own, and goes on trusting the list if nobody else changed the folder since it was made.
    pub(crate) fn born<T>(&self, layout: &Layout, key: &SessionKey, generation: u64, birth: impl FnOnce() -> T) -> T {
        let before = modified_ns(layout).ok();
        let born = birth();
        let mut snapshot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (snapshot.as_mut(), modified_ns(layout)) {
            (Some(snapshot), Ok(after)) if Some(snapshot.modified_ns) == before => {
                snapshot.newest.insert(key.file_stem(), generation);
                snapshot.modified_ns = after;
            }
            _ => *snapshot = None,
        }
        born
    }

    /// Forgets the list.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn modified_ns(layout: &Layout) -> Result<i128, PathError> {
    let folder = layout.transcripts();
    Ok(layout.fs.stat(&folder).context("stat", &folder)?.modified_ns)
}

/// Says whether a generation's file is there. Only `NotFound` means absent.
pub(crate) fn exists(layout: &Layout, key: &SessionKey, generation: u64) -> Result<bool, PathError> {
    let path = layout.transcript(key, generation);
    match layout.fs.stat(&path) {
        Ok(stat) if stat.kind == FileKind::Regular => Ok(true),
        Ok(_) => {
            Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file")).context("open", &path)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("stat", &path),
    }
}
