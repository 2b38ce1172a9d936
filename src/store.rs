//! The public face: options, the store, its sessions.

pub(crate) mod commit;
pub(crate) mod committers;
pub(crate) mod compare;
pub(crate) mod create;
pub(crate) mod drain;
pub(crate) mod folder;
pub(crate) mod graves;
pub(crate) mod group;
pub(crate) mod inner;
pub(crate) mod job;
pub(crate) mod keeper;
pub(crate) mod listing;
pub(crate) mod marks;
pub(crate) mod options;
pub(crate) mod resumes;
pub(crate) mod rows;
pub(crate) mod session;
pub(crate) mod settle;
pub(crate) mod slot;
pub(crate) mod submit;
pub(crate) mod turns;
pub(crate) mod view;
pub(crate) mod waiter;

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::key::SessionKey;
use crate::registry::{RegistryState, Row};
pub use create::NewSession;
pub use drain::Drained;
use inner::Inner;
pub use options::Options;
pub use resumes::{MarkedRecent, Resumable};
pub use session::{ReadOptions, Session};
pub use submit::Pending;
pub use turns::Turn;
pub use view::{Context, Summary, Undone};

/// A session store: a folder of transcripts and an index that can always be folded again from them.
///
/// Cheap to clone, `Send + Sync + 'static`; all clones and all [`Session`]s are one store. When the last of them is dropped
/// the store is closed as by [`close`](Self::close), with errors ignored. Two stores opened on one folder, in one process or
/// two, exclude each other session by session, as any two writers do.
///
/// ```
/// use sesslog::{NewRecord, Options};
/// # let folder = tempfile::tempdir()?;
/// let store = Options::new().open(folder.path())?;
/// let session = store.session("telegram:8281248569")?;
/// let receipt = session.append(NewRecord::json(r#"{"role":"user","content":"hi"}"#)?)?;
/// assert!(receipt.durable, "it would survive a power cut now");
/// for item in session.records()? {
///     println!("{item:?}");
/// }
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// What a gateway logs holds no text of records: neither those that are queued nor titles.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// Closes the store with the last clone of it.
#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        self.inner.close().ok();
    }
}

/// What a flush of the whole store did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Flushed {
    /// Sessions that had unsynced records and have none any more: one fdatasync each.
    pub sessions: usize,
    /// Sessions that could not be flushed (or, by a close, sealed), with the reason.
    pub failures: Vec<(SessionKey, Error)>,
    /// Why a close could not save the registry. It is a cache: the next open folds again what is missing.
    pub registry: Option<Error>,
}

/// One entry of a listing.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "nearly all are rows")]
pub enum Listed {
    /// A session and its row.
    Session(Row),
    /// A transcript that can not be listed: a bad header, an unknown format, no permission. Never left out.
    Unreadable {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        error: Error,
    },
}

impl Store {
    /// Opens a store with default [`Options`], making the folder if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folders can not be made or the registry can not be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().open(path)
    }

    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { handle: Arc::new(Handle { inner }) }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    /// Returns the store's folder.
    pub fn path(&self) -> &Path {
        &self.inner().layout.root
    }

    /// Returns what was found where the registry should be when the store was opened.
    pub fn registry_state(&self) -> RegistryState {
        self.inner().registry_state
    }

    /// Returns the session of a key. Nothing is read or made; the first append makes the transcript.
    ///
    /// All handles of one store to the same key share one writer; appends that wait together form one commit.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when the text is not a key.
    pub fn session(&self, key: impl AsRef<str>) -> Result<Session, Error> {
        let key = SessionKey::new(key)?;
        let slot = self.inner().slot(&key);
        Ok(Session::new(self.clone(), slot))
    }

    /// Lists all sessions, generations included, by key and generation, each with an up-to-date row.
    ///
    /// Costs a `stat` a transcript, and two reads where the registry is not proven to be as it was saved; only what its row does
    /// not cover is read. What can not be listed is in the list, too.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folder can not be listed.
    pub fn sessions(&self) -> Result<Vec<Listed>, Error> {
        self.inner().sessions()
    }

    /// Lists the newest sessions, the one with the last activity first: the newest generation of each key, without the store's own,
    /// each with an up-to-date row. Behind them stands what can not be listed, if anything.
    ///
    /// Beside a large registry that was closed or rebuilt since the machine was started it costs the reading of the first page and
    /// a `stat` a session listed, however many there are; else it costs what [`sessions`](Self::sessions) does.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folder or the registry can not be read.
    pub fn recent(&self, limit: usize) -> Result<Vec<Listed>, Error> {
        self.inner().recent(limit)
    }

    /// Makes every buffered record durable: one fdatasync for each session that has any, none for the others.
    ///
    /// It goes on past a session that fails; that one is poisoned and named in the result.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] and [`Error::ReadOnly`] only.
    pub fn flush(&self) -> Result<Flushed, Error> {
        self.inner().flush()
    }

    /// Flushes and seals every open session, lets go of their locks, brings the registry up to date with all transcripts
    /// and saves it. Afterwards appends fail with [`Error::Closed`].
    ///
    /// # Errors
    ///
    /// None at present. Sessions that could not be flushed, and why the registry could not be saved, are in the result.
    pub fn close(&self) -> Result<Flushed, Error> {
        self.inner().close()
    }
}
