//! Rebuilding one damaged transcript into a new file.
//!
//! Every sound record is kept with its seq, ts, kind, id and body; where records are lost a `gap` mark says which. The new
//! file has a new header id and is born whole; the original keeps a name in `quarantine/` before the new file takes its
//! place, so at every instant the session has exactly one transcript and no byte is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::atomic::TempFile;
use crate::damage::{Defect, Gap, TailState};
use crate::error::Error;
use crate::format::to_u64;
use crate::frame::Crc;
use crate::fs::{Fs, FsFile, IoContext as _, OpenMode, PathError};
use crate::header::{Header, Parent};
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::record::Info;
use crate::registry::Row;
use crate::store::Store;
use crate::store::inner::Inner;
use crate::transcript::first_line::{self, HeaderState};
use crate::transcript::recover::keep_aside;
use crate::transcript::scan::{Step, Walk};
use crate::transcript::source::{Line, Source};
use crate::transcript::whole::NewFile;

/// What a repair did, or with `dry_run` would do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Repaired {
    /// The transcript.
    pub path: PathBuf,
    /// The generation repaired.
    pub generation: u64,
    /// The damage.
    pub gaps: Vec<Gap>,
    /// Sound records kept, the store's own marks included.
    pub records_kept: u64,
    /// First and last seq of every run of lost records; each gets a gap mark.
    pub lost: Vec<(u64, u64)>,
    /// Sound records that are not in the new file: duplicates and the other branch of a fork.
    pub records_set_aside: u64,
    /// The original's name in `quarantine/`; `None` when nothing was changed.
    pub quarantine: Option<String>,
}

/// A sound record of the original.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// The first seq that it stands for: its own, but for a gap mark.
    from_seq: u64,
    seq: u64,
    offset: u64,
    end: u64,
}

/// What is to be written.
#[derive(Debug)]
struct Plan {
    header: Option<Header>,
    seed: Crc,
    kept: Vec<Kept>,
    gaps: Vec<Gap>,
    set_aside: u64,
    /// The highest seq that was lost at the end.
    last_lost: u64,
}

impl Store {
    /// Salvages a damaged transcript into a new file of the same key, generation and seqs. Does nothing to one that is sound
    /// or merely torn. With `dry_run` only says what it would do, and takes no lock.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::Busy`] while someone writes to it, [`Error::UnsupportedFormat`] and
    /// [`Error::Misfiled`] (there is nothing to salvage in them), [`Error::Io`]: the original is in its place, unchanged.
    pub fn repair(&self, key: &SessionKey, generation: Option<u64>, dry_run: bool) -> Result<Repaired, Error> {
        let inner = self.inner();
        let generation = inner.generation(key, generation)?;
        let path = inner.layout.transcript(key, generation);
        if dry_run {
            let (_, _, plan) = plan(inner, key, generation, &path)?;
            return Ok(plan.report(path, generation, None));
        }
        inner.check_writable()?;
        inner.slot(key).release_if_idle(inner)?;
        let mut lock = inner.lock_briefly(key, inner.options.lock_wait)?;
        let (file, mut source, plan) = plan(inner, key, generation, &path)?;
        if plan.gaps.is_empty() {
            return Ok(plan.report(path, generation, None));
        }
        inner.sync_root_once()?;
        lock.doubt();
        let temp = TempFile::create(&*inner.layout.fs, &path, inner.layout.file_mode)?;
        let row = write_new(&*inner.layout.fs, &mut source, &plan, key, generation, &temp)?;
        temp.file.sync_all().context("fsync", &temp.path)?;
        let name = format!("{}.{generation}.damaged", key.file_stem());
        let quarantine = set_aside(inner, &path, &mut source, &name)?;
        drop(file);
        temp.replace(&path)?;
        let transcripts = inner.layout.transcripts();
        inner.layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts)?;
        lock.trust();
        inner.fold(key, &row);
        // The index is a cache: whoever saves next takes the row along.
        inner.save_registry().ok();
        Ok(plan.report(path, generation, Some(quarantine)))
    }
}

impl Plan {
    /// Returns the runs of seqs that have no record in the new file.
    fn lost(&self) -> Vec<(u64, u64)> {
        let mut lost = Vec::new();
        let mut expected = 1;
        for kept in &self.kept {
            if kept.from_seq > expected {
                lost.push((expected, kept.from_seq.saturating_sub(1)));
            }
            expected = kept.seq.saturating_add(1);
        }
        if self.last_lost >= expected {
            lost.push((expected, self.last_lost));
        }
        lost
    }

    fn report(&self, path: PathBuf, generation: u64, quarantine: Option<String>) -> Repaired {
        Repaired {
            path,
            generation,
            gaps: self.gaps.clone(),
            records_kept: to_u64(self.kept.len()),
            lost: if self.gaps.is_empty() { Vec::new() } else { self.lost() },
            records_set_aside: self.set_aside,
            quarantine,
        }
    }
}

type Planned = (Arc<dyn FsFile>, Source, Plan);

/// Walks the whole original.
fn plan(inner: &Inner, key: &SessionKey, generation: u64, path: &Path) -> Result<Planned, Error> {
    let file: Arc<dyn FsFile> = inner.layout.fs.open(path, OpenMode::Read).context("open", path)?.into();
    let mut source = Source::open(Arc::clone(&file), path)?;
    let row = inner.row(key, generation)?;
    let mut gaps = Vec::new();
    let (header, data_start, seed) = match HeaderState::read(&mut source)? {
        HeaderState::Format(format) => return Err(Error::UnsupportedFormat { path: path.to_owned(), format }),
        HeaderState::Sound { header, data_start, separator } => {
            if !first_line::is_filed_as(&header, key, generation) {
                let (header_key, header_generation) = (header.body.key, header.body.generation);
                return Err(Error::Misfiled { path: path.to_owned(), header_key, header_generation });
            }
            gaps.extend(separator);
            let seed = header.crc;
            (Some(header), data_start, Some(seed))
        }
        HeaderState::Bad { gap, data_start, seed } => {
            gaps.push(gap);
            (None, data_start, seed)
        }
    };
    // With the header its id is lost, too; the row of this key and generation is the only witness left.
    let witness =
        row.filter(|row| header.as_ref().is_none_or(|header| header.body.id == row.id)).map(|row| row.durable_seq);
    let mut plan = Plan { header, seed: seed.unwrap_or_default(), kept: Vec::new(), gaps, set_aside: 0, last_lost: 0 };
    let Some(seed) = seed else {
        plan.last_lost = witness.unwrap_or(0);
        return Ok((file, source, plan));
    };
    let mut strays = Vec::new();
    let start = first_line::first_record(data_start, plan.header.as_ref());
    let mut walk = Walk::new(source, seed, data_start, start, witness);
    loop {
        match walk.step()? {
            Step::Record(line, info) => plan.kept.push(keep(&mut walk.source, &line, &info, seed)?),
            Step::Gap(gap) => {
                match gap.defect {
                    Defect::Misplaced => strays.extend(stray(&mut walk.source, &gap, seed)?),
                    Defect::Duplicate | Defect::Fork if gap.bytes > 0 => {
                        plan.set_aside = plan.set_aside.saturating_add(1);
                    }
                    _ => {}
                }
                plan.last_lost = plan.last_lost.max(gap.lost.map_or(0, |(_, last)| last));
                plan.gaps.push(gap);
            }
            Step::End(tail) => {
                // Torn bytes alone are no damage; the next open for writing cuts them.
                debug_assert!(!matches!(tail.state, TailState::Clean) || tail.bytes == 0);
                break;
            }
        }
    }
    for line in std::mem::take(&mut walk.buried) {
        match walk.source.check(&line, seed)? {
            // Seq 0 is the header's, and the new file has one.
            Ok(info) if info.seq == 0 => plan.set_aside = plan.set_aside.saturating_add(1),
            Ok(info) => strays.push(keep(&mut walk.source, &line, &info, seed)?),
            Err(_) => {}
        }
    }
    // A record that stands behind one that it preceded goes back to its place, unless its seq was found elsewhere.
    plan.kept.extend(strays);
    plan.kept.sort_by_key(|kept| kept.seq);
    let found = plan.kept.len();
    plan.kept.dedup_by_key(|kept| kept.seq);
    plan.set_aside = plan.set_aside.saturating_add(to_u64(found.saturating_sub(plan.kept.len())));
    Ok((file, walk.source, plan))
}

fn stray(source: &mut Source, gap: &Gap, seed: Crc) -> Result<Option<Kept>, PathError> {
    let line = source.line(gap.offset)?;
    let sound = source.check(&line, seed)?.ok();
    sound.map(|info| keep(source, &line, &info, seed)).transpose()
}

/// Notes a record; a gap mark of an earlier repair goes on standing for its seqs.
fn keep(source: &mut Source, line: &Line, info: &Info, seed: Crc) -> Result<Kept, PathError> {
    let mark = if info.is_mark { source.mark(line, seed)? } else { None };
    let from_seq = match mark {
        Some(Mark::Gap { from_seq, to_seq }) if to_seq == info.seq => from_seq.min(info.seq),
        _ => info.seq,
    };
    Ok(Kept { from_seq, seq: info.seq, offset: line.offset, end: line.end() })
}

/// Writes the new transcript. As in every file that is born whole, each record claims that the one before is durable.
fn write_new(
    fs: &dyn Fs,
    source: &mut Source,
    plan: &Plan,
    key: &SessionKey,
    generation: u64,
    temp: &TempFile<'_>,
) -> Result<Row, Error> {
    let now = fs.now();
    let (parent, created) = match &plan.header {
        Some(header) => (header.body.parent.clone(), header.ts),
        None => (None::<Parent>, now),
    };
    let mut new = NewFile::begin(fs, temp, key, generation, parent, created)?;
    let mut lost = plan.lost().into_iter().peekable();
    for kept in &plan.kept {
        while let Some((from_seq, to_seq)) = lost.next_if(|(_, to_seq)| *to_seq < kept.seq) {
            new.put_gap(from_seq, to_seq, now)?;
        }
        new.copy(source, plan.seed, kept.seq, kept.offset..kept.end)?;
    }
    for (from_seq, to_seq) in lost {
        new.put_gap(from_seq, to_seq, now)?;
    }
    Ok(new.end()?)
}

/// Gives the original a name in `quarantine/`, durably: a second link, or a copy where the file system has no links.
fn set_aside(inner: &Inner, path: &Path, source: &mut Source, name: &str) -> Result<String, Error> {
    let layout = &inner.layout;
    let folder = layout.quarantine();
    layout.create_folder(&folder)?;
    for number in 1_u64.. {
        let taken = if number == 1 { name.to_owned() } else { format!("{name}.{number}") };
        match layout.fs.hard_link(path, &folder.join(&taken)) {
            Ok(()) => {
                source.file().sync_all().context("fsync", path)?;
                layout.fs.sync_dir(&folder).context("fsync folder", &folder)?;
                return Ok(taken);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(_) => break,
        }
    }
    Ok(keep_aside(layout, source, 0, name)?)
}
