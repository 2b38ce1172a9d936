//! What tells a deleted session from a lost one.
//!
//! A row whose transcript is gone is the witness of a loss. A session that somebody deleted leaves such rows, too: in the memory
//! of other processes, in a registry from before. So each deletion is a mark in the session `~trash`, durable before the file
//! goes, with the header id of what went; and where a full disk kept it from being written, the file in `trash/` says the same.

use std::collections::BTreeMap;

use crate::error::Error;
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
use crate::transcript::reader::Item;

/// Where deletions are noted.
const TRASH_KEY: &str = "~trash";

/// The deletions that this process has read so far.
#[derive(Debug, Default)]
pub(crate) struct Graves(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How far `~trash` was read.
    generation: u64,
    last_seq: u64,
    /// The header ids of what was deleted and did not come back, and when; `None` stands for one that could not be read.
    dead: BTreeMap<(String, u64), BTreeMap<Option<String>, Timestamp>>,
}

pub(crate) fn trash_key() -> SessionKey {
    SessionKey::new(TRASH_KEY).unwrap_or_else(|_| unreachable!("it is a key"))
}

impl Graves {
    /// Says whether it is noted that a session was deleted.
    pub(crate) fn are_noted(
        &self,
        inner: &Inner,
        key: &str,
        generation: u64,
        header: (&str, Timestamp),
    ) -> Result<bool, Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.read_on(inner)?;
        let dead = known.dead.get(&(key.to_owned(), generation));
        let (id, created) = header;
        // What was deleted without an id was there before: a session that was begun later is not excused by it.
        let is_older = |dead: &BTreeMap<_, _>| dead.get(&None).is_some_and(|deleted| created <= *deleted);
        Ok(dead.is_some_and(|dead| dead.contains_key(&Some(id.to_owned())) || is_older(dead)))
    }

    /// Says whether the session of a row whose transcript is gone was deleted. Reads what `~trash` has new.
    pub(crate) fn hold(&self, inner: &Inner, row: &Row) -> Result<bool, Error> {
        Ok(self.are_noted(inner, &row.key, row.generation, (&row.id, row.created))? || is_in_trash(&inner.layout, row)?)
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
            (self.generation, self.last_seq) = (generation, 0);
        }
        let reader = match inner.reader(&key, generation) {
            Ok(reader) => reader,
            // Nothing was deleted yet.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        for item in reader.forward(self.last_seq.saturating_add(1))? {
            let Item::Record(record) = item? else { continue };
            match record.as_mark() {
                Some(Mark::Deleted { key, generation, id, .. }) => {
                    self.dead.entry((key, generation)).or_default().insert(id, record.ts());
                }
                Some(Mark::Restored { key, generation, id }) => {
                    if let Some(ids) = self.dead.get_mut(&(key, generation)) {
                        ids.remove(&id);
                    }
                }
                _ => {}
            }
            self.last_seq = record.seq();
        }
        Ok(())
    }
}

/// Lists what is in `trash/`, sorted by name. A store from before it had one has nothing there.
pub(crate) fn list(layout: &Layout) -> Result<Vec<TrashName>, Error> {
    let trash = layout.trash();
    let names = match layout.fs.read_dir(&trash) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("list folder", &trash)?,
    };
    let mut found: Vec<_> = names.iter().filter_map(|name| TrashName::parse(name)).collect();
    found.sort();
    Ok(found)
}

fn is_in_trash(layout: &Layout, row: &Row) -> Result<bool, Error> {
    let stem = SessionKey::new(&row.key)?.file_stem();
    for name in list(layout)? {
        if (&name.transcript.stem, name.transcript.generation) == (&stem, row.generation)
            && header(layout, &layout.trash().join(name.to_string()))?.is_some_and(|header| header.body.id == row.id)
        {
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
