//! What is in a store, counted: by day, by role, by size.
//!
//! Counts are of the records that a reader is given; who speaks and how many tokens it took is read from the bodies, whichever
//! system wrote them ([`Message`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;

use crate::error::Error;
use crate::export::message::Message;
use crate::export::turns::{Ending, Turn, Turns};
use crate::format::to_u64;
use crate::index;
use crate::key::{SessionKey, TranscriptName};
use crate::mark::Outcome;
use crate::parallel::fold_in_parallel;
use crate::store::{ReadOptions, Store};
use crate::transcript::reader::Item;
use crate::verify::Progress;

/// Sessions that are named for their size.
const LARGEST: usize = 10;

/// Counts of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Records of the caller.
    pub records: u64,
    /// Bytes of their lines.
    pub bytes: u64,
}

/// Tokens, where the records carry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tokens {
    /// Read.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from a cache.
    pub cached: u64,
}

/// One day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Day {
    /// Records of that day.
    pub counts: Counts,
    /// Sessions whose first record is of that day.
    pub sessions: u64,
    /// Tokens of the turns that began on that day.
    pub tokens: Tokens,
}

/// A session and its size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SessionSize {
    /// Bytes of its records.
    pub bytes: u64,
    /// Its key.
    pub key: SessionKey,
    /// Its generation.
    pub generation: u64,
}

/// What is in a store.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Transcripts, one for each generation of a key; the store's own left out.
    pub sessions: u64,
    /// Records of the caller.
    pub counts: Counts,
    /// The store's marks among them.
    pub marks: u64,
    /// Turns: by their marks, else by the user's messages.
    pub turns: u64,
    /// Those whose marks say that they did not end as they should.
    pub broken_turns: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// By day, `2026-11-22`, in UTC.
    pub days: BTreeMap<String, Day>,
    /// By who speaks.
    pub roles: BTreeMap<&'static str, Counts>,
    /// The largest sessions, the largest first.
    pub largest: Vec<SessionSize>,
    /// Damage that was met.
    pub gaps: u64,
    /// Transcripts that could not be read.
    pub failures: Vec<(PathBuf, Error)>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Tokens {
    fn of(turn: &Turn) -> Self {
        Self { input: turn.usage.input, output: turn.usage.output, cached: turn.usage.cached }
    }

    fn add(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cached = self.cached.saturating_add(other.cached);
    }

    /// Returns all of them.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output).saturating_add(self.cached)
    }
}

/// What one thread counted; of sessions only the largest are remembered.
#[derive(Default)]
struct Part {
    stats: Stats,
    largest: BinaryHeap<Reverse<SessionSize>>,
}

impl Store {
    /// Counts what is in the store, on all cores or so many. Costs one read of every transcript, and of every body as JSON. Memory
    /// for each job: the longest record.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folder can not be listed. What is wrong with one transcript is in the outcome.
    pub fn stats(&self, jobs: usize, progress: &Progress) -> Result<Stats, Error> {
        let inner = self.inner();
        let names = inner.layout.list()?;
        progress.expect(names.len(), 0);
        let mut names = names.into_iter();
        let parts = fold_in_parallel(
            jobs,
            || names.next(),
            |part: &mut Part, name| {
                let bytes = part.stats.counts.bytes;
                if let Err(error) = part.read(self, &name) {
                    // Deleted while we looked.
                    if !error.is_gone() {
                        part.stats.failures.push((inner.layout.transcripts().join(name.to_string()), error));
                    }
                }
                progress.done(part.stats.counts.bytes.saturating_sub(bytes));
            },
        );
        let mut all = Part::default();
        for part in parts {
            all.add(part);
        }
        let Part { mut stats, largest } = all;
        stats.largest = largest.into_sorted_vec().into_iter().map(|Reverse(sized)| sized).collect();
        stats.failures.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(stats)
    }
}

impl Part {
    fn read(&mut self, store: &Store, name: &TranscriptName) -> Result<(), Error> {
        let key = index::key_of(&store.inner().layout, name)?;
        if key.is_reserved() {
            return Ok(());
        }
        let session = store.session(key.as_str())?;
        let (mut turns, mut own, mut is_first) = (Turns::default(), Counts::default(), true);
        self.stats.sessions = self.stats.sessions.saturating_add(1);
        for item in session.read(&ReadOptions::new().generation(name.generation))? {
            let record = match item? {
                Item::Record(record) => record,
                Item::Gap(_) => {
                    self.stats.gaps = self.stats.gaps.saturating_add(1);
                    continue;
                }
            };
            if let Some(mark) = record.as_mark() {
                turns.mark(record.seq(), record.ts(), &mark);
                self.stats.marks = self.stats.marks.saturating_add(1);
                continue;
            }
            let counts = Counts { records: 1, bytes: to_u64(record.line().len()).saturating_add(1) };
            let message = Message::read(record.body());
            turns.message(record.seq(), record.ts(), &message);
            own.add(counts);
            self.stats.roles.entry(message.role.name()).or_default().add(counts);
            let day = self.day(record.ts().as_str());
            day.counts.add(counts);
            day.sessions = day.sessions.saturating_add(u64::from(std::mem::take(&mut is_first)));
        }
        self.stats.counts.add(own);
        for turn in turns.finish() {
            let is_broken = matches!(turn.ending, Ending::Open)
                || matches!(turn.ending, Ending::Ended(outcome) if outcome != Outcome::Success);
            self.stats.turns = self.stats.turns.saturating_add(1);
            self.stats.broken_turns = self.stats.broken_turns.saturating_add(u64::from(is_broken));
            self.stats.tokens.add(Tokens::of(&turn));
            self.day(turn.start.as_str()).tokens.add(Tokens::of(&turn));
        }
        self.rank(SessionSize { bytes: own.bytes, key, generation: name.generation });
        Ok(())
    }

    fn day(&mut self, ts: &str) -> &mut Day {
        let day = ts.split('T').next().unwrap_or_default();
        self.stats.days.entry(day.to_owned()).or_default()
    }

    fn rank(&mut self, sized: SessionSize) {
        self.largest.push(Reverse(sized));
        if self.largest.len() > LARGEST {
            self.largest.pop();
        }
    }

    fn add(&mut self, other: Self) {
        let Self { stats, largest } = other;
        let all = &mut self.stats;
        all.sessions = all.sessions.saturating_add(stats.sessions);
        all.counts.add(stats.counts);
        all.marks = all.marks.saturating_add(stats.marks);
        all.turns = all.turns.saturating_add(stats.turns);
        all.broken_turns = all.broken_turns.saturating_add(stats.broken_turns);
        all.tokens.add(stats.tokens);
        all.gaps = all.gaps.saturating_add(stats.gaps);
        all.failures.extend(stats.failures);
        for (name, day) in stats.days {
            let sum = all.days.entry(name).or_default();
            sum.counts.add(day.counts);
            sum.tokens.add(day.tokens);
            sum.sessions = sum.sessions.saturating_add(day.sessions);
        }
        for (role, counts) in stats.roles {
            all.roles.entry(role).or_default().add(counts);
        }
        for Reverse(sized) in largest {
            self.rank(sized);
        }
    }
}
