//! Replacing a file so that a reader, and whoever looks after a crash, sees the old content or the new one.
//!
//! Temp file with a unique name in the same folder, write, optional fsync, rename, optional fsync of the folder. After any
//! failure the temp file is gone; temp files of other writers are never touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::TEMP_SUFFIX;
use crate::fs::{FileKind, Fs, FsFile, IoContext as _, OpenMode, OsFs, PathError, write_all};

/// Mode of a new file.
const MODE_DEFAULT: u32 = 0o600;

/// What a write waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// On stable storage before the call returns: survives a killed process, a kernel panic and a power cut, on a disk that
    /// honours flush.
    #[default]
    Sync,
    /// With the operating system when the call returns: survives a killed process, not a power cut. Appends become durable by
    /// a flush, by the next append that syncs, and when the session is let go of: by a close, the last drop of the store, or
    /// after it has been idle for a while.
    Buffered,
}

/// Replaces the content of `path`, or creates it.
///
/// The new file keeps the mode of the one it replaces, else it gets 0600. With [`Durability::Sync`] file and folder are
/// fsynced; a folder fsync that the file system does not know is tolerated. A reader sees the old bytes or the new ones.
/// A symbolic link at `path` is replaced, not followed.
///
/// # Errors
///
/// [`PathError`] with the operation that failed; the temp file is gone. After an error of the folder's fsync the new content
/// is in place, but may not survive a power cut.
///
/// ```
/// use sesslog::{Durability, atomic};
/// let folder = tempfile::tempdir()?;
/// atomic::write(&folder.path().join("state.json"), b"{}", Durability::Sync)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), PathError> {
    write_in(&OsFs, path, bytes, durability, None).map(drop)
}

/// [`write`] on any file system; `mode` overrules the mode kept.
pub(crate) fn write_in(
    fs: &dyn Fs,
    path: &Path,
    bytes: &[u8],
    durability: Durability,
    mode: Option<u32>,
) -> Result<Arc<dyn FsFile>, PathError> {
    let kept = || fs.stat(path).ok().filter(|stat| stat.kind == FileKind::Regular).map(|stat| stat.mode);
    let temp = TempFile::create(fs, path, mode.or_else(kept).unwrap_or(MODE_DEFAULT))?;
    write_all(&*temp.file, bytes, 0).context("write", &temp.path)?;
    if durability == Durability::Sync {
        temp.file.sync_all().context("fsync", &temp.path)?;
    }
    let file = temp.replace(path)?;
    if durability == Durability::Sync {
        sync_parent(fs, path)?;
    }
    Ok(file)
}

/// Fsyncs the folder that `path` is in.
pub(crate) fn sync_parent(fs: &dyn Fs, path: &Path) -> Result<(), PathError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs.sync_dir(parent).context("fsync folder", parent)
}

/// A file with a unique name beside its target, removed on drop unless it was renamed.
#[derive(Debug)]
pub(crate) struct TempFile<'fs> {
    fs: &'fs dyn Fs,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn FsFile>,
    renamed: bool,
}

impl<'fs> TempFile<'fs> {
    /// Makes `.<name>.<16 hex digits>.tmp` in the target's folder.
    pub(crate) fn create(fs: &'fs dyn Fs, target: &Path, mode: u32) -> Result<Self, PathError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let unique = fs.random().context("get random bytes for a temp file of", target)?;
        // 255 bytes is the longest name that file systems take.
        let name: String = name.chars().take(100).collect();
        let path = target.with_file_name(format!(".{name}.{unique:016x}{TEMP_SUFFIX}"));
        let file = fs.open(&path, OpenMode::CreateNew { mode }).context("create", &path)?;
        Ok(Self { fs, path, file: file.into(), renamed: false })
    }

    /// Renames over the target.
    pub(crate) fn replace(mut self, target: &Path) -> Result<Arc<dyn FsFile>, PathError> {
        self.fs.rename(&self.path, target).context("rename a temp file to", target)?;
        self.renamed = true;
        Ok(Arc::clone(&self.file))
    }

    /// Renames to a target that must not exist yet.
    pub(crate) fn persist_new(mut self, target: &Path) -> Result<Arc<dyn FsFile>, PathError> {
        self.fs.rename_new(&self.path, target).context("rename a temp file to", target)?;
        self.renamed = true;
        Ok(Arc::clone(&self.file))
    }

    /// Renames to `name` in its folder, or to `name.2`, `name.3` ... where that exists, and returns the name taken.
    pub(crate) fn persist_unique(mut self, name: &str) -> Result<String, PathError> {
        let mut number = 1_u64;
        loop {
            let taken = if number == 1 { name.to_owned() } else { format!("{name}.{number}") };
            let target = self.path.with_file_name(&taken);
            match self.fs.rename_new(&self.path, &target) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number = number.saturating_add(1),
                renamed => {
                    renamed.context("rename a temp file to", &target)?;
                    self.renamed = true;
                    return Ok(taken);
                }
            }
        }
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // The error that brought us here is the one to report.
            self.fs.remove(&self.path).ok();
        }
    }
}
