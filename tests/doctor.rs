//! Goal: an examination says what a store stands on, whatever that is, and changes nothing it does not own.
//! Method: a file system that is said to be of some type, owner or state; syncs that fail or take long; locks that hold nobody.

#[path = "common/faulty.rs"]
mod faulty;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use faulty::{Fault, FaultyFs, Op};
use sesslog::fs::{Fs, FsFile, Map, Mount, OpenMode, Stat};
use sesslog::{Ailment, Diagnosis, DoctorOptions, Error, NewRecord, Options, Progress, Store};

/// What is said of the disk; files are on the real one.
#[derive(Debug, Clone, Default)]
struct Said {
    files: FaultyFs,
    mount: Option<Mount>,
    user: Option<u32>,
    descriptors: Option<u64>,
    /// Locks are got by everybody.
    lock_for_all: bool,
}

#[derive(Debug)]
struct Unlocked(Box<dyn FsFile>);

impl FsFile for Unlocked {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }
    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        self.0.set_len(length_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
    fn stat(&self) -> io::Result<Stat> {
        self.0.stat()
    }
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
    fn map(&self, length_bytes: u64) -> Option<Map> {
        self.0.map(length_bytes)
    }
}

impl Fs for Said {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let file = self.files.open(path, mode)?;
        Ok(if self.lock_for_all { Box::new(Unlocked(file)) } else { file })
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.files.stat(path)
    }
    fn read_dir(&self, path: &Path, found: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.files.read_dir(path, found)
    }
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.files.create_dir(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename_new(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.hard_link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.files.sync_dir(path)
    }
    fn mount(&self, _folder: &Path) -> io::Result<Option<Mount>> {
        Ok(self.mount.clone())
    }
    fn user(&self) -> Option<u32> {
        self.user
    }
    fn descriptors_max(&self) -> Option<u64> {
        self.descriptors
    }
}

fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    store.session("k").unwrap().append(NewRecord::new(&1).unwrap()).unwrap();
    store.close().unwrap();
    folder
}

fn examine(said: &Said, options: &DoctorOptions) -> Diagnosis {
    let folder = filled();
    let store = Options::new().file_system(Arc::new(said.clone())).open_read_only(folder.path().join("store")).unwrap();
    store.doctor(options, &Progress::default())
}

fn ailments(said: &Said, quick: bool) -> Vec<Ailment> {
    let diagnosis = examine(said, &DoctorOptions::new().quick(quick).ignore(Ailment::FsyncSlow));
    diagnosis.symptoms.iter().map(|symptom| symptom.ailment).collect()
}

fn on(kind: &str) -> Mount {
    Mount { kind: kind.to_owned(), free_bytes: 1 << 40, ..Mount::default() }
}

#[test]
fn what_a_file_system_is_known_for_is_told() {
    for (kind, wanted) in [
        ("ext4", &[][..]),
        ("nfs4", &[Ailment::FsNetwork]),
        ("fuse.rclone", &[Ailment::FsUserSpace]),
        ("9p", &[Ailment::FsShared]),
        ("overlay", &[Ailment::FsOverlay]),
        ("tmpfs", &[Ailment::FsVolatile]),
        ("vfat", &[Ailment::FsLimited]),
    ] {
        assert_eq!(ailments(&Said { mount: Some(on(kind)), ..Said::default() }, true), wanted, "{kind}");
    }
    let with = |change: fn(&mut Mount)| {
        let mut mount = on("ext4");
        change(&mut mount);
        ailments(&Said { mount: Some(mount), ..Said::default() }, false)
    };
    assert_eq!(with(|mount| mount.options = "rw,nobarrier".to_owned()), [Ailment::FsNoBarriers]);
    assert_eq!(with(|mount| mount.free_bytes = 1 << 20), [Ailment::SpaceLow]);
    assert_eq!(with(|mount| mount.free_inodes = Some(3)), [Ailment::InodesLow]);
    assert_eq!(with(|mount| mount.read_only = true), [Ailment::StoreReadOnly]);
    assert_eq!(ailments(&Said { descriptors: Some(64), ..Said::default() }, true), [Ailment::DescriptorsLow]);
}

#[test]
fn a_disk_that_fails_or_is_slow_and_locks_that_hold_nobody_are_found() {
    let said = Said::default();
    said.files.fail(Op::SyncData, 1, Fault::Eio, ".doctor.");
    assert_eq!(ailments(&said, false), [Ailment::FsyncFailed]);
    let said = Said::default();
    said.files.slow(Op::SyncData, Duration::from_millis(110));
    let diagnosis = examine(&said, &DoctorOptions::new());
    assert_eq!(diagnosis.symptoms[0].ailment, Ailment::FsyncSlow);
    assert!(diagnosis.syncs.unwrap().p50 >= Duration::from_millis(110));
    let said = Said { lock_for_all: true, ..Said::default() };
    assert_eq!(ailments(&said, false), [Ailment::LocksBroken]);
    assert_eq!(ailments(&said, true), []);
    // Nothing can be made here.
    let said = Said::default();
    said.files.fail(Op::Create, 1, Fault::Eio, ".doctor.");
    assert_eq!(ailments(&said, false), [Ailment::Unreadable]);
}

#[test]
fn in_a_store_of_another_user_nothing_is_healed() {
    let folder = filled();
    let path = folder.path().join("store");
    std::fs::remove_file(path.join("registry.jsonl")).unwrap();
    let said = Said { user: Some(4_000_000), ..Said::default() };
    let open = || Options::new().file_system(Arc::new(said.clone()));
    let diagnosis =
        open().open_read_only(&path).unwrap().doctor(&DoctorOptions::new().quick(true), &Progress::default());
    let found: Vec<_> = diagnosis.symptoms.iter().map(|symptom| symptom.ailment).collect();
    assert_eq!(found, [Ailment::RegistryMissing, Ailment::OwnerOther]);
    let store = open().open(&path).unwrap();
    assert!(matches!(store.heal(&diagnosis, 1, &Progress::default()), Err(Error::ForeignOwner { .. })));
    let reader = open().open_read_only(&path).unwrap();
    assert!(matches!(reader.heal(&diagnosis, 1, &Progress::default()), Err(Error::ReadOnly)));
}
