//! A simulated disk behind [`Fs`]: what a power cut may leave, and every error a disk may give.
//!
//! Feature `sim`. Everything lives in memory. Each file has its live content and what the last successful sync made durable,
//! with the writes in between as a list; each folder the same for its names. A crash keeps of the unsynced writes none, all,
//! a prefix, or any subset of their 512-byte sectors, a lost sector showing what it held before or zeros past the old end;
//! the length may or may not have reached the disk; unsynced names may be kept or lost one by one, a rename as a whole. A
//! failed sync marks the pages clean: the writes stay visible (or vanish), no later sync writes them, a crash may keep them.
//!
//! Nothing is random but what [`Chance`] decides, the clock and the random numbers that a store asks for included, so a run
//! is replayed by its seed; or [`Chance`] goes through every choice there is. The fault model is the list "What we
//! assume of the disk" in [`mod@crate::format`]; what that rules out is not simulated.

mod chance;
mod disk;
mod inode;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{FileKind, Fs, FsFile, OpenMode, Stat};
use crate::map::Map;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{self, Mutex, MutexGuard, PoisonError};
use crate::timestamp::Timestamp;
pub use chance::Chance;
use disk::{Disk, Failing, folder_of};
use inode::{Change, Inode};

/// The operations that faults are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SimOp {
    /// Opening an existing file.
    Open,
    /// Making a file.
    Create,
    /// `pread`.
    Read,
    /// `pwrite`.
    Write,
    /// `ftruncate`.
    SetLen,
    /// `fdatasync` or `fsync` of a file.
    Sync,
    /// `fsync` of a folder.
    SyncDir,
    /// Both renames.
    Rename,
    /// A second name.
    HardLink,
    /// `unlink`.
    Remove,
    /// Listing a folder.
    ReadDir,
}

/// What a failing operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SimFault {
    /// EIO; nothing is done. A sync marks the pages clean and keeps what readers see (ext4).
    Eio,
    /// As `Eio`, but a sync drops the pages: readers see what was there before (Btrfs).
    EioDrop,
    /// ENOSPC; a write has taken half of its bytes and says so.
    Enospc,
    /// EDQUOT; nothing is done.
    Edquot,
    /// EINTR; nothing is done.
    Eintr,
}

impl SimFault {
    fn error(self) -> io::Error {
        use rustix::io::Errno;
        let errno = match self {
            Self::Eio | Self::EioDrop => Errno::IO,
            Self::Enospc => Errno::NOSPC,
            Self::Edquot => Errno::DQUOT,
            Self::Eintr => Errno::INTR,
        };
        errno.into()
    }
}

/// The simulated disk; clones share it, [`fork`](Self::fork) copies it.
#[derive(Debug, Clone)]
pub struct SimFs(Arc<Mutex<Disk>>);

impl Default for SimFs {
    fn default() -> Self {
        let disk = Disk { clock_ms: 1_800_000_000_000, random: Chance::new(0), ..Disk::default() };
        Self(Arc::new(Mutex::new(disk)))
    }
}

impl SimFs {
    /// Returns an empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the disk with everything that is not durable yet.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.disk().clone())))
    }

    /// Fails the `number`-th (from 1, counted from now) operation of a kind; with 0 every one, as a full disk does.
    pub fn fail(&self, op: SimOp, number: u64, fault: SimFault) {
        let mut disk = self.disk();
        let met = disk.counts.get(&op).copied().unwrap_or(0);
        let number = (number > 0).then(|| met.saturating_add(number));
        disk.failing.push(Failing { op, number, fault });
    }

    /// Takes back every fault that is still to come, or to be told.
    pub fn heal(&self) {
        let mut disk = self.disk();
        disk.failing.clear();
        disk.inodes.iter_mut().for_each(|inode| inode.was_told = true);
    }

    /// Returns the faults that were met since the last call, with their operations.
    pub fn take_met(&self) -> Vec<(SimOp, SimFault)> {
        std::mem::take(&mut self.disk().met)
    }

    /// Turns the clock, forwards or back.
    pub fn turn_clock(&self, by_ms: i64) {
        let mut disk = self.disk();
        disk.clock_ms = disk.clock_ms.saturating_add(by_ms);
    }

    /// From now on keeps a copy of the disk before each operation that changes something.
    pub fn record(&self) {
        self.disk().recorded = Some(Vec::new());
    }

    /// Returns the copies since [`record`](Self::record), and makes no more.
    pub fn take_recorded(&self) -> Vec<Self> {
        let recorded = self.disk().recorded.take().unwrap_or_default();
        recorded.into_iter().map(|disk| Self(Arc::new(Mutex::new(disk)))).collect()
    }

    /// From now on writes down every operation that changes something or fails.
    pub fn tell(&self) {
        self.disk().told = Some(Vec::new());
    }

    /// Returns what was written down since the last call.
    pub fn take_told(&self) -> Vec<String> {
        self.disk().told.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Cuts the power before the operation with this number, counted from the first ever; `None` never.
    pub fn cut_power_at(&self, operation: Option<u64>) {
        self.disk().power_cut_at = operation;
    }

    /// Returns how many operations were done that change something or could.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Kills all processes: their handles are dead and their locks free, everything they did is still there, and what is not
    /// durable yet may become so. Takes back a power cut and faults.
    pub fn kill(&self) {
        let mut disk = self.disk();
        for inode in &mut disk.inodes {
            inode.locked_by = None;
        }
        disk.begin_life();
    }

    /// Crashes: decides what survives, and starts a new life with it. Old handles are dead.
    pub fn crash(&self, chance: &mut Chance) {
        let mut disk = self.disk();
        for inode in &mut disk.inodes {
            inode.crash(chance);
        }
        let names = &disk.names;
        let mode = chance.below(4);
        let kept_until = chance.below(u64::try_from(names.len()).unwrap_or(0).saturating_add(1));
        let survives = |number| match mode {
            0 => false,
            1 => true,
            2 => number < kept_until,
            _ => chance.one_in(2),
        };
        let survives = (0..).take(names.len()).map(survives).collect();
        disk.begin_again(survives);
    }

    /// Crashes as [`crash`](Self::crash) does, with each choice free of the others: the paths of [`Chance::every`] lead to
    /// every outcome there is (of the lengths that a file never had, to those of whole sectors and one byte beside). Files
    /// for which `spared` says yes are left as they are.
    pub fn crash_any(&self, chance: &mut Chance, spared: impl Fn(&Path) -> bool) {
        let mut disk = self.disk();
        let is_spared = |name: &OsString| spared(Path::new(name));
        let (quiet, names): (Vec<_>, Vec<_>) = std::mem::take(&mut disk.names).into_iter().partition(|change| {
            change.set.as_ref().map(|set| &set.0).or(change.removed.as_ref()).is_some_and(is_spared)
        });
        for change in quiet {
            change.apply(&mut disk.durable);
        }
        // Different choices lead to the same names: each outcome once.
        let mut outcomes = BTreeSet::from([disk.durable.clone()]);
        for change in names {
            let mut with: Vec<_> = outcomes.iter().cloned().collect();
            for names in &mut with {
                change.apply(names);
            }
            outcomes.extend(with);
        }
        let outcome = chance.below(u64::try_from(outcomes.len()).unwrap_or(0));
        disk.durable = outcomes.into_iter().nth(usize::try_from(outcome).unwrap_or(0)).unwrap_or_default();
        for (name, inode) in disk.durable.clone() {
            if let Some(inode) = disk.inodes.get_mut(inode) {
                if is_spared(&name) {
                    inode.sync();
                }
                inode.crash_any(chance);
            }
        }
        disk.begin_again(Vec::new());
    }

    /// Returns a hash of everything that is on the disk: two crashes with the same hash left the same state.
    pub fn hash(&self) -> u64 {
        use std::hash::{Hash as _, Hasher as _};
        let disk = self.disk();
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        for (path, inode) in &disk.live {
            path.hash(&mut hasher);
            disk.inodes.get(*inode).map(|inode| &inode.live).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns every file with its live content.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let disk = self.disk();
        let content = |inode: usize| disk.inodes.get(inode).map(|inode| inode.live.clone()).unwrap_or_default();
        disk.live.iter().map(|(path, inode)| (path.into(), content(*inode))).collect()
    }

    /// Replaces a file's content, durably and unseen by its writers: bit rot, an editor, a restored backup.
    pub fn tamper(&self, path: &Path, content: &[u8]) {
        let mut disk = self.disk();
        if let Some(inode) = disk.live.get(path.as_os_str()).copied()
            && let Some(inode) = disk.inodes.get_mut(inode)
        {
            inode.live = content.to_vec();
            inode.durable = content.to_vec();
            inode.changes.clear();
        }
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.disk();
        let exists = disk.live.get(path.as_os_str()).copied();
        let inode = match (mode, exists) {
            (OpenMode::CreateNew { .. }, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Read | OpenMode::Write | OpenMode::Append, None) => return Err(io::ErrorKind::NotFound.into()),
            (_, Some(inode)) => {
                disk.run(SimOp::Open, path)?;
                inode
            }
            (_, None) => {
                disk.run(SimOp::Create, path)?;
                disk.inodes.push(Inode::default());
                let inode = disk.inodes.len().saturating_sub(1);
                disk.change_names(path, Some(inode), None);
                let now_ns = disk.changed_ns;
                disk.inode(inode)?.touch(now_ns, true);
                inode
            }
        };
        disk.next_handle = disk.next_handle.wrapping_add(1);
        let (handle, epoch) = (disk.next_handle, disk.epoch);
        let appends = mode == OpenMode::Append;
        let file = disk.inode(inode)?;
        let told = AtomicU64::new(file.failures.saturating_sub(u64::from(!file.was_told)));
        Ok(Box::new(SimFile { fs: self.clone(), inode, handle, epoch, appends, told }))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let mut disk = self.disk();
        if disk.folders.contains(path.as_os_str()) {
            let modified_ns = disk.folder_times.get(path.as_os_str()).copied().unwrap_or(0);
            let kind = FileKind::Directory;
            return Ok(Stat {
                kind,
                length_bytes: 0,
                identity: (1, u64::MAX),
                link_count: 2,
                mode: 0o700,
                owner: 0,
                modified_ns,
                changed_ns: modified_ns,
            });
        }
        let number = disk.find(path)?;
        Ok(disk.inode(number)?.stat(number))
    }

    fn read_dir(&self, path: &Path, found: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut disk = self.disk();
        disk.run(SimOp::ReadDir, path)?;
        if !disk.folders.contains(path.as_os_str()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let in_folder = disk.live.keys().filter(|name| folder_of(name) == path.as_os_str());
        let names: Vec<_> =
            in_folder.filter_map(|name| Path::new(name).file_name()?.to_str().map(str::to_owned)).collect();
        drop(disk);
        for name in &names {
            found(name);
        }
        Ok(())
    }

    /// Folders are there at once and for good: losing the store as a whole proves nothing about it.
    fn create_dir(&self, path: &Path, _mode: u32) -> io::Result<()> {
        self.disk().folders.insert(path.as_os_str().to_owned());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk().rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        // In one step, as the kernel does it: nobody gets in between.
        let mut disk = self.disk();
        if disk.live.contains_key(to.as_os_str()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.run(SimOp::HardLink, to)?;
        if disk.live.contains_key(to.as_os_str()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = disk.find(from)?;
        disk.change_names(to, Some(inode), None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.run(SimOp::Remove, path)?;
        disk.find(path)?;
        disk.change_names(path, None, Some(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.run(SimOp::SyncDir, path)?;
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut disk.names).into_iter().partition(|change| change.folder == path.as_os_str());
        for change in synced {
            change.apply(&mut disk.durable);
        }
        disk.names = rest;
        Ok(())
    }

    /// The content of every file, not the names: what is true of each file system is that much.
    fn sync_file_system(&self, folder: &Path) -> io::Result<bool> {
        let mut disk = self.disk();
        match disk.meet(SimOp::Sync, &|_| format!("everything that {} is on", folder.display())) {
            Ok(()) => {
                disk.inodes.iter_mut().for_each(Inode::sync);
                Ok(true)
            }
            Err((error, fault)) => {
                if let Some(fault) = fault {
                    disk.inodes.iter_mut().for_each(|inode| inode.fail_unasked(fault == SimFault::EioDrop));
                }
                Err(error)
            }
        }
    }

    /// Nobody else is at work, unless shuttle lets them: what is busy now stays so.
    fn pause(&self, _duration: std::time::Duration) {
        sync::let_others_run();
    }

    /// A millisecond later at every call.
    fn now(&self) -> Timestamp {
        let mut disk = self.disk();
        disk.clock_ms = disk.clock_ms.saturating_add(1);
        Timestamp::from_unix_ms(disk.clock_ms)
    }

    fn boot(&self) -> Option<String> {
        Some(self.disk().boots.to_string())
    }

    fn random(&self) -> io::Result<u64> {
        Ok(self.disk().random.next_u64())
    }
}

/// An open file of a [`SimFs`].
#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    inode: usize,
    handle: u64,
    epoch: u64,
    /// It was opened to write at its end.
    appends: bool,
    /// How many failures of the file this handle has been told of.
    told: AtomicU64,
}

impl SimFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.fs.disk();
        if disk.epoch == self.epoch { Ok(disk) } else { Err(io::Error::other("a handle from before the crash")) }
    }

    fn run(&self, disk: &mut Disk, op: SimOp) -> io::Result<()> {
        disk.meet(op, &|disk| disk.name_of(self.inode)).map_err(|(error, _)| error)
    }
}

impl FsFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        self.run(&mut disk, SimOp::Read)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let live = &disk.inode(self.inode)?.live;
        let bytes = live.get(start..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        if let (Some(target), Some(bytes)) = (buffer.get_mut(..count), bytes.get(..count)) {
            target.copy_from_slice(bytes);
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        let what = |disk: &Disk| format!("{} {offset}+{}", disk.name_of(self.inode), bytes.len());
        let taken = match disk.meet(SimOp::Write, &what) {
            Ok(()) => bytes,
            Err((_, Some(SimFault::Enospc))) if bytes.len() > 1 => bytes.get(..bytes.len() / 2).unwrap_or_default(),
            Err((error, _)) => return Err(error),
        };
        let now_ns = disk.pass_time();
        let inode = disk.inode(self.inode)?;
        let offset = if self.appends { inode.live.len() } else { usize::try_from(offset).unwrap_or(usize::MAX) };
        let change = Change::Write { offset, bytes: taken.to_vec() };
        change.apply(&mut inode.live);
        inode.changes.push((change, false));
        inode.touch(now_ns, true);
        Ok(taken.len())
    }

    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        let what = |disk: &Disk| format!("{} {length_bytes}", disk.name_of(self.inode));
        disk.meet(SimOp::SetLen, &what).map_err(|(error, _)| error)?;
        let now_ns = disk.pass_time();
        let inode = disk.inode(self.inode)?;
        inode.touch(now_ns, true);
        let change = Change::SetLen(usize::try_from(length_bytes).unwrap_or(usize::MAX));
        change.apply(&mut inode.live);
        inode.changes.push((change, false));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        match disk.meet(SimOp::Sync, &|disk| disk.name_of(self.inode)) {
            Ok(()) => {
                let inode = disk.inode(self.inode)?;
                inode.sync();
                let is_news = self.told.swap(inode.failures, Ordering::Relaxed) < inode.failures;
                inode.was_told |= is_news;
                // As errseq has it (Linux): what a sync of the whole disk could not write, each who syncs the file hears of once.
                if is_news { Err(SimFault::Eio.error()) } else { Ok(()) }
            }
            Err((error, fault)) => {
                if let Some(fault) = fault {
                    disk.inode(self.inode)?.fail_sync(fault == SimFault::EioDrop);
                }
                Err(error)
            }
        }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(self.disk()?.inode(self.inode)?.stat(self.inode))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut disk = self.disk()?;
        let inode = disk.inode(self.inode)?;
        Ok(*inode.locked_by.get_or_insert(self.handle) == self.handle)
    }

    fn map(&self, _length_bytes: u64) -> Option<Map> {
        None
    }

    /// Nobody writes meanwhile, unless shuttle lets them.
    fn settle(&self) {
        sync::let_others_run();
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(mut disk) = self.disk()
            && let Ok(inode) = disk.inode(self.inode)
            && inode.locked_by == Some(self.handle)
        {
            inode.locked_by = None;
        }
    }
}
