//! A store on a disk that is only memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sesslog::fs::{Fs as _, OpenMode};
use sesslog::sim::SimFs;
use sesslog::{Options, Store};

/// Where the registry is.
pub const REGISTRY: &str = "/store/registry.jsonl";

/// The folder `/store` on a disk of its own.
#[derive(Debug, Clone, Default)]
pub struct Disk(SimFs);

impl Disk {
    /// Returns a disk with a store that holds nothing yet.
    pub fn new() -> Self {
        let fs = SimFs::new();
        for folder in ["/", "/store", "/store/transcripts", "/store/quarantine", "/store/locks"] {
            fs.create_dir(Path::new(folder), 0o700).expect("a folder");
        }
        Self(fs)
    }

    /// Returns an independent copy.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(self.0.fork())
    }

    /// Makes or replaces a file.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let path = Path::new(path);
        self.0.open(path, OpenMode::Create { mode: 0o600 }).expect("a file");
        self.0.tamper(path, bytes);
        self.0.sync_dir(path.parent().expect("a folder")).expect("synced");
    }

    /// Returns a file's bytes.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.0.files().into_iter().find(|(name, _)| name == Path::new(path)).map(|(_, bytes)| bytes)
    }

    /// Returns every file but the locks.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.0.files().into_iter().filter(|(path, _)| !path.starts_with("/store/locks")).collect()
    }

    /// Returns what is in quarantine.
    pub fn quarantine(&self) -> Vec<Vec<u8>> {
        let files = self.files().into_iter();
        files.filter(|(path, _)| path.starts_with("/store/quarantine")).map(|(_, bytes)| bytes).collect()
    }

    fn options(&self) -> Options {
        // Nothing happens by the clock: an input means the same every time.
        let never = Duration::from_hours(1);
        Options::new().idle_release(never).registry_save_delay(never).file_system(Arc::new(self.0.clone()))
    }

    /// Opens the store for writing.
    pub fn open(&self) -> Store {
        self.options().open("/store").expect("whatever its files hold, a store opens")
    }

    /// Opens the store for reading.
    pub fn look(&self) -> Store {
        self.options().open_read_only("/store").expect("whatever its files hold, a store opens")
    }
}
