//! The operating system's files: the only place that uses `std::fs`.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::fs::mount::{self, Mount};
use crate::fs::{FileKind, Fs, FsFile, Map, OpenMode, Stat};

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

/// Opens a file, or makes it.
fn open_file(options: &mut OpenOptions, path: &Path, makes: bool) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    // O_NONBLOCK: the open of a FIFO must not wait for a peer. It means nothing to a regular file.
    // O_NOCTTY: nor may a terminal in the place of a file become that of a service.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    // O_NOATIME: a writer looks at its file between writes, and each look would have the inode written, too. It is the owner's
    // privilege, and where new files are somebody else's they are made before it is refused.
    #[cfg(target_os = "linux")]
    if makes {
        let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
        rustix::fs::fcntl_setfl(&file, OFlags::NONBLOCK | OFlags::NOATIME).ok();
        return Ok(file);
    }
    #[cfg(target_os = "linux")]
    match options.custom_flags((flags | OFlags::NOATIME).bits().cast_signed()).open(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {}
        opened => return opened,
    }
    #[cfg(not(target_os = "linux"))]
    let _ = makes;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

impl Fs for OsFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let mut options = OpenOptions::new();
        options.read(true);
        let (created_mode, file) = match mode {
            OpenMode::Read => (None, open_file(&mut options, path, false)?),
            OpenMode::Write => (None, open_file(options.write(true), path, false)?),
            OpenMode::Append => (None, open_file(options.append(true), path, false)?),
            OpenMode::CreateNew { mode } => {
                (Some(mode), open_file(options.write(true).create_new(true).mode(mode), path, true)?)
            }
            OpenMode::Create { mode } => loop {
                match open_file(options.clone().write(true).create_new(true).mode(mode), path, true) {
                    Ok(file) => break (Some(mode), file),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
                match open_file(options.clone().write(true), path, false) {
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
        let wanted = StatxFlags::TYPE
            | StatxFlags::MODE
            | StatxFlags::INO
            | StatxFlags::NLINK
            | StatxFlags::SIZE
            | StatxFlags::UID;
        let found = match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, wanted) {
            Ok(found) if StatxFlags::from_bits_retain(found.stx_mask).contains(wanted) => found,
            // An old kernel, or a container that knows no such call.
            Ok(_) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => return self.stat(path),
            Err(error) => return Err(error.into()),
        };
        let file_type = FileType::from_raw_mode(found.stx_mode.into());
        Ok(Stat {
            kind: kind_of(file_type.is_file(), file_type.is_dir()),
            length_bytes: found.stx_size,
            identity: (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
            link_count: found.stx_nlink.into(),
            mode: u32::from(found.stx_mode) & 0o7777,
            owner: found.stx_uid,
            modified_ns: 0,
            changed_ns: 0,
        })
    }

    fn read_dir(&self, path: &Path, found: &mut dyn FnMut(&str)) -> io::Result<()> {
        for entry in std::fs::read_dir(path)? {
            entry?.file_name().to_str().into_iter().for_each(&mut *found);
        }
        Ok(())
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

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        if self.stat(path)?.kind == FileKind::Other {
            // What a link points to is not ours.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder"));
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    }

    fn mount(&self, folder: &Path) -> io::Result<Option<Mount>> {
        let space = rustix::fs::statvfs(folder)?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let (kind, options) = mount::find(&mounts, &folder.canonicalize()?).unwrap_or_default();
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Ok(Some(Mount {
            kind,
            options,
            read_only: space.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            free_bytes: bytes(space.f_bavail),
            // Some make inodes as they need them, and say that there are none.
            free_inodes: Some(space.f_favail).filter(|_| space.f_files > 0),
        }))
    }

    fn user(&self) -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    fn descriptors_max(&self) -> Option<u64> {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current
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

fn kind_of(is_file: bool, is_folder: bool) -> FileKind {
    match (is_file, is_folder) {
        (true, _) => FileKind::Regular,
        (_, true) => FileKind::Directory,
        _ => FileKind::Other,
    }
}

fn stat_of(metadata: &std::fs::Metadata) -> Stat {
    use std::os::unix::fs::MetadataExt as _;
    Stat {
        kind: kind_of(metadata.is_file(), metadata.is_dir()),
        length_bytes: metadata.len(),
        identity: (metadata.dev(), metadata.ino()),
        link_count: metadata.nlink(),
        mode: metadata.mode() & 0o7777,
        owner: metadata.uid(),
        modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        changed_ns: i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()),
    }
}
