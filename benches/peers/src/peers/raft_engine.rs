//! raft-engine: one log for all sessions, with leader and followers.

use std::path::Path;

use raft_engine::{Config, Engine, LogBatch, ReadableSize};

use crate::body::Body;
use crate::peers::{Peer, Seqs};

struct RaftEngine {
    engine: Engine,
    seqs: Seqs,
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let config = Config {
        dir: folder.to_str().expect("a path in UTF-8").to_owned(),
        // Text as repetitive as ours would shrink to nothing.
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    };
    Box::new(RaftEngine { engine: Engine::open(config).expect("an engine"), seqs: Seqs::new(sessions) })
}

impl Peer for RaftEngine {
    fn append(&self, session: usize, body: &'static Body) {
        let mut batch = LogBatch::with_capacity(1);
        // Not as entries of the raft log: those of one session must come in order, one thread after the other.
        let key = self.seqs.next(session).to_be_bytes().to_vec();
        batch.put(session as u64 + 1, key, body.json.clone().into_bytes()).expect("a batch");
        self.engine.write(&mut batch, true).expect("a write");
    }
}
