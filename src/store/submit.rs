//! The calls that wait for a disk or for other sessions, as futures: each returns at once and is made on a thread of its own.

use std::time::Duration;

use crate::future::Submitted;
use crate::key::SessionKey;
use crate::mark::Outcome;
use crate::record::{NewRecord, Receipt};
use crate::store::{Drained, Session, Store, Turn};

impl Session {
    /// [`append`](Self::append) for who must not block. Appends that are on their way at the same time share commits, as those of
    /// threads do; for an order among them await each before the next, or use [`append_batch_async`](Self::append_batch_async).
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
    /// let session = store.session("telegram:42")?;
    /// let turn = session.begin_turn_async(vec![NewRecord::new("what is the time?")?]).await?;
    /// session.append_async(NewRecord::new("looking at the clock")?).await?;
    /// turn.finish_async(Outcome::Success, vec![NewRecord::new("ten past eight")?]).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_async(&self, record: NewRecord) -> Submitted<Receipt> {
        let session = self.clone();
        Submitted::new(move || session.append(record))
    }

    /// [`append_batch`](Self::append_batch) for who must not block.
    pub fn append_batch_async(&self, records: Vec<NewRecord>) -> Submitted<Vec<Receipt>> {
        let session = self.clone();
        Submitted::new(move || session.append_batch(records))
    }

    /// [`begin_turn`](Self::begin_turn) for who must not block. Dropped before it is ready, the turn begins all the same and is
    /// given up at once: it was interrupted.
    pub fn begin_turn_async(&self, records: Vec<NewRecord>) -> Submitted<Turn> {
        let session = self.clone();
        Submitted::new(move || session.begin_turn(records))
    }
}

impl Turn {
    /// [`append`](Self::append) for who must not block.
    pub fn append_async(&self, record: NewRecord) -> Submitted<Receipt> {
        let turn = self.clone();
        Submitted::new(move || turn.append(record))
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
