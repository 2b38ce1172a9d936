//! Work on many items by some threads.

use std::panic::resume_unwind;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, PoisonError, thread};

/// Runs `work` on every item on some threads (with one job on the caller's), and returns the results in the items' order.
pub(crate) fn in_parallel<T: Sync, R: Send>(jobs: usize, items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let jobs = jobs_of(jobs).min(items.len()).max(1);
    if jobs == 1 {
        // A thread costs more than a small transcript.
        return items.iter().enumerate().map(|(at, item)| work(at, item)).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut results = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    results.push((at, work(at, item)));
                }
                done.lock().unwrap_or_else(PoisonError::into_inner).push(results);
            });
        }
    });
    let mut places: Vec<_> = items.iter().map(|_| None).collect();
    for (at, result) in done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten() {
        if let Some(place) = places.get_mut(at) {
            *place = Some(result);
        }
    }
    places.into_iter().flatten().collect()
}

/// Runs `work` on every item that `next` gives, on some threads (with one job on the caller's). Each thread has a state of its own,
/// and these are returned.
pub(crate) fn fold_in_parallel<T: Send, S: Default + Send>(
    jobs: usize,
    next: impl FnMut() -> Option<T> + Send,
    work: impl Fn(&mut S, T) + Sync,
) -> Vec<S> {
    let next = Mutex::new(next);
    let run = || {
        let mut state = S::default();
        loop {
            let item = (*next.lock().unwrap_or_else(PoisonError::into_inner))();
            let Some(item) = item else { return state };
            work(&mut state, item);
        }
    };
    match jobs_of(jobs) {
        1 => vec![run()],
        jobs => thread::scope(|scope| {
            let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(run)).collect();
            let state =
                |thread: thread::ScopedJoinHandle<'_, S>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            threads.into_iter().map(state).collect()
        }),
    }
}

/// Returns how many threads that many jobs are: 0 stands for one a core.
fn jobs_of(jobs: usize) -> usize {
    if jobs == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { jobs }
}
