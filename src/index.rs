//! One transcript to one row: as its owner, which a closing store needs, too, or (a rebuild) without its lock, by a glance.
//!
//! A glance costs an open, a read and some stats, where an owner makes a lock file, writes the last commit again, waits for
//! the disk and removes the lock file. It suffices for a file that nobody has changed since the whole file system was synced
//! and of whose key there is no lock file: then everything in it is durable (`src/format.md`, "The lock file").

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::atomic::TempFile;
use crate::damage::{Tail, TailState};
use crate::error::Error;
use crate::fs::{FsFile, IoContext as _, OpenMode, Stat};
use crate::key::{SessionKey, TranscriptName};
use crate::layout::Layout;
use crate::lock::{Lock, LockError, Purpose};
use crate::mark::Mark;
use crate::record::NewRecord;
use crate::registry::Row;
use crate::transcript::first_line::HeaderState;
use crate::transcript::recover::{self, Judgement, Trust};
use crate::transcript::source::Source;
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

/// Everything that was changed before this is durable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    device: u64,
    before_ns: i128,
}

/// File systems tell times to 2 s (FAT) or better, and the clock behind them may be set back a little.
const SETTLED_BEFORE_NS: i128 = 2_000_000_000;

impl Settled {
    /// Syncs the file system that the store is on. `None` when it can not be synced, or says that something was not written.
    ///
    /// The clock is that of the files' times: it need not be ours.
    pub(crate) fn sync(layout: &Layout) -> Option<Self> {
        // Not beside the transcripts, by whose folder's time others tell that nothing was born there.
        let probe = TempFile::create(&*layout.fs, &layout.registry(), layout.file_mode).ok()?;
        let stat = probe.file.stat().ok()?;
        let before_ns = stat.modified_ns.min(stat.changed_ns).saturating_sub(SETTLED_BEFORE_NS);
        // First the names: a transcript may have come by a rename.
        let transcripts = layout.transcripts();
        layout.fs.sync_dir(&transcripts).ok()?;
        let is_synced = layout.fs.sync_file_system(&layout.root).unwrap_or(false);
        is_synced.then_some(Self { device: stat.identity.0, before_ns })
    }

    /// A file that is mounted from elsewhere was not synced.
    fn covers(self, stat: &Stat) -> bool {
        stat.identity.0 == self.device && stat.modified_ns.max(stat.changed_ns) < self.before_ns
    }
}

/// Returns the key that a transcript's header names.
pub(crate) fn key_of(layout: &Layout, name: &TranscriptName) -> Result<SessionKey, Error> {
    let path = layout.transcripts().join(name.to_string());
    key_in(&HeaderState::open(&*layout.fs, &path)?, path, name)
}

fn key_in(state: &HeaderState, path: PathBuf, name: &TranscriptName) -> Result<SessionKey, Error> {
    match state {
        HeaderState::Sound { header, .. } => {
            let (header_key, header_generation) = (header.body.key.clone(), header.body.generation);
            let key = SessionKey::new(&header_key)?;
            if key.file_stem() == name.stem && header_generation == name.generation {
                Ok(key)
            } else {
                Err(Error::Misfiled { path, header_key, header_generation })
            }
        }
        HeaderState::Format(format) => Err(Error::UnsupportedFormat { path, format: *format }),
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
    let indexed = index_key(layout, std::slice::from_ref(name), key, |_| old, how, None);
    indexed.into_iter().next().unwrap_or_default()
}

/// Indexes the generations of one key, each with the key and the row that are known of it: by a glance where that suffices, else
/// as the key's owner.
pub(crate) fn index_key<'a>(
    layout: &Layout,
    generations: &[TranscriptName],
    key: Option<&SessionKey>,
    old: impl Fn(&TranscriptName) -> Option<&'a Row>,
    how: How,
    settled: Option<Settled>,
) -> Vec<Indexed> {
    let mut lock = None;
    let mut all_recovered = true;
    let mut indexed = Vec::with_capacity(generations.len());
    for name in generations {
        let old = old(name);
        let seen = settled.filter(|_| lock.is_none()).and_then(|settled| {
            // As below: a loss that is accepted has no witness.
            glance(layout, name, key, old.filter(|_| !how.accept_loss), settled)
        });
        let is_seen = seen.is_some();
        let one = seen.unwrap_or_else(|| index_owned(layout, name, key, old, how, &mut lock));
        all_recovered &= !is_seen && one.error.is_none() && !one.busy && (how.truncate || one.torn.is_none());
        // What is in doubt of this one, the next must not be able to take back.
        lock = lock.filter(|lock| !lock.is_in_doubt());
        indexed.push(one);
    }
    if let Some(lock) = lock.as_mut().filter(|lock| all_recovered && lock.was_left_behind())
        && are_all(layout, generations)
    {
        lock.settle();
    }
    indexed
}

/// Says whether there is no generation of the key beside these: there is no hole among them.
fn are_all(layout: &Layout, generations: &[TranscriptName]) -> bool {
    let (Some(first), Some(last)) = (generations.first(), generations.last()) else { return false };
    let beside = [first.generation.checked_sub(1), last.generation.checked_add(1)];
    beside.into_iter().flatten().all(|generation| {
        let name = TranscriptName { stem: first.stem.clone(), generation };
        layout.is_gone(&layout.transcripts().join(name.to_string()))
    })
}

/// Folds the row of a transcript that can be seen to be sound and durable. `None` says nothing: its owner has to look.
fn glance(
    layout: &Layout,
    name: &TranscriptName,
    key: Option<&SessionKey>,
    old: Option<&Row>,
    settled: Settled,
) -> Option<Indexed> {
    let path = layout.transcripts().join(name.to_string());
    let file: Arc<dyn FsFile> = layout.fs.open(&path, OpenMode::Read).ok()?.into();
    let stat = file.stat().ok().filter(|stat| settled.covers(stat))?;
    let bytes = stat.length_bytes;
    let mut source = Source::new(Arc::clone(&file), &path, bytes, false);
    source.expect_all();
    let header = HeaderState::read(&mut source).ok()?;
    let found;
    let key = if let Some(key) = key {
        key
    } else {
        found = key_in(&header, path, name).ok()?;
        &found
    };
    let judged = recover::judge_source(source, header, key, name.generation, old, Trust::Nothing).ok()?;
    let is_clean = matches!(judged.tail, Some(Tail { state: TailState::Clean, .. })) && judged.damage.is_none();
    // The lock comes last: who took it after this look has written nothing of what was read.
    let is_free = || layout.is_gone(&layout.lock_of(&name.stem));
    let is_durable = is_clean && file.stat().ok()? == stat && is_free();
    is_durable.then(|| Indexed { row: Some(judged.row), bytes, ..Indexed::default() })
}

/// Indexes as the key's owner, who then goes on to be it.
fn index_owned(
    layout: &Layout,
    name: &TranscriptName,
    key: Option<&SessionKey>,
    old: Option<&Row>,
    how: How,
    owned: &mut Option<Lock>,
) -> Indexed {
    let mut indexed = Indexed { row: old.cloned(), ..Indexed::default() };
    let path = layout.transcripts().join(name.to_string());
    indexed.bytes = layout.fs.stat(&path).map_or(0, |stat| stat.length_bytes);
    let key = match key.cloned().map_or_else(|| key_of(layout, name), Ok) {
        Ok(key) => key,
        Err(error) => return Indexed { error: Some(error), ..indexed },
    };
    if owned.is_none() {
        match Lock::acquire(&layout.fs, &layout.lock(&key), layout.file_mode, Duration::ZERO, Purpose::Brief) {
            Ok(lock) => *owned = Some(lock),
            // Its owner folds it; what it has written and not synced must not get into a row.
            Err(LockError::Busy(_)) => return Indexed { busy: true, ..indexed },
            Err(LockError::Io(error)) => return Indexed { error: Some(error.into()), ..indexed },
        }
    }
    // The row stands for what could not be looked at; of what can be, it is a witness only while losses are not accepted.
    let old = old.filter(|_| !how.accept_loss);
    match index_locked(layout, name, &key, old, how, owned) {
        Ok((row, torn)) => {
            indexed.row = Some(row);
            indexed.torn = torn;
        }
        Err(error) => {
            if let (Error::Damaged { .. }, Some(lock)) = (&error, owned) {
                // A header that can not be read leaves the old row.
                let judged = judge(layout, name, &key, old, Trust::Nothing, lock);
                indexed.row = judged.map(proven_row).ok().or(indexed.row);
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
    owned: &mut Option<Lock>,
) -> Result<(Row, Option<Torn>), Error> {
    let Some(lock) = owned else { return Err(Error::Closed) };
    if !how.truncate {
        let judged = judge(layout, name, key, old, how.trust, lock)?;
        if let Some(Tail { offset, bytes, state: TailState::Torn { .. } }) = judged.tail {
            return Ok((proven_row(judged), Some(Torn { offset, bytes })));
        }
    }
    let recovered = recover::recover(layout, key, name.generation, old, how.trust, lock)?;
    let Some(mark) = recovered.mark else { return Ok((recovered.row, None)) };
    let torn = if let Mark::Recovered { offset, bytes, .. } = mark { Some(Torn { offset, bytes }) } else { None };
    let path = layout.transcript(key, name.generation);
    let Some(lock) = owned.take() else { return Err(Error::Closed) };
    let mut writer = Writer::resume(layout, recovered.file, path, lock, recovered.header.crc, recovered.row)?;
    let committed = writer.commit(&[&NewRecord::mark(&mark)], true, layout.fs.now());
    let row = writer.row().clone();
    *owned = Some(writer.into_lock());
    match committed {
        Ok(_) => Ok((row, torn)),
        Err(CommitError::RolledBack(source) | CommitError::Poisoned { source, .. }) => Err(Error::Io(source)),
    }
}

/// Judges a file after a fdatasync: no row says what is not on disk.
fn judge(
    layout: &Layout,
    name: &TranscriptName,
    key: &SessionKey,
    old: Option<&Row>,
    trust: Trust,
    lock: &mut Lock,
) -> Result<Judgement, Error> {
    let path = layout.transcript(key, name.generation);
    let file: Arc<dyn FsFile> = layout.fs.open(&path, OpenMode::Read).context("open", &path)?.into();
    // Once it has failed, the next one would succeed.
    lock.doubt();
    file.sync_data().context("fdatasync", &path)?;
    lock.trust();
    recover::judge(&file, &path, key, name.generation, old, trust, true)
}

/// Returns the row of a file that is not written to: what stands before torn bytes or damage. Only what a later record or
/// the old row proves is called durable, since nothing was written again.
fn proven_row(judged: Judgement) -> Row {
    Row { durable_seq: judged.proven_seq, ..judged.row }
}
