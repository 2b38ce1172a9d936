//! What can go wrong, as a caller meets it.

use std::path::PathBuf;

use crate::damage::Gap;
use crate::fs::PathError;
use crate::key::{KeyError, SessionKey};
use crate::lock::Holder;
use crate::record::{Head, Receipt, RecordError};
use crate::timestamp::Timestamp;

/// Why something in the quarantine can not be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRestorable {
    /// Torn bytes are no record.
    #[error("these bytes were never acknowledged, and are no whole record")]
    Torn,
    /// It never was a session's transcript.
    #[error("it is no transcript that a repair has replaced")]
    NoOriginal,
    /// The session is gone.
    #[error("its session has no transcript any more")]
    NoTranscript,
    /// The session has a record that the original has not.
    #[error("the session went on: record {seq} is not in the original")]
    WentOn {
        /// The first such record.
        seq: u64,
    },
    /// What is in its place is damaged itself.
    #[error("the transcript in its place is damaged itself")]
    DamagedAgain,
}

/// An operation on a store or a session failed.
///
/// No variant shows text of a record. Errors are cheap to clone: one failed commit is reported to every append in it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused an operation; nothing that was acknowledged is affected.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The text is not a session key.
    #[error("bad session key")]
    Key(#[from] KeyError),
    /// The record can not be appended; nothing was written.
    #[error("bad record")]
    Record(#[from] RecordError),
    /// There is no store in this folder.
    #[error("no store at {}", path.display())]
    StoreNotFound {
        /// The folder asked for.
        path: PathBuf,
    },
    /// The store has no such session, or not this generation of it.
    #[error("no session {key:?}{}", generation.map(|g| format!(" generation {g}")).unwrap_or_default())]
    SessionNotFound {
        /// The key asked for.
        key: SessionKey,
        /// The generation asked for, if one was.
        generation: Option<u64>,
    },
    /// Promised bytes of the transcript are bad or missing. Writes are refused and nothing is changed; reading goes on.
    #[error("transcript {} is damaged at byte {} (record {}): {}", path.display(), gap.offset, gap.expected_seq, gap.defect)]
    Damaged {
        /// The session.
        key: SessionKey,
        /// Its generation.
        generation: u64,
        /// The transcript.
        path: PathBuf,
        /// The first damage.
        gap: Gap,
    },
    /// The transcript's header is bad, so its key is not known. Nothing was changed.
    #[error("transcript {} has no valid header in its first {bytes} bytes", path.display())]
    HeaderDamaged {
        /// The transcript.
        path: PathBuf,
        /// Bytes up to where its records may begin.
        bytes: u64,
    },
    /// The transcript's header is sound, but of a format that this version does not know. Nothing was changed.
    #[error("transcript {} has format {format}, this version knows format 1", path.display())]
    UnsupportedFormat {
        /// The transcript.
        path: PathBuf,
        /// The format of its header.
        format: u64,
    },
    /// The transcript's header names another session than its file name does. Nothing was changed.
    #[error("transcript {} belongs to session {header_key:?} generation {header_generation}", path.display())]
    Misfiled {
        /// The transcript.
        path: PathBuf,
        /// The key in its header.
        header_key: String,
        /// The generation in its header.
        header_generation: u64,
    },
    /// The registry knows the transcript, but the file is gone. Appending would begin anew as if nothing had been: restore the
    /// file, or accept the loss ([`RebuildOptions::accept_loss`](crate::RebuildOptions::accept_loss)).
    #[error("transcript {} is gone; the registry saw {last_seq} records in it", path.display())]
    TranscriptLost {
        /// The session.
        key: SessionKey,
        /// Its generation.
        generation: u64,
        /// Where the file was.
        path: PathBuf,
        /// The last record that the registry knows of.
        last_seq: u64,
    },
    /// Another writer holds the session.
    #[error("session {key:?} is being written to by {}", holder.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string))]
    Busy {
        /// The session.
        key: SessionKey,
        /// Who holds it, if it said so.
        holder: Option<Holder>,
    },
    /// A write failed and was taken back: nothing of the append was kept, the session can be appended to again.
    #[error("append to session {key:?} failed, nothing of it was kept")]
    WriteFailed {
        /// The session.
        key: SessionKey,
        /// What the system said.
        source: PathError,
    },
    /// A write or a sync failed in a way that leaves open what is on disk. This writer writes no more; reopen the session
    /// ([`Session::reopen`](crate::Session::reopen)) to start from what is provably there.
    #[error("writer of session {key:?} is poisoned{}", in_doubt.map(|(from, to)| format!("; records {from} to {to} are in doubt")).unwrap_or_default())]
    Poisoned {
        /// The session.
        key: SessionKey,
        /// Its generation.
        generation: u64,
        /// First and last record that may or may not survive; `None` when no record is in doubt.
        in_doubt: Option<(u64, u64)>,
        /// What the system said.
        source: PathError,
    },
    /// A batch over 1 MiB is written as several commits; these were kept, the rest was not.
    #[error("only the first {} records of the batch were kept", receipts.len())]
    Partial {
        /// Receipts of the records kept.
        receipts: Vec<Receipt>,
        /// What happened to the rest.
        source: Box<Error>,
    },
    /// The session is suspended: it begins no turn and is not marked to be resumed. Nothing was written.
    #[error("session {key:?} is suspended since {since}: {reason}")]
    Suspended {
        /// The session.
        key: SessionKey,
        /// Why, in the words of who suspended it.
        reason: String,
        /// When.
        since: Timestamp,
    },
    /// This store runs a turn in the session already. Nothing was written.
    #[error("a turn of session {key:?} is running, begun by record {turn}")]
    TurnRunning {
        /// The session.
        key: SessionKey,
        /// The seq that began it.
        turn: u64,
    },
    /// The turn has ended, or another began, or a reset closed its generation. Nothing was written.
    #[error("the turn of session {key:?} that record {turn} began is over")]
    TurnOver {
        /// The session.
        key: SessionKey,
        /// The seq that began it.
        turn: u64,
    },
    /// A reset closed the session's newest generation; the next append opens another. Nothing was written.
    #[error("session {key:?} generation {generation} is closed")]
    SessionClosed {
        /// The session.
        key: SessionKey,
        /// The closed generation.
        generation: u64,
    },
    /// The text of a mark is too long. Nothing was written.
    #[error("{what} is {length_bytes} bytes long, the limit is {limit_bytes}")]
    MarkTooLong {
        /// `reason`, `title`, `label` or `labels`.
        what: &'static str,
        /// What was given; of labels their number.
        length_bytes: usize,
        /// What is allowed.
        limit_bytes: usize,
    },
    /// The session's history does not end where the caller saw it end: another writer went on with it. Nothing was written.
    #[error("session {key:?} went on: its history ends at {}", current.map_or_else(|| "nothing".to_owned(), |head| head.to_string()))]
    HeadMoved {
        /// The session.
        key: SessionKey,
        /// Where it ends now; `None` when there is no such session.
        current: Option<Head>,
    },
    /// The id of a record is that of another one of the generation, with another kind or body. Nothing of the append was
    /// written.
    #[error("record {seq} of session {key:?} generation {generation} has the same id and another content")]
    IdReused {
        /// The session.
        key: SessionKey,
        /// Its generation.
        generation: u64,
        /// The record that has the id.
        seq: u64,
    },
    /// The generation stands between others of its key: without it the newest would not be found any more. Nothing was done.
    #[error("session {key:?} generation {generation} stands between others that would stay")]
    BetweenGenerations {
        /// The session.
        key: SessionKey,
        /// The generation.
        generation: u64,
    },
    /// A record is from after the time that was given for now: the clock can not be believed, and no age either. Nothing was
    /// done.
    #[error("the clock says {now}, but record {seq} of session {key:?} generation {generation} is from {newest}")]
    ClockBehind {
        /// The session with the newest record.
        key: SessionKey,
        /// Its generation.
        generation: u64,
        /// Its last record.
        seq: u64,
        /// The newest time in it.
        newest: Timestamp,
        /// The time given.
        now: Timestamp,
    },
    /// The trash has no transcript of that name.
    #[error("no transcript {name:?} in the trash")]
    NotInTrash {
        /// The name asked for.
        name: String,
    },
    /// The quarantine has no file of that name.
    #[error("no file {name:?} in the quarantine")]
    NotInQuarantine {
        /// The name asked for.
        name: String,
    },
    /// What is in the quarantine can not be taken back without losing something. Nothing was done.
    #[error("{name:?} can not be taken back from the quarantine: {reason}")]
    NotRestorable {
        /// Its name there.
        name: String,
        /// Why not.
        reason: NotRestorable,
    },
    /// The store belongs to another user, who could not read what this one makes. Nothing was done.
    #[error("store {} belongs to user {owner}, this is user {user}", path.display())]
    ForeignOwner {
        /// The store.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who asked.
        user: u32,
    },
    /// There is such a session already. Nothing was written.
    #[error("session {key:?} exists, its newest generation is {generation}")]
    SessionExists {
        /// The session.
        key: SessionKey,
        /// Its newest generation.
        generation: u64,
    },
    /// A record that the session does not have was named. Nothing was written.
    #[error(
        "{what} {seq} of session {key:?} generation {generation} is beyond its history, which ends at record {last_seq}"
    )]
    BeyondHistory {
        /// The session.
        key: SessionKey,
        /// Its generation.
        generation: u64,
        /// What named it: `keep_from` or `at_seq`.
        what: &'static str,
        /// The record asked for.
        seq: u64,
        /// The last there is.
        last_seq: u64,
    },
    /// More records were to be undone than the session shows. Nothing was written.
    #[error(
        "session {key:?} generation {generation} has {records} of the {asked} records to undo{}",
        first_seq.map(|seq| format!("; the first is record {seq}")).unwrap_or_default()
    )]
    TooFewRecords {
        /// The session.
        key: SessionKey,
        /// Its generation.
        generation: u64,
        /// How many were to be undone.
        asked: u64,
        /// How many there are.
        records: u64,
        /// The first of them.
        first_seq: Option<u64>,
    },
    /// Too much was submitted and is not written yet; nothing of this was.
    #[error(
        "{limit_bytes} bytes of submitted records wait to be written: await some of them, then submit to {key:?} again"
    )]
    QueueFull {
        /// The session.
        key: SessionKey,
        /// What may wait ([`Options::queue_bytes_max`](crate::Options::queue_bytes_max)).
        limit_bytes: u64,
    },
    /// The store is being drained: no turn begins.
    #[error("store is being drained, no turn begins")]
    Draining,
    /// The store was opened read-only.
    #[error("store is open for reading only")]
    ReadOnly,
    /// The store was closed.
    #[error("store is closed")]
    Closed,
}

impl Error {
    /// Says whether another writer holds the session; waiting may help.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Says whether promised bytes are bad or missing.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Misfiled { .. } | Self::HeaderDamaged { .. } | Self::TranscriptLost { .. } => {
                true
            }
            Self::Partial { source, .. } => source.is_damage(),
            _ => false,
        }
    }

    /// Says whether a file that was there a moment ago is not any more: somebody deleted it, or took it back.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_not_found() || matches!(self, Self::Io(error) if error.is_not_found())
    }

    /// Says whether the store or the session does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::StoreNotFound { .. }
                | Self::SessionNotFound { .. }
                | Self::NotInTrash { .. }
                | Self::NotInQuarantine { .. }
        )
    }
}
