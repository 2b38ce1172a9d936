//! The store's own records: state changes of a session, kept where everything else is.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// A state change that the store recorded about a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mark {
    /// The last commit is proven: a writer that went idle says so.
    Sealed,
    /// Left by a repair for records that are lost; carries `to_seq` as its own seq.
    Gap {
        /// First lost.
        from_seq: u64,
        /// Last lost.
        to_seq: u64,
    },
    /// A torn tail was cut at open.
    Recovered {
        /// Where the transcript was cut.
        offset: u64,
        /// How much was cut.
        bytes: u64,
        /// Name of the file in `quarantine/` that keeps it.
        quarantine: String,
    },
    /// This generation is closed; the next append opens another.
    Reset {
        /// Why, in the caller's words.
        #[serde(default)]
        reason: String,
    },
    /// The session's title.
    Title {
        /// Text for listings.
        title: String,
    },
    /// The session's labels, instead of those before.
    Labels {
        /// All of them.
        labels: Vec<String>,
    },
    /// A turn began; it is named by this mark's seq.
    TurnStarted,
    /// A turn ended.
    TurnEnded {
        /// The seq of the mark that began it.
        turn: u64,
        /// How.
        outcome: Outcome,
    },
    /// The session is to be resumed.
    ResumePending {
        /// Why, in the caller's words.
        #[serde(default)]
        reason: String,
    },
    /// It is not to be resumed any more.
    ResumeCleared,
    /// A resume is about to be tried.
    ResumeAttempted,
    /// The session is not to be resumed.
    Suspended {
        /// Why, in the caller's words.
        #[serde(default)]
        reason: String,
    },
    /// The suspension is lifted.
    Released,
    /// What stands before a record is summed up. The summary, any JSON value of any size, is given by
    /// [`Session::context`](crate::Session::context) byte for byte.
    Compacted {
        /// The first record that a model is still shown.
        keep_from: u64,
    },
    /// The active view goes on behind an earlier record; what stands between is not in it any more.
    Rewound {
        /// The record; 0 stands for none.
        to_seq: u64,
    },
    /// In `~trash`: a session is about to be deleted.
    Deleted {
        /// Its key.
        key: String,
        /// Its generation.
        generation: u64,
        /// The id in its header, where that could be read.
        #[serde(default)]
        id: Option<String>,
        /// The time of its header, where that could be read.
        #[serde(default)]
        created: Option<Timestamp>,
        /// Its last record: a row that knows of more speaks of what came after.
        #[serde(default = "all")]
        last_seq: u64,
        /// It was not to be kept in `trash/`.
        #[serde(default)]
        purged: bool,
    },
    /// In `~trash`: a deleted session is about to come back, or was not deleted after all.
    Restored {
        /// Its key.
        key: String,
        /// Its generation.
        generation: u64,
        /// The id in its header, where that could be read.
        #[serde(default)]
        id: Option<String>,
    },
    /// In `~store`: a gateway started.
    Started,
    /// In `~store`: it found sessions to resume.
    ResumesFound {
        /// So many.
        sessions: u64,
    },
    /// In `~store`: the gateway that started last closed its store.
    Stopped,
    /// A mark of a later version, kept and ignored.
    #[serde(other)]
    Unknown,
}

fn all() -> u64 {
    u64::MAX
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// As it should: nothing is left to resume.
    Success,
    /// Somebody stopped it.
    Interrupted,
    /// It failed.
    Failed,
    /// Some of it was done.
    Partial,
    /// The gateway or a service failed.
    Error,
}

impl Mark {
    /// Reads a mark's body; what is not understood is [`Mark::Unknown`].
    pub(crate) fn parse(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_later_versions_are_kept_and_ignored() {
        assert_eq!(Mark::parse(r#"{"mark":"of_a_later_version","turn":7}"#), Mark::Unknown);
        assert_eq!(Mark::parse(r#"{"mark":"turn_ended","turn":7,"outcome":"of a later version"}"#), Mark::Unknown);
        assert_eq!(Mark::parse("7"), Mark::Unknown);
        assert_eq!(serde_json::to_string(&Mark::Sealed).unwrap(), r#"{"mark":"sealed"}"#);
        assert_eq!(
            Mark::parse(r#"{"mark":"gap","from_seq":3,"to_seq":5,"why":"x"}"#),
            Mark::Gap { from_seq: 3, to_seq: 5 }
        );
    }
}
