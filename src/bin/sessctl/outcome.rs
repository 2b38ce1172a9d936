//! What a command came to, and why it failed.

use std::io;

use sesslog::import::OriginalError;
use sesslog::{Error, NotRestorable};

/// The result of a command, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Sound or done.
    Done,
    /// Not sound, but the next writer heals it.
    Heals,
    /// No such store or session.
    NotFound,
    /// Another writer holds the session.
    Busy,
    /// Damage found, or data lost.
    Damaged,
    /// I/O or bad input.
    Failed,
}

impl Outcome {
    /// Returns the name in a summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Heals => "heals",
            Self::NotFound => "not-found",
            Self::Busy => "busy",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
        }
    }

    /// Takes the worse of two.
    pub(crate) fn worsen(&mut self, other: Self) {
        *self = (*self).max(other);
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        match error {
            Error::Partial { source, .. } => Self::from(&**source),
            error if error.is_damage() => Self::Damaged,
            // Who runs a turn holds its session.
            Error::TurnRunning { .. } => Self::Busy,
            error if error.is_busy() => Self::Busy,
            error if error.is_not_found() => Self::NotFound,
            _ => Self::Failed,
        }
    }
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Store(#[from] Error),
    /// Of a restore: what the same error asks for there is something else.
    #[error(transparent)]
    Restore(Error),
    #[error("the trash has several transcripts of {key:?} generation {generation}: {}", names.join(", "))]
    Ambiguous { key: String, generation: u64, names: Vec<String> },
    #[error("can not write to standard output")]
    Output(#[source] io::Error),
    #[error("can not read standard input")]
    Input(#[source] io::Error),
    #[error("can not look at {}", path.display())]
    Look {
        path: std::path::PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Export(sesslog::export::ExportError),
    #[error(transparent)]
    Original(sesslog::import::OriginalError),
    #[error("can not watch for signals")]
    Signals(#[source] io::Error),
    #[error("can not start a thread")]
    Thread(#[source] io::Error),
    #[error("not a pattern: {reason}")]
    Pattern { reason: String },
    #[error("no store named, and no home folder to find the default one in")]
    NoHome,
}

impl Failure {
    /// Says whether whoever read our output went away.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Returns the next command to try, where one helps.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => hint(error),
            Self::Restore(error) => restore_hint(error).or_else(|| hint(error)),
            Self::Ambiguous { names, .. } => Some(format!(
                "name the one wanted: sessctl trash restore {}",
                names.first().map_or("NAME", |name| name)
            )),
            Self::Original(OriginalError::Damaged { .. }) => {
                Some("sessctl verify, to see which command mends it".to_owned())
            }
            Self::Original(OriginalError::NotImported { .. }) => {
                Some("for the bodies, one a line: --as jsonl".to_owned())
            }
            Self::Original(OriginalError::Unfinished) => {
                Some("sessctl import again: it adds what is missing".to_owned())
            }
            Self::NoHome => Some("name the store with --store DIR or SESSLOG_STORE".to_owned()),
            _ => None,
        }
    }
}

impl From<&Failure> for Outcome {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Store(error) | Failure::Restore(error) => Self::from(error),
            Failure::Original(OriginalError::Damaged { .. }) => Self::Damaged,
            _ => Self::Failed,
        }
    }
}

/// Returns the next command for a library error.
pub(crate) fn hint(error: &Error) -> Option<String> {
    Some(match error {
        Error::Damaged { key, generation, .. } => {
            format!("sessctl repair --generation {generation} {}", shell_word(key.as_str()))
        }
        Error::HeaderDamaged { .. } => "sessctl repair KEY, with the key that the file belongs to".to_owned(),
        Error::TranscriptLost { .. } => {
            "restore the file from a backup, or accept the loss: sessctl rebuild-index --accept-loss".to_owned()
        }
        Error::UnsupportedFormat { .. } => "use the version of sessctl that wrote it".to_owned(),
        Error::Busy { holder, .. } => {
            let holder = holder.as_ref().map_or_else(|| "its writer".to_owned(), |holder| format!("{holder}"));
            format!("wait for it with --wait SECONDS, or stop {holder}")
        }
        Error::SessionNotFound { .. } => "sessctl list".to_owned(),
        Error::StoreNotFound { .. } => "name the store with --store DIR or SESSLOG_STORE".to_owned(),
        Error::Poisoned { key, .. } => format!("sessctl verify {}", shell_word(key.as_str())),
        Error::Suspended { key, .. } => format!("sessctl mark {} release", shell_word(key.as_str())),
        Error::SessionClosed { key, .. } => {
            format!("the next append begins the next generation: sessctl append {}", shell_word(key.as_str()))
        }
        Error::MarkTooLong { .. } => "say it shorter, and append what is long as a record".to_owned(),
        Error::TurnRunning { .. } => "wait until the turn has ended, or stop the gateway that runs it".to_owned(),
        Error::TurnOver { key, .. } => format!("sessctl info {}", shell_word(key.as_str())),
        Error::TooFewRecords { key, records: 0, .. } => {
            format!("what was appended stays readable: sessctl show {}", shell_word(key.as_str()))
        }
        Error::TooFewRecords { key, records, .. } => {
            format!("to undo all of them: sessctl undo {} {records}", shell_word(key.as_str()))
        }
        Error::BeyondHistory { key, generation, last_seq, .. } => {
            let look = format!("sessctl show --json --generation {generation} {}", shell_word(key.as_str()));
            format!("name a record up to {last_seq}; to look for it: {look}")
        }
        Error::SessionExists { key, .. } => {
            format!("name another key, or close the session first: sessctl reset {}", shell_word(key.as_str()))
        }
        Error::BetweenGenerations { key, .. } => {
            format!("delete the oldest first, or all of them: sessctl delete {}", shell_word(key.as_str()))
        }
        Error::NotInQuarantine { .. } => "sessctl quarantine list".to_owned(),
        Error::NotRestorable { name, reason } => match reason {
            NotRestorable::NoTranscript | NotRestorable::DamagedAgain => {
                "sessctl verify, to see what is wrong with the session; what is kept stays kept".to_owned()
            }
            // Also of what was never acknowledged: whoever wants it appends it.
            _ => format!(
                "to look at what it holds, and append what is wanted: sessctl quarantine show {}",
                shell_word(name)
            ),
        },
        Error::ForeignOwner { owner, .. } => format!("run it as that user: sudo -u '#{owner}' sessctl doctor --fix"),
        Error::NotInTrash { .. } => "sessctl trash list".to_owned(),
        Error::ClockBehind { key, generation, seq, .. } => {
            let look =
                format!("sessctl show --json --generation {generation} --from {seq} {}", shell_word(key.as_str()));
            format!(
                "set the clock right; if it is, that record's time is wrong, and the session has to go first: {look}"
            )
        }
        Error::Draining => "wait until the gateway has started again".to_owned(),
        Error::Partial { source, .. } => return hint(source),
        _ => return None,
    })
}

/// Returns the next command where it is another one when a session is to be taken back from the trash.
fn restore_hint(error: &Error) -> Option<String> {
    match error {
        Error::SessionExists { key, generation } => Some(format!(
            "to have the deleted one instead, delete that first: sessctl delete --generation {generation} {}",
            shell_word(key.as_str())
        )),
        Error::HeaderDamaged { .. } => Some(
            "move the file back to transcripts/ without the time in its name, then sessctl repair KEY, with the key that it \
             belongs to"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Spells a key so that a shell and the command line give it back.
fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._-/@+,=%".contains(&byte);
    let word = if text.bytes().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) };
    if text.starts_with('-') { format!("-- {word}") } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins_in_the_order_1_3_5_6_4() {
        let worst_last =
            [Outcome::Done, Outcome::Heals, Outcome::NotFound, Outcome::Busy, Outcome::Damaged, Outcome::Failed];
        assert!(worst_last.is_sorted());
        let mut outcome = Outcome::Busy;
        outcome.worsen(Outcome::Heals);
        assert_eq!(outcome, Outcome::Busy);
        outcome.worsen(Outcome::Damaged);
        assert_eq!(outcome, Outcome::Damaged);
    }

    #[test]
    fn a_shell_gives_back_the_key_of_a_hint() {
        for (key, word) in
            [("telegram:1", "telegram:1"), ("it's", r"'it'\''s'"), ("-rf", "-- -rf"), ("a b", "'a b'"), ("$x", "'$x'")]
        {
            assert_eq!(shell_word(key), word);
        }
    }
}
