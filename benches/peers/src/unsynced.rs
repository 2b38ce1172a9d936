//! A file system that forgets to sync, to build large stores with: what is built is never measured as an append.

use std::io;
use std::path::Path;

use sesslog::fs::{Fs, FsFile, Map, OpenMode, OsFs, Stat};

#[derive(Debug)]
pub(crate) struct Unsynced;

impl Fs for Unsynced {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        OsFs.open(path, mode).map(|file| -> Box<dyn FsFile> { Box::new(UnsyncedFile(file)) })
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        OsFs.stat(path)
    }
    fn look(&self, path: &Path) -> io::Result<Stat> {
        OsFs.look(path)
    }
    fn read_dir(&self, path: &Path, found: &mut dyn FnMut(&str)) -> io::Result<()> {
        OsFs.read_dir(path, found)
    }
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        OsFs.create_dir(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.rename_new(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.hard_link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        OsFs.remove(path)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn boot(&self) -> Option<String> {
        OsFs.boot()
    }
}

#[derive(Debug)]
struct UnsyncedFile(Box<dyn FsFile>);

impl FsFile for UnsyncedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }
    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        self.0.set_len(length_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
    fn stat(&self) -> io::Result<Stat> {
        self.0.stat()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn is_locked(&self) -> io::Result<bool> {
        self.0.is_locked()
    }
    fn map(&self, length_bytes: u64) -> Option<Map> {
        self.0.map(length_bytes)
    }
}
