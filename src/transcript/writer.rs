//! Commits to one transcript: one write, one fdatasync, and an answer for every way in which either can fail.
//!
//! Invariants: bytes below `row.length_bytes` are never rewritten; a record is acknowledged only after the fdatasync that
//! began after its write; after a failed sync, or a rollback that failed, nothing is written or cut any more, not on drop
//! either; the lock file goes with the writer only when every record is durable. Single-threaded: the session in front of it lets one leader in at a time.

use std::path::PathBuf;
use std::sync::Arc;

use crate::atomic::TempFile;
use crate::format::{COMMIT_BYTES_MAX, to_u64};
use crate::frame::{self, Crc, Place};
use crate::fs::{FsFile, IoContext as _, PathError, write_all};
use crate::header::Header;
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::mark::Mark;
use crate::record::{Info, NewRecord};
use crate::registry::Row;
use crate::telemetry;
use crate::timestamp::Timestamp;
use crate::transcript::ids::{Found, Ids};
use crate::transcript::padding::Heat;
use crate::transcript::source::Source;

/// A buffer that grew beyond this, for a large record or for padding, is not kept: every open session has one.
const BUFFER_KEPT_BYTES: usize = 64 * 1024;

/// What padding is compared with, a piece at a time.
static TABS: [u8; 4096] = [b'\t'; 4096];

/// Where a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) seq: u64,
    pub(crate) crc: Crc,
    pub(crate) offset: u64,
}

/// How a commit can fail.
#[derive(Debug, Clone)]
pub(crate) enum CommitError {
    /// The file is as it was before, durably.
    RolledBack(PathError),
    /// What is on disk is open; the writer is done for.
    Poisoned { in_doubt: Option<(u64, u64)>, source: PathError },
}

/// Does the two steps of a birth that change the transcripts' folder, each beside no other.
pub(crate) trait Midwife {
    fn alone<T>(&self, step: impl FnOnce() -> T) -> T;
}

/// The only writer of one transcript, and holder of its key's lock.
#[derive(Debug)]
pub(crate) struct Writer {
    layout: Layout,
    file: Arc<dyn FsFile>,
    path: PathBuf,
    identity: (u64, u64),
    lock: Lock,
    seed: Crc,
    /// The fold of everything written, durable or not.
    row: Row,
    /// The highest seq written before a successful fdatasync began.
    durable_seq: u64,
    /// Records of the last fdatasync: a seal proves them if they are more than one.
    last_commit_records: u64,
    buffer: Vec<u8>,
    /// What a commit's records came to, with the end of each line. Kept for its memory.
    encoded: Vec<(Info, u64)>,
    /// Padding as it was found before it is overwritten. Kept for its memory.
    found: Vec<u8>,
    heat: Heat,
    /// Where the file ends: behind its content, and behind the padding if there is any.
    file_end: u64,
    /// The ids in the file, once somebody asked for one.
    ids: Option<Ids>,
    /// Set by the first failure that leaves the disk's content open.
    poisoned: bool,
}

impl Writer {
    /// Takes over a transcript that recovery has made durable up to `row`.
    pub(crate) fn resume(
        layout: &Layout,
        file: Arc<dyn FsFile>,
        path: PathBuf,
        lock: Lock,
        seed: Crc,
        row: Row,
    ) -> Result<Self, PathError> {
        let identity = file.stat().context("stat", &path)?.identity;
        let (durable_seq, file_end) = (row.last_seq, row.length_bytes);
        let layout = layout.clone();
        let heat = Heat::new(layout.padding);
        Ok(Self {
            layout,
            file,
            path,
            identity,
            lock,
            seed,
            row,
            durable_seq,
            last_commit_records: 0,
            buffer: Vec::new(),
            encoded: Vec::new(),
            found: Vec::new(),
            heat,
            file_end,
            ids: None,
            poisoned: false,
        })
    }

    /// Creates a transcript with its first records: temp file, fsync, rename that replaces nothing, fsync of the folder.
    ///
    /// Every record may claim that the one before it is durable: the claims become visible by the rename only, and that
    /// follows the fsync of them all.
    pub(crate) fn give_birth(
        midwife: &impl Midwife,
        layout: &Layout,
        mut lock: Lock,
        key: &SessionKey,
        generation: u64,
        records: &[&NewRecord],
        now: Timestamp,
    ) -> Result<(Self, Vec<Written>), CommitError> {
        let path = layout.transcript(key, generation);
        let untouched = CommitError::RolledBack;
        let mut buffer = Vec::new();
        let header = Header::encode(&mut buffer, &*layout.fs, key, generation, None, now)
            .context("get random bytes for", &path)
            .map_err(untouched)?;
        let mut row = Row::born(&header);
        let mut written = Vec::with_capacity(records.len());
        for record in records {
            let place = Place { seq: row.last_seq.saturating_add(1), durable: row.last_seq, prev: row.last_crc };
            let offset = row.length_bytes;
            let info = encode_record(&mut buffer, header.crc, place, record, now);
            fold_record(&mut row, to_u64(buffer.len()), &info, record);
            written.push(Written { seq: info.seq, crc: info.crc, offset });
        }
        let temp = midwife.alone(|| TempFile::create(&*layout.fs, &path, layout.file_mode)).map_err(untouched)?;
        write_all(&*temp.file, &buffer, 0).context("write", &temp.path).map_err(untouched)?;
        let synced = telemetry::fsync(key.as_str(), generation, || temp.file.sync_all());
        synced.context("fsync", &temp.path).map_err(untouched)?;
        let file = midwife.alone(|| temp.persist_new(&path)).map_err(untouched)?;
        telemetry::committed(records.len(), buffer.len());
        // From here on a file is there: without the folder's fsync its name may or may not survive.
        let in_doubt = (row.last_seq > 0).then_some((1, row.last_seq));
        lock.doubt();
        let transcripts = layout.transcripts();
        let synced = layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts);
        let opened = synced.and_then(|()| {
            lock.trust();
            Self::resume(layout, file, path, lock, header.crc, row)
        });
        match opened {
            Ok(writer) => Ok((writer, written)),
            Err(source) => Err(CommitError::Poisoned { in_doubt, source }),
        }
    }

    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    pub(crate) fn heat(&self) -> Heat {
        self.heat
    }

    /// Takes over what an earlier writer of the session knew of its habits.
    pub(crate) fn set_heat(&mut self, heat: Heat) {
        self.heat = heat;
    }

    pub(crate) fn is_padded(&self) -> bool {
        self.file_end > self.row.length_bytes
    }

    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// Says how many records are written and not durable.
    pub(crate) fn unsynced(&self) -> u64 {
        self.row.last_seq.saturating_sub(self.durable_seq)
    }

    /// Writes the first of `records`, as many as one commit takes (at least one), and makes them durable if `sync`.
    ///
    /// One `pwrite` and, with `sync`, one `fdatasync`. Cost otherwise: two `lstat`, and a `pread` of the padding that is
    /// overwritten. A hot session's records come with padding behind them when there is none left.
    pub(crate) fn commit(
        &mut self,
        records: &[&NewRecord],
        sync: bool,
        now: Timestamp,
    ) -> Result<Vec<Written>, CommitError> {
        self.check_ours()?;
        if self.row.last_seq.checked_add(to_u64(records.len())).is_none() {
            // Only a forged transcript comes here: behind the last number a record would be one that no reader takes.
            let error = std::io::Error::other("the last record has the last number there is");
            let source = PathError { operation: "append to", path: self.path.clone(), source: Arc::new(error) };
            return Err(CommitError::RolledBack(source));
        }
        let before = (self.row.length_bytes, self.row.last_seq);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        let mut place = Place { seq: before.1, durable: self.durable_seq, prev: self.row.last_crc };
        for record in records {
            if !encoded.is_empty() && buffer.len().saturating_add(record.size_hint()) > COMMIT_BYTES_MAX {
                break;
            }
            place.seq = place.seq.saturating_add(1);
            let info = encode_record(&mut buffer, self.seed, place, record, now);
            encoded.push((info, before.0.saturating_add(to_u64(buffer.len()))));
            place.prev = info.crc;
        }
        let content_bytes = buffer.len();
        let file_end = self.pad(&mut buffer, before.0.saturating_add(to_u64(content_bytes)), sync);
        let written_end = before.0.saturating_add(to_u64(buffer.len()));
        let result = self.check_padding(written_end).map(|()| {
            self.lock.doubt();
            self.file.write_at(&buffer, before.0)
        });
        buffer.clear();
        buffer.shrink_to(BUFFER_KEPT_BYTES);
        self.buffer = buffer;
        match result? {
            Ok(count) if count >= content_bytes => {
                self.file_end = self.file_end.max(before.0.saturating_add(to_u64(count)));
                if self.file_end < file_end {
                    // No room for the padding: the records stand, and the next commit finds out whether there is more for them.
                    self.heat.cool();
                }
            }
            // A short write is what a full disk gives before it says ENOSPC.
            result => {
                let error = result.err().unwrap_or_else(|| std::io::ErrorKind::StorageFull.into());
                return Err(self.roll_back(before, place.seq, error));
            }
        }
        let mut written = Vec::with_capacity(encoded.len());
        for (record, (info, end)) in records.iter().zip(&encoded) {
            let offset = self.row.length_bytes;
            written.push(Written { seq: info.seq, crc: info.crc, offset });
            fold_record(&mut self.row, *end, info, record);
            if let (Some(ids), Some(id_json)) = (&mut self.ids, record.id_json()) {
                ids.put(id_json, offset);
            }
        }
        telemetry::committed(written.len(), content_bytes);
        self.encoded = encoded;
        if sync {
            self.heat.note(now.unix_ms());
            self.sync_ours()?;
        }
        Ok(written)
    }

    /// Lays padding behind the records in `buffer` if they end behind what was laid before. Only durable commits are worth it.
    fn pad(&mut self, buffer: &mut Vec<u8>, content_end: u64, sync: bool) -> u64 {
        if content_end <= self.file_end || !sync {
            return self.file_end.max(content_end);
        }
        let file_end = self.heat.lay(content_end);
        let padding_bytes = usize::try_from(file_end.saturating_sub(content_end)).unwrap_or(0);
        buffer.resize(buffer.len().saturating_add(padding_bytes), b'\t');
        file_end
    }

    /// Looks whether the padding up to `end` is still there, behind our last newline: what is to be overwritten or cut is ours.
    fn check_padding(&mut self, end: u64) -> Result<(), CommitError> {
        let (at, end) = (self.row.length_bytes, end.min(self.file_end));
        if end <= at {
            return Ok(());
        }
        let mut from = at.saturating_sub(1);
        self.found.resize(TABS.len(), 0);
        while from < end {
            let wanted = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX).min(TABS.len());
            let read = self.file.read_at(self.found.get_mut(..wanted).unwrap_or_default(), from);
            let count = read.map_err(|error| self.poison_with(self.row.last_seq, "read the padding of", error))?;
            let newline = usize::from(from < at);
            let found = self.found.get(..count).unwrap_or_default();
            let (newlines, tabs) = found.split_at(newline.min(count));
            if tabs.is_empty() || newlines.iter().any(|byte| *byte != b'\n') || !TABS.starts_with(tabs) {
                return Err(
                    self.poison(self.row.last_seq, std::io::Error::other("the padding was changed by someone else"))
                );
            }
            from = from.saturating_add(to_u64(count));
        }
        Ok(())
    }

    /// Cuts the padding: a quiet transcript is plain JSON lines to its last byte. Needs no fsync, since padding is no content:
    /// where it comes back, or can not be cut, readers skip it and the next writer cuts it.
    pub(crate) fn cut_padding(&mut self) -> Result<(), CommitError> {
        if self.is_padded() {
            // Somebody else's bytes are not cut.
            self.check_ours()?;
            self.check_padding(self.file_end)?;
            if self.file.set_len(self.row.length_bytes).is_ok() {
                self.file_end = self.row.length_bytes;
            }
        }
        self.heat.rest();
        Ok(())
    }

    /// Looks for the record that was written with this record's id, durable or not. The first look reads the transcript.
    pub(crate) fn find(&mut self, record: &NewRecord) -> Result<Option<Found>, PathError> {
        let Some(id_json) = record.id_json() else { return Ok(None) };
        let mut source = Source::new(Arc::clone(&self.file), &self.path, self.row.length_bytes, false);
        let ids = match &mut self.ids {
            Some(ids) => ids,
            none => none.insert(Ids::read(&mut source)?),
        };
        ids.find(&mut source, self.seed, id_json, record)
    }

    /// Makes everything written durable with one fdatasync, if it is still the session's: an fdatasync of a file that was
    /// replaced succeeds, and proves nothing of the one that readers will see.
    pub(crate) fn sync(&mut self) -> Result<(), CommitError> {
        self.check_ours()?;
        self.sync_ours()
    }

    /// [`sync`](Self::sync) of a file that was looked at just now.
    fn sync_ours(&mut self) -> Result<(), CommitError> {
        let records = self.unsynced();
        let synced = telemetry::fsync(&self.row.key, self.row.generation, || self.file.sync_data());
        if let Err(error) = synced {
            // Never tried again: the kernel may have dropped the pages and forgotten the error.
            return Err(self.poison_with(self.row.last_seq, "fdatasync", error));
        }
        self.durable_seq = self.row.last_seq;
        self.last_commit_records = records;
        self.lock.trust();
        Ok(())
    }

    /// Ends the writing, and gives the lock back.
    pub(crate) fn into_lock(self) -> Lock {
        self.lock
    }

    /// Makes everything durable and, if the last commit held more than one record, adds the seal that proves it. The seal
    /// needs no fsync: what it claims is already true.
    pub(crate) fn seal(&mut self) -> Result<(), CommitError> {
        if self.unsynced() > 0 {
            self.sync()?;
        }
        if self.last_commit_records > 1 {
            let mark = NewRecord::mark(&Mark::Sealed);
            self.commit(&[&mark], false, self.layout.fs.now())?;
            self.last_commit_records = 0;
            // All that it claims is durable, and nothing claims it.
            self.lock.trust();
        }
        Ok(())
    }

    /// Looks whether file and lock are still ours and the length is as we left it: a file that someone replaced, edited or
    /// restored is not written to any more.
    pub(crate) fn check_ours(&mut self) -> Result<(), CommitError> {
        if self.poisoned {
            return Err(self.poison(self.row.last_seq, std::io::Error::other("an earlier failure")));
        }
        let named = self.layout.fs.look(&self.path);
        let problem = match &named {
            Err(_) => Some("the transcript can not be found any more"),
            Ok(stat) if stat.identity != self.identity => Some("the transcript was replaced by another file"),
            Ok(stat) if stat.length_bytes != self.file_end => Some("the transcript was changed by someone else"),
            Ok(_) => match self.lock.is_held() {
                Ok(true) => None,
                _ => Some("the lock file was removed"),
            },
        };
        match problem {
            None => Ok(()),
            Some(problem) => Err(self.poison(self.row.last_seq, std::io::Error::other(problem))),
        }
    }

    /// Takes a failed write back: truncate and fdatasync before anything else is written.
    fn roll_back(
        &mut self,
        (length_bytes, last_seq): (u64, u64),
        attempted_seq: u64,
        error: std::io::Error,
    ) -> CommitError {
        let undone = self.file.set_len(length_bytes).and_then(|()| self.file.sync_data());
        match undone {
            Ok(()) => {
                self.file_end = length_bytes;
                self.heat.cool();
                self.lock.trust();
                // The fdatasync covered earlier unsynced records too.
                if self.durable_seq < last_seq {
                    self.last_commit_records = last_seq.saturating_sub(self.durable_seq);
                    self.durable_seq = last_seq;
                }
                let source = PathError { operation: "write to", path: self.path.clone(), source: Arc::new(error) };
                CommitError::RolledBack(source)
            }
            Err(_) => self.poison_with(attempted_seq, "write to (and then to take back)", error),
        }
    }

    fn poison(&mut self, last_seq: u64, error: std::io::Error) -> CommitError {
        self.poison_with(last_seq, "write to", error)
    }

    fn poison_with(&mut self, last_seq: u64, operation: &'static str, error: std::io::Error) -> CommitError {
        self.poisoned = true;
        // The page cache may show what never reached the disk: whoever comes next has to write it again.
        self.lock.doubt();
        let in_doubt = (last_seq > self.durable_seq).then(|| (self.durable_seq.saturating_add(1), last_seq));
        let source = PathError { operation, path: self.path.clone(), source: Arc::new(error) };
        CommitError::Poisoned { in_doubt, source }
    }
}

/// Encodes a record into its place, at the end of `buffer`.
fn encode_record(buffer: &mut Vec<u8>, seed: Crc, place: Place, record: &NewRecord, now: Timestamp) -> Info {
    let content = record.content(now);
    let crc = frame::encode(buffer, seed, place, &content);
    Info {
        seq: place.seq,
        durable: place.durable,
        prev: place.prev,
        crc,
        ts: content.ts,
        is_mark: content.kind == crate::format::KIND_MARK,
        is_activity: crate::record::is_activity(content.kind),
    }
}

fn fold_record(row: &mut Row, end: u64, info: &Info, record: &NewRecord) {
    row.fold(end, info, record.as_mark().as_ref());
}
