//! Turns of a session: by the marks of whoever runs them, else by the user's messages.

use std::collections::HashMap;

use crate::export::message::{Message, Role, Usage};
use crate::mark::{Mark, Outcome};
use crate::timestamp::Timestamp;

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nobody says: the session has no marks of turns there.
    Unmarked,
    /// The mark that begins it is there, the one that ends it is not.
    Open,
    /// As its mark says.
    Ended(Outcome),
}

/// A turn: what a user said and all that followed from it.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// The first record or mark.
    pub(crate) first_seq: u64,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) ending: Ending,
    pub(crate) messages: u64,
    pub(crate) usage: Usage,
    /// Seq of the mark that began it.
    mark: Option<u64>,
    answered: bool,
    /// Of one answer that comes in several records the last count holds.
    groups: HashMap<String, Usage>,
}

impl Turn {
    fn new(first_seq: u64, start: Timestamp) -> Self {
        Self {
            first_seq,
            start,
            end: start,
            ending: Ending::Unmarked,
            messages: 0,
            usage: Usage::default(),
            mark: None,
            answered: false,
            groups: HashMap::new(),
        }
    }

    /// How long it took, in milliseconds.
    pub(crate) fn lasted_ms(&self) -> u64 {
        between_ms(self.start, self.end)
    }

    fn count(&mut self, usage: Usage, group: Option<&String>) {
        let before = group.and_then(|group| self.groups.insert(group.clone(), usage)).unwrap_or_default();
        let add = |sum: u64, new: u64, old: u64| sum.saturating_add(new).saturating_sub(old);
        self.usage.input = add(self.usage.input, usage.input, before.input);
        self.usage.output = add(self.usage.output, usage.output, before.output);
        self.usage.cached = add(self.usage.cached, usage.cached, before.cached);
    }
}

/// Milliseconds from one time to a later one; 0 if it is not later.
pub(crate) fn between_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.unix_ms().saturating_sub(from.unix_ms())).unwrap_or(0)
}

/// Finds turns while a session is read.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    found: Vec<Turn>,
    /// The last count of a system that counts from the beginning.
    total: Usage,
}

impl Turns {
    pub(crate) fn mark(&mut self, seq: u64, ts: Timestamp, mark: &Mark) {
        match mark {
            Mark::TurnStarted => {
                // The user's message may have been appended before the turn began.
                let waits = self.found.last().is_some_and(|turn| turn.mark.is_none() && !turn.answered);
                if !waits {
                    self.found.push(Turn::new(seq, ts));
                }
                if let Some(turn) = self.found.last_mut() {
                    turn.mark = Some(seq);
                    turn.ending = Ending::Open;
                }
            }
            Mark::TurnEnded { turn: begun, outcome } => {
                if let Some(turn) = self.found.iter_mut().rev().find(|turn| turn.mark == Some(*begun)) {
                    turn.ending = Ending::Ended(*outcome);
                    turn.end = turn.end.max(ts);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn message(&mut self, seq: u64, ts: Timestamp, message: &Message) {
        if let Some(usage) = message.usage {
            let counted = if usage.is_total { since(usage, self.total) } else { usage };
            if usage.is_total {
                self.total = usage;
            }
            self.with_current(seq, ts, |turn| turn.count(counted, message.group.as_ref()));
        }
        if message.role == Role::Note {
            return;
        }
        if message.role == Role::User {
            let goes_on = self.found.last().is_some_and(|turn| turn.ending == Ending::Open || !turn.answered);
            if !goes_on {
                self.found.push(Turn::new(seq, ts));
            }
        }
        self.with_current(seq, ts, |turn| {
            turn.messages = turn.messages.saturating_add(1);
            turn.answered |= matches!(message.role, Role::Assistant | Role::Tool);
            turn.end = turn.end.max(ts);
        });
    }

    /// Does something to the turn that runs; what stands before the first one is one, too.
    fn with_current(&mut self, seq: u64, ts: Timestamp, change: impl FnOnce(&mut Turn)) {
        if self.found.is_empty() {
            self.found.push(Turn::new(seq, ts));
        }
        if let Some(turn) = self.found.last_mut() {
            change(turn);
        }
    }

    pub(crate) fn finish(self) -> Vec<Turn> {
        self.found
    }
}

fn since(now: Usage, before: Usage) -> Usage {
    Usage {
        input: now.input.saturating_sub(before.input),
        output: now.output.saturating_sub(before.output),
        cached: now.cached.saturating_sub(before.cached),
        is_total: false,
    }
}
