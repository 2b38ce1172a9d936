//! What a worker does all day: takes a session from the desk, runs one turn of it, puts it back.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use sesslog::{Error, NewRecord, Outcome, Session, Store};

/// The sessions that nobody is running at the moment.
#[derive(Debug)]
pub struct Desk {
    idle: Mutex<VecDeque<String>>,
    /// Those of them that the start found to be resumed.
    resumes: Mutex<BTreeSet<String>>,
    /// Numbers the turns, for the ledger.
    turns: AtomicU64,
    failed: AtomicBool,
}

impl Desk {
    pub fn new(keys: impl Iterator<Item = String>, resumes: Vec<String>) -> Self {
        // To be resumed are sessions that may not be of those keys: `--sessions` was another one then.
        let keys: BTreeSet<_> = keys.chain(resumes.iter().cloned()).collect();
        let mut keys: Vec<_> = keys.into_iter().collect();
        let order = RandomState::new();
        // Resumes come among other work, as messages do.
        keys.sort_by_cached_key(|key| order.hash_one(key));
        Self {
            idle: Mutex::new(keys.into()),
            resumes: Mutex::new(resumes.into_iter().collect()),
            turns: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    fn take(&self) -> Option<String> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn give_back(&self, key: String) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(key);
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Says, apart from the store and synced line by line, what was begun and what was done.
#[derive(Debug)]
pub struct Ledger {
    file: Mutex<File>,
}

impl Ledger {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: Mutex::new(OpenOptions::new().create(true).append(true).open(path)?) })
    }

    fn write(&self, word: &str, key: &str, turn: u64) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.write_all(format!("{word} {key} {turn}\n").as_bytes()).and_then(|()| file.sync_data());
        // A ledger that misses something would accuse the store.
        written.unwrap_or_else(|error| panic!("the ledger: {error}"));
    }
}

/// One of the threads.
#[derive(Debug)]
pub struct Worker {
    store: Store,
    desk: Arc<Desk>,
    ledger: Option<Arc<Ledger>>,
    step: Duration,
    chance: u64,
}

impl Worker {
    pub fn new(number: u64, store: Store, desk: Arc<Desk>, ledger: Option<Arc<Ledger>>, step: Duration) -> Self {
        Self { store, desk, ledger, step, chance: RandomState::new().hash_one(number) }
    }

    /// Works until the store is drained.
    pub fn work(mut self) {
        loop {
            // More workers than sessions: somebody puts one back soon.
            let Some(key) = self.desk.take() else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            let resumed = self.desk.resumes.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            let done = self
                .store
                .session(&key)
                .and_then(|session| if resumed { self.resume(&session) } else { self.message(&session) });
            match done {
                Ok(()) => self.desk.give_back(key),
                // The process is about to end: what is not done stays marked, or open, and is the next one's to resume.
                Err(Error::Draining | Error::Closed) => return,
                Err(error) => {
                    self.desk.failed.store(true, Ordering::Relaxed);
                    crate::tell(&json!({"type": "error", "key": key, "error": error.to_string()}));
                }
            }
        }
    }

    /// Resumes a session. The try is noted before it is made, so that one that kills the gateway is not tried for ever.
    pub fn resume(&mut self, session: &Session) -> Result<(), Error> {
        let tries = session.note_resume_attempt()?;
        self.turn(session, &json!({"role": "system", "content": "resumed", "tries": tries}), Outcome::Success)
    }

    /// Answers a message. Most turns succeed; one that did not is over all the same, and nothing of it is resumed.
    fn message(&mut self, session: &Session) -> Result<(), Error> {
        let outcome = match self.pick(8) {
            0 => Outcome::Failed,
            1 => Outcome::Partial,
            2 => Outcome::Error,
            _ => Outcome::Success,
        };
        self.turn(session, &json!({"role": "user", "content": "what is the time?"}), outcome)
    }

    /// One turn. Whatever kills the process in it, the next start is offered this session; once `finish` has returned it is
    /// not.
    pub fn turn(&mut self, session: &Session, message: &serde_json::Value, outcome: Outcome) -> Result<(), Error> {
        let number = self.desk.turns.fetch_add(1, Ordering::Relaxed);
        let ledger = self.ledger.clone();
        let note = |word: &str| {
            if let Some(ledger) = &ledger {
                ledger.write(word, session.key().as_str(), number);
            }
        };
        let refused = |error| {
            // Nothing was written: all is as before.
            if matches!(error, Error::Draining | Error::Closed) {
                note("refused");
            }
            error
        };
        note("begin");
        // The message and the mark that the turn began are one commit: neither is ever there without the other.
        let turn = session.begin_turn(vec![NewRecord::new(message)?]).map_err(refused)?;
        note("began");
        for call in 0..self.pick(4) {
            self.pause();
            turn.append(NewRecord::new(&json!({"tool": "clock", "call": call}))?.kind("tool.call")?)?;
        }
        self.pause();
        note("finish");
        // So are the answer and the mark that it ended.
        turn.finish(outcome, vec![NewRecord::new(&json!({"role": "assistant", "content": "ten past eight"}))?])
            .map_err(refused)?;
        note("finished");
        Ok(())
    }

    /// What a model or a tool takes; now and then twenty times that.
    fn pause(&mut self) {
        let most = u64::try_from(self.step.as_micros()).unwrap_or(u64::MAX).max(1);
        let slow = if self.pick(30) == 0 { 20 } else { 1 };
        std::thread::sleep(Duration::from_micros(self.pick(most).saturating_mul(slow)));
    }

    /// A number below `end`.
    fn pick(&mut self, end: u64) -> u64 {
        self.chance = RandomState::hash_one(&RandomState::new(), self.chance);
        self.chance % end.max(1)
    }
}
