//! One key of a store: what is asked of it waits here for a leader.
//!
//! Group commit: whoever finds no leader becomes it, takes all that is queued, and has it done as one write and one fdatasync;
//! what arrives meanwhile forms the next commit. A leader hands on before it goes, to the first thread that waits or, when only
//! futures do, to a committer; everybody is called by name, so that nobody wakes in vain. The mutex is held only to queue and to
//! hand on, never across I/O, so no session waits for another.
//!
//! Invariants: without a leader nothing is queued; every job gets exactly one answer, also when its leader panics.

use std::sync::Arc;

use crate::error::Error;
use crate::key::SessionKey;
use crate::record::Receipt;
use crate::store::Store;
use crate::store::commit::Lead;
use crate::store::inner::Inner;
use crate::store::job::{Decide, Done, Job, TurnId};
use crate::store::waiter::{Answer, Called, Waiter};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::telemetry;
use crate::transcript::padding::Heat;
use crate::transcript::writer::Writer;

/// One key of a store, open for writing or not.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: SessionKey,
    state: Mutex<State>,
    /// When the session was last written to, by the store's count of milliseconds.
    last_used_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    queue: Vec<Queued>,
    /// A leader is at work, or called; it has the writer.
    led: bool,
    writer: Option<Box<Writer>>,
    /// Generation and highest durable seq of the writer, for readers while a leader has it.
    durable: Option<(u64, u64)>,
    unsynced: u64,
    poisoned: Option<Error>,
    /// The turn that this process runs: as long as it does, the session is not let go of.
    turn: Option<TurnId>,
    /// Of the last writer.
    heat: Option<Heat>,
}

/// A job that waits for a leader.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) job: Job,
    pub(crate) waiter: Arc<Waiter>,
    /// Set for a future.
    pub(crate) kept: Option<Kept>,
}

/// What a future's job needs: the store stays open until it is answered, and whoever leads for it has the slot from here.
#[derive(Debug)]
pub(crate) struct Kept {
    store: Store,
    slot: Arc<Slot>,
    /// Its share of the store's queue.
    bytes: u64,
}

impl Kept {
    /// Gives its share of the queue back. Before the answer: whoever gets that may submit as much again.
    pub(crate) fn leave_queue(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let before = self.store.inner().queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        telemetry::queued(before.saturating_sub(bytes));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.leave_queue();
    }
}

/// What a leader takes from its slot, and leaves there.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) writer: Option<Box<Writer>>,
    pub(crate) poisoned: Option<Error>,
    pub(crate) turn: Option<TurnId>,
    pub(crate) heat: Option<Heat>,
}

impl Slot {
    pub(crate) fn new(key: SessionKey) -> Self {
        Self { key, state: Mutex::default(), last_used_ms: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while the mutex is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    /// Returns generation and highest durable seq of the open writer.
    pub(crate) fn durable_seq(&self) -> Option<(u64, u64)> {
        self.lock().durable
    }

    /// Returns the turn that this process runs.
    pub(crate) fn turn(&self) -> Option<TurnId> {
        self.lock().turn
    }

    /// This process runs that turn no more.
    pub(crate) fn leave_turn(&self, turn: TurnId) {
        let mut state = self.lock();
        if state.turn == Some(turn) {
            state.turn = None;
        }
    }

    /// Submits a change, and returns the receipts of what was appended.
    pub(crate) fn decide(&self, inner: &Inner, decide: Decide) -> Result<Vec<Receipt>, Error> {
        self.submit(inner, Job::Decide(decide)).map(Done::receipts)
    }

    /// Lets go of a poisoned writer's verdict.
    pub(crate) fn forget_poisoned(&self, inner: &Inner) {
        let mut state = self.lock();
        if state.poisoned.take().is_some() {
            inner.writer_closed(self);
        }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.lock().poisoned.is_some()
    }

    /// Says whether a flush would have something to do.
    pub(crate) fn has_unsynced(&self) -> bool {
        let state = self.lock();
        // What a poisoned session has in doubt is no flush's to hide.
        state.unsynced > 0 || state.led || state.poisoned.is_some()
    }

    /// Flushes, and returns how many records became durable by it.
    pub(crate) fn flush(&self, inner: &Inner) -> Result<u64, Error> {
        match self.submit(inner, Job::Flush)? {
            Done::Flushed(count) => Ok(count),
            Done::Appended(_) | Done::Released => Ok(0),
        }
    }

    /// Has a job done, as leader if there is none, and returns its answer.
    pub(crate) fn submit(&self, inner: &Inner, job: Job) -> Answer {
        let mut state = self.lock();
        if !state.led {
            return self.lead_own(inner, state, job);
        }
        let waiter = Arc::<Waiter>::default();
        state.queue.push(Queued { job, waiter: Arc::clone(&waiter), kept: None });
        drop(state);
        loop {
            match waiter.wait() {
                Called::Answered(answer) => return answer,
                Called::ToLead => self.lead_queued(inner),
            }
        }
    }

    /// Queues a job of so many bytes for a future; a committer leads if nobody does.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`] when with it more would be queued than the store allows, and something is.
    pub(crate) fn queue(self: &Arc<Self>, store: &Store, job: Job, bytes: u64) -> Result<Arc<Waiter>, Error> {
        let limit_bytes = store.inner().options.queue_bytes_max;
        let before = store.inner().queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        telemetry::queued(before.saturating_add(bytes));
        let kept = Some(Kept { store: store.clone(), slot: Arc::clone(self), bytes });
        if before > 0 && before.saturating_add(bytes) > limit_bytes {
            return Err(Error::QueueFull { key: self.key.clone(), limit_bytes });
        }
        let waiter = Arc::<Waiter>::default();
        let mut state = self.lock();
        state.queue.push(Queued { job, waiter: Arc::clone(&waiter), kept });
        let was_led = std::mem::replace(&mut state.led, true);
        drop(state);
        if !was_led {
            store.inner().committers.lead(store.clone(), Arc::clone(self));
        }
        Ok(waiter)
    }

    /// Releases the session if nobody is using it; never waits. One with an open turn stays, but its padding is cut.
    pub(crate) fn release_if_idle(&self, inner: &Inner) -> Result<bool, Error> {
        let state = self.lock();
        let Some(writer) = state.writer.as_ref().filter(|_| !state.led) else { return Ok(false) };
        let job = match state.turn {
            None => Job::Release,
            Some(_) if writer.is_padded() => Job::CutPadding,
            Some(_) => return Ok(false),
        };
        let is_release = matches!(job, Job::Release);
        self.lead_own(inner, state, job).map(|_| is_release)
    }

    /// Leads for a job of one's own.
    fn lead_own(&self, inner: &Inner, mut state: MutexGuard<'_, State>, job: Job) -> Answer {
        let held = state.hold();
        drop(state);
        let mut lead = Lead::new(self, inner, held, Vec::new());
        let own = lead.run_own(job);
        self.last_used_ms.store(inner.now_ms(), Ordering::Relaxed);
        drop(lead);
        own
    }

    /// Does everything that is queued, as the leader that was called.
    pub(crate) fn lead_queued(&self, inner: &Inner) {
        let mut state = self.lock();
        let queue = std::mem::take(&mut state.queue);
        let held = state.hold();
        drop(state);
        let (waiters, jobs): (Vec<_>, Vec<_>) =
            queue.into_iter().map(|Queued { job, waiter, kept }| ((waiter, kept), job)).unzip();
        let mut lead = Lead::new(self, inner, held, waiters);
        lead.run(jobs);
        self.last_used_ms.store(inner.now_ms(), Ordering::Relaxed);
        drop(lead);
    }

    /// Takes back what a leader held, and calls the next.
    pub(crate) fn hand_on(&self, inner: &Inner, held: Held, found_poisoned: bool, found_turn: Option<TurnId>) {
        let mut state = self.lock();
        state.durable = held.writer.as_ref().map(|writer| (writer.row().generation, writer.durable_seq()));
        state.unsynced = held.writer.as_ref().map_or(0, |writer| writer.unsynced());
        state.writer = held.writer;
        state.heat = held.heat;
        // A reopen takes the verdict away also while a leader goes on to tell it: it must not come back with the leader.
        let reopened = found_poisoned && state.poisoned.is_none();
        state.poisoned = held.poisoned.filter(|_| !reopened);
        if held.turn != found_turn {
            state.turn = held.turn;
        }
        if state.writer.is_none() && state.poisoned.is_none() {
            // Before anybody else can lead and open the session again.
            inner.writer_closed(self);
        }
        state.led = !state.queue.is_empty();
        let thread = state.queue.iter().find(|queued| queued.kept.is_none()).map(|queued| Arc::clone(&queued.waiter));
        let future = state.queue.first().and_then(|queued| queued.kept.as_ref());
        let future = future.map(|kept| (kept.store.clone(), Arc::clone(&kept.slot)));
        drop(state);
        match (thread, future) {
            (Some(thread), _) => thread.call_to_lead(),
            (None, Some((store, slot))) => inner.committers.lead(store, slot),
            (None, None) => {}
        }
    }
}

impl State {
    /// Begins to lead.
    fn hold(&mut self) -> Held {
        self.led = true;
        Held { writer: self.writer.take(), poisoned: self.poisoned.clone(), turn: self.turn, heat: self.heat }
    }
}
