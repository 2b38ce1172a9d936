//! Who takes part: each keeps sessions of records, and an append to it is on stable storage when it returns.

mod fjall;
mod okaywal;
mod padded;
mod plain;
mod raft_engine;
mod redb;
mod rewrite;
mod sesslog;
pub(crate) mod sqlite;
pub(crate) mod sqlite_group;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::body::Body;

/// One that keeps sessions.
pub(crate) trait Peer: Sync {
    /// Appends a record to a session; it survives a power cut when this returns. Sessions are counted from 0.
    fn append(&self, session: usize, body: &'static Body);
}

/// How a peer is called and opened.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Makes so many sessions in a folder of its own, so that no slice is about making them.
    pub(crate) open: fn(&Path, usize) -> Box<dyn Peer>,
}

/// The names of those that the others are compared with.
pub(crate) const PLAIN: &str = "plain";
pub(crate) const SQLITE: &str = "SQLite FULL";
pub(crate) const SQLITE_GROUP: &str = "SQLite FULL, grouped";
pub(crate) const SESSLOG: &str = "sesslog";

/// All of them, in the order of the tables.
pub(crate) const ALL: [Entry; 10] = [
    Entry { name: SESSLOG, open: sesslog::open },
    Entry { name: PLAIN, open: plain::open },
    Entry { name: "padded", open: padded::open },
    Entry { name: SQLITE, open: sqlite::open },
    Entry { name: SQLITE_GROUP, open: sqlite_group::open },
    Entry { name: "redb", open: redb::open },
    Entry { name: "fjall", open: fjall::open },
    Entry { name: "raft-engine", open: raft_engine::open },
    Entry { name: "okaywal", open: okaywal::open },
    Entry { name: "whole-file rewrite", open: rewrite::open },
];

/// What they are, as said above the tables.
pub(crate) const LEGEND: &str = "\
- sesslog: `Options::new()`; the time includes the check that a body is JSON, which nobody else makes.
- plain: a file for each session, one write and one fdatasync an append; no frame, no lock, no index.
- padded: the same with 64 KiB of tabs laid ahead in the same write: the bound for a file for each session.
- SQLite FULL: WAL, `synchronous=FULL`, one connection behind a mutex, one transaction an append.
- SQLite FULL, grouped: one thread that commits, each time all records that wait, as one transaction.
- redb: one transaction an append, `Durability::Immediate`.
- fjall: an insert, then `persist(SyncData)`.
- raft-engine: one log for all, `write(sync = true)`, no compression; keeps what was written in memory, too.
- okaywal: a log alone, which forgets what it checkpoints: it keeps no sessions.
- whole-file rewrite: the last 200 records of the session to a temp file, fsync, rename, as some gateways do.
";

/// The next number of each session.
#[derive(Debug)]
struct Seqs(Vec<AtomicU64>);

impl Seqs {
    fn new(sessions: usize) -> Self {
        Self((0..sessions).map(|_| AtomicU64::new(0)).collect())
    }

    fn next(&self, session: usize) -> u64 {
        self.0[session].fetch_add(1, Ordering::Relaxed)
    }
}

/// Makes a folder's names durable, so that no append has to.
fn sync_folder(folder: &Path) {
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).expect("a folder that can be synced");
}
