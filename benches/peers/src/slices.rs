//! Short slices of all peers in turn, so that what the disk and the machine do meanwhile meets all of them alike.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::body::body;
use crate::device::{Counters, Device};
use crate::peers::Peer;
use crate::stats::Latencies;

/// How long a slice is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// Not measured: what a peer does when it has been left alone, while the others ran, is none of its everyday.
    pub(crate) warm: Duration,
    pub(crate) measured: Duration,
}

/// What one peer did in all of its slices.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Appends a second, slice by slice.
    pub(crate) rates: Vec<f64>,
    pub(crate) latencies: Latencies,
    /// Within what is measured, over all slices.
    pub(crate) appends: u64,
    pub(crate) device: Option<Counters>,
}

/// Which session a thread appends to.
pub(crate) type SessionOf = fn(usize) -> usize;

/// Runs so many slices of each peer, in turn; each time in the other direction, so that nobody always follows the same one.
pub(crate) fn interleave(
    peers: &[Box<dyn Peer>],
    (threads, session_of): (usize, SessionOf),
    (rounds, length): (usize, Length),
    device: Option<&Device>,
) -> Vec<Taken> {
    let mut taken: Vec<_> = peers.iter().map(|_| Taken::default()).collect();
    for round in 0..rounds {
        let mut order: Vec<_> = (0..peers.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            slice(peers[at].as_ref(), (threads, session_of), length, device, &mut taken[at]);
        }
    }
    taken
}

fn slice(
    peer: &dyn Peer,
    (threads, session_of): (usize, SessionOf),
    length: Length,
    device: Option<&Device>,
    taken: &mut Taken,
) {
    let ready = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let ready = &ready;
        let work = |thread| {
            scope.spawn(move || {
                ready.wait();
                appends(peer, session_of(thread), thread, length)
            })
        };
        let workers: Vec<_> = (0..threads).map(work).collect();
        ready.wait();
        std::thread::sleep(length.warm);
        let before = device.and_then(Device::read);
        std::thread::sleep(length.measured);
        let after = device.and_then(Device::read);
        let mut completed = 0;
        for worker in workers {
            let (count, latencies) = worker.join().expect("nobody panicked");
            completed += count;
            taken.latencies.merge(latencies);
        }
        taken.appends += completed;
        taken.rates.push(completed as f64 / length.measured.as_secs_f64());
        if let (Some(before), Some(after)) = (before, after) {
            taken.device = Some(taken.device.unwrap_or_default().plus(after.since(before)));
        }
    });
}

/// One thread's share: how many appends ended in the measured time, and how long those took that began in it.
fn appends(peer: &dyn Peer, session: usize, thread: usize, length: Length) -> (u64, Latencies) {
    let started = Instant::now();
    let (from, until) = (started + length.warm, started + length.warm + length.measured);
    let (mut count, mut latencies) = (0, Latencies::default());
    for n in thread.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        peer.append(session, body(n));
        let ended = Instant::now();
        if begun >= from {
            latencies.note(ended - begun);
        }
        count += u64::from((from..until).contains(&ended));
    }
    (count, latencies)
}
