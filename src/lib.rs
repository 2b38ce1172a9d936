//! Crash-safe session store for AI-agent gateways: every session is an append-only, checksummed JSONL transcript, every
//! append is on stable storage before it is acknowledged, and the index is a cache that can always be folded again.
//!
//! ```
//! use sesslog::{Item, NewRecord, Store};
//! # let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path())?;
//! let session = store.session("telegram:8281248569")?;
//! session.append(NewRecord::json(r#"{"role":"user","content":"hi"}"#)?)?;
//! for item in session.records()? {
//!     match item? {
//!         Item::Record(record) => println!("{} {}", record.seq(), record.body()),
//!         Item::Gap(gap) => eprintln!("damage at byte {}: {}", gap.offset, gap.defect),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! - [`Store`] and [`Options`]: a folder of sessions. [`Session`]: append, flush, read.
//! - [`NewRecord`] is what is appended, [`Receipt`] what proves it, [`Record`] what is read; [`Item::Gap`] shows damage.
//! - [`Store::verify`], [`Store::rebuild_index`], [`Store::repair`]: what the command `sessctl` stands on.
//! - [`mod@format`] is the normative specification of the files; [`atomic`] replaces a file so that no crash tears it.
//!
//! # What it does not do
//!
//! No query language, no encryption, no replication, no network file systems without working `fsync` and `flock`. Tested on
//! Linux; other Unix systems should work, Windows does not yet.
//!
//! # Features
//!
//! `cli` (default) adds what the command `sessctl` needs; a library user turns it off with `default-features = false`. It turns on
//! `import` (module `import`: histories of other systems become sessions) and `export` (module `export`: sessions as pages and
//! in the shapes of other systems), which a library user can have by themselves, and `import-sqlite`, which brings `SQLite` for
//! histories that are databases; to build it takes a compiler of C. `sim` adds a simulated disk for tests of what is built on a
//! store. `metrics` and `tracing` tell a recorder and a subscriber of the process what the store does: commits, the time
//! of each fsync, the queue, torn tails, damage, poisoned writers.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod format;

#[cfg(not(shuttle))]
mod sync;

#[cfg(shuttle)]
#[doc(hidden)]
pub mod sync;

mod parallel;

mod timestamp;

mod key;

mod frame;

mod map;

pub mod fs;

pub mod atomic;

mod mark;

mod status;

mod record;

mod header;

mod damage;

mod lock;

mod layout;

mod error;

mod telemetry;

mod future;

mod registry;

pub mod resume;

mod transcript;

mod index;

mod store;

mod finding;

mod verify;

mod search;

mod rebuild;

mod repair;

mod fork;

mod trash;

mod restore;

mod prune;

#[cfg(feature = "import")]
pub mod import;

#[cfg(feature = "export")]
pub mod export;

mod quarantine;
#[cfg(feature = "export")]
pub mod stats;

mod doctor;

#[cfg(feature = "sim")]
pub mod sim;

pub use atomic::Durability;
pub use damage::{Defect, Gap, Tail, TailState};
pub use doctor::{Ailment, Diagnosis, DoctorOptions, Healed, Remedy, Symptom, SyncTimes};
pub use error::{Error, NotRestorable};
pub use finding::{Finding, FindingKind, Severity};
pub use frame::{Crc, FrameDefect};
pub use future::Submitted;
pub use header::Parent;
pub use key::{KeyError, SessionKey};
pub use lock::Holder;
pub use mark::{Mark, Outcome};
pub use prune::{KEEP_LABEL, Kept, PruneOptions, Pruned};
pub use quarantine::{QuarantineKind, QuarantineReader, Quarantined};
pub use rebuild::{RebuildNote, RebuildOptions, RebuildOutcome, Rebuilt};
pub use record::{Head, NewRecord, Receipt, Record, RecordError};
pub use registry::{RegistryState, Row};
pub use repair::Repaired;
pub use restore::Trashed;
pub use search::{Found, Needle, SearchOptions, Searched};
pub use status::{Flag, OpenTurn, SessionState, Status};
pub use store::{
    Context, Drained, Flushed, Listed, MarkedRecent, NewSession, Options, Pending, ReadOptions, Resumable, Session,
    Store, Summary, Turn, Undone,
};
pub use timestamp::{Timestamp, TimestampError};
pub use transcript::backward::Backward;
pub use transcript::reader::{Item, Records};
pub use transcript::trail::Clamped;
pub use trash::Deleted;
pub use verify::{Progress, Report, VerifyOptions};
