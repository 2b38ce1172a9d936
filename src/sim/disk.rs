//! The simulated disk itself: files, names, and what of both is durable; the faults that are to come.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::inode::Inode;
use super::{Chance, SimFault, SimOp};

/// A path as its bytes, which compare faster than its components.
pub(super) type Name = OsString;

/// A change of a folder's names since its last successful sync: all of it survives, or nothing.
#[derive(Debug, Clone)]
pub(super) struct NameChange {
    pub(super) folder: Name,
    pub(super) set: Option<(Name, usize)>,
    pub(super) removed: Option<Name>,
}

/// An operation that is to fail.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    pub(super) op: SimOp,
    /// Which one since the disk was made; every one without a number.
    pub(super) number: Option<u64>,
    pub(super) fault: SimFault,
}

/// What is on the disk and in front of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) inodes: Vec<Inode>,
    pub(super) live: BTreeMap<Name, usize>,
    pub(super) durable: BTreeMap<Name, usize>,
    pub(super) folders: BTreeSet<Name>,
    pub(super) folder_times: BTreeMap<Name, i128>,
    pub(super) names: Vec<NameChange>,
    /// Time of the last change of a file or a folder. It passes between any two: a file's times tell whether it was changed.
    pub(super) changed_ns: i128,
    pub(super) clock_ms: i64,
    pub(super) random: Chance,
    pub(super) next_handle: u64,
    /// Handles of an earlier life are dead.
    pub(super) epoch: u64,
    /// How often the machine was started anew.
    pub(super) boots: u64,
    pub(super) counts: BTreeMap<SimOp, u64>,
    pub(super) failing: Vec<Failing>,
    pub(super) met: Vec<(SimOp, SimFault)>,
    /// The power goes before the operation with this number; everything fails from then on.
    pub(super) power_cut_at: Option<u64>,
    pub(super) operations: u64,
    /// The disk before each operation that changes something.
    pub(super) recorded: Option<Vec<Self>>,
    /// The operations in words.
    pub(super) told: Option<Vec<String>>,
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<Name, usize>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((path, inode)) = &self.set {
            names.insert(path.clone(), *inode);
        }
    }
}

/// The folder of a path, as `Path::parent` has it for those that a store uses.
pub(super) fn folder_of(name: &OsStr) -> &OsStr {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = name.as_bytes();
    let end = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    OsStr::from_bytes(bytes.get(..end).unwrap_or_default())
}

impl Disk {
    /// Decides which of the name changes survive, and starts the next life.
    pub(super) fn begin_again(&mut self, survives: Vec<bool>) {
        for (change, survives) in std::mem::take(&mut self.names).into_iter().zip(survives) {
            if survives {
                change.apply(&mut self.durable);
            }
        }
        self.boots = self.boots.wrapping_add(1);
        self.live = self.durable.clone();
        let mut links = vec![0_u64; self.inodes.len()];
        for inode in self.live.values() {
            if let Some(links) = links.get_mut(*inode) {
                *links = links.saturating_add(1);
            }
        }
        for (inode, links) in self.inodes.iter_mut().zip(links) {
            inode.link_count = links;
            inode.locked_by = None;
            inode.was_told = true;
            if links == 0 {
                *inode = Inode::default();
            }
        }
        self.begin_life();
    }

    pub(super) fn begin_life(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.power_cut_at = None;
        self.failing.clear();
        self.recorded = None;
    }

    /// Counts an operation; an error when it is to fail or the power is gone.
    pub(super) fn meet(
        &mut self,
        op: SimOp,
        what: &dyn Fn(&Self) -> String,
    ) -> Result<(), (io::Error, Option<SimFault>)> {
        let result = self.decide(op);
        let changes = !matches!(op, SimOp::Open | SimOp::Read | SimOp::ReadDir);
        if changes && result.is_ok() && self.recorded.is_some() {
            let recorded = self.recorded.take();
            let copy = self.clone();
            self.recorded = recorded.map(|mut recorded| {
                recorded.push(copy);
                recorded
            });
        }
        if self.told.is_some() && (changes || result.is_err()) {
            let fails = result.as_ref().err().map(|(error, _)| format!(": {error}")).unwrap_or_default();
            let line = format!("{} {op:?} {}{fails}", self.operations, what(self));
            self.told.as_mut().map(|told| told.push(line)).unwrap_or_default();
        }
        result
    }

    pub(super) fn decide(&mut self, op: SimOp) -> Result<(), (io::Error, Option<SimFault>)> {
        self.operations = self.operations.saturating_add(1);
        if self.power_cut_at.is_some_and(|at| self.operations > at) {
            return Err((io::Error::other("the power is gone"), None));
        }
        let count = self.counts.entry(op).or_default();
        *count = count.saturating_add(1);
        let is_due = |failing: &&Failing| failing.op == op && failing.number.is_none_or(|number| number == *count);
        match self.failing.iter().find(is_due) {
            Some(Failing { fault, .. }) => {
                self.met.push((op, *fault));
                Err((fault.error(), Some(*fault)))
            }
            None => Ok(()),
        }
    }

    pub(super) fn run(&mut self, op: SimOp, path: &Path) -> io::Result<()> {
        self.meet(op, &|_| path.display().to_string()).map_err(|(error, _)| error)
    }

    /// The name of a file, for people.
    pub(super) fn name_of(&self, inode: usize) -> String {
        let name = self.live.iter().find(|(_, number)| **number == inode);
        name.map_or_else(|| "an unlinked file".to_owned(), |(name, _)| name.to_string_lossy().into_owned())
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path.as_os_str()).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode(&mut self, number: usize) -> io::Result<&mut Inode> {
        self.inodes.get_mut(number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(SimOp::Rename, from)?;
        let inode = self.find(from)?;
        self.change_names(to, Some(inode), Some(from));
        Ok(())
    }

    /// Changes names now, and durably with the folder's next sync.
    pub(super) fn change_names(&mut self, path: &Path, set: Option<usize>, removed: Option<&Path>) {
        let folder = folder_of(path.as_os_str()).to_owned();
        let set = set.map(|inode| (path.as_os_str().to_owned(), inode));
        let removed = removed.map(|path| path.as_os_str().to_owned());
        let change = NameChange { folder: folder.clone(), set, removed };
        let now_ns = self.pass_time();
        for gone in [change.removed.as_ref(), change.set.as_ref().map(|set| &set.0)].into_iter().flatten() {
            if let Some(inode) = self.live.get(gone).copied().and_then(|inode| self.inodes.get_mut(inode)) {
                inode.link_count = inode.link_count.saturating_sub(1);
                inode.touch(now_ns, false);
            }
        }
        if let Some(inode) = change.set.as_ref().and_then(|set| self.inodes.get_mut(set.1)) {
            inode.link_count = inode.link_count.saturating_add(1);
            inode.touch(now_ns, false);
        }
        change.apply(&mut self.live);
        self.names.push(change);
        self.folder_times.insert(folder, now_ns);
    }

    /// Returns the time of a change, ten seconds after the one before.
    pub(super) fn pass_time(&mut self) -> i128 {
        self.changed_ns = self.changed_ns.saturating_add(10_000_000_000);
        self.changed_ns
    }
}
