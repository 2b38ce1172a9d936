//! How a store is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::atomic::Durability;
use crate::error::Error;
use crate::format::RECORD_BYTES_MAX_DEFAULT;
use crate::fs::{Fs, OsFs};
use crate::layout::{Layout, Padding};
use crate::store::Store;
use crate::store::inner::Inner;
use crate::transcript::padding;

/// Options of a store; every one has a default.
///
/// ```
/// use sesslog::{Durability, Options};
/// # let folder = tempfile::tempdir()?;
/// let store = Options::new().durability(Durability::Buffered).record_bytes_max(1 << 20).open(folder.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) record_bytes_max: usize,
    pub(crate) open_writers_max: usize,
    pub(crate) idle_release: Duration,
    pub(crate) lock_wait: Duration,
    pub(crate) registry_save_delay: Duration,
    pub(crate) file_mode: u32,
    pub(crate) dir_mode: u32,
    pub(crate) padding: Padding,
    pub(crate) queue_bytes_max: u64,
    pub(crate) registry_log_from: u64,
    pub(crate) fs: Arc<dyn Fs>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            record_bytes_max: RECORD_BYTES_MAX_DEFAULT,
            open_writers_max: open_writers_default(),
            idle_release: Duration::from_secs(2),
            lock_wait: Duration::ZERO,
            registry_save_delay: Duration::from_secs(1),
            file_mode: 0o600,
            dir_mode: 0o700,
            padding: padding::DEFAULT,
            queue_bytes_max: 64 << 20,
            registry_log_from: 128 << 10,
            fs: Arc::new(OsFs),
        }
    }
}

/// Leaves half of the descriptors that the process may open to everybody else.
fn open_writers_default() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 4).unwrap_or(usize::MAX).clamp(1, 512)
}

impl Options {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what an append waits for; [`Durability::Sync`] by default.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets the limit for one record, its frame included; 64 MiB by default.
    pub fn record_bytes_max(mut self, bytes: usize) -> Self {
        self.record_bytes_max = bytes;
        self
    }

    /// Sets how many sessions are held open for writing at once, each with two descriptors; by default 512, or a quarter of
    /// what the process may open if that is less (256 with the usual limit of 1024); at least 1. The one idle for the longest is
    /// closed first. More can be open while more than that commit at the same moment.
    pub fn open_writers_max(mut self, count: usize) -> Self {
        self.open_writers_max = count.max(1);
        self
    }

    /// Sets after how long without an append a session is sealed and its lock let go, so that other processes can write to
    /// it; 2 s by default, never with [`Duration::MAX`].
    pub fn idle_release(mut self, after: Duration) -> Self {
        self.idle_release = after;
        self
    }

    /// Sets how long an append waits for a session that another process writes to; not at all by default.
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Sets how long after a change the registry is saved; 1 s by default, more when saving itself takes long. With
    /// [`Duration::MAX`] only `flush` and `close` save it.
    pub fn registry_save_delay(mut self, delay: Duration) -> Self {
        self.registry_save_delay = delay;
        self
    }

    /// Sets the permission bits of new files and folders, whatever the umask; 0600 and 0700 by default.
    pub fn modes(mut self, file: u32, folder: u32) -> Self {
        (self.file_mode, self.dir_mode) = (file, folder);
        self
    }

    /// Sets after how many durable commits in quick succession a session's transcript is padded ahead with tabs, which later
    /// commits overwrite, and by how many bytes at most, 1 MiB being the most there is; 16 commits and 64 KiB by default, never with 0 bytes. On a file system
    /// with a journal an append then costs one flush of the disk instead of two. The padding is cut when the session goes idle
    /// or is closed.
    pub fn padding(mut self, after_commits: u32, bytes_max: u64) -> Self {
        // A commit is no longer than that either; it has to fit into memory beside the records.
        let bytes_max = bytes_max.min(1 << 20);
        self.padding = Padding { after_commits, bytes_max };
        self
    }

    /// Sets how many bytes of records may be submitted and not yet written, all sessions together; 64 MiB by default. One that
    /// would be too much is refused, unless nothing else waits.
    pub fn queue_bytes_max(mut self, bytes: u64) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// Sets from which size of the registry on, in bytes, changes are written to a log beside it instead of all of it anew; 128 KiB
    /// by default, which is some 300 sessions.
    pub fn registry_log_from(mut self, bytes: u64) -> Self {
        self.registry_log_from = bytes;
        self
    }

    /// Sets the file system below the store, for tests.
    pub fn file_system(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    /// Opens the store in `path`, making its folders if they are missing. Reads the registry, no transcript.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folders can not be made or the registry can not be read (a missing or bad registry is no error).
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store, Error> {
        let layout = self.layout(path.as_ref());
        layout.create()?;
        layout.lay_reserve();
        Ok(Store::new(Inner::new(layout, self, false)?))
    }

    /// Opens the store in `path` for reading only: takes no lock, writes nothing, works on a read-only file system and beside
    /// live writers.
    ///
    /// # Errors
    ///
    /// [`Error::StoreNotFound`] when there is no store, [`Error::Io`] when it can not be read.
    pub fn open_read_only(self, path: impl AsRef<Path>) -> Result<Store, Error> {
        let layout = self.layout(path.as_ref());
        if !layout.exists()? {
            return Err(Error::StoreNotFound { path: layout.root });
        }
        Ok(Store::new(Inner::new(layout, self, true)?))
    }

    fn layout(&self, path: &Path) -> Layout {
        Layout {
            fs: Arc::clone(&self.fs),
            root: path.to_owned(),
            file_mode: self.file_mode,
            dir_mode: self.dir_mode,
            padding: self.padding,
        }
    }
}
