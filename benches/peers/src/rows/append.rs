//! Durable appends: sessions beside each other, and threads beside each other in one session.

use crate::bench::{Bench, Scratch, settle};
use crate::peers::{self, Peer};
use crate::report::{Table, figure, percent, seconds, times};
use crate::slices::{SessionOf, Taken, interleave};
use crate::stats::Spread;

/// Numbers of sessions, each with a thread of its own.
pub(crate) const COUNTS: [usize; 4] = [1, 8, 64, 256];
/// Threads of one session.
const SHARING: usize = 64;

/// Each session has a thread.
pub(crate) fn many_sessions(bench: &mut Bench) {
    for threads in COUNTS {
        let taken = measure(bench, threads, threads, |thread| thread);
        let title = match threads {
            1 => "Durable appends, 1 session, 1 thread".to_owned(),
            _ => format!("Durable appends, {threads} sessions, a thread each"),
        };
        show(bench, &title, threads == 1, &taken);
        let relative = relative(&taken);
        bench.bars.push((threads, relative));
    }
}

/// All threads append to one session.
pub(crate) fn one_session(bench: &mut Bench) {
    let taken = measure(bench, 1, SHARING, |_| 0);
    show(bench, &format!("Durable appends, 1 session, {SHARING} threads"), false, &taken);
}

fn measure(bench: &Bench, sessions: usize, threads: usize, session_of: SessionOf) -> Vec<Taken> {
    let scratch = Scratch::new(bench.folder.join("append"));
    let open = |(at, entry): (usize, &peers::Entry)| -> Box<dyn Peer> {
        let folder = scratch.path().join(at.to_string());
        std::fs::create_dir(&folder).expect("a folder");
        (entry.open)(&folder, sessions)
    };
    let peers: Vec<_> = peers::ALL.iter().enumerate().map(open).collect();
    settle(scratch.path());
    interleave(&peers, (threads, session_of), (bench.rounds(), bench.length), bench.device().as_ref())
}

fn show(bench: &mut Bench, title: &str, with_device: bool, taken: &[Taken]) {
    let mut head = vec!["peer", "appends/s", "IQR", "to plain", "to SQLite FULL", "p50", "p99", "max"];
    if with_device {
        head.extend(["flushes an append", "KiB written an append"]);
    }
    let note = format!(
        "Median of {} slices of {:.0} ms each, all peers in turn; IQR: distance of the quartiles in per cent of the median; \
         latencies of single appends, all slices together.",
        taken.first().map_or(0, |taken| taken.rates.len()),
        bench.length.measured.as_secs_f64() * 1e3,
    );
    let mut table = Table::new(title, note, &head);
    let (plain, sqlite) = (median_of(taken, peers::PLAIN), median_of(taken, peers::SQLITE));
    for (entry, taken) in peers::ALL.iter().zip(taken) {
        let rate = Spread::of(taken.rates.iter().copied());
        let mut cells = vec![
            entry.name.to_owned(),
            figure(rate.median),
            percent(rate.relative()),
            times(rate.median / plain),
            times(rate.median / sqlite),
        ];
        cells.extend(taken.latencies.clone().percentiles([50.0, 99.0, 100.0]).map(seconds));
        if let Some(device) = taken.device.filter(|_| with_device) {
            let each = |count: u64| figure(count as f64 / taken.appends as f64);
            cells.extend([each(device.flushes), each(device.written_bytes / 1024)]);
        }
        table.line(cells);
    }
    bench.show(table);
}

fn median_of(taken: &[Taken], name: &str) -> f64 {
    let at = peers::ALL.iter().position(|entry| entry.name == name).expect("a peer of that name");
    Spread::of(taken[at].rates.iter().copied()).median
}

/// Rates as multiples of SQLite's.
fn relative(taken: &[Taken]) -> Vec<(&'static str, f64)> {
    let sqlite = median_of(taken, peers::SQLITE);
    let multiple = |entry: &peers::Entry| (entry.name, median_of(taken, entry.name) / sqlite);
    peers::ALL.iter().map(multiple).collect()
}
