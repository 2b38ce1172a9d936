//! The marks that a caller makes of a session. Each is one record, durable before the call returns, decided on the session as it
//! is at that moment.

use std::sync::Arc;

use crate::error::Error;
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::record::{NewRecord, Receipt, RecordError};
use crate::registry::Row;
use crate::status::SessionState;
use crate::store::Session;
use crate::store::job::{Decide, TurnChange};
use crate::store::turns::refuse_suspended;

/// Longest reason, title and label. A mark has to be read whole by every fold.
const TEXT_BYTES_MAX: usize = 4096;
const LABELS_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 128;

impl NewRecord {
    /// Makes a change of state that is to stand among records: a title, labels, a suspension, a resume that is pending, a rewind.
    /// [`Session::append_batch`] and [`NewSession::put`](crate::NewSession::put) take it, with an id and a time of its own if it
    /// has one.
    ///
    /// # Errors
    ///
    /// [`RecordError::ReservedKind`] for the other marks, which are made by their own calls, and [`Error::MarkTooLong`].
    pub fn state(mark: &Mark) -> Result<Self, Error> {
        match mark {
            Mark::Title { title } => check_length("title", title, TEXT_BYTES_MAX)?,
            Mark::Labels { labels } => check_labels(labels)?,
            Mark::Suspended { reason } | Mark::ResumePending { reason } => check_reason(reason)?,
            Mark::Rewound { .. } => {}
            _ => return Err(RecordError::ReservedKind.into()),
        }
        Ok(Self::mark(mark))
    }

    /// [`state`](Self::state) for a summary of what stands before the record `keep_from`, any JSON text, byte for byte.
    ///
    /// # Errors
    ///
    /// Those of [`NewRecord::json`].
    pub fn summary(json: &str, keep_from: u64) -> Result<Self, RecordError> {
        // By itself first: what closes the mark's own brackets is none.
        Self::compacted(Self::json(json)?.body(), keep_from)
    }
}

/// Refuses a mark that names a record which the history before it does not have.
pub(crate) fn check_mark(key: &SessionKey, generation: u64, record: &NewRecord, last_seq: u64) -> Result<(), Error> {
    match record.as_mark() {
        Some(Mark::Compacted { keep_from }) => {
            check_seq(key, (generation, last_seq), "keep_from", keep_from, last_seq.saturating_add(1))
        }
        Some(Mark::Rewound { to_seq }) => check_seq(key, (generation, last_seq), "to_seq", to_seq, last_seq),
        _ => Ok(()),
    }
}

/// Refuses a record that a history, which ends at `last_seq`, does not have.
pub(crate) fn check_seq(
    key: &SessionKey,
    (generation, last_seq): (u64, u64),
    what: &'static str,
    seq: u64,
    max: u64,
) -> Result<(), Error> {
    if seq > max { Err(Error::BeyondHistory { key: key.clone(), generation, what, seq, last_seq }) } else { Ok(()) }
}

impl Session {
    /// Appends records with marks among them, as one commit.
    pub(crate) fn append_states(&self, records: Vec<NewRecord>) -> Result<Vec<Receipt>, Error> {
        let inner = Arc::clone(self.store.inner());
        let key = self.key().clone();
        let decide = Decide::new(TurnChange::None, move |row, _| {
            let open = row.filter(|row| row.state != SessionState::Closed);
            let generation = row.map_or(1, |row| row.generation);
            let mut last_seq = open.map_or(0, |row| row.last_seq);
            for record in &records {
                check_mark(&key, generation, record, last_seq)?;
                if matches!(record.as_mark(), Some(Mark::ResumePending { .. })) {
                    open.map_or(Ok(()), |row| refuse_suspended(&key, row))?;
                    inner.turns.keep_mark(&key);
                }
                last_seq = last_seq.saturating_add(1);
            }
            Ok(records.clone())
        });
        self.slot.decide(self.store.inner(), decide)
    }

    /// Marks the session to be resumed, with why and when. Replaces the mark that there may be.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionClosed`], [`Error::Suspended`], [`Error::MarkTooLong`]: nothing was
    /// written. Those of [`append`](Self::append).
    pub fn mark_resume_pending(&self, reason: &str) -> Result<(), Error> {
        check_reason(reason)?;
        let mark = Mark::ResumePending { reason: reason.to_owned() };
        let inner = Arc::clone(self.store.inner());
        self.mark(move |key, row| {
            refuse_suspended(key, row)?;
            inner.turns.keep_mark(key);
            Ok(Some(mark.clone()))
        })?;
        Ok(())
    }

    /// Takes the mark back, flag, reason and time together. `false`: the session was not pending, nothing was written.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionClosed`]; those of [`append`](Self::append).
    pub fn clear_resume_pending(&self) -> Result<bool, Error> {
        let inner = Arc::clone(self.store.inner());
        let cleared = self.mark(move |key, row| {
            if row.status.pending.is_none() {
                // Here and not below: a drain that is about to mark it must not do so any more.
                inner.turns.cleared(key);
            }
            Ok(row.status.pending.as_ref().map(|_| Mark::ResumeCleared))
        })?;
        if cleared {
            self.store.inner().turns.cleared(self.key());
        }
        Ok(cleared)
    }

    /// Suspends the session: it begins no turn and is not offered to be resumed. `false`: it was suspended already, reason and
    /// time are those of then.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionClosed`], [`Error::MarkTooLong`]; those of [`append`](Self::append).
    pub fn suspend(&self, reason: &str) -> Result<bool, Error> {
        check_reason(reason)?;
        let mark = Mark::Suspended { reason: reason.to_owned() };
        self.mark(move |_, row| Ok(row.status.suspended.is_none().then(|| mark.clone())))
    }

    /// Lifts a suspension, and begins to count resumes anew. `false`: there was none.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionClosed`]; those of [`append`](Self::append).
    pub fn lift_suspension(&self) -> Result<bool, Error> {
        self.mark(|_, row| Ok(row.status.suspended.as_ref().map(|_| Mark::Released)))
    }

    /// Notes that a resume is about to be tried, before it is: a crash of the gateway by it counts. Returns the number of tries
    /// since the last successful turn, this one included.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionClosed`], [`Error::Suspended`]; those of [`append`](Self::append).
    pub fn note_resume_attempt(&self) -> Result<u64, Error> {
        let (told, count) = std::sync::mpsc::channel();
        self.mark(move |key, row| {
            refuse_suspended(key, row)?;
            told.send(row.status.resume_attempts.saturating_add(1)).ok();
            Ok(Some(Mark::ResumeAttempted))
        })?;
        Ok(count.try_iter().last().unwrap_or(1))
    }

    /// Closes the newest generation; the next append makes another. A turn in it is over. `false`: it was closed already.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::MarkTooLong`]; those of [`append`](Self::append).
    pub fn reset(&self, reason: &str) -> Result<bool, Error> {
        check_reason(reason)?;
        let (key, reason) = (self.key().clone(), reason.to_owned());
        let decide = Decide::new(TurnChange::Ends, move |row, _| match row {
            None => Err(Error::SessionNotFound { key: key.clone(), generation: None }),
            Some(row) if row.state == SessionState::Closed => Ok(Vec::new()),
            Some(_) => Ok(vec![NewRecord::mark(&Mark::Reset { reason: reason.clone() })]),
        });
        self.check_writable()?;
        let inner = self.store.inner();
        let receipts = self.slot.decide(inner, decide)?;
        if let Some(receipt) = receipts.first() {
            inner.turns.end_generation(self.key(), receipt.generation);
        }
        Ok(!receipts.is_empty())
    }

    /// Gives the session a title; an empty one takes it away.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionClosed`], [`Error::MarkTooLong`]; those of [`append`](Self::append).
    pub fn set_title(&self, title: &str) -> Result<(), Error> {
        check_length("title", title, TEXT_BYTES_MAX)?;
        let mark = Mark::Title { title: title.to_owned() };
        self.mark(move |_, _| Ok(Some(mark.clone()))).map(drop)
    }

    /// Gives the session labels, at most 64 of at most 128 bytes, instead of those that it has.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::SessionClosed`], [`Error::MarkTooLong`]; those of [`append`](Self::append).
    pub fn set_labels<S: AsRef<str>>(&self, labels: &[S]) -> Result<(), Error> {
        check_labels(labels)?;
        let mark = Mark::Labels { labels: labels.iter().map(|label| label.as_ref().to_owned()).collect() };
        self.mark(move |_, _| Ok(Some(mark.clone()))).map(drop)
    }

    /// Appends the mark that is decided on an open generation. `false`: none was needed.
    fn mark(
        &self,
        mut decide: impl FnMut(&SessionKey, &Row) -> Result<Option<Mark>, Error> + Send + 'static,
    ) -> Result<bool, Error> {
        let receipts = self.decide_open(move |key, row| Ok(decide(key, row)?.iter().map(NewRecord::mark).collect()))?;
        Ok(!receipts.is_empty())
    }

    /// Appends what is decided on an open generation.
    pub(crate) fn decide_open(
        &self,
        mut decide: impl FnMut(&SessionKey, &Row) -> Result<Vec<NewRecord>, Error> + Send + 'static,
    ) -> Result<Vec<Receipt>, Error> {
        self.check_writable()?;
        let key = self.key().clone();
        let decide = Decide::new(TurnChange::None, move |row, _| decide(&key, open_row(&key, row)?));
        self.slot.decide(self.store.inner(), decide)
    }
}

/// Refuses what has no session, or none that takes records.
pub(crate) fn open_row<'row>(key: &SessionKey, row: Option<&'row Row>) -> Result<&'row Row, Error> {
    match row {
        None => Err(Error::SessionNotFound { key: key.clone(), generation: None }),
        Some(row) if row.state == SessionState::Closed => {
            Err(Error::SessionClosed { key: key.clone(), generation: row.generation })
        }
        Some(row) => Ok(row),
    }
}

pub(crate) fn check_length(what: &'static str, text: &str, limit_bytes: usize) -> Result<(), Error> {
    let length_bytes = text.len();
    if length_bytes > limit_bytes { Err(Error::MarkTooLong { what, length_bytes, limit_bytes }) } else { Ok(()) }
}

fn check_labels<S: AsRef<str>>(labels: &[S]) -> Result<(), Error> {
    if labels.len() > LABELS_MAX {
        let (length_bytes, limit_bytes) = (labels.len(), LABELS_MAX);
        return Err(Error::MarkTooLong { what: "labels", length_bytes, limit_bytes });
    }
    labels.iter().try_for_each(|label| check_length("label", label.as_ref(), LABEL_BYTES_MAX))
}

/// Refuses a reason that no mark holds.
pub(crate) fn check_reason(reason: &str) -> Result<(), Error> {
    check_length("reason", reason, TEXT_BYTES_MAX)
}
