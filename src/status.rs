//! What a session's marks come to: an open turn, a resume that is pending, a suspension, labels.
//!
//! A pure fold over the marks in the order of their seq: the same marks give the same status, whichever process folds them
//! and whatever became of the registry.

use serde::{Deserialize, Serialize};

use crate::mark::{Mark, Outcome};
use crate::timestamp::Timestamp;

/// What a session is for whoever lists it. Of several that apply the first in the order closed, suspended, pending,
/// interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SessionState {
    /// Takes records.
    Open,
    /// A turn began and did not end. While a live writer holds the session, the turn is running; else it is interrupted.
    Interrupted,
    /// To be resumed.
    Pending,
    /// Not to be resumed, and begins no turn, until somebody lifts it.
    Suspended,
    /// A reset closed it; the next append opens the next generation.
    Closed,
}

impl SessionState {
    /// Returns the name that listings and JSON output use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Interrupted => "interrupted",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

/// A turn that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenTurn {
    /// The seq of the mark that began it; names the turn.
    pub seq: u64,
    /// When it began.
    pub since: Timestamp,
}

/// A flag that somebody raised, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Flag {
    /// In the caller's words.
    pub reason: String,
    /// Time of the mark.
    pub since: Timestamp,
}

/// What the marks of one generation come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The turn that did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<OpenTurn>,
    /// To be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Flag>,
    /// Not to be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Flag>,
    /// Resumes that were tried since the last successful turn or lifted suspension.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resume_attempts: u64,
    /// The session's labels, in the order that they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Status {
    /// Says whether no mark left a trace: most sessions' rows need not say so.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Says whether there is nothing to resume or to hold back.
    pub fn is_idle(&self) -> bool {
        self.turn.is_none() && self.pending.is_none() && self.suspended.is_none()
    }

    /// Folds the mark with this seq and time.
    ///
    /// What a mark can not apply to changes nothing: a turn's end that is not that of the open turn, a pending flag on a
    /// suspended session.
    pub(crate) fn fold(&mut self, seq: u64, ts: Timestamp, mark: &Mark) {
        match mark {
            // One turn at a time: whoever begins another has given up the one before.
            Mark::TurnStarted => self.turn = Some(OpenTurn { seq, since: ts }),
            Mark::TurnEnded { turn, outcome } if self.turn.is_some_and(|open| open.seq == *turn) => {
                self.turn = None;
                if *outcome == Outcome::Success {
                    self.pending = None;
                    self.resume_attempts = 0;
                }
            }
            Mark::ResumePending { reason } if self.suspended.is_none() => {
                self.pending = Some(Flag { reason: reason.clone(), since: ts });
            }
            Mark::ResumeCleared => self.pending = None,
            Mark::ResumeAttempted => self.resume_attempts = self.resume_attempts.saturating_add(1),
            Mark::Suspended { reason } => self.suspended = Some(Flag { reason: reason.clone(), since: ts }),
            Mark::Released => {
                self.suspended = None;
                // Whoever lifts it wants the session tried again.
                self.resume_attempts = 0;
            }
            Mark::Labels { labels } => self.labels.clone_from(labels),
            _ => {}
        }
    }

    /// A reset leaves nothing to resume and nothing to hold back; labels stay, for whoever keeps old generations.
    pub(crate) fn close(&mut self) {
        *self = Self { labels: std::mem::take(&mut self.labels), ..Self::default() };
    }

    /// Returns the state of a session that no reset closed.
    pub(crate) fn state(&self) -> SessionState {
        if self.suspended.is_some() {
            SessionState::Suspended
        } else if self.pending.is_some() {
            SessionState::Pending
        } else if self.turn.is_some() {
            SessionState::Interrupted
        } else {
            SessionState::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    fn fold(marks: &[Mark]) -> Status {
        let mut status = Status::default();
        for (mark, seq) in marks.iter().zip(1..) {
            status.fold(seq, at(i64::try_from(seq).unwrap()), mark);
        }
        status
    }

    fn pending() -> Mark {
        Mark::ResumePending { reason: "restart".to_owned() }
    }

    #[test]
    fn only_a_successful_turn_clears_mark_and_counter() {
        let ended = |outcome| {
            fold(&[pending(), Mark::ResumeAttempted, Mark::TurnStarted, Mark::TurnEnded { turn: 3, outcome }])
        };
        assert!(ended(Outcome::Success).is_plain());
        for outcome in [Outcome::Interrupted, Outcome::Failed, Outcome::Partial, Outcome::Error] {
            let status = ended(outcome);
            assert_eq!(status.pending.as_ref().map(|flag| flag.since), Some(at(1)), "{outcome:?}");
            assert_eq!((status.resume_attempts, status.turn, status.state()), (1, None, SessionState::Pending));
        }
    }

    #[test]
    fn a_late_end_of_another_turn_ends_nothing() {
        let marks =
            [pending(), Mark::TurnStarted, Mark::TurnStarted, Mark::TurnEnded { turn: 2, outcome: Outcome::Success }];
        let status = fold(&marks);
        assert_eq!(status.turn, Some(OpenTurn { seq: 3, since: at(3) }));
        assert!(status.pending.is_some());
    }

    #[test]
    fn suspended_wins_over_pending_and_clearing_resets_all_of_it() {
        let suspended = Mark::Suspended { reason: "loops".to_owned() };
        let mut status = fold(&[suspended.clone(), pending()]);
        assert_eq!((status.state(), &status.pending), (SessionState::Suspended, &None));
        status.fold(9, at(9), &Mark::Released);
        assert!(status.is_plain());
        assert_eq!(fold(&[pending(), suspended]).state(), SessionState::Suspended);
        assert!(fold(&[pending(), Mark::ResumeCleared]).is_plain());
    }
}
