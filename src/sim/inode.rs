//! One file of the simulated disk: what readers see, what is durable, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::SECTOR_BYTES;
use crate::fs::{FileKind, Stat};
use crate::sim::Chance;

/// The format's sector, to index with.
const SECTOR: usize = 512;
const _: () = assert!(SECTOR_BYTES == 512);

/// A change of a file since its last successful sync.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// With `true`: a failed sync marked it clean, no later one writes it.
    pub(super) changes: Vec<(Change, bool)>,
    /// So many of the changes, the first, are of before the last successful sync.
    settled: usize,
    pub(super) link_count: u64,
    pub(super) modified_ns: i128,
    pub(super) changed_ns: i128,
    /// How often a sync of the whole disk failed for this file: of the last one, whoever had it open is told by his own sync,
    /// and whoever opens it until one was told.
    pub(super) failures: u64,
    pub(super) was_told: bool,
    /// The handle that holds the lock.
    pub(super) locked_by: Option<u64>,
}

impl Inode {
    pub(super) fn stat(&self, number: usize) -> Stat {
        Stat {
            kind: FileKind::Regular,
            length_bytes: u64::try_from(self.live.len()).unwrap_or(u64::MAX),
            identity: (1, u64::try_from(number).unwrap_or(u64::MAX)),
            link_count: self.link_count,
            mode: 0o600,
            owner: 0,
            modified_ns: self.modified_ns,
            changed_ns: self.changed_ns,
        }
    }

    /// Notes when the content was changed, or only a name.
    pub(super) fn touch(&mut self, now_ns: i128, is_content: bool) {
        self.changed_ns = now_ns;
        if is_content {
            self.modified_ns = now_ns;
        }
    }

    /// Writes every sector that a change since the last sync touched, whole and as it is now.
    pub(super) fn sync(&mut self) {
        let (clean, dirty): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes).into_iter().partition(|change| change.1);
        let written: BTreeSet<usize> = dirty.iter().flat_map(|(change, _)| change.sectors()).collect();
        self.durable.resize(self.live.len(), 0);
        for sector in &written {
            put_sector(&mut self.durable, *sector, &sector_of(&self.live, *sector));
        }
        self.durable.truncate(self.live.len());
        // What a failed sync left unwritten may still be on the disk, but not where this one has written, and not behind the
        // end: the length is settled, and what is written there later finds no stale content (assumption 4).
        let length = self.live.len();
        self.changes = clean
            .into_iter()
            .flat_map(|(change, _)| change.split())
            .filter(|change| !written.contains(change.sectors().start()))
            .filter_map(|change| change.before(length))
            .map(|change| (change, true))
            .collect();
        // The length is what it is now: a later crash shows none that only the failed sync would have written.
        self.settled = self.changes.len();
    }

    /// The pages are clean now, whatever is on the disk.
    pub(super) fn fail_sync(&mut self, drop_pages: bool) {
        for change in &mut self.changes {
            change.1 = true;
        }
        if drop_pages {
            self.live.clone_from(&self.durable);
        }
    }

    /// A sync of the whole disk failed for this file, if it had anything to write.
    pub(super) fn fail_unasked(&mut self, drop_pages: bool) {
        if self.changes.iter().any(|change| !change.1) {
            self.fail_sync(drop_pages);
            self.failures = self.failures.saturating_add(1);
            self.was_told = false;
        }
    }

    /// Decides for every sector which of its versions since the last sync is on the disk, and for the file which length:
    /// by a seed, with a liking for what real disks do.
    pub(super) fn crash(&mut self, chance: &mut Chance) {
        let Some(History { count, versions, lengths }) = self.end() else { return };
        let mode = chance.below(5);
        if mode == 0 {
            return;
        }
        let kept_until = chance.below(count.saturating_add(1));
        let newest = |chance: &mut Chance, versions: &[(u64, Vec<u8>)]| match mode {
            1 => versions.len(),
            2 => versions.iter().filter(|(number, _)| *number < kept_until).count(),
            3 => index(chance, versions.len() + 1),
            _ if chance.one_in(4) => 0,
            _ => versions.len(),
        };
        for (sector, versions) in &versions {
            let newest = newest(chance, versions);
            self.keep(*sector, versions, newest);
        }
        // The length is metadata of its own: one that the file had at some moment, or one between the old and the new, wherever
        // the sectors are.
        let (least, most) = span(&lengths);
        let length = if chance.one_in(3) { least + index(chance, most - least + 1) } else { pick(chance, &lengths) };
        self.live.resize(length, 0);
        self.durable.clone_from(&self.live);
    }

    /// As [`crash`](Self::crash), each choice free of the others: a path leads to every outcome, with one exception: of the
    /// lengths that the file never had, only whole sectors and what is one byte beside them.
    pub(super) fn crash_any(&mut self, chance: &mut Chance) {
        let Some(History { versions, mut lengths, .. }) = self.end() else { return };
        for (sector, versions) in &versions {
            let newest = index(chance, versions.len() + 1);
            self.keep(*sector, versions, newest);
        }
        let (least, most) = span(&lengths);
        let ends = (least / SECTOR + 1..).map(|sector| sector * SECTOR).take_while(|end| *end < most);
        lengths.extend(ends.flat_map(|end| [end, end + 1]).filter(|end| *end < most));
        lengths.sort_unstable();
        lengths.dedup();
        let length = pick(chance, &lengths);
        self.live.resize(length, 0);
        self.durable.clone_from(&self.live);
    }

    /// Puts the `newest`-th version of a sector on the disk; 0 is what it held before.
    fn keep(&mut self, sector: usize, versions: &[(u64, Vec<u8>)], newest: usize) {
        if let Some((_, bytes)) = newest.checked_sub(1).and_then(|newest| versions.get(newest)) {
            put_sector(&mut self.live, sector, bytes);
        }
    }

    /// Ends a life: shows what is durable for certain, and returns what else may be.
    fn end(&mut self) -> Option<History> {
        let changes = std::mem::take(&mut self.changes);
        let settled = u64::try_from(std::mem::take(&mut self.settled)).unwrap_or(0);
        let (before, after) = (self.durable.len(), self.live.len());
        self.live.clone_from(&self.durable);
        if changes.is_empty() {
            return None;
        }
        let mut running = self.durable.clone();
        // A sector is written whole, so it shows all that was in it at some moment, never one write without an earlier one.
        let mut versions: BTreeMap<usize, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
        let (mut lengths, mut length) = (vec![before, after], before);
        for ((change, _), number) in changes.iter().zip(0..) {
            change.apply(&mut running);
            if number >= settled {
                length = change.length_after(length);
                lengths.push(length);
            }
            for sector in change.sectors() {
                versions.entry(sector).or_default().push((number, sector_of(&running, sector)));
            }
        }
        let count = u64::try_from(changes.len()).unwrap_or(0);
        Some(History { count, versions, lengths })
    }
}

/// What an unsynced file may come to.
struct History {
    /// Number of changes.
    count: u64,
    /// Of each touched sector the number of each change and the sector after it.
    versions: BTreeMap<usize, Vec<(u64, Vec<u8>)>>,
    /// The lengths that it had, twice or more where it had one for long.
    lengths: Vec<usize>,
}

fn span(lengths: &[usize]) -> (usize, usize) {
    (lengths.iter().copied().min().unwrap_or(0), lengths.iter().copied().max().unwrap_or(0))
}

fn pick(chance: &mut Chance, lengths: &[usize]) -> usize {
    lengths.get(index(chance, lengths.len())).copied().unwrap_or(0)
}

fn index(chance: &mut Chance, count: usize) -> usize {
    usize::try_from(chance.below(u64::try_from(count).unwrap_or(0))).unwrap_or(0)
}

/// A sector's bytes, zeros behind the end.
fn sector_of(content: &[u8], sector: usize) -> Vec<u8> {
    let start = sector * SECTOR;
    let end = (start + SECTOR).min(content.len());
    let mut bytes = content.get(start..end).unwrap_or_default().to_vec();
    bytes.resize(SECTOR, 0);
    bytes
}

fn put_sector(content: &mut Vec<u8>, sector: usize, bytes: &[u8]) {
    let start = sector * SECTOR;
    if content.len() < start + SECTOR {
        content.resize(start + SECTOR, 0);
    }
    if let Some(target) = content.get_mut(start..start + SECTOR) {
        target.copy_from_slice(bytes);
    }
}

impl Change {
    /// The sectors that it touches. Of a truncation the one that it cuts: those behind are gone with the length.
    fn sectors(&self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::SetLen(length) => length / SECTOR..=length / SECTOR,
            Self::Write { offset, bytes } => offset / SECTOR..=(offset + bytes.len().max(1) - 1) / SECTOR,
        }
    }

    /// The file's length after it.
    fn length_after(&self, length: usize) -> usize {
        match self {
            Self::SetLen(length) => *length,
            Self::Write { offset, bytes } => length.max(offset + bytes.len()),
        }
    }

    /// The same write, one for each sector; a truncation is none, its length was written.
    fn split(self) -> Vec<Self> {
        let sectors = self.sectors();
        let Self::Write { offset, bytes } = self else { return Vec::new() };
        let part = |sector: usize| {
            let start = (sector * SECTOR).max(offset);
            let end = ((sector + 1) * SECTOR).min(offset + bytes.len());
            let bytes = bytes.get(start - offset..end - offset).unwrap_or_default().to_vec();
            Self::Write { offset: start, bytes }
        };
        sectors.map(part).collect()
    }

    /// The part of a write that stands before an end.
    fn before(self, end: usize) -> Option<Self> {
        let Self::Write { offset, mut bytes } = self else { return None };
        bytes.truncate(end.saturating_sub(offset));
        (!bytes.is_empty()).then_some(Self::Write { offset, bytes })
    }

    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::SetLen(length) => content.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(target) = content.get_mut(*offset..end) {
                    target.copy_from_slice(bytes);
                }
            }
        }
    }
}
