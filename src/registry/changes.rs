//! What happened since a large registry was saved: `registry.changes.jsonl`, a log beside it that many processes append to.
//!
//! A line has the frame of a row, without number. It is the row of a session as it was let go of; a session that is `touched`, so
//! that its row says nothing until the next one; the `folder`'s new time behind a birth; or the `proof`, which says of which
//! registry file and of which start of the machine all this speaks. While that holds, a row that was not touched since is what
//! its transcript says, and nobody need look at it.
//!
//! Never fsynced: what a power cut takes, it takes with the proof, which names the start of the machine. A line that is no line,
//! or half of one, ends all belief; rows stay witnesses. The log is replaced by one process at a time, and what others append to
//! the old one meanwhile is taken over before the new one gets its proof.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::format::{KIND_FOLDER, KIND_PROOF, KIND_TOUCHED};
use crate::frame::{self, Content, Crc, Place};
use crate::fs::{Fs, FsFile, OpenMode, Stat, read_from};
use crate::key::SessionKey;
use crate::registry::{Row, Rows, epoch};
use crate::timestamp::Timestamp;

/// More than the log ever is: it is replaced long before.
const CHANGES_BYTES_MAX: u64 = 1 << 30;

/// What a proof speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Since when the machine runs.
    boot: String,
    /// Device, inode, length and time of change of the registry's file.
    registry: (u64, u64, u64, i64),
    /// All rows with an activity at this time or behind it are in the log.
    pub(crate) newest_since: Timestamp,
    /// So many rows, the first of the log, are in the registry, too.
    saved_rows: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Touched {
    key: String,
    generation: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Folder {
    changed_ns: i64,
}

/// The log as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) rows: Rows,
    /// Lines of the rows that are in the registry, too: who asks for one session never looks at them.
    page: Vec<u8>,
    /// Sessions whose rows say nothing now.
    pub(crate) touched: BTreeSet<(SessionKey, u64)>,
    /// Sessions of which there are rows behind that page.
    logged: BTreeSet<(SessionKey, u64)>,
    proof: Option<Proof>,
    folder_ns: Option<i64>,
    /// Some line is none.
    broken: bool,
    /// Half a line at the end: its writer is slow, or was killed. Nothing is proven as long as it is not whole.
    unfinished_bytes: usize,
    identity: (u64, u64),
    read_bytes: u64,
}

/// A line to append.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    Row(&'a Row),
    Touched(&'a SessionKey, u64),
    Folder(i64),
    Proof(&'a Proof),
}

/// Nanoseconds as a line has them.
pub(crate) fn ns(time: i128) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn identity_of(registry: &Stat) -> (u64, u64, u64, i64) {
    let (device, inode) = registry.identity;
    (device, inode, registry.length_bytes, ns(registry.changed_ns))
}

impl Proof {
    /// Makes the proof of a registry that was saved just now; `None` where nobody knows since when the machine runs.
    pub(crate) fn new(fs: &dyn Fs, registry: &Stat, newest_since: Timestamp, saved_rows: usize) -> Option<Self> {
        Some(Self { boot: fs.boot()?, registry: identity_of(registry), newest_since, saved_rows })
    }
}

impl Line<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, body) = match self {
            Self::Row(row) => return row.encode(out, 0),
            Self::Touched(key, generation) => {
                let touched = Touched { key: key.as_str().to_owned(), generation: *generation };
                (KIND_TOUCHED, serde_json::to_string(&touched))
            }
            Self::Folder(changed_ns) => (KIND_FOLDER, serde_json::to_string(&Folder { changed_ns: *changed_ns })),
            Self::Proof(proof) => (KIND_PROOF, serde_json::to_string(proof)),
        };
        let body = body.unwrap_or_default();
        let content = Content { ts: epoch(), kind, id_json: None, body: body.as_bytes() };
        frame::encode(out, Crc::ZERO, Place { seq: 0, durable: 0, prev: Crc::ZERO }, &content);
    }
}

/// Encodes lines, as one write.
pub(crate) fn encode<'a>(lines: impl IntoIterator<Item = Line<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    lines.into_iter().for_each(|line| line.encode(&mut out));
    out
}

/// Appends lines to the log that has the name; `false` if there is none.
pub(crate) fn append(fs: &dyn Fs, path: &Path, lines: &[u8]) -> io::Result<bool> {
    let absent = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(false) } else { Err(error) };
    loop {
        let file = match fs.open(path, OpenMode::Append) {
            Ok(file) => file,
            Err(error) => return absent(error),
        };
        if file.write_at(lines, 0)? < lines.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // Whoever replaces the log takes over what stands in the old one once the new one has the name. If it has not got it
        // yet, that includes these lines; else they are written again.
        match fs.stat(path) {
            Ok(named) if named.identity == file.stat()?.identity => return Ok(true),
            Ok(_) => {}
            Err(error) => return absent(error),
        }
    }
}

/// Reads the whole lines of a log from an offset on, and says how much of one stands behind them. If that is not `unfinished_bytes`
/// as before, somebody is writing it, and is waited for.
pub(crate) fn read_lines(file: &dyn FsFile, from: u64, unfinished_bytes: usize) -> io::Result<(Vec<u8>, usize)> {
    let read = || {
        let length_bytes = file.stat()?.length_bytes;
        if length_bytes > CHANGES_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut lines = read_from(file, from, usize::try_from(length_bytes.saturating_sub(from)).unwrap_or(0))?;
        let whole_bytes = memchr::memrchr(b'\n', &lines).map_or(0, |at| at.saturating_add(1));
        let unfinished_bytes = lines.len().saturating_sub(whole_bytes);
        lines.truncate(whole_bytes);
        Ok((lines, unfinished_bytes))
    };
    let (lines, unfinished) = read()?;
    if unfinished == 0 || unfinished == unfinished_bytes {
        return Ok((lines, unfinished));
    }
    file.settle();
    read()
}

/// Returns how many rows a new log begins with, once it has its proof.
fn saved_rows(log: &[u8]) -> usize {
    let proof = log.split(|byte| *byte == b'\n').find_map(|line| {
        let head = frame::decode_head(line).ok().filter(|head| head.kind == KIND_PROOF)?;
        serde_json::from_slice::<Proof>(head.body(line)).ok()
    });
    proof.map_or(0, |proof| proof.saved_rows)
}

impl Changes {
    /// Reads the log; `None` if there is none or it can not be read: nobody believes it then.
    pub(crate) fn load(fs: &dyn Fs, path: &Path) -> Option<Self> {
        let file = fs.open(path, OpenMode::Read).ok()?;
        let identity = file.stat().ok()?.identity;
        let mut changes = Self { identity, ..Self::default() };
        changes.read_on(&*file).ok()?;
        Some(changes)
    }

    /// Reads what is new in the log; `false` if there is another one by now, or none.
    pub(crate) fn refresh(&mut self, fs: &dyn Fs, path: &Path) -> bool {
        match fs.stat(path) {
            Ok(stat) if stat.identity != self.identity || stat.length_bytes < self.read_bytes => false,
            Ok(stat) if stat.length_bytes == self.read_bytes => true,
            Ok(_) => fs.open(path, OpenMode::Read).and_then(|file| self.read_on(&*file)).is_ok(),
            Err(_) => false,
        }
    }

    fn read_on(&mut self, file: &dyn FsFile) -> io::Result<()> {
        let new;
        (new, self.unfinished_bytes) = read_lines(file, self.read_bytes, self.unfinished_bytes)?;
        let mut page_rows = if self.read_bytes == 0 { saved_rows(&new) } else { 0 };
        for line in new.split_inclusive(|byte| *byte == b'\n') {
            let taken = line.strip_suffix(b"\n").and_then(|text| {
                if page_rows == 0 {
                    return self.take(text);
                }
                page_rows = page_rows.saturating_sub(1);
                self.page.extend_from_slice(line);
                frame::check(text, Crc::ZERO).ok().map(drop)
            });
            self.broken |= taken.is_none();
        }
        self.read_bytes = self.read_bytes.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Returns the rows of the log's first page, once.
    pub(crate) fn take_page(&mut self) -> Vec<Row> {
        let page = std::mem::take(&mut self.page);
        page.split(|byte| *byte == b'\n').filter_map(|line| Some(Row::decode(line)?.1)).collect()
    }

    fn take(&mut self, line: &[u8]) -> Option<()> {
        if let Some((_, row)) = Row::decode(line) {
            let session = (SessionKey::new(&row.key).ok()?, row.generation);
            self.touched.remove(&session);
            self.logged.insert(session);
            // A row that somebody logged of a session that he let go of meanwhile is not the later one.
            self.rows.put_later(row);
            return Some(());
        }
        let (head, _) = frame::decode(line, Crc::ZERO).ok()?;
        let body = head.body(line);
        match head.kind {
            KIND_TOUCHED => {
                let Touched { key, generation } = serde_json::from_slice(body).ok()?;
                self.touched.insert((SessionKey::new(key).ok()?, generation));
            }
            KIND_FOLDER => self.folder_ns = Some(serde_json::from_slice::<Folder>(body).ok()?.changed_ns),
            KIND_PROOF => self.proof = Some(serde_json::from_slice(body).ok()?),
            // Of a later version: who knows what it means.
            _ => return None,
        }
        Some(())
    }

    /// Returns the proof if it holds now: the same start of the machine, the same registry, nothing new in the folder but what
    /// was told here.
    pub(crate) fn holds(&self, fs: &dyn Fs, registry: &Path, transcripts: &Path) -> Option<&Proof> {
        let proof = self.proof.as_ref().filter(|_| !self.broken && self.unfinished_bytes == 0)?;
        let is_same = fs.boot().as_ref() == Some(&proof.boot)
            && fs.stat(registry).is_ok_and(|stat| identity_of(&stat) == proof.registry)
            && fs.stat(transcripts).is_ok_and(|stat| Some(ns(stat.changed_ns)) == self.folder_ns);
        is_same.then_some(proof)
    }

    /// Says whether some line is none, or was never finished.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken || self.unfinished_bytes > 0
    }

    /// Device and inode of the log's file.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    pub(crate) fn folder_ns(&self) -> Option<i64> {
        self.folder_ns
    }

    /// Returns the sessions of which the log may know more than the registry.
    pub(crate) fn news(&self) -> impl Iterator<Item = &(SessionKey, u64)> {
        self.logged.iter().chain(&self.touched)
    }
}
