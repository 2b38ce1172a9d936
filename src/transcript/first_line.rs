//! Line 0, and what can still be read when it is bad.
//!
//! A header is promised whole with its newline, so a bad one is damage, never a torn tail. The records behind it check with
//! its checksum as seed; with the header gone, that seed is found again from what the lines themselves say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::damage::{Defect, Gap};
use crate::format::{CRC_LABEL, FRAME_TAIL_BYTES, HEAD_BYTES_MAX, to_u64};
use crate::frame::{self, Crc};
use crate::fs::{Fs, FsFile, IoContext as _, OpenMode, PathError};
use crate::header::{Header, HeaderDefect};
use crate::key::SessionKey;
use crate::transcript::edge;
use crate::transcript::scan::Cursor;
use crate::transcript::source::{Line, Source};

/// How many lines behind a bad header are asked for its checksum.
const SALVAGE_LINES: usize = 64;
/// Longest line that is asked.
const SALVAGE_LINE_BYTES: u64 = 1024 * 1024;

/// What stands at offset 0.
#[derive(Debug)]
pub(crate) enum HeaderState {
    /// A header; `separator` is set when the byte behind it is not a newline.
    Sound { header: Header, data_start: u64, separator: Option<Gap> },
    /// Damage; `seed` is the lost header's checksum if the lines behind it tell it.
    Bad { gap: Gap, data_start: u64, seed: Option<Crc> },
    /// A header of another format.
    Format(u64),
}

impl HeaderState {
    /// Opens a transcript, wherever it is, and reads line 0.
    pub(crate) fn open(fs: &dyn Fs, path: &Path) -> Result<Self, PathError> {
        let file: Arc<dyn FsFile> = fs.open(path, OpenMode::Read).context("open", path)?.into();
        Self::read(&mut Source::open(file, path)?)
    }

    /// Reads line 0.
    pub(crate) fn read(source: &mut Source) -> Result<Self, PathError> {
        let line = source.line(0)?;
        // A key of 512 bytes, every one escaped, fits many times; what is longer is no header.
        if line.length_bytes > 0 && line.length_bytes <= SALVAGE_LINE_BYTES {
            let bytes = source.copy(0, line.end())?;
            match Header::decode(&bytes) {
                Ok(header) if line.terminated => {
                    return Ok(Self::Sound { header, data_start: line.next(), separator: None });
                }
                Err(HeaderDefect::Format(format)) => return Ok(Self::Format(format)),
                _ => {}
            }
        }
        if let Some(sound) = Self::unterminated(source, &line)? {
            return Ok(sound);
        }
        let padded = source.skip_padding(0)? >= source.length_bytes();
        let data_start = if padded { source.length_bytes() } else { line.next() };
        let gap = Gap { offset: 0, bytes: data_start, expected_seq: 0, lost: None, defect: Defect::Header };
        let seed = if padded { None } else { salvage_seed(source, &line)? };
        Ok(Self::Bad { gap, data_start, seed })
    }

    /// Rule 3 for line 0: a whole header whose newline was changed. One with nothing behind it was never whole on disk, which
    /// no crash can leave.
    fn unterminated(source: &mut Source, line: &Line) -> Result<Option<Self>, PathError> {
        let Some(found) = edge::unterminated_record(source, line, Crc::ZERO, |info| info.seq == 0)? else {
            return Ok(None);
        };
        if source.skip_padding(found.end)? >= source.length_bytes() {
            return Ok(None);
        }
        let Ok(header) = Header::decode(&source.copy(0, found.end)?) else { return Ok(None) };
        let gap = Gap { offset: found.end, bytes: 1, expected_seq: 1, lost: None, defect: Defect::Separator };
        let data_start = found.end.saturating_add(1);
        Ok(Some(Self::Sound { header, data_start, separator: Some(gap) }))
    }
}

/// Returns where a walk over the records begins.
pub(crate) fn first_record(data_start: u64, header: Option<&Header>) -> Cursor {
    Cursor { offset: data_start, seq: 1, link: header.map(|header| header.crc) }
}

/// Says whether a header is the one that the file's name stands for.
pub(crate) fn is_filed_as(header: &Header, key: &SessionKey, generation: u64) -> bool {
    header.body.key == key.as_str() && header.body.generation == generation
}

/// Finds the checksum of a lost header: the seed that most of the first lines imply, at least two of them, or one that the
/// header line or record 1 says, too.
fn salvage_seed(source: &mut Source, header: &Line) -> Result<Option<Crc>, PathError> {
    let mut lines = Vec::new();
    let mut at = header.next();
    while lines.len() < SALVAGE_LINES && at < source.length_bytes() {
        let line = source.line(at)?;
        at = line.next();
        if line.terminated && line.length_bytes <= SALVAGE_LINE_BYTES {
            lines.push(line);
        }
    }
    // A line checks with exactly one seed. Two lines that imply the same one prove it; the most lines win, since lines of
    // another transcript may stand here, too. Seed 0 is that of headers.
    let mut implied: BTreeMap<Crc, usize> = BTreeMap::new();
    for line in &lines {
        let bytes = source.copy(line.offset, line.end())?;
        let covered = bytes.get(..bytes.len().saturating_sub(FRAME_TAIL_BYTES)).unwrap_or_default();
        if let Some(seed) = stored_crc(&bytes).map(|crc| crc.seed_over(covered)).filter(|seed| *seed != Crc::ZERO) {
            let count = implied.entry(seed).or_default();
            *count = count.saturating_add(1);
        }
    }
    if let Some((seed, _)) = implied.iter().filter(|(_, count)| **count > 1).max_by_key(|(_, count)| **count) {
        return Ok(Some(*seed));
    }
    // A single line agrees with the seed that it implies itself, whatever it holds: somebody else has to say it, too. That is
    // the header line, or what record 1 says of it.
    let mut said = Vec::new();
    if header.length_bytes <= SALVAGE_LINE_BYTES {
        let bytes = source.copy(0, header.end())?;
        said.extend(stored_crc(&bytes));
        said.push(Crc::ZERO.extend(bytes.get(..bytes.len().saturating_sub(FRAME_TAIL_BYTES)).unwrap_or_default()));
    }
    if let Some(line) = lines.first() {
        let head = source.copy(line.offset, line.end().min(line.offset.saturating_add(to_u64(HEAD_BYTES_MAX))))?;
        said.extend(frame::decode_head(&head).ok().filter(|head| head.seq == 1).map(|head| head.prev));
    }
    Ok(said.into_iter().find(|seed| implied.contains_key(seed)))
}

/// Reads the checksum that a line carries.
fn stored_crc(line: &[u8]) -> Option<Crc> {
    let tail = line.get(line.len().checked_sub(FRAME_TAIL_BYTES)?..)?;
    Crc::from_hex(tail.strip_prefix(CRC_LABEL)?.strip_suffix(b"\"}")?)
}
