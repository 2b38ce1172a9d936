//! fjall, an insert and a sync of its journal an append.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::body::Body;
use crate::peers::{Peer, Seqs};

struct Fjall {
    database: Database,
    records: Keyspace,
    seqs: Seqs,
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let database = Database::builder(folder).open().expect("a database");
    let records = database.keyspace("records", KeyspaceCreateOptions::default).expect("a keyspace");
    Box::new(Fjall { database, records, seqs: Seqs::new(sessions) })
}

impl Peer for Fjall {
    fn append(&self, session: usize, body: &'static Body) {
        // Big-endian: the order of the keys is that of the numbers.
        let key = [(session as u64).to_be_bytes(), self.seqs.next(session).to_be_bytes()].concat();
        self.records.insert(key, body.json.as_bytes()).expect("an insert");
        self.database.persist(PersistMode::SyncData).expect("a sync");
    }
}
