//! What turns and drains cost, as ratios of medians, taken in one run on one disk, in interleaved slices.
//!
//! `cargo bench --bench drain` prints them; `SESSLOG_BENCH_DIR` names the folder, as for `throughput`. `SESSLOG_BENCH_SLICES` sets
//! how many slices of each side of the drain there are (9 by default).

#![allow(clippy::as_conversions, clippy::cast_precision_loss, reason = "figures for people")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sesslog::{NewRecord, Options, Outcome, Session, Store};

/// Sessions that run when the drain begins.
const RUNNING: usize = 1000;
/// Turns of a slice, and slices.
const TURNS: usize = 25;
const TURN_SLICES: usize = 81;
/// A running session holds its lock and its transcript.
const DESCRIPTORS: u64 = 2 * RUNNING as u64 + 256;

fn main() {
    let folder =
        std::env::var_os("SESSLOG_BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder to measure in");
    let slices = std::env::var("SESSLOG_BENCH_SLICES").ok().and_then(|text| text.parse().ok()).unwrap_or(9);
    println!("in {}", folder.path().display());
    turns(folder.path());
    drain(folder.path(), slices);
}

/// Beginning and finishing a turn against one durable append of a batch as long as each.
fn turns(folder: &Path) {
    let store = Store::open(folder.join("turns")).expect("a store");
    let ours = store.session("turns").expect("a session");
    let plain = store.session("batches").expect("a session");
    let message = || NewRecord::new("what is the time?").expect("a record");
    // As long as a mark is.
    let stands_for_mark = || NewRecord::new(&serde_json::json!({"mark": "turn_begun", "n": 1})).expect("a record");
    for session in [&ours, &plain] {
        session.append(message()).expect("an append");
    }
    let (mut begun, mut finished, mut appended) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURN_SLICES {
        let (mut begins, mut ends, mut appends) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for _ in 0..TURNS {
            let (turn, taken) = timed(|| ours.begin_turn(vec![message()]).expect("a turn"));
            begins += taken;
            appends += timed(|| plain.append_batch(vec![stands_for_mark(), message()]).expect("an append")).1;
            ends += timed(|| turn.finish(Outcome::Success, vec![message()]).expect("an end")).1;
        }
        begun.push(begins);
        finished.push(ends);
        appended.push(appends);
    }
    let (begun, finished, appended) = (median(begun), median(finished), median(appended));
    let rate = |slice: Duration| TURNS as f64 / slice.as_secs_f64();
    println!(
        "medians of {TURN_SLICES} interleaved slices: begin {:.0}/s, finish {:.0}/s, append of as many records {:.0}/s",
        rate(begun),
        rate(finished),
        rate(appended)
    );
    println!("begin ratio: {:.2}", appended.as_secs_f64() / begun.as_secs_f64());
    println!("finish ratio: {:.2}", appended.as_secs_f64() / finished.as_secs_f64());
}

/// A drain of many running sessions against as many durable appends, one after the other, to as many open sessions.
fn drain(folder: &Path, slices: usize) {
    raise_descriptors();
    let (mut drains, mut appends, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for slice in 0..slices {
        // A store that was drained begins no turn: each slice has its own.
        let store = open(&folder.join(format!("drain {slice}")));
        let sessions = sessions(&store);
        appends.push(timed(|| append_each(&sessions)).1);
        let turns: Vec<_> = sessions.iter().map(|session| session.begin_turn(vec![]).expect("a turn")).collect();
        let (drained, taken) = timed(|| store.drain(Duration::ZERO, "restart", &[]).expect("a drain"));
        assert_eq!((drained.interrupted.len(), drained.failed.len()), (RUNNING, 0), "{:?}", drained.failed.first());
        drains.push(taken);
        // What as many threads as a drain has make of plain appends: the share of the disk in it.
        beside.push(timed(|| append_beside(&sessions)).1);
        drop(turns);
        store.close().expect("a close");
        std::fs::remove_dir_all(store.path()).expect("an end");
    }
    let (drains, appends, beside) = (median(drains), median(appends), median(beside));
    println!(
        "medians of {slices} interleaved slices, {RUNNING} sessions: drain {drains:.1?}, serial appends {appends:.1?}"
    );
    println!("drain, times faster than serial appends: {:.2}", appends.as_secs_f64() / drains.as_secs_f64());
    println!("drain ratio to appends by 64 threads: {:.2}", beside.as_secs_f64() / drains.as_secs_f64());
}

fn open(folder: &Path) -> Store {
    let options = Options::new().idle_release(Duration::MAX).open_writers_max(RUNNING + 1);
    options.open(folder).expect("a store")
}

/// Sessions with a record each, open for writing.
fn sessions(store: &Store) -> Vec<Session> {
    let sessions: Vec<_> = (0..RUNNING).map(|n| store.session(format!("session {n}")).expect("a session")).collect();
    append_beside(&sessions);
    sessions
}

fn append_each(sessions: &[Session]) {
    for session in sessions {
        session.append(NewRecord::new("restart").expect("a record")).expect("an append");
    }
}

fn append_beside(sessions: &[Session]) {
    std::thread::scope(|scope| {
        for some in sessions.chunks(sessions.len().div_ceil(64)) {
            scope.spawn(move || append_each(some));
        }
    });
}

fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < DESCRIPTORS) {
        let wanted = Rlimit { current: Some(DESCRIPTORS), maximum: limit.maximum };
        setrlimit(Resource::Nofile, wanted).expect("descriptors for two files a running session");
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

fn median(mut slices: Vec<Duration>) -> Duration {
    slices.sort();
    slices[slices.len() / 2]
}
