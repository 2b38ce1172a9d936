//! The store's own records: state changes of a session, kept where everything else is.

use serde::{Deserialize, Serialize};

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
    /// A mark of a later version, kept and ignored.
    #[serde(other)]
    Unknown,
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
        assert_eq!(Mark::parse(r#"{"mark":"turn_started","turn":7}"#), Mark::Unknown);
        assert_eq!(Mark::parse("7"), Mark::Unknown);
        assert_eq!(serde_json::to_string(&Mark::Sealed).unwrap(), r#"{"mark":"sealed"}"#);
        assert_eq!(
            Mark::parse(r#"{"mark":"gap","from_seq":3,"to_seq":5,"why":"x"}"#),
            Mark::Gap { from_seq: 3, to_seq: 5 }
        );
    }
}
