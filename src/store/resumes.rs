//! What a start finds: sessions to resume, how often this store was started lately, whether the last stop was clean.
//!
//! Starts and stops are marks in the session `~store`, so that they are as durable as everything else.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::record::NewRecord;
use crate::registry::Row;
use crate::resume::{NewReason, ResumePolicy, Route, RoutePolicy, Verdict};
use crate::status::SessionState;
use crate::store::inner::Inner;
use crate::store::job::{Decide, Job, TurnChange};
use crate::store::{Session, Store};
use crate::timestamp::Timestamp;
use crate::transcript::reader::Item;
use crate::transcript::recover::Trust;

/// Where the store keeps marks of its own.
const STORE_KEY: &str = "~store";
/// How often and how long another process is waited for that writes to `~store`: ten seconds at most.
const BUSY_TRIES: usize = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// Marks of `~store` that are read at a start.
const STARTS_MAX: usize = 1000;

/// What this process knows of its start.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The process before it closed the store, or there was none.
    clean: bool,
    /// Starts before this one that found sessions to resume, newest first.
    found: Vec<Timestamp>,
    /// This one has said so.
    told: bool,
}

/// What a start may resume.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Resumable {
    /// Interrupted or pending, not suspended, fresh, not run by anybody: by the age of what is to be resumed, oldest first.
    pub offered: Vec<Row>,
    /// Too old; their marks stay.
    pub stale: Vec<Row>,
    /// Resumed too often without a successful turn: suspended just now.
    pub suspended: Vec<Row>,
    /// Run by somebody: by this store, or by a process that holds the session's lock. Ask again when it has ended.
    pub running: Vec<Row>,
    /// Could not be looked at or suspended, or damaged.
    pub failed: Vec<(SessionKey, Error)>,
    /// Transcripts that can not be read: what they hold to be resumed is not known.
    pub unreadable: Vec<(PathBuf, Error)>,
    /// Too many starts found sessions to resume: those that would have been offered. Their marks stay.
    pub held_back: Vec<Row>,
}

/// What a start after an unclean stop marked.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct MarkedRecent {
    /// To be resumed now.
    pub marked: Vec<SessionKey>,
    /// Could not be looked at or marked. Calling it again tries them again.
    pub failed: Vec<(SessionKey, Error)>,
    /// Transcripts that can not be read.
    pub unreadable: Vec<(PathBuf, Error)>,
}

impl Store {
    /// Returns what is to be resumed, once at the start of a gateway, and notes the start. The time and the policy are the
    /// caller's; a session at the limit of tries is suspended instead of offered.
    ///
    /// Costs what [`sessions`](Self::sessions) does, one fdatasync, and one for each session suspended.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folder can not be listed; those of an append, when the start can not be noted.
    pub fn resume_candidates(&self, now: Timestamp, policy: &ResumePolicy) -> Result<Resumable, Error> {
        self.inner().check_writable()?;
        let mut resumable = Resumable::default();
        for row in self.inner().newest_rows(&mut resumable.unreadable)? {
            if policy.judge(&row, now) == Verdict::Nothing {
                continue;
            }
            let session = self.session(&row.key)?;
            let row = match session.resting_row() {
                Ok(Some(row)) => row,
                Ok(None) => {
                    resumable.running.push(row);
                    continue;
                }
                Err(error) => {
                    resumable.failed.push((session.key().clone(), error));
                    continue;
                }
            };
            match policy.judge(&row, now) {
                Verdict::Nothing => {}
                Verdict::Resume => resumable.offered.push(row),
                Verdict::Stale => resumable.stale.push(row),
                _ => {
                    let reason = format!("{} resumes without a finished turn", row.status.resume_attempts);
                    match session.suspend(&reason).and_then(|_| session.row()) {
                        Ok(row) => resumable.suspended.push(row),
                        Err(error) => resumable.failed.push((session.key().clone(), error)),
                    }
                }
            }
        }
        for rows in [&mut resumable.offered, &mut resumable.stale] {
            rows.sort_by_key(crate::resume::since);
        }
        let mut start = self.note_start(now)?;
        if !resumable.offered.is_empty() {
            if !start.told {
                let sessions = u64::try_from(resumable.offered.len()).unwrap_or(u64::MAX);
                append_own(self.inner(), &store_key(), &[NewRecord::mark(&Mark::ResumesFound { sessions }).at(now)])?;
                start.told = true;
                start.found.insert(0, now);
                *self.inner().start() = Some(start.clone());
            }
            if policy.is_broken(&start.found, now) {
                resumable.held_back = std::mem::take(&mut resumable.offered);
            }
        }
        Ok(resumable)
    }

    /// For gateways that use no turns: after an unclean stop, marks every session with activity within `window` to be resumed,
    /// and says which. After a clean one it marks none. Sessions that are pending, suspended or run by somebody are left as they
    /// are. Notes the start; call it before [`resume_candidates`](Self::resume_candidates).
    ///
    /// # Errors
    ///
    /// Those of [`resume_candidates`](Self::resume_candidates).
    pub fn mark_recent(&self, window: Duration, now: Timestamp) -> Result<MarkedRecent, Error> {
        self.inner().check_writable()?;
        if self.note_start(now)?.clean {
            return Ok(MarkedRecent::default());
        }
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let mut recent = MarkedRecent::default();
        for row in self.inner().newest_rows(&mut recent.unreadable)? {
            let is_recent = now.unix_ms().saturating_sub(row.updated.unix_ms()) <= window_ms;
            if !is_recent || !matches!(row.state, SessionState::Open | SessionState::Interrupted) {
                continue;
            }
            let session = self.session(&row.key)?;
            let marked = session.is_running().and_then(|is_running| {
                if is_running { Ok(false) } else { session.mark_resume_pending("unclean stop").map(|()| true) }
            });
            match marked {
                Ok(true) => recent.marked.push(session.key().clone()),
                // Suspended meanwhile: not to be resumed.
                Ok(false) | Err(Error::Suspended { .. }) => {}
                Err(error) => recent.failed.push((session.key().clone(), error)),
            }
        }
        Ok(recent)
    }

    /// Notes the start of this process, once, and says what came before it.
    fn note_start(&self, now: Timestamp) -> Result<Start, Error> {
        let mut start = self.inner().start();
        if let Some(start) = &*start {
            return Ok(start.clone());
        }
        let (mut clean, mut found, mut is_newest) = (true, Vec::new(), true);
        let own = self.session(STORE_KEY)?;
        let marks = match own.backward() {
            Ok(marks) => Some(marks),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        for item in marks.into_iter().flatten().take(STARTS_MAX) {
            let Item::Record(record) = item? else { continue };
            match record.as_mark() {
                Some(Mark::ResumesFound { .. }) => found.push(record.ts()),
                Some(mark @ (Mark::Started | Mark::Stopped)) => {
                    clean = if is_newest { mark == Mark::Stopped } else { clean };
                    is_newest = false;
                }
                _ => {}
            }
        }
        append_own(self.inner(), &store_key(), &[NewRecord::mark(&Mark::Started).at(now)])?;
        Ok(start.insert(Start { clean, found, told: false }).clone())
    }
}

/// Appends to a session of the store's own and lets go of it: another process may be about to.
pub(crate) fn append_own(inner: &Inner, key: &SessionKey, records: &[NewRecord]) -> Result<(), Error> {
    let slot = inner.slot(key);
    let append = || Job::Append { records: records.to_vec(), durability: crate::Durability::Sync, turn: None };
    let mut appended = slot.submit(inner, append());
    for _ in 0..BUSY_TRIES {
        if !appended.as_ref().is_err_and(Error::is_busy) {
            break;
        }
        // By another gateway that starts or stops, for the time of an fdatasync.
        inner.layout.fs.pause(BUSY_PAUSE);
        appended = slot.submit(inner, append());
    }
    if let Err(error) = appended {
        // Nobody has this session in hand who could reopen it: the next mark starts from what is on disk.
        inner.forget_poisoned(&slot);
        return Err(error);
    }
    slot.submit(inner, Job::Release).map(drop)
}

pub(crate) fn has_noted_start(inner: &Inner) -> bool {
    inner.start().is_some()
}

/// Notes that this process, which noted its start, has closed the store.
pub(crate) fn note_stop(inner: &Inner) -> Result<(), Error> {
    append_own(inner, &store_key(), &[NewRecord::mark(&Mark::Stopped)])?;
    inner.start().take();
    Ok(())
}

pub(crate) fn store_key() -> SessionKey {
    SessionKey::new(STORE_KEY).unwrap_or_else(|_| unreachable!("it is a key"))
}

impl Session {
    /// Says whether somebody runs the session: a turn of this store, or another process that holds its lock. One that holds it
    /// only to fold the session's row, or to repair it, does not, and is waited for.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn is_running(&self) -> Result<bool, Error> {
        if self.slot.turn().is_some() {
            return Ok(true);
        }
        if self.slot.durable_seq().is_some() {
            // The lock is ours.
            return Ok(false);
        }
        let inner = self.store.inner();
        Ok(crate::lock::is_taken(&*inner.layout.fs, &inner.layout.lock(self.key()))?)
    }

    /// Decides where a message goes, and closes the newest generation if it is not there: the next append begins another.
    ///
    /// # Errors
    ///
    /// Those of [`reset`](Self::reset) and [`row`](Self::row).
    pub fn route(&self, now: Timestamp, policy: &RoutePolicy) -> Result<Route, Error> {
        let row = match self.row() {
            Ok(row) => Some(row),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        if self.slot.turn().is_some() {
            return Ok(Route::Same);
        }
        let route = policy.route(row.as_ref(), now);
        match route {
            Route::New(NewReason::Closed) | Route::First | Route::Same | Route::Resume => Ok(route),
            Route::New(_) => self.route_anew(now, policy),
        }
    }

    /// Decides once more, as the session's writer: another message may have begun a generation or a turn meanwhile.
    fn route_anew(&self, now: Timestamp, policy: &RoutePolicy) -> Result<Route, Error> {
        self.check_writable()?;
        let (told, routes) = std::sync::mpsc::channel();
        let policy = policy.clone();
        let decide = Decide::new(TurnChange::Ends, move |row, turn| {
            let route = if turn.is_some() { Route::Same } else { policy.route(row, now) };
            told.send(route).ok();
            Ok(match route {
                Route::First | Route::Same | Route::Resume | Route::New(NewReason::Closed) => Vec::new(),
                Route::New(reason) => vec![NewRecord::mark(&Mark::Reset { reason: reason.name().to_owned() })],
            })
        });
        self.slot.decide(self.store.inner(), decide)?;
        Ok(routes.try_iter().last().unwrap_or(Route::Same))
    }

    /// Returns the newest row of a session that nobody runs, as it is now; `None` of one that somebody runs.
    fn resting_row(&self) -> Result<Option<Row>, Error> {
        if self.is_running()? {
            return Ok(None);
        }
        match self.store.inner().sound_row(self.key(), None, Trust::Anchor) {
            // Somebody who writes just now.
            Err(Error::Damaged { .. }) if self.is_running()? => Ok(None),
            row => row.map(Some),
        }
    }
}
