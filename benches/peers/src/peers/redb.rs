//! redb, one transaction an append.

use std::path::Path;

use redb::{Database, Durability, TableDefinition};

use crate::body::Body;
use crate::peers::{Peer, Seqs};

const RECORDS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("records");

struct Redb {
    database: Database,
    seqs: Seqs,
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let database = Database::create(folder.join("records.redb")).expect("a database");
    Box::new(Redb { database, seqs: Seqs::new(sessions) })
}

impl Peer for Redb {
    fn append(&self, session: usize, body: &'static Body) {
        let mut transaction = self.database.begin_write().expect("a transaction");
        transaction.set_durability(Durability::Immediate).expect("a durability");
        let key = (session as u64, self.seqs.next(session));
        let mut table = transaction.open_table(RECORDS).expect("a table");
        table.insert(key, body.json.as_bytes()).expect("an insert");
        drop(table);
        transaction.commit().expect("a commit");
    }
}
