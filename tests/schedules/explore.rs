//! Runs a program under many schedules, and says how to run the one again in which it failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Schedules of each kind that a program is run under, if `SESSLOG_SCHEDULES` does not say.
const SCHEDULES: usize = 400;
/// Priority changes in a schedule of the second kind: how many coincidences a bug may need.
const DEPTH: usize = 4;
/// `SHUTTLE_RANDOM_SEED` names another.
const SEED: u64 = 1;

fn config() -> Config {
    let mut config = Config::new();
    // Ours is no small program: paths, errors, JSON.
    config.stack_size = 0x4_0000;
    // A live lock is a failure, and found soon.
    config.max_steps = MaxSteps::FailAfter(200_000);
    config.silence_warnings = true;
    config
}

/// Runs `program` under random schedules, then under ones with few but decisive switches (PCT); or under one alone, that
/// `SESSLOG_REPLAY` holds.
pub fn explore(program: fn()) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    if let Ok(schedule) = std::env::var("SESSLOG_REPLAY") {
        let mut replayed = ReplayScheduler::new_from_encoded(schedule.trim());
        // It ends where the failure was.
        replayed.set_allow_incomplete();
        run(&name, "replayed", replayed, program);
        return;
    }
    let schedules = std::env::var("SESSLOG_SCHEDULES").map_or(SCHEDULES, |count| count.parse().expect("a number"));
    run(&name, "random", RandomScheduler::new_from_seed(SEED, schedules), program);
    run(&name, "pct", PctScheduler::new_from_seed(SEED, DEPTH, schedules), program);
}

fn run(name: &str, kind: &str, scheduler: impl Scheduler + 'static, program: fn()) {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let run = move || {
        Runner::new(scheduler, config()).run(move || {
            count.fetch_add(1, Ordering::Relaxed);
            sesslog::sync::set_rings(0);
            program();
        })
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let begun = begun.load(Ordering::Relaxed);
    match outcome {
        Ok(_) => println!("{name}: {begun} {kind} schedules"),
        Err(panic) => {
            eprintln!("{name}: broken in {kind} schedule {begun}; SESSLOG_REPLAY=<the schedule above> runs it alone");
            std::panic::resume_unwind(panic);
        }
    }
}
