//! What reaches the block device below a folder.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The counters of a block device. Of a disk that others use, too, they count what others do.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    stat: PathBuf,
}

/// Counted since the start of the machine, or between two looks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    /// Requests to make durable what was written, as the kernel sends them.
    pub(crate) flushes: u64,
    pub(crate) written_bytes: u64,
}

impl Counters {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { flushes: self.flushes - before.flushes, written_bytes: self.written_bytes - before.written_bytes }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { flushes: self.flushes + other.flushes, written_bytes: self.written_bytes + other.written_bytes }
    }
}

impl Device {
    /// Finds the device of a folder's file system; none where it has no single one, or the kernel does not count flushes (before
    /// Linux 5.5).
    pub(crate) fn below(folder: &Path) -> Option<Self> {
        let device = std::fs::metadata(folder).ok()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let found = Self { stat: format!("/sys/dev/block/{major}:{minor}/stat").into() };
        found.read().map(|_| found)
    }

    /// Reads the counters: Documentation/block/stat.rst of the kernel.
    pub(crate) fn read(&self) -> Option<Counters> {
        let text = std::fs::read_to_string(&self.stat).ok()?;
        let field = |number: usize| text.split_whitespace().nth(number - 1)?.parse::<u64>().ok();
        Some(Counters { flushes: field(16)?, written_bytes: field(7)? * 512 })
    }
}
