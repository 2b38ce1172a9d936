//! A small gateway: worker threads that run turns, a SIGTERM that drains, a start that resumes what the last one left open.
//!
//! `cargo run --example gateway -- --store /tmp/gateway` prints JSON lines: each session that is to be resumed, then `ready`.
//! Kill it in any way and start it again to see which ones those are. What to look at: [`main`] for the order of things in a
//! process's life, [`worker::Worker::turn`] for a turn, [`worker::Worker::resume`] for one that is resumed.
//!
//! With `--ledger FILE` it writes down, apart from the store and synced line by line, what it is about to do and what it has
//! done; `tests/gateway.py` kills it and compares both.

#![allow(missing_docs, unreachable_pub, clippy::print_stdout, reason = "an example")]

mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sesslog::resume::ResumePolicy;
use sesslog::{SessionKey, Store, Timestamp};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use worker::{Desk, Ledger, Worker};

const USAGE: &str =
    "usage: gateway --store DIR [--sessions N] [--workers N] [--drain-ms MS] [--step-ms MS] [--ledger FILE]
               [--fresh SECONDS] [--attempts N] [--breaker STARTS]

--drain-ms    what running turns are given at a SIGTERM (10000)
--step-ms     the longest pause between two records of a turn (20)
--fresh       how old, in seconds, what is resumed may be (0: any age)
--attempts    how often a session is resumed without success before it is suspended (0: for ever)
--breaker     starts within ten minutes that find work, from which on none is resumed (0: no breaker)";

struct Arguments {
    store: PathBuf,
    sessions: u64,
    workers: u64,
    drain: Duration,
    step: Duration,
    ledger: Option<PathBuf>,
    policy: ResumePolicy,
}

/// Reads the command line; `None` when it is not understood.
fn arguments(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let (mut store, mut ledger) = (None, None);
    let (mut sessions, mut workers, mut drain_ms, mut step_ms) = (50, 4, 10_000, 20);
    let (mut fresh, mut attempts, mut breaker) = (0, 0, 0);
    while let Some(name) = words.next() {
        let value = words.next()?;
        match name.as_str() {
            "--store" => store = Some(PathBuf::from(value)),
            "--ledger" => ledger = Some(PathBuf::from(value)),
            "--sessions" => sessions = value.parse().ok()?,
            "--workers" => workers = value.parse().ok()?,
            "--drain-ms" => drain_ms = value.parse().ok()?,
            "--step-ms" => step_ms = value.parse().ok()?,
            "--fresh" => fresh = value.parse().ok()?,
            "--attempts" => attempts = value.parse().ok()?,
            "--breaker" => breaker = value.parse().ok()?,
            _ => return None,
        }
    }
    // The library's defaults are for people's gateways. This one is killed all day, and is to resume all the same.
    let policy = ResumePolicy::new().fresh_for(fresh).attempts_max(attempts).breaker(breaker, Duration::from_secs(600));
    let (drain, step) = (Duration::from_millis(drain_ms), Duration::from_millis(step_ms));
    Some(Arguments { store: store?, sessions, workers, drain, step, ledger, policy })
}

fn main() -> ExitCode {
    let Some(arguments) = arguments(std::env::args().skip(1)) else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&json!({"type": "error", "error": error.to_string()}));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line at once: whoever reads it may kill us for it.
fn tell(line: &serde_json::Value) {
    println!("{line}");
}

/// A process's life. `false`: something of it failed and was told.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    // Before anything else: a SIGTERM that comes too early is not to kill us either.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let store = Store::open(&arguments.store)?;
    let resumes = resumes(&store, &arguments.policy)?;
    tell(&json!({"type": "ready"}));

    let keys = (0..arguments.sessions).map(|number| format!("gateway:{number}"));
    let desk = Arc::new(Desk::new(keys, resumes));
    let ledger = arguments.ledger.as_deref().map(Ledger::open).transpose()?.map(Arc::new);
    for number in 0..arguments.workers {
        let worker = Worker::new(number, store.clone(), Arc::clone(&desk), ledger.clone(), arguments.step);
        // Not joined: whoever still works at the end of the drain ends with the process, as by a kill.
        std::thread::Builder::new().name(format!("worker {number}")).spawn(move || worker.work())?;
    }
    // Whoever counts on SIGINT at a terminal gets the same.
    signals.forever().next();

    tell(&json!({"type": "draining"}));
    // No turn begins from here on. Those that run are marked to be resumed, and the mark goes when they finish in time.
    let drained = store.drain(arguments.drain, "gateway stopped", &[])?;
    let names = |keys: &[SessionKey]| keys.iter().map(|key| key.as_str().to_owned()).collect::<Vec<_>>();
    tell(&json!({
        "type": "drained",
        "finished": names(&drained.finished),
        "interrupted": names(&drained.interrupted),
        "failed": drained.failed.len(),
    }));
    for (key, error) in &drained.failed {
        tell(&json!({"type": "error", "key": key.as_str(), "error": error.to_string()}));
    }
    let closed = store.close()?;
    for (key, error) in &closed.failures {
        tell(&json!({"type": "error", "key": key.as_str(), "error": error.to_string()}));
    }
    if let Some(error) = &closed.registry {
        // No loss: the next start folds it again.
        tell(&json!({"type": "note", "note": error.to_string()}));
    }
    tell(&json!({"type": "closed"}));
    Ok(drained.failed.is_empty() && closed.failures.is_empty() && !desk.has_failed())
}

/// Asks, once a start, what the process before this one left open, tells it, and returns the keys.
fn resumes(store: &Store, policy: &ResumePolicy) -> Result<Vec<String>, sesslog::Error> {
    let found = store.resume_candidates(Timestamp::now(), policy)?;
    for row in &found.offered {
        tell(&json!({
            "type": "resume",
            "key": row.key,
            // Both: it was marked by a drain and did not finish in time.
            "interrupted": row.status.turn.is_some(),
            "pending": row.status.pending.is_some(),
            "reason": row.status.pending.as_ref().map(|flag| &flag.reason),
        }));
    }
    for (why, rows) in [("stale", &found.stale), ("suspended", &found.suspended), ("held back", &found.held_back)] {
        for row in rows {
            tell(&json!({"type": "skipped", "key": row.key, "why": why}));
        }
    }
    for (key, error) in &found.failed {
        tell(&json!({"type": "error", "key": key.as_str(), "error": error.to_string()}));
    }
    Ok(found.offered.into_iter().map(|row| row.key).collect())
}
