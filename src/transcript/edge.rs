//! What stands at a place that is no good record: padding, a record without its newline, torn bytes, or damage.
//!
//! The rules 2 to 6 of the format for one place; rule 1 (the registry's witness) and rule 7 (the link) are the walk's.

use crate::format::{CRC_HEX_BYTES, CRC_LABEL, FRAME_TAIL_BYTES, SECTOR_BYTES, is_padding, to_u64};
use crate::frame::{self, Crc};
use crate::fs::PathError;
use crate::record::Info;
use crate::transcript::source::{Line, Source};

/// A valid record at the start of a line that goes on behind it, or that no newline ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unterminated {
    pub(crate) info: Info,
    /// Where its object ends.
    pub(crate) end: u64,
}

/// Ends with the right checksum that are looked at. Only who knows the header's checksum can make a second one.
const CANDIDATES_MAX: u32 = 16;

/// Rule 3: looks for a valid record that `accepts` at the start of `line`, not ended by a newline.
///
/// Every `,"crc":"` is a candidate for its end; the checksum is carried along, so the cost is one pass.
pub(crate) fn unterminated_record(
    source: &mut Source,
    line: &Line,
    seed: Crc,
    accepts: impl Fn(&Info) -> bool,
) -> Result<Option<Unterminated>, PathError> {
    let head = source.view(line.offset, crate::format::HEAD_BYTES_MAX)?;
    // A cheap look first: most bad lines do not even begin like a record.
    if !matches!(frame::decode_head(head), Ok(head) if accepts(&Info::new(&head, Crc::ZERO))) {
        return Ok(None);
    }
    let mut covered = line.offset;
    let mut crc = seed;
    let mut candidates = 0_u32;
    while let Some(label) = find_label(source, covered, line.end())? {
        crc = source.checksum(covered, label, crc)?;
        let tail = source.view(label, FRAME_TAIL_BYTES)?;
        if frame::check_tail(tail.get(..FRAME_TAIL_BYTES).unwrap_or(tail), crc).is_ok() {
            let end = label.saturating_add(to_u64(FRAME_TAIL_BYTES));
            candidates = candidates.saturating_add(1);
            if candidates > CANDIDATES_MAX {
                return Ok(None);
            }
            // A whole line that is a record is not what we look for.
            let bytes = source.copy(line.offset, end)?;
            if let Ok((head, crc)) = frame::decode(&bytes, seed) {
                let info = Info::new(&head, crc);
                // A body that holds the text of an end with the right checksum: only the whole object is a record.
                if accepts(&info) && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
                    return Ok(Some(Unterminated { info, end }));
                }
            }
        }
        // On behind the label's first byte; the checksum must cover every byte once.
        crc = source.checksum(label, label.saturating_add(1), crc)?;
        covered = label.saturating_add(1);
    }
    Ok(None)
}

/// Finds the next `,"crc":"` with room for a frame's end behind it.
fn find_label(source: &mut Source, start: u64, end: u64) -> Result<Option<u64>, PathError> {
    let finder = memchr::memmem::Finder::new(CRC_LABEL);
    let mut at = start;
    while at.saturating_add(to_u64(FRAME_TAIL_BYTES)) <= end {
        let view = source.view(at, FRAME_TAIL_BYTES)?;
        let count = view.len().min(usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX));
        let view = view.get(..count).unwrap_or(view);
        if let Some(found) = finder.find(view) {
            let label = at.saturating_add(to_u64(found));
            return Ok(Some(label).filter(|label| label.saturating_add(to_u64(FRAME_TAIL_BYTES)) <= end));
        }
        // A label may straddle the windows.
        let step = view.len().saturating_sub(CRC_LABEL.len().saturating_add(CRC_HEX_BYTES)).max(1);
        at = at.saturating_add(to_u64(step));
    }
    Ok(None)
}

/// Rule 5: says whether in some 512-byte sector of the file all that the line has there is padding: a sector that never
/// reached the disk shows what was there before the write.
pub(crate) fn has_lost_sector(source: &mut Source, line: &Line) -> Result<bool, PathError> {
    let mut at = line.offset;
    while at < line.end() {
        let sector_end = at.saturating_sub(at.checked_rem(SECTOR_BYTES).unwrap_or(0)).saturating_add(SECTOR_BYTES);
        let end = sector_end.min(line.end());
        let length = usize::try_from(end.saturating_sub(at)).unwrap_or(0);
        let view = source.view(at, length)?;
        let part = view.get(..length).unwrap_or(view);
        if part.is_empty() {
            break;
        }
        if part.iter().all(|byte| is_padding(*byte)) {
            return Ok(true);
        }
        at = end;
    }
    Ok(false)
}
