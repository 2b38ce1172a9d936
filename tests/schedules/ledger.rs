//! What was asked for, what was answered, and whether a disk agrees.
//!
//! The ledger's own lock is the standard library's: noting something is no moment at which shuttle may let others run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use sesslog::sim::{Chance, SimFs};
use sesslog::{Durability, Error, Item, NewRecord, Options, Progress, RegistryState, Session, Store, VerifyOptions};

pub const ROOT: &str = "/store";

/// How an append ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Not yet.
    Asked,
    /// On stable storage, it was said: by its receipt, or by a flush.
    Durable(u64),
    /// Accepted, to be durable with the next flush.
    Buffered(u64),
    /// A poisoned writer's: there or not.
    Open,
    /// Nothing of it was kept, it was said.
    Refused(String),
}

/// One record that somebody asked to append.
#[derive(Debug, Clone)]
pub struct Call {
    key: String,
    /// The store that it was asked of: a flush is of its own store's records.
    store: u8,
    who: &'static str,
    number: u64,
    fate: Fate,
    /// By the ledger's count of events.
    asked: u64,
    answered: u64,
}

#[derive(Debug, Default)]
struct Book {
    calls: Vec<Call>,
    events: u64,
    /// Seqs that a poisoned writer named as in doubt, per key.
    doubts: BTreeMap<String, Vec<(u64, u64)>>,
}

/// Everybody's record of everything.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    store: u8,
}

pub fn options(fs: &SimFs) -> Options {
    Options::new().file_system(Arc::new(fs.clone()))
}

pub fn open(fs: &SimFs) -> Store {
    options(fs).open(Path::new(ROOT)).unwrap()
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    /// Returns the same ledger, for those who use another store.
    pub fn of_store(&self, store: u8) -> Self {
        Self { book: Arc::clone(&self.book), store }
    }

    /// Appends some records as one batch and notes what came of it.
    pub fn append(
        &self,
        session: &Session,
        who: &'static str,
        count: usize,
        durability: Durability,
    ) -> Result<(), Error> {
        let key = session.key().to_string();
        let mut book = self.book();
        let first = book.calls.len();
        for _ in 0..count {
            book.events += 1;
            let (number, asked) = (book.events, book.events);
            let (key, store) = (key.clone(), self.store);
            book.calls.push(Call { key, store, who, number, fate: Fate::Asked, asked, answered: u64::MAX });
        }
        let bodies: Vec<_> = book.calls[first..].iter().map(|call| NewRecord::new(&call.body()).unwrap()).collect();
        drop(book);
        let answer = session.append_batch_with(bodies, durability);
        let mut book = self.book();
        book.events += 1;
        let now = book.events;
        if let Err(error) = &answer {
            book.note_error(&key, error);
        }
        for at in 0..count {
            let fate = match &answer {
                Ok(receipts) => {
                    assert_eq!(receipts.len(), count, "a receipt a record");
                    let seq = receipts[at].seq;
                    assert_eq!(seq, receipts[0].seq + at as u64, "a batch is torn by others");
                    assert!(receipts[at].durable || durability == Durability::Buffered, "acknowledged before the sync");
                    if receipts[at].durable {
                        Fate::Durable(seq)
                    } else if book.is_doubted(&key, seq) {
                        Fate::Open
                    } else {
                        Fate::Buffered(seq)
                    }
                }
                Err(Error::Poisoned { .. }) => Fate::Open,
                Err(error) => Fate::Refused(error.to_string()),
            };
            book.calls[first + at].fate = fate;
            book.calls[first + at].answered = now;
        }
        answer.map(drop)
    }

    /// Runs a flush, a release or a close, and notes that what was accepted before is durable now if it says so for the key.
    pub fn flush<T>(&self, flush: impl FnOnce() -> T, covers: impl Fn(&T, &str) -> bool) -> T {
        let accepted: Vec<usize> = {
            let book = self.book();
            let is_ours = |call: &Call| call.store == self.store && matches!(call.fate, Fate::Buffered(_));
            (0..book.calls.len()).filter(|at| is_ours(&book.calls[*at])).collect()
        };
        let result = flush();
        let mut book = self.book();
        for at in accepted {
            let call = &mut book.calls[at];
            if let Fate::Buffered(seq) = call.fate
                && covers(&result, &call.key)
            {
                call.fate = Fate::Durable(seq);
            }
        }
        result
    }

    /// Notes what an error says about records that were accepted before.
    pub fn note_error(&self, key: &str, error: &Error) {
        self.book().note_error(key, error);
    }

    /// Returns everything noted so far.
    pub fn calls(&self) -> Vec<Call> {
        self.book().calls.clone()
    }

    /// Cuts the power of a copy of the disk, and looks whether everything that `known` says is there; then goes on with it.
    pub fn judge(&self, fs: &SimFs, known: &[Call], chance: &mut Chance) {
        let fs = fs.fork();
        fs.crash(chance);
        let keys: std::collections::BTreeSet<_> = self.book().calls.iter().map(|call| call.key.clone()).collect();
        let store = open(&fs);
        for key in &keys {
            let session = store.session(key).unwrap();
            session.append(NewRecord::new("afterwards 0").unwrap()).unwrap_or_else(|error| {
                panic!("{key} can not be gone on with: {error:?}");
            });
            let found = read(&session);
            let (afterwards, found) = found.split_last().unwrap();
            assert_eq!(afterwards.1, "afterwards 0");
            self.agrees(key, known, found);
        }
        close(&store);
        verify(&fs, &keys.into_iter().collect::<Vec<_>>());
    }

    /// Checks what a session holds: seq and body of every record, the store's marks left out.
    pub fn agrees(&self, key: &str, known: &[Call], found: &[(u64, String)]) {
        let book = self.book();
        let known: Vec<_> = known.iter().filter(|call| call.key == key).collect();
        let at = |seq: u64| found.iter().find(|(found, _)| *found == seq).map(|(_, body)| body.as_str());
        for call in &known {
            if let Fate::Durable(seq) = call.fate {
                assert_eq!(at(seq), Some(call.body().as_str()), "{call:?} is not there, but {found:?}");
            }
        }
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (seq, body) in found {
            let call = book.calls.iter().find(|call| call.key == key && call.body() == *body);
            let call = call.unwrap_or_else(|| panic!("{body:?} was never submitted to {key}"));
            let before = last.insert(call.who, call.number).unwrap_or(0);
            assert!(before < call.number, "{}'s order is not kept: {found:?}", call.who);
            match known.iter().find(|known| known.number == call.number).map(|known| &known.fate) {
                Some(Fate::Refused(why)) => panic!("{body:?} is there, but its append said: {why}"),
                Some(Fate::Open) => {
                    assert!(book.is_doubted(key, *seq), "{body:?} is record {seq}, which nobody named as in doubt");
                }
                _ => {}
            }
        }
        // What was answered before another was asked for stands before it; no two have one place.
        let durable = |call: &&&Call| matches!(call.fate, Fate::Durable(_));
        for earlier in known.iter().filter(durable) {
            for later in known.iter().filter(durable).filter(|later| earlier.number != later.number) {
                let (Fate::Durable(one), Fate::Durable(other)) = (&earlier.fate, &later.fate) else { continue };
                assert_ne!(one, other, "one place for two: {earlier:?} {later:?}");
                assert!(earlier.answered > later.asked || one < other, "{earlier:?} stands behind {later:?}");
            }
        }
    }
}

impl Book {
    fn note_error(&mut self, key: &str, error: &Error) {
        let Error::Poisoned { in_doubt: Some((from, to)), .. } = error else { return };
        self.doubts.entry(key.to_owned()).or_default().push((*from, *to));
        for call in self.calls.iter_mut().filter(|call| call.key == key) {
            if matches!(call.fate, Fate::Buffered(seq) if (*from..=*to).contains(&seq)) {
                call.fate = Fate::Open;
            }
        }
    }

    fn is_doubted(&self, key: &str, seq: u64) -> bool {
        self.doubts.get(key).is_some_and(|doubts| doubts.iter().any(|(from, to)| (*from..=*to).contains(&seq)))
    }
}

impl Call {
    fn body(&self) -> String {
        format!("{} {}", self.who, self.number)
    }

    /// Says whether it stays after a power cut at this moment.
    pub fn is_durable(&self) -> bool {
        matches!(self.fate, Fate::Durable(_))
    }

    /// Says whether its append was told that nothing was kept.
    pub fn is_refused(&self) -> bool {
        matches!(self.fate, Fate::Refused(_))
    }

    /// What is known of it once a close that began before its answer, or after, has returned, too.
    pub fn as_flushed(&self) -> Self {
        let mut flushed = self.clone();
        if let Fate::Buffered(seq) = flushed.fate {
            flushed.fate = Fate::Durable(seq);
        }
        flushed
    }
}

/// Reads a session whose records have to be whole and dense; the store's marks are counted and left out.
pub fn read(session: &Session) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for (item, expected) in session.records().unwrap().zip(1..) {
        match item.unwrap() {
            Item::Record(record) => {
                assert_eq!(record.seq(), expected, "a hole in the order");
                if !record.is_mark() {
                    found.push((record.seq(), record.parse().unwrap()));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

/// Closes a store to which nothing went wrong.
pub fn close(store: &Store) {
    let closed = store.close().unwrap();
    assert!(closed.failures.is_empty() && closed.registry.is_none(), "{closed:?}");
}

/// Looks at a disk that everybody has let go of.
pub fn verify(fs: &SimFs, keys: &[String]) {
    let store = options(fs).open_read_only(Path::new(ROOT)).unwrap();
    assert_eq!(store.registry_state(), RegistryState::Sound);
    let report = store.verify(&VerifyOptions::new().deep(true).jobs(1), &Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.sessions, keys.len() as u64);
    for listed in store.sessions().unwrap() {
        assert!(matches!(listed, sesslog::Listed::Session(_)), "{listed:?}");
    }
}
