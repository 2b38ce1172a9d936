//! Looking at a transcript every way there is: the answers have to agree, and nothing may change.

use std::collections::BTreeSet;
use std::path::Path;

use sesslog::{
    Error, Finding, FindingKind, Gap, Item, Progress, ReadOptions, Record, Report, Severity, Store, Tail, TailState,
    VerifyOptions,
};

use crate::disk::Disk;
use crate::forge::{self, KEY};

/// A backward read of a file with no more bytes is one forward read.
const BLOCK_BYTES: usize = 32 * 1024;

/// What a reader found.
#[derive(Debug, Clone)]
pub struct Seen {
    /// In the order of the file.
    pub items: Vec<Item>,
    /// What follows them.
    pub tail: Tail,
    /// Where sound lines are that are no text: no damage, though a reader has nothing to give for them.
    pub unread: Vec<u64>,
}

impl Seen {
    /// The records among the items.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.items.iter().filter_map(|item| if let Item::Record(record) = item { Some(record) } else { None })
    }

    /// The damage among the items.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        let gaps = self.items.iter().filter_map(|item| if let Item::Gap(gap) = item { Some(gap) } else { None });
        gaps.filter(|gap| gap.bytes == 0 || !self.unread.contains(&gap.offset))
    }

    /// Says whether no byte is damaged: torn is not.
    pub fn is_undamaged(&self) -> bool {
        self.gaps().next().is_none()
    }
}

/// Judges the whole store.
pub fn verify(store: &Store, deep: bool) -> Report {
    let options = VerifyOptions::new().deep(deep).jobs(1);
    store.verify(&options, &Progress::default()).expect("a store in memory can be listed")
}

/// The findings about the file that [`read`] reads: a row may witness a loss of the other session, too.
fn of_the_read(report: Report) -> Vec<Finding> {
    of_transcripts(report).into_iter().filter(|finding| finding.path == Path::new(forge::TRANSCRIPT)).collect()
}

/// The findings about transcripts.
pub fn of_transcripts(report: Report) -> Vec<Finding> {
    let is_registry = |kind: &FindingKind| {
        matches!(kind, FindingKind::RegistryMissing | FindingKind::RegistryUnusable | FindingKind::RowWithoutFile)
    };
    report.findings.into_iter().filter(|finding| !is_registry(&finding.kind)).collect()
}

/// Reads the first generation of the session under test from its start. `None` when nothing behind its header is read.
pub fn read(store: &Store) -> Option<Seen> {
    let session = store.session(KEY).expect("a key");
    let mut records = match session.read(&ReadOptions::new().generation(1)) {
        Ok(records) => records,
        Err(Error::UnsupportedFormat { .. } | Error::Misfiled { .. }) => return None,
        Err(error) => panic!("{error:?}"),
    };
    let items = records.by_ref().map(|item| item.expect("a disk in memory has no errors")).collect();
    Some(Seen { items, tail: records.tail().expect("every read has an end"), unread: Vec::new() })
}

/// Reads and judges the session under test every way there is, and compares.
pub fn everyway(disk: &Disk) -> Option<Seen> {
    let before = disk.files();
    let store = disk.look();
    let mut seen = read(&store);
    let findings = of_the_read(verify(&store, false));
    let deep = of_the_read(verify(&store, true));
    match &mut seen {
        Some(seen) => {
            seen.unread = agree(disk, seen, &findings, &deep);
            let bytes = disk.get(forge::TRANSCRIPT).map_or(0, |bytes| bytes.len());
            backward(&store, seen, bytes <= BLOCK_BYTES);
            if seen.is_undamaged() && stands_in_order(disk) {
                from_seqs(&store, seen);
            }
        }
        None => assert!(
            matches!(findings[..], [Finding { kind: FindingKind::UnsupportedFormat | FindingKind::Misfiled, .. }]),
            "{findings:?}"
        ),
    }
    assert!(disk.files() == before, "looking changed something");
    seen
}

/// The findings of `verify` are the gaps and the tail of a read; what only a deep look finds is text that is no JSON.
fn agree(disk: &Disk, seen: &Seen, findings: &[Finding], deep: &[Finding]) -> Vec<u64> {
    let bytes = disk.get(forge::TRANSCRIPT).expect("the transcript");
    let (unread, gaps): (Vec<&Gap>, Vec<&Gap>) =
        seen.gaps().partition(|gap| !findings.iter().any(|found| is_gap(found, gap)));
    let damage = findings.iter().filter(|finding| matches!(finding.kind, FindingKind::Damage(_)));
    assert_eq!(damage.count(), gaps.len(), "{findings:?}\n{seen:?}");
    for gap in &unread {
        // A sound line that is no text: the reader can not give it, and `verify` says so when it is asked to look inside.
        let at = |finding: &&Finding| finding.offset == gap.offset && matches!(finding.kind, FindingKind::NotJson);
        assert!(deep.iter().any(|finding| at(&finding)), "only a read finds {gap:?}\n{deep:?}");
    }
    let tail = findings.iter().find(|finding| !matches!(finding.kind, FindingKind::Damage(_)));
    let state = match tail.map(|finding| &finding.kind) {
        None => matches!(seen.tail.state, TailState::Clean | TailState::Padding),
        Some(FindingKind::Torn) => matches!(seen.tail.state, TailState::Torn { .. }),
        Some(FindingKind::Unterminated) => matches!(seen.tail.state, TailState::Unterminated),
        Some(_) => false,
    };
    assert!(state, "{tail:?} {:?}", seen.tail);
    let inside = deep.iter().filter(|finding| !matches!(finding.kind, FindingKind::NotJson)).count();
    assert_eq!(inside, findings.len(), "{findings:?}\n{deep:?}");
    for record in seen.records() {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(record.line()).is_ok();
        let found = deep.iter().any(|finding| finding.offset == record.offset());
        // A gap of 0 bytes may stand at the same place.
        assert!(json || found, "{record:?}");
    }
    // Whatever is sound from the start on is given, bytes and all.
    let prefix = forge::prefix(&bytes);
    let mut records = seen.items.iter();
    for range in &prefix.records {
        let line = &bytes[range.clone()];
        match records.next() {
            Some(Item::Record(record)) => assert_eq!(record.line().as_bytes(), line),
            Some(Item::Gap(gap)) if std::str::from_utf8(line).is_err() || has_odd_id(line) => {
                assert_eq!(gap.offset, u64::try_from(range.start).expect("small"));
            }
            other => panic!("{other:?} in place of {}", line.escape_ascii()),
        }
    }
    unread.into_iter().map(|gap| gap.offset).collect()
}

fn is_gap(finding: &Finding, gap: &Gap) -> bool {
    matches!(finding.kind, FindingKind::Damage(defect) if defect == gap.defect)
        && (finding.offset, finding.bytes, finding.lost) == (gap.offset, gap.bytes, gap.lost)
}

/// An id that is no JSON string of Unicode text.
fn has_odd_id(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    text.contains(",\"id\":")
}

/// Backward is forward reversed, and the last few are its end.
fn backward(store: &Store, seen: &Seen, is_one_block: bool) {
    let session = store.session(KEY).expect("a key");
    if session.generation().is_ok_and(|generation| generation != 1) {
        return;
    }
    let Ok(backward) = session.backward() else { return };
    let mut items: Vec<_> = backward.map(|item| item.expect("a disk in memory has no errors")).collect();
    items.reverse();
    if seen.is_undamaged() || is_one_block {
        assert_eq!(items, seen.items, "backward is not forward reversed");
    } else {
        // Of a copied run, or of two branches, the later may be taken for the history when the earlier was not read yet.
        let offsets: BTreeSet<_> = offsets(&items).collect();
        assert!(self::offsets(&seen.items).all(|offset| offsets.contains(&offset)), "backward leaves out a record");
    }
    for count in [0, 1, 3] {
        let last = session.last(count).expect("a disk in memory has no errors");
        let records = seen.records().filter(|record| !record.is_mark()).count().min(count);
        let given = last.iter().filter(|item| matches!(item, Item::Record(_))).count();
        assert!(given == records || !(seen.is_undamaged() || is_one_block), "the last {count}");
    }
}

fn offsets(items: &[Item]) -> impl Iterator<Item = u64> {
    items.iter().filter_map(|item| if let Item::Record(record) = item { Some(record.offset()) } else { None })
}

/// Says whether no sound line stands twice or behind a later one. In a file that is cut at torn bytes such lines may stand
/// behind the cut, and the search by halves for a seq can end at one of them.
fn stands_in_order(disk: &Disk) -> bool {
    let bytes = disk.get(forge::TRANSCRIPT).expect("the transcript");
    let Some(seed) = forge::prefix(&bytes).seed else { return false };
    let sound = forge::lines(&bytes).skip(1).filter_map(|(range, _)| forge::parse(&bytes[range], seed));
    sound.map(|frame| frame.seq).is_sorted_by(|a, b| a < b)
}

/// A read from a seq on is the end of the whole read.
fn from_seqs(store: &Store, seen: &Seen) {
    let session = store.session(KEY).expect("a key");
    let highest = seen.records().map(Record::seq).max().unwrap_or(0);
    for seq in [1, 2, highest / 2, highest, highest.saturating_add(1), u64::MAX] {
        let read = session.read(&ReadOptions::new().generation(1).from_seq(seq)).expect("read before");
        let items: Vec<_> = read.map(|item| item.expect("a disk in memory has no errors")).collect();
        let found: Vec<_> = offsets(&items).collect();
        let wanted: Vec<_> = seen.records().filter(|record| record.seq() >= seq).map(Record::offset).collect();
        assert_eq!(found, wanted, "from {seq}");
    }
}

/// Says whether nothing at all is wrong.
pub fn assert_sound(disk: &Disk, when: &str) {
    let findings = verify(&disk.look(), false).findings;
    assert!(findings.is_empty(), "{when}: {findings:?}");
}

/// The worst of some findings.
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.kind.severity()).max()
}
