//! Things that are done once and take a while, compared with each other: each in turn, several times over.

use std::time::{Duration, Instant};

use crate::report::{Table, spread_of_seconds, times};
use crate::stats::Spread;

/// One of the things that are compared.
pub(crate) struct Side<'a> {
    name: String,
    run: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Side<'a> {
    /// Something that is measured from its beginning to its end.
    pub(crate) fn new<T>(name: impl Into<String>, mut run: impl FnMut() -> T + 'a) -> Self {
        Self::timed(name, move || timed(&mut run).1)
    }

    /// Something that knows itself which part of it counts.
    pub(crate) fn timed(name: impl Into<String>, run: impl FnMut() -> Duration + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// Does something and says how long it took. What it gives back is dropped behind the time.
pub(crate) fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = run();
    (done, started.elapsed())
}

/// No further round begins when so much time has gone.
const LONG: Duration = Duration::from_secs(90);

/// Each side's times, and how many each has. The first does not count, if there are others: it brings the files into the page
/// cache.
fn interleave(sides: &mut [Side<'_>], rounds: usize) -> (Vec<Spread>, usize) {
    let mut taken = vec![Vec::new(); sides.len()];
    let started = Instant::now();
    for _ in 0..=rounds {
        for (side, taken) in sides.iter_mut().zip(&mut taken) {
            taken.push((side.run)().as_secs_f64());
        }
        if started.elapsed() > LONG {
            break;
        }
    }
    let done = taken.first().map_or(0, Vec::len);
    let skipped = usize::from(done > 1);
    (taken.into_iter().map(|taken| Spread::of(taken.into_iter().skip(skipped))).collect(), done - skipped)
}

fn note_of(note: &str, rounds: usize) -> String {
    let rounds = if rounds == 1 { "One round".to_owned() } else { format!("Median and quartiles of {rounds} rounds") };
    format!("{note} {rounds}, all in turn, files in the page cache.")
}

/// A table of times: the first side is what the others are compared with.
pub(crate) fn table(title: &str, note: &str, sides: &mut [Side<'_>], rounds: usize) -> Table {
    let (spreads, rounds) = interleave(sides, rounds);
    let mut table = Table::new(title, note_of(note, rounds), &["what", "median", "quartiles", "to the first"]);
    let Some(first) = spreads.first().map(|first| first.median) else { return table };
    for (side, spread) in sides.iter().zip(&spreads) {
        let [median, quartiles] = spread_of_seconds(spread);
        table.line([side.name.clone(), median, quartiles, times(spread.median / first)]);
    }
    table
}

/// A table of rates of going through so many bytes.
pub(crate) fn rates(title: &str, note: &str, bytes: u64, sides: &mut [Side<'_>], rounds: usize) -> Table {
    let (spreads, rounds) = interleave(sides, rounds);
    let mut table =
        Table::new(title, note_of(note, rounds), &["what", "median", "GiB/s", "quartiles", "time to the first"]);
    let Some(first) = spreads.first().map(|first| first.median) else { return table };
    for (side, spread) in sides.iter().zip(&spreads) {
        let [median, quartiles] = spread_of_seconds(spread);
        let rate = bytes as f64 / spread.median / f64::from(1_u32 << 30);
        table.line([side.name.clone(), median, format!("{rate:.2}"), quartiles, times(spread.median / first)]);
    }
    table
}
