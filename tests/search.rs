//! Searches: what is found is what a reader would be given, in every transcript, sound or not.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Mutex;

use common::numbered;
use sesslog::{
    Error, Found, Item, Needle, NewRecord, Options, Progress, Record, SearchOptions, Searched, SessionKey, Store,
};

/// Finds bytes; of a block as precisely as it can, or every line.
struct Bytes(&'static str, bool);

impl Needle for Bytes {
    fn candidate(&self, lines: &[u8], at: usize) -> Option<usize> {
        if self.1 {
            return Some(at).filter(|at| *at < lines.len());
        }
        let needle = self.0.as_bytes();
        (at..lines.len().saturating_sub(needle.len() - 1)).find(|at| lines[*at..].starts_with(needle))
    }

    fn is_in(&self, record: &Record) -> bool {
        record.body().contains(self.0)
    }
}

type Finds = BTreeMap<(String, u64), Vec<String>>;

fn text(item: &Item) -> String {
    match item {
        Item::Record(record) => format!("{} {}", record.seq(), record.body()),
        gap => format!("{gap:?}"),
    }
}

fn search(store: &Store, needle: &Bytes, options: &SearchOptions) -> (Finds, Searched) {
    let finds = Mutex::new(Finds::new());
    let found = |found: Found| {
        let mut finds = finds.lock().unwrap();
        let texts = found.items.iter().map(text);
        finds.entry((found.key.to_string(), found.generation)).or_default().extend(texts);
        ControlFlow::Continue(())
    };
    let searched = store.search(needle, options, &Progress::default(), &found).unwrap();
    (finds.into_inner().unwrap(), searched)
}

/// What readers are given; damage too where `gaps` says so.
fn read(store: &Store, needle: &Bytes, gaps: bool) -> Finds {
    let mut finds = Finds::new();
    for listed in store.sessions().unwrap() {
        let sesslog::Listed::Session(row) = listed else { continue };
        let session = store.session(&row.key).unwrap();
        let options = sesslog::ReadOptions::new().generation(row.generation);
        let is_wanted = |item: &Item| match item {
            Item::Record(record) => !record.is_mark() && needle.is_in(record),
            _ => gaps,
        };
        let items: Vec<_> = session.read(&options).unwrap().map(Result::unwrap).filter(is_wanted).collect();
        if !items.is_empty() {
            finds.insert((row.key.clone(), row.generation), items.iter().map(text).collect());
        }
    }
    finds
}

fn world() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for key in ["a", "b", "c"] {
        let session = store.session(key).unwrap();
        for number in 0..200 {
            session.append_with(numbered(number), sesslog::Durability::Buffered).unwrap();
        }
    }
    let b = store.session("b").unwrap();
    b.set_title("the number 77 as a title").unwrap();
    b.reset("77").unwrap();
    b.append(NewRecord::json(r#"{"n":77,"again":true}"#).unwrap()).unwrap();
    store.session("long").unwrap().append(NewRecord::new(&"77".repeat(1 << 20)).unwrap()).unwrap();
    (folder, store)
}

#[test]
fn what_is_found_is_what_readers_are_given() {
    let (_folder, store) = world();
    for needle in ["77", "\"n\":7", "zzz", "{", "\"kind\"", "\"crc\"", "x\"}"] {
        for each_line in [false, true] {
            for jobs in [1, 2] {
                let needle = Bytes(needle, each_line);
                let (found, searched) = search(&store, &needle, &SearchOptions::new().jobs(jobs));
                let expected = read(&store, &needle, false);
                assert!(found == expected, "{}: {} of {}", needle.0, found.len(), expected.len());
                assert_eq!(searched.sessions, 5);
                assert_eq!(searched.records, u64::try_from(expected.values().flatten().count()).unwrap());
            }
        }
    }
    let all = search(&store, &Bytes("77", false), &SearchOptions::new()).0;
    let some = search(&store, &Bytes("77", false), &SearchOptions::new().key(SessionKey::new("b").unwrap())).0;
    assert_eq!(some.keys().map(|(_, generation)| *generation).collect::<Vec<_>>(), [1, 2]);
    assert!(some.iter().all(|(session, found)| all[session] == *found));
    let marks = search(&store, &Bytes("as a title", false), &SearchOptions::new().marks(true)).0;
    assert_eq!(marks.len(), 1);
    let none = SearchOptions::new().key(SessionKey::new("none").unwrap());
    let refused = store.search(&Bytes("1", false), &none, &Progress::default(), &|_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(Error::SessionNotFound { .. })), "{refused:?}");
}

#[test]
fn a_search_ends_when_nobody_wants_more() {
    let (_folder, store) = world();
    let found = Mutex::new(0);
    let once = |_: Found| {
        *found.lock().unwrap() += 1;
        ControlFlow::Break(())
    };
    store.search(&Bytes("n", false), &SearchOptions::new().jobs(1), &Progress::default(), &once).unwrap();
    assert_eq!(*found.lock().unwrap(), 1);
}

/// Bytes of a transcript changed, cuts, lost sectors: what is found are records that a reader is given, all of them once a line in
/// question is bad.
#[test]
fn in_a_damaged_transcript_nothing_is_found_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    for number in 0..6 {
        session.append(numbered(number)).unwrap();
    }
    session.append_batch((6..12).map(numbered).collect()).unwrap();
    let path = session.path(None).unwrap();
    store.close().unwrap();
    let sound = fs::read(&path).unwrap();
    let needle = Bytes("\"n\":", false);
    let look = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let store = Options::new().open_read_only(folder.path()).unwrap();
        let (found, searched) = search(&store, &needle, &SearchOptions::new().jobs(1));
        let session = store.session("k").unwrap();
        let Ok(items) = session.records() else {
            assert_eq!(searched.failures.len(), 1, "{what}");
            return;
        };
        let given: Vec<_> = items
            .map(|item| text(&item.unwrap()))
            .filter(|text| text.contains("\"n\":") || text.contains("Gap"))
            .collect();
        let found: Vec<_> = found.into_values().flatten().collect();
        let has_met = found.iter().any(|text| text.contains("Gap"));
        let expected: Vec<_> = given.iter().filter(|text| has_met || !text.contains("Gap")).cloned().collect();
        assert_eq!(found, expected, "{what}");
    };
    for at in (0..sound.len()).step_by(17) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        look(&bytes, &format!("byte {at}"));
    }
    for at in (0..sound.len()).step_by(101) {
        look(&sound[..at], &format!("cut at {at}"));
        let mut bytes = sound.clone();
        let end = (at + 512).min(bytes.len());
        bytes[at..end].fill(0);
        look(&bytes, &format!("zeros at {at}"));
    }
}
