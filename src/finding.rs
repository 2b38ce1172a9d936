//! What a verification finds: what it is, how bad, where, and what mends it.

use std::path::PathBuf;

use crate::damage::Defect;
use crate::error::Error;
use crate::key::{SessionKey, TranscriptName};

/// What a finding is about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FindingKind {
    /// Promised bytes of a transcript are bad or missing.
    Damage(Defect),
    /// Bytes at a transcript's end that were never promised; the next open for writing cuts them.
    Torn,
    /// The last record lacks its newline; the next open for writing adds it.
    Unterminated,
    /// A sound record's body or id is not JSON (`deep` only): it was written by another program.
    NotJson,
    /// The transcript's header is of an unknown format.
    UnsupportedFormat,
    /// The transcript's header names another session than its file.
    Misfiled,
    /// The transcript can not be read.
    Unreadable(Error),
    /// The registry has a row whose transcript is gone.
    RowWithoutFile,
    /// There is no registry.
    RegistryMissing,
    /// Some line of the registry is not a row.
    RegistryUnusable,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; nothing is wrong. Only [`Store::doctor`](crate::Store::doctor) finds it.
    Info,
    /// Nothing is wrong yet. Only [`Store::doctor`](crate::Store::doctor) finds it.
    Warning,
    /// Heals by itself at the next open or save; nothing that was acknowledged is affected.
    Heals,
    /// Could not be judged.
    Failed,
    /// Acknowledged records may be lost or unreadable.
    Damage,
}

impl Severity {
    /// Returns the name that reports and JSON output use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Heals => "heals",
            Self::Failed => "failed",
            Self::Damage => "damage",
        }
    }
}

impl FindingKind {
    /// Returns the name that reports and JSON output use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Damage(defect) => defect.name(),
            Self::Torn => "torn",
            Self::Unterminated => "unterminated",
            Self::NotJson => "not-json",
            Self::UnsupportedFormat => "unsupported-format",
            Self::Misfiled => "misfiled",
            Self::Unreadable(_) => "unreadable",
            Self::RowWithoutFile => "row-without-file",
            Self::RegistryMissing => "registry-missing",
            Self::RegistryUnusable => "registry-unusable",
        }
    }

    /// Returns how bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Damage(_) | Self::NotJson | Self::Misfiled | Self::RowWithoutFile => Severity::Damage,
            Self::UnsupportedFormat | Self::Unreadable(_) => Severity::Failed,
            Self::Torn | Self::Unterminated | Self::RegistryMissing | Self::RegistryUnusable => Severity::Heals,
        }
    }
}

/// One thing that is not as it should be, and what mends it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The session's key, where it is known.
    pub key: Option<SessionKey>,
    /// Its generation.
    pub generation: Option<u64>,
    /// The file.
    pub path: PathBuf,
    /// Where in the file, in bytes (for the registry: the line).
    pub offset: u64,
    /// The record expected there.
    pub seq: u64,
    /// How many bytes are concerned.
    pub bytes: u64,
    /// First and last record lost to it.
    pub lost: Option<(u64, u64)>,
}

impl Finding {
    pub(crate) fn new(kind: FindingKind, path: PathBuf) -> Self {
        Self { kind, key: None, generation: None, path, offset: 0, seq: 0, bytes: 0, lost: None }
    }

    pub(crate) fn about(mut self, key: Option<&SessionKey>, generation: u64) -> Self {
        self.key = key.cloned();
        self.generation = Some(generation);
        self
    }

    /// Returns where it stands among others: what concerns the registry first, then lost transcripts, then by file.
    pub(crate) fn rank(&self) -> (u8, Option<TranscriptName>) {
        let class = match self.kind {
            FindingKind::RegistryMissing | FindingKind::RegistryUnusable => 0,
            FindingKind::RowWithoutFile => 1,
            _ => 2,
        };
        (class, self.path.file_name().and_then(|name| TranscriptName::parse(name.to_str()?)))
    }

    /// Returns what mends it: a `sessctl` command, or words where no command does.
    pub fn mend(&self) -> String {
        let repair = || match (&self.key, self.generation) {
            (Some(key), Some(generation)) => {
                let dashes = if key.as_str().starts_with('-') { "-- " } else { "" };
                format!("sessctl repair --generation {generation} {dashes}{}", shell_quoted(key.as_str()))
            }
            _ => "sessctl repair KEY, with the key that this file belongs to".to_owned(),
        };
        match &self.kind {
            FindingKind::Damage(_) => repair(),
            FindingKind::Torn
            | FindingKind::Unterminated
            | FindingKind::RegistryMissing
            | FindingKind::RegistryUnusable => "sessctl rebuild-index".to_owned(),
            FindingKind::RowWithoutFile => {
                "restore the file from a backup, or: sessctl rebuild-index --accept-loss".to_owned()
            }
            FindingKind::Misfiled => "give the file back the name that its header stands for".to_owned(),
            FindingKind::UnsupportedFormat => "use the version of sessctl that wrote it".to_owned(),
            FindingKind::NotJson => "sessctl show, to look at the record".to_owned(),
            FindingKind::Unreadable(_) => "make the file readable, then verify again".to_owned(),
        }
    }
}

/// Quotes a key or a path for a POSIX shell where it needs it.
pub(crate) fn shell_quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._-/@+,=%".contains(&byte);
    if text.bytes().all(plain) && !text.starts_with('-') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
