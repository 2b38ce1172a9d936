//! Turns, marks, resets and drains of a program, and what a session's status must be after them: an own fold, and where a
//! call left open what was kept, every status that it may have left.

use std::collections::HashMap;
use std::time::Duration;

use sesslog::{Error, Outcome, Row, Session, SessionState, Store, Turn};

use super::World;
use super::model::Submitted;
use super::program::Body;

/// Turns that run, by process and session; with whether a drain marked the session for its sake, if that is known.
pub type Turns = HashMap<(usize, usize), (Turn, Option<bool>)>;

/// A session's status as its caller sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Status {
    /// A turn is open.
    pub turn: bool,
    pub pending: Option<String>,
    pub suspended: Option<String>,
    pub attempts: u64,
}

/// What a process does about a session's turns and marks.
#[derive(Debug, Clone)]
pub enum Change {
    Begin(Vec<Body>),
    Finish(Outcome, Vec<Body>),
    /// Drop a turn without finishing it.
    Abandon,
    Pending,
    Clear,
    Suspend,
    Lift,
    Attempt,
    Reset,
    /// Of all the process's turns, with the session as one that runs without a turn.
    Drain,
}

impl Status {
    pub fn of(row: &Row) -> Self {
        let flag = |flag: &Option<sesslog::Flag>| flag.as_ref().map(|flag| flag.reason.clone());
        let status = &row.status;
        Self {
            turn: status.turn.is_some(),
            pending: flag(&status.pending),
            suspended: flag(&status.suspended),
            attempts: status.resume_attempts,
        }
    }

    fn after(&self, change: &Change, reason: &str) -> Self {
        let mut after = self.clone();
        match change {
            Change::Begin(_) => after.turn = true,
            Change::Finish(outcome, _) => {
                after.turn = false;
                if *outcome == Outcome::Success {
                    (after.pending, after.attempts) = (None, 0);
                }
            }
            Change::Pending => after.pending = Some(reason.to_owned()),
            Change::Clear => after.pending = None,
            Change::Suspend => after.suspended = after.suspended.or_else(|| Some(reason.to_owned())),
            Change::Lift if after.suspended.is_some() => (after.suspended, after.attempts) = (None, 0),
            Change::Attempt => after.attempts += 1,
            Change::Drain if after.suspended.is_none() => {
                after.pending = after.pending.or_else(|| Some(reason.to_owned()));
            }
            _ => {}
        }
        after
    }
}

/// Whether a call that failed may have been kept all the same.
pub fn in_doubt(error: &Error) -> bool {
    match error {
        Error::Poisoned { .. } => true,
        Error::Partial { source, .. } => in_doubt(source),
        _ => false,
    }
}

impl World {
    pub(super) fn change(
        &mut self,
        store: &Store,
        turns: &mut Turns,
        (process, number): (usize, usize),
        change: &Change,
    ) -> Result<(), String> {
        if self.models[number].is_open() {
            return Ok(());
        }
        self.next_body += 1;
        let reason = format!("reason {}", self.next_body);
        let session = store.session(super::KEYS[number]).map_err(|error| error.to_string())?;
        let running = turns.get(&(process, number)).map(|(turn, drained)| (turn.clone(), *drained));
        let result = match change {
            Change::Begin(bodies) => {
                let records = self.records(&session, number, bodies);
                let from = self.models[number].submitted.len() - bodies.len();
                session.begin_turn(records).map(|turn| {
                    self.receive(number, from, turn.receipts());
                    turns.insert((process, number), (turn, Some(false)));
                    true
                })
            }
            Change::Finish(outcome, bodies) => {
                let Some((turn, _)) = &running else { return Ok(()) };
                let records = self.records(&session, number, bodies);
                let from = self.models[number].submitted.len() - bodies.len();
                turn.finish(*outcome, records).map(|receipts| {
                    self.receive(number, from, &receipts);
                    turns.remove(&(process, number));
                    true
                })
            }
            Change::Abandon => {
                turns.remove(&(process, number));
                return Ok(());
            }
            Change::Pending => session.mark_resume_pending(&reason).map(|()| true),
            Change::Clear => session.clear_resume_pending(),
            Change::Suspend => session.suspend(&reason),
            Change::Lift => session.lift_suspension(),
            Change::Attempt => session.note_resume_attempt().map(|_| true),
            Change::Reset => {
                self.reset(&session, number, &reason);
                return Ok(());
            }
            Change::Drain => return self.drain(store, turns, (process, number), &reason),
        };
        self.tell(|| format!("    -> {result:?}"));
        if let (Change::Pending, Some((_, drained))) = (change, turns.get_mut(&(process, number))) {
            // The mark is the caller's own now, and outlives the turn.
            *drained = match &result {
                Err(Error::Suspended { .. }) => *drained,
                Err(_) if *drained != Some(false) => None,
                _ => Some(false),
            };
        }
        self.expect(number, change, &reason, running.and_then(|(_, drained)| drained), &result)
    }

    /// Holds an answer against what the session was, and works out what it is now.
    fn expect(
        &mut self,
        number: usize,
        change: &Change,
        reason: &str,
        drained: Option<bool>,
        result: &Result<bool, Error>,
    ) -> Result<(), String> {
        let bodies = if let Change::Begin(bodies) | Change::Finish(_, bodies) = change { bodies.len() } else { 0 };
        let model = &mut self.models[number];
        let before = model.status.clone();
        // Of a turn that a drain has marked, an end without success takes the mark along.
        let after = |status: &Status| -> Vec<Status> {
            let kept = status.after(change, reason);
            let mut cleared = kept.clone();
            cleared.pending = None;
            match change {
                Change::Finish(outcome, _) if !matches!(outcome, Outcome::Success | Outcome::Interrupted) => {
                    match drained {
                        Some(false) => vec![kept],
                        Some(true) => vec![cleared],
                        None => vec![kept, cleared],
                    }
                }
                _ => vec![kept],
            }
        };
        match result {
            Ok(changed) => {
                let agrees = |status: &&Status| match change {
                    Change::Clear => status.pending.is_some() == *changed,
                    Change::Suspend => status.suspended.is_none() == *changed,
                    Change::Lift => status.suspended.is_some() == *changed,
                    Change::Begin(_) | Change::Pending | Change::Attempt => status.suspended.is_none(),
                    _ => true,
                };
                model.status = before.iter().filter(agrees).flat_map(after).collect();
            }
            Err(Error::Suspended { .. }) => model.status.retain(|status| status.suspended.is_some()),
            Err(error) if in_doubt(error) => {
                model.failed = true;
                model.status.extend(before.iter().flat_map(|status| {
                    let mut both = after(status);
                    // The end of a turn without the mark behind it.
                    both.push(status.after(change, reason));
                    both
                }));
            }
            Err(_) => model.failed = true,
        }
        if let Err(error) = result
            && !in_doubt(error)
        {
            let kept = model.submitted.len() - bodies;
            model.submitted.truncate(kept);
        }
        if model.status.is_empty() {
            return Err(format!("{change:?} gave {result:?}, but the session was {before:?}"));
        }
        Ok(())
    }

    fn reset(&mut self, session: &Session, number: usize, reason: &str) {
        let result = session.reset(reason);
        self.tell(|| format!("    -> {result:?}"));
        let model = &mut self.models[number];
        match result {
            Ok(true) => model.close_generation(),
            Ok(false) => {}
            Err(error) => {
                model.failed = true;
                model.reset_in_doubt = in_doubt(&error);
            }
        }
    }

    fn drain(
        &mut self,
        store: &Store,
        turns: &mut Turns,
        (process, number): (usize, usize),
        reason: &str,
    ) -> Result<(), String> {
        let session = store.session(super::KEYS[number]).map_err(|error| error.to_string())?;
        let Ok(drained) = store.drain(Duration::ZERO, reason, std::slice::from_ref(session.key())) else {
            return Ok(());
        };
        self.tell(|| format!("    -> {drained:?}"));
        if !drained.flushed.failures.is_empty() {
            self.models.iter_mut().for_each(|model| model.failed = true);
        }
        for at in 0..self.models.len() {
            // A turn that a reset has ended is none that the store runs; named by its caller, the session is marked all the same.
            let is_open = self.models[at].status.iter().any(|status| status.turn);
            let turn = turns.get_mut(&(process, at)).filter(|_| is_open);
            if self.models[at].delete_in_doubt.is_some() {
                // It may be there, and marked.
                let marked = |status: &Status| status.after(&Change::Drain, reason);
                let statuses: Vec<_> = self.models[at].status.iter().map(marked).collect();
                self.models[at].status.extend(statuses);
                continue;
            }
            if turn.is_none() && at != number || self.models[at].reset_in_doubt {
                continue;
            }
            let mut kept = Vec::new();
            let key = super::KEYS[at];
            let failed =
                drained.failed.iter().find(|(failed, _)| failed.as_str() == key).map(|(_, error)| error.clone());
            let unmarked = |status: &Status| status.pending.is_none() && status.suspended.is_none();
            if let Some((_, marked)) = turn {
                let statuses = &self.models[at].status;
                // Where it is open whether the turn is, it is open whether it was marked.
                kept = statuses.iter().filter(|status| !status.turn).cloned().collect();
                let all = statuses.iter().all(|status| unmarked(status) && status.turn);
                let none = statuses.iter().all(|status| !unmarked(status) || !status.turn);
                *marked = match (failed.is_some(), *marked, all, none) {
                    (false, Some(_), true, _) => Some(true),
                    (false, known, _, true) => known,
                    _ => None,
                };
            }
            let result = failed.map_or(Ok(true), Err);
            if matches!(result, Err(Error::SessionNotFound { .. } | Error::SessionClosed { .. })) {
                continue;
            }
            self.expect(at, &Change::Drain, reason, None, &result)?;
            self.models[at].status.extend(kept);
        }
        Ok(())
    }

    /// Makes records for a turn, and notes that they are submitted.
    fn records(&mut self, session: &Session, number: usize, bodies: &[Body]) -> Vec<sesslog::NewRecord> {
        let mut records = Vec::new();
        for body in bodies {
            let (body, record) = self.record(session, *body);
            self.models[number].submitted.push(Submitted { body, promised: false, seq: None });
            records.push(record);
        }
        records
    }

    /// One fdatasync covers what was written before, too.
    fn receive(&mut self, number: usize, from: usize, receipts: &[sesslog::Receipt]) {
        let model = &mut self.models[number];
        for (receipt, submitted) in receipts.iter().zip(&mut model.submitted[from..]) {
            (submitted.promised, submitted.seq) = (true, Some(receipt.seq));
        }
        if !model.failed {
            model.submitted[..from].iter_mut().for_each(|submitted| submitted.promised = true);
        }
    }

    /// What a session is now is one of those that it may be; from then on it is that.
    pub(super) fn check_status(&mut self, store: &Store, number: usize) -> Result<(), String> {
        let key = super::KEYS[number];
        let row = match store.session(key).and_then(|session| session.row()) {
            Ok(row) => Some(row),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(format!("{key}: row: {error}")),
        };
        let model = &mut self.models[number];
        let closed_at = row.as_ref().filter(|row| row.state == SessionState::Closed).map(|row| row.generation);
        if model.reset_in_doubt && closed_at == Some(model.generation) {
            model.close_generation();
        }
        model.reset_in_doubt = false;
        let generation = row.as_ref().map_or(0, |row| row.generation);
        if closed_at.map_or(generation > model.generation, |closed| closed + 1 != model.generation) {
            return Err(format!("{key}: generation {generation}, closed {closed_at:?}; expected {}", model.generation));
        }
        // Of a generation that is not made yet there is nothing to say.
        let found =
            row.filter(|row| row.generation == model.generation).map(|row| Status::of(&row)).unwrap_or_default();
        if !model.status.contains(&found) {
            return Err(format!("{key}: status is {found:?}, expected one of {:?}", model.status));
        }
        model.status = vec![found];
        Ok(())
    }
}
