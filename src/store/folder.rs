//! Which generation of a key is the newest, without listing the folder for every append.
//!
//! The row answers when its file exists, does not end a generation, and the next number does not exist. Otherwise the
//! registry's log does while it is proven: nothing is in the folder that it was not told of. Otherwise the folder: listed when its time of change says so, but once a second at most, since with thousands of sessions being
//! born every birth would list all of them. A list may so be older than a birth in another process; that is why the answer
//! is probed upward from it, and why a birth never replaces a file and lists again when it finds one.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::Error;
use crate::fs::{FileKind, IoContext as _, PathError, Stat};
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::registry::Row;
use crate::status::SessionState;
use crate::sync::{Instant, Mutex, MutexGuard, PoisonError};

/// The newest generation of each key in the folder, as of its time of change.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    snapshot: Mutex<Option<Snapshot>>,
    /// One at a time of the steps by which births of ours change the folder.
    step: Mutex<()>,
}

#[derive(Debug)]
struct Snapshot {
    listed: Instant,
    /// How long that took.
    took: Duration,
    modified_ns: i128,
    /// The time is that of a step of ours, beside which another process may have done one, too.
    advanced: bool,
    newest: HashMap<String, u64>,
}

/// How long a list is used although the folder changed.
const LIST_AGE_MAX: Duration = Duration::from_secs(1);
/// Where all changes seem to be ours, listing may take this share of the time.
const LIST_SHARE: u32 = 50;

impl Snapshot {
    fn is_usable(&self, modified_ns: i128) -> bool {
        let age = self.listed.elapsed();
        let is_unchanged =
            self.modified_ns == modified_ns && (!self.advanced || age < self.took.saturating_mul(LIST_SHARE));
        is_unchanged || age < LIST_AGE_MAX
    }
}

impl Folder {
    /// Returns the newest generation of `key`; `row` is the newest row of it, `told` says what the log was told of.
    pub(crate) fn newest(
        &self,
        layout: &Layout,
        key: &SessionKey,
        row: Option<&Row>,
        told: impl FnOnce() -> Result<Option<u64>, Error>,
    ) -> Result<Option<u64>, Error> {
        if let Some(row) = row.filter(|row| row.state != SessionState::Closed)
            && exists(layout, key, row.generation)?
            && next(layout, key, row.generation)?.is_none()
        {
            return Ok(Some(row.generation));
        }
        let mut newest = match told()? {
            Some(told) if told == 0 || exists(layout, key, told)? => told,
            // Deleted, or never born.
            _ => self.newest_listed(layout, key)?,
        };
        while let Some(next) = next(layout, key, newest)? {
            newest = next;
        }
        Ok(Some(newest).filter(|newest| *newest > 0))
    }

    /// Returns the newest generation in the folder, 0 if there is none.
    fn newest_listed(&self, layout: &Layout, key: &SessionKey) -> Result<u64, PathError> {
        let newest = self.listed(layout, key)?;
        if newest == 0 || exists(layout, key, newest)? {
            return Ok(newest);
        }
        // Deleted since it was listed.
        self.forget();
        self.listed(layout, key)
    }

    /// Returns the newest generation in a list of the folder, 0 if there is none.
    fn listed(&self, layout: &Layout, key: &SessionKey) -> Result<u64, PathError> {
        let stem = key.file_stem();
        // Before the list: a change in between makes it look older than it is, never newer.
        let folder = layout.transcripts();
        let step = self.step();
        let modified_ns = layout.fs.stat(&folder).context("stat", &folder)?.modified_ns;
        let mut snapshot = self.lock();
        drop(step);
        if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| snapshot.is_usable(modified_ns)) {
            return Ok(snapshot.newest.get(&stem).copied().unwrap_or(0));
        }
        let listed = Instant::now();
        let mut newest = HashMap::new();
        for name in layout.list()? {
            let generation: &mut u64 = newest.entry(name.stem).or_default();
            *generation = name.generation.max(*generation);
        }
        let found = newest.get(&stem).copied().unwrap_or(0);
        *snapshot = Some(Snapshot { listed, took: listed.elapsed(), modified_ns, advanced: false, newest });
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps births from changing the folder: between such a step and what is noted of it, nobody seems to know the folder.
    pub(crate) fn step(&self) -> MutexGuard<'_, ()> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of ours, beside no other of this process, has changed the folder: what was listed before it still holds.
    pub(crate) fn advance(&self, before: &Stat, after: &Stat) {
        if let Some(snapshot) = self.lock().as_mut().filter(|snapshot| snapshot.modified_ns == before.modified_ns) {
            (snapshot.modified_ns, snapshot.advanced) = (after.modified_ns, true);
        }
    }

    /// Adds a generation that was born here.
    pub(crate) fn born(&self, key: &SessionKey, generation: u64) {
        if let Some(snapshot) = self.lock().as_mut() {
            let newest = snapshot.newest.entry(key.file_stem()).or_default();
            *newest = generation.max(*newest);
        }
    }

    /// Forgets the list.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }
}

/// Returns the generation behind this one if its file is there. Behind the last number there is none.
fn next(layout: &Layout, key: &SessionKey, generation: u64) -> Result<Option<u64>, PathError> {
    let Some(next) = generation.checked_add(1) else { return Ok(None) };
    Ok(exists(layout, key, next)?.then_some(next))
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
