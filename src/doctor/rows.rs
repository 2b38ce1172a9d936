//! The registry beside the transcripts: whether its lines are rows, whether they are about the files that are there, and what
//! the rows say of states and times.

use std::path::Path;

use crate::doctor::locks::Locks;
use crate::doctor::transcripts::Judged;
use crate::doctor::{Ailment, Found, Remedy, Symptom, counted};
use crate::error::Error;
use crate::fs::{FileKind, IoContext as _, OpenMode, PathError};
use crate::index;
use crate::key::{SessionKey, TranscriptName};
use crate::registry::Row;
use crate::registry::changes::Changes;
use crate::registry::lines::{BadLine, Lines};
use crate::status::SessionState;
use crate::store::each_row::EachRow;
use crate::store::inner::Inner;
use crate::store::resumes::store_key;
use crate::store::{Store, folder};
use crate::timestamp::Timestamp;
use crate::transcript::first_line::HeaderState;
use crate::transcript::reader::Item;
use crate::transcript::recover;
use crate::transcript::source::Source;
use crate::verify::{Names, Tick};

/// Marks of the store's own session that are read, from the newest on.
const STARTS_MAX: usize = 1000;

/// Some sessions of one kind.
#[derive(Default)]
struct Several {
    count: u64,
    first: Option<(SessionKey, u64)>,
}

impl Several {
    fn add(&mut self, key: &SessionKey, generation: u64) {
        self.count = self.count.saturating_add(1);
        self.first.get_or_insert_with(|| (key.clone(), generation));
    }

    fn tell(self, ailment: Ailment, remedy: Remedy, found: &mut Found<'_>) {
        let Some((key, generation)) = self.first else { return };
        let symptom = Symptom::new(ailment, remedy).about(Some(&key), Some(generation)).count(self.count);
        found.add(symptom.detail(counted(self.count, "session")));
    }
}

/// What a row is beside its transcript.
enum Standing {
    Current,
    Behind,
    Stale,
}

/// One pass over rows and transcripts.
struct Pass<'a> {
    inner: &'a Inner,
    locks: &'a Locks,
    judged: &'a Judged,
    behind: Several,
    without_row: Several,
    interrupted: Several,
    pending: Several,
    suspended: Several,
    newest: Option<(Timestamp, SessionKey, u64, u64)>,
}

pub(super) fn examine(store: &Store, locks: &Locks, judged: &Judged, found: &mut Found<'_>) -> Result<(), Error> {
    let inner: &Inner = store.inner();
    let is_sound = examine_file(inner, found)?;
    examine_log(inner, found);
    let listed = Names::list(inner)?;
    let mut pass = Pass {
        inner,
        locks,
        judged,
        behind: Several::default(),
        without_row: Several::default(),
        interrupted: Several::default(),
        pending: Several::default(),
        suspended: Several::default(),
        newest: None,
    };
    let mut rows = EachRow::new(inner)?;
    while let Some(row) = rows.next()? {
        let Ok(key) = SessionKey::new(&row.key) else { continue };
        let name = TranscriptName { stem: key.file_stem(), generation: row.generation };
        if listed.tick(&name) == Tick::First {
            pass.look_at_row(&key, &name, &row, found);
        }
    }
    if listed.left() {
        let mut names = Vec::new();
        inner
            .layout
            .each_transcript(|name| names.extend(Some(name).filter(|name| listed.tick(name) == Tick::First)))?;
        names.sort();
        for name in names {
            pass.look_at_unknown(&name);
        }
    }
    pass.tell(is_sound, found);
    examine_clock(store, found);
    Ok(())
}

/// Says whether every line of the registry is a row in its place.
fn examine_file(inner: &Inner, found: &mut Found<'_>) -> Result<bool, PathError> {
    let (fs, path) = (&*inner.layout.fs, inner.layout.registry());
    let wrong = match fs.open(&path, OpenMode::Read).and_then(|file| Ok((Lines::new(&*file)?, file))) {
        Ok((mut lines, file)) => {
            while lines.next_rows(&*file).context("read", &path)?.is_some() {}
            lines.worst().map(|(wrong, line)| {
                let ailment = match wrong {
                    BadLine::NoRow => Ailment::RegistryUnusable,
                    BadLine::Duplicate => Ailment::RegistryDuplicate,
                    BadLine::Unsorted => Ailment::RegistryUnsorted,
                    BadLine::Misnumbered => Ailment::RegistryMisnumbered,
                };
                (ailment, Some(line))
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some((Ailment::RegistryMissing, None)),
        // A folder, a link, a file larger than any registry.
        Err(_) => Some((Ailment::RegistryUnusable, None)),
    };
    let is_sound = wrong.is_none();
    if let Some((ailment, line)) = wrong {
        let symptom = Symptom { offset: line, ..Symptom::new(ailment, Remedy::rebuild()) }.at(path);
        found.add(symptom.detail(line.map(|line| format!("line {line}")).unwrap_or_default()));
    }
    Ok(is_sound)
}

fn examine_log(inner: &Inner, found: &mut Found<'_>) {
    let (fs, path) = (&*inner.layout.fs, inner.layout.changes());
    let Ok(stat) = fs.stat(&path) else { return };
    let is_broken = Changes::load(fs, &path).is_none_or(|log| log.is_broken());
    if stat.kind != FileKind::Regular || is_broken {
        found.add(Symptom::new(Ailment::RegistryLogBroken, Remedy::rebuild()).at(path));
    }
}

/// The store's own session is stamped by the clock alone.
fn examine_clock(store: &Store, found: &mut Found<'_>) {
    let key = store_key();
    // Without one nobody has noted a start; what is wrong with it a verification says.
    let Ok(marks) = store.session(key.as_str()).and_then(|session| session.backward()) else { return };
    let mut later: Option<(u64, Timestamp)> = None;
    for item in marks.take(STARTS_MAX) {
        let Ok(Item::Record(record)) = item else { continue };
        if let Some((seq, ts)) = later.filter(|(_, ts)| *ts < record.ts()) {
            let remedy = Remedy::advice("have the clock follow a time server");
            let detail = format!("record {seq} is from {ts}, the one before it from {}", record.ts());
            return found.add(Symptom::new(Ailment::ClockJumped, remedy).about(Some(&key), None).detail(detail));
        }
        later = Some((record.seq(), record.ts()));
    }
}

impl Pass<'_> {
    fn look_at_row(&mut self, key: &SessionKey, name: &TranscriptName, row: &Row, found: &mut Found<'_>) {
        let path = self.inner.layout.transcripts().join(name.to_string());
        let standing = self.standing(key, name, row, &path).unwrap_or(Standing::Current);
        let now;
        let row = match standing {
            Standing::Current => row,
            Standing::Behind | Standing::Stale => {
                if matches!(standing, Standing::Stale) {
                    let symptom = Symptom::new(Ailment::RowStale, Remedy::rebuild()).at(path);
                    found.add(symptom.about(Some(key), Some(name.generation)));
                } else if !self.locks.has(&name.stem) {
                    self.behind.add(key, name.generation);
                }
                match self.inner.current_row(key, Some(name.generation)) {
                    Ok(current) => now = current,
                    // A verification says what is wrong.
                    Err(_) => return,
                }
                &now
            }
        };
        self.fold(key, row);
    }

    /// Compares a row with its file. `None` where something is wrong with that.
    fn standing(&self, key: &SessionKey, name: &TranscriptName, row: &Row, path: &Path) -> Option<Standing> {
        let layout = &self.inner.layout;
        if self.judged.contains(path) {
            return None;
        }
        if recover::agrees(layout, key, row).ok()? {
            return Some(Standing::Current);
        }
        let mut source = Source::open(layout.fs.open(path, OpenMode::Read).ok()?.into(), path).ok()?;
        let HeaderState::Sound { header, separator: None, .. } = HeaderState::read(&mut source).ok()? else {
            return None;
        };
        if header.body.id != row.id {
            return Some(Standing::Stale);
        }
        // Somebody who writes is ahead of the row. One that is cut by no more than its seal was not promised that.
        let is_behind = source.length_bytes() < row.length_bytes
            || self.locks.has(&name.stem)
            || (source.length_bytes() > row.length_bytes && recover::is_anchored(&mut source, &header, row).ok()?);
        Some(if is_behind { Standing::Behind } else { Standing::Stale })
    }

    fn look_at_unknown(&mut self, name: &TranscriptName) {
        let path = self.inner.layout.transcripts().join(name.to_string());
        if self.judged.contains(&path) {
            return;
        }
        let Ok(key) = index::key_of(&self.inner.layout, name) else { return };
        if !self.locks.has(&name.stem) {
            self.without_row.add(&key, name.generation);
        }
        if let Ok(row) = self.inner.current_row(&key, Some(name.generation)) {
            self.fold(&key, &row);
        }
    }

    fn fold(&mut self, key: &SessionKey, row: &Row) {
        if self.newest.as_ref().is_none_or(|(newest, ..)| *newest < row.last_ts) {
            self.newest = Some((row.last_ts, key.clone(), row.generation, row.last_seq));
        }
        let of_state = match row.state {
            SessionState::Interrupted if !self.locks.is_held(&key.file_stem()) => &mut self.interrupted,
            SessionState::Pending => &mut self.pending,
            SessionState::Suspended => &mut self.suspended,
            _ => return,
        };
        let next = row.generation.saturating_add(1);
        if !key.is_reserved() && !folder::exists(&self.inner.layout, key, next).unwrap_or(false) {
            of_state.add(key, row.generation);
        }
    }

    fn tell(self, registry_is_sound: bool, found: &mut Found<'_>) {
        self.behind.tell(Ailment::RegistryBehind, Remedy::rebuild(), found);
        // Of a registry that is not to be had no row is missed.
        if registry_is_sound {
            self.without_row.tell(Ailment::FileWithoutRow, Remedy::rebuild(), found);
        }
        self.interrupted.tell(Ailment::TurnInterrupted, Remedy::command("sessctl resumable"), found);
        self.pending.tell(Ailment::ResumePending, Remedy::command("sessctl resumable"), found);
        self.suspended.tell(Ailment::Suspended, Remedy::command("sessctl list --state suspended"), found);
        let now = self.inner.layout.fs.now();
        if let Some((newest, key, generation, seq)) = self.newest.filter(|(newest, ..)| *newest > now) {
            let remedy = Remedy::advice(
                "set the clock right; if it is, that record's time is wrong, and prune goes on when its session is deleted",
            );
            let detail = format!("record {seq} is from {newest}, now is {now}");
            let symptom = Symptom::new(Ailment::ClockBehind, remedy).about(Some(&key), Some(generation));
            found.add(symptom.detail(detail));
        }
    }
}
