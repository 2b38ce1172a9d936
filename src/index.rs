//! One transcript to one row, as its owner: the part of a rebuild that a closing store needs, too.

use std::sync::Arc;
use std::time::Duration;

use crate::damage::{Tail, TailState};
use crate::error::Error;
use crate::fs::{FsFile, IoContext as _, OpenMode};
use crate::key::{SessionKey, TranscriptName};
use crate::layout::Layout;
use crate::lock::{Lock, LockError, Purpose};
use crate::mark::Mark;
use crate::record::NewRecord;
use crate::registry::Row;
use crate::transcript::first_line::HeaderState;
use crate::transcript::recover::{self, Judgement, Trust};
use crate::transcript::writer::{CommitError, Writer};

/// How much indexing may change, and believe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Whether an old row spares reading what it covers.
    pub(crate) trust: Trust,
    /// Cut torn tails; without it the file is not written to and its row is the proven part.
    pub(crate) truncate: bool,
    /// Forget what an old row says was durable and the file does not hold.
    pub(crate) accept_loss: bool,
}

impl How {
    /// A closing store's: a torn tail is cut by whoever appends to the session next, or by a rebuild that was asked to.
    pub(crate) const CLOSE: Self = Self { trust: Trust::Anchor, truncate: false, accept_loss: false };
}

/// What indexing one transcript came to.
#[derive(Debug, Default)]
pub(crate) struct Indexed {
    /// The row to keep; the old one where no new one can be had.
    pub(crate) row: Option<Row>,
    /// Someone is writing to it.
    pub(crate) busy: bool,
    /// A torn tail, cut or (without `truncate`) found.
    pub(crate) torn: Option<Torn>,
    /// Damage, or why it can not be read.
    pub(crate) error: Option<Error>,
    /// Size of the transcript.
    pub(crate) bytes: u64,
}

/// Bytes that were never promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Returns the key that a transcript's header names.
pub(crate) fn key_of(layout: &Layout, name: &TranscriptName) -> Result<SessionKey, Error> {
    let path = layout.transcripts().join(name.to_string());
    match HeaderState::open(&*layout.fs, &path)? {
        HeaderState::Sound { header, .. } => {
            let (header_key, header_generation) = (header.body.key, header.body.generation);
            let key = SessionKey::new(&header_key)?;
            if key.file_stem() == name.stem && header_generation == name.generation {
                Ok(key)
            } else {
                Err(Error::Misfiled { path, header_key, header_generation })
            }
        }
        HeaderState::Format(format) => Err(Error::UnsupportedFormat { path, format }),
        HeaderState::Bad { gap, .. } => Err(Error::HeaderDamaged { path, bytes: gap.bytes }),
    }
}

/// Makes one transcript durable and folds its row, taking its lock for that if nobody has it.
pub(crate) fn index(
    layout: &Layout,
    name: &TranscriptName,
    key: Option<&SessionKey>,
    old: Option<&Row>,
    how: How,
) -> Indexed {
    let mut indexed = Indexed { row: old.cloned(), ..Indexed::default() };
    let path = layout.transcripts().join(name.to_string());
    indexed.bytes = layout.fs.stat(&path).map_or(0, |stat| stat.length_bytes);
    let key = match key.cloned().map_or_else(|| key_of(layout, name), Ok) {
        Ok(key) => key,
        Err(error) => return Indexed { error: Some(error), ..indexed },
    };
    let lock = match Lock::acquire(&layout.fs, &layout.lock(&key), layout.file_mode, Duration::ZERO, Purpose::Brief) {
        Ok(lock) => lock,
        // Its owner folds it; what it has written and not synced must not get into a row.
        Err(LockError::Busy(_)) => return Indexed { busy: true, ..indexed },
        Err(LockError::Io(error)) => return Indexed { error: Some(error.into()), ..indexed },
    };
    // The row stands for what could not be looked at; of what can be, it is a witness only while losses are not accepted.
    let old = old.filter(|_| !how.accept_loss);
    match index_locked(layout, name, &key, old, how, lock) {
        Ok((row, torn)) => {
            indexed.row = Some(row);
            indexed.torn = torn;
        }
        Err(error) => {
            if let Error::Damaged { .. } = error {
                // A header that can not be read leaves the old row.
                indexed.row = judge(layout, name, &key, old, Trust::Nothing).map(proven_row).ok().or(indexed.row);
            }
            indexed.error = Some(error);
        }
    }
    indexed
}

fn index_locked(
    layout: &Layout,
    name: &TranscriptName,
    key: &SessionKey,
    old: Option<&Row>,
    how: How,
    lock: Lock,
) -> Result<(Row, Option<Torn>), Error> {
    if !how.truncate {
        let judged = judge(layout, name, key, old, how.trust)?;
        if let Some(Tail { offset, bytes, state: TailState::Torn { .. } }) = judged.tail {
            return Ok((proven_row(judged), Some(Torn { offset, bytes })));
        }
    }
    let recovered = recover::recover(layout, key, name.generation, old, how.trust)?;
    let Some(mark) = recovered.mark else { return Ok((recovered.row, None)) };
    let torn = if let Mark::Recovered { offset, bytes, .. } = mark { Some(Torn { offset, bytes }) } else { None };
    let path = layout.transcript(key, name.generation);
    let mut writer = Writer::resume(layout, recovered.file, path, lock, recovered.header.crc, recovered.row)?;
    writer.commit(&[&NewRecord::mark(&mark)], true, layout.fs.now()).map_err(|error| match error {
        CommitError::RolledBack(source) | CommitError::Poisoned { source, .. } => Error::Io(source),
    })?;
    Ok((writer.row().clone(), torn))
}

/// Judges a file after a fdatasync: no row says what is not on disk.
fn judge(
    layout: &Layout,
    name: &TranscriptName,
    key: &SessionKey,
    old: Option<&Row>,
    trust: Trust,
) -> Result<Judgement, Error> {
    let path = layout.transcript(key, name.generation);
    let file: Arc<dyn FsFile> = layout.fs.open(&path, OpenMode::Read).context("open", &path)?.into();
    file.sync_data().context("fdatasync", &path)?;
    recover::judge(&file, &path, key, name.generation, old, trust, true)
}

/// Returns the row of a file that is not written to: what stands before torn bytes or damage. Only what a later record or
/// the old row proves is called durable, since nothing was written again.
fn proven_row(judged: Judgement) -> Row {
    Row { durable_seq: judged.proven_seq, ..judged.row }
}
