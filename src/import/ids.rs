//! The names of imported records: which line of the source a record is of.
//!
//! `import:source` first, `import:<line>` for each line, `import:end:<lines>:<bytes>` last. The parts of a line that is too long are
//! `import:<line>+<part>`, a line that the source has changed since is `import:<line>v<version>`, and what was read of a line that is
//! kept raw, or says what it changes, is that name with `.<what>` behind it.

use serde::{Deserialize, Serialize};

pub(crate) const SOURCE: &str = "import:source";
pub(crate) const PREFIX: &str = "import:";
const END: &str = "import:end:";

pub(crate) const KIND_SOURCE: &str = "meta.import.source";
pub(crate) const KIND_END: &str = "meta.import.end";
pub(crate) const KIND_RAW: &str = "meta.import.raw";
pub(crate) const KIND_REGISTRY: &str = "meta.import.registry";
pub(crate) const KIND_ENTRY: &str = "meta.entry";

/// A line of the source, as ids name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineId {
    pub(crate) line: u64,
    pub(crate) version: u64,
    pub(crate) part: u64,
}

impl std::fmt::Display for LineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", self.line)?;
        if self.version > 1 {
            write!(f, "v{}", self.version)?;
        }
        if self.part > 0 { write!(f, "+{}", self.part) } else { Ok(()) }
    }
}

impl LineId {
    /// Reads the id of a line's bytes; `None` for every other id.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let (rest, part) = match id.strip_prefix(PREFIX)?.split_once('+') {
            Some((rest, part)) => (rest, number(part)?),
            None => (id.strip_prefix(PREFIX)?, 0),
        };
        let (line, version) = match rest.split_once('v') {
            Some((line, version)) => (line, number(version)?),
            None => (rest, 1),
        };
        Some(Self { line: number(line).filter(|line| *line > 0)?, version, part })
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(crate) fn end_id(end: &End) -> String {
    format!("{END}{}:{}", end.lines, end.bytes)
}

/// The body of the first record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) from: String,
    pub(crate) path: String,
    /// Where that is, from the root on and without links; earlier versions did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resolved: Option<String>,
    pub(crate) name: String,
    pub(crate) newline: String,
    /// Which session of the file it is, where that holds several: a database or a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<String>,
}

/// The body of the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Whether the file ended in a line end.
    pub(crate) newline: bool,
}

/// The body of a record that keeps bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Raw {
    pub(crate) reason: String,
    pub(crate) offset: u64,
    pub(crate) base64: String,
}

impl Raw {
    pub(crate) fn new(reason: &str, offset: u64, bytes: &[u8]) -> Self {
        use base64::Engine as _;
        Self { reason: reason.to_owned(), offset, base64: base64::prelude::BASE64_STANDARD.encode(bytes) }
    }

    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.decode(&self.base64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_lines_and_back() {
        for (line, version, part, text) in
            [(1, 1, 0, "import:1"), (7, 1, 3, "import:7+3"), (1, 2, 0, "import:1v2"), (12, 3, 1, "import:12v3+1")]
        {
            let id = LineId { line, version, part };
            assert_eq!((id.to_string().as_str(), LineId::parse(text)), (text, Some(id)));
        }
        for other in [
            "import:source",
            "import:0",
            "import:1.2",
            "import:1v2.title",
            "import:end:1:2",
            "1",
            "import:+1",
            "import:",
        ] {
            assert_eq!(LineId::parse(other), None, "{other}");
        }
    }
}
