//! A simulated disk behind [`Fs`]: what a power cut may leave, and every error a disk may give.
//!
//! Feature `sim`. Everything lives in memory. Each file has its live content and what the last successful sync made durable,
//! with the writes in between as a list; each folder the same for its names. A crash keeps of the unsynced writes none, all,
//! a prefix, or any subset of their 512-byte sectors, a lost sector showing what it held before or zeros past the old end;
//! the length may or may not have reached the disk; unsynced names may be kept or lost one by one, a rename as a whole. A
//! failed sync marks the pages clean: the writes stay visible (or vanish), no later sync writes them, a crash may keep them.
//!
//! Nothing is random but what [`Chance`] decides, so a run is replayed by its seed. The fault model is the list "What we
//! assume of the disk" in [`mod@crate::format`]; what that rules out is not simulated.

mod inode;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{FileKind, Fs, FsFile, OpenMode, Stat};
use crate::map::Map;
use crate::sync::{self, Mutex, MutexGuard, PoisonError};
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

/// A seeded source of decisions: `SplitMix64`.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// Says yes once in `times` times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A change of a folder's names since its last successful sync: all of it survives, or nothing.
#[derive(Debug, Clone)]
struct NameChange {
    folder: PathBuf,
    set: Option<(PathBuf, usize)>,
    removed: Option<PathBuf>,
}

/// What is on the disk and in front of it.
#[derive(Debug, Clone, Default)]
struct Disk {
    inodes: Vec<Inode>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    folder_times: BTreeMap<PathBuf, i128>,
    names: Vec<NameChange>,
    clock: i128,
    next_handle: u64,
    /// Handles of an earlier life are dead.
    epoch: u64,
    counts: BTreeMap<SimOp, u64>,
    fault: Option<(SimOp, u64, SimFault)>,
    struck: bool,
    /// The power goes before the operation with this number; everything fails from then on.
    power_cut_at: Option<u64>,
    operations: u64,
}

/// The simulated disk; clones share it, [`fork`](Self::fork) copies it.
#[derive(Debug, Clone, Default)]
pub struct SimFs(Arc<Mutex<Disk>>);

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

    /// Fails the `number`-th (from 1, counted from now) operation of a kind.
    pub fn fail(&self, op: SimOp, number: u64, fault: SimFault) {
        let mut disk = self.disk();
        disk.counts.clear();
        disk.struck = false;
        disk.fault = Some((op, number, fault));
    }

    /// Says whether the fault was met.
    pub fn struck(&self) -> bool {
        self.disk().struck
    }

    /// Cuts the power before the operation with this number, counted from the first ever; `None` never.
    pub fn cut_power_at(&self, operation: Option<u64>) {
        self.disk().power_cut_at = operation;
    }

    /// Returns how many operations were done that change something or could.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Crashes: decides what survives, and starts a new life with it. Old handles are dead.
    pub fn crash(&self, chance: &mut Chance) {
        let mut disk = self.disk();
        for inode in &mut disk.inodes {
            inode.crash(chance);
        }
        let names = std::mem::take(&mut disk.names);
        let mode = chance.below(4);
        let kept_until = chance.below(u64::try_from(names.len()).unwrap_or(0).saturating_add(1));
        for (change, number) in names.into_iter().zip(0..) {
            let survives = match mode {
                0 => false,
                1 => true,
                2 => number < kept_until,
                _ => chance.one_in(2),
            };
            if survives {
                change.apply(&mut disk.durable);
            }
        }
        disk.live = disk.durable.clone();
        let linked: Vec<usize> = disk.live.values().copied().collect();
        for (number, inode) in disk.inodes.iter_mut().enumerate() {
            inode.link_count = linked.iter().filter(|linked| **linked == number).count().try_into().unwrap_or(0);
            inode.locked_by = None;
        }
        disk.epoch = disk.epoch.wrapping_add(1);
        disk.power_cut_at = None;
        disk.fault = None;
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
        disk.live.iter().map(|(path, inode)| (path.clone(), content(*inode))).collect()
    }

    /// Replaces a file's content, durably and unseen by its writers: bit rot, an editor, a restored backup.
    pub fn tamper(&self, path: &Path, content: &[u8]) {
        let mut disk = self.disk();
        if let Some(inode) = disk.live.get(path).copied()
            && let Some(inode) = disk.inodes.get_mut(inode)
        {
            inode.live = content.to_vec();
            inode.durable = content.to_vec();
            inode.changes.clear();
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((path, inode)) = &self.set {
            names.insert(path.clone(), *inode);
        }
    }
}

impl Disk {
    /// Counts an operation; an error when it is to fail or the power is gone.
    fn meet(&mut self, op: SimOp) -> Result<(), (io::Error, Option<SimFault>)> {
        self.operations = self.operations.saturating_add(1);
        if self.power_cut_at.is_some_and(|at| self.operations > at) {
            return Err((io::Error::other("the power is gone"), None));
        }
        let count = self.counts.entry(op).or_default();
        *count = count.saturating_add(1);
        match self.fault {
            Some((at, number, fault)) if at == op && number == *count => {
                self.struck = true;
                Err((fault.error(), Some(fault)))
            }
            _ => Ok(()),
        }
    }

    fn run(&mut self, op: SimOp) -> io::Result<()> {
        self.meet(op).map_err(|(error, _)| error)
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&mut self, number: usize) -> io::Result<&mut Inode> {
        self.inodes.get_mut(number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(SimOp::Rename)?;
        let inode = self.find(from)?;
        self.change_names(to, Some((to.to_owned(), inode)), Some(from.to_owned()));
        Ok(())
    }

    /// Changes names now, and durably with the folder's next sync.
    fn change_names(&mut self, path: &Path, set: Option<(PathBuf, usize)>, removed: Option<PathBuf>) {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let change = NameChange { folder: folder.clone(), set, removed };
        for gone in [change.removed.as_ref(), change.set.as_ref().map(|set| &set.0)].into_iter().flatten() {
            if let Some(inode) = self.live.get(gone).copied().and_then(|inode| self.inodes.get_mut(inode)) {
                inode.link_count = inode.link_count.saturating_sub(1);
            }
        }
        if let Some(inode) = change.set.as_ref().and_then(|set| self.inodes.get_mut(set.1)) {
            inode.link_count = inode.link_count.saturating_add(1);
        }
        change.apply(&mut self.live);
        self.names.push(change);
        self.clock += 1;
        self.folder_times.insert(folder, self.clock);
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let mut disk = self.disk();
        let exists = disk.live.get(path).copied();
        let inode = match (mode, exists) {
            (OpenMode::CreateNew { .. }, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Read | OpenMode::Write, None) => return Err(io::ErrorKind::NotFound.into()),
            (_, Some(inode)) => {
                disk.run(SimOp::Open)?;
                inode
            }
            (_, None) => {
                disk.run(SimOp::Create)?;
                disk.inodes.push(Inode::default());
                let inode = disk.inodes.len().saturating_sub(1);
                disk.change_names(path, Some((path.to_owned(), inode)), None);
                inode
            }
        };
        disk.next_handle = disk.next_handle.wrapping_add(1);
        let (handle, epoch) = (disk.next_handle, disk.epoch);
        Ok(Box::new(SimFile { fs: self.clone(), inode, handle, epoch }))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let mut disk = self.disk();
        if disk.folders.contains(path) {
            let modified_ns = disk.folder_times.get(path).copied().unwrap_or(0);
            let kind = FileKind::Directory;
            return Ok(Stat {
                kind,
                length_bytes: 0,
                identity: (1, u64::MAX),
                link_count: 2,
                mode: 0o700,
                modified_ns,
            });
        }
        let number = disk.find(path)?;
        Ok(disk.inode(number)?.stat(number))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut disk = self.disk();
        disk.run(SimOp::ReadDir)?;
        if !disk.folders.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let in_folder = disk.live.keys().filter(|name| name.parent() == Some(path));
        Ok(in_folder.filter_map(|name| name.file_name()?.to_str().map(str::to_owned)).collect())
    }

    /// Folders are there at once and for good: losing the store as a whole proves nothing about it.
    fn create_dir(&self, path: &Path, _mode: u32) -> io::Result<()> {
        self.disk().folders.insert(path.to_owned());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk().rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        // In one step, as the kernel does it: nobody gets in between.
        let mut disk = self.disk();
        if disk.live.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.run(SimOp::HardLink)?;
        if disk.live.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = disk.find(from)?;
        disk.change_names(to, Some((to.to_owned(), inode)), None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.run(SimOp::Remove)?;
        disk.find(path)?;
        disk.change_names(path, None, Some(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.run(SimOp::SyncDir)?;
        let (synced, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut disk.names).into_iter().partition(|change| change.folder == path);
        for change in synced {
            change.apply(&mut disk.durable);
        }
        disk.names = rest;
        Ok(())
    }

    /// Nobody else is at work, unless shuttle lets them: what is busy now stays so.
    fn pause(&self, _duration: std::time::Duration) {
        sync::let_others_run();
    }
}

/// An open file of a [`SimFs`].
#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    inode: usize,
    handle: u64,
    epoch: u64,
}

impl SimFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.fs.disk();
        if disk.epoch == self.epoch { Ok(disk) } else { Err(io::Error::other("a handle from before the crash")) }
    }
}

impl FsFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        disk.run(SimOp::Read)?;
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
        let taken = match disk.meet(SimOp::Write) {
            Ok(()) => bytes,
            Err((_, Some(SimFault::Enospc))) if bytes.len() > 1 => bytes.get(..bytes.len() / 2).unwrap_or_default(),
            Err((error, _)) => return Err(error),
        };
        disk.clock += 1;
        let modified = disk.clock;
        let inode = disk.inode(self.inode)?;
        let change = Change::Write { offset: usize::try_from(offset).unwrap_or(usize::MAX), bytes: taken.to_vec() };
        change.apply(&mut inode.live);
        inode.changes.push((change, false));
        inode.modified = modified;
        Ok(taken.len())
    }

    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.run(SimOp::SetLen)?;
        let inode = disk.inode(self.inode)?;
        let change = Change::SetLen(usize::try_from(length_bytes).unwrap_or(usize::MAX));
        change.apply(&mut inode.live);
        inode.changes.push((change, false));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        match disk.meet(SimOp::Sync) {
            Ok(()) => {
                disk.inode(self.inode)?.sync();
                Ok(())
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
