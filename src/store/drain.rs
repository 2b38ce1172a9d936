//! Draining: a gateway that is told to stop marks what runs, waits for it, and leaves only what was really interrupted.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::Error;
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::parallel::in_parallel;
use crate::record::NewRecord;
use crate::store::commit::{Decide, TurnChange};
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
        inner.turns.lock().draining = true;
        let state = sync::lock_when(inner.turns.mutex(), &inner.turns.changed, left(), |state| state.beginning > 0);
        let turns: Vec<Run> = state.running.values().cloned().collect();
        drop(state);
        let in_turns: BTreeSet<_> = turns.iter().map(|run| run.slot.key.clone()).collect();
        let others: BTreeSet<_> = running.iter().filter(|key| !in_turns.contains(key)).cloned().collect();
        inner.turns.lock().awaited.clone_from(&others);

        let others: Vec<_> = others.into_iter().collect();
        let marked = in_parallel(JOBS_MAX, &turns, |_, run| {
            self.mark_turn(run, reason).map_err(|error| (run.slot.key.clone(), error))
        });
        let marked_others =
            in_parallel(JOBS_MAX, &others, |_, key| self.mark_other(key, reason).map_err(|error| (key.clone(), error)));
        let failed: Vec<_> = marked.into_iter().chain(marked_others).filter_map(Result::err).collect();
        {
            let mut state = inner.turns.lock();
            for (key, _) in &failed {
                state.awaited.remove(key);
            }
        }

        let state = sync::lock_when(inner.turns.mutex(), &inner.turns.changed, left(), |state| {
            !state.running.is_empty() || !state.awaited.is_empty()
        });
        let mut drained = Drained { failed, ..Drained::default() };
        for key in in_turns.iter().chain(&others) {
            if state.finished.contains(key) {
                drained.finished.push(key.clone());
            } else if !drained.failed.iter().any(|(failed, _)| failed == key) {
                drained.interrupted.push(key.clone());
            }
        }
        drop(state);
        drained.failed.retain(|(key, _)| !drained.finished.contains(key));
        drained.finished.sort();
        drained.interrupted.sort();
        drained.flushed = inner.flush()?;
        Ok(drained)
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
        let slot = self.inner().slot(key);
        let (key, reason) = (key.clone(), reason.to_owned());
        let decide = Decide::new(TurnChange::None, move |row, _| {
            let row = open_row(&key, row)?;
            refuse_suspended(&key, row)?;
            let mark = Mark::ResumePending { reason: reason.clone() };
            Ok(if row.status.pending.is_some() { Vec::new() } else { vec![NewRecord::mark(&mark)] })
        });
        slot.decide(self.inner(), decide).map(drop)
    }
}
