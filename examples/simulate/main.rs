//! Millions of simulated crashes: `cargo run --release --features sim --example simulate -- --states N --seed S`, and every
//! crash of every small program: `... -- --exhaustive STEPS`.
//!
//! Prints how many distinct states were judged, how often each fault was met by each operation, and the first broken promise:
//! the seed, which alone replays it (`--states 1 --seed S --jobs 1`), and the smallest program that breaks it, with its story.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a tool"
)]

mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const USAGE: &str = "usage: simulate [--states N] [--seed S] [--jobs N] [--shrink 0|1]
       simulate --exhaustive STEPS [--recovery STEPS] [--jobs N]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut states, mut seed, mut jobs) =
        (100_000_u64, 1_u64, std::thread::available_parallelism().map_or(1, usize::from));
    let (mut exhaustive, mut recovery, mut shrink) = (0_u32, 1_u32, true);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--states", Some(value)) => states = value,
            ("--seed", Some(value)) => seed = value,
            ("--jobs", Some(value)) => jobs = value as usize,
            ("--exhaustive", Some(value)) => exhaustive = value as u32,
            ("--recovery", Some(value)) => recovery = value as u32,
            ("--shrink", Some(value)) => shrink = value > 0,
            _ => {
                println!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let result = if exhaustive > 0 {
        println!("every program of up to {exhaustive} steps, every recovery of those of up to {recovery}");
        world::exhaustive::run(exhaustive, recovery, jobs)
    } else {
        random(states, seed, jobs, shrink)
    };
    match result {
        Ok(total) => {
            report(&total, exhaustive == 0);
            println!("0 violations");
            ExitCode::SUCCESS
        }
        Err(story) => {
            println!("VIOLATION {story}");
            ExitCode::FAILURE
        }
    }
}

/// Runs worlds from a seed on until so many distinct states were judged.
fn random(states: u64, seed: u64, jobs: usize, shrink: bool) -> Result<world::Tally, String> {
    let total = Mutex::new(world::Tally::default());
    let violation = Mutex::new(None);
    let (next, enough) = (AtomicU64::new(seed), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    match world::run(seed, 8, shrink) {
                        Ok(tally) => {
                            let mut total = total.lock().expect("no panics");
                            total.add(tally);
                            if total.states.len() as u64 >= states {
                                enough.store(true, Ordering::Relaxed);
                            }
                        }
                        Err(story) => {
                            violation.lock().expect("no panics").get_or_insert(story);
                            enough.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    println!("{} worlds from seed {seed}", next.into_inner() - seed);
    match violation.into_inner().expect("no panics") {
        Some(story) => Err(story),
        None => Ok(total.into_inner().expect("no panics")),
    }
}

fn report(total: &world::Tally, with_faults: bool) {
    println!("{} crashes, {} distinct states", total.crashes, total.states.len());
    println!("{} acknowledged records looked for, {} torn tails kept aside", total.acked, total.torn);
    if !with_faults {
        return;
    }
    println!("{} transcripts rotten, {} repaired", total.rotten, total.repaired);
    let mut unmet = Vec::new();
    for op in world::program::OPS {
        let met = |fault| total.faults.get(&(op, fault)).copied().unwrap_or(0);
        let counts: Vec<_> = world::program::FAULTS.iter().map(|fault| format!("{fault:?} {}", met(*fault))).collect();
        println!("faults of {op:?}: {}", counts.join(", "));
        unmet.extend(world::program::FAULTS.iter().filter(|fault| met(**fault) == 0).map(|fault| (op, *fault)));
    }
    if !unmet.is_empty() {
        println!("not met: {unmet:?}");
    }
}
