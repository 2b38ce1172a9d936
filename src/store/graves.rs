//! What tells a deleted session from a lost one.
//!
//! A row whose transcript is gone is the witness of a loss. A session that somebody deleted leaves such rows, too: in the memory
//! of other processes, in a registry from before. So each deletion is a mark in the session `~trash`, durable before the file
//! goes, with the header id of what went; and where a full disk kept it from being written, the file in `trash/` says the same.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::frame::Crc;
use crate::fs::IoContext as _;
use crate::header::Header;
use crate::key::{SessionKey, TrashName};
use crate::layout::Layout;
use crate::mark::Mark;
use crate::registry::Row;
use crate::store::folder;
use crate::store::inner::Inner;
use crate::sync::{Mutex, PoisonError};
use crate::timestamp::Timestamp;
use crate::transcript::first_line::HeaderState;
use crate::transcript::reader::{Item, Records};

/// Where deletions are noted.
const TRASH_KEY: &str = "~trash";

/// The deletions that this process has read so far.
#[derive(Debug, Default)]
pub(crate) struct Graves(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How far `~trash` was read.
    generation: u64,
    last: Option<(u64, Crc)>,
    /// What was deleted and did not come back.
    dead: BTreeMap<(String, u64), Vec<Dead>>,
}

/// One deletion.
#[derive(Debug)]
struct Dead {
    id: Option<String>,
    created: Option<Timestamp>,
    last_seq: u64,
    deleted: Timestamp,
}

pub(crate) fn trash_key() -> SessionKey {
    SessionKey::new(TRASH_KEY).unwrap_or_else(|_| unreachable!("it is a key"))
}

impl Dead {
    /// Says whether a row whose transcript is gone speaks of this session as it was deleted. A repair may have given it another
    /// id since the row was folded; one that was written to after all, since the mark was left behind by a crash, is lost.
    fn excuses(&self, row: &Row) -> bool {
        let is_it = match (&self.id, self.created) {
            (None, None) => row.created <= self.deleted,
            (id, created) => id.as_ref() == Some(&row.id) || created == Some(row.created),
        };
        is_it && row.durable_seq <= self.last_seq
    }
}

impl Graves {
    /// Says whether it is noted that the session with this header id was deleted.
    pub(crate) fn have_noted(&self, inner: &Inner, key: &str, generation: u64, id: &str) -> Result<bool, Error> {
        self.any(inner, key, generation, |dead| dead.id.as_deref() == Some(id))
    }

    /// Says whether the session of a row whose transcript is gone was deleted. Reads what `~trash` has new.
    pub(crate) fn hold(&self, inner: &Inner, row: &Row) -> Result<bool, Error> {
        let noted = self.any(inner, &row.key, row.generation, |dead| dead.excuses(row))?;
        Ok(noted || is_in_trash(&inner.layout, row)?)
    }

    fn any(&self, inner: &Inner, key: &str, generation: u64, is_it: impl Fn(&Dead) -> bool) -> Result<bool, Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.read_on(inner)?;
        Ok(known.dead.get(&(key.to_owned(), generation)).is_some_and(|dead| dead.iter().any(is_it)))
    }
}

impl Known {
    fn read_on(&mut self, inner: &Inner) -> Result<(), Error> {
        let key = trash_key();
        let mut generation = self.generation.max(1);
        while folder::exists(&inner.layout, &key, generation.saturating_add(1))? {
            generation = generation.saturating_add(1);
        }
        if generation != self.generation {
            (self.generation, self.last) = (generation, None);
        }
        let mut from = self.last.map_or(1, |(seq, _)| seq);
        loop {
            let reader = match inner.reader(&key, generation) {
                Ok(reader) => reader,
                // Nothing was deleted yet.
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.read(reader.forward(from)?)? {
                return Ok(());
            }
            // What was read last was taken back, and another record stands there.
            *self = Self { generation, ..Self::default() };
            from = 1;
        }
    }

    /// Reads marks; `false` when the first is not the one that was read last.
    fn read(&mut self, marks: Records) -> Result<bool, Error> {
        let mut expected = self.last;
        for item in marks {
            let Item::Record(record) = item? else {
                // What is lost may have been a session's return: nothing from before is excused any more.
                self.dead.clear();
                continue;
            };
            let place = (record.seq(), record.crc());
            if let Some(last) = expected.take() {
                if last != place {
                    return Ok(false);
                }
                continue;
            }
            self.last = Some(place);
            match record.as_mark() {
                Some(Mark::Deleted { key, generation, id, created, last_seq, .. }) => {
                    let dead = Dead { id, created, last_seq, deleted: record.ts() };
                    self.dead.entry((key, generation)).or_default().push(dead);
                }
                Some(Mark::Restored { key, generation, id }) => {
                    if let Some(dead) = self.dead.get_mut(&(key, generation)) {
                        dead.retain(|dead| dead.id != id);
                    }
                }
                _ => {}
            }
        }
        Ok(expected.is_none())
    }
}

/// Lists what is in `trash/`, sorted by name. A store from before it had one has nothing there.
pub(crate) fn list(layout: &Layout) -> Result<Vec<TrashName>, Error> {
    let trash = layout.trash();
    let mut names = Vec::new();
    match layout.fs.read_dir(&trash, &mut |name| names.extend(TrashName::parse(name))) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("list folder", &trash)?,
        _ => {}
    }
    names.sort();
    Ok(names)
}

fn is_in_trash(layout: &Layout, row: &Row) -> Result<bool, Error> {
    let stem = SessionKey::new(&row.key)?.file_stem();
    for name in list(layout)? {
        if (&name.transcript.stem, name.transcript.generation) != (&stem, row.generation) {
            continue;
        }
        // One that can not be read, or that was taken back meanwhile, says nothing.
        let header = header(layout, &layout.trash().join(name.to_string())).ok().flatten();
        if header.is_some_and(|header| header.body.id == row.id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the header of a transcript, wherever it is; `None` if it is bad or of another format.
pub(crate) fn header(layout: &Layout, path: &std::path::Path) -> Result<Option<Header>, Error> {
    match HeaderState::open(&*layout.fs, path)? {
        HeaderState::Sound { header, .. } => Ok(Some(header)),
        HeaderState::Format(_) | HeaderState::Bad { .. } => Ok(None),
    }
}
