//! Who waits for a job's answer: a thread that may have to lead the next commit, or a future.

use std::task::{Context, Poll, Waker};

use crate::error::Error;
use crate::store::job::Done;
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) type Answer = Result<Done, Error>;

/// One waiter of one job. It is called once with the answer; a thread before that perhaps to lead.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    leads: bool,
    /// Of the task that asked last.
    waker: Option<Waker>,
}

/// What a waiting thread is called for.
#[derive(Debug)]
pub(crate) enum Called {
    /// It is the next leader.
    ToLead,
    Answered(Answer),
}

impl Waiter {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        let mut state = self.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        self.called.notify_all();
        // A task whose waker panics must not keep the others from their answers.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.into_iter().for_each(Waker::wake))).ok();
    }

    pub(crate) fn call_to_lead(&self) {
        self.lock().leads = true;
        self.called.notify_all();
    }

    /// Waits until it is called.
    pub(crate) fn wait(&self) -> Called {
        let mut state = self.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return Called::Answered(answer);
            }
            if std::mem::take(&mut state.leads) {
                return Called::ToLead;
            }
            state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Answer> {
        let mut state = self.lock();
        if let Some(answer) = state.answer.take() {
            Poll::Ready(answer)
        } else {
            state.waker = Some(context.waker().clone());
            Poll::Pending
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.lock().answer.is_some()
    }
}
