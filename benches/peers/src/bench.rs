//! What all rows share: where to measure, how long, and what was found.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::device::Device;
use crate::plot::Group;
use crate::report::Table;
use crate::slices::Length;

/// One run.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The folder to measure in.
    pub(crate) folder: PathBuf,
    /// How long each peer runs in each table of appends.
    pub(crate) seconds: f64,
    pub(crate) length: Length,
    /// A smoke test: everything small and short.
    pub(crate) quick: bool,
    /// Also with 1,000,000 sessions.
    pub(crate) large: bool,
    /// Whether stores that were built stay for the next run.
    pub(crate) keep: bool,
    /// Size of the long transcript.
    pub(crate) gib: f64,
    pub(crate) tables: Vec<Table>,
    /// For the plot.
    pub(crate) bars: Vec<Group>,
}

impl Bench {
    /// How many slices fill the time.
    pub(crate) fn rounds(&self) -> usize {
        let slice = self.length.warm + self.length.measured;
        ((self.seconds / slice.as_secs_f64()).round() as usize).max(1)
    }

    /// How often something is done that takes a while.
    pub(crate) fn repeats(&self, wanted: usize) -> usize {
        if self.quick { wanted.min(3) } else { wanted }
    }

    pub(crate) fn device(&self) -> Option<Device> {
        Device::below(&self.folder)
    }

    /// Prints a table, and keeps it for the file.
    pub(crate) fn show(&mut self, table: Table) {
        println!("{}", table.markdown());
        self.tables.push(table);
    }
}

/// A folder that goes when it is no longer needed.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder.
    pub(crate) fn new(path: PathBuf) -> Self {
        if path.exists() {
            std::fs::remove_dir_all(&path).expect("a folder of an earlier run that can be removed");
        }
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed with the whole folder, or by the next run.
        std::fs::remove_dir_all(&self.0).ok();
        // What is not written back yet would be written beside the next row.
        settle(self.0.parent().unwrap_or(&self.0));
    }
}

/// Waits until a file system has written back what it holds.
pub(crate) fn settle(folder: &Path) {
    let folder = std::fs::File::open(folder).expect("a folder");
    rustix::fs::syncfs(folder).expect("a sync of the file system");
    std::thread::sleep(Duration::from_millis(100));
}
