//! What the store stands on: the file system, what a sync takes, whether locks exclude, room, owner, clock.

use std::path::Path;
use std::time::Duration;

use crate::atomic::TempFile;
use crate::doctor::{Ailment, Found, Remedy, Symptom, SyncTimes};
use crate::fs::mount::Repute;
use crate::fs::{Fs, IoContext as _, Mount, OpenMode, PathError, write_all};
use crate::store::inner::Inner;
use crate::sync::Instant;

/// What the probe's file is named after.
const PROBE_NAME: &str = "doctor";
const APPENDS: usize = 32;
const APPENDS_MIN: usize = 4;
/// About a record.
const APPEND_BYTES: usize = 512;
/// A disk that is so slow is known well enough by then.
const PROBE_TIME_MAX: Duration = Duration::from_secs(3);
/// From here on a person who waits for an answer feels it.
const SLOW_P50: Duration = Duration::from_millis(100);
const SLOW_P99: Duration = Duration::from_secs(1);
const FREE_BYTES_MIN: u64 = 256 << 20;
const FREE_INODES_MIN: u64 = 1000;
/// The usual limit. Each session that is written to takes two.
const DESCRIPTORS_MIN: u64 = 1024;
/// File systems tell times to 2 s (FAT) or better.
const SKEW_MS_MAX: u64 = 5000;

pub(super) fn examine(inner: &Inner, found: &mut Found<'_>) {
    let (fs, root) = (&*inner.layout.fs, inner.layout.root.as_path());
    if let Some(mount) = found.unlisted(root, fs.mount(root).context("look at the file system of", root)).flatten() {
        judge_mount(&mount, root, found);
        found.diagnosis.mount = Some(mount);
    }
    found.diagnosis.descriptors_max = fs.descriptors_max();
    if let Some(limit) = fs.descriptors_max().filter(|limit| *limit < DESCRIPTORS_MIN) {
        let remedy =
            Remedy::advice("raise the limit where the gateway is started: ulimit -n 4096, or LimitNOFILE= in its unit");
        found.add(Symptom::new(Ailment::DescriptorsLow, remedy).detail(format!("{limit} descriptors")));
    }
    if !found.options.quick {
        try_out(inner, found);
    }
}

fn judge_mount(mount: &Mount, root: &Path, found: &mut Found<'_>) {
    let local =
        "move the store to a file system on a disk of this machine: stop the gateway, copy the folder, start it there";
    let known = match mount.repute() {
        Repute::Plain => None,
        Repute::Network => Some((Ailment::FsNetwork, local)),
        Repute::UserSpace => Some((Ailment::FsUserSpace, local)),
        Repute::Shared => {
            Some((Ailment::FsShared, "move the store to a disk of the machine's own, not a folder of its host"))
        }
        Repute::Overlay => Some((Ailment::FsOverlay, "mount a volume into the container and move the store there")),
        Repute::Volatile => Some((Ailment::FsVolatile, local)),
        Repute::Limited => Some((Ailment::FsLimited, "move the store to ext4, XFS or Btrfs")),
    };
    if let Some((ailment, advice)) = known {
        found.add(Symptom::new(ailment, Remedy::advice(advice)).at(root).detail(mount.kind.clone()));
    }
    if mount.has_no_barriers() {
        let remedy = Remedy::advice("mount it without that option");
        found.add(Symptom::new(Ailment::FsNoBarriers, remedy).at(root).detail(mount.options.clone()));
    }
    if mount.read_only {
        let remedy = Remedy::advice("none is needed to read; to write, mount it for writing");
        found.add(Symptom::new(Ailment::StoreReadOnly, remedy).at(root).detail("mounted for reading only"));
        return;
    }
    if mount.free_bytes < FREE_BYTES_MIN {
        let remedy = Remedy::advice(
            "make room: sessctl trash empty, sessctl quarantine drop --older-than 30d, sessctl prune --older-than 90d --purge",
        );
        let detail = format!("{} bytes are free", mount.free_bytes);
        found.add(Symptom::new(Ailment::SpaceLow, remedy).at(root).detail(detail));
    }
    if let Some(free) = mount.free_inodes.filter(|free| *free < FREE_INODES_MIN) {
        let remedy = Remedy::advice("remove files: sessctl trash empty, or whatever else has many on this file system");
        let detail = format!("{free} more files can be made");
        found.add(Symptom::new(Ailment::InodesLow, remedy).at(root).detail(detail));
    }
}

/// Tries syncs and locks with a temp file in the store's folder. Not beside the transcripts, by whose folder's time others tell
/// that nothing was born there.
fn try_out(inner: &Inner, found: &mut Found<'_>) {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let layout = &inner.layout;
    if found.diagnosis.mount.as_ref().is_some_and(|mount| mount.read_only) {
        return;
    }
    let probe = match TempFile::create(&*layout.fs, &layout.root.join(PROBE_NAME), layout.file_mode) {
        Ok(probe) => probe,
        Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
            let remedy = Remedy::advice("none is needed to read; to write, run as the user whose store it is");
            let read_only = Symptom::new(Ailment::StoreReadOnly, remedy).at(&layout.root);
            return found.add(read_only.detail(error.source.to_string()));
        }
        Err(error) => return found.unreadable(&error.path.clone(), &error),
    };
    match sync_times(&probe) {
        Ok(times) => {
            found.diagnosis.syncs = Some(times);
            if times.p50 > SLOW_P50 || times.p99 > SLOW_P99 {
                let remedy =
                    Remedy::advice("look for what else writes to this disk, or move the store to a faster one");
                let detail = format!("p50 {:.1?}, p99 {:.1?}", times.p50, times.p99);
                found.add(Symptom::new(Ailment::FsyncSlow, remedy).at(&layout.root).detail(detail));
            }
        }
        Err(error) => {
            let remedy =
                Remedy::advice("look at the system's log for errors of the disk, and copy the store to another one");
            let failed = Symptom::new(Ailment::FsyncFailed, remedy).at(&layout.root);
            found.add(failed.detail(super::chain_text(&error)));
        }
    }
    let broken = match do_locks_exclude(&*layout.fs, &probe) {
        Ok(None) => None,
        Ok(Some(what)) => Some(what.to_owned()),
        Err(error) => Some(super::chain_text(&error)),
    };
    if let Some(detail) = broken {
        let remedy =
            Remedy::advice("let one process at a time use this store, and move it to a file system with locks");
        found.add(Symptom::new(Ailment::LocksBroken, remedy).at(&layout.root).detail(detail));
    }
    if let Ok(stat) = probe.file.stat() {
        let theirs_ms = i64::try_from(stat.modified_ns / 1_000_000).unwrap_or(i64::MAX);
        let ours = layout.fs.now();
        // Of a simulated disk times are numbers only.
        if theirs_ms > 0 && ours.unix_ms().abs_diff(theirs_ms) > SKEW_MS_MAX {
            let detail =
                format!("a file written at {ours} is of {}", crate::timestamp::Timestamp::from_unix_ms(theirs_ms));
            let remedy = Remedy::advice("set both clocks by the same time server");
            found.add(Symptom::new(Ailment::ClockSkew, remedy).at(&layout.root).detail(detail));
        }
    }
}

/// Appends and syncs as a session's writer does.
fn sync_times(probe: &TempFile<'_>) -> Result<SyncTimes, PathError> {
    let started = Instant::now();
    let mut times = Vec::with_capacity(APPENDS);
    let mut offset = 0_u64;
    while times.len() < APPENDS && (times.len() < APPENDS_MIN || started.elapsed() < PROBE_TIME_MAX) {
        let before = Instant::now();
        write_all(&*probe.file, &[b'x'; APPEND_BYTES], offset).context("write", &probe.path)?;
        probe.file.sync_data().context("fdatasync", &probe.path)?;
        times.push(before.elapsed());
        offset = offset.saturating_add(crate::format::to_u64(APPEND_BYTES));
    }
    times.sort_unstable();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    Ok(SyncTimes { appends: times.len(), p50: at(times.len() / 2), p99: at(times.len().saturating_sub(1)) })
}

/// Says what is wrong with locks, if anything: of two descriptors exactly one has it, and the other one gets it afterwards.
fn do_locks_exclude(fs: &dyn Fs, probe: &TempFile<'_>) -> Result<Option<&'static str>, PathError> {
    let open = || fs.open(&probe.path, OpenMode::Write).context("open", &probe.path);
    let (first, second) = (open()?, open()?);
    let lock = |file: &dyn crate::fs::FsFile| file.try_lock().context("lock", &probe.path);
    if !lock(&*first)? {
        return Ok(Some("a file that nobody has locked can not be locked"));
    }
    if lock(&*second)? {
        return Ok(Some("a second descriptor got a lock that the first one holds"));
    }
    drop(first);
    Ok((!lock(&*second)?).then_some("a lock stays when its owner has gone"))
}
