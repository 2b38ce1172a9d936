//! Promises 1, 5 and 7 of a rebuild: it reads most transcripts without their locks, and no row says what is not on disk.
//!
//! On a simulated disk: beside a live writer, after a killed one, after one whose fsync failed, after another program's copy, and
//! with somebody else at work in between. Then the power goes in every way there is, and no row may know of what is lost.

#![cfg(feature = "sim")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sesslog::fs::{Fs, FsFile, OpenMode, Stat};
use sesslog::sim::{Chance, SimFault, SimFs, SimOp};
use sesslog::{
    Durability, Error, Listed, NewRecord, Options, Progress, RebuildOptions, RebuildOutcome, Rebuilt, Row, Store,
    Timestamp, VerifyOptions,
};

fn open(fs: impl Fs) -> Store {
    // Nothing happens by the clock.
    let options = Options::new().file_system(Arc::new(fs)).idle_release(Duration::MAX);
    options.registry_save_delay(Duration::MAX).open("/store").unwrap()
}

fn rebuild(store: &Store) -> Rebuilt {
    store.rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).unwrap()
}

fn row(store: &Store, key: &str) -> Row {
    let mut listed = store.sessions().unwrap().into_iter();
    let of = |listed| if let Listed::Session(row) = listed { Some(row) } else { None };
    listed.find_map(|listed| of(listed).filter(|row| row.key == key)).unwrap_or_else(|| panic!("no row of {key}"))
}

fn record(text: &str) -> NewRecord {
    NewRecord::json(&format!("\"{text}{}\"", "x".repeat(300))).unwrap()
}

/// A store with some sessions, closed.
fn fill(fs: &SimFs, keys: &[&str]) {
    let store = open(fs.clone());
    for key in keys {
        let session = store.session(key).unwrap();
        session.append(record("one")).unwrap();
        session.append_batch(vec![record("two"), record("three")]).unwrap();
    }
    assert!(store.close().unwrap().failures.is_empty());
}

/// The process dies without a word; its page cache stays.
fn kill(fs: &SimFs, store: Store) {
    fs.cut_power_at(Some(fs.operations()));
    drop(store);
    fs.kill();
}

fn lock_files(fs: &SimFs) -> Vec<PathBuf> {
    let locks = Path::new("/store/locks");
    fs.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with(locks)).collect()
}

fn transcript(fs: &SimFs) -> PathBuf {
    fs.files().into_iter().map(|(path, _)| path).find(|path| path.starts_with("/store/transcripts")).unwrap()
}

fn registry(fs: &SimFs) -> Vec<u8> {
    fs.files().into_iter().find(|(path, _)| path.ends_with("registry.jsonl")).unwrap().1
}

/// The power goes now, in many ways: what was torn off was never promised, by no row either.
fn nothing_is_lost(fs: &SimFs, story: &str) {
    for seed in 0..200 {
        let crashed = fs.fork();
        crashed.crash(&mut Chance::new(seed));
        let options = Options::new().file_system(Arc::new(crashed.clone()));
        let report = options.open_read_only("/store").unwrap().verify(&VerifyOptions::new(), &Progress::default());
        let report = report.unwrap();
        assert!(report.worst() != Some(sesslog::Severity::Damage), "{story}, crash {seed}: {:?}", report.findings);
    }
}

#[test]
fn what_is_sound_is_read_without_a_lock() {
    let fs = SimFs::new();
    fill(&fs, &["a", "b", "c"]);
    let closed = registry(&fs);
    let store = open(fs.clone());
    fs.tell();
    let rebuilt = rebuild(&store);
    let told = fs.take_told();
    assert_eq!((rebuilt.sessions, rebuilt.rows, rebuilt.notes.len()), (3, 3, 0));
    assert_eq!(registry(&fs), closed);
    let syncs: Vec<_> = told.iter().filter(|line| line.contains(" Sync ")).collect();
    assert!(matches!(syncs[..], [all] if all.contains("everything")), "{syncs:?}");
    let touched = |line: &&String| line.contains("/locks/") || line.contains("jsonl") && line.contains("/transcripts/");
    assert_eq!(told.iter().find(touched), None);
}

#[test]
fn a_live_writer_is_busy_and_what_it_buffers_in_no_row() {
    let fs = SimFs::new();
    fill(&fs, &["a", "b"]);
    let gateway = open(fs.clone());
    let session = gateway.session("a").unwrap();
    session.append(record("four")).unwrap();
    session.append_with(record("five"), Durability::Buffered).unwrap();
    let store = open(fs.clone());
    let rebuilt = rebuild(&store);
    assert!(matches!(rebuilt.notes[..], [ref note] if matches!(note.outcome, RebuildOutcome::Busy)), "{rebuilt:?}");
    let text = String::from_utf8(registry(&fs)).unwrap();
    assert!(text.lines().next().unwrap().contains("\"last_seq\":4"), "{text}");
    nothing_is_lost(&fs, "beside a writer");
    drop((session, gateway));
    assert!(rebuild(&store).notes.is_empty());
    assert_eq!(row(&store, "a").last_seq, 6);
}

#[test]
fn a_killed_writers_records_are_made_durable_first() {
    let fs = SimFs::new();
    fill(&fs, &["a"]);
    let gateway = open(fs.clone());
    gateway.session("a").unwrap().append_with(record("four"), Durability::Buffered).unwrap();
    kill(&fs, gateway);
    assert_eq!(lock_files(&fs).len(), 1, "nobody lived to remove it");
    let store = open(fs.clone());
    fs.tell();
    assert!(rebuild(&store).notes.is_empty());
    let told = fs.take_told().join("\n");
    let path = transcript(&fs);
    assert!(told.contains(&format!(" Write {} ", path.display())), "written again: {told}");
    assert_eq!(row(&store, "a").durable_seq, 5);
    assert_eq!(lock_files(&fs), Vec::<PathBuf>::new());
    nothing_is_lost(&fs, "after a kill");
}

#[test]
fn a_poisoned_writer_leaves_its_lock_file_behind() {
    for fault in [SimFault::Eio, SimFault::EioDrop] {
        let fs = SimFs::new();
        fill(&fs, &["a"]);
        let gateway = open(fs.clone());
        let session = gateway.session("a").unwrap();
        session.append(record("four")).unwrap();
        fs.fail(SimOp::Sync, 1, fault);
        assert!(matches!(session.append(record("five")), Err(Error::Poisoned { .. })));
        fs.heal();
        assert_eq!(lock_files(&fs).len(), 1, "it says that something is in doubt");
        nothing_is_lost(&fs, "poisoned");
        // The gateway lives, and holds no lock: this store becomes the owner.
        let store = open(fs.clone());
        assert!(rebuild(&store).notes.is_empty());
        let found = row(&store, "a").last_seq;
        assert_eq!(found, if fault == SimFault::Eio { 6 } else { 5 }, "{fault:?}");
        assert_eq!(lock_files(&fs), Vec::<PathBuf>::new());
        nothing_is_lost(&fs, "poisoned and rebuilt");
        // The next one believes what that one has settled.
        assert!(rebuild(&store).notes.is_empty());
        nothing_is_lost(&fs, "poisoned and rebuilt twice");
    }
}

#[test]
fn a_recovery_that_fails_leaves_the_lock_file_for_the_next() {
    let fs = SimFs::new();
    fill(&fs, &["a"]);
    let gateway = open(fs.clone());
    gateway.session("a").unwrap().append_with(record("four"), Durability::Buffered).unwrap();
    kill(&fs, gateway);
    let store = open(fs.clone());
    // The first sync is that of the whole disk.
    fs.fail(SimOp::Sync, 2, SimFault::Eio);
    assert!(matches!(rebuild(&store).notes[..], [ref note] if matches!(note.outcome, RebuildOutcome::Failed(_))));
    fs.heal();
    assert_eq!(lock_files(&fs).len(), 1);
    nothing_is_lost(&fs, "failed");
    assert!(rebuild(&store).notes.is_empty());
    assert_eq!(lock_files(&fs), Vec::<PathBuf>::new());
    nothing_is_lost(&fs, "failed, and done again");
}

#[test]
fn of_several_generations_all_are_recovered_before_the_lock_file_goes() {
    let fs = SimFs::new();
    fill(&fs, &["a"]);
    let store = open(fs.clone());
    let session = store.session("a").unwrap();
    session.reset("over").unwrap();
    session.append(record("new")).unwrap();
    session.append_with(record("newer"), Durability::Buffered).unwrap();
    kill(&fs, store);
    let store = open(fs.clone());
    let session = store.session("a").unwrap();
    session.append(record("newest")).unwrap();
    session.release().unwrap();
    assert_eq!(lock_files(&fs).len(), 1, "who opens the newest knows nothing of the others");
    assert!(rebuild(&store).notes.is_empty());
    assert_eq!(lock_files(&fs), Vec::<PathBuf>::new());
    fs.tell();
    assert!(rebuild(&store).notes.is_empty());
    assert!(!fs.take_told().iter().any(|line| line.contains("/locks/")), "nothing is in doubt any more");
}

#[test]
fn a_session_taken_back_from_the_trash_is_recovered_once() {
    let fs = SimFs::new();
    fill(&fs, &["a"]);
    let store = open(fs.clone());
    store.session("a").unwrap().delete(None, false).unwrap();
    let name = store.trash().unwrap().remove(0).name;
    store.restore(&name).unwrap();
    let stem = sesslog::SessionKey::new("a").unwrap().file_stem();
    let is_its = |path: &PathBuf| path.to_string_lossy().contains(&stem);
    assert!(lock_files(&fs).iter().any(is_its), "nobody knows in what state it went");
    rebuild(&store);
    assert!(!lock_files(&fs).iter().any(is_its));
}

/// Has another program write what is in a store to another disk, without any fsync.
fn copy(from: &SimFs) -> SimFs {
    let to = SimFs::new();
    drop(open(to.clone()));
    for (path, content) in from.files() {
        if path.starts_with("/store/transcripts") {
            let file = to.open(&path, OpenMode::CreateNew { mode: 0o600 }).unwrap();
            file.write_at(&content, 0).unwrap();
        }
    }
    to
}

#[test]
fn what_another_program_copied_is_made_durable_first() {
    let original = SimFs::new();
    fill(&original, &["a", "b"]);
    for fault in [None, Some(SimFault::Eio), Some(SimFault::EioDrop)] {
        let fs = copy(&original);
        let store = open(fs.clone());
        if let Some(fault) = fault {
            fs.fail(SimOp::Sync, 1, fault);
        }
        let rebuilt = rebuild(&store);
        // Of what the sync of the whole disk could not write, each file tells its owner.
        assert_eq!(rebuilt.notes.len(), if fault.is_some() { 2 } else { 0 }, "{fault:?}: {rebuilt:?}");
        if fault.is_some() {
            assert_eq!(registry(&fs), b"", "{fault:?}");
            // A file that reads well may not be on disk. One that lost its pages is damaged, and nobody has written to it.
            let in_doubt = if fault == Some(SimFault::Eio) { 2 } else { 0 };
            assert_eq!(lock_files(&fs).len(), in_doubt, "{fault:?}");
        } else {
            assert_eq!(registry(&fs), registry(&original));
            nothing_is_lost(&fs, "copied");
        }
    }
}

/// A file system on which something happens right after it was synced as a whole, or that can not be.
#[derive(Debug, Clone)]
struct Meddled {
    fs: SimFs,
    /// The file that another program appends this to.
    meddle: Option<(PathBuf, Vec<u8>)>,
    is_synced_whole: bool,
    opened: Arc<Mutex<Vec<PathBuf>>>,
}

impl Meddled {
    fn new(fs: &SimFs) -> Self {
        Self { fs: fs.clone(), meddle: None, is_synced_whole: true, opened: Arc::default() }
    }

    /// Which transcripts were opened for writing.
    fn written(&self) -> usize {
        self.opened.lock().unwrap().len()
    }
}

impl Fs for Meddled {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        if path.starts_with("/store/transcripts") && mode == OpenMode::Write {
            self.opened.lock().unwrap().push(path.to_owned());
        }
        self.fs.open(path, mode)
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.fs.stat(path)
    }
    fn read_dir(&self, path: &Path, found: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.fs.read_dir(path, found)
    }
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.fs.create_dir(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename_new(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.hard_link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fs.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.fs.sync_dir(path)
    }
    fn sync_file_system(&self, folder: &Path) -> io::Result<bool> {
        if !self.is_synced_whole {
            return Ok(false);
        }
        let synced = self.fs.sync_file_system(folder);
        if let Some((path, bytes)) = &self.meddle {
            let file = self.fs.open(path, OpenMode::Write)?;
            file.write_at(bytes, file.stat()?.length_bytes)?;
        }
        synced
    }
    fn now(&self) -> Timestamp {
        self.fs.now()
    }
    fn random(&self) -> io::Result<u64> {
        self.fs.random()
    }
}

#[test]
fn what_was_changed_since_the_disk_was_synced_is_looked_at_by_its_owner() {
    let original = SimFs::new();
    fill(&original, &["a", "b"]);
    let (path, whole) = original.files().into_iter().find(|(path, _)| path.starts_with("/store/transcripts")).unwrap();
    // Another program's copy of the file is not done yet when the disk is synced; then it is.
    let fs = copy(&original);
    let half = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs.open(&path, OpenMode::Write).unwrap().set_len(u64::try_from(half).unwrap()).unwrap();
    let meddled = Meddled { meddle: Some((path, whole[half..].to_vec())), ..Meddled::new(&fs) };
    let store = open(meddled.clone());
    assert!(rebuild(&store).notes.is_empty());
    assert_eq!(meddled.written(), 1);
    assert_eq!(registry(&fs), registry(&original));
    nothing_is_lost(&fs, "changed meanwhile");
}

#[test]
fn where_the_disk_can_not_be_synced_as_a_whole_every_file_is() {
    let fs = SimFs::new();
    fill(&fs, &["a", "b"]);
    let before = registry(&fs);
    let meddled = Meddled { is_synced_whole: false, ..Meddled::new(&fs) };
    assert!(rebuild(&open(meddled.clone())).notes.is_empty());
    assert_eq!((meddled.written(), registry(&fs)), (2, before));
    let meddled = Meddled::new(&fs);
    rebuild(&open(meddled.clone()));
    assert_eq!(meddled.written(), 0);
}
