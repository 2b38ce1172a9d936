//! The few file operations that we rely on, behind a trait so that a simulated disk can stand in.
//!
//! `std::fs` is used only here. What the operations promise is what `src/format.md` assumes of a disk; what they do *not*
//! do is retry: an error of a sync is final, and an interrupted one is an error.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Lists the names in a folder, in no order; names that are not UTF-8 are left out, they are not ours.
    ///
    /// # Errors
    ///
    /// The system's.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>>;
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

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFs;

/// An operation that the file system does not know. EIO is not among them.
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| {
            [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS].map(Errno::raw_os_error).contains(&code)
        })
}

fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    // O_NONBLOCK: the open of a FIFO must not wait for a peer. It means nothing to a regular file.
    // O_NOCTTY: nor may a terminal in the place of a file become that of a service.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    // O_NOATIME: a writer looks at its file between writes, and each look would have the inode written, too.
    #[cfg(target_os = "linux")]
    match options.custom_flags((flags | OFlags::NOATIME).bits().cast_signed()).open(path) {
        // The owner's privilege.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {}
        opened => return opened,
    }
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

impl Fs for OsFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let mut options = OpenOptions::new();
        options.read(true);
        let (created_mode, file) = match mode {
            OpenMode::Read => (None, open_file(&mut options, path)?),
            OpenMode::Write => (None, open_file(options.write(true), path)?),
            OpenMode::Append => (None, open_file(options.append(true), path)?),
            OpenMode::CreateNew { mode } => {
                (Some(mode), open_file(options.write(true).create_new(true).mode(mode), path)?)
            }
            OpenMode::Create { mode } => loop {
                match open_file(options.clone().write(true).create_new(true).mode(mode), path) {
                    Ok(file) => break (Some(mode), file),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
                match open_file(options.clone().write(true), path) {
                    Ok(file) => break (None, file),
                    // Removed between the two.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            },
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if let Some(mode) = created_mode.filter(|mode| metadata.permissions().mode() & 0o7777 != *mode) {
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        }
        Ok(Box::new(OsFile(file)))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        std::fs::symlink_metadata(path).map(|metadata| stat_of(&metadata))
    }

    #[cfg(target_os = "linux")]
    fn look(&self, path: &Path) -> io::Result<Stat> {
        use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, makedev, statx};
        let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::INO | StatxFlags::NLINK | StatxFlags::SIZE;
        let found = match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, wanted) {
            Ok(found) if StatxFlags::from_bits_retain(found.stx_mask).contains(wanted) => found,
            // An old kernel, or a container that knows no such call.
            Ok(_) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => return self.stat(path),
            Err(error) => return Err(error.into()),
        };
        Ok(Stat {
            kind: match FileType::from_raw_mode(found.stx_mode.into()) {
                FileType::RegularFile => FileKind::Regular,
                FileType::Directory => FileKind::Directory,
                _ => FileKind::Other,
            },
            length_bytes: found.stx_size,
            identity: (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
            link_count: found.stx_nlink.into(),
            mode: u32::from(found.stx_mode) & 0o7777,
            modified_ns: 0,
            changed_ns: 0,
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        let make = || std::fs::DirBuilder::new().mode(mode).create(path);
        let made = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = path.parent() {
                    std::fs::DirBuilder::new().recursive(true).mode(mode).create(parent)?;
                }
                make()
            }
            made => made,
        };
        match made {
            Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && std::fs::metadata(path)?.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::{CWD, RenameFlags};
            match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
                Err(error) if is_unsupported(&error) => {}
                renamed => return renamed,
            }
        }
        // A link fails where the target exists, which a plain rename would not.
        std::fs::hard_link(from, to)?;
        std::fs::remove_file(from)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn boot(&self) -> Option<String> {
        // Of Linux. Elsewhere nothing is believed that an fsync does not vouch for.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(boot.trim_end().to_owned()).filter(|boot| !boot.is_empty())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        use rustix::fs::{Mode, OFlags};
        // O_DIRECTORY: the open of a FIFO in its place would wait for a peer.
        let folder = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        match rustix::fs::fsync(folder).map_err(io::Error::from) {
            Err(error) if is_unsupported(&error) => Ok(()),
            synced => synced,
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn sync_file_system(&self, folder: &Path) -> io::Result<bool> {
        use rustix::fs::{Mode, OFlags};
        let folder = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if !tells_of_failed_write_back() || !SYNCED_WHOLE.contains(&i128::from(rustix::fs::fstatfs(&folder)?.f_type)) {
            return Ok(false);
        }
        match rustix::fs::syncfs(folder).map_err(io::Error::from) {
            Err(error) if is_unsupported(&error) => Ok(false),
            synced => synced.map(|()| true),
        }
    }
}

/// The file systems whose syncfs makes everything durable and tells of what it could not write: ext2 to ext4, XFS, Btrfs, F2FS,
/// and tmpfs, which has nothing to write. Those of a network, and of FUSE, sync but this side of the wire; what went wrong
/// below an overlay, the overlay does not know (Linux 6.18).
#[cfg(any(target_os = "linux", target_os = "android"))]
const SYNCED_WHOLE: [i128; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// Says whether syncfs tells of what could not be written: before Linux 5.8 it did not (its manual page).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn tells_of_failed_write_back() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
}

/// A file of [`OsFs`].
#[derive(Debug)]
struct OsFile(File);

impl FsFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        // An interrupted write has written nothing: the one case that may be tried again.
        loop {
            match std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        self.0.set_len(length_bytes)
    }

    // `File::sync_data` of std tries again after EINTR; whether the first try has already reported and so cleared an
    // error of write-back is not known, so we do not.
    fn sync_data(&self) -> io::Result<()> {
        #[cfg(not(target_vendor = "apple"))]
        return Ok(rustix::fs::fdatasync(&self.0)?);
        #[cfg(target_vendor = "apple")]
        return self.0.sync_data();
    }

    fn sync_all(&self) -> io::Result<()> {
        #[cfg(not(target_vendor = "apple"))]
        return Ok(rustix::fs::fsync(&self.0)?);
        #[cfg(target_vendor = "apple")]
        return self.0.sync_all();
    }

    fn stat(&self) -> io::Result<Stat> {
        self.0.metadata().map(|metadata| stat_of(&metadata))
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_locked(&self) -> io::Result<bool> {
        // Shared: of two who ask at once, neither may take the other for a holder.
        match self.0.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn map(&self, length_bytes: u64) -> Option<Map> {
        Map::new(&self.0, length_bytes)
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, length_bytes) {
            Err(error) if error == rustix::io::Errno::OPNOTSUPP => Ok(()),
            done => Ok(done?),
        }
    }
}

fn stat_of(metadata: &std::fs::Metadata) -> Stat {
    use std::os::unix::fs::MetadataExt as _;
    let kind = match metadata.file_type() {
        kind if kind.is_file() => FileKind::Regular,
        kind if kind.is_dir() => FileKind::Directory,
        _ => FileKind::Other,
    };
    Stat {
        kind,
        length_bytes: metadata.len(),
        identity: (metadata.dev(), metadata.ino()),
        link_count: metadata.nlink(),
        mode: metadata.mode() & 0o7777,
        modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        changed_ns: i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()),
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
