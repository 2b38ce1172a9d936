//! Draining: a gateway that is told to stop marks what runs, waits for it, and leaves only what was really interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::key::{KeyError, SessionKey};
use crate::mark::Mark;
use crate::parallel::in_parallel;
use crate::record::NewRecord;
use crate::store::job::{Decide, TurnChange};
use crate::store::marks::{check_reason, open_row};
use crate::store::turns::{Run, refuse_suspended};
use crate::store::{Flushed, Store};
use crate::sync::atomic::Ordering;
use crate::sync::{self, Instant};

/// Marks that are made at the same time: the kernel merges their flushes.
const JOBS_MAX: usize = 64;

/// What became of the sessions that ran when a drain began. In the order of their keys.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Finished in time; nothing is left to resume for the drain's sake.
    pub finished: Vec<SessionKey>,
    /// Still running at the deadline, or given up: marked, to be resumed.
    pub interrupted: Vec<SessionKey>,
    /// Could not be marked. A turn among them is known to be interrupted all the same; a session without turns is not.
    pub failed: Vec<(SessionKey, Error)>,
    /// What was made durable at the end.
    pub flushed: Flushed,
}

/// A session that a drain marks.
enum Target {
    Turn(Run),
    /// One that uses no turns.
    Other(SessionKey),
}

impl Target {
    fn key(&self) -> &SessionKey {
        match self {
            Self::Turn(run) => &run.slot.key,
            Self::Other(key) => key,
        }
    }
}

impl Store {
    /// Prepares the end of this process: no turn begins any more, every session with a running turn is marked to be resumed,
    /// then up to `wait` is given to them. Whoever finishes in time is pending no more, at once; the others stay so. Then
    /// everything is flushed. Killed at any moment of it, the next start sees the right set.
    ///
    /// `running` names the sessions of a gateway that uses no turns; it says that one of them is done by
    /// [`clear_resume_pending`](crate::Session::clear_resume_pending).
    ///
    /// Costs one fdatasync a session, in parallel, and the wait. The store stays drained; close it next.
    ///
    /// # Errors
    ///
    /// [`Error::MarkTooLong`], [`Error::Closed`], [`Error::ReadOnly`]: nothing was done. What fails for one session is in the
    /// result.
    pub fn drain(&self, wait: Duration, reason: &str, running: &[SessionKey]) -> Result<Drained, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        check_reason(reason)?;
        let began = Instant::now();
        let left = || wait.saturating_sub(began.elapsed());
        let (mut targets, others) = {
            let mut state = inner.turns.lock();
            state.draining = true;
            let others: BTreeSet<_> = running.iter().filter(|key| !state.running.contains_key(key)).cloned().collect();
            for key in &others {
                // By an earlier drain, and it runs again.
                state.finished.remove(key);
            }
            state.awaited.extend(others.iter().cloned());
            let turns = state.running.values().map(|run| Target::Turn(run.clone()));
            (turns.chain(others.iter().cloned().map(Target::Other)).collect::<Vec<_>>(), others)
        };
        let mut failed = self.mark_all(&targets, reason);
        // Only then for the turns that are being begun: one that takes long must not keep the others from being marked.
        let begun: Vec<_> = {
            let state = sync::lock_when(inner.turns.mutex(), &inner.turns.changed, left(), |state| state.beginning > 0);
            let known: BTreeSet<_> = targets.iter().map(Target::key).filter(|key| !others.contains(key)).collect();
            state.running.iter().filter(|(key, _)| !known.contains(key)).map(|(_, run)| run.clone()).collect()
        };
        for run in &begun {
            // Named by the caller, too: if it is marked already, the end of its turn takes that back.
            let was_marked = failed.remove(&run.slot.key).is_none();
            if inner.turns.lock().awaited.remove(&run.slot.key) && was_marked {
                run.drained.store(true, Ordering::Release);
            }
        }
        let begun: Vec<_> = begun.into_iter().map(Target::Turn).collect();
        failed.extend(self.mark_all(&begun, reason));
        targets.extend(begun);
        {
            let mut state = inner.turns.lock();
            for key in failed.keys() {
                state.awaited.remove(key);
            }
        }

        let mut awaited = others;
        let state = sync::lock_when(inner.turns.mutex(), &inner.turns.changed, left(), |state| {
            while awaited.first().is_some_and(|key| !state.awaited.contains(key)) {
                awaited.pop_first();
            }
            !state.running.is_empty() || !awaited.is_empty()
        });
        let mut drained = Drained::default();
        for key in targets.iter().map(Target::key).collect::<BTreeSet<_>>() {
            if state.finished.contains(key) {
                drained.finished.push(key.clone());
            } else if let Some(error) = failed.remove(key) {
                drained.failed.push((key.clone(), error));
            } else {
                drained.interrupted.push(key.clone());
            }
        }
        drop(state);
        drained.flushed = inner.flush()?;
        Ok(drained)
    }

    /// Marks sessions, and says which could not be.
    fn mark_all(&self, targets: &[Target], reason: &str) -> BTreeMap<SessionKey, Error> {
        let marked = in_parallel(JOBS_MAX, targets, |_, target| {
            let marked = match target {
                Target::Turn(run) => self.mark_turn(run, reason),
                Target::Other(key) => self.mark_other(key, reason),
            };
            marked.map_err(|error| (target.key().clone(), error))
        });
        marked.into_iter().filter_map(Result::err).collect()
    }

    /// Marks a session whose turn still runs; one that is pending already keeps its reason and its time.
    fn mark_turn(&self, run: &Run, reason: &str) -> Result<(), Error> {
        let (turn, drained, reason) = (run.turn, run.drained.clone(), reason.to_owned());
        let decide = Decide::new(TurnChange::None, move |row, _| {
            let runs = row.is_some_and(|row| turn.is_open_in(row));
            let marked = row.is_some_and(|row| row.status.pending.is_some() || row.status.suspended.is_some());
            if !runs || marked {
                return Ok(Vec::new());
            }
            drained.store(true, Ordering::Release);
            Ok(vec![NewRecord::mark(&Mark::ResumePending { reason: reason.clone() })])
        });
        run.slot.decide(self.inner(), decide).map(drop)
    }

    fn mark_other(&self, key: &SessionKey, reason: &str) -> Result<(), Error> {
        if key.is_reserved() {
            return Err(KeyError::Reserved.into());
        }
        let slot = self.inner().slot(key);
        let (key, reason, inner) = (key.clone(), reason.to_owned(), Arc::clone(self.inner()));
        let decide = Decide::new(TurnChange::None, move |row, _| {
            let row = open_row(&key, row)?;
            refuse_suspended(&key, row)?;
            let mark = Mark::ResumePending { reason: reason.clone() };
            // Who said meanwhile that it is done must not find it marked.
            let is_done = row.status.pending.is_some() || !inner.turns.is_awaited(&key);
            Ok(if is_done { Vec::new() } else { vec![NewRecord::mark(&mark)] })
        });
        slot.decide(self.inner(), decide).map(drop)
    }
}
