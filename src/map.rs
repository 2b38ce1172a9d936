//! Read-only memory maps: the only `unsafe` of the crate.
//!
//! Used for scans of files whose writer's lock we hold. A page of a map that the disk can not deliver is a SIGBUS, which
//! would take the whole gateway down with one bad sector; so pages are faulted in by `MADV_POPULATE_READ` (Linux 5.14)
//! window by window, which reports that as an error, and whoever gets `None` reads with `read(2)` instead.

#![expect(unsafe_code, reason = "memory maps can not be had without")]

use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// How much is faulted in at once.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// A read-only map of the first bytes of a file.
#[derive(Debug)]
pub struct Map {
    map: memmap2::Mmap,
    /// Which windows were faulted in without an error.
    populated: Vec<AtomicBool>,
}

impl Map {
    /// Maps the first `length_bytes` of a file; `None` where the platform or the file system can not.
    ///
    /// The caller holds the lock of the file's only writer, or the file is closed for good: nobody that keeps to the
    /// protocol changes or cuts it while the map lives.
    pub(crate) fn new(file: &File, length_bytes: u64) -> Option<Self> {
        let length = usize::try_from(length_bytes).ok().filter(|length| *length > 0)?;
        // SAFETY: a map is read through `&[u8]`, so the file must not change below it. Our callers hold the writer's
        // lock of the transcript, which every writer of this crate takes before it writes or truncates. A program that
        // ignores the lock can still cut the file: then `get` fails to populate, or the process gets a SIGBUS; either way
        // nothing is written.
        let map = unsafe { memmap2::MmapOptions::new().len(length).map(file) }.ok()?;
        let populated = std::iter::repeat_with(|| AtomicBool::new(false)).take(length.div_ceil(WINDOW_BYTES)).collect();
        Some(Self { map, populated })
    }

    /// Returns the bytes from `offset` on that are in memory, at least `want` of them if the map has so many; `None` when
    /// the disk does not deliver them.
    pub(crate) fn get(&self, offset: u64, want: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        let last = start.saturating_add(want.max(1)).saturating_sub(1).min(self.map.len().saturating_sub(1));
        let end = (last / WINDOW_BYTES).saturating_add(1).saturating_mul(WINDOW_BYTES).min(self.map.len());
        for window in start / WINDOW_BYTES..=last / WINDOW_BYTES {
            let populated = self.populated.get(window)?;
            if !populated.load(Relaxed) {
                let from = window.saturating_mul(WINDOW_BYTES);
                self.populate(from, from.saturating_add(WINDOW_BYTES).min(self.map.len()))?;
                populated.store(true, Relaxed);
            }
        }
        self.map.get(start..end)
    }

    #[cfg(target_os = "linux")]
    fn populate(&self, start: usize, end: usize) -> Option<()> {
        self.map.advise_range(memmap2::Advice::PopulateRead, start, end.saturating_sub(start)).ok()
    }

    /// Without a way to ask for the pages, a read error would be a SIGBUS.
    #[cfg(not(target_os = "linux"))]
    fn populate(&self, _start: usize, _end: usize) -> Option<()> {
        None
    }
}
