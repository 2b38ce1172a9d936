//! Opening a transcript for writing: only what is provably on disk counts, and then it is made durable once more.
//!
//! As owner of the lock: judge the file (from the registry's anchor on when that checks, else whole); refuse damage; keep torn
//! bytes in `quarantine/` and cut them; write again, in place, what no fdatasync is known to have covered (a page cache that
//! survived a failed fsync may be "clean" without ever having reached the disk); fdatasync; fsync the folder, whose entry
//! another process may have made without living to sync it. Only then are its records called durable.

use std::path::Path;
use std::sync::Arc;

use crate::atomic;
use crate::damage::{Gap, Tail, TailState};
use crate::error::Error;
use crate::format::{FRAME_TAIL_BYTES, HEAD_BYTES_MAX, KIND_MARK, to_u64};
use crate::frame;
use crate::fs::{FsFile, IoContext as _, OpenMode, PathError, write_all};
use crate::header::Header;
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::mark::Mark;
use crate::registry::Row;
use crate::status::SessionState;
use crate::transcript::first_line::{self, HeaderState};
use crate::transcript::scan::{Cursor, Step, Walk};
use crate::transcript::seek;
use crate::transcript::source::Source;

/// Longest last line that is checked whole before a row is trusted; of a longer one the number and the end are compared.
const ANCHOR_LINE_BYTES: u64 = 64 * 1024;
/// A suffix of this size is worth a map.
const MAP_SUFFIX_BYTES: u64 = 1024 * 1024;

/// What a transcript was found to be.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) header: Header,
    /// The fold of the longest valid prefix.
    pub(crate) row: Row,
    /// The first damage; nothing behind it was looked at.
    pub(crate) damage: Option<Gap>,
    /// What follows the last record; `None` with damage.
    pub(crate) tail: Option<Tail>,
    /// The highest seq that some later claim or the registry's row proves durable.
    pub(crate) proven_seq: u64,
    pub(crate) data_start: u64,
    pub(crate) source: Source,
}

/// A recovered transcript, ready for a writer.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) file: Arc<dyn FsFile>,
    pub(crate) header: Header,
    pub(crate) row: Row,
    /// Set when torn bytes were cut; the mark is still to be appended.
    pub(crate) mark: Option<Mark>,
}

/// Whether a row that agrees with its file spares reading what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Read only what is behind the row's anchor.
    Anchor,
    /// Read everything; the row is a witness only.
    Nothing,
}

/// Judges an open transcript, reading only what `row` does not already answer. Writes nothing.
pub(crate) fn judge(
    file: &Arc<dyn FsFile>,
    path: &Path,
    key: &SessionKey,
    generation: u64,
    row: Option<&Row>,
    trust: Trust,
    locked: bool,
) -> Result<Judgement, Error> {
    let length_bytes = file.stat().context("stat", path)?.length_bytes;
    let anchored = row.filter(|_| trust == Trust::Anchor).map_or(0, |row| row.length_bytes);
    let map = locked && length_bytes.saturating_sub(anchored) >= MAP_SUFFIX_BYTES;
    let mut source = Source::new(Arc::clone(file), path, length_bytes, map);
    if trust == Trust::Nothing {
        source.expect_all();
    }
    let header = HeaderState::read(&mut source)?;
    judge_source(source, header, key, generation, row, trust)
}

/// [`judge`] of a source whose line 0 was read.
pub(crate) fn judge_source(
    mut source: Source,
    header: HeaderState,
    key: &SessionKey,
    generation: u64,
    row: Option<&Row>,
    trust: Trust,
) -> Result<Judgement, Error> {
    let (header, data_start, separator) = match header {
        HeaderState::Sound { header, data_start, separator } => (header, data_start, separator),
        HeaderState::Format(format) => {
            return Err(Error::UnsupportedFormat { path: source.path().to_owned(), format });
        }
        HeaderState::Bad { gap, .. } => return Err(damaged(key, generation, source.path(), gap)),
    };
    if !first_line::is_filed_as(&header, key, generation) {
        let (header_key, header_generation) = (header.body.key, header.body.generation);
        return Err(Error::Misfiled { path: source.path().to_owned(), header_key, header_generation });
    }
    let row = row.filter(|row| row.id == header.body.id);
    let witness = row.map(|row| row.durable_seq);
    let anchor = match row {
        Some(row) if trust == Trust::Anchor && is_anchored(&mut source, &header, row)? => Some(row),
        _ => None,
    };
    let mut folded = anchor.map_or_else(|| Row::born(&header), Row::clone);
    let start = match anchor {
        Some(row) => Cursor { offset: row.length_bytes, seq: row.last_seq.saturating_add(1), link: Some(row.last_crc) },
        None => first_line::first_record(data_start, Some(&header)),
    };
    let mut proven_seq = witness.unwrap_or(0);
    source.jump();
    let mut walk = Walk::new(source, header.crc, data_start, start, witness);
    let (damage, tail) = loop {
        if separator.is_some() {
            break (separator, None);
        }
        match walk.step()? {
            Step::Record(line, info) => {
                proven_seq = proven_seq.max(info.durable);
                let mark = if info.is_mark { walk.source.mark(&line, header.crc)? } else { None };
                // A record without its newline gets it below, so its row counts it.
                folded.fold(line.end().saturating_add(1), &info, mark.as_ref());
            }
            Step::Gap(gap) => break (Some(gap), None),
            Step::End(tail) => break (None, Some(tail)),
        }
    };
    let source = walk.source;
    Ok(Judgement { header, row: folded, damage, tail, proven_seq, data_start, source })
}

/// Says whether a transcript is exactly what its row says: same header id, same length, same last record. Costs two reads.
pub(crate) fn agrees(layout: &Layout, key: &SessionKey, row: &Row) -> Result<bool, PathError> {
    let path = layout.transcript(key, row.generation);
    let file: Arc<dyn FsFile> = layout.fs.open(&path, OpenMode::Read).context("open", &path)?.into();
    let length_bytes = file.stat().context("stat", &path)?.length_bytes;
    if length_bytes != row.length_bytes || row.durable_seq > row.last_seq {
        return Ok(false);
    }
    let mut source = Source::new(file, &path, length_bytes, false);
    match HeaderState::read(&mut source)? {
        HeaderState::Sound { header, separator: None, .. } if header.body.id == row.id => {
            is_anchored(&mut source, &header, row)
        }
        _ => Ok(false),
    }
}

/// Says whether the line that ends at the row's length is the row's last record.
pub(crate) fn is_anchored(source: &mut Source, header: &Header, row: &Row) -> Result<bool, PathError> {
    let Some(end) = row.length_bytes.checked_sub(1).filter(|_| row.length_bytes <= source.length_bytes()) else {
        return Ok(false);
    };
    let tail_start = end.saturating_sub(to_u64(FRAME_TAIL_BYTES));
    let expected = format!(",\"crc\":\"{}\"}}\n", row.last_crc);
    source.jump();
    if !source.view(tail_start, expected.len())?.starts_with(expected.as_bytes()) {
        return Ok(false);
    }
    if row.last_seq == 0 {
        return Ok(row.state == SessionState::Open
            && row.status.is_plain()
            && row.length_bytes == header.length_bytes
            && row.last_crc == header.crc);
    }
    let closed = row.state == SessionState::Closed;
    let mut line = None;
    // Most last lines are short, and a list looks at thousands of them.
    for most in [ANCHOR_LINE_BYTES / 16, ANCHOR_LINE_BYTES] {
        let start = end.saturating_sub(most);
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        let block = source.view(start, length)?.get(..length).unwrap_or_default();
        if let Some(newline) = memchr::memrchr(b'\n', block) {
            line = block.get(newline.saturating_add(1)..).map(<[u8]>::to_vec);
            break;
        }
    }
    let Some(line) = line else {
        // Its checksum is the row's; the number that the next record counts from is read, not believed.
        let start = source.line_start_before(row.length_bytes)?;
        let head = source.view(start, HEAD_BYTES_MAX)?;
        return Ok(frame::decode_head(head).is_ok_and(|head| head.seq == row.last_seq) && !closed);
    };
    let Ok((head, crc)) = frame::decode(&line, header.crc) else { return Ok(false) };
    // Nothing follows a reset: a row that says otherwise would have us append behind one, or begin a generation without.
    let mark = std::str::from_utf8(head.body(&line)).ok().filter(|_| head.kind == KIND_MARK).map(Mark::parse);
    let is_reset = matches!(mark, Some(Mark::Reset { .. }));
    Ok((head.seq, crc, is_reset) == (row.last_seq, row.last_crc, closed))
}

/// Opens a transcript as owner of its key's lock and makes it durable. See the module's head.
///
/// # Errors
///
/// Damage, an unknown format, a foreign header: nothing was changed. After an I/O error the next open starts over; that it
/// has to, the lock file says, which then stays.
pub(crate) fn recover(
    layout: &Layout,
    key: &SessionKey,
    generation: u64,
    row: Option<&Row>,
    trust: Trust,
    lock: &mut Lock,
) -> Result<Recovered, Error> {
    let path = layout.transcript(key, generation);
    let file: Arc<dyn FsFile> = layout.fs.open(&path, OpenMode::Write).context("open", &path)?.into();
    let judged = judge(&file, &path, key, generation, row, trust, true)?;
    if let Some(gap) = judged.damage {
        return Err(damaged(key, generation, &path, gap));
    }
    let Judgement { header, row: folded, tail, proven_seq, data_start, mut source, .. } = judged;
    let mut mark = None;
    lock.doubt();
    if let Some(tail) = tail {
        mark = cut_tail(layout, key, generation, &mut source, tail)?;
    }
    let length_bytes = folded.length_bytes;
    source.refresh(length_bytes);
    if proven_seq < folded.last_seq {
        rewrite(&mut source, &header, proven_seq, data_start)?;
    }
    file.sync_data().context("fdatasync", &path)?;
    let transcripts = layout.transcripts();
    layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts)?;
    lock.trust();
    Ok(Recovered { file, header, row: folded, mark })
}

/// [`recover`] of the newest generation, with what the row covers taken on trust.
pub(crate) fn recover_newest(
    layout: &Layout,
    key: &SessionKey,
    generation: u64,
    row: Option<&Row>,
    lock: &mut Lock,
) -> Result<Recovered, Error> {
    let recovered = recover(layout, key, generation, row, Trust::Anchor, lock)?;
    if generation == 1 {
        // There is no other. Of several, one that nobody appends to any more may be the one in doubt; a rebuild recovers all.
        lock.settle();
    }
    Ok(recovered)
}

/// Puts the end of the file in order; torn bytes are first kept.
fn cut_tail(
    layout: &Layout,
    key: &SessionKey,
    generation: u64,
    source: &mut Source,
    tail: Tail,
) -> Result<Option<Mark>, Error> {
    let path = source.path().to_owned();
    let file = Arc::clone(source.file());
    let newline_missing = match tail.state {
        TailState::Clean => return Ok(None),
        TailState::Padding => false,
        TailState::Unterminated => true,
        TailState::Torn { newline_missing } => newline_missing,
    };
    let mut mark = None;
    if matches!(tail.state, TailState::Torn { .. }) {
        let name = format!("{}.{generation}.{}.torn", key.file_stem(), tail.offset);
        let quarantine = keep_aside(layout, source, tail.offset, &name)?;
        mark = Some(Mark::Recovered { offset: tail.offset, bytes: tail.bytes, quarantine });
    }
    file.set_len(tail.offset).context("truncate", &path)?;
    if newline_missing {
        write_all(&*file, b"\n", tail.offset).context("write", &path)?;
    }
    Ok(mark)
}

/// Copies everything from `offset` on to a new file in `quarantine/`, durably, and returns its name.
pub(crate) fn keep_aside(layout: &Layout, source: &mut Source, offset: u64, name: &str) -> Result<String, PathError> {
    let folder = layout.quarantine();
    layout.create_folder(&folder)?;
    let temp = atomic::TempFile::create(&*layout.fs, &folder.join(name), layout.file_mode)?;
    let mut at = offset;
    while at < source.length_bytes() {
        let bytes = source.view(at, 1)?;
        write_all(&*temp.file, bytes, at.saturating_sub(offset)).context("write", &temp.path)?;
        at = at.saturating_add(to_u64(bytes.len()));
    }
    temp.file.sync_all().context("fsync", &temp.path)?;
    let name = temp.persist_unique(name)?;
    layout.fs.sync_dir(&folder).context("fsync folder", &folder)?;
    Ok(name)
}

/// Writes the records after `proven_seq` again, each checked once more, to the place where it stands.
fn rewrite(source: &mut Source, header: &Header, proven_seq: u64, data_start: u64) -> Result<(), PathError> {
    let end = source.length_bytes();
    // They are the last ones, mostly those of one commit: stepping back finds them without a search.
    let mut at = end;
    while at > data_start {
        let start = source.line_start_before(at)?;
        let line = source.line(start)?;
        if source.check(&line, header.crc)?.is_ok_and(|info| info.seq <= proven_seq) {
            break;
        }
        at = start;
    }
    while let Some(found) = seek::first_sound(source, header.crc, at, end)? {
        let bytes = source.copy(found.line.offset, found.line.next())?;
        write_all(&**source.file(), &bytes, found.line.offset).context("rewrite", source.path())?;
        at = found.line.next();
    }
    Ok(())
}

pub(crate) fn damaged(key: &SessionKey, generation: u64, path: &Path, gap: Gap) -> Error {
    Error::Damaged { key: key.clone(), generation, path: path.to_owned(), gap }
}
