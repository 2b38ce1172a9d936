//! The threads that lead where only futures wait. They are the store's own: an fdatasync blocks its thread, and a runtime's pool
//! is not ours to block.
//!
//! Made when there is work and nobody idle, so that the flushes of many sessions run side by side and the disk can merge them;
//! gone when there is none. They hold no store while they wait for work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::store::Store;
use crate::store::slot::Slot;
use crate::sync::{self, Condvar, Mutex, PoisonError, thread};

/// More than this many flushes at once no disk merges any better.
const THREADS_MAX: usize = 64;
/// How long an idle one waits for work; not at all while schedules are explored, where it would be taken for a deadlock.
const IDLE: Duration = if cfg!(shuttle) { Duration::ZERO } else { Duration::from_secs(1) };

/// The threads and what they are to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Committers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Store, Arc<Slot>)>,
    threads: usize,
    idle: usize,
}

impl Committers {
    /// Has somebody lead a slot; without a thread to be had, the caller.
    pub(crate) fn lead(&self, store: Store, slot: Arc<Slot>) {
        let mut state = self.0.lock();
        state.waiting.push_back((store, slot));
        if state.idle >= state.waiting.len() {
            drop(state);
            self.0.work.notify_one();
            return;
        }
        if state.threads >= THREADS_MAX {
            return;
        }
        state.threads = state.threads.saturating_add(1);
        drop(state);
        let shared = Arc::clone(&self.0);
        let run = move || shared.run();
        if thread::Builder::new().name("sesslog-committer".to_owned()).spawn(run).is_err() {
            self.0.run_out();
        }
    }
}

impl Shared {
    fn lock(&self) -> sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            self.work_off();
            let mut state = self.lock();
            if IDLE.is_zero() && state.waiting.is_empty() {
                state.threads = state.threads.saturating_sub(1);
                return;
            }
            state.idle = state.idle.saturating_add(1);
            drop(state);
            let mut state = sync::lock_when(&self.state, &self.work, IDLE, |state| state.waiting.is_empty());
            state.idle = state.idle.saturating_sub(1);
            if state.waiting.is_empty() {
                state.threads = state.threads.saturating_sub(1);
                return;
            }
        }
    }

    /// There is no thread to be had: what waits is done here and now.
    fn run_out(&self) {
        self.work_off();
        let mut state = self.lock();
        state.threads = state.threads.saturating_sub(1);
    }

    fn work_off(&self) {
        loop {
            let Some((store, slot)) = self.lock().waiting.pop_front() else { return };
            // A panic was answered by the leader; the next one's commit is no business of it.
            let work = move || {
                slot.lead_queued(store.inner());
                drop(slot);
                // The last handle closes the store, here and now.
                drop(store);
            };
            drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)));
        }
    }
}
