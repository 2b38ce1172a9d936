//! Promise 3: torn is not damaged.
//!
//! A small transcript of single and batched commits is cut at every byte, and every bit of it is flipped once, with and
//! without the registry. What a cut or a flip must give is computed here from the places of the lines alone. Exhaustive, so
//! a wrong classification of any single byte shows.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{bodies, numbered};
use sesslog::{Defect, Error, Item, NewRecord, Options, Progress, Severity, Store, TailState, VerifyOptions};

const KEY: &str = "telegram:8281248569";

struct Golden {
    bytes: Vec<u8>,
    registry: Vec<u8>,
    name: PathBuf,
    /// Start of every line; the header is line 0.
    starts: Vec<usize>,
    /// Bodies of the caller by line; `None` for header and marks.
    bodies: Vec<Option<String>>,
}

/// Header, two single commits, a batch of three, its seal.
fn golden() -> Golden {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session(KEY).unwrap();
    session.append(numbered(1)).unwrap();
    session.append(numbered(2)).unwrap();
    session.append_batch(vec![numbered(3), numbered(4), numbered(5)]).unwrap();
    store.close().unwrap();
    let path = session.path(None).unwrap();
    let bytes = fs::read(&path).unwrap();
    let starts: Vec<_> = std::iter::once(0)
        .chain(bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1))
        .collect();
    let (starts, end) = (starts[..starts.len() - 1].to_vec(), *starts.last().unwrap());
    assert_eq!((end, starts.len()), (bytes.len(), 7), "header, five records, a seal");
    let mut all: Vec<_> = (1..=5).map(|number| Some(numbered(number).body().to_owned())).collect();
    all.insert(0, None);
    all.push(None);
    let registry = fs::read(folder.path().join("registry.jsonl")).unwrap();
    Golden { bytes, registry, name: path.strip_prefix(folder.path()).unwrap().to_owned(), starts, bodies: all }
}

impl Golden {
    /// A store with this transcript, and the golden registry or none.
    fn store(&self, bytes: &[u8], with_registry: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["transcripts", "quarantine", "locks"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join(&self.name), bytes).unwrap();
        if with_registry {
            fs::write(folder.path().join("registry.jsonl"), &self.registry).unwrap();
        }
        folder
    }

    /// The end of a line without its newline.
    fn end(&self, line: usize) -> usize {
        self.starts.get(line + 1).copied().unwrap_or(self.bytes.len()) - 1
    }

    /// The line that a byte is in.
    fn line_of(&self, at: usize) -> usize {
        self.starts.iter().rposition(|start| *start <= at).unwrap()
    }

    /// The caller's bodies in some lines.
    fn bodies(&self, lines: impl Iterator<Item = usize>) -> Vec<String> {
        lines.filter_map(|line| self.bodies[line].clone()).collect()
    }
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap()
}

/// Runs `work` for 0..count on many threads: a reader waits a moment before it believes a bad tail.
fn for_each(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(at))).is_err() {
                        failed.lock().unwrap().push(at);
                    }
                }
            });
        }
    });
    assert!(failed.lock().unwrap().is_empty(), "failed at {:?}; see above", failed.lock().unwrap());
}

fn severity(folder: &Path) -> Option<Severity> {
    let store = Options::new().open_read_only(folder).unwrap();
    let mut report = store.verify(&VerifyOptions::new(), &Progress::default()).unwrap();
    report.findings.retain(|finding| finding.kind.name() != "registry-missing");
    report.worst()
}

#[test]
fn a_cut_anywhere_leaves_a_prefix_and_keeps_the_cut_bytes() {
    let golden = golden();
    for_each(golden.bytes.len() + 1, |cut| {
        let folder = golden.store(&golden.bytes[..cut], false);
        let path = folder.path().join(&golden.name);
        let whole_lines = golden.starts.iter().filter(|start| **start > 0 && **start <= cut).count()
            + usize::from(cut == golden.bytes.len());
        let store = Options::new().open_read_only(folder.path()).unwrap();
        let session = store.session(KEY).unwrap();
        if whole_lines == 0 {
            // The header was promised whole before the file had a name.
            assert_eq!(bodies(&session), ["gap"], "cut at {cut}");
            assert_eq!(severity(folder.path()), Some(Severity::Damage), "cut at {cut}");
            refuses(&golden, folder.path(), &golden.bytes[..cut], &format!("cut at {cut}"));
            return;
        }
        let line = golden.line_of(cut.min(golden.bytes.len() - 1));
        let at_boundary = cut == golden.bytes.len() || golden.starts.contains(&cut);
        let unterminated = !at_boundary && cut == golden.end(line);
        let kept = golden.bodies(0..whole_lines + usize::from(unterminated));
        let mut records = session.records().unwrap();
        let found: Vec<_> = records.by_ref().filter_map(|item| common::body(&item.unwrap())).collect();
        assert_eq!(found, kept, "cut at {cut}");
        let state = records.tail().unwrap().state;
        let torn = !at_boundary && !unterminated;
        assert_eq!(state == TailState::Torn { newline_missing: false }, torn, "cut at {cut}: {state:?}");
        assert_eq!(state == TailState::Unterminated, unterminated, "cut at {cut}: {state:?}");
        assert_eq!(severity(folder.path()), (!at_boundary).then_some(Severity::Heals), "cut at {cut}");
        // The owner goes on, and keeps what it cuts.
        let store = Store::open(folder.path()).unwrap();
        store.session(KEY).unwrap().append(NewRecord::json(r#""next""#).unwrap()).unwrap();
        let mut expected = kept;
        expected.push(r#""next""#.to_owned());
        assert_eq!(bodies(&store.session(KEY).unwrap()), expected, "cut at {cut}");
        let aside: Vec<u8> =
            common::contents(&folder.path().join("quarantine")).into_iter().flat_map(|file| file.1).collect();
        let wanted: &[u8] = if torn { &golden.bytes[golden.starts[line]..cut] } else { b"" };
        assert_eq!(aside, wanted, "cut at {cut}");
        let healed = fs::read(&path).unwrap();
        let sound = if torn { golden.starts[line] } else { cut };
        assert_eq!(healed[..sound], golden.bytes[..sound], "cut at {cut}");
        drop(store);
        assert_eq!(severity(folder.path()), None, "cut at {cut}");
    });
}

#[test]
fn a_cut_below_what_the_registry_saw_durable_is_loss() {
    let golden = golden();
    // The seal was never synced: without it nothing that was promised is missing.
    let promised = golden.starts[6];
    for_each(golden.bytes.len() + 1, |cut| {
        let folder = golden.store(&golden.bytes[..cut], true);
        if cut >= promised {
            assert_ne!(severity(folder.path()), Some(Severity::Damage), "cut at {cut}");
            Store::open(folder.path()).unwrap().session(KEY).unwrap().append(numbered(6)).unwrap();
            return;
        }
        assert_eq!(severity(folder.path()), Some(Severity::Damage), "cut at {cut}");
        refuses(&golden, folder.path(), &golden.bytes[..cut], &format!("cut at {cut}"));
        let store = Options::new().open_read_only(folder.path()).unwrap();
        let items: Vec<_> = store.session(KEY).unwrap().records().unwrap().map(|item| item.unwrap()).collect();
        let last_lost =
            items.iter().filter_map(|item| if let Item::Gap(gap) = item { gap.lost } else { None }).next_back();
        if cut >= golden.starts[1] && cut != golden.end(5) {
            assert_eq!(last_lost.map(|lost| lost.1), Some(5), "cut at {cut}: {items:?}");
        }
    });
}

#[test]
fn a_flipped_bit_is_damage_and_costs_its_own_record_only() {
    let golden = golden();
    for_each(golden.bytes.len() * 8, |flip| {
        let (at, bit) = (flip / 8, flip % 8);
        let mut bytes = golden.bytes.clone();
        bytes[at] ^= 1 << bit;
        let story = format!("byte {at} bit {bit}");
        let folder = golden.store(&bytes, false);
        let line = golden.line_of(at);
        let newline = at == golden.end(line);
        let store = Options::new().open_read_only(folder.path()).unwrap();
        let items: Vec<_> = store.session(KEY).unwrap().records().unwrap().map(|item| item.unwrap()).collect();
        let gaps: Vec<_> =
            items.iter().filter_map(|item| if let Item::Gap(gap) = item { Some(*gap) } else { None }).collect();
        assert_eq!(gaps.len(), 1, "{story}: {gaps:?}");
        let found: Vec<_> = items.iter().filter_map(common::body).filter(|body| body != "gap").collect();
        let sound = golden.bodies((0..7).filter(|other| newline || *other != line));
        assert_eq!(found, sound, "{story}");
        let gap = gaps[0];
        if newline {
            assert_eq!(
                (gap.defect, gap.offset, gap.bytes, gap.lost),
                (Defect::Separator, u64_of(at), 1, None),
                "{story}"
            );
        } else {
            let wanted = u64_of(golden.starts[line]);
            assert_eq!(gap.offset, wanted, "{story}");
            assert_eq!(gap.bytes, u64_of(golden.end(line) + 1) - wanted, "{story}");
            assert_eq!(gap.defect == Defect::Header, line == 0, "{story}");
            if line > 0 {
                let (from, to) = gap.lost.unwrap();
                assert_eq!(from, u64_of(line), "{story}");
                // A flip that makes a newline leaves two bad lines; behind the last record nobody can tell one from two.
                let two_lines = bytes[at] == b'\n';
                assert!(to == from || (two_lines && line == 6 && to == from + 1), "{story}: {from} to {to}");
            }
        }
        assert_eq!(severity(folder.path()), Some(Severity::Damage), "{story}");
        refuses(&golden, folder.path(), &bytes, &story);
    });
}

/// An append is refused with a reason, and changes nothing.
fn refuses(golden: &Golden, folder: &Path, bytes: &[u8], story: &str) {
    let store = Store::open(folder).unwrap();
    let error = store.session(KEY).unwrap().append(numbered(9)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{story}: {error:?}");
    store.close().unwrap();
    assert_eq!(fs::read(folder.join(&golden.name)).unwrap(), bytes, "{story}: a refused append changed the file");
    assert!(common::contents(&folder.join("quarantine")).is_empty(), "{story}");
}

#[test]
fn a_lost_sector_is_torn_only_while_nothing_proves_it() {
    // Two batches, each with a record of several sectors. A sector of the last one is blanked as if it had not reached the
    // disk: torn. The same sector of the first batch, which the second proves: damage.
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session(KEY).unwrap();
    session.append(numbered(1)).unwrap();
    let big = |number: u32| NewRecord::json(&format!(r#"{{"n":{number},"text":"{}"}}"#, "y".repeat(2000))).unwrap();
    let first = session.append_batch(vec![big(2), big(3)]).unwrap();
    let second = session.append_batch(vec![big(4), big(5)]).unwrap();
    assert_eq!((first[0].seq, second[0].seq), (2, 4));
    let path = session.path(None).unwrap();
    let bytes = fs::read(&path).unwrap();
    // Without the seal that a close would add.
    let copy = |bytes: &[u8]| {
        let copy = tempfile::tempdir().unwrap();
        for name in ["transcripts", "quarantine", "locks"] {
            fs::create_dir(copy.path().join(name)).unwrap();
        }
        fs::write(copy.path().join(path.strip_prefix(folder.path()).unwrap()), bytes).unwrap();
        copy
    };
    let starts: Vec<_> = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    for (line, torn) in [(4, true), (3, true), (2, false), (1, false)] {
        for padding in [0, b'\t'] {
            let sector = starts[line].next_multiple_of(512);
            let mut blanked = bytes.clone();
            blanked[sector..sector + 512].fill(padding);
            let store = copy(&blanked);
            let wanted = if torn { Severity::Heals } else { Severity::Damage };
            assert_eq!(severity(store.path()), Some(wanted), "line {line} blanked with {padding}");
            let appended = Store::open(store.path()).unwrap().session(KEY).unwrap().append(numbered(6));
            assert_eq!(appended.is_ok(), torn, "line {line}: {appended:?}");
        }
    }
}
