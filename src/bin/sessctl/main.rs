//! `sessctl`: looks at a session store and mends it, from the command line.
//!
//! The contract (streams, JSON lines, exit status) is in every command's `--help`. This file alone makes exit codes.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

mod args;
mod commands;
mod lines;
mod outcome;
mod progress;
mod render;
mod sessions;
mod table;

use std::process::ExitCode;

use args::Args;
use outcome::Outcome;
use render::Output;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        // Help and version come this way, too, with code 0; a usage error has code 2.
        Err(error) => {
            error.print().ok();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let mut output = Output::new(args.global.json);
    ExitCode::from(match commands::run(&args, &mut output) {
        Outcome::Done => 0,
        Outcome::Failed => 1,
        Outcome::Damaged => 3,
        Outcome::Heals => 4,
        Outcome::Busy => 5,
        Outcome::NotFound => 6,
    })
}
