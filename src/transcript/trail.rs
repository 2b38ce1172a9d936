//! The active path of a transcript, from its end back: what a reset, an undo or a branch left behind is not on it.
//!
//! A `rewound` mark says behind which record the view goes on, so the records are a tree of which every line but the first
//! has one predecessor: the one before it, or the one that the mark before it names. Walking back needs no more than that,
//! whatever the transcript's length.

use crate::error::Error;
use crate::frame::Crc;
use crate::mark::Mark;
use crate::transcript::backward::Backward;
use crate::transcript::reader::{Item, Reader};

/// A number in a mark that can not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clamped {
    /// The mark's own seq.
    pub seq: u64,
    /// `keep_from` or `to_seq`.
    pub field: &'static str,
    /// What it says.
    pub given: u64,
    /// What it was taken for.
    pub used: u64,
}

/// A walk back along the active path. Gives records and gaps, marks included.
#[derive(Debug)]
pub(crate) struct Trail {
    back: Backward,
    /// Seq and checksum of the last sound record, the header's without one. Known after the first step.
    pub(crate) head: Option<(u64, Crc)>,
    pub(crate) clamped: Vec<Clamped>,
}

impl Trail {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { back: reader.backward(), head: None, clamped: Vec::new() }
    }

    /// Returns the item before.
    pub(crate) fn step(&mut self) -> Result<Option<Item>, Error> {
        let Some(item) = self.back.next().transpose()? else { return Ok(None) };
        let Item::Record(record) = &item else { return Ok(Some(item)) };
        self.head.get_or_insert((record.seq(), record.crc()));
        if let Some(Mark::Rewound { to_seq }) = record.as_mark() {
            if to_seq < record.seq() {
                self.back.skip_behind(record.seq(), to_seq)?;
            } else {
                // A mark can not know what comes after it. Nothing is left out.
                let used = record.seq().saturating_sub(1);
                self.clamped.push(Clamped { seq: record.seq(), field: "to_seq", given: to_seq, used });
            }
        }
        Ok(Some(item))
    }
}
