//! The words for what is wrong with a transcript, and for what stands at its end.

use crate::frame::FrameDefect;

/// Why promised bytes are not good records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Defect {
    /// A line does not hash to its checksum.
    Checksum,
    /// A line does not end as a record does, or its fields are not a record's.
    Malformed,
    /// The byte between two records is not a newline.
    Separator,
    /// Records are missing between two sound ones.
    Gap,
    /// A record stands there twice.
    Duplicate,
    /// A sound record follows another one than that before it: two writers.
    Fork,
    /// A record stands behind one that it preceded.
    Misplaced,
    /// The registry says that more was durable than the file holds.
    Lost,
    /// Line 0 is not a header.
    Header,
}

impl Defect {
    /// Returns the name that findings and JSON output use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Malformed => "malformed",
            Self::Separator => "separator",
            Self::Gap => "gap",
            Self::Duplicate => "duplicate",
            Self::Fork => "fork",
            Self::Misplaced => "misplaced",
            Self::Lost => "lost",
            Self::Header => "header",
        }
    }
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<FrameDefect> for Defect {
    fn from(defect: FrameDefect) -> Self {
        match defect {
            FrameDefect::Checksum { .. } => Self::Checksum,
            FrameDefect::Malformed { .. } => Self::Malformed,
        }
    }
}

/// Damage: promised bytes that are bad or missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Where in the transcript it begins, in bytes.
    pub offset: u64,
    /// Bad bytes; 0 when something is missing between two sound lines.
    pub bytes: u64,
    /// The seq expected at the offset.
    pub expected_seq: u64,
    /// First and last seq that are lost to it; `None` when no record is known to be lost. At the end of a file it is the
    /// least that is known to be lost.
    pub lost: Option<(u64, u64)>,
    /// What is wrong with the first of its bytes.
    pub defect: Defect,
}

/// What follows the last good record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tail {
    /// Where it begins: the end of the last good record and its newline.
    pub offset: u64,
    /// Up to the end of the file.
    pub bytes: u64,
    /// What it is.
    pub state: TailState,
}

/// What the bytes behind the last good record are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TailState {
    /// Nothing.
    Clean,
    /// Tabs or NULs: no content.
    Padding,
    /// The last record is whole, only its newline (and perhaps padding behind it) is not there yet.
    Unterminated,
    /// Bytes that were never promised.
    Torn {
        /// The last record before them lacks its newline.
        newline_missing: bool,
    },
}
