//! Looking into the quarantine, taking an original back that a repair replaced, dropping what nobody wants any more.
//!
//! What is there was written by a recovery (torn bytes, which were never promised), by a repair (the whole original), by a restore
//! from here (what a repair had put in the original's place), or by a doctor (a session that was never born).

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, NotRestorable};
use crate::format::to_u64;
use crate::fs::{FileKind, FsFile, IoContext as _, OpenMode, PathError};
use crate::index;
use crate::key::TranscriptName;
use crate::mark::Mark;
use crate::record::Record;
use crate::store::Store;
use crate::store::graves;
use crate::timestamp::Timestamp;
use crate::transcript::reader::{Item, Reader};
use crate::transcript::source::Source;

/// What a file in the quarantine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuarantineKind {
    /// Bytes that were cut from a transcript's end.
    Torn,
    /// A transcript as it was before a repair.
    Original,
    /// A repaired transcript in whose place the original came back.
    Repaired,
    /// A session whose birth was cut off; nothing of it was acknowledged.
    Unborn,
    /// Nothing of ours.
    Unknown,
}

impl QuarantineKind {
    /// Returns the name that lists and JSON output use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Original => "original",
            Self::Repaired => "repaired",
            Self::Unborn => "unborn",
            Self::Unknown => "unknown",
        }
    }
}

/// A file in the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// Its name there.
    pub name: String,
    /// What it is.
    pub kind: QuarantineKind,
    /// The session's key; `None` where no header tells it any more.
    pub key: Option<String>,
    /// Its generation.
    pub generation: Option<u64>,
    /// Where in the transcript torn bytes stood.
    pub offset: Option<u64>,
    /// Its size.
    pub bytes: u64,
    /// Since when it is there, by the file system; a copy of the store is as old as the copy.
    pub since: Timestamp,
}

/// The parts of a name: `<slug>~<hash>.<generation>.<what>[.<number>]`.
struct Name {
    kind: QuarantineKind,
    transcript: TranscriptName,
    offset: Option<u64>,
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        let hash = name.rfind('~')?.checked_add(33)?;
        let stem = name.get(..hash)?;
        let mut parts = name.get(hash..)?.strip_prefix('.')?.split('.');
        let generation = parts.next()?;
        let transcript = TranscriptName::parse(&format!("{stem}.{generation}.jsonl"))?;
        let (mut what, mut offset) = (parts.next()?, None);
        let kind = match what {
            "damaged" => QuarantineKind::Original,
            "repaired" => QuarantineKind::Repaired,
            place => {
                what = parts.next()?;
                offset = place.parse().ok().filter(|_| what == "torn");
                match what {
                    "torn" if offset.is_some() => QuarantineKind::Torn,
                    "unborn" => QuarantineKind::Unborn,
                    _ => return None,
                }
            }
        };
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        (parts.next().is_none_or(is_number) && parts.next().is_none()).then_some(Self { kind, transcript, offset })
    }
}

/// Bytes of a file in the quarantine, from its beginning on.
#[derive(Debug)]
pub struct QuarantineReader {
    file: Arc<dyn FsFile>,
    offset: u64,
}

impl std::io::Read for QuarantineReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset = self.offset.saturating_add(to_u64(count));
        Ok(count)
    }
}

impl Store {
    /// Lists the quarantine, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it can not be listed.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, Error> {
        let layout = &self.inner().layout;
        let folder = layout.quarantine();
        match layout.check_folder(&folder) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            checked => checked?,
        }
        let mut names = Vec::new();
        match layout.fs.read_dir(&folder, &mut |name| names.push(name.to_owned())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("list folder", &folder)?,
            _ => {}
        }
        names.sort();
        // What is being written has a temp file's name; what is no file is not ours.
        names.retain(|name| !name.starts_with('.'));
        let mut found = Vec::new();
        for name in names {
            match self.quarantined_as(&name) {
                Ok(kept) => found.push(kept),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn quarantined_as(&self, name: &str) -> Result<Quarantined, Error> {
        let layout = &self.inner().layout;
        let not_there = || Error::NotInQuarantine { name: name.to_owned() };
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(not_there());
        }
        let path = layout.quarantine().join(name);
        let stat = match layout.fs.stat(&path) {
            Ok(stat) if stat.kind == FileKind::Regular => stat,
            Ok(_) => return Err(not_there()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(not_there()),
            Err(error) => return Err(error).context("stat", &path)?,
        };
        let since = Timestamp::from_unix_ms(i64::try_from(stat.changed_ns / 1_000_000).unwrap_or(0));
        let parsed = Name::parse(name);
        let key = parsed.as_ref().and_then(|name| {
            let in_place = || index::key_of(layout, &name.transcript).ok().map(|key| key.to_string());
            let own = || graves::header(layout, &path).ok().flatten().map(|header| header.body.key);
            in_place().or_else(own)
        });
        Ok(Quarantined {
            name: name.to_owned(),
            kind: parsed.as_ref().map_or(QuarantineKind::Unknown, |name| name.kind),
            key,
            generation: parsed.as_ref().map(|name| name.transcript.generation),
            offset: parsed.and_then(|name| name.offset),
            bytes: stat.length_bytes,
            since,
        })
    }

    /// Opens a file of the quarantine to be read.
    ///
    /// # Errors
    ///
    /// [`Error::NotInQuarantine`], [`Error::Io`].
    pub fn read_quarantined(&self, name: &str) -> Result<QuarantineReader, Error> {
        self.quarantined_as(name)?;
        let path = self.inner().layout.quarantine().join(name);
        let file = self.inner().layout.fs.open(&path, OpenMode::Read).context("open", &path)?;
        Ok(QuarantineReader { file: file.into(), offset: 0 })
    }

    /// Puts an original back in the place from where a repair took it. The repaired transcript goes to the quarantine; its name there
    /// is returned. Costs one read of both.
    ///
    /// # Errors
    ///
    /// [`Error::NotInQuarantine`], [`Error::NotRestorable`] when anything would get lost by that, [`Error::Busy`]: nothing was done.
    /// After [`Error::Io`] the one or the other is the session's transcript, and no byte is gone.
    pub fn restore_quarantined(&self, name: &str) -> Result<String, Error> {
        let inner = self.inner();
        inner.check_writable()?;
        let layout = &inner.layout;
        self.quarantined_as(name)?;
        let refused = |reason| Error::NotRestorable { name: name.to_owned(), reason };
        let transcript = match Name::parse(name) {
            Some(Name { kind: QuarantineKind::Original, transcript, .. }) => transcript,
            Some(Name { kind: QuarantineKind::Torn, .. }) => return Err(refused(NotRestorable::Torn)),
            _ => return Err(refused(NotRestorable::NoOriginal)),
        };
        let (from, to) = (layout.quarantine().join(name), layout.transcripts().join(transcript.to_string()));
        let key = match index::key_of(layout, &transcript) {
            Ok(key) => key,
            Err(error) if error.is_gone() => return Err(refused(NotRestorable::NoTranscript)),
            Err(Error::HeaderDamaged { .. }) => return Err(refused(NotRestorable::DamagedAgain)),
            Err(error) => return Err(error),
        };
        inner.slot(&key).release_if_idle(inner)?;
        let mut lock = inner.lock_briefly(&key, inner.options.lock_wait)?;
        self.check_covers(&from, &to).map_err(|refusal| refusal.map_or_else(Error::from, refused))?;
        let current = layout.fs.open(&to, OpenMode::Read).context("open", &to)?;
        let original = layout.fs.open(&from, OpenMode::Read).context("open", &from)?;
        current.sync_all().context("fsync", &to)?;
        original.sync_all().context("fsync", &from)?;
        inner.touch(&key, transcript.generation);
        lock.doubt();
        let kept = self.set_repaired_aside(&transcript, &to)?;
        layout.fs.rename(&from, &to).context("rename an original to", &to)?;
        let transcripts = layout.transcripts();
        layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts)?;
        layout.fs.sync_dir(&layout.quarantine()).context("fsync folder", &layout.quarantine())?;
        lock.trust();
        // Nothing that is known of the other file holds of this one.
        inner.forget_row(&key, transcript.generation, None);
        inner.folder.forget();
        Ok(kept)
    }

    /// Gives the repaired transcript a second name before it loses its own.
    fn set_repaired_aside(&self, transcript: &TranscriptName, path: &std::path::Path) -> Result<String, PathError> {
        let layout = &self.inner().layout;
        let folder = layout.quarantine();
        let mut number = 1_u64;
        loop {
            let tail = if number == 1 { String::new() } else { format!(".{number}") };
            let name = format!("{}.{}.repaired{tail}", transcript.stem, transcript.generation);
            match layout.fs.hard_link(path, &folder.join(&name)) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number = number.saturating_add(1),
                linked => {
                    linked.context("link a transcript to", &folder.join(&name))?;
                    layout.fs.sync_dir(&folder).context("fsync folder", &folder)?;
                    return Ok(name);
                }
            }
        }
    }

    /// Says whether every record of the transcript in place is in the original, too, as it stands there; the gaps that a repair has
    /// marked are in neither.
    fn check_covers(&self, original: &PathBuf, current: &PathBuf) -> Result<(), Result<NotRestorable, PathError>> {
        let items = |path: &PathBuf| -> Result<_, Error> {
            let file = self.inner().layout.fs.open(path, OpenMode::Read).context("open", path)?;
            Reader::new(Source::open(file.into(), path)?, None, None)?.forward(0)
        };
        let io = |error: Error| match error {
            Error::Io(error) => Err(error),
            _ => Ok(NotRestorable::DamagedAgain),
        };
        let hasher = RandomState::new();
        let hash = |record: &Record| hasher.hash_one((record.ts(), record.kind(), record.id(), record.body()));
        let mut known = BTreeMap::new();
        for item in items(original).map_err(io)? {
            if let Item::Record(record) = item.map_err(io)? {
                known.insert(record.seq(), hash(&record));
            }
        }
        for item in items(current).map_err(io)? {
            match item.map_err(io)? {
                Item::Record(record) if matches!(record.as_mark(), Some(Mark::Gap { .. })) => {}
                Item::Record(record) if known.get(&record.seq()) == Some(&hash(&record)) => {}
                Item::Record(record) => return Err(Ok(NotRestorable::WentOn { seq: record.seq() })),
                Item::Gap(_) => return Err(Ok(NotRestorable::DamagedAgain)),
            }
        }
        Ok(())
    }

    /// Removes a file from the quarantine for good. With `dry_run` only says what it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotInQuarantine`]; [`Error::Busy`] while a repair that needs it is under way; [`Error::Io`].
    pub fn drop_quarantined(&self, name: &str, dry_run: bool) -> Result<Quarantined, Error> {
        let inner = self.inner();
        let layout = &inner.layout;
        let kept = self.quarantined_as(name)?;
        if dry_run {
            return Ok(kept);
        }
        inner.check_writable()?;
        let path = layout.quarantine().join(name);
        let transcript = Name::parse(name).map(|name| name.transcript);
        let same_file = |transcript: &TranscriptName| {
            let other = layout.fs.stat(&layout.transcripts().join(transcript.to_string())).ok();
            other.zip(layout.fs.stat(&path).ok()).is_some_and(|(one, other)| one.identity == other.identity)
        };
        // It still is the transcript: a repair is about to replace that, or was killed.
        let _lock = match transcript.filter(same_file).map(|transcript| index::key_of(layout, &transcript)) {
            Some(Ok(key)) => Some(inner.lock_briefly(&key, inner.options.lock_wait)?),
            _ => None,
        };
        layout.fs.remove(&path).context("remove", &path)?;
        layout.fs.sync_dir(&layout.quarantine()).context("fsync folder", &layout.quarantine())?;
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_kept() {
        let stem = crate::key::SessionKey::new("a.b:1").unwrap().file_stem();
        for (tail, kind) in [
            ("1.damaged", QuarantineKind::Original),
            ("12.damaged.2", QuarantineKind::Original),
            ("1.482.torn", QuarantineKind::Torn),
            ("1.482.torn.3", QuarantineKind::Torn),
            ("1.repaired", QuarantineKind::Repaired),
            ("1.00ff00ff00ff00ff.unborn", QuarantineKind::Unborn),
        ] {
            let name = Name::parse(&format!("{stem}.{tail}")).unwrap();
            assert_eq!((name.kind, name.transcript.stem.as_str()), (kind, stem.as_str()), "{tail}");
        }
        for bad in ["1.torn", "1", "0.damaged", "1.x.torn", "1.damaged.x", "1.damaged.2.3", "1.4.gone"] {
            assert!(Name::parse(&format!("{stem}.{bad}")).is_none(), "{bad}");
        }
        assert!(Name::parse("notes.txt").is_none());
    }
}
