//! One writer per session, across processes.
//!
//! An advisory lock (`flock`) on `locks/<slug>~<hash>.lock`: the kernel lets it go when its owner dies, however it dies. The
//! file says who holds it, for people; only the kernel's lock counts. It is removed on release, so whoever gets the lock
//! looks again whether the file it locked still has its name: a lock on a removed file excludes nobody.
//!
//! Invariant: without a lock file, everything that we wrote to the key's transcripts is durable. Who dies leaves his behind, and
//! so does who goes with something in doubt: after a failed fsync the page cache shows what may not be on disk, and nothing else
//! would tell. It stays until every transcript of the key was recovered (`src/format.md`, "The lock file").

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fs::{Fs, FsFile, IoContext as _, OpenMode, PathError, read_all};
use crate::timestamp::Timestamp;

/// How often a busy lock is tried again while waiting.
const RETRY: Duration = Duration::from_millis(20);
/// Waited for in any case: a holder that has just taken the lock has not said yet who it is.
const PATIENCE: Duration = Duration::from_millis(40);
/// Waited for in any case when the holder says that it only looks: one process's close must not fail another's append.
const PATIENCE_BRIEF: Duration = Duration::from_secs(10);
/// Waited for by who only asks: who has just taken the lock for a moment may still stand there under the name of its last owner.
const PATIENCE_TO_ASK: Duration = Duration::from_millis(5);
/// More than any holder's description.
const HOLDER_BYTES_MAX: u64 = 4096;

/// Who holds a session's lock, as it wrote of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// Process id on its host.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// When it took the lock, by its clock.
    pub since: Timestamp,
    /// It does not write for long: it folds the session's row, or repairs it.
    #[serde(default)]
    pub brief: bool,
}

/// What a lock is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To write for as long as somebody appends.
    Append,
    /// To do one thing and let go; not worth waiting for.
    Brief,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {} since {}", self.pid, self.host, self.since)
    }
}

/// A lock that could not be had.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Someone else has it; `None` when the holder has not said who it is.
    Busy(Option<Holder>),
    Io(PathError),
}

/// The writer's lock of one key; released on drop.
#[derive(Debug)]
pub(crate) struct Lock {
    fs: std::sync::Arc<dyn Fs>,
    path: PathBuf,
    /// Locked while it is open.
    _file: Box<dyn FsFile>,
    identity: (u64, u64),
    /// Its file was there already: something of an earlier owner may be in doubt.
    left_behind: bool,
    /// Something of ours is not known to be durable.
    in_doubt: bool,
}

impl Lock {
    /// Takes the lock, waiting for `wait`, or a little longer where that is sure to help.
    pub(crate) fn acquire(
        fs: &std::sync::Arc<dyn Fs>,
        path: &Path,
        file_mode: u32,
        wait: Duration,
        purpose: Purpose,
    ) -> Result<Self, LockError> {
        let mut waited = Duration::ZERO;
        let mut took_away = false;
        loop {
            match Self::try_acquire(fs, path, file_mode, purpose)? {
                Attempt::Locked(mut lock) => {
                    lock.left_behind |= took_away;
                    return Ok(lock);
                }
                // A file system on which it never is the same file would have us try for ever without a pause.
                Attempt::Removed => fs.pause(Duration::from_millis(1)),
                Attempt::TakenAway => took_away = true,
                Attempt::Busy(holder) => {
                    let is_brief = holder.as_ref().is_some_and(|holder| holder.brief);
                    let patience = match purpose {
                        Purpose::Append => wait.max(if is_brief { PATIENCE_BRIEF } else { PATIENCE }),
                        Purpose::Brief => wait,
                    };
                    let left = patience.saturating_sub(waited);
                    if left.is_zero() {
                        return Err(LockError::Busy(holder));
                    }
                    fs.pause(left.min(RETRY));
                    waited = waited.saturating_add(left.min(RETRY));
                }
            }
        }
    }

    fn try_acquire(
        fs: &std::sync::Arc<dyn Fs>,
        path: &Path,
        file_mode: u32,
        purpose: Purpose,
    ) -> Result<Attempt, LockError> {
        let io = |operation| {
            move |error| {
                LockError::Io(PathError { operation, path: path.to_owned(), source: std::sync::Arc::new(error) })
            }
        };
        let (file, mut left_behind) = match fs.open(path, OpenMode::CreateNew { mode: file_mode }) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                (fs.open(path, OpenMode::Create { mode: file_mode }).map_err(io("open lock"))?, true)
            }
            made => (made.map_err(io("open lock"))?, false),
        };
        if !file.try_lock().map_err(io("lock"))? {
            let text = read_all(&*file, HOLDER_BYTES_MAX).unwrap_or_default();
            return Ok(Attempt::Busy(serde_json::from_slice(&text).ok()));
        }
        let ours = file.stat().map_err(io("stat lock"))?;
        match fs.stat(path) {
            Ok(named) if named.identity == ours.identity => {}
            Ok(_) => return Ok(Attempt::Removed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Attempt::Removed),
            Err(error) => return Err(io("stat lock")(error)),
        }
        if ours.link_count > 1 {
            // Its other name may be anybody's file: ours is taken away, and nothing is written to it. Nobody else can have
            // the lock of this one now, and whoever waits for it looks at the name again.
            fs.remove(path).map_err(io("remove lock"))?;
            return Ok(Attempt::TakenAway);
        }
        // Somebody may have had it between our making it and our lock.
        left_behind |= ours.length_bytes > 0;
        // Who we are helps people only: a full disk must not keep a session from being written to.
        if let Ok(text) = serde_json::to_vec(&Holder::this_process(purpose, fs.now())) {
            file.set_len(0).and_then(|()| file.write_at(&text, 0)).ok();
        }
        let (fs, path) = (std::sync::Arc::clone(fs), path.to_owned());
        Ok(Attempt::Locked(Self { fs, path, _file: file, identity: ours.identity, left_behind, in_doubt: false }))
    }

    /// Something is about to be written: who goes from here on, by an error or a panic, leaves the lock file behind.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Everything that was written since [`doubt`](Self::doubt) is durable.
    pub(crate) fn trust(&mut self) {
        self.in_doubt = false;
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Says whether an earlier owner left the file behind.
    pub(crate) fn was_left_behind(&self) -> bool {
        self.left_behind
    }

    /// Every transcript of the key was recovered: what an earlier owner left in doubt is settled.
    pub(crate) fn settle(&mut self) {
        self.left_behind = false;
    }

    /// Says whether the lock still excludes others: whoever finds another file under its name, or none and makes a new one,
    /// locks that. A link count would not tell, since the file may have got a second name.
    pub(crate) fn is_held(&self) -> Result<bool, PathError> {
        match self.fs.look(&self.path) {
            Ok(named) => Ok(named.identity == self.identity),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context("stat lock", &self.path),
        }
    }
}

/// Says whether somebody holds the lock to write for as long as it likes. Who holds it only to look is waited for.
pub(crate) fn is_taken(fs: &dyn Fs, path: &Path) -> Result<bool, PathError> {
    let mut waited = Duration::ZERO;
    loop {
        let file = match fs.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).context("open lock", path),
        };
        if !file.is_locked().context("lock", path)? {
            return Ok(false);
        }
        let text = read_all(&*file, HOLDER_BYTES_MAX).unwrap_or_default();
        let patience = match serde_json::from_slice::<Holder>(&text) {
            Ok(holder) if holder.brief => PATIENCE_BRIEF,
            Ok(_) => PATIENCE_TO_ASK,
            Err(_) => PATIENCE,
        };
        if waited >= patience {
            return Ok(true);
        }
        let pause = RETRY.min(PATIENCE_TO_ASK);
        fs.pause(pause);
        waited = waited.saturating_add(pause);
    }
}

/// What a lock's file says and the kernel knows.
#[derive(Debug)]
pub(crate) struct Look {
    /// Somebody has it.
    pub(crate) held: bool,
    /// Who had it last, if that was said.
    pub(crate) holder: Option<Holder>,
    /// Which file it is.
    pub(crate) identity: (u64, u64),
}

/// Looks at a lock without waiting for anybody; `None` where there is no such file.
pub(crate) fn look(fs: &dyn Fs, path: &Path) -> Result<Option<Look>, PathError> {
    let file = match fs.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("open lock", path),
    };
    let held = file.is_locked().context("lock", path)?;
    let text = read_all(&*file, HOLDER_BYTES_MAX).unwrap_or_default();
    let identity = file.stat().context("stat lock", path)?.identity;
    Ok(Some(Look { held, holder: serde_json::from_slice(&text).ok(), identity }))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while we hold it, so nobody else can have this very file. A leftover does no harm; it has a rebuild look twice.
        // If someone else removed ours, the name belongs to another holder by now.
        if !self.in_doubt && !self.left_behind && self.is_held().unwrap_or(false) {
            self.fs.remove(&self.path).ok();
        }
    }
}

enum Attempt {
    Locked(Lock),
    Busy(Option<Holder>),
    /// Its holder removed the file between our open and our lock.
    Removed,
    /// It had another name, and has lost ours. It may have been left behind.
    TakenAway,
}

impl Holder {
    fn this_process(purpose: Purpose, since: Timestamp) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { pid: std::process::id(), host, since, brief: purpose == Purpose::Brief }
    }
}
