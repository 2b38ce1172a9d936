//! The few file operations that we rely on, behind a trait so that a simulated disk can stand in.
//!
//! `std::fs` is used only in `fs/os.rs`. What the operations promise is what `src/format.md` assumes of a disk; what they do *not*
//! do is retry: an error of a sync is final, and an interrupted one is an error.

pub(crate) mod mount;
mod os;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::fs::mount::Mount;
pub use crate::fs::os::OsFs;
pub use crate::map::Map;
use crate::timestamp::Timestamp;

/// An I/O error with the operation that failed and the path it was about; cheap to clone, since one failed commit is
/// reported to every append that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("can not {operation} {}", path.display())]
pub struct PathError {
    /// What was attempted: `open`, `write`, `fdatasync` ...
    pub operation: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: Arc<io::Error>,
}

impl PathError {
    /// Returns the kind of the system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }
}

/// Adds operation and path to an I/O result.
pub(crate) trait IoContext<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, PathError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, PathError> {
        self.map_err(|source| PathError { operation, path: path.to_owned(), source: Arc::new(source) })
    }
}

/// How a file is opened. Never following a symbolic link in the last component, never blocking on a FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// An existing file, for reading and for writing at its end, wherever that is then: of two who append neither overwrites the
    /// other, and the offset of a write means nothing.
    Append,
    /// A file that must not exist yet; it gets exactly this mode, whatever the umask.
    CreateNew {
        /// Permission bits.
        mode: u32,
    },
    /// A file that may exist, for reading and writing; a new one gets exactly this mode.
    Create {
        /// Permission bits.
        mode: u32,
    },
}

/// What a path or a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Regular file, or anything else.
    pub kind: FileKind,
    /// Size of a regular file.
    pub length_bytes: u64,
    /// Device and inode: two stats with the same pair are of the same file.
    pub identity: (u64, u64),
    /// How many names it has; zero when it was unlinked or replaced.
    pub link_count: u64,
    /// Permission bits.
    pub mode: u32,
    /// Whose it is: a user id.
    pub owner: u32,
    /// Last change of the content, nanoseconds since 1970.
    pub modified_ns: i128,
    /// Last change of the content or of anything else here: no program can set it to another time.
    pub changed_ns: i128,
}

/// The kinds of path that we tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A folder.
    Directory,
    /// A symbolic link, a FIFO, a device, a socket.
    Other,
}

/// The file system below a store, and with it the clock and the source of random numbers: everything that a store takes
/// from outside, so that a simulated run is decided by its seed alone. [`OsFs`] is the real one; a test may bring its own.
pub trait Fs: Debug + Send + Sync + 'static {
    /// Opens a regular file; anything else is an error of kind `InvalidInput`.
    ///
    /// # Errors
    ///
    /// The system's.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>>;
    /// Looks at a path without following a symbolic link in its last component.
    ///
    /// # Errors
    ///
    /// The system's.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// The same without the times, which may be 0: what is asked of a file before every write to it.
    ///
    /// Linux (6.13 and later) gives a file whose times somebody looked at a new one with the next write, and its fdatasync pays
    /// for that.
    ///
    /// # Errors
    ///
    /// The system's.
    fn look(&self, path: &Path) -> io::Result<Stat> {
        self.stat(path)
    }
    /// Gives each of the names in a folder to `found`, in no order: a folder may have a million. Names that are not UTF-8 are left
    /// out, they are not ours.
    ///
    /// # Errors
    ///
    /// The system's.
    fn read_dir(&self, path: &Path, found: &mut dyn FnMut(&str)) -> io::Result<()>;
    /// Makes a folder with exactly this mode; an existing one is left as it is. Missing parents get this mode less the
    /// umask: whoever may write to one of them can replace all that is below it.
    ///
    /// # Errors
    ///
    /// The system's.
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Renames, replacing what was there.
    ///
    /// # Errors
    ///
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames; an existing target is an error of kind `AlreadyExists`.
    ///
    /// # Errors
    ///
    /// The system's.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// The system's.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    ///
    /// # Errors
    ///
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable. A file system that can not (EINVAL, ENOTSUP) is tolerated.
    ///
    /// # Errors
    ///
    /// The system's, EIO among them.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes durable what anybody has written so far to any file of the file system that a folder is on. `false` where that is
    /// not possible, or an error might not be told.
    ///
    /// # Errors
    ///
    /// The system's, EIO among them: nothing is known of any file that was not durable before.
    fn sync_file_system(&self, _folder: &Path) -> io::Result<bool> {
        Ok(false)
    }
    /// Sets the permission bits of a file or a folder that is no symbolic link.
    ///
    /// # Errors
    ///
    /// The system's.
    fn set_mode(&self, _path: &Path, _mode: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Says what file system a folder is on; `None` where nobody knows.
    ///
    /// # Errors
    ///
    /// The system's.
    fn mount(&self, _folder: &Path) -> io::Result<Option<Mount>> {
        Ok(None)
    }
    /// Returns the id of the user who makes files here; `None` where nobody has one.
    fn user(&self) -> Option<u32> {
        None
    }
    /// Returns how many descriptors this process may open; `None` where nobody knows.
    fn descriptors_max(&self) -> Option<u64> {
        None
    }
    /// Waits for another process.
    fn pause(&self, duration: std::time::Duration) {
        std::thread::sleep(duration);
    }
    /// Reads the clock that records are stamped with. It may jump: times order nothing.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    /// Names the time since the machine was started: with another name everything that was not fsynced may be gone. `None` where
    /// nobody knows.
    fn boot(&self) -> Option<String> {
        None
    }
    /// Returns 64 random bits, for header ids and the names of temp files.
    ///
    /// # Errors
    ///
    /// The system's.
    fn random(&self) -> io::Result<u64> {
        getrandom::u64().map_err(io::Error::other)
    }
}

/// An open regular file.
pub trait FsFile: Debug + Send + Sync {
    /// Reads what one `pread` gives; fewer bytes than asked for are no error, 0 is the end.
    ///
    /// # Errors
    ///
    /// The system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes with one `pwrite` and returns how much it took; what to do about a short write is the caller's to decide.
    ///
    /// # Errors
    ///
    /// The system's.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts or extends.
    ///
    /// # Errors
    ///
    /// The system's.
    fn set_len(&self, length_bytes: u64) -> io::Result<()>;
    /// Makes content and length durable, once: an error is final for everything written before.
    ///
    /// # Errors
    ///
    /// The system's.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes content and all metadata durable, once.
    ///
    /// # Errors
    ///
    /// The system's.
    fn sync_all(&self) -> io::Result<()>;
    /// Looks at the open file.
    ///
    /// # Errors
    ///
    /// The system's.
    fn stat(&self) -> io::Result<Stat>;
    /// Takes the whole file's advisory lock if nobody has it; it goes with the descriptor.
    ///
    /// # Errors
    ///
    /// The system's.
    fn try_lock(&self) -> io::Result<bool>;
    /// Says whether someone holds the file's lock, without getting in the way of others who ask. Whoever wants the lock may find
    /// it taken for a moment.
    ///
    /// # Errors
    ///
    /// The system's.
    fn is_locked(&self) -> io::Result<bool> {
        Ok(!self.try_lock()?)
    }
    /// Maps the first bytes for reading; `None` where that is not possible. The caller holds the file's lock.
    fn map(&self, length_bytes: u64) -> Option<Map>;

    /// Has the disk lay so many bytes aside for the file. Where it can not, or does not know how, that is all the same.
    ///
    /// # Errors
    ///
    /// The system's, a full disk's above all.
    fn allocate(&self, _length_bytes: u64) -> io::Result<()> {
        Ok(())
    }
    /// Waits until a write that another process has begun is visible: much longer than that takes, too short to notice.
    fn settle(&self) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Reads a whole file of at most `limit_bytes`; what is longer is an error of kind `FileTooLarge`.
pub(crate) fn read_all(file: &dyn FsFile, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let length_bytes = file.stat()?.length_bytes;
    if length_bytes > limit_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    read_from(file, 0, usize::try_from(length_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?)
}

/// Reads so many bytes from an offset on, fewer at the end of the file.
pub(crate) fn read_from(file: &dyn FsFile, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; bytes];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX)))? {
            0 => break,
            count => filled = filled.saturating_add(count),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Writes all of `bytes` to a file that nobody else sees yet.
pub(crate) fn write_all(file: &dyn FsFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut rest = bytes;
    let mut at = offset;
    while !rest.is_empty() {
        let count = file.write_at(rest, at)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = rest.get(count..).unwrap_or_default();
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(())
}
