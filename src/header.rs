//! Line 0 of a transcript: whose it is, and the random id that makes its checksums its own.

use serde::{Deserialize, Serialize};

use crate::format::{FORMAT_VERSION, KIND_HEADER};
use crate::frame::{self, Content, Crc};
use crate::fs::Fs;
use crate::key::SessionKey;
use crate::timestamp::Timestamp;

/// Line 0 of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) body: HeaderBody,
    pub(crate) crc: Crc,
    pub(crate) ts: Timestamp,
    /// Newline included.
    pub(crate) length_bytes: u64,
}

/// The body of line 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeaderBody {
    pub(crate) format: u32,
    pub(crate) key: String,
    pub(crate) generation: u64,
    pub(crate) id: String,
    pub(crate) parent: Option<Parent>,
}

/// Where a forked session came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parent {
    /// The key it was forked from.
    pub key: String,
    /// Its generation.
    pub generation: u64,
    /// The last record taken along.
    pub seq: u64,
}

/// Why line 0 is not a header that we can go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderDefect {
    /// Damage.
    Bad,
    /// Sound, but of another format.
    Format(u64),
}

impl Header {
    /// Encodes line 0 of a new transcript.
    pub(crate) fn encode(
        out: &mut Vec<u8>,
        fs: &dyn Fs,
        key: &SessionKey,
        generation: u64,
        parent: Option<Parent>,
        now: Timestamp,
    ) -> std::io::Result<Self> {
        let id = format!("{:016x}{:016x}", fs.random()?, fs.random()?);
        let body = HeaderBody { format: FORMAT_VERSION, key: key.as_str().to_owned(), generation, id, parent };
        let text = serde_json::to_string(&body).map_err(std::io::Error::other)?;
        let start = out.len();
        let content = Content { ts: now, kind: KIND_HEADER, id_json: None, body: text.as_bytes() };
        let crc = frame::encode(out, Crc::ZERO, frame::Place { seq: 0, durable: 0, prev: Crc::ZERO }, &content);
        let length_bytes = u64::try_from(out.len().saturating_sub(start)).unwrap_or(u64::MAX);
        Ok(Self { body, crc, ts: now, length_bytes })
    }

    /// Reads line 0, given without its newline.
    pub(crate) fn decode(line: &[u8]) -> Result<Self, HeaderDefect> {
        #[derive(Deserialize)]
        struct AnyFormat {
            format: u64,
        }
        let (head, crc) = frame::decode(line, Crc::ZERO).map_err(|_| HeaderDefect::Bad)?;
        if head.seq != 0 || head.kind != KIND_HEADER || head.prev != Crc::ZERO || head.id_json.is_some() {
            return Err(HeaderDefect::Bad);
        }
        let body = head.body(line);
        let Some(body) = serde_json::from_slice(body).ok().filter(|body: &HeaderBody| body.format == FORMAT_VERSION)
        else {
            // Another format may have other fields.
            return Err(match serde_json::from_slice::<AnyFormat>(body) {
                Ok(AnyFormat { format }) if format != u64::from(FORMAT_VERSION) => HeaderDefect::Format(format),
                _ => HeaderDefect::Bad,
            });
        };
        let length_bytes = u64::try_from(line.len()).unwrap_or(u64::MAX).saturating_add(1);
        Ok(Self { body, crc, ts: head.ts, length_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_another_format_is_told_from_a_bad_one() {
        let mut line = Vec::new();
        let key = SessionKey::new("k").unwrap();
        let header = Header::encode(&mut line, &crate::fs::OsFs, &key, 1, None, Timestamp::from_unix_ms(0)).unwrap();
        line.pop();
        assert_eq!(Header::decode(&line), Ok(header));
        let body = br#"{"format":2,"name":"k"}"#;
        let mut later = Vec::new();
        let content = Content { ts: Timestamp::from_unix_ms(0), kind: KIND_HEADER, id_json: None, body };
        frame::encode(&mut later, Crc::ZERO, frame::Place { seq: 0, durable: 0, prev: Crc::ZERO }, &content);
        later.pop();
        assert_eq!(Header::decode(&later), Err(HeaderDefect::Format(2)));
        line[5] ^= 1;
        assert_eq!(Header::decode(&line), Err(HeaderDefect::Bad));
    }
}
