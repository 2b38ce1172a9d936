//! What an import asks of a system: which files are its own, whose session they are, and what their lines say.

use std::borrow::Cow;
use std::path::Path;

use crate::import::finding::FindingKind;
use crate::import::inside::Inside;
use crate::import::json::Object;
use crate::import::lines::SourceFile;
use crate::import::salvage::{Kept, Newline, keep};
use crate::timestamp::Timestamp;

/// How much of a file is looked at to tell whose it is, if it holds a line; and how much at most.
const FIRST_BYTES: usize = 64 << 10;
const FIRST_BYTES_MAX: usize = 64 << 20;
/// So many objects tell whose it is, or none does; every system asks for them.
const OBJECTS_MAX: usize = 12;
/// What tells a kind of file that has no lines.
const BEGINNING_BYTES: usize = 64;

/// The beginning of a file, to tell whose it is.
#[derive(Debug)]
pub(crate) struct Peek<'a> {
    /// Where it is.
    pub(crate) path: &'a Path,
    /// Whole lines.
    first: Vec<u8>,
    beginning: Vec<u8>,
}

impl<'a> Peek<'a> {
    pub(crate) fn of(path: &'a Path, file: &SourceFile) -> Result<Self, crate::fs::PathError> {
        let mut first = file.first(FIRST_BYTES)?;
        let beginning = first.get(..BEGINNING_BYTES).unwrap_or(&first).to_vec();
        let is_whole = |first: &[u8]| u64::try_from(first.len()) == Ok(file.length_bytes());
        // Cut off in the middle, a line says nothing.
        while !is_whole(&first) {
            if let Some(end) = memchr::memrchr(b'\n', &first) {
                first.truncate(end);
                break;
            }
            if first.len() >= FIRST_BYTES_MAX || !begins_as_record(&beginning) {
                first.clear();
                break;
            }
            first = file.first(first.len().saturating_mul(16))?;
        }
        Ok(Self { path, first, beginning })
    }

    /// Returns the file's name; what is not UTF-8 in it is replaced.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }

    /// Returns the name without its last extension.
    pub(crate) fn stem(&self) -> Cow<'a, str> {
        self.path.file_stem().unwrap_or_default().to_string_lossy()
    }

    /// Returns what is found first in one of the objects of the first lines, those among them that can be read of damaged ones.
    pub(crate) fn find_map<T>(&self, find: impl FnMut(&Object<'_>) -> Option<T>) -> Option<T> {
        self.find_in(true, find)
    }

    /// Returns the name of the session that one of the objects says, else the one in the file's name: damage makes names of
    /// nothing, so what is read of a damaged line comes last, and control characters are in no name.
    pub(crate) fn key(&self, own: impl Fn(&Object<'_>) -> Option<String>, named: Option<String>) -> Option<String> {
        let own = |object: &Object<'_>| own(object).filter(|key| !key.is_empty() && !key.contains(char::is_control));
        self.find_in(false, own).or(named).or_else(|| self.find_in(true, own))
    }

    fn find_in<T>(&self, damaged_too: bool, mut find: impl FnMut(&Object<'_>) -> Option<T>) -> Option<T> {
        let mut objects = 0_usize;
        for line in self.first.split_inclusive(|byte| *byte == b'\n') {
            let sound = std::str::from_utf8(line).ok().and_then(Object::parse);
            let found = match &sound {
                Some(object) => find(object),
                None if !damaged_too => None,
                None => match keep(line, Newline::Lf, &|_| false) {
                    Kept::Body(_) => None,
                    Kept::Raw(_, records) => records.iter().find_map(|record| find(&Object::parse(record.body())?)),
                },
            };
            objects = objects.saturating_add(usize::from(sound.is_some()));
            if found.is_some() || objects == OBJECTS_MAX {
                return found;
            }
        }
        None
    }

    /// Says whether it is a database of `SQLite`.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.beginning.starts_with(b"SQLite format 3\0")
    }

    /// Says whether the file may be what is left of one that held records: it is empty, or something in it begins like one.
    pub(crate) fn may_be_damaged(&self) -> bool {
        let looked = if self.first.is_empty() { &self.beginning } else { &self.first };
        looked.iter().all(|byte| *byte <= b' ') || memchr::memmem::find(looked, b"{\"").is_some()
    }

    /// Says whether all that was looked at is the beginning of one line, which may be a record.
    pub(crate) fn is_one_long_line(&self) -> bool {
        self.first.is_empty() && begins_as_record(&self.beginning)
    }

    /// Says whether one of the first lines is an object, undamaged.
    pub(crate) fn has_sound_object(&self) -> bool {
        let is_object = |line: &[u8]| std::str::from_utf8(line).is_ok_and(|line| Object::parse(line).is_some());
        self.first.split_inclusive(|byte| *byte == b'\n').any(is_object)
    }

    pub(crate) fn any(&self, mut is_one: impl FnMut(&Object<'_>) -> bool) -> bool {
        self.find_map(|object| is_one(object).then_some(())).is_some()
    }
}

fn begins_as_record(beginning: &[u8]) -> bool {
    let beginning = beginning.strip_prefix("\u{feff}".as_bytes()).unwrap_or(beginning);
    beginning.trim_ascii_start().starts_with(b"{")
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A session of the system.
    Session,
    /// A file of the system that is no session, and is looked at with those that it is about.
    Companion,
    /// Nothing says that it is of the system.
    Unknown,
}

/// What a system's files are like.
pub(crate) trait Shape: Send + Sync {
    /// Says whether a file of this name in a folder may be one of the system's.
    fn wants(&self, name: &str) -> bool {
        Path::new(name).extension().is_some_and(|extension| extension == "jsonl")
    }

    /// Tells whose file it is.
    fn judge(&self, peek: &Peek<'_>) -> Verdict;

    /// Tells the same of a file that is said to be the system's.
    fn accept(&self, peek: &Peek<'_>) -> Verdict {
        self.judge(peek)
    }

    /// Returns the key of the file's session: a prefix that stands before it by default, and the system's own name for it. A file
    /// whose beginning is damaged has its name for it.
    fn key(&self, peek: &Peek<'_>) -> (&'static str, String);

    /// Says whether an object has the fields of a record of the system: found inside the remains of another record, it was fused
    /// with that and is not a part of it.
    fn is_entry(&self, object: &Object<'_>) -> bool;

    /// Says whether the system rewrites this line of a file as it goes on.
    fn rewrites(&self, _line: u64, _object: Option<&Object<'_>>) -> bool {
        false
    }

    /// Says what is known of a file's session beside the file; `name` is the system's own name for it.
    fn facts(&self, _path: &Path, _name: &str) -> Vec<Change> {
        Vec::new()
    }

    /// Returns the sessions that a companion holds by itself.
    fn inside(&self, _path: &Path) -> Result<Vec<Inside>, FindingKind> {
        Ok(Vec::new())
    }

    /// Begins to read a file's entries.
    fn fold(&self, path: &Path) -> Box<dyn Fold>;
}

/// Reads the entries of one file, first to last.
pub(crate) trait Fold {
    /// Says what an entry is. Entries are counted from 0; damaged lines of which nothing can be read are none.
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning;

    /// Says what holds for the session as the file ends.
    fn end(&mut self) -> Vec<Change> {
        Vec::new()
    }
}

/// A record of the source.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// Its number among the entries, from 0.
    pub(crate) index: usize,
    /// It, if it is an object.
    pub(crate) object: Option<Object<'a>>,
}

/// What an entry is.
#[derive(Debug, Default)]
pub(crate) struct Meaning {
    /// Its own time.
    pub(crate) time: Option<Timestamp>,
    /// Whether a user or a model sees it as a part of the conversation.
    pub(crate) is_shown: bool,
    /// Where it goes on, if not behind the entry before it.
    pub(crate) behind: Option<Place>,
    /// What it changes.
    pub(crate) changes: Vec<Change>,
}

impl Meaning {
    pub(crate) fn new(time: Option<Timestamp>, is_shown: bool) -> Self {
        Self { time, is_shown, behind: None, changes: Vec::new() }
    }

    pub(crate) fn behind(mut self, behind: Option<Place>) -> Self {
        self.behind = behind;
        self
    }

    pub(crate) fn change(mut self, change: Option<Change>) -> Self {
        self.changes.extend(change);
        self
    }
}

/// A place in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before everything.
    Start,
    /// An entry, with what it changes.
    Entry(usize),
}

/// What a mark of the store will say.
#[allow(dead_code, reason = "no system that is read so far has labels or is resumed")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The title; none if empty.
    Title(String),
    /// The labels, instead of those before.
    Labels(Vec<String>),
    /// Not to be resumed.
    Suspended(String),
    /// Not suspended any more.
    Released,
    /// To be resumed.
    ResumePending(String),
    /// Not to be resumed any more.
    ResumeCleared,
    /// What stands before an entry is summed up.
    Compacted {
        /// JSON text.
        summary: String,
        /// The first entry that is kept.
        keep_from: Keep,
    },
    /// The view goes on behind a place.
    Rewound(Place),
    /// What a file beside the source knows of the session, by a name: JSON text, kept as a record.
    Registry(&'static str, String),
}

/// Where a summary ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// This entry is the first that is kept.
    From(usize),
    /// All that is there yet is summed up.
    Nothing,
}
