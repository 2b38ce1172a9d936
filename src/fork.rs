//! A new session that begins as another one was: for a branch of a conversation.
//!
//! The new transcript is written whole, as by a repair, and names its parent in its header. It has the parent's records up to
//! the one named, marks included, with their seqs, so that what a mark says of a seq goes on being true. The parent is read
//! without a lock and not touched.

use crate::error::Error;
use crate::header::Parent;
use crate::key::{KeyError, SessionKey};
use crate::mark::{Mark, Outcome};
use crate::record::NewRecord;
use crate::status::SessionState;
use crate::store::Session;
use crate::transcript::reader::Records;
use crate::transcript::recover::Trust;
use crate::transcript::scan::Step;
use crate::transcript::whole::NewFile;

impl Session {
    /// Makes the session `to`, which begins with the records of this one up to `at_seq`: of its newest generation, 0 standing
    /// for none. They keep seq, ts, kind, id and body, and are durable when this returns, also those that were only buffered
    /// here. A turn that was open, a resume that was pending and a suspension are the parent's business: marks at the end of the
    /// copy take them back. If `to` was reset, its next generation begins so.
    ///
    /// Costs a read of this session, and one more and a write of what is taken along.
    ///
    /// # Errors
    ///
    /// [`Error::BeyondHistory`] when there is no record `at_seq`, [`Error::Damaged`] when this session is damaged,
    /// [`Error::SessionExists`], [`Error::Busy`] when another process writes to `to`: nothing was written. After
    /// [`Error::Io`] the new session is there whole or not at all.
    pub fn fork(&self, to: impl AsRef<str>, at_seq: u64) -> Result<Self, Error> {
        self.fork_of(None, to, at_seq)
    }

    /// [`fork`](Self::fork) of some generation.
    ///
    /// # Errors
    ///
    /// Those of [`fork`](Self::fork).
    pub fn fork_of(&self, generation: Option<u64>, to: impl AsRef<str>, at_seq: u64) -> Result<Self, Error> {
        self.check_writable()?;
        let inner = self.store.inner();
        let forked = self.store.session(to)?;
        let to = forked.key();
        forked.check_writable()?;
        let (parent, _) = self.check_fork(generation, to.as_str(), at_seq)?;
        forked.slot.release_if_idle(inner)?;
        inner.create(to, Some(parent.clone()), |new| {
            let mut records = inner.reader(self.key(), parent.generation)?.forward(0)?;
            new.fill(|file, now| {
                copy(&mut records, file, &parent, self.key())?;
                let status = file.row().status.clone();
                let open_turn =
                    status.turn.map(|turn| Mark::TurnEnded { turn: turn.seq, outcome: Outcome::Interrupted });
                let pending = status.pending.map(|_| Mark::ResumeCleared);
                let held = (status.suspended.is_some() || status.resume_attempts > 0).then_some(Mark::Released);
                for mark in [open_turn, pending, held].into_iter().flatten() {
                    file.put_record(&NewRecord::mark(&mark), now)?;
                }
                Ok(())
            })
        })?;
        Ok(forked)
    }

    /// Says what a fork would name as its parent, and which generation of `to` it would be. Writes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`fork`](Self::fork), but that `to` is busy.
    pub fn check_fork(
        &self,
        generation: Option<u64>,
        to: impl AsRef<str>,
        at_seq: u64,
    ) -> Result<(Parent, u64), Error> {
        let to = SessionKey::new(to)?;
        if to.is_reserved() {
            return Err(KeyError::Reserved.into());
        }
        // Read whole: damage behind what is taken along is damage, too.
        let row = self.store.inner().sound_row(self.key(), generation, Trust::Nothing)?;
        let (key, generation, last_seq) = (self.key().clone(), row.generation, row.last_seq);
        if at_seq > last_seq {
            return Err(Error::BeyondHistory { key, generation, what: "at_seq", seq: at_seq, last_seq });
        }
        // The reset that closed it is not taken along: nothing could be appended behind it.
        let last_seq = last_seq.saturating_sub(u64::from(row.state == SessionState::Closed));
        let parent = Parent { key: row.key, generation, seq: at_seq.min(last_seq) };
        Ok((parent, self.store.inner().unborn_generation(&to)?))
    }
}

/// Copies the records up to the parent's seq, each looked at once more.
fn copy(records: &mut Records, new: &mut NewFile<'_>, parent: &Parent, key: &SessionKey) -> Result<(), Error> {
    let seed = records.seed();
    while new.row().last_seq < parent.seq {
        match records.step()? {
            Step::Record(line, info) if info.seq <= parent.seq => {
                new.copy(records.source(), seed, info.seq, line.offset..line.end())?;
            }
            Step::Gap(gap) => {
                let path = records.path().to_owned();
                return Err(Error::Damaged { key: key.clone(), generation: parent.generation, path, gap });
            }
            // It had records up to there a moment ago; a repair's gap mark may stand for the one named.
            Step::Record(..) | Step::End(_) => {
                let (key, generation, last_seq) = (key.clone(), parent.generation, new.row().last_seq);
                return Err(Error::BeyondHistory { key, generation, what: "at_seq", seq: parent.seq, last_seq });
            }
        }
    }
    Ok(())
}
