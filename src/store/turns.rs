//! Turns: what a gateway does for one message, begun and ended by marks, so that a crash in between is known exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Error;
use crate::key::SessionKey;
use crate::mark::{Mark, Outcome};
use crate::record::{NewRecord, Receipt};
use crate::registry::Row;
use crate::status::SessionState;
use crate::store::Session;
use crate::store::job::{Decide, TurnChange, TurnId};
use crate::store::slot::Slot;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A turn that this process runs. Cheap to clone, `Send + Sync + 'static`.
///
/// As long as it lives the session's lock is not let go of. When the last clone is dropped without [`finish`](Self::finish),
/// the turn stays open in the transcript: it was interrupted, as by a crash.
///
/// ```
/// use sesslog::{NewRecord, Outcome, Store};
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::open(folder.path())?;
/// let session = store.session("telegram:42")?;
/// let turn = session.begin_turn(vec![NewRecord::new("what is the time?")?])?;
/// turn.append(NewRecord::new("looking at the clock")?)?;
/// turn.finish(Outcome::Success, vec![NewRecord::new("ten past eight")?])?;
/// assert!(session.row()?.status.turn.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Turn {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    session: Session,
    turn: TurnId,
    receipts: Vec<Receipt>,
    /// A drain has marked the session for this turn's sake.
    drained: Arc<AtomicBool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.session.slot.leave_turn(self.turn);
        self.session.store.inner().turns.end(&self.session.slot.key, self.turn, false);
    }
}

impl Session {
    /// Begins a turn: its mark and `records` are one commit, durable when this returns. Makes the session if there is none.
    ///
    /// A turn that was open before and that nobody runs (its process died) is given up with it.
    ///
    /// # Errors
    ///
    /// [`Error::Suspended`], [`Error::TurnRunning`], [`Error::Draining`]: nothing was written. Those of
    /// [`append_batch`](Self::append_batch).
    pub fn begin_turn(&self, records: Vec<NewRecord>) -> Result<Turn, Error> {
        let inner = self.store.inner();
        self.check_records(&records)?;
        let _beginning = inner.turns.begin()?;
        let key = self.key().clone();
        let decide = Decide::new(TurnChange::Begins, move |row, running| {
            if let Some(TurnId { seq: turn, .. }) = running {
                return Err(Error::TurnRunning { key: key.clone(), turn });
            }
            if let Some(row) = row.filter(|row| row.state != SessionState::Closed) {
                refuse_suspended(&key, row)?;
            }
            Ok(std::iter::once(NewRecord::mark(&Mark::TurnStarted)).chain(records.iter().cloned()).collect())
        });
        let mut receipts = self.slot.decide(inner, decide)?;
        if receipts.is_empty() {
            return Err(Error::Closed);
        }
        let first = receipts.remove(0);
        let drained = Arc::new(AtomicBool::new(false));
        let turn = TurnId { generation: first.generation, seq: first.seq };
        inner.turns.add(&self.slot, turn, &drained);
        Ok(Turn { running: Arc::new(Running { session: self.clone(), turn, receipts, drained }) })
    }
}

impl Turn {
    /// Returns the session.
    pub fn session(&self) -> &Session {
        &self.running.session
    }

    /// Returns the seq of the mark that began the turn; it names the turn.
    pub fn seq(&self) -> u64 {
        self.running.turn.seq
    }

    pub(crate) fn turn_id(&self) -> TurnId {
        self.running.turn
    }

    /// Returns the receipts of the records that it began with.
    pub fn receipts(&self) -> &[Receipt] {
        &self.running.receipts
    }

    /// Appends a record, durably.
    ///
    /// # Errors
    ///
    /// [`Error::TurnOver`] when the turn was finished; those of [`Session::append`].
    pub fn append(&self, record: NewRecord) -> Result<Receipt, Error> {
        self.append_batch(vec![record])?.pop().ok_or(Error::Closed)
    }

    /// Appends records as one commit, durably.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append).
    pub fn append_batch(&self, records: Vec<NewRecord>) -> Result<Vec<Receipt>, Error> {
        let session = self.session();
        session.check_records(&records)?;
        if session.slot.turn() != Some(self.running.turn) {
            return Err(self.over());
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        session.append_for(Some(self.running.turn), records, crate::Durability::Sync)
    }

    /// Ends the turn: `records` and its mark are one commit, durable when this returns. After [`Outcome::Success`] nothing is
    /// left to resume. What a drain marked is taken back by every end but [`Outcome::Interrupted`].
    ///
    /// After an error the turn is still open and this can be tried again; when the error left open what was kept
    /// ([`Error::Poisoned`]), after [`Session::reopen`], and [`Error::TurnOver`] then says that it was.
    ///
    /// # Errors
    ///
    /// [`Error::TurnOver`] when it was finished before, when another turn began or a reset closed the generation: nothing was
    /// written. Those of [`Session::append_batch`].
    pub fn finish(&self, outcome: Outcome, records: Vec<NewRecord>) -> Result<Vec<Receipt>, Error> {
        let session = self.session();
        session.check_records(&records)?;
        let count = records.len();
        let (turn, over) = (self.running.turn, self.over());
        let drained = Arc::clone(&self.running.drained);
        let decide = Decide::new(TurnChange::Ends, move |row, _| {
            let Some(row) = row.filter(|row| turn.is_open_in(row)) else { return Err(over.clone()) };
            let mut all = records.clone();
            all.push(NewRecord::mark(&Mark::TurnEnded { turn: turn.seq, outcome }));
            // It is pending only because a drain found it running; now it is not. One that was interrupted, by the drain as
            // like as not, is what a resume is for.
            let is_over = !matches!(outcome, Outcome::Success | Outcome::Interrupted);
            if is_over && row.status.pending.is_some() && drained.load(Ordering::Acquire) {
                all.push(NewRecord::mark(&Mark::ResumeCleared));
            }
            Ok(all)
        });
        let inner = session.store.inner();
        let receipts = session.slot.decide(inner, decide);
        if matches!(receipts, Ok(_) | Err(Error::TurnOver { .. })) {
            inner.turns.end(session.key(), turn, outcome != Outcome::Interrupted);
        }
        let mut receipts = receipts?;
        receipts.truncate(count);
        Ok(receipts)
    }

    fn over(&self) -> Error {
        Error::TurnOver { key: self.session().key().clone(), turn: self.seq() }
    }
}

/// A suspended session begins no turn and takes no mark that would have it resumed.
pub(crate) fn refuse_suspended(key: &SessionKey, row: &Row) -> Result<(), Error> {
    match &row.status.suspended {
        None => Ok(()),
        Some(flag) => Err(Error::Suspended { key: key.clone(), reason: flag.reason.clone(), since: flag.since }),
    }
}

/// The turns that this store runs, and whether it is being drained.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    pub(crate) changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) draining: bool,
    /// Turns that are being begun: a drain waits for what becomes of them.
    pub(crate) beginning: usize,
    pub(crate) running: BTreeMap<SessionKey, Run>,
    /// Sessions without turns that a drain waits for.
    pub(crate) awaited: BTreeSet<SessionKey>,
    /// Turns that were finished since the drain began.
    pub(crate) finished: BTreeSet<SessionKey>,
}

/// A running turn.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) slot: Arc<Slot>,
    pub(crate) turn: TurnId,
    pub(crate) drained: Arc<AtomicBool>,
}

/// Counts a turn that is being begun.
pub(crate) struct Beginning<'a>(&'a Turns);

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.beginning = state.beginning.saturating_sub(1);
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Turns {
    pub(crate) fn mutex(&self) -> &Mutex<State> {
        &self.state
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Result<Beginning<'_>, Error> {
        let mut state = self.lock();
        if state.draining {
            return Err(Error::Draining);
        }
        state.beginning = state.beginning.saturating_add(1);
        Ok(Beginning(self))
    }

    fn add(&self, slot: &Arc<Slot>, turn: TurnId, drained: &Arc<AtomicBool>) {
        let run = Run { slot: Arc::clone(slot), turn, drained: Arc::clone(drained) };
        self.lock().running.insert(slot.key.clone(), run);
    }

    pub(crate) fn end(&self, key: &SessionKey, turn: TurnId, finished: bool) {
        self.end_if(key, |run| run.turn == turn, finished);
    }

    /// A reset closed the generation: the turn in it is over.
    pub(crate) fn end_generation(&self, key: &SessionKey, generation: u64) {
        self.end_if(key, |run| run.turn.generation <= generation, true);
    }

    fn end_if(&self, key: &SessionKey, is_it: impl FnOnce(&Run) -> bool, finished: bool) {
        let mut state = self.lock();
        if state.running.get(key).is_some_and(is_it) {
            state.running.remove(key);
            if finished && state.draining {
                state.awaited.remove(key);
                state.finished.insert(key.clone());
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Somebody else marked the session, too: the end of its turn does not take that back.
    pub(crate) fn keep_mark(&self, key: &SessionKey) {
        if let Some(run) = self.lock().running.get(key) {
            run.drained.store(false, Ordering::Release);
        }
    }

    /// Says whether a drain still waits for a session without turns.
    pub(crate) fn is_awaited(&self, key: &SessionKey) -> bool {
        self.lock().awaited.contains(key)
    }

    /// A session without turns is pending no more.
    pub(crate) fn cleared(&self, key: &SessionKey) {
        let mut state = self.lock();
        if state.awaited.remove(key) {
            state.finished.insert(key.clone());
        }
        drop(state);
        self.changed.notify_all();
    }
}
