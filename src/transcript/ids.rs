//! Which ids a transcript holds, so that a record that is appended again is found and not written twice.
//!
//! Made by one pass over the transcript when a writer is first asked for an id, kept up to date by its commits, and gone with
//! it: nothing on disk can disagree with the transcript. A place costs 16 bytes and what the tree adds, whatever the id's
//! length; the record at the place is read to see whether it has the id.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};

use crate::format::HEAD_BYTES_MAX;
use crate::frame::{self, Crc};
use crate::fs::PathError;
use crate::record::NewRecord;
use crate::transcript::source::Source;
use crate::transcript::writer::Written;

/// The places of all records with an id, by the id's hash.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    places: BTreeSet<(u64, u64)>,
    // Keyed by chance: a caller whose ids are a stranger's can not be made to read many records for one.
    hasher: RandomState,
}

/// A record that has the id asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) written: Written,
    /// Kind and body are those of the record asked for.
    pub(crate) is_same: bool,
}

impl Ids {
    /// Reads a sound transcript whole; of each line only the fields before the body.
    pub(crate) fn read(source: &mut Source) -> Result<Self, PathError> {
        let mut ids = Self::default();
        // The header has none.
        let mut at = source.line(0)?.next();
        while at < source.length_bytes() {
            let line = source.line(at)?;
            let head = source.view(at, HEAD_BYTES_MAX.min(usize::try_from(line.length_bytes).unwrap_or(usize::MAX)))?;
            // A line that rotted since it was proven has no id that could be believed.
            if let Some(id_json) = frame::decode_head(head).ok().and_then(|head| head.id_json) {
                ids.put(id_json, at);
            }
            at = line.next();
        }
        Ok(ids)
    }

    /// Notes that the record at `offset` has this id.
    pub(crate) fn put(&mut self, id_json: &str, offset: u64) {
        self.places.insert((self.hasher.hash_one(id_json), offset));
    }

    /// Looks for the first record with the id of `record`.
    pub(crate) fn find(
        &self,
        source: &mut Source,
        seed: Crc,
        id_json: &str,
        record: &NewRecord,
    ) -> Result<Option<Found>, PathError> {
        let hash = self.hasher.hash_one(id_json);
        for (_, offset) in self.places.range((hash, 0)..=(hash, u64::MAX)).copied() {
            let line = source.line(offset)?;
            let bytes = source.copy(offset, line.end())?;
            let Ok((head, crc)) = frame::decode(&bytes, seed) else { continue };
            if head.id_json == Some(id_json) {
                let (kind, body) = (record.content(head.ts).kind, record.body().as_bytes());
                let is_same = (head.kind, head.body(&bytes)) == (kind, body);
                return Ok(Some(Found { written: Written { seq: head.seq, crc, offset }, is_same }));
            }
        }
        Ok(None)
    }
}
