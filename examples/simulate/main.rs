//! Millions of simulated crashes: `cargo run --release --features sim --example simulate -- --states N --seed S`.
//!
//! Prints how many distinct states were judged, how often each fault was met, and the first broken promise with its seed,
//! which alone replays it: `--states 1 --seed S --jobs 1`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a tool"
)]

mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut states, mut seed, mut jobs) =
        (100_000_u64, 1_u64, std::thread::available_parallelism().map_or(1, usize::from));
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match (name.as_str(), value.parse::<u64>()) {
            ("--states", Ok(value)) => states = value,
            ("--seed", Ok(value)) => seed = value,
            ("--jobs", Ok(value)) => jobs = usize::try_from(value).unwrap_or(1),
            _ => {
                println!("usage: simulate [--states N] [--seed S] [--jobs N]");
                return std::process::ExitCode::from(2);
            }
        }
    }
    let total = Mutex::new(world::Tally::default());
    let violations = Mutex::new(Vec::new());
    let (next, enough) = (AtomicU64::new(seed), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    match world::run(seed, 8) {
                        Ok(tally) => {
                            let mut total = total.lock().expect("no panics");
                            total.add(tally);
                            if total.states.len() as u64 >= states {
                                enough.store(true, Ordering::Relaxed);
                            }
                        }
                        Err(story) => {
                            violations.lock().expect("no panics").push(story);
                            enough.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (total, violations) = (total.into_inner().expect("no panics"), violations.into_inner().expect("no panics"));
    let worlds = next.into_inner() - seed;
    println!("{worlds} worlds from seed {seed}: {} crashes, {} distinct states", total.crashes, total.states.len());
    println!("{} acknowledged records looked for, {} torn tails kept aside", total.acked, total.torn);
    for ((op, fault), count) in &total.faults {
        println!("fault {op:?} {fault:?}: met {count} times");
    }
    println!("{} violations", violations.len());
    for story in &violations {
        println!("VIOLATION {story}");
    }
    if violations.is_empty() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
