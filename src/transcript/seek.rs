//! Finding a record by its seq in the file itself: seq grows with the offset, so no index is needed.

use crate::frame::Crc;
use crate::fs::PathError;
use crate::record::Info;
use crate::transcript::source::{Line, Source};

/// Below this a walk is cheaper than another probe.
const WALK_BYTES: u64 = 32 * 1024;

/// A sound line and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) line: Line,
    pub(crate) info: Info,
}

/// Returns the first sound whole line that begins in `start..end`. `start` is the start of a line.
pub(crate) fn first_sound(source: &mut Source, seed: Crc, start: u64, end: u64) -> Result<Option<Found>, PathError> {
    let mut at = start;
    while at < end {
        let line = source.line(at)?;
        if let (true, Ok(info)) = (line.terminated, source.check(&line, seed)?) {
            return Ok(Some(Found { line, info }));
        }
        if !line.terminated {
            break;
        }
        at = line.next();
    }
    Ok(None)
}

/// Returns the last sound line in `start..end` that a binary search sees with a seq below `seq`; `None` when the first
/// sound line already has that seq or a higher one. Reads some `log2(size)` lines.
pub(crate) fn before(
    source: &mut Source,
    seed: Crc,
    seq: u64,
    start: u64,
    end: u64,
) -> Result<Option<Found>, PathError> {
    source.jump();
    let Some(mut low) = first_sound(source, seed, start, end)?.filter(|found| found.info.seq < seq) else {
        return Ok(None);
    };
    let mut high = end;
    while high.saturating_sub(low.line.next()) > WALK_BYTES {
        let middle = low.line.next().midpoint(high);
        source.jump();
        let partial = source.line(middle)?;
        let probe = if partial.terminated { first_sound(source, seed, partial.next(), high)? } else { None };
        match probe.filter(|found| found.line.offset < high) {
            Some(found) if found.info.seq < seq => low = found,
            _ => high = middle,
        }
    }
    source.jump();
    let mut at = low.line.next();
    while let Some(found) = first_sound(source, seed, at, high)?.filter(|found| found.info.seq < seq) {
        at = found.line.next();
        low = found;
    }
    Ok(Some(low))
}

/// Returns the record with this seq in `start..end`.
pub(crate) fn exactly(
    source: &mut Source,
    seed: Crc,
    seq: u64,
    start: u64,
    end: u64,
) -> Result<Option<Found>, PathError> {
    let from = before(source, seed, seq, start, end)?.map_or(start, |found| found.line.next());
    Ok(first_sound(source, seed, from, end)?.filter(|found| found.info.seq == seq))
}
