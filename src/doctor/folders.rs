//! The store's folders: modes and owners, what does not belong there, what killed processes left, generations that are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::doctor::locks::Locks;
use crate::doctor::{Ailment, Found, Remedy, Symptom, counted};
use crate::finding::shell_quoted;
use crate::format::TEMP_SUFFIX;
use crate::fs::{FileKind, IoContext as _, PathError, Stat};
use crate::header::Header;
use crate::index;
use crate::key::{SessionKey, TranscriptName};
use crate::layout::Layout;
use crate::store::graves;
use crate::store::inner::Inner;

/// A living process writes to its temp file all the time.
const TEMP_AGE_NS: i128 = 60 * 60 * 1_000_000_000;
const UNIQUE_HEX_BYTES: usize = 16;

/// A path of the store.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) stat: Stat,
}

/// Gives everything in a folder to `found`; one that is missing or is none has nothing.
pub(super) fn each_entry(layout: &Layout, folder: &Path, mut found: impl FnMut(Entry)) -> Result<(), PathError> {
    if !layout.fs.stat(folder).is_ok_and(|stat| stat.kind == FileKind::Directory) {
        return Ok(());
    }
    let mut look = |name: &str| {
        let path = folder.join(name);
        // Gone since it was listed.
        let Ok(stat) = layout.fs.stat(&path) else { return };
        found(Entry { path, name: name.to_owned(), stat });
    };
    layout.fs.read_dir(folder, &mut look).context("list folder", folder)
}

/// The folders that a store is made of.
pub(super) fn parts(layout: &Layout) -> [PathBuf; 4] {
    [layout.transcripts(), layout.locks(), layout.quarantine(), layout.trash()]
}

/// Gives every file and folder whose mode is not as it should be, with that mode. In the store's own folder only what is ours.
pub(super) fn each_wrong_mode(
    layout: &Layout,
    mut found: impl FnMut(Ailment, &Path, &Stat, u32),
) -> Result<(), PathError> {
    let mut look = |path: &Path, stat: &Stat| {
        let wanted = match stat.kind {
            FileKind::Directory => layout.dir_mode,
            FileKind::Regular => layout.file_mode,
            FileKind::Other => return,
        };
        let mode = stat.mode & 0o777;
        if mode != wanted & 0o777 {
            let ailment = if mode & !wanted == 0 { Ailment::ModeClosed } else { Ailment::ModeOpen };
            found(ailment, path, stat, wanted);
        }
    };
    for path in [layout.root.clone(), layout.registry(), layout.changes()].iter().chain(&parts(layout)) {
        if let Ok(stat) = layout.fs.stat(path) {
            look(path, &stat);
        }
    }
    for folder in parts(layout) {
        each_entry(layout, &folder, |entry| {
            if entry.stat.kind == FileKind::Regular {
                look(&entry.path, &entry.stat);
            }
        })?;
    }
    Ok(())
}

pub(super) fn examine(inner: &Inner, locks: &Locks, found: &mut Found<'_>) {
    let layout = &inner.layout;
    for folder in parts(layout) {
        match layout.check_folder(&folder) {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {
                found.add(Symptom::new(Ailment::FolderMissing, Remedy::fix()).at(folder));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                let remedy = Remedy::advice("stop the gateway and put the folder itself in this place");
                found.add(Symptom::new(Ailment::FolderReplaced, remedy).at(folder));
            }
            Err(error) => found.unreadable(&folder, &error),
        }
    }
    examine_modes(layout, found);
    examine_owners(layout, found);
    examine_strangers(layout, found);
    examine_temps(inner, locks, found);
    examine_generations(layout, found);
}

fn examine_modes(layout: &Layout, found: &mut Found<'_>) {
    let listed = each_wrong_mode(layout, |ailment, path, stat, wanted| {
        let detail = format!("mode {:04o}, should be {:04o}", stat.mode & 0o777, wanted & 0o777);
        found.add(Symptom::new(ailment, Remedy::fix()).at(path).detail(detail));
    });
    found.unlisted(&layout.root, listed);
}

fn examine_owners(layout: &Layout, found: &mut Found<'_>) {
    let Some(user) = layout.fs.user() else { return };
    let Ok(root) = layout.fs.stat(&layout.root) else { return };
    if root.owner != user {
        let remedy =
            Remedy::advice(format!("run sessctl as user {}: sudo -u '#{}' sessctl ...", root.owner, root.owner));
        let detail = format!("it belongs to user {}, this is user {user}", root.owner);
        found.add(Symptom::new(Ailment::OwnerOther, remedy).at(&layout.root).detail(detail));
    }
    let mut look = |path: &Path, stat: &Stat| {
        if stat.owner != root.owner {
            let remedy = Remedy::command(format!("chown {} {}", root.owner, quoted(path)));
            let detail = format!("it belongs to user {}, the store to user {}", stat.owner, root.owner);
            found.add(Symptom::new(Ailment::OwnerMixed, remedy).at(path).detail(detail));
        }
    };
    for path in [layout.registry(), layout.changes()].iter().chain(&parts(layout)) {
        if let Ok(stat) = layout.fs.stat(path) {
            look(path, &stat);
        }
    }
    for folder in parts(layout) {
        // What can not be listed was told of.
        each_entry(layout, &folder, |entry| look(&entry.path, &entry.stat)).ok();
    }
}

fn examine_strangers(layout: &Layout, found: &mut Found<'_>) {
    let folder = layout.transcripts();
    let listed = each_entry(layout, &folder, |Entry { path, name, stat }| {
        // One with a transcript's name that is no file is unreadable, as a verification says.
        if TranscriptName::parse(&name).is_some() || TempName::parse(&name).is_some() {
            return;
        }
        let kind = match stat.kind {
            FileKind::Regular => "a file",
            FileKind::Directory => "a folder",
            FileKind::Other => "a link, a pipe, a socket or a device",
        };
        let remedy = Remedy::command(format!("mv -n {} {}", quoted(&path), quoted(&layout.root.join(""))));
        found.add(Symptom::new(Ailment::Stranger, remedy).at(path).detail(kind));
    });
    found.unlisted(&folder, listed);
}

// --- temp files

/// The parts of a temp file's name.
pub(super) struct TempName {
    /// What it was to be, cut to a hundred characters.
    pub(super) target: String,
    pub(super) unique: String,
}

impl TempName {
    fn parse(name: &str) -> Option<Self> {
        let (target, unique) = name.strip_prefix('.')?.strip_suffix(TEMP_SUFFIX)?.rsplit_once('.')?;
        let is_unique = unique.len() == UNIQUE_HEX_BYTES && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_unique.then(|| Self { target: target.to_owned(), unique: unique.to_owned() })
    }

    /// Returns the stem of the key whose lock its maker held; the registry's has none.
    pub(super) fn stem(&self) -> Option<&str> {
        let hash = self.target.rfind('~')?.saturating_add(1);
        self.target.get(..hash.saturating_add(32))
    }
}

/// A temp file that nobody writes to any more.
pub(super) struct Leftover {
    pub(super) entry: Entry,
    pub(super) name: TempName,
    /// The session that it was to be, where it was to be a transcript.
    pub(super) transcript: Option<TranscriptName>,
}

/// Gives the temp files that are old and whose key nobody has locked.
pub(super) fn each_leftover(layout: &Layout, locks: &Locks, mut found: impl FnMut(Leftover)) -> Result<(), PathError> {
    let now_ns = i128::from(layout.fs.now().unix_ms()).saturating_mul(1_000_000);
    let transcripts = layout.transcripts();
    for folder in [layout.root.clone(), transcripts.clone(), layout.quarantine()] {
        each_entry(layout, &folder, |entry| {
            let Some(name) = TempName::parse(&entry.name).filter(|_| entry.stat.kind == FileKind::Regular) else {
                return;
            };
            let is_old = now_ns.saturating_sub(entry.stat.modified_ns) > TEMP_AGE_NS;
            if !is_old || name.stem().is_some_and(|stem| locks.is_held(stem)) {
                return;
            }
            let transcript = TranscriptName::parse(&name.target).filter(|_| folder == transcripts);
            found(Leftover { entry, name, transcript });
        })?;
    }
    Ok(())
}

impl Leftover {
    /// Says whether the registry knows what is in it while the transcript is gone: then it was acknowledged, and the disk has lost the
    /// name.
    pub(super) fn acknowledged(&self, inner: &Inner) -> Option<(SessionKey, PathBuf)> {
        let name = self.transcript.as_ref()?;
        let to = inner.layout.transcripts().join(name.to_string());
        let Header { body, .. } = graves::header(&inner.layout, &self.entry.path).ok().flatten()?;
        let key = SessionKey::new(&body.key).ok()?;
        let row = inner.row(&key, name.generation).ok().flatten()?;
        let is_it = (key.file_stem(), body.generation) == (name.stem.clone(), name.generation) && row.id == body.id;
        (is_it && inner.layout.is_gone(&to)).then_some((key, to))
    }
}

fn examine_temps(inner: &Inner, locks: &Locks, found: &mut Found<'_>) {
    let layout = &inner.layout;
    let mut leftovers = Vec::new();
    // There are few: a process leaves one when it is killed at one moment of a birth.
    let listed = each_leftover(layout, locks, |leftover| leftovers.push(leftover));
    found.unlisted(&layout.root, listed);
    for leftover in leftovers {
        let path = leftover.entry.path.clone();
        let bytes = counted(leftover.entry.stat.length_bytes, "byte");
        if let Some((key, to)) = leftover.acknowledged(inner) {
            let remedy = Remedy::command(format!("mv -n {} {}", quoted(&path), quoted(&to)));
            let generation = leftover.transcript.map(|name| name.generation);
            let symptom = Symptom::new(Ailment::TempFileAcknowledged, remedy).at(path).detail(bytes);
            found.add(symptom.about(Some(&key), generation));
        } else {
            found.add(Symptom::new(Ailment::TempFile, Remedy::fix()).at(path).detail(bytes));
        }
    }
}

// --- generations

/// Looks for generations that have a later one and an earlier one, and no file. Memory grows with the keys whose oldest generation
/// is not the first.
fn examine_generations(layout: &Layout, found: &mut Found<'_>) {
    let folder = layout.transcripts();
    let mut candidates: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let listed = layout.each_transcript(|name| {
        let Some(before) = name.generation.checked_sub(1).filter(|before| *before > 0) else { return };
        let file = TranscriptName { stem: name.stem.clone(), generation: before };
        if layout.is_gone(&folder.join(file.to_string())) {
            candidates.entry(name.stem).or_default();
        }
    });
    found.unlisted(&folder, listed);
    if candidates.is_empty() {
        return;
    }
    let listed = layout.each_transcript(|name| {
        if let Some(generations) = candidates.get_mut(&name.stem) {
            generations.insert(name.generation);
        }
    });
    found.unlisted(&folder, listed);
    for (stem, generations) in candidates {
        let mut before = generations.iter().copied();
        let hole = before.next().and_then(|first| {
            let is_next = |(last, it): (u64, u64)| (last.checked_add(1) != Some(it)).then_some((last, it));
            generations
                .iter()
                .copied()
                .scan(first, |last, it| Some((std::mem::replace(last, it), it)))
                .skip(1)
                .find_map(is_next)
        });
        if let Some((last, next)) = hole {
            let name = TranscriptName { stem, generation: next };
            let key = index::key_of(layout, &name).ok();
            let detail = format!("behind generation {last} comes generation {next}");
            let older: Vec<_> = generations.iter().copied().take_while(|generation| *generation <= last).collect();
            let path = folder.join(name.to_string());
            let symptom = Symptom::new(Ailment::GenerationHole, remedy_of_hole(key.as_ref(), &older)).at(path);
            found.add(symptom.about(key.as_ref(), last.checked_add(1)).detail(detail));
        }
    }
}

/// The older ones go to the trash, from where they can be read; the newest is found again. What is missing may be in a backup.
fn remedy_of_hole(key: Option<&SessionKey>, older: &[u64]) -> Remedy {
    let Some(key) = key else {
        return Remedy::advice("restore the missing generation from a backup");
    };
    let dashes = if key.as_str().starts_with('-') { "-- " } else { "" };
    let delete =
        |generation: &u64| format!("sessctl delete --generation {generation} {dashes}{}", shell_quoted(key.as_str()));
    Remedy::command(older.iter().map(delete).collect::<Vec<_>>().join(" && "))
}

/// Spells a path for a shell.
pub(super) fn quoted(path: &Path) -> String {
    shell_quoted(&path.to_string_lossy())
}
