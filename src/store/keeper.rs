//! The store's one thread: it lets go of idle sessions and saves the registry, off every append's path.
//!
//! Started with the first open writer, ended by `close`. It never holds a lock across I/O that an append needs.

use std::sync::Weak;
use std::time::Duration;

use crate::store::inner::Inner;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{self, Condvar, Instant, Mutex, PoisonError};

/// Longest time between two looks.
const TICK: Duration = Duration::from_millis(250);
/// A save may take this share of the time at most, whatever the number of sessions.
const SAVE_SHARE: u32 = 20;

/// The thread and what it is told.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    thread: Mutex<Option<JoinHandle<()>>>,
    told: Mutex<Told>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    stop: bool,
    /// When the oldest unsaved change was made.
    changed: Option<Instant>,
}

impl Keeper {
    /// Says that the rows changed.
    pub(crate) fn changed(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).changed.get_or_insert_with(Instant::now);
    }

    /// Starts the thread if it does not run and has anything to do by the clock. Without one (no thread to be had) sessions stay open until `close`.
    pub(crate) fn start(&self, inner: &Inner) {
        if inner.options.idle_release == Duration::MAX && inner.options.registry_save_delay == Duration::MAX {
            return;
        }
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let weak = Weak::clone(&inner.me);
            *thread = thread::Builder::new().name("sesslog-keeper".to_owned()).spawn(move || run(&weak)).ok();
        }
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread holds no handle of the store, so it can not be the one that drops the last.
        if let Some(thread) = thread {
            thread.join().ok();
        }
    }

    /// Waits for the next look; `false` when there is to be none.
    fn wait(&self, tick: Duration) -> bool {
        !sync::lock_when(&self.told, &self.wake, tick, |told| !told.stop).stop
    }

    /// Takes the note of a change if it is old enough.
    fn take_change(&self, delay: Duration) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.changed.is_some_and(|since| since.elapsed() >= delay);
        if due {
            told.changed = None;
        }
        due
    }
}

fn run(weak: &Weak<Inner>) {
    let mut save_took = Duration::ZERO;
    let mut settled = None;
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let options = &inner.options;
        let tick = TICK.min(options.idle_release / 4).max(Duration::from_millis(1));
        if !inner.keeper.wait(tick) {
            return;
        }
        inner.release_idle(options.idle_release);
        if inner.keeper.take_change(options.registry_save_delay.max(save_took * SAVE_SHARE)) {
            let started = Instant::now();
            // The index is a cache: what can not be saved now is saved later, or folded again.
            if inner.save_or_settle(&mut settled).is_err() {
                inner.keeper.changed();
            }
            save_took = started.elapsed();
        }
    }
}
