//! What to do about a session after a restart: pure functions of its row, the time and a policy. No clock, no disk.

use std::time::Duration;

use crate::registry::Row;
use crate::status::SessionState;
use crate::timestamp::Timestamp;

/// When a session is offered to be resumed.
///
/// ```
/// use sesslog::resume::ResumePolicy;
/// let policy = ResumePolicy::new().fresh_for(600).attempts_max(5);
/// # let _ = policy;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ResumePolicy {
    fresh_seconds: i64,
    attempts_max: u64,
    breaker: Option<(u64, Duration)>,
}

impl Default for ResumePolicy {
    fn default() -> Self {
        Self { fresh_seconds: 3600, attempts_max: 3, breaker: Some((5, Duration::from_secs(600))) }
    }
}

impl ResumePolicy {
    /// Returns the defaults: fresh for an hour, 3 tries, at most 4 starts with pending sessions within 10 minutes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how old, in seconds, what is resumed may be; the boundary is fresh. Zero or less: any age.
    pub fn fresh_for(mut self, seconds: i64) -> Self {
        self.fresh_seconds = seconds;
        self
    }

    /// Sets how often a session is offered without a successful turn in between; then it is suspended. 0: for ever.
    pub fn attempts_max(mut self, attempts: u64) -> Self {
        self.attempts_max = attempts;
        self
    }

    /// Sets the breaker: at the `starts`-th start within `window` that finds sessions to resume, nothing is offered. 0 starts:
    /// no breaker.
    pub fn breaker(mut self, starts: u64, window: Duration) -> Self {
        self.breaker = (starts > 0).then_some((starts, window));
        self
    }

    /// Judges a session that nobody is running.
    pub fn judge(&self, row: &Row, now: Timestamp) -> Verdict {
        let status = &row.status;
        let is_closed = row.state == SessionState::Closed;
        if is_closed || status.suspended.is_some() || (status.turn.is_none() && status.pending.is_none()) {
            return Verdict::Nothing;
        }
        if !self.is_fresh(since(row), now) {
            return Verdict::Stale;
        }
        if self.attempts_max > 0 && status.resume_attempts >= self.attempts_max {
            return Verdict::Exhausted;
        }
        Verdict::Resume
    }

    /// Says whether what happened then is not too old to go on with. A time that is not known, and one that a clock has
    /// turned back behind, are fresh.
    pub fn is_fresh(&self, then: Timestamp, now: Timestamp) -> bool {
        let age_ms = now.unix_ms().saturating_sub(then.unix_ms());
        self.fresh_seconds <= 0 || then.unix_ms() <= 0 || age_ms <= self.fresh_seconds.saturating_mul(1000)
    }

    /// Says whether too many of these starts, the present one among them, were close together.
    pub fn is_broken(&self, starts: &[Timestamp], now: Timestamp) -> bool {
        let Some((limit, window)) = self.breaker else { return false };
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        // A start that the clock has turned back behind counts: the breaker errs on the side of rest.
        // One from farther ahead is a clock that was wrong then: it would count on every start for years.
        let is_near = |start: &&Timestamp| now.unix_ms().saturating_sub(start.unix_ms()).saturating_abs() <= window_ms;
        u64::try_from(starts.iter().filter(is_near).count()).unwrap_or(u64::MAX) >= limit
    }
}

/// What a policy says of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing of it is to be resumed.
    Nothing,
    /// To be resumed.
    Resume,
    /// To be resumed, but too old.
    Stale,
    /// Resumed too often without success: to be suspended.
    Exhausted,
}

/// From when a session's age is counted: the pending mark, else the last record that is neither a mark nor of a `meta.` kind;
/// with an open turn the later of both, since a turn may go on for long after the mark of the restart before it.
pub fn since(row: &Row) -> Timestamp {
    match &row.status.pending {
        Some(flag) if row.status.turn.is_some() && flag.since.unix_ms() < row.updated.unix_ms() => row.updated,
        Some(flag) => flag.since,
        None => row.updated,
    }
}

/// When a gateway begins a new generation for a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct RoutePolicy {
    resume: ResumePolicy,
    idle: Option<Duration>,
    daily: Option<Duration>,
}

impl RoutePolicy {
    /// Returns the defaults: only what is suspended or too old to resume begins anew.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when a pending session is too old.
    pub fn resume(mut self, policy: ResumePolicy) -> Self {
        self.resume = policy;
        self
    }

    /// Begins anew after so long without activity.
    pub fn idle(mut self, after: Duration) -> Self {
        self.idle = Some(after);
        self
    }

    /// Begins anew once a day, so long after midnight in UTC.
    pub fn daily(mut self, after_midnight: Duration) -> Self {
        self.daily = Some(after_midnight);
        self
    }

    /// Decides for the newest generation of a key, or for a key that has none.
    pub fn route(&self, row: Option<&Row>, now: Timestamp) -> Route {
        let Some(row) = row else { return Route::First };
        if row.state == SessionState::Closed {
            return Route::New(NewReason::Closed);
        }
        if row.status.suspended.is_some() {
            return Route::New(NewReason::Suspended);
        }
        if row.status.pending.is_some() || row.status.turn.is_some() {
            if self.resume.is_fresh(since(row), now) {
                return Route::Resume;
            }
            if row.status.pending.is_some() {
                return Route::New(NewReason::Stale);
            }
            // A turn that was interrupted long ago is no reason to take a conversation from anybody.
        }
        let (then, now) = (row.updated.unix_ms(), now.unix_ms());
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        if self.idle.is_some_and(|idle| now.saturating_sub(then) > milliseconds(idle)) {
            return Route::New(NewReason::Idle);
        }
        let day = |time: i64, after: i64| time.saturating_sub(after).div_euclid(DAY_MS);
        if self.daily.map(milliseconds).is_some_and(|after| day(then, after) < day(now, after)) {
            return Route::New(NewReason::Daily);
        }
        Route::Same
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// The key has no session yet; the first append makes it.
    First,
    /// To the newest generation.
    Same,
    /// To the newest generation, which has something to resume; its mark is kept.
    Resume,
    /// To a new generation.
    New(NewReason),
}

/// Why a new generation is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewReason {
    /// A reset closed the one before.
    Closed,
    /// It is suspended.
    Suspended,
    /// What there was to resume is too old.
    Stale,
    /// Nothing happened for long.
    Idle,
    /// A new day.
    Daily,
}

impl NewReason {
    /// Returns the reason that the reset mark gets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Suspended => "suspended",
            Self::Stale => "too old to resume",
            Self::Idle => "idle",
            Self::Daily => "daily",
        }
    }
}
