//! Looking at many sessions: each with a row that is right now, as cheaply as what is known of the registry allows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use crate::error::Error;
use crate::index::{self, Indexed};
use crate::key::{SessionKey, TranscriptName};
use crate::registry::changes::{Changes, Proof};
use crate::registry::{Row, epoch};
use crate::store::Listed;
use crate::store::folder;
use crate::store::inner::Inner;
use crate::timestamp::Timestamp;

/// What holds while the log's proof does.
pub(crate) struct Proven {
    /// Sessions whose rows say nothing.
    touched: BTreeSet<(SessionKey, u64)>,
    /// Rows with an activity at this time or behind it are all in the log.
    newest_since: Timestamp,
    /// Which log that is.
    log: (u64, u64),
}

/// What could not be folded.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Sessions that somebody is writing to, or that are to be looked at again.
    pub(crate) touched: BTreeSet<(SessionKey, u64)>,
    /// There is a transcript without a row, or a row without a transcript.
    pub(crate) unknown: bool,
}

/// What a pass over transcripts knows beforehand.
struct Pass<'a> {
    /// Stems of the keys with a lock's file. Who has a session open goes on writing to it without telling the log again, and who
    /// opened it before there was one has never told it.
    locked: HashSet<String>,
    /// Nothing of ours touches their files before somebody asks for that.
    poisoned: &'a [SessionKey],
}

impl Inner {
    /// Reads what the log has new, and looks at it; `None` where nothing is proven.
    fn with_proof<T>(&self, look: impl FnOnce(&Changes, &Proof) -> T) -> Option<T> {
        let layout = &self.layout;
        let _no_birth = self.folder.step();
        let mut changes = self.changes();
        let log = changes.as_mut()?;
        if !log.refresh(&*layout.fs, &layout.changes()) {
            // Another process has folded it, or is about to.
            *log = self.reload()?;
        }
        self.take_logged(log);
        let proof = log.holds(&*layout.fs, &layout.registry(), &layout.transcripts())?;
        Some(look(log, proof))
    }

    fn proven(&self) -> Option<Proven> {
        self.with_proof(|log, proof| Proven {
            touched: log.touched.clone(),
            newest_since: proof.newest_since,
            log: log.identity(),
        })
    }

    /// Returns the newest generation of a key of which anybody has told, 0 if there is none; `None` where nothing is proven.
    pub(crate) fn newest_told(&self, key: &SessionKey) -> Result<Option<u64>, Error> {
        let sessions = (key.clone(), 0)..=(key.clone(), u64::MAX);
        let newest = |log: &Changes| log.touched.range(sessions).next_back().map_or(0, |(_, generation)| *generation);
        let Some(touched) = self.with_proof(|log, _| newest(log)) else { return Ok(None) };
        Ok(Some(self.newest_row(key)?.map_or(touched, |row| row.generation.max(touched))))
    }

    /// Returns since when all rows with an activity are in the log; `None` where nothing is proven.
    pub(crate) fn newest_since(&self) -> Option<Timestamp> {
        self.with_proof(|_, proof| proof.newest_since)
    }

    /// Says whether a row is what its transcript says. Costs a `stat` where that is proven but for the file's length, else two
    /// reads.
    fn is_current(&self, row: &Row, key: &SessionKey, proven: Option<&Proven>) -> bool {
        let untouched = proven.is_some_and(|proven| !proven.touched.contains(&(key.clone(), row.generation)));
        let has_length = || {
            let stat = self.layout.fs.stat(&self.layout.transcript(key, row.generation));
            stat.is_ok_and(|stat| stat.length_bytes == row.length_bytes)
        };
        (untouched && has_length()) || self.confirms(row)
    }

    pub(crate) fn sessions(&self) -> Result<Vec<Listed>, Error> {
        let proven = self.proven();
        let rows = self.rows()?;
        let keys = rows.stems();
        let mut listed = Vec::new();
        for name in self.layout.list()? {
            let known = keys.get(&name.stem);
            let row = known.and_then(|key| Some((key, rows.get(key, name.generation)?)));
            if let Some((_, row)) = row.filter(|(key, row)| self.is_current(row, key, proven.as_ref())) {
                listed.push(Listed::Session(row.clone()));
                continue;
            }
            let path = self.layout.transcripts().join(name.to_string());
            let found = known.cloned().map_or_else(|| index::key_of(&self.layout, &name), Ok);
            match found.and_then(|key| self.current_row(&key, Some(name.generation))) {
                Ok(row) => listed.push(Listed::Session(row)),
                // Pruned while we looked.
                Err(error) if error.is_gone() => {}
                Err(error) => listed.push(Listed::Unreadable { path, error }),
            }
        }
        for row in rows.iter() {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if let Err(error @ Error::TranscriptLost { .. }) = self.generation(&key, Some(row.generation)) {
                let path = self.layout.transcript(&key, row.generation);
                listed.push(Listed::Unreadable { path, error });
            }
        }
        Ok(listed)
    }

    pub(crate) fn recent(&self, limit: usize) -> Result<Vec<Listed>, Error> {
        if let Some(proven) = self.proven() {
            self.learn_page();
            // The log's first page, or all rows if they are in memory anyway.
            let pages = [Some(proven.newest_since), Some(epoch()).filter(|_| self.knows_all())];
            for since in pages.into_iter().flatten() {
                if let Some(listed) = self.recent_since(&proven, since, limit)? {
                    return Ok(listed);
                }
            }
        }
        let mut unreadable = Vec::new();
        let mut rows = self.newest_rows(&mut unreadable)?;
        sort_newest_first(&mut rows);
        rows.truncate(limit);
        let unreadable = unreadable.into_iter().map(|(path, error)| Listed::Unreadable { path, error });
        Ok(rows.into_iter().map(Listed::Session).chain(unreadable).collect())
    }

    /// The rows of the newest generations, the store's own left out.
    pub(crate) fn newest_rows(&self, unreadable: &mut Vec<(PathBuf, Error)>) -> Result<Vec<Row>, Error> {
        let mut newest: BTreeMap<String, Row> = BTreeMap::new();
        for listed in self.sessions()? {
            match listed {
                Listed::Session(row) if row.key.starts_with('~') => {}
                Listed::Session(row) => {
                    if newest.get(&row.key).is_none_or(|older| older.generation < row.generation) {
                        newest.insert(row.key.clone(), row);
                    }
                }
                Listed::Unreadable { path, error } => unreadable.push((path, error)),
            }
        }
        Ok(newest.into_values().collect())
    }

    /// Takes over the rows of the log's first page.
    pub(crate) fn learn_page(&self) {
        let mut changes = self.changes();
        let Some(log) = changes.as_mut() else { return };
        self.take_page(log);
    }

    /// Returns the newest sessions of those in memory with an activity since then; `None` where these are too few.
    fn recent_since(&self, proven: &Proven, since: Timestamp, limit: usize) -> Result<Option<Vec<Listed>>, Error> {
        let mut rows = self.rows_in_memory(|row| row.updated >= since || since == epoch());
        if self.changes().as_ref().map(Changes::identity) != Some(proven.log) {
            // Another thread has met a newer log meanwhile, whose first page nobody has taken over.
            return Ok(None);
        }
        let mut unreadable = Vec::new();
        let is_touched = |row: &Row, key: &SessionKey| proven.touched.contains(&(key.clone(), row.generation));
        rows.retain(|row| SessionKey::new(&row.key).is_ok_and(|key| !is_touched(row, &key)));
        for (key, generation) in &proven.touched {
            match self.current_row(key, Some(*generation)) {
                Ok(row) => rows.push(row),
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    unreadable.push(Listed::Unreadable { path: self.layout.transcript(key, *generation), error });
                }
            }
        }
        rows.retain(|row| !row.key.starts_with('~') && (row.updated >= since || since == epoch()));
        sort_newest_first(&mut rows);
        let mut listed = Vec::new();
        for row in rows {
            if listed.len() == limit {
                break;
            }
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if let Some(next) = row.generation.checked_add(1)
                && folder::exists(&self.layout, &key, next)?
            {
                continue;
            }
            // One that is touched was looked at just now.
            if !is_touched(&row, &key) && !self.is_current(&row, &key, Some(proven)) {
                // Somebody has changed a file behind our back: nothing is known of the order.
                return Ok(None);
            }
            listed.push(Listed::Session(row));
        }
        let is_enough = listed.len() == limit || since == epoch();
        Ok(is_enough.then(|| listed.into_iter().chain(unreadable).collect()))
    }

    /// Brings the rows up to date with every transcript: those of other processes, those of a registry that was lost.
    /// Not those of the `poisoned`.
    pub(crate) fn index_stale(&self, poisoned: &[SessionKey]) -> Result<Left, Error> {
        let rows = self.rows()?;
        let keys = rows.stems();
        let mut left = Left::default();
        let pass = Pass { locked: self.layout.locked_stems()?, poisoned };
        for name in self.layout.list()? {
            let key = keys.get(&name.stem);
            let row = key.and_then(|key| rows.get(key, name.generation));
            self.index_one(&name, key, row, &pass, &mut left);
        }
        for row in rows.iter() {
            let Ok(key) = SessionKey::new(&row.key) else { continue };
            if !folder::exists(&self.layout, &key, row.generation)? {
                left.unknown |= !self.forget_deleted(&key, row)?;
            }
        }
        Ok(left)
    }

    /// As [`index_stale`](Self::index_stale) where the log is proven: only what it names, and what we folded.
    pub(crate) fn index_changed(&self, poisoned: &[SessionKey]) -> Result<Left, Error> {
        let mut left = Left::default();
        let pass = Pass { locked: self.layout.locked_stems()?, poisoned };
        let mut changed = self.folded();
        changed.extend(self.changes().iter().flat_map(Changes::news).cloned());
        for (key, generation) in changed {
            let row = self.row(&key, generation)?;
            if folder::exists(&self.layout, &key, generation)? {
                let name = TranscriptName { stem: key.file_stem(), generation };
                self.index_one(&name, Some(&key), row.as_ref(), &pass, &mut left);
            } else if let Some(row) = row {
                left.unknown |= !self.forget_deleted(&key, &row)?;
            }
        }
        Ok(left)
    }

    /// Takes out the row of a transcript that is not there if somebody deleted it; `false` if it is lost.
    fn forget_deleted(&self, key: &SessionKey, row: &Row) -> Result<bool, Error> {
        let is_deleted = self.graves.hold(self, row)?;
        if is_deleted {
            self.forget_row(key, row.generation, Some(&row.id));
        }
        Ok(is_deleted)
    }

    fn index_one(
        &self,
        name: &TranscriptName,
        key: Option<&SessionKey>,
        row: Option<&Row>,
        pass: &Pass<'_>,
        left: &mut Left,
    ) {
        if let Some(key) = key.filter(|_| pass.locked.contains(&name.stem)) {
            left.touched.insert((key.clone(), name.generation));
        }
        if let Some(key) = pass.poisoned.iter().find(|key| key.file_stem() == name.stem) {
            left.touched.insert((key.clone(), name.generation));
            return;
        }
        if row.is_some_and(|row| self.confirms(row)) {
            return;
        }
        let Indexed { row, busy, torn, error, .. } = index::index(&self.layout, name, key, row, index::How::CLOSE);
        let found = row.and_then(|row| Some((SessionKey::new(&row.key).ok()?, row)));
        let named = if found.is_none() && key.is_none() { index::key_of(&self.layout, name).ok() } else { None };
        match found.as_ref().map(|(key, _)| key).or(key).or(named.as_ref()) {
            Some(key) if busy || torn.is_some() || error.is_some() => {
                left.touched.insert((key.clone(), name.generation));
            }
            Some(_) => {}
            None => left.unknown = true,
        }
        if let Some((key, row)) = found {
            self.fold(&key, &row);
        }
    }
}

fn sort_newest_first(rows: &mut [Row]) {
    rows.sort_by(|a, b| {
        (Reverse(a.updated), &a.key, Reverse(a.generation)).cmp(&(Reverse(b.updated), &b.key, Reverse(b.generation)))
    });
}
