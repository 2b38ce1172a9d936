//! The crate that this is about, as its users get it.

use std::path::Path;

use sesslog::{NewRecord, Options, Session};

use crate::body::{Body, body};
use crate::peers::Peer;

struct Sesslog {
    sessions: Vec<Session>,
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let store = Options::new().open(folder).expect("a store");
    let open = |n| store.session(format!("session {n}")).expect("a session");
    let peer = Sesslog { sessions: (0..sessions).map(open).collect() };
    for session in 0..sessions {
        peer.append(session, body(session));
    }
    Box::new(peer)
}

impl Peer for Sesslog {
    fn append(&self, session: usize, body: &'static Body) {
        let record = NewRecord::json(&body.json).expect("a record");
        let receipt = self.sessions[session].append(record).expect("an append");
        assert!(receipt.durable, "acknowledged before it was durable");
    }
}
