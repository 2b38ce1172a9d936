//! Promises 3 and 4: bit rot costs what it hits and nothing else, and a repair, crashed anywhere, loses nothing.
//!
//! A small transcript is damaged at every byte, line and sector, and taken from another session's, all on a simulated disk.
//! A model that knows the sound lines by heart, and no checksum, walks each image by `src/format.md`; all doors must agree.

#![cfg(feature = "sim")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::numbered;
use sesslog::fs::Fs as _;
use sesslog::sim::{Chance, SimFs};
use sesslog::{Error, Item, Mark, Options, Progress, Record, Repaired, SessionKey, Severity, Store, VerifyOptions};

const KEY: &str = "telegram:8281248569";
const OTHER: &str = "other";
const STORE: &str = "/store";
const REGISTRY: &str = "/store/registry.jsonl";
const SECTOR: usize = 512;
/// Every record's claim: two single commits, a batch of three, its seal.
const CLAIMS: [usize; 7] = [0, 0, 1, 2, 2, 2, 5];

/// A sound disk with both sessions, and the same without a registry.
struct Golden {
    disks: [SimFs; 2],
    path: PathBuf,
    bytes: Vec<u8>,
    /// Line by line, without the newlines; the header is line 0, and every other's index is its seq.
    lines: Vec<Vec<u8>>,
    other: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Verdict {
    #[default]
    Clean,
    Unterminated,
    /// From this byte on.
    Torn(usize),
    Damaged,
    /// The header is sound, and another session's.
    Misfiled,
}

/// What the format says of an image.
#[derive(Debug, Default)]
struct Expected {
    verdict: Verdict,
    /// Seqs that readers give, in this order.
    yielded: Vec<usize>,
    /// Seqs of sound lines that stand behind one that they preceded: not given to readers, but brought back by a repair.
    misplaced: Vec<usize>,
    lost: Vec<(usize, usize)>,
}

fn is_padding(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | b'\t'))
}

/// What stands before the next newline, and whether there is one.
fn line_at(bytes: &[u8], at: usize) -> (&[u8], bool) {
    let rest = &bytes[at..];
    rest.iter().position(|byte| *byte == b'\n').map_or((rest, false), |end| (&rest[..end], true))
}

fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec()).collect()
}

fn options(fs: &SimFs) -> Options {
    let never = Duration::from_secs(3600);
    Options::new().file_system(Arc::new(fs.clone())).idle_release(never).registry_save_delay(never)
}

fn content(fs: &SimFs, path: &Path) -> Option<Vec<u8>> {
    fs.files().into_iter().find(|file| file.0 == path).map(|file| file.1)
}

fn quarantine(fs: &SimFs) -> Vec<Vec<u8>> {
    let folder = Path::new(STORE).join("quarantine");
    fs.files().into_iter().filter(|file| file.0.parent() == Some(&folder)).map(|file| file.1).collect()
}

/// The row's `durable_seq`, which leaves out the seal; 0 without a row.
fn witness(fs: &SimFs) -> usize {
    if content(fs, Path::new(REGISTRY)).is_some() { 5 } else { 0 }
}

fn repair(store: &Store) -> Result<Repaired, Error> {
    store.repair(&SessionKey::new(KEY).unwrap(), None, false)
}

impl Golden {
    fn new() -> Self {
        let fs = SimFs::new();
        let store = options(&fs).open(STORE).unwrap();
        let session = store.session(KEY).unwrap();
        session.append(numbered(11).id("req-1").unwrap()).unwrap();
        session.append(numbered(22).kind("meta.usage").unwrap()).unwrap();
        session.append_batch(vec![numbered(38), numbered(44).id("\u{e9}\"4").unwrap(), numbered(1)]).unwrap();
        let other = store.session(OTHER).unwrap();
        for number in 1..=5 {
            other.append(numbered(number)).unwrap();
        }
        let (path, other) = (session.path(None).unwrap(), other.path(None).unwrap());
        store.close().unwrap();
        // The registry is never synced; here its first state is to survive what comes.
        fs.tamper(Path::new(REGISTRY), &content(&fs, Path::new(REGISTRY)).unwrap());
        fs.sync_dir(Path::new(STORE)).unwrap();
        let bare = fs.fork();
        bare.remove(Path::new(REGISTRY)).unwrap();
        bare.sync_dir(Path::new(STORE)).unwrap();
        let (bytes, other) = (content(&fs, &path).unwrap(), content(&fs, &other).unwrap());
        let lines = lines_of(&bytes);
        assert_eq!(lines.len(), CLAIMS.len(), "header, five records, a seal");
        assert!(other.len() >= bytes.len(), "enough to take every sector from");
        for (line, claim) in lines.iter().zip(CLAIMS) {
            assert!(String::from_utf8_lossy(line).contains(&format!("\"durable\":{claim},")));
        }
        Self { disks: [bare, fs], path, bytes, lines, other }
    }

    /// Every image with the story of what was done to it; of those that differ by place or origin only, one in `share`.
    fn images(&self, share: usize) -> Vec<(String, Vec<u8>)> {
        let (sound, foreign) = (&self.bytes, lines_of(&self.other));
        let mut images: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for at in (0..sound.len()).step_by(share) {
            let doubled = [sound[at]; 2];
            for (story, bytes) in [("zeroed", &b"\0"[..]), ("a tab", b"\t"), ("doubled", &doubled), ("dropped", b"")] {
                images.insert([&sound[..at], bytes, &sound[at + 1..]].concat(), format!("byte {at} {story}"));
            }
        }
        let mut with_lines = |story: String, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut lines = self.lines.clone();
            change(&mut lines);
            images.insert(lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect(), story);
        };
        for at in 0..self.lines.len() {
            for second in at + 1..self.lines.len() {
                with_lines(format!("lines {at} and {second} swapped"), &|lines| lines.swap(at, second));
            }
            with_lines(format!("line {at} doubled"), &|lines| lines.insert(at, lines[at].clone()));
            with_lines(format!("line {at} removed"), &|lines| drop(lines.remove(at)));
            for (number, line) in foreign.iter().enumerate().step_by(share) {
                let story = format!("line {at} replaced by the other's {number}");
                with_lines(story, &|lines| lines[at].clone_from(line));
            }
        }
        for start in (0..sound.len()).step_by(SECTOR) {
            let end = sound.len().min(start + SECTOR);
            for (story, sector) in [("zeroed", &[0; SECTOR][..end - start]), ("foreign", &self.other[start..end])] {
                images.insert([&sound[..start], sector, &sound[end..]].concat(), format!("sector at {start} {story}"));
            }
        }
        images.remove(sound);
        images.into_iter().map(|(image, story)| (story, image)).collect()
    }

    /// The lines that readers give.
    fn lines<'a>(&'a self, expected: &'a Expected) -> impl Iterator<Item = &'a Vec<u8>> {
        expected.yielded.iter().map(|seq| &self.lines[*seq])
    }

    /// Judges an image.
    fn judge(&self, image: &[u8], witness: usize) -> Expected {
        let (first, terminated) = line_at(image, 0);
        if let Some(rest) = image.strip_prefix(&self.lines[0][..])
            && !is_padding(rest)
        {
            let mut expected = self.walk(image, self.lines[0].len() + 1, 1, witness);
            if rest[0] != b'\n' {
                expected.verdict = Verdict::Damaged;
            }
            return expected;
        }
        if terminated && self.other.starts_with(first) {
            return Expected { verdict: Verdict::Misfiled, ..Expected::default() };
        }
        // A bad header. Two lines that check tell its checksum, and no image here has fewer.
        let start = image.len().min(first.len() + 1);
        assert!(lines_of(&image[start..]).iter().filter(|line| self.lines[1..].contains(line)).count() > 1);
        // With the header its id is gone, so no row is a witness.
        Expected { verdict: Verdict::Damaged, ..self.walk(image, start, 1, 0) }
    }

    /// The walk of the format from a line's start on, where record `due` is expected. All sound lines stem from one writer,
    /// so every link holds. Sound and not given: what stands in line 0's place, behind a torn place, behind the line it is
    /// fused to, and behind its successors, whence a repair brings it back.
    fn walk(&self, image: &[u8], mut at: usize, mut due: usize, witness: usize) -> Expected {
        let mut found = Expected::default();
        // Bad lines in a row; 0 right behind a damaged separator.
        let mut bad: Option<usize> = None;
        let mut damaged = false;
        let mut lose = |due: usize, next: usize| {
            if next > due {
                found.lost.push((due, next - 1));
            }
        };
        let end = loop {
            let (line, terminated) = line_at(image, at);
            if is_padding(&image[at..]) {
                break Verdict::Clean;
            }
            let sound = if terminated { (1..self.lines.len()).find(|seq| self.lines[*seq] == line) } else { None };
            if let Some(seq) = sound {
                damaged |= seq != due;
                if seq >= due {
                    lose(due, seq);
                    (bad, due) = (None, seq + 1);
                    found.yielded.push(seq);
                } else if bad.is_none() && !found.yielded.contains(&seq) {
                    found.misplaced.push(seq);
                }
                at += line.len() + 1;
                continue;
            }
            // Rule 3. Behind bad lines any later record is due.
            let last = if bad.is_some() { self.lines.len() } else { due + 1 };
            let begun = (due..last).find(|seq| self.lines.get(*seq).is_some_and(|sound| line.starts_with(sound)));
            if let Some(seq) = begun {
                lose(due, seq);
                (bad, due) = (None, seq + 1);
                found.yielded.push(seq);
                at += self.lines[seq].len();
                if is_padding(&image[at..]) && witness < seq {
                    break Verdict::Unterminated;
                }
                let is_blank = image.get(at).is_some_and(|byte| is_padding(&[*byte]));
                let next_is_whole = || self.lines.get(due).is_some_and(|sound| line_at(image, at + 1) == (sound, true));
                if is_blank && !next_is_whole() && self.is_torn(image, at, due, witness) {
                    break Verdict::Torn(at);
                }
                (bad, damaged) = (Some(0), true);
                at = image.len().min(at + 1);
                continue;
            }
            if self.is_torn(image, at, due, witness) {
                break Verdict::Torn(at);
            }
            (bad, damaged) = (Some(bad.unwrap_or(0) + 1), true);
            at = image.len().min(at + line.len() + 1);
        };
        // With nothing valid behind it every bad line counts as a record; and the row knows how many there were.
        let next = (due + bad.unwrap_or(0)).max(witness + 1);
        damaged |= next > due;
        lose(due, next);
        found.verdict = if damaged { Verdict::Damaged } else { end };
        found
    }

    /// Rules 1, 4 and 5 for the line at `at`.
    fn is_torn(&self, image: &[u8], at: usize, due: usize, witness: usize) -> bool {
        let (line, terminated) = line_at(image, at);
        let end = at + line.len();
        let mut sectors = (at / SECTOR * SECTOR..end).step_by(SECTOR);
        let is_lost = |sector: usize| is_padding(&image[at.max(sector)..end.min(sector + SECTOR)]);
        let later = lines_of(&image[image.len().min(end + 1)..]);
        let is_proof = |seq: usize| CLAIMS[seq] >= due && later.contains(&self.lines[seq]);
        witness < due
            && (!terminated || !line.is_empty() && sectors.any(is_lost) && !(due + 1..CLAIMS.len()).any(is_proof))
    }

    /// What the row's anchor spares an owner from reading; all of it when it does not hold.
    fn owner_judges(&self, image: &[u8], witness: usize) -> Verdict {
        let [header, .., last] = &self.lines[..] else { unreachable!() };
        let [header, last] = [[header, &b"\n"[..]].concat(), [b"\n", &last[..], b"\n"].concat()];
        let covered = image.get(..self.bytes.len()).unwrap_or_default();
        if witness > 0 && covered.starts_with(&header) && covered.ends_with(&last) {
            return self.walk(image, self.bytes.len(), self.lines.len(), witness).verdict;
        }
        self.judge(image, witness).verdict
    }

    /// What a repair makes of an image: seq and content of every record, gap marks as such.
    fn repaired(&self, expected: &Expected) -> Vec<(u64, String)> {
        let mut kept = [&expected.yielded[..], &expected.misplaced].concat();
        kept.sort_unstable();
        let end = expected.lost.iter().map(|lost| lost.1 + 1).max().unwrap_or(1);
        let (mut records, mut due) = (Vec::new(), 1);
        for next in kept.iter().copied().chain([end]) {
            if next > due {
                records.push((as_u64(next - 1), format!("gap {due} {}", next - 1)));
            }
            if kept.contains(&next) && next >= due {
                records.push((as_u64(next), meaning(std::str::from_utf8(&self.lines[next]).unwrap())));
            }
            due = due.max(next + 1);
        }
        records
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap()
}

/// Of a line what is not the frame's: ts, kind, id and body.
fn meaning(line: &str) -> String {
    line[line.find(",\"ts\":").unwrap()..line.len() - 18].to_owned()
}

/// Seq and content of every record, gap marks without their time.
fn meanings(store: &Store, story: &str) -> Vec<(u64, String)> {
    let meaning = |record: Record| match record.as_mark() {
        Some(Mark::Gap { from_seq, to_seq }) => (record.seq(), format!("gap {from_seq} {to_seq}")),
        _ => (record.seq(), meaning(record.line())),
    };
    let items = store.session(KEY).unwrap().records().unwrap();
    items
        .map(|item| if let Item::Record(record) = item.unwrap() { meaning(record) } else { panic!("{story}: a gap") })
        .collect()
}

/// The worst that is said of the session; the other one is always sound.
fn severity(store: &Store, story: &str) -> Option<Severity> {
    let mut report = store.verify(&VerifyOptions::new().jobs(1), &Progress::default()).unwrap();
    report.findings.retain(|finding| !finding.kind.name().starts_with("registry-"));
    assert!(report.findings.iter().all(|finding| finding.path.to_string_lossy().contains("telegram")), "{story}");
    report.worst()
}

/// Runs `work` for every image with and without a registry, on all cores, with what the format says of it.
fn for_each(golden: &Golden, share: usize, work: impl Fn(&str, &[u8], &SimFs, &Expected) + Sync) {
    let images = golden.images(share);
    let next = AtomicUsize::new(0);
    let step = || {
        while let Some((story, image)) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (disk, row) in golden.disks.iter().zip(["no row", "a row"]) {
                let fs = disk.fork();
                fs.tamper(&golden.path, image);
                work(&format!("{story}, {row}"), image, &fs, &golden.judge(image, witness(disk)));
            }
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(step))));
}

#[test]
fn readers_lose_what_was_hit_and_an_owner_refuses_or_goes_on() {
    let golden = Golden::new();
    for_each(&golden, 1, |story, image, fs, expected| {
        let before = fs.hash();
        let store = options(fs).open_read_only(STORE).unwrap();
        let wanted = match expected.verdict {
            Verdict::Clean => None,
            Verdict::Unterminated | Verdict::Torn(_) => Some(Severity::Heals),
            Verdict::Damaged | Verdict::Misfiled => Some(Severity::Damage),
        };
        assert_eq!(severity(&store, story), wanted, "{story}: {expected:?}");
        if expected.verdict == Verdict::Misfiled {
            assert!(matches!(store.session(KEY).unwrap().records(), Err(Error::Misfiled { .. })), "{story}");
        } else {
            let items = check_items(&golden, &store, expected, image, story);
            let mut backward: Vec<_> = store.session(KEY).unwrap().backward().unwrap().map(Result::unwrap).collect();
            backward.reverse();
            assert_eq!(backward, items, "{story}: backward");
        }
        assert_eq!(fs.hash(), before, "{story}: a reader changed something");

        let store = options(fs).open(STORE).unwrap();
        let appended = store.session(KEY).unwrap().append(numbered(9));
        let owner = golden.owner_judges(image, witness(fs));
        if matches!(owner, Verdict::Damaged | Verdict::Misfiled) {
            let error = appended.unwrap_err();
            let is_named = match owner {
                Verdict::Misfiled => matches!(error, Error::Misfiled { .. }),
                _ => matches!(error, Error::Damaged { .. }),
            };
            assert!(is_named, "{story}: {error:?}");
            store.close().unwrap();
            assert_eq!(content(fs, &golden.path).unwrap(), image, "{story}: a refused append changed the file");
            assert!(quarantine(fs).is_empty(), "{story}");
            return;
        }
        appended.unwrap_or_else(|error| panic!("{story}: {error:?}"));
        let cut = if let Verdict::Torn(at) = owner { at } else { image.len() };
        let padding = image[..cut].iter().rev().take_while(|byte| is_padding(&[**byte])).count();
        let kept = content(fs, &golden.path).unwrap();
        assert_eq!(kept[..cut - padding], image[..cut - padding], "{story}");
        assert_eq!(quarantine(fs).concat(), image[cut..], "{story}: what was cut");
        let items = store.session(KEY).unwrap().records().unwrap().map(Result::unwrap);
        let records = items.filter_map(|item| if let Item::Record(record) = item { Some(record) } else { None });
        let lines: Vec<_> = records.map(|record| record.line().as_bytes().to_owned()).collect();
        // Behind them `recovered`, if bytes were cut, and the new one.
        let old = lines.len() - 1 - usize::from(cut < image.len());
        assert!(lines[..old].iter().eq(golden.lines(expected)), "{story}: {lines:?}");
        store.close().unwrap();
        let damaged = (expected.verdict == Verdict::Damaged).then_some(Severity::Damage);
        assert_eq!(severity(&options(fs).open_read_only(STORE).unwrap(), story), damaged, "{story}: afterwards");
    });
}

/// Records and lost seqs are those expected, and every byte belongs to the header, a record, a gap or the tail.
fn check_items(golden: &Golden, store: &Store, expected: &Expected, image: &[u8], story: &str) -> Vec<Item> {
    let mut records = store.session(KEY).unwrap().records().unwrap();
    let items: Vec<_> = records.by_ref().map(Result::unwrap).collect();
    let (mut lines, mut lost) = (Vec::new(), Vec::new());
    // Behind a record its newline; another byte in that place is the next gap's.
    let behind = |at: usize| as_u64(at + usize::from(image.get(at) == Some(&b'\n')));
    let is_sound = image.strip_prefix(&golden.lines[0][..]).is_some_and(|rest| !is_padding(rest));
    let mut at = if is_sound { behind(golden.lines[0].len()) } else { 0 };
    for item in &items {
        if let Item::Record(record) = item {
            assert_eq!(record.offset(), at, "{story}: {items:?}");
            at = behind(usize::try_from(at).unwrap() + record.line().len());
            lines.push(record.line().as_bytes());
        } else if let Item::Gap(gap) = item {
            assert_eq!(gap.offset, at, "{story}: {items:?}");
            at += gap.bytes;
            lost.extend(gap.lost.map(|(from, to)| (usize::try_from(from).unwrap(), usize::try_from(to).unwrap())));
        }
    }
    let tail = records.tail().unwrap();
    assert_eq!((tail.offset, tail.offset + tail.bytes), (at, as_u64(image.len())), "{story}: {items:?}");
    assert!(lines.into_iter().eq(golden.lines(expected)), "{story}: {items:?}");
    assert_eq!(lost, expected.lost, "{story}: {items:?}");
    items
}

#[test]
fn a_repair_brings_back_whatever_is_sound() {
    let golden = Golden::new();
    for_each(&golden, 1, |story, image, fs, expected| {
        let store = options(fs).open(STORE).unwrap();
        let repaired = repair(&store);
        if expected.verdict != Verdict::Damaged {
            let is_misfiled = matches!(repaired, Err(Error::Misfiled { .. }));
            assert_eq!(is_misfiled, expected.verdict == Verdict::Misfiled, "{story}: {repaired:?}");
            assert!(is_misfiled || repaired.is_ok_and(|repaired| repaired.quarantine.is_none()), "{story}");
            assert_eq!(content(fs, &golden.path).unwrap(), image, "{story}");
            assert!(quarantine(fs).is_empty(), "{story}");
            return;
        }
        let repaired = repaired.unwrap();
        assert!(!repaired.gaps.is_empty() && repaired.quarantine.is_some(), "{story}");
        let wanted = golden.repaired(expected);
        assert_eq!(meanings(&store, story), wanted, "{story}");
        // Whole lines behind the first line's place are all there, wherever they stand.
        for line in lines_of(image).iter().skip(1) {
            let seq = (1..golden.lines.len()).find(|seq| golden.lines[*seq] == *line);
            assert!(seq.is_none_or(|seq| wanted.iter().any(|record| record.0 == as_u64(seq))), "{story}: {seq:?}");
        }
        assert_eq!(quarantine(fs), [image], "{story}");
        assert_eq!(severity(&store, story), None, "{story}: afterwards");
        let before = content(fs, &golden.path).unwrap();
        let again = repair(&store).unwrap();
        assert!(again.gaps.is_empty() && again.lost.is_empty() && again.quarantine.is_none(), "{story}: {again:?}");
        assert_eq!(content(fs, &golden.path).unwrap(), before, "{story}: a second repair");
        let receipt = store.session(KEY).unwrap().append(numbered(9)).unwrap();
        let mut found = meanings(&store, story);
        let (seq, text) = found.pop().unwrap();
        assert!(seq == receipt.seq && text.ends_with(numbered(9).body()), "{story}: {text}");
        assert_eq!(found, wanted, "{story}: appended");
    });
}

#[test]
fn a_repair_crashed_anywhere_leaves_the_original_or_all_of_the_new_file() {
    let golden = Golden::new();
    for_each(&golden, 97, |story, image, fs, expected| {
        if expected.verdict != Verdict::Damaged {
            return;
        }
        let wanted = golden.repaired(expected);
        let mut chance = Chance::new(as_u64(image.len()));
        for operation in 0.. {
            let fs = fs.fork();
            let store = options(&fs).open(STORE).unwrap();
            fs.cut_power_at(Some(fs.operations() + operation));
            let done = repair(&store).is_ok();
            for crash in 0..3 {
                let fs = fs.fork();
                let story = format!("{story}, power cut at {operation}, crash {crash}");
                fs.crash(&mut chance);
                let found = content(&fs, &golden.path).unwrap_or_else(|| panic!("{story}: absent"));
                let store = options(&fs).open(STORE).unwrap();
                if found == image {
                    assert!(!done, "{story}: a repair that returned is gone");
                    repair(&store).unwrap();
                }
                assert_eq!(meanings(&store, &story), wanted, "{story}");
                assert!(quarantine(&fs).iter().any(|kept| kept == image), "{story}: no byte is gone");
                let again = repair(&store).unwrap();
                assert!(again.gaps.is_empty() && again.quarantine.is_none(), "{story}: {again:?}");
                assert_ne!(severity(&store, &story), Some(Severity::Damage), "{story}");
                store.session(KEY).unwrap().append(numbered(9)).unwrap();
            }
            if done {
                break;
            }
        }
    });
}
