//! Lines that no writer of ours wrote, with checksums that are right all the same: another program's, or an attacker's.
//!
//! Found by the fuzz targets, which put checksums right. Such lines may say anything; they cost themselves and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use sesslog::{
    Error, Finding, FindingKind, Item, NewRecord, Progress, RebuildOptions, SessionKey, Store, VerifyOptions,
};

const KEY: &str = "k";

fn hex(crc: u32) -> String {
    format!("{crc:08x}")
}

fn crc(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// A transcript that grows by forged lines.
struct Forged {
    path: PathBuf,
    bytes: Vec<u8>,
    seed: u32,
    link: u32,
}

impl Forged {
    /// Takes a store's transcript after some honest records.
    fn new(folder: &Path, records: u64) -> Self {
        let store = Store::open(folder).unwrap();
        let session = store.session(KEY).unwrap();
        for number in 1..=records {
            session.append(NewRecord::new(&number).unwrap()).unwrap();
        }
        let path = session.path(None).unwrap();
        store.close().unwrap();
        let bytes = fs::read(&path).unwrap();
        let stored = |line: &[u8]| {
            let digits = std::str::from_utf8(&line[line.len() - 10..line.len() - 2]).unwrap();
            u32::from_str_radix(digits, 16).unwrap()
        };
        let lines: Vec<_> = bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
        let (seed, link) = (stored(lines[0]), stored(lines[lines.len() - 1]));
        Self { path, bytes, seed, link }
    }

    /// Adds a line; `rest` is what follows the time.
    fn push(&mut self, seq: u64, durable: u64, rest: &[u8]) {
        let start = self.bytes.len();
        let prev = hex(self.link);
        let ts = "2026-11-22T08:15:30.123Z";
        let head = format!("{{\"seq\":{seq},\"durable\":{durable},\"prev\":\"{prev}\",\"ts\":\"{ts}\",");
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(rest);
        self.link = crc(self.seed, &self.bytes[start..]);
        self.bytes.extend_from_slice(format!(",\"crc\":\"{}\"}}\n", hex(self.link)).as_bytes());
    }

    fn save(&self) {
        fs::write(&self.path, &self.bytes).unwrap();
    }
}

fn bodies(store: &Store) -> Vec<String> {
    let text = |item: Item| match item {
        Item::Record(record) => record.body().to_owned(),
        Item::Gap(gap) => gap.defect.name().to_owned(),
        other => panic!("{other:?}"),
    };
    store.session(KEY).unwrap().records().unwrap().map(|item| text(item.unwrap())).collect()
}

/// A repair could not copy a record whose body is no UTF-8 and failed as if the disk had: the session could never be
/// written to again. Readers show such a record as a gap; the repair keeps its bytes.
#[test]
fn a_repair_keeps_a_record_that_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut forged = Forged::new(folder.path(), 2);
    forged.push(3, 2, b"\"kind\":\"message\",\"body\":\"\xff\"");
    forged.push(4, 3, b"\"kind\":\"message\",\"id\":\"\\ud800\",\"body\":4");
    forged.push(5, 4, b"\"kind\":\"message\",\"body\":5");
    // Damage, so that there is something to repair.
    let at = forged.bytes.windows(9).position(|window| window == b"\"body\":1,").unwrap();
    forged.bytes[at + 7] = b'7';
    forged.save();
    let store = Store::open(folder.path()).unwrap();
    store.rebuild_index(RebuildOptions::new().accept_loss(true), &Progress::default()).unwrap();
    let repaired = store.repair(&SessionKey::new(KEY).unwrap(), None, false).unwrap();
    assert_eq!((repaired.records_kept, repaired.lost), (4, vec![(1, 1)]));
    let now = fs::read(&forged.path).unwrap();
    assert!(now.windows(11).any(|window| window == b"\"body\":\"\xff\","), "its bytes are kept");
    assert_eq!(bodies(&store)[1..], ["2", "malformed", "malformed", "5"]);
    store.session(KEY).unwrap().append(NewRecord::new("on").unwrap()).unwrap();
    store.close().unwrap();
    let report = Store::open(folder.path()).unwrap().verify(&VerifyOptions::new(), &Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// A repair brought back a record of seq 0 that stood among bad lines as if it were one of the history, so that the new file
/// was damaged, too, and every further repair again.
#[test]
fn a_repair_leaves_out_a_second_header() {
    let folder = tempfile::tempdir().unwrap();
    let mut forged = Forged::new(folder.path(), 2);
    forged.bytes.extend_from_slice(b"bad\n");
    forged.push(0, 0, b"\"kind\":\"header\",\"body\":0");
    forged.push(4, 3, b"\"kind\":\"message\",\"body\":4");
    forged.save();
    let store = Store::open(folder.path()).unwrap();
    let repaired = store.repair(&SessionKey::new(KEY).unwrap(), None, false).unwrap();
    assert_eq!((repaired.records_kept, repaired.records_set_aside, repaired.lost), (3, 1, vec![(3, 3)]));
    store.session(KEY).unwrap().append(NewRecord::new("on").unwrap()).unwrap();
    store.close().unwrap();
    let report = Store::open(folder.path()).unwrap().verify(&VerifyOptions::new(), &Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Rows without their files say what they like: the sum of their records overflowed.
#[test]
fn a_rebuild_does_not_add_up_what_rows_claim_beyond_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut registry = Vec::new();
    for (number, key) in ["a", "b", "c"].iter().enumerate() {
        let ts = "2026-11-22T08:15:30.123Z";
        let covered = format!(
            concat!(
                r#"{{"seq":{},"durable":0,"prev":"00000000","ts":"{}","kind":"session","body":{{"key":"{}","generation":1,"#,
                r#""id":"3f9c0a6e5b1d47f2880d6c4e91a7b253","parent":null,"created":"{}","updated":"{}","records":{},"#,
                r#""title":null,"state":"open","length_bytes":781,"last_seq":4,"last_crc":"8f832c3d","durable_seq":3}}"#
            ),
            number,
            ts,
            key,
            ts,
            ts,
            u64::MAX / 2
        );
        let digits = hex(crc(0, covered.as_bytes()));
        registry.extend_from_slice(format!("{covered},\"crc\":\"{digits}\"}}\n").as_bytes());
    }
    fs::create_dir_all(folder.path().join("transcripts")).unwrap();
    fs::write(folder.path().join("registry.jsonl"), registry).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let rebuilt = store.rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
    assert_eq!((rebuilt.rows, rebuilt.records), (3, u64::MAX));
}

/// Behind a record of the highest seq an append was acknowledged with that seq once more, and no reader gave it.
#[test]
fn an_append_behind_the_last_seq_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut forged = Forged::new(folder.path(), 2);
    let mark = format!("{{\"mark\":\"gap\",\"from_seq\":3,\"to_seq\":{}}}", u64::MAX);
    forged.push(u64::MAX, 2, format!("\"kind\":\"mark\",\"body\":{mark}").as_bytes());
    forged.save();
    let store = Store::open(folder.path()).unwrap();
    let appended = store.session(KEY).unwrap().append(NewRecord::new("on").unwrap());
    assert!(matches!(appended, Err(Error::WriteFailed { .. })), "{appended:?}");
    assert!(store.close().unwrap().failures.is_empty());
    assert_eq!(fs::read(&forged.path).unwrap(), forged.bytes);
    assert_eq!(bodies(&store)[..3], ["1", "2", &mark]);
}

/// An id of half a surrogate pair is JSON, and no text: a read had a gap there, and the deepest look found nothing.
#[test]
fn a_deep_look_finds_what_a_read_can_not_give() {
    let folder = tempfile::tempdir().unwrap();
    let mut forged = Forged::new(folder.path(), 1);
    forged.push(2, 1, b"\"kind\":\"message\",\"id\":\"\\ud800\",\"body\":2");
    forged.save();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(bodies(&store), ["1", "malformed"]);
    let report = store.verify(&VerifyOptions::new().deep(true), &Progress::default()).unwrap();
    assert!(matches!(report.findings[..], [Finding { kind: FindingKind::NotJson, seq: 2, .. }]), "{report:?}");
}
