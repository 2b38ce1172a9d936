//! A disk, a ledger, some threads, and somebody who pulls the plug of a copy.

use std::sync::{Arc, Mutex};

use sesslog::sim::{Chance, SimFs};
use sesslog::{Durability, Error, Flushed, Session, Store};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use crate::ledger::{Call, Ledger, ROOT, open, options, read};

/// One thread's program.
type Task = Box<dyn FnOnce() + Send>;

#[derive(Clone)]
pub struct World {
    pub fs: SimFs,
    pub ledger: Ledger,
    moments: Arc<Mutex<Vec<Moment>>>,
}

/// A copy of the disk, with what was known just before.
struct Moment {
    known: Vec<Call>,
    disk: SimFs,
}

/// Returns a number below `bound`, which the schedule decides and its replay repeats.
pub fn below(bound: u64) -> u64 {
    thread_rng().gen_range(0..bound)
}

impl World {
    pub fn new() -> Self {
        Self { fs: SimFs::new(), ledger: Ledger::default(), moments: Arc::default() }
    }

    /// Returns the same world, for those who use another store.
    pub fn of_store(&self, store: u8) -> Self {
        Self { ledger: self.ledger.of_store(store), ..self.clone() }
    }

    /// Runs the tasks beside each other and beside somebody who copies the disk at some moment.
    pub fn run(&self, tasks: Vec<Task>) {
        let world = self.clone();
        let watch = Box::new(move || world.watch()) as Task;
        let threads: Vec<JoinHandle<()>> = tasks.into_iter().chain([watch]).map(thread::spawn).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    fn watch(&self) {
        for _ in 0..below(60) {
            // A look at the disk, only to let others run.
            self.fs.operations();
        }
        // First what is known: the disk may be ahead of it, never behind.
        let known = self.ledger.calls();
        let disk = self.fs.fork();
        self.moments.lock().unwrap().push(Moment { known, disk });
    }

    /// A thread that appends, so many times so many records.
    pub fn append(
        &self,
        session: &Session,
        who: &'static str,
        times: usize,
        count: usize,
        durability: Durability,
        judge: impl Fn(Result<(), Error>) + Send + 'static,
    ) -> Task {
        let (ledger, session) = (self.ledger.clone(), session.clone());
        Box::new(move || {
            for _ in 0..times {
                judge(ledger.append(&session, who, count, durability));
            }
        })
    }

    /// Flushes a session; what its error says is noted.
    pub fn flush(&self, session: &Session) -> Result<u64, Error> {
        self.settle(session, || session.flush())
    }

    /// Releases a session; what its error says is noted.
    pub fn release(&self, session: &Session) -> Result<(), Error> {
        self.settle(session, || session.release())
    }

    fn settle<T>(&self, session: &Session, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let result = self.ledger.flush(call, |result, key| result.is_ok() && key == session.key().as_str());
        if let Err(error) = &result {
            self.ledger.note_error(session.key().as_str(), error);
        }
        result
    }

    /// Flushes a store, or closes it.
    pub fn flush_all(&self, call: impl FnOnce() -> Result<Flushed, Error>) -> Result<Flushed, Error> {
        let covered = |result: &Result<Flushed, Error>, key: &str| {
            result.as_ref().is_ok_and(|flushed| flushed.failures.iter().all(|(failed, _)| failed.as_str() != key))
        };
        let result = self.ledger.flush(call, covered);
        for (key, error) in result.iter().flat_map(|flushed| &flushed.failures) {
            self.ledger.note_error(key.as_str(), error);
        }
        result
    }

    /// Closes a store to which nothing went wrong.
    pub fn close(&self, store: &Store) {
        let closed = self.flush_all(|| store.close()).unwrap();
        assert!(closed.failures.is_empty() && closed.registry.is_none(), "{closed:?}");
    }

    /// Judges the moments that were kept, and this one.
    pub fn judge(&self) {
        let mut chance = Chance::new(below(u64::MAX));
        for Moment { known, disk } in self.moments.lock().unwrap().drain(..) {
            self.ledger.judge(&disk, &known, &mut chance);
        }
        self.ledger.judge(&self.fs, &self.ledger.calls(), &mut chance);
    }

    /// Looks at the sessions as they are, through a store of one's own.
    pub fn look(&self, keys: &[&str]) {
        let store = options(&self.fs).open_read_only(ROOT).unwrap();
        for key in keys {
            self.ledger.agrees(key, &self.ledger.calls(), &read(&store.session(key).unwrap()));
        }
    }

    pub fn open(&self) -> Store {
        open(&self.fs)
    }
}

/// The judge of a call that must not fail.
pub fn succeeds(result: Result<(), Error>) {
    result.unwrap();
}
