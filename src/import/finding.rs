//! What an import has to say of its sources, beside what it imported.

use std::path::PathBuf;

use crate::error::Error;
use crate::fs::PathError;
use crate::import::System;
use crate::import::salvage::Reason;
use crate::key::{KeyError, SessionKey};

/// Something about a source that whoever moves in should know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// The file or folder.
    pub path: PathBuf,
    /// The session's key, as far as it is known.
    pub key: Option<SessionKey>,
    /// The line, from 1.
    pub line: Option<u64>,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes it is about.
    pub bytes: u64,
    /// What it is.
    pub kind: FindingKind,
}

/// What was found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FindingKind {
    /// A line can not be a record as it is: its bytes are kept in a record of their own.
    KeptRaw {
        /// Why.
        reason: Reason,
        /// How many records could be read of it, which follow behind.
        salvaged: u64,
    },
    /// The path is not there, or can not be read.
    Unreadable(PathError),
    /// A symbolic link, which is not followed.
    SymbolicLink,
    /// Neither a file nor a folder.
    NotAFile,
    /// Nothing can be read of a registry: its sessions are imported without what it knows of them, under keys of their own.
    BadRegistry {
        /// Why.
        reason: String,
    },
    /// A database, or some rows of it, can not be read: what could be is imported.
    Database {
        /// Why.
        reason: String,
    },
    /// Nothing in the file is a record of the system.
    NotAHistory,
    /// The file is of another system than the one asked for.
    OtherSystem(System),
    /// The file changed while it was read: what was read is imported.
    Changed,
    /// Another source of this run has the same key.
    KeyClaimed {
        /// The file that it was imported from.
        by: PathBuf,
    },
    /// The store's session of this key is not an import of this source.
    KeyTaken,
    /// A record of an earlier import is not as imports write them: the source can not be compared with it.
    BadImport {
        /// Its generation.
        generation: u64,
        /// The record.
        seq: u64,
    },
    /// The key that the system gave can not be one; the file's name was taken instead.
    KeyReplaced(KeyError),
    /// Records were appended to the imported session in the store, and lines to the source: the new lines stand behind both.
    WentOn,
    /// Records were appended to the imported session in the store, and the source was rewritten: nothing was imported.
    Diverged,
    /// What a line says of the session can not be a mark; the line itself is imported.
    NoMark(Error),
    /// The store refused.
    Store(Error),
    /// Of a comparison: the store has no session of this source.
    NotImported,
    /// Of a comparison: from here on the store does not have these bytes.
    Missing,
    /// Of a comparison: the store has other bytes.
    Differs,
}

impl FindingKind {
    /// Returns the name in output.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeptRaw { reason, .. } => reason.name(),
            Self::Unreadable(_) => "unreadable",
            Self::SymbolicLink => "symbolic-link",
            Self::NotAFile => "not-a-file",
            Self::BadRegistry { .. } => "bad-registry",
            Self::Database { .. } => "database",
            Self::NotAHistory => "not-a-history",
            Self::OtherSystem(_) => "other-system",
            Self::Changed => "changed-while-read",
            Self::KeyClaimed { .. } => "key-claimed",
            Self::KeyTaken => "key-taken",
            Self::BadImport { .. } => "bad-import",
            Self::KeyReplaced(_) => "key-replaced",
            Self::WentOn => "went-on",
            Self::Diverged => "diverged",
            Self::NoMark(_) => "no-mark",
            Self::Store(_) => "store",
            Self::NotImported => "not-imported",
            Self::Missing => "missing",
            Self::Differs => "differs",
        }
    }

    #[cfg(not(feature = "import-sqlite"))]
    pub(crate) fn no_databases() -> Self {
        Self::Database { reason: "this build can not read databases (feature import-sqlite)".to_owned() }
    }

    #[cfg(feature = "import-sqlite")]
    pub(crate) fn of_database(error: &rusqlite::Error) -> Self {
        Self::Database { reason: error.to_string() }
    }

    /// Says whether all that was read is in the store all the same.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::KeptRaw { .. } | Self::Changed | Self::KeyReplaced(_) | Self::WentOn | Self::NoMark(_))
    }
}

impl Finding {
    pub(crate) fn new(path: impl Into<PathBuf>, kind: FindingKind) -> Self {
        Self { path: path.into(), key: None, line: None, offset: 0, bytes: 0, kind }
    }

    pub(crate) fn key(mut self, key: &SessionKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Says what to do about it, where something is left to do.
    pub fn advice(&self) -> Option<String> {
        Some(match &self.kind {
            FindingKind::OtherSystem(system) => format!("import it with --from {system}"),
            FindingKind::SymbolicLink => "name what it points to, if it is to be imported".to_owned(),
            FindingKind::Changed => "import it again when nobody writes to it".to_owned(),
            FindingKind::KeyClaimed { .. } | FindingKind::KeyTaken => "import it with another --key-prefix".to_owned(),
            FindingKind::Diverged => {
                "close the session with sessctl reset, then import again: it becomes the next generation".to_owned()
            }
            FindingKind::BadImport { .. } => {
                "put the session into the trash with sessctl delete, where it can be restored from, then import again"
                    .to_owned()
            }
            FindingKind::BadRegistry { .. } => "mend the file, then import again".to_owned(),
            FindingKind::Database { .. } => "stop what writes to it, or repair it, then import again".to_owned(),
            FindingKind::NotAHistory => "if it is one, name the system with --from".to_owned(),
            FindingKind::NotImported | FindingKind::Missing | FindingKind::Differs => {
                "sessctl import, which adds what is not there".to_owned()
            }
            _ => return None,
        })
    }
}
