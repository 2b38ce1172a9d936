//! Where things are in a store, and with which permissions they are made.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{CHANGES_FILE, LOCKS_DIR, QUARANTINE_DIR, REGISTRY_FILE, RESERVE_FILE, TRANSCRIPTS_DIR, TRASH_DIR};
use crate::fs::{FileKind, Fs, IoContext as _, OpenMode, PathError};
use crate::key::{SessionKey, TranscriptName};

/// More than XFS wants to have for a rename into another folder.
const RESERVE_BYTES: u64 = 512 * 1024;

/// When a transcript is padded ahead, and how far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Padding {
    /// Durable commits in quick succession before it is.
    pub(crate) after_commits: u32,
    pub(crate) bytes_max: u64,
}

/// The folders of a store on its file system.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) root: PathBuf,
    pub(crate) file_mode: u32,
    pub(crate) dir_mode: u32,
    pub(crate) padding: Padding,
}

impl Layout {
    pub(crate) fn transcripts(&self) -> PathBuf {
        self.root.join(TRANSCRIPTS_DIR)
    }

    pub(crate) fn transcript(&self, key: &SessionKey, generation: u64) -> PathBuf {
        self.root.join(TRANSCRIPTS_DIR).join(key.file_name(generation))
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join(QUARANTINE_DIR)
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.root.join(TRASH_DIR)
    }

    pub(crate) fn lock(&self, key: &SessionKey) -> PathBuf {
        self.lock_of(&key.file_stem())
    }

    /// The lock of the key whose files have this stem.
    pub(crate) fn lock_of(&self, stem: &str) -> PathBuf {
        self.root.join(LOCKS_DIR).join(format!("{stem}.lock"))
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join(LOCKS_DIR)
    }

    pub(crate) fn changes(&self) -> PathBuf {
        self.root.join(CHANGES_FILE)
    }

    /// Lists the stems of the keys that have a lock's file: those that somebody writes to, and those whose writer was killed.
    pub(crate) fn locked_stems(&self) -> Result<HashSet<String>, PathError> {
        let locks = self.root.join(LOCKS_DIR);
        let mut stems = HashSet::new();
        let mut found = |name: &str| stems.extend(name.strip_suffix(".lock").map(str::to_owned));
        self.fs.read_dir(&locks, &mut found).context("list folder", &locks)?;
        Ok(stems)
    }

    /// Returns the lock of who folds the log into the registry. No key's has its name.
    pub(crate) fn fold_lock(&self) -> PathBuf {
        self.root.join(LOCKS_DIR).join("registry.lock")
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join(REGISTRY_FILE)
    }

    /// Makes what is missing of the store's folders. None of them may be a symbolic link: what it points to is not ours.
    pub(crate) fn create(&self) -> Result<(), PathError> {
        // Every folder that is made here needs its name made durable, or the store may vanish with one of its parents.
        let is_missing =
            |path: &&Path| self.fs.stat(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let parents = || self.root.ancestors().filter(|path| !path.as_os_str().is_empty());
        let made: Vec<_> = parents().take_while(is_missing).collect();
        self.fs.create_dir(&self.root, self.dir_mode).context("create folder", &self.root)?;
        for folder in made {
            crate::atomic::sync_parent(&*self.fs, folder)?;
        }
        for folder in [self.transcripts(), self.quarantine(), self.root.join(LOCKS_DIR)] {
            self.fs.create_dir(&folder, self.dir_mode).context("create folder", &folder)?;
            self.check_folder(&folder)?;
        }
        // Made before it is needed: a delete has to work on a full disk. A store that is full already is opened all the same.
        self.fs.create_dir(&self.trash(), self.dir_mode).ok();
        match self.check_folder(&self.trash()) {
            Err(error) if error.is_not_found() => Ok(()),
            checked => checked,
        }
    }

    fn reserve(&self) -> PathBuf {
        self.trash().join(RESERVE_FILE)
    }

    /// Lays space aside for [`give_up_reserve`](Self::give_up_reserve), if none is there and the disk has it.
    pub(crate) fn lay_reserve(&self) {
        let reserve = self.reserve();
        if self.fs.stat(&reserve).is_ok() {
            return;
        }
        let made = self.fs.open(&reserve, OpenMode::CreateNew { mode: self.file_mode });
        if made.and_then(|file| file.allocate(RESERVE_BYTES)).is_err() {
            self.fs.remove(&reserve).ok();
        }
    }

    /// Gives up the space laid aside: what frees space needs some, for a lock, a mark, a name in another folder. `false` when
    /// there is none.
    pub(crate) fn give_up_reserve(&self) -> bool {
        self.fs.remove(&self.reserve()).is_ok()
    }

    /// Makes `quarantine/` or `trash/` if it is missing, durably: a store from a backup may lack the empty folder.
    pub(crate) fn create_folder(&self, folder: &Path) -> Result<(), PathError> {
        self.fs.create_dir(folder, self.dir_mode).context("create folder", folder)?;
        // Somebody may have put a link there since the store was opened.
        self.check_folder(folder)?;
        self.fs.sync_dir(&self.root).context("fsync folder", &self.root)
    }

    /// Says whether there is a store.
    pub(crate) fn exists(&self) -> Result<bool, PathError> {
        match self.check_folder(&self.transcripts()) {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn check_folder(&self, path: &Path) -> Result<(), PathError> {
        let stat = self.fs.stat(path).context("stat", path)?;
        if stat.kind == FileKind::Directory {
            Ok(())
        } else {
            Err(std::io::Error::new(
                std::io::ErrorKind::NotADirectory,
                "not a folder (symbolic links are not followed here)",
            ))
            .context("use", path)
        }
    }

    /// Says whether nothing is there. Only `NotFound` means absent.
    pub(crate) fn is_gone(&self, path: &Path) -> bool {
        self.fs.stat(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// Lists the transcripts, sorted by name.
    pub(crate) fn list(&self) -> Result<Vec<TranscriptName>, PathError> {
        let mut names = Vec::new();
        self.each_transcript(|name| names.push(name))?;
        names.sort();
        Ok(names)
    }

    /// Gives the name of each transcript to `found`, in no order.
    pub(crate) fn each_transcript(&self, mut found: impl FnMut(TranscriptName)) -> Result<(), PathError> {
        let folder = self.transcripts();
        let mut parsed = |name: &str| TranscriptName::parse(name).into_iter().for_each(&mut found);
        self.fs.read_dir(&folder, &mut parsed).context("list folder", &folder)
    }

    /// Returns about how many transcripts there are.
    pub(crate) fn count(&self) -> Result<usize, PathError> {
        let (folder, mut count) = (self.transcripts(), 0_usize);
        let mut found = |_: &str| count = count.saturating_add(1);
        self.fs.read_dir(&folder, &mut found).context("list folder", &folder)?;
        Ok(count)
    }

    /// Makes the store's own folder and its name in its parent durable.
    pub(crate) fn sync_root(&self) -> Result<(), PathError> {
        self.fs.sync_dir(&self.root).context("fsync folder", &self.root)?;
        crate::atomic::sync_parent(&*self.fs, &self.root)
    }
}
