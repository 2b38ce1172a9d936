//! The primitives that threads meet at: the standard library's, or under `cfg(shuttle)` those of the schedule explorer
//! [shuttle](https://docs.rs/shuttle), which decides at each of them who runs next.
//!
//! Coordination uses this module and nothing else: what shuttle does not see, it can not interleave. Under shuttle time is a
//! count of looks at the clock and a timer rings as often as the test allows, so that a schedule can be replayed.

#[cfg(not(shuttle))]
mod primitives {
    use std::time::Duration;

    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic};
    pub(crate) use std::thread;
    pub(crate) use std::time::Instant;

    /// Locks, and waits while the condition holds, but not longer than `time`.
    pub(crate) fn lock_when<'mutex, T>(
        mutex: &'mutex Mutex<T>,
        changed: &Condvar,
        time: Duration,
        waiting: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'mutex, T> {
        let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        changed.wait_timeout_while(guard, time, waiting).unwrap_or_else(PoisonError::into_inner).0
    }

    /// A moment at which shuttle may let others run; nothing without it.
    #[cfg(feature = "sim")]
    pub(crate) fn let_others_run() {}
}

#[cfg(shuttle)]
mod primitives {
    use std::cell::Cell;
    use std::time::Duration;

    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic};
    pub(crate) use shuttle::thread;

    // Of the standard library: all tasks of a schedule run on one of its threads, and other tests on others.
    std::thread_local! {
        static LOOKS: Cell<u64> = const { Cell::new(0) };
        static RINGS_LEFT: Cell<u32> = const { Cell::new(0) };
    }

    /// Every look at the clock is a millisecond after the one before.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Instant(u64);

    impl Instant {
        pub(crate) fn now() -> Self {
            LOOKS.set(LOOKS.get().wrapping_add(1));
            Self(LOOKS.get())
        }

        pub(crate) fn elapsed(self) -> Duration {
            Duration::from_millis(Self::now().0.wrapping_sub(self.0))
        }
    }

    /// Says how often timers may still ring in this schedule. A timer that rings for ever would hide every deadlock: somebody
    /// could always run.
    pub fn set_rings(rings: u32) {
        RINGS_LEFT.set(rings);
    }

    /// Locks, and waits while the condition holds; a timer that may ring does so at once, after everybody else's chance.
    pub(crate) fn lock_when<'mutex, T>(
        mutex: &'mutex Mutex<T>,
        changed: &Condvar,
        _time: Duration,
        waiting: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'mutex, T> {
        if let Some(left) = RINGS_LEFT.get().checked_sub(1) {
            RINGS_LEFT.set(left);
            thread::yield_now();
            return mutex.lock().unwrap_or_else(PoisonError::into_inner);
        }
        let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        changed.wait_while(guard, waiting).unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "sim")]
    pub(crate) fn let_others_run() {
        thread::yield_now();
    }
}

#[cfg(shuttle)]
pub use primitives::set_rings;
pub(crate) use primitives::*;
