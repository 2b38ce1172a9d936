//! The log beside a large registry: what writers tell it, and how a close folds it in and begins a new one.
//!
//! Order of a fold, so that no change falls between two logs: the log is there before the first transcript is looked at; the
//! registry is saved; the new log takes the name, without a proof; what others appended to the old one meanwhile is taken over; only
//! then comes the proof. One process folds at a time; whoever can not, leaves no proof behind, only a registry.

use std::sync::Arc;
use std::time::Duration;

use crate::atomic::TempFile;
use crate::error::Error;
use crate::fs::{FsFile, OpenMode, Stat, write_all};
use crate::key::SessionKey;
use crate::lock::{Lock, Purpose};
use crate::registry::Row;
use crate::registry::changes::{self, Changes, Line, Proof, ns};
use crate::registry::epoch;
use crate::store::inner::Inner;
use crate::store::listing::Left;
use crate::sync::Instant;
use crate::timestamp::Timestamp;
use crate::transcript::writer::Midwife;

/// Rows of the newest sessions that a new log begins with: a listing's first page.
const NEWEST: usize = 100;
/// With fewer the page is made anew, of all rows.
const NEWEST_MIN: usize = 50;
/// A log that outgrew this share of its registry, or this size where that is more, is folded in.
const LOG_SHARE: u64 = 4;
const LOG_BYTES: u64 = 8 << 20;
/// What a row comes to, about.
const ROW_BYTES: u64 = 400;
/// A settling that looks at every transcript may take this share of the time.
const SETTLE_SHARE: u32 = 100;
/// Waited for another process's fold, at a close.
pub(crate) const FOLD_WAIT: Duration = Duration::from_secs(5);

/// The birth of a transcript.
pub(crate) struct Birth<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) key: &'a SessionKey,
    pub(crate) generation: u64,
}

impl Midwife for Birth<'_> {
    /// Tells the log and the list of the folder its new time if this step is all that changed it. Of other processes' births at the
    /// same time nobody could say so: they end the proof.
    fn alone<T>(&self, step: impl FnOnce() -> T) -> T {
        let Self { inner, key, generation } = self;
        let _alone = inner.folder.step();
        let folder = || inner.layout.fs.stat(&inner.layout.transcripts()).ok();
        let before = folder();
        let is_told = before.is_some_and(|before| inner.is_told(&before));
        let done = step();
        if let (Some(before), Some(after)) = (before, folder()) {
            inner.folder.advance(&before, &after);
            if is_told {
                // Together: a log that has the time without the session, as when it was folded in between, would deny the session.
                let folder = Line::Folder(ns(after.changed_ns));
                inner.log(&changes::encode([Line::Touched(key, *generation), folder]));
            }
        }
        done
    }
}

/// The keeper's last settling.
pub(crate) struct Settled {
    at: Instant,
    took: Duration,
}

/// A fold that has begun.
pub(crate) struct Fold {
    _lock: Lock,
    old: Arc<dyn FsFile>,
    /// What the old log held before the first look.
    seen_bytes: u64,
    /// Time of the folder before the first look.
    folder_ns: i64,
    /// All rows with an activity since then are in memory, if anybody says so.
    newest_since: Option<Timestamp>,
}

impl Inner {
    /// Appends lines to the log, if there is one. What can not be told ends all belief in it: an append waits for no log.
    /// `false` when there is none to tell.
    pub(crate) fn log(&self, lines: &[u8]) -> bool {
        let path = self.layout.changes();
        changes::append(&*self.layout.fs, &path, lines).unwrap_or_else(|_| {
            self.layout.fs.remove(&path).ok();
            false
        })
    }

    /// Tells that a session's row says nothing from now on. Before the first change of its transcript, under its lock.
    pub(crate) fn touch(&self, key: &SessionKey, generation: u64) {
        self.log(&changes::encode([Line::Touched(key, generation)]));
    }

    /// Tells the row of a session that is let go of. After its last change, under its lock.
    pub(crate) fn let_go(&self, row: &Row) {
        self.log(&changes::encode([Line::Row(row)]));
    }

    /// Says whether the log knows the transcripts' folder as it is.
    fn is_told(&self, folder: &Stat) -> bool {
        let mut changes = self.changes();
        let Some(log) = changes.as_mut() else { return false };
        log.refresh(&*self.layout.fs, &self.layout.changes());
        Some(ns(folder.changed_ns)) == log.folder_ns()
    }

    /// Begins a fold if the registry is large enough to be worth a log and nobody else folds.
    fn begin_fold(&self, is_large: bool, wait: Duration) -> Option<Fold> {
        let (fs, path) = (&self.layout.fs, self.layout.changes());
        if !is_large || fs.boot().is_none() {
            return None;
        }
        let mut lock = Lock::acquire(fs, &self.layout.fold_lock(), self.layout.file_mode, wait, Purpose::Brief).ok()?;
        // Who died under it left no transcript in doubt.
        lock.settle();
        let old: Arc<dyn FsFile> = fs.open(&path, OpenMode::Create { mode: self.layout.file_mode }).ok()?.into();
        let seen_bytes = old.stat().ok()?.length_bytes;
        let folder_ns = ns(fs.stat(&self.layout.transcripts()).ok()?.changed_ns);
        // Rows that only the log has are witnesses, whoever vouches for it or not.
        if let Some(mut log) = Changes::load(&**fs, &path) {
            self.take_page(&mut log);
            self.take_logged(&mut log);
        }
        Some(Fold { _lock: lock, old, seen_bytes, folder_ns, newest_since: None })
    }

    /// Ends a fold: the registry is saved, a new log takes the old one's place.
    fn end_fold(&self, fold: &Fold, left: &Left) {
        let (fs, path) = (&*self.layout.fs, self.layout.changes());
        *self.changes() = None;
        if left.unknown || self.replace_log(fold, left).is_none() {
            // A log without proof does no harm, but nobody would fold it.
            fs.remove(&path).ok();
            return;
        }
        *self.changes() = Changes::load(fs, &path);
    }

    /// Returns the rows that a new log begins with, and since when they are all there are. `None` where these can not be known.
    fn newest_page(&self, fold: &Fold) -> Option<(Vec<Row>, Timestamp)> {
        let latest_since = |since| {
            self.latest_in_memory(NEWEST, |row| !row.key.starts_with('~') && (row.updated >= since || since == epoch()))
        };
        let mut since = fold.newest_since.filter(|_| !self.knows_all()).unwrap_or(epoch());
        let (mut newest, mut count) = if since == epoch() { (Vec::new(), 0) } else { latest_since(since) };
        if count < NEWEST_MIN {
            // Nobody knows them, or too many of them were deleted.
            self.learn_all().ok()?;
            since = epoch();
            (newest, count) = latest_since(since);
        }
        if count > NEWEST {
            // Of those with the oldest's time some may be missing.
            let oldest = newest.iter().map(|row| row.updated.unix_ms()).min()?;
            since = Timestamp::from_unix_ms(oldest.saturating_add(1));
        }
        Some((newest, since))
    }

    fn replace_log(&self, fold: &Fold, left: &Left) -> Option<()> {
        let (fs, path) = (&*self.layout.fs, self.layout.changes());
        let (newest, newest_since) = self.newest_page(fold)?;
        let touched = left.touched.iter().map(|(key, generation)| Line::Touched(key, *generation));
        let lines = newest.iter().map(Line::Row).chain(touched).chain([Line::Folder(fold.folder_ns)]);
        let temp = TempFile::create(fs, &path, self.layout.file_mode).ok()?;
        write_all(&*temp.file, &changes::encode(lines), 0).ok()?;
        // Who could not tell it something has removed the old one.
        fold.old.stat().ok().filter(|stat| stat.link_count > 0)?;
        temp.replace(&path).ok()?;
        // Half a line is written again by whoever writes it: its log has lost the name.
        let (mut lines, _) = changes::read_lines(&*fold.old, fold.seen_bytes, 0).ok()?;
        // Of the file that we saved, not of one that somebody has put in its place since.
        let proof = Proof::new(fs, &self.saved_as()?, newest_since, newest.len())?;
        lines.extend(changes::encode([Line::Proof(&proof)]));
        changes::append(fs, &path, &lines).ok().filter(|told| *told).map(drop)
    }

    /// Brings the registry up to date with all transcripts and saves it whole; the log is folded in.
    pub(crate) fn settle(&self, poisoned: &[SessionKey], wait: Duration) -> Result<(), Error> {
        let mut fold = self.begin_fold(self.is_large(), wait);
        if let Some((fold, newest_since)) = fold.as_mut().and_then(|fold| Some((fold, self.newest_since()?))) {
            fold.newest_since = Some(newest_since);
            // What was learned before may have been dropped: another process has folded since we looked last.
            self.learn_page();
            if !self.has_unsaved() && self.changes().as_ref().is_some_and(|log| log.news().next().is_none()) {
                return Ok(());
            }
            let left = self.index_changed(poisoned)?;
            if !self.save_merged()? {
                self.replace_on_save();
                self.save_whole()?;
            }
            self.end_fold(fold, &left);
            return Ok(());
        }
        // What other processes know first: a loss that somebody accepted is no finding of ours.
        self.save_whole()?;
        let left = self.index_stale(poisoned)?;
        self.save_whole()?;
        // Without one another process folds, or there is no need.
        if let Some(fold) = fold {
            self.end_fold(&fold, &left);
        }
        Ok(())
    }

    /// Begins the fold of a rebuild, which changes files that nobody has touched: the old log proves nothing from now on.
    pub(crate) fn begin_rebuild(&self, transcripts: usize) -> Option<Fold> {
        *self.changes() = None;
        // No time of any folder. The log stays for its witnesses until the registry is saved.
        {
            let _no_birth = self.folder.step();
            self.log(&changes::encode([Line::Folder(0)]));
        }
        let bytes = u64::try_from(transcripts).unwrap_or(u64::MAX).saturating_mul(ROW_BYTES);
        self.begin_fold(bytes >= self.options.registry_log_from, FOLD_WAIT)
    }

    /// Ends it, once the registry is replaced.
    pub(crate) fn end_rebuild(&self, fold: Option<Fold>, left: &Left) {
        match fold {
            Some(fold) => self.end_fold(&fold, left),
            None => drop(self.layout.fs.remove(&self.layout.changes())),
        }
    }

    /// Saves what changed, at least. A large registry that nobody vouches for, since the machine was started, was not closed, or
    /// something was done that no log is told of, is settled if that is due; so is a log that was appended to for long.
    pub(crate) fn save_or_settle(&self, settled: &mut Option<Settled>) -> Result<(), Error> {
        let (has_outgrown, is_large) = (self.has_outgrown(), self.is_large());
        if has_outgrown && !is_large {
            // Another process's, with another idea of what is large; nobody is to pay for it for ever.
            self.layout.fs.remove(&self.layout.changes()).ok();
        }
        let started = Instant::now();
        // Where nobody knows since when the machine runs there is no proof to be had.
        let is_due = self.layout.fs.boot().is_some()
            && settled.as_ref().is_none_or(|last| last.at.elapsed() >= last.took.saturating_mul(SETTLE_SHARE));
        if is_large && (has_outgrown || (is_due && self.newest_since().is_none())) {
            let done = self.settle(&self.poisoned(), Duration::ZERO);
            *settled = Some(Settled { at: Instant::now(), took: started.elapsed() });
            return done;
        }
        self.save_registry()
    }

    fn is_large(&self) -> bool {
        let saved = self.layout.fs.stat(&self.layout.registry()).map_or(0, |stat| stat.length_bytes);
        saved.max(self.count_in_memory().saturating_mul(ROW_BYTES)) >= self.options.registry_log_from
    }

    /// Says whether the log has outgrown its registry.
    fn has_outgrown(&self) -> bool {
        let registry = self.layout.fs.stat(&self.layout.registry()).map_or(0, |stat| stat.length_bytes);
        let log = self.layout.fs.stat(&self.layout.changes()).map_or(0, |stat| stat.length_bytes);
        log > LOG_BYTES.max(registry / LOG_SHARE)
    }
}
