//! Threads beside each other, in thousands of orders: nobody waits for ever, everyone gets the answer that is true.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --release --no-default-features --features sim --test schedules`. Each test is a small
//! program on a simulated disk; shuttle decides at every lock, every wait and every operation of the disk who goes on. After
//! each schedule, and at a moment in the middle of it, a copy of the disk loses its power: what was acknowledged must be there.

#![cfg(all(shuttle, feature = "sim"))]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test"
)]

#[path = "schedules/explore.rs"]
mod explore;
#[path = "schedules/ledger.rs"]
mod ledger;
#[path = "schedules/world.rs"]
mod world;

#[path = "schedules/closing.rs"]
mod closing;
#[path = "schedules/commits.rs"]
mod commits;
#[path = "schedules/draining.rs"]
mod draining;
#[path = "schedules/failures.rs"]
mod failures;
#[path = "schedules/sharing.rs"]
mod sharing;
#[path = "schedules/turns.rs"]
mod turns;
