//! A file system that counts every operation and can fail the k-th of a kind.

#![allow(dead_code, unreachable_pub, reason = "every test file uses some of it")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sesslog::fs::{Fs, FsFile, Map, OpenMode, OsFs, Stat};

/// The operations that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Open,
    Create,
    Read,
    Write,
    SetLen,
    SyncData,
    SyncAll,
    SyncDir,
    Rename,
    RenameNew,
    HardLink,
    Remove,
    ReadDir,
}

impl Op {
    pub const ALL: [Self; 13] = [
        Self::Open,
        Self::Create,
        Self::Read,
        Self::Write,
        Self::SetLen,
        Self::SyncData,
        Self::SyncAll,
        Self::SyncDir,
        Self::Rename,
        Self::RenameNew,
        Self::HardLink,
        Self::Remove,
        Self::ReadDir,
    ];
}

/// What a failing operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, EIO.
    Eio,
    /// A write takes half of its bytes and says so, as on a full disk; other operations give ENOSPC.
    Short,
    /// Like `Short`, and from then on every write, truncation and sync fails.
    ShortThenDead,
}

#[derive(Debug, Default)]
struct Plan {
    counts: BTreeMap<Op, usize>,
    fail: Option<(Op, usize, Fault)>,
    /// Only operations on paths with this in their name fail.
    only: String,
    struck: bool,
    dead: bool,
    /// How long operations take at least.
    slow: BTreeMap<Op, std::time::Duration>,
    log: Vec<(Op, PathBuf)>,
    hook: Option<Hook>,
}

/// What is done once, before an operation on a path with this in its name.
struct Hook(Op, String, Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "before {:?} of {}", self.0, self.1)
    }
}

/// The wrapper; clones share their counts.
#[derive(Debug, Clone, Default)]
pub struct FaultyFs {
    plan: Arc<Mutex<Plan>>,
}

impl FaultyFs {
    /// Fails the `k`-th (from 1) operation `op` on a path with `only` in it.
    pub fn fail(&self, op: Op, k: usize, fault: Fault, only: &str) {
        let mut plan = self.plan.lock().unwrap();
        *plan = Plan { fail: Some((op, k, fault)), only: only.to_owned(), ..Plan::default() };
    }

    /// Has something done before the next such operation on a path with `part` in its name.
    pub fn before(&self, op: Op, part: &str, work: impl FnOnce() + Send + 'static) {
        self.plan.lock().unwrap().hook = Some(Hook(op, part.to_owned(), Box::new(work)));
    }

    /// Has every such operation take so long at least.
    pub fn slow(&self, op: Op, time: std::time::Duration) {
        self.plan.lock().unwrap().slow.insert(op, time);
    }

    /// Whether the fault was met.
    pub fn struck(&self) -> bool {
        self.plan.lock().unwrap().struck
    }

    /// Forgets counts and log.
    pub fn reset(&self) {
        *self.plan.lock().unwrap() = Plan::default();
    }

    /// How often an operation was done on a path with `part` in it.
    pub fn count(&self, op: Op, part: &str) -> usize {
        let plan = self.plan.lock().unwrap();
        plan.log.iter().filter(|(did, path)| *did == op && path.to_string_lossy().contains(part)).count()
    }

    fn meet(&self, op: Op, path: &Path) -> Option<Fault> {
        let is_met = |hook: &mut Hook| hook.0 == op && path.to_string_lossy().contains(&hook.1);
        let hook = self.plan.lock().unwrap().hook.take_if(is_met);
        if let Some(Hook(_, _, work)) = hook {
            work();
        }
        let mut plan = self.plan.lock().unwrap();
        plan.log.push((op, path.to_owned()));
        if plan.dead && matches!(op, Op::Write | Op::SetLen | Op::SyncData | Op::SyncAll) {
            return Some(Fault::Eio);
        }
        if !path.to_string_lossy().contains(&plan.only) {
            return None;
        }
        let count = plan.counts.entry(op).or_default();
        *count += 1;
        let count = *count;
        let (_, _, fault) = plan.fail.filter(|(at, k, _)| *at == op && *k == count)?;
        plan.struck = true;
        plan.dead = fault == Fault::ShortThenDead;
        Some(fault)
    }

    fn run<T>(&self, op: Op, path: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let slow = self.plan.lock().unwrap().slow.get(&op).copied();
        slow.into_iter().for_each(std::thread::sleep);
        match self.meet(op, path) {
            None => work(),
            Some(Fault::Eio) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Short | Fault::ShortThenDead) => Err(io::Error::from_raw_os_error(28)),
        }
    }
}

impl Fs for FaultyFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let op = if matches!(mode, OpenMode::CreateNew { .. }) { Op::Create } else { Op::Open };
        let file = self.run(op, path, || OsFs.open(path, mode))?;
        Ok(Box::new(FaultyFile { fs: self.clone(), path: path.to_owned(), file }))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        OsFs.stat(path)
    }

    fn look(&self, path: &Path) -> io::Result<Stat> {
        OsFs.look(path)
    }

    fn read_dir(&self, path: &Path, found: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.run(Op::ReadDir, path, || OsFs.read_dir(path, found))
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        OsFs.create_dir(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Rename, to, || OsFs.rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::RenameNew, to, || OsFs.rename_new(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::HardLink, to, || OsFs.hard_link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Op::Remove, path, || OsFs.remove(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.run(Op::SyncDir, path, || OsFs.sync_dir(path))
    }

    fn boot(&self) -> Option<String> {
        OsFs.boot()
    }
}

#[derive(Debug)]
struct FaultyFile {
    fs: FaultyFs,
    path: PathBuf,
    file: Box<dyn FsFile>,
}

impl FsFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fs.run(Op::Read, &self.path, || self.file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.fs.meet(Op::Write, &self.path) {
            None => self.file.write_at(bytes, offset),
            Some(Fault::Eio) => Err(io::Error::from_raw_os_error(5)),
            Some(Fault::Short | Fault::ShortThenDead) => self.file.write_at(&bytes[..bytes.len() / 2], offset),
        }
    }

    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        self.fs.run(Op::SetLen, &self.path, || self.file.set_len(length_bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.run(Op::SyncData, &self.path, || self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.fs.run(Op::SyncAll, &self.path, || self.file.sync_all())
    }

    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    /// Nobody of another process writes beside these tests, so there is nothing to wait for.
    fn settle(&self) {}

    fn map(&self, length_bytes: u64) -> Option<Map> {
        self.file.map(length_bytes)
    }
}
