//! Calls that somebody else waits for: a plain future for users of any async runtime, or of none.
//!
//! An append is on stable storage when it returns, and the kernel has no fdatasync that does not block its thread. So the call
//! runs on a thread of its own, which wakes whoever polls. No runtime is needed, and none is preferred.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::Error;
use crate::sync::{Mutex, MutexGuard, PoisonError, thread};

/// A call on its way. Gives what the call returns.
///
/// The call begins at once, whether this is polled or not, and **dropping this does not cancel it**: what was handed over is done
/// or fails as if somebody had waited. Two calls that are on their way at the same time are in no order. A panic in the call is
/// one in the poll that would have given its result; polled after it was ready, it is pending for ever.
#[must_use = "the call is made all the same, but nobody sees whether it failed"]
pub struct Submitted<T> {
    shared: Arc<Shared<T>>,
}

type Result<T> = std::result::Result<T, Error>;

struct Shared<T>(Mutex<State<T>>);

enum State<T> {
    /// With the one to wake, if anybody has asked.
    Running(Option<Waker>),
    Done(std::thread::Result<Result<T>>),
    Taken,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, call: impl FnOnce() -> Result<T>) {
        // What the call owns is gone before anybody hears of its end: a store may be closed with it.
        let done = catch_unwind(AssertUnwindSafe(call));
        let before = std::mem::replace(&mut *self.lock(), State::Done(done));
        if let State::Running(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T: Send + 'static> Submitted<T> {
    /// Makes the call on a thread of its own; here and now, if there is no thread to be had.
    pub(crate) fn new(call: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        let shared = Arc::new(Shared(Mutex::new(State::Running(None))));
        // A thread that can not be made keeps nothing of what it was given.
        let call = Arc::new(Mutex::new(Some(call)));
        let take = |call: &Mutex<Option<_>>| call.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (theirs, their_call) = (Arc::clone(&shared), Arc::clone(&call));
        let work = move || {
            if let Some(call) = take(&their_call) {
                theirs.run(call);
            }
        };
        if thread::Builder::new().name("sesslog call".to_owned()).spawn(work).is_err()
            && let Some(call) = take(&call)
        {
            shared.run(call);
        }
        Self { shared }
    }
}

impl<T> Future for Submitted<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Running(_) => {
                // The last one who asked: a future may have moved to another task.
                *state = State::Running(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Done(Ok(result)) => Poll::Ready(result),
            State::Done(Err(panic)) => {
                drop(state);
                resume_unwind(panic)
            }
            State::Taken => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Submitted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = matches!(*self.shared.lock(), State::Done(_));
        f.debug_struct("Submitted").field("done", &done).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_call_is_one_of_the_poll() {
        let mut submitted = Submitted::<()>::new(|| panic!("of the call"));
        let mut poll = || Pin::new(&mut submitted).poll(&mut Context::from_waker(Waker::noop()));
        let panic = loop {
            match catch_unwind(AssertUnwindSafe(&mut poll)) {
                Ok(polled) => assert!(polled.is_pending()),
                Err(panic) => break panic,
            }
        };
        assert_eq!(panic.downcast_ref(), Some(&"of the call"));
        assert!(poll().is_pending(), "it is over");
    }
}
