//! Any bytes as a registry beside two sound transcripts: it is a cache, so nothing but a warning may come of it.
//!
//! A store opens whatever the registry holds, every record is readable, and a rebuild writes what one from scratch does. What
//! a row may do is be a witness of loss: then a read ends in a gap and an append is refused as damage, and only
//! `accept_loss` silences it. The first byte of the input says whether the rows' checksums are put right.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sesslog::{Defect, Error, Item, Listed, NewRecord, Progress, ReadOptions, RebuildOptions, RegistryState};
use sesslog_fuzz::disk::{Disk, REGISTRY};
use sesslog_fuzz::forge::{self, KEY, Mend, OTHER_KEY};
use sesslog_fuzz::look;

const RECORDS: u64 = 4;

/// Two sessions of some records, the last of them a title.
fn base() -> Disk {
    let disk = Disk::new();
    for (key, path) in [(KEY, forge::TRANSCRIPT), (OTHER_KEY, forge::OTHER_TRANSCRIPT)] {
        let mut bytes = Vec::new();
        let seed = forge::push_header(&mut bytes, key);
        let mut link = seed;
        for seq in 1..=RECORDS {
            let (kind, body) =
                if seq == RECORDS { ("mark", r#"{"mark":"title","title":"t"}"#) } else { ("message", "1") };
            link = forge::push(&mut bytes, seed, (seq, seq - 1, link), kind, None, body);
        }
        disk.put(path, &bytes);
    }
    disk
}

/// The transcripts, and the registry that belongs to them.
static BASE: LazyLock<(Disk, Vec<u8>)> = LazyLock::new(|| {
    let disk = base();
    let golden = rebuilt(&disk.fork(), false);
    (disk, golden)
});

/// The registry of a rebuild.
fn rebuilt(disk: &Disk, accept_loss: bool) -> Vec<u8> {
    let store = disk.open();
    let options = RebuildOptions::new().accept_loss(accept_loss).jobs(1);
    let rebuilt = store.rebuild_index(options, &Progress::default()).expect("a disk in memory has no errors");
    assert_eq!(rebuilt.sessions, 2);
    disk.get(REGISTRY).expect("a registry")
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    let (disk, golden) = (BASE.0.fork(), &BASE.1);
    let mut bytes = rest.to_vec();
    // A row's checksum begins from 0, whatever its line: each line is a first one.
    if mode & 1 == 1 {
        let ranges: Vec<_> = forge::lines(&bytes).map(|(range, _)| range).collect();
        for range in ranges {
            forge::mend(&mut bytes[range], Mend::Checksums);
        }
    }
    disk.put(REGISTRY, &bytes);
    let has_rows = forge::lines(&bytes).any(|(range, _)| forge::parse(&bytes[range], 0).is_some());
    readable(&disk, has_rows, bytes == *golden);
    look::everyway(&disk);

    let again = disk.fork();
    let kept = rebuilt(&again, false);
    assert!(has_rows || kept == *golden, "a rebuild is not one from scratch");
    assert!(rebuilt(&again, false) == kept, "a second rebuild changes the registry");
    assert!(rebuilt(&again, true) == *golden, "a rebuild that accepts losses is not one from scratch");
    append(&disk, has_rows);
});

/// All sessions are listed and all their records are given, whatever the registry says.
fn readable(disk: &Disk, has_rows: bool, is_golden: bool) {
    let before = disk.files();
    let store = disk.look();
    assert!(store.registry_state() != RegistryState::Missing);
    assert!(!is_golden || store.registry_state() == RegistryState::Sound);
    let listed = store.sessions().expect("a disk in memory has no errors");
    for key in [KEY, OTHER_KEY] {
        let is_it = |entry: &&Listed| matches!(entry, Listed::Session(row) if row.key == key && row.generation == 1);
        assert_eq!(listed.iter().filter(is_it).count(), 1, "{key} in {listed:?}");
        let read =
            store.session(key).expect("a key").read(&ReadOptions::new().generation(1)).expect("its file is there");
        let mut seqs = Vec::new();
        for item in read {
            match item.expect("a disk in memory has no errors") {
                Item::Record(record) => seqs.push(record.seq()),
                Item::Gap(gap) => {
                    assert!(has_rows && gap.defect == Defect::Lost && gap.expected_seq > RECORDS, "{gap:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seqs, (1..=RECORDS).collect::<Vec<_>>());
    }
    assert!(disk.files() == before, "looking changed something");
}

/// An append is taken, or refused as damage that a row stands for; the transcripts keep what they had.
fn append(disk: &Disk, has_rows: bool) {
    let transcript = disk.get(forge::TRANSCRIPT).expect("the transcript");
    let store = disk.open();
    match store.session(KEY).expect("a key").append(NewRecord::json("2").expect("a body")) {
        Ok(receipt) => {
            assert!(receipt.durable && receipt.seq == if receipt.generation == 1 { RECORDS + 1 } else { 1 });
            assert!(has_rows || receipt.generation == 1);
        }
        Err(error) => {
            assert!(has_rows && error.is_damage(), "{error:?}");
            assert!(matches!(error, Error::Damaged { .. } | Error::TranscriptLost { .. }), "{error:?}");
            assert!(disk.get(forge::TRANSCRIPT).as_ref() == Some(&transcript), "a refused append changed something");
        }
    }
    let closed = store.close().expect("closed");
    assert!(closed.failures.is_empty() && closed.registry.is_none(), "{closed:?}");
    assert!(disk.get(forge::TRANSCRIPT).expect("the transcript").starts_with(&transcript));
    if !has_rows {
        look::assert_sound(disk, "after a close");
    }
}
