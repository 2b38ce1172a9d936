//! Forgetting old sessions by a rule: by age, by number, by bytes.
//!
//! What a session is and when it was last used is read from its transcript, never from the file's times, and a row that is
//! missing is folded first. What runs, is to be resumed, is suspended or is labelled to be kept stays, whatever the rule says.
//! Each session is looked at again as owner of its lock, right before it goes to the trash.

use std::time::Duration;

use crate::error::Error;
use crate::key::SessionKey;
use crate::registry::Row;
use crate::status::SessionState;
use crate::store::{Listed, Session, Store};
use crate::timestamp::Timestamp;
use crate::transcript::recover::Trust;
use crate::trash::{Deleted, Doomed, bury};

/// The label of a session that no rule takes.
pub const KEEP_LABEL: &str = "keep";
/// Sessions that go together, with one commit and one fsync of each folder: each holds a descriptor meanwhile.
const TOGETHER: usize = 64;

/// What a prune takes: whatever any of its rules names. Without a rule nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct PruneOptions {
    older_than: Option<Duration>,
    keep_newest: Option<usize>,
    bytes_max: Option<u64>,
    purge: bool,
    dry_run: bool,
}

impl PruneOptions {
    /// Returns the defaults: no rule, to the trash.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes sessions whose last activity is longer ago than this; exactly as long is not.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Takes all but this many sessions, those with the oldest activity first.
    pub fn keep_newest(mut self, sessions: usize) -> Self {
        self.keep_newest = Some(sessions);
        self
    }

    /// Takes sessions, those with the oldest activity first, until all transcripts together have at most so many bytes.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = Some(bytes);
        self
    }

    /// Deletes for good instead of to the trash.
    pub fn purge(mut self, purge: bool) -> Self {
        self.purge = purge;
        self
    }

    /// Only says what would go.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// Why a session that a rule names stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// Somebody writes to it, or a turn of it began and did not end.
    Running,
    /// It is to be resumed.
    Pending,
    /// It is suspended: somebody has to look at it.
    Suspended,
    /// It has the label [`KEEP_LABEL`].
    Labelled,
    /// Somebody wrote to it since the rule named it.
    Changed,
    /// It stands between generations of its key that stay: the newest would not be found any more.
    Between,
}

impl Kept {
    /// Returns the name that JSON output uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Labelled => "labelled",
            Self::Changed => "changed",
            Self::Between => "between",
        }
    }
}

/// What a prune did, or with a dry run would do.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// What the rules name and nothing keeps, oldest activity first.
    pub named: Vec<Row>,
    /// What the rules name and what keeps it.
    pub kept: Vec<(Row, Kept)>,
    /// What went. Empty after a dry run.
    pub deleted: Vec<Deleted>,
    /// What could not be looked at or deleted; it is still there, wholly.
    pub failed: Vec<(SessionKey, u64, Error)>,
    /// Transcripts that can not be read: no rule takes them.
    pub unreadable: Vec<(std::path::PathBuf, Error)>,
}

impl Store {
    /// Deletes the sessions that the rules name, each generation by itself, those of the store's own left out. The time is the
    /// caller's.
    ///
    /// Costs what [`sessions`](Self::sessions) does, a read of what goes, and for each 64 that go one commit and two fsyncs. What
    /// is damaged is not taken, and named as failed.
    ///
    /// # Errors
    ///
    /// [`Error::ClockBehind`] when the last record or the last activity of some session is from after `now`: then no age is to
    /// be believed, and nothing was done.
    /// [`Error::Io`] when the folder can not be listed.
    pub fn prune(&self, options: &PruneOptions, now: Timestamp) -> Result<Pruned, Error> {
        if !options.dry_run {
            self.inner().check_writable()?;
        }
        let mut pruned = Pruned::default();
        let mut rows = Vec::new();
        for listed in self.sessions()? {
            match listed {
                Listed::Session(row) if row.key.starts_with('~') => {}
                Listed::Session(row) => rows.push(row),
                Listed::Unreadable { path, error } => pruned.unreadable.push((path, error)),
            }
        }
        check_clock(&rows, now)?;
        for row in options.name(rows, now) {
            match keeps(&row) {
                Some(kept) => pruned.kept.push((row, kept)),
                None if self.session(&row.key)?.is_running()? => pruned.kept.push((row, Kept::Running)),
                None if options.dry_run => match self.sound(&row) {
                    Ok(_) => pruned.named.push(row),
                    Err(error) => pruned.failed.push((SessionKey::new(&row.key)?, row.generation, error)),
                },
                None => pruned.named.push(row),
            }
        }
        if !options.dry_run {
            let named = pruned.named.clone();
            named.chunks(TOGETHER).try_for_each(|rows| self.prune_together(rows, options.purge, &mut pruned))?;
            // The index is a cache: whoever saves next leaves the rows out.
            self.inner().save_registry().ok();
        }
        Ok(pruned)
    }

    /// Reads a session whole: behind damage may stand what keeps it.
    fn sound(&self, row: &Row) -> Result<Row, Error> {
        self.inner().sound_row(&SessionKey::new(&row.key)?, Some(row.generation), Trust::Nothing)
    }

    fn prune_together(&self, rows: &[Row], purge: bool, pruned: &mut Pruned) -> Result<(), Error> {
        let mut doomed: Vec<Doomed> = Vec::new();
        for row in rows {
            let session = self.session(&row.key)?;
            match self.doom(&session, row, &mut doomed) {
                Ok(None) => {}
                Ok(Some(kept)) => pruned.kept.push((row.clone(), kept)),
                Err(Error::Busy { .. } | Error::TurnRunning { .. }) => pruned.kept.push((row.clone(), Kept::Running)),
                // Somebody was faster.
                Err(error) if error.is_gone() => {}
                Err(error) => pruned.failed.push((session.key().clone(), row.generation, error)),
            }
        }
        for (key, generation, deleted) in bury(self.inner(), &doomed, purge) {
            match deleted {
                Ok(deleted) => pruned.deleted.push(deleted),
                Err(error) => pruned.failed.push((key, generation, error)),
            }
        }
        Ok(())
    }

    /// Takes the key's lock, and looks once more.
    fn doom(&self, session: &Session, row: &Row, doomed: &mut Vec<Doomed>) -> Result<Option<Kept>, Error> {
        let held = doomed.iter().position(|doomed| doomed.is_of(session.key()));
        let mut taken = match held {
            Some(held) => doomed.swap_remove(held),
            None => Doomed::lock(session, Duration::ZERO)?,
        };
        // Only a seal may have come: our own writer let go of it.
        let is_changed = |now: &Row| (&now.id, now.updated, now.records) != (&row.id, row.updated, row.records);
        let looked = self.sound(row).map(|now| if is_changed(&now) { Some(Kept::Changed) } else { keeps(&now) });
        if matches!(looked, Ok(None)) {
            taken.generations.push(row.generation);
        }
        let between = taken.generation_between(session)?;
        taken.generations.retain(|generation| Some(*generation) != between);
        if !taken.generations.is_empty() {
            doomed.push(taken);
        }
        if between == Some(row.generation) { Ok(Some(Kept::Between)) } else { looked }
    }
}

/// Says what keeps a session.
fn keeps(row: &Row) -> Option<Kept> {
    match row.state {
        SessionState::Suspended => Some(Kept::Suspended),
        SessionState::Pending => Some(Kept::Pending),
        SessionState::Interrupted => Some(Kept::Running),
        SessionState::Open | SessionState::Closed => {
            row.status.labels.iter().any(|label| label == KEEP_LABEL).then_some(Kept::Labelled)
        }
    }
}

/// Refuses to judge ages by a clock that stands before the newest record.
fn check_clock(rows: &[Row], now: Timestamp) -> Result<(), Error> {
    let last = |row: &&Row| row.last_ts.max(row.updated);
    match rows.iter().max_by_key(last).filter(|row| last(row) > now) {
        None => Ok(()),
        Some(row) => {
            let key = SessionKey::new(&row.key)?;
            Err(Error::ClockBehind { key, generation: row.generation, seq: row.last_seq, newest: last(&row), now })
        }
    }
}

impl PruneOptions {
    /// Returns what any of the rules names, oldest activity first. Pure.
    fn name(&self, mut rows: Vec<Row>, now: Timestamp) -> Vec<Row> {
        rows.sort_by(|a, b| (a.updated, &a.key, a.generation).cmp(&(b.updated, &b.key, b.generation)));
        let sessions = rows.len();
        let mut bytes = rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.length_bytes));
        let mut named = Vec::new();
        for (row, place) in rows.into_iter().zip(0_usize..) {
            let age_ms = now.unix_ms().saturating_sub(row.updated.unix_ms());
            let is_old =
                self.older_than.is_some_and(|age| i64::try_from(age.as_millis()).is_ok_and(|max| age_ms > max));
            let is_beyond = self.keep_newest.is_some_and(|keep| sessions.saturating_sub(place) > keep);
            let is_too_much = self.bytes_max.is_some_and(|max| bytes > max);
            if is_old || is_beyond || is_too_much {
                if keeps(&row).is_none() {
                    bytes = bytes.saturating_sub(row.length_bytes);
                }
                named.push(row);
            }
        }
        named
    }
}
