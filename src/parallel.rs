//! Work on many items by some threads.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, PoisonError, thread};

/// Runs `work` on every item on some threads (with one job on the caller's), and returns the results in the items' order.
pub(crate) fn in_parallel<T: Sync, R: Send>(jobs: usize, items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = if jobs == 0 { cores() } else { jobs }.min(items.len()).max(1);
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
