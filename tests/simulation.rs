//! Promises 1 to 7 on a simulated disk: a bounded share of what `examples/simulate` runs for hours.
//!
//! Random programs are crashed and judged; each seed is a world, named in the failure, and replayed by that seed alone.

#![cfg(feature = "sim")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "shared with the example"
)]

#[path = "../examples/simulate/world/mod.rs"]
mod world;

#[test]
fn no_crash_of_a_small_program_breaks_a_promise() {
    let total = world::exhaustive::run(2, 1, 2).unwrap_or_else(|story| panic!("{story}"));
    assert!(total.states.len() > 1500 && total.torn > 100, "{} states, {} torn", total.states.len(), total.torn);
}

#[test]
fn no_crash_breaks_a_promise() {
    let mut total = world::Tally::default();
    for seed in 1..=150 {
        total.add(world::run(seed, 8, true).unwrap_or_else(|story| panic!("{story}")));
    }
    assert!(total.states.len() > 1000, "only {} states", total.states.len());
    assert!(total.torn > 20 && total.repaired > 100, "{} torn, {} repaired", total.torn, total.repaired);
    let pairs = world::program::OPS.len() * world::program::FAULTS.len();
    assert!(total.faults.len() > pairs * 2 / 3, "{:?}", total.faults);
}
