//! The bytes of an imported session's source, from the store: `export --as as-imported`, and the proof that nothing was lost.

use std::io::{self, Write};

use crate::damage::Gap;
use crate::error::Error;
use crate::import::ids::{End, KIND_END, KIND_RAW, KIND_SOURCE, LineId, PREFIX, Raw, SOURCE, Source};
use crate::import::known::Known;
use crate::import::salvage::Newline;
use crate::record::Record;
use crate::store::{ReadOptions, Session};
use crate::transcript::reader::{Item, Records};

/// Why the source's bytes can not be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginalError {
    /// The store can not be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// The session was not imported.
    #[error("session {key:?} generation {generation} was not imported")]
    NotImported {
        /// Its key.
        key: crate::key::SessionKey,
        /// The generation.
        generation: u64,
    },
    /// The session was read from rows of a database, or from an entry of a registry, which can not be given back.
    #[error("session {key:?} generation {generation} was imported from rows of {}, which can not be given back", path.display())]
    Rows {
        /// Its key.
        key: crate::key::SessionKey,
        /// The generation.
        generation: u64,
        /// The file that it was in.
        path: std::path::PathBuf,
    },
    /// The transcript is damaged: lines are lost.
    #[error("transcript is damaged at byte {} (record {})", gap.offset, gap.expected_seq)]
    Damaged {
        /// The damage.
        gap: Gap,
    },
    /// A record of the import is not as imports write them.
    #[error("record {seq} does not hold what an import writes")]
    BadRecord {
        /// The record.
        seq: u64,
    },
    /// The end of the import is not there: it did not finish.
    #[error("the import did not finish")]
    Unfinished,
    /// The bytes can not be written.
    #[error("can not write")]
    Write(#[source] io::Error),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Original {
    /// Lines of the source.
    pub lines: u64,
    /// Bytes of the source.
    pub bytes: u64,
    /// Records of the session that were not imported, and so are not part of the source.
    pub others: u64,
}

/// Writes the source of an imported generation, the newest if none is named, byte for byte as it was imported last.
///
/// Reads the transcript twice; memory: 24 bytes for each line, and the longest record.
///
/// # Errors
///
/// [`OriginalError`]; what was written before is a beginning of the source.
pub fn write_original(
    session: &Session,
    generation: Option<u64>,
    out: &mut impl Write,
) -> Result<Original, OriginalError> {
    let generation = generation.map_or_else(|| session.generation(), Ok)?;
    let source = Known::source_of(session, generation)?;
    if let Some(source) = source.filter(|source| source.rows.is_some()) {
        return Err(OriginalError::Rows { key: session.key().clone(), generation, path: source.path.into() });
    }
    write_lines(session, generation, out)
}

/// Writes the lines of a source, also of one that was no file of lines.
pub(crate) fn write_lines(session: &Session, generation: u64, out: &mut impl Write) -> Result<Original, OriginalError> {
    let mut plan = Plan::default();
    for_each(session, generation, 1, |record| {
        plan.note(&record)?;
        Ok(true)
    })?;
    let newline = plan.newline.ok_or_else(|| {
        let key = session.key().clone();
        OriginalError::NotImported { key, generation }
    })?;
    let end = plan.end.ok_or(OriginalError::Unfinished)?;
    let mut writer = Writer { out, newline, end, written: 0 };
    // Most files were never rewritten: their lines stand in the transcript as in the source.
    let mut next = 1;
    while next <= end.lines {
        let seq = plan.seq(next).ok_or(OriginalError::Unfinished)?;
        let first = next;
        for_each(session, generation, seq, |record| {
            let Some(id) = record.id().and_then(LineId::parse) else { return Ok(true) };
            if plan.seq(next) == Some(record.seq()) {
                next = next.saturating_add(1);
            } else if id.part == 0 || id.line.saturating_add(1) != next {
                // The one wanted stands elsewhere.
                return Ok(false);
            }
            writer.line(&record, id.line)?;
            Ok(true)
        })?;
        if next == first {
            return Err(OriginalError::Unfinished);
        }
    }
    if writer.written == end.bytes {
        Ok(Original { lines: end.lines, bytes: end.bytes, others: plan.others })
    } else {
        Err(OriginalError::Unfinished)
    }
}

/// Calls `see` with the records from `seq` on, marks left out, as long as it says so.
pub(crate) fn for_each(
    session: &Session,
    generation: u64,
    seq: u64,
    mut see: impl FnMut(Record) -> Result<bool, OriginalError>,
) -> Result<(), OriginalError> {
    let records: Records = session.read(&ReadOptions::new().generation(generation).from_seq(seq))?;
    for item in records {
        match item? {
            Item::Gap(gap) => return Err(OriginalError::Damaged { gap }),
            Item::Record(record) => {
                if !see(record)? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Where the lines are.
#[derive(Default)]
struct Plan {
    newline: Option<Newline>,
    /// The seq of the newest version of each line.
    lines: Vec<u64>,
    /// Lines and seqs of an import whose end was not seen yet.
    begun: Vec<(u64, u64)>,
    end: Option<End>,
    others: u64,
}

impl Plan {
    fn note(&mut self, record: &Record) -> Result<(), OriginalError> {
        let bad = || OriginalError::BadRecord { seq: record.seq() };
        let id = record.id().filter(|id| id.starts_with(PREFIX));
        match (id, record.kind()) {
            (None, _) => self.others = self.others.saturating_add(u64::from(!record.is_mark())),
            (Some(SOURCE), KIND_SOURCE) => {
                let source: Source = record.parse().map_err(|_| bad())?;
                self.newline = Some(if source.newline == "\r\n" { Newline::CrLf } else { Newline::Lf });
            }
            (Some(_), KIND_END) => {
                self.end = Some(record.parse().map_err(|_| bad())?);
                for (line, seq) in std::mem::take(&mut self.begun) {
                    let at = usize::try_from(line.saturating_sub(1)).map_err(|_| bad())?;
                    if at == self.lines.len() {
                        self.lines.push(seq);
                    } else {
                        *self.lines.get_mut(at).ok_or_else(bad)? = seq;
                    }
                }
            }
            (Some(id), _) => {
                let id = LineId::parse(id).filter(|id| id.part == 0);
                self.begun.extend(id.map(|id| (id.line, record.seq())));
            }
        }
        Ok(())
    }

    fn seq(&self, line: u64) -> Option<u64> {
        self.lines.get(usize::try_from(line.checked_sub(1)?).ok()?).copied()
    }
}

struct Writer<'a, W> {
    out: &'a mut W,
    newline: Newline,
    end: End,
    written: u64,
}

impl<W: Write> Writer<'_, W> {
    fn line(&mut self, record: &Record, line: u64) -> Result<(), OriginalError> {
        if record.kind() == KIND_RAW {
            let raw: Option<Raw> = record.parse().ok();
            let bytes = raw.and_then(|raw| raw.bytes()).ok_or(OriginalError::BadRecord { seq: record.seq() })?;
            return self.write(&bytes);
        }
        self.write(record.body().as_bytes())?;
        let has_end = line < self.end.lines || self.end.newline;
        self.write(if has_end { self.newline.as_str().as_bytes() } else { b"" })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), OriginalError> {
        self.out.write_all(bytes).map_err(OriginalError::Write)?;
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}
