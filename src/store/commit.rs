//! A leader at work: what was asked of a session, done as few commits as the order allows.

use std::sync::Arc;

use crate::atomic::Durability;
use crate::error::Error;
use crate::fs::PathError;
use crate::mark::Mark;
use crate::record::{Head, NewRecord, Receipt};
use crate::status::SessionState;
use crate::store::group::{self, Append, waiting};
use crate::store::inner::{Inner, Opened, Unborn};
use crate::store::job::{Again, Decide, Done, Job, TurnChange, TurnId};
use crate::store::settle::Birth;
use crate::store::slot::{Held, Kept, Slot};
use crate::store::waiter::{Answer, Waiter};
use crate::telemetry;
use crate::timestamp::Timestamp;
use crate::transcript::padding::Heat;
use crate::transcript::writer::{CommitError, Writer, Written};

/// Who waits for a job, and what keeps the store open for it.
type Waiting = (Arc<Waiter>, Option<Kept>);

/// A leader at work. On drop, also by a panic, everyone is answered and the next may lead.
pub(crate) struct Lead<'a> {
    slot: &'a Slot,
    inner: &'a Inner,
    writer: Option<Box<Writer>>,
    poisoned: Option<Error>,
    /// It was so before this leader.
    found_poisoned: bool,
    /// The turn as it is, and as this leader found it.
    turn: Option<TurnId>,
    found_turn: Option<TurnId>,
    /// Of the last writer.
    heat: Option<Heat>,
    /// In the order of the jobs, and of their answers; none for a job of the leader's own.
    waiters: Vec<Waiting>,
    answers: Vec<Option<Answer>>,
    /// Not ended by a panic.
    finished: bool,
}

impl<'a> Lead<'a> {
    pub(crate) fn new(slot: &'a Slot, inner: &'a Inner, held: Held, waiters: Vec<Waiting>) -> Self {
        let Held { writer, poisoned, turn, heat } = held;
        let found_poisoned = poisoned.is_some();
        let (answers, finished) = (Vec::new(), false);
        Self { slot, inner, writer, poisoned, found_poisoned, turn, found_turn: turn, heat, waiters, answers, finished }
    }

    /// Does a job of the leader's own.
    pub(crate) fn run_own(&mut self, job: Job) -> Answer {
        self.run(vec![job]);
        self.answers.pop().flatten().unwrap_or(Err(Error::Closed))
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // What the writer was doing is not known.
            self.poisoned = Some(self.poisoned_error(
                None,
                PathError {
                    operation: "finish a commit to",
                    path: self.inner.layout.transcripts(),
                    source: Arc::new(std::io::Error::other("a panic in the writer")),
                },
            ));
            self.writer = None;
        }
        let fallback = self.poisoned.clone().unwrap_or(Error::Closed);
        let held =
            Held { writer: self.writer.take(), poisoned: self.poisoned.take(), turn: self.turn, heat: self.heat };
        // The next leader begins while those of this commit are answered.
        self.slot.hand_on(self.inner, held, self.found_poisoned, self.found_turn);
        let mut answers = std::mem::take(&mut self.answers).into_iter();
        for (waiter, kept) in &mut self.waiters {
            kept.as_mut().map(Kept::leave_queue);
            waiter.answer(answers.next().flatten().unwrap_or_else(|| Err(fallback.clone())));
        }
    }
}

impl Lead<'_> {
    /// Does all jobs, in their order.
    pub(crate) fn run(&mut self, jobs: Vec<Job>) {
        self.answers.resize_with(jobs.len(), || None);
        let mut appends = Vec::new();
        let mut sync = false;
        for (ticket, job) in jobs.into_iter().enumerate() {
            match job {
                Job::Append { records, durability, turn } => {
                    if let Some(turn) = turn {
                        if self.writer.is_none() {
                            self.append_all(std::mem::take(&mut appends), std::mem::take(&mut sync));
                        }
                        if let Err(error) = self.check_turn(turn) {
                            self.answer(ticket, Err(error));
                            continue;
                        }
                    }
                    // One fdatasync covers all that are queued: who asked for less gets more.
                    sync |= durability == Durability::Sync;
                    appends.push(Append::new(ticket, records));
                }
                Job::Decide(decide) => {
                    self.append_all(std::mem::take(&mut appends), std::mem::take(&mut sync));
                    let done = self.decide(ticket, decide).map(Done::Appended);
                    self.answer(ticket, done);
                }
                Job::Flush | Job::Release | Job::CutPadding => {
                    self.append_all(std::mem::take(&mut appends), std::mem::take(&mut sync));
                    let done = match job {
                        Job::Release => self.release().map(|()| Done::Released),
                        Job::CutPadding => self.cut_padding().map(|()| Done::Released),
                        _ => self.flush().map(Done::Flushed),
                    };
                    self.answer(ticket, done);
                }
            }
        }
        self.append_all(appends, sync);
        self.finished = true;
    }

    fn answer(&mut self, ticket: usize, answer: Answer) {
        if let Some(place) = self.answers.get_mut(ticket) {
            *place = Some(answer);
        }
    }

    fn append_all(&mut self, mut appends: Vec<Append>, sync: bool) {
        if appends.is_empty() {
            return;
        }
        let result = self.append_records(&mut appends, sync);
        for append in appends {
            let ticket = append.ticket;
            self.answer(ticket, append.answer(&result).map(Done::Appended));
        }
    }

    fn append_records(&mut self, appends: &mut [Append], sync: bool) -> Result<(), Error> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        let now = self.inner.layout.fs.now();
        let mut found_one = false;
        while self.writer.is_none() {
            if let Some(unborn) = self.open(now)? {
                self.find_twins(appends, unborn.generation)?;
                if appends.iter().all(Append::is_answered) {
                    return Ok(());
                }
                self.give_birth(unborn, appends, now, &mut found_one)?;
            }
        }
        self.find_twins(appends, 1)?;
        self.commit_all(appends, sync, now)
    }

    fn commit_all(&mut self, appends: &mut [Append], sync: bool, now: Timestamp) -> Result<(), Error> {
        loop {
            let waiting = waiting(appends);
            let Some(writer) = self.writer.as_mut() else { return Err(Error::Closed) };
            telemetry::span!("commit", self.slot.key, writer.row().generation);
            if waiting.is_empty() {
                if appends.iter().all(Append::is_answered) {
                    return Ok(());
                }
                // Nothing is to be written, but what is acknowledged again has to be in the session's file, and durable.
                let looked = if sync && writer.unsynced() > 0 { writer.sync() } else { writer.check_ours() };
                looked.map_err(|error| self.failed(error))?;
                self.fold_if_durable();
                self.hand_out(appends, &[], sync);
                return Ok(());
            }
            match writer.commit(&waiting, sync, now) {
                Ok(written) => {
                    self.fold_if_durable();
                    self.hand_out(appends, &written, sync);
                }
                Err(error) => {
                    let error = self.failed(error);
                    // A full disk is no reason to refuse what was written before.
                    self.hand_out(appends, &[], sync);
                    return Err(error);
                }
            }
        }
    }

    /// Refuses a turn that is over: what comes late must not get into the generation that a reset began, nor behind what
    /// another process did to a session that was let go of.
    fn check_turn(&mut self, turn: TurnId) -> Result<(), Error> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        if self.writer.is_none() && self.turn == Some(turn) {
            // Looks whether the turn is still there; what is to be born is none of its business.
            self.open(self.inner.layout.fs.now())?;
        }
        let over = || Error::TurnOver { key: self.slot.key.clone(), turn: turn.seq };
        if self.turn == Some(turn) { Ok(()) } else { Err(over()) }
    }

    /// Appends what a change decides on the session as it is now.
    fn decide(&mut self, ticket: usize, mut decide: Decide) -> Result<Vec<Receipt>, Error> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        let now = self.inner.layout.fs.now();
        let mut found_one = false;
        let mut appends = loop {
            let unborn = if self.writer.is_none() { self.open(now)? } else { None };
            let closed = unborn.as_ref().and_then(|unborn| unborn.closed.as_deref());
            let row = self.writer.as_ref().map(|writer| writer.row()).or(closed);
            let records = match (decide.decision)(row, self.turn) {
                Ok(records) => records,
                Err(error) => match decide.again.as_mut().map(|again| self.goes_on(again)).transpose()?.flatten() {
                    Some(records) => records,
                    None => return Err(error),
                },
            };
            if records.is_empty() {
                return Ok(Vec::new());
            }
            let mut appends = [Append::new(ticket, records)];
            if let Some(unborn) = unborn {
                self.find_twins(&mut appends, unborn.generation)?;
                if appends.iter().all(Append::is_answered) {
                    break appends;
                }
                self.give_birth(unborn, &mut appends, now, &mut found_one)?;
            }
            if self.writer.is_some() {
                break appends;
            }
        };
        let result = match self.writer {
            Some(_) => self.find_twins(&mut appends, 1).and_then(|()| self.commit_all(&mut appends, true, now)),
            None => Ok(()),
        };
        let [append] = appends;
        let receipts = append.answer(&result)?;
        self.turn = match decide.turn {
            TurnChange::None => self.turn,
            TurnChange::Begins => {
                receipts.first().map(|Receipt { generation, seq, .. }| TurnId { generation: *generation, seq: *seq })
            }
            TurnChange::Ends => None,
        };
        if let Some(mut closed) = self.writer.take_if(|writer| writer.row().state == SessionState::Closed) {
            // Behind a reset nothing is written: the next append looks for its generation anew. What the reset says stands: that
            // somebody else has changed the file, whoever opens it next finds out.
            if closed.cut_padding().is_ok() {
                self.inner.let_go(closed.row());
            }
        }
        Ok(receipts)
    }

    /// Returns the records of a change of which some are there already, if the rest can follow or nothing is lacking.
    fn goes_on(&mut self, again: &mut Again) -> Result<Option<Vec<NewRecord>>, Error> {
        let mut appends = [Append::new(0, again.records.clone())];
        if self.writer.is_none() {
            return Ok(None);
        }
        self.find_twins(&mut appends, 1)?;
        let [append] = &appends;
        let (Some(writer), Some(last)) = (&self.writer, append.last_written()) else { return Ok(None) };
        let row = writer.row();
        let head = Head { generation: row.generation, seq: last.seq, crc: last.crc };
        let is_all = append.unwritten().next().is_none();
        Ok((is_all || (again.ends_at)(row, head)?).then(|| again.records.clone()))
    }

    /// Opens the session's transcript, or says which one is to be made.
    fn open(&mut self, now: Timestamp) -> Result<Option<Unborn>, Error> {
        telemetry::span!("open", self.slot.key);
        let opened = self.inner.open_writer(self.slot).inspect_err(telemetry::failed)?;
        // A close takes the list of open sessions once; what is opened after that would stay open for ever.
        self.inner.check_writable()?;
        let found = match &opened {
            Opened::Absent(unborn) => unborn.closed.as_deref(),
            Opened::Writer(writer, _) => Some(writer.row()),
        };
        // The lock was not held meanwhile: another process may have ended our turn.
        self.turn = self.turn.filter(|turn| found.is_some_and(|row| turn.is_open_in(row)));
        let (mut writer, mark) = match opened {
            Opened::Absent(unborn) => return Ok(Some(unborn)),
            Opened::Writer(writer, mark) => (writer, mark),
        };
        if let Some(heat) = self.heat {
            writer.set_heat(heat);
        }
        if let Some(mark) = mark {
            if let Mark::Recovered { bytes, .. } = mark {
                telemetry::torn(&self.slot.key, writer.row().generation, bytes);
            }
            writer.commit(&[&NewRecord::mark(&mark)], true, now).map_err(|error| self.failed(error))?;
        }
        self.inner.fold(&self.slot.key, writer.row());
        self.writer = Some(writer);
        Ok(None)
    }

    /// Makes the session's transcript with everything that waits in it. Without a writer afterwards somebody else had made it,
    /// and it is to be opened; that happens once.
    fn give_birth(
        &mut self,
        Unborn { generation, lock, .. }: Unborn,
        appends: &mut [Append],
        now: Timestamp,
        found_one: &mut bool,
    ) -> Result<(), Error> {
        let records: Vec<_> = appends.iter().flat_map(Append::unwritten).collect();
        let (layout, key) = (&self.inner.layout, &self.slot.key);
        let birth = Birth { inner: self.inner, key, generation };
        match Writer::give_birth(&birth, layout, lock, key, generation, &records, now) {
            Ok((writer, written)) => {
                self.inner.folder.born(key, generation);
                self.inner.fold(&self.slot.key, writer.row());
                self.writer = Some(Box::new(writer));
                self.hand_out(appends, &written, true);
                Ok(())
            }
            // The list of the folder was older than its time of change tells; nothing was replaced.
            Err(CommitError::RolledBack(error)) if error.kind() == std::io::ErrorKind::AlreadyExists && !*found_one => {
                *found_one = true;
                self.inner.folder.forget();
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Looks for what the ids of these appends find.
    fn find_twins(&mut self, appends: &mut [Append], unborn: u64) -> Result<(), Error> {
        group::find_twins(appends, &self.slot.key, self.writer.as_deref_mut(), unborn)
    }

    fn hand_out(&self, appends: &mut [Append], written: &[Written], durable: bool) {
        if let Some(writer) = &self.writer {
            group::hand_out(appends, &self.slot.key, writer, written, durable);
        }
    }

    fn flush(&mut self) -> Result<u64, Error> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        let Some(writer) = self.writer.as_mut().filter(|writer| writer.unsynced() > 0) else { return Ok(0) };
        let unsynced = writer.unsynced();
        writer.sync().map_err(|error| self.failed(error))?;
        self.fold_if_durable();
        Ok(unsynced)
    }

    fn release(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        let sealed = writer.seal();
        if let Err(error @ CommitError::Poisoned { .. }) = sealed {
            return Err(self.failed(error));
        }
        self.cut_padding()?;
        if let Some(writer) = self.writer.take() {
            self.heat = Some(writer.heat());
            self.inner.fold(&self.slot.key, writer.row());
            self.inner.let_go(writer.row());
        }
        // A seal that found no room is no loss, but a full disk is worth telling.
        sealed.map_err(|error| self.failed(error))
    }

    fn cut_padding(&mut self) -> Result<(), Error> {
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        writer.cut_padding().map_err(|error| self.failed(error))
    }

    fn fold_if_durable(&self) {
        if let Some(writer) = self.writer.as_ref().filter(|writer| writer.unsynced() == 0) {
            self.inner.fold(&self.slot.key, writer.row());
        }
    }

    /// Turns a commit's failure into the caller's error. A poisoned writer is let go of at once, and its lock with it; the lock
    /// file stays.
    fn failed(&mut self, error: CommitError) -> Error {
        let error = match error {
            CommitError::RolledBack(source) => {
                self.fold_if_durable();
                Error::WriteFailed { key: self.slot.key.clone(), source }
            }
            CommitError::Poisoned { in_doubt, source } => {
                let error = self.poisoned_error(in_doubt, source);
                self.writer = None;
                self.poisoned = Some(error.clone());
                error
            }
        };
        telemetry::failed(&error);
        error
    }

    fn poisoned_error(&self, in_doubt: Option<(u64, u64)>, source: PathError) -> Error {
        let generation = self.writer.as_ref().map_or(1, |writer| writer.row().generation);
        Error::Poisoned { key: self.slot.key.clone(), generation, in_doubt, source }
    }
}
