//! What is handed over without waiting: appends that a committer writes, and the calls that wait for other sessions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::atomic::Durability;
use crate::error::Error;
use crate::format::to_u64;
use crate::future::Submitted;
use crate::key::SessionKey;
use crate::mark::Outcome;
use crate::record::{NewRecord, Receipt};
use crate::store::job::{Done, Job, TurnId};
use crate::store::waiter::{Answer, Called, Waiter};
use crate::store::{Drained, Session, Store, Turn};

/// An append on its way. Gives the receipts of its records, in order: [`wait`](Self::wait) for them, or await it in any async
/// runtime or none.
///
/// It is written whether anybody waits or not, and **dropping this does not cancel it**. What one thread submits to one session
/// is written in that order. Polled after it was ready, it is pending for ever.
#[must_use = "it is written all the same, but nobody sees whether that failed"]
pub struct Pending(State);

enum State {
    Queued(Arc<Waiter>),
    /// It never came into the queue; taken when told.
    Refused(Option<Error>),
}

impl Pending {
    fn refused(error: Error) -> Self {
        Self(State::Refused(Some(error)))
    }

    /// Waits until the records are durable, or written if the store's durability asks for no more.
    ///
    /// # Errors
    ///
    /// Those of [`Session::append_batch`]; [`Error::QueueFull`] when too much else was waiting: nothing of it was written.
    pub fn wait(self) -> Result<Vec<Receipt>, Error> {
        match self.0 {
            State::Queued(waiter) => loop {
                // A future is never called to lead.
                if let Called::Answered(answer) = waiter.wait() {
                    return answer.map(Done::receipts);
                }
            },
            State::Refused(error) => Err(error.unwrap_or(Error::Closed)),
        }
    }
}

impl Future for Pending {
    type Output = Result<Vec<Receipt>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Queued(waiter) => waiter.poll(context).map(|answer: Answer| answer.map(Done::receipts)),
            State::Refused(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_answered = match &self.0 {
            State::Queued(waiter) => waiter.is_answered(),
            State::Refused(_) => true,
        };
        f.debug_struct("Pending").field("is_answered", &is_answered).finish_non_exhaustive()
    }
}

impl Session {
    /// Hands a record over and returns at once: [`append`](Self::append) for who has something else to do meanwhile, or must not
    /// block. Threads of the store write it; records that wait together share a commit.
    ///
    /// So much can wait, [`Options::queue_bytes_max`](crate::Options::queue_bytes_max); more is refused with
    /// [`Error::QueueFull`], which says to wait for some of it first. That and every other error is the [`Pending`]'s.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// use sesslog::{NewRecord, Store};
    /// let store = Store::open(folder.path())?;
    /// let session = store.session("telegram:42")?;
    /// let (one, two) = (session.submit(NewRecord::new("one")?), session.submit(NewRecord::new("two")?));
    /// assert_eq!((one.wait()?[0].seq, two.wait()?[0].seq), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit(&self, record: NewRecord) -> Pending {
        self.submit_batch(vec![record])
    }

    /// [`submit`](Self::submit) for records that are one commit, as those of [`append_batch`](Self::append_batch) are.
    pub fn submit_batch(&self, records: Vec<NewRecord>) -> Pending {
        self.submit_for(None, records, self.store.inner().options.durability)
    }

    fn submit_for(&self, turn: Option<TurnId>, records: Vec<NewRecord>, durability: Durability) -> Pending {
        if let Err(error) = self.check_records(&records) {
            return Pending::refused(error);
        }
        let bytes = records.iter().fold(0_u64, |bytes, record| bytes.saturating_add(to_u64(record.size_hint())));
        let queued = self.slot.queue(&self.store, Job::Append { records, durability, turn }, bytes);
        queued.map_or_else(Pending::refused, |waiter| Pending(State::Queued(waiter)))
    }

    /// [`begin_turn`](Self::begin_turn) for who must not block. Dropped before it is ready, the turn begins all the same and is
    /// given up at once: it was interrupted.
    pub fn begin_turn_async(&self, records: Vec<NewRecord>) -> Submitted<Turn> {
        let session = self.clone();
        Submitted::new(move || session.begin_turn(records))
    }
}

impl Turn {
    /// [`append`](Self::append) for who must not block: [`Session::submit`] of a record that is durable and the turn's.
    pub fn submit(&self, record: NewRecord) -> Pending {
        self.session().submit_for(Some(self.turn_id()), vec![record], Durability::Sync)
    }

    /// [`finish`](Self::finish) for who must not block.
    pub fn finish_async(&self, outcome: Outcome, records: Vec<NewRecord>) -> Submitted<Vec<Receipt>> {
        let turn = self.clone();
        Submitted::new(move || turn.finish(outcome, records))
    }
}

impl Store {
    /// [`drain`](Self::drain) for who must not block: the turns that it waits for may run on the thread that polls it. It drains
    /// also when this is dropped. A turn may still begin until the thread that makes the call has come to run.
    ///
    /// ```
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     struct Unpark(std::thread::Thread);
    /// #     impl std::task::Wake for Unpark {
    /// #         fn wake(self: std::sync::Arc<Self>) {
    /// #             self.0.unpark();
    /// #         }
    /// #     }
    /// #     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
    /// #             std::task::Poll::Ready(output) => return output,
    /// #             std::task::Poll::Pending => std::thread::park(),
    /// #         }
    /// #     }
    /// # }
    /// use sesslog::{NewRecord, Outcome, Store};
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Store::open(folder.path())?;
    /// # block_on(async {
    /// let turn = store.session("telegram:42")?.begin_turn_async(vec![NewRecord::new("what is the time?")?]).await?;
    /// turn.submit(NewRecord::new("looking at the clock")?).await?;
    /// turn.finish_async(Outcome::Success, vec![NewRecord::new("ten past eight")?]).await?;
    /// store.drain_async(std::time::Duration::from_secs(5), "restart", vec![]).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain_async(
        &self,
        wait: Duration,
        reason: impl Into<String>,
        running: Vec<SessionKey>,
    ) -> Submitted<Drained> {
        let (store, reason) = (self.clone(), reason.into());
        Submitted::new(move || store.drain(wait, &reason, &running))
    }
}
