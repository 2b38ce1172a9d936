//! What is measured, a file for each row or group of rows.

mod append;
mod list;
mod memory;
mod open;
mod rebuild;
mod registry;
mod submit;
mod tail;
mod verify;

use clap::ValueEnum;

use crate::bench::Bench;
use crate::stores::{Bodies, Shape};

pub(crate) use memory::{Child, child};

/// The stores that several rows share.
const FEW: Shape = Shape { sessions: 10, records: 20, bodies: Bodies::Short };
const MIDDLE: Shape = Shape { sessions: 10_000, records: 20, bodies: Bodies::Short };
const MANY: Shape = Shape { sessions: 100_000, records: 20, bodies: Bodies::Short };
const LARGE: Shape = Shape { sessions: 1_000_000, records: 2, bodies: Bodies::Short };

impl Shape {
    /// Few sessions, where figures mean nothing.
    fn small_if(self, quick: bool) -> Self {
        Self { sessions: if quick { self.sessions / 100 } else { self.sessions }, ..self }
    }
}

/// The rows, by the names of `--only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Durable appends, 1 to 256 sessions with a thread each
    Append,
    /// Durable appends of 64 threads to one session
    Shared,
    /// One thread that submits and does not wait for each
    Submit,
    /// One session, read and appended to, in stores of 10 to 1,000,000
    Open,
    /// The newest 50 of 100,000 sessions, and of 1,000,000
    List,
    /// The last 20 records of a long transcript
    Tail,
    /// Checking 20,000 sessions, 2 GiB
    Verify,
    /// Folding the index of 100,000 sessions again
    Rebuild,
    /// How long the index delays an append
    Registry,
    /// How much memory it takes
    Memory,
}

impl Row {
    pub(crate) fn run(self, bench: &mut Bench) {
        match self {
            Self::Append => append::many_sessions(bench),
            Self::Shared => append::one_session(bench),
            Self::Submit => submit::run(bench),
            Self::Open => open::run(bench),
            Self::List => list::run(bench),
            Self::Tail => tail::run(bench),
            Self::Verify => verify::run(bench),
            Self::Rebuild => rebuild::run(bench),
            Self::Registry => registry::run(bench),
            Self::Memory => memory::run(bench),
        }
    }
}
