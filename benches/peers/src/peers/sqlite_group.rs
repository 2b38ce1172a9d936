//! SQLite with a group commit in front: one thread commits, each time all that waits.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::body::Body;
use crate::peers::sqlite::{SCHEMA, connect, insert};
use crate::peers::{Peer, Seqs};

/// A connection with its thread.
pub(crate) struct SqliteGroup {
    /// Gone when the thread is to end.
    requests: Option<Sender<Request>>,
    committer: Option<JoinHandle<()>>,
    seqs: Seqs,
}

struct Request {
    session: usize,
    seq: u64,
    body: &'static Body,
    ticket: Arc<Ticket>,
}

/// What one who appends waits for.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    done: Mutex<bool>,
    wake: Condvar,
}

impl Ticket {
    pub(crate) fn wait(&self) {
        let done = self.done.lock().expect("nobody panicked");
        drop(self.wake.wait_while(done, |done| !*done).expect("nobody panicked"));
    }

    fn redeem(&self) {
        *self.done.lock().expect("nobody panicked") = true;
        self.wake.notify_one();
    }
}

impl SqliteGroup {
    pub(crate) fn open(folder: &Path, sessions: usize) -> Self {
        let connection = connect(&folder.join("records.db"));
        connection.execute_batch(SCHEMA).expect("a table");
        let (requests, waiting) = mpsc::channel();
        let committer = Some(std::thread::spawn(move || commit(&connection, &waiting)));
        Self { requests: Some(requests), committer, seqs: Seqs::new(sessions) }
    }

    /// Hands a record over; it is durable when the ticket has been redeemed.
    pub(crate) fn submit(&self, session: usize, body: &'static Body) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::default());
        let request = Request { session, seq: self.seqs.next(session), body, ticket: Arc::clone(&ticket) };
        self.requests.as_ref().and_then(|requests| requests.send(request).ok()).expect("a thread that commits");
        ticket
    }
}

fn commit(connection: &Connection, waiting: &Receiver<Request>) {
    while let Ok(first) = waiting.recv() {
        let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
        connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).expect("a transaction");
        for request in &group {
            insert(connection, request.session, request.seq, request.body);
        }
        connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).expect("a commit");
        for request in &group {
            request.ticket.redeem();
        }
    }
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    Box::new(SqliteGroup::open(folder, sessions))
}

impl Peer for SqliteGroup {
    fn append(&self, session: usize, body: &'static Body) {
        self.submit(session, body).wait();
    }
}

impl Drop for SqliteGroup {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(committer) = self.committer.take() {
            committer.join().expect("nobody panicked");
        }
    }
}
