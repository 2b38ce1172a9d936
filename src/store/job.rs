//! What can be asked of a session's writer, and what it answers.

use crate::atomic::Durability;
use crate::error::Error;
use crate::record::{Head, NewRecord, Receipt};
use crate::registry::Row;
use crate::status::SessionState;

/// Something to do with a session's writer.
#[derive(Debug)]
pub(crate) enum Job {
    /// Append records as one commit; those of a turn only while this process runs it.
    Append { records: Vec<NewRecord>, durability: Durability, turn: Option<TurnId> },
    /// Append what is decided on the session as it is then, durably and as one commit.
    Decide(Decide),
    /// Make everything durable.
    Flush,
    /// Cut the padding of a session that stays open although it is idle.
    CutPadding,
    /// Make everything durable, seal, cut the padding, let go of the lock.
    Release,
}

/// Looks at the newest generation's row, closed or not, and at the turn that this process runs, and says what to append;
/// nothing is no commit. Asked again when somebody else made the session meanwhile.
pub(crate) type Decision = Box<dyn FnMut(Option<&Row>, Option<TurnId>) -> Result<Vec<NewRecord>, Error> + Send>;

/// Names a turn among all of a key's. A seq alone does not: the first turn of every generation may have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TurnId {
    pub(crate) generation: u64,
    /// Of the mark that began it.
    pub(crate) seq: u64,
}

impl TurnId {
    /// Says whether it is the open turn of this generation.
    pub(crate) fn is_open_in(self, row: &Row) -> bool {
        row.state != SessionState::Closed
            && row.generation == self.generation
            && row.status.turn.is_some_and(|turn| turn.seq == self.seq)
    }
}

/// A change of a session that depends on what it is.
pub(crate) struct Decide {
    pub(crate) decision: Decision,
    pub(crate) turn: TurnChange,
    pub(crate) again: Option<Again>,
}

type EndsAt = Box<dyn FnMut(&Row, Head) -> Result<bool, Error> + Send>;

/// What a change would have written before, in vain or not: if all of it is there, by its ids, or what is there of it is the
/// end of the history, a refusal counts for nothing.
pub(crate) struct Again {
    pub(crate) records: Vec<NewRecord>,
    /// Says whether the history of a row ends there.
    pub(crate) ends_at: EndsAt,
}

/// What a change means for the turn that this process runs in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnChange {
    None,
    /// The first record begins one.
    Begins,
    Ends,
}

impl Decide {
    pub(crate) fn new(
        turn: TurnChange,
        decision: impl FnMut(Option<&Row>, Option<TurnId>) -> Result<Vec<NewRecord>, Error> + Send + 'static,
    ) -> Self {
        Self { decision: Box::new(decision), turn, again: None }
    }

    /// Says what may be there already.
    pub(crate) fn again(self, again: Option<Again>) -> Self {
        Self { again, ..self }
    }
}

impl std::fmt::Debug for Decide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decide").field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// What a job came to.
#[derive(Debug)]
pub(crate) enum Done {
    Appended(Vec<Receipt>),
    /// So many records became durable.
    Flushed(u64),
    Released,
}

impl Done {
    /// Returns the receipts of what was appended.
    pub(crate) fn receipts(self) -> Vec<Receipt> {
        match self {
            Self::Appended(receipts) => receipts,
            Self::Flushed(_) | Self::Released => Vec::new(),
        }
    }
}
