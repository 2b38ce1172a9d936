//! A power cut at every operation of an import: the next one brings all of it, and what it shows is what it would show without.

use std::sync::Arc;

use sesslog::sim::{Chance, SimFs};
use sesslog::{NewRecord, Options, SessionState};

use super::*;

fn try_open(fs: &SimFs) -> Result<Store, sesslog::Error> {
    Options::new().file_system(Arc::new(fs.clone())).open("/store")
}

fn open(fs: &SimFs) -> Store {
    try_open(fs).unwrap()
}

/// Imports the versions of a source one after the other, the last with a power cut at every operation, and then again.
#[track_caller]
fn check(name: &str, versions: &[&[u8]], last: State) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let run =
        |store: &Store| import(store, std::slice::from_ref(&path), &ImportOptions::new().jobs(1), &Progress::default());
    let before = SimFs::new();
    let (source, earlier) = versions.split_last().unwrap();
    for version in earlier {
        fs::write(&path, version).unwrap();
        let store = open(&before);
        run(&store);
        store.close().unwrap();
    }
    fs::write(&path, source).unwrap();
    let shown = |store: &Store, key: &str| {
        let context = store.session(key).unwrap().context().unwrap();
        let bodies: Vec<_> = context.items.iter().map(body).collect();
        (
            context.summary.map(|summary| summary.json().to_owned()),
            bodies,
            store.session(key).unwrap().row().unwrap().title,
        )
    };
    let whole = before.fork();
    let store = open(&whole);
    let (key, state) = only(&run(&store));
    assert_eq!(state, last);
    let expected = shown(&store, &key);
    store.close().unwrap();

    let (mut operation, mut cuts) = (before.operations(), 0);
    loop {
        operation += 1;
        let fs = before.fork();
        fs.cut_power_at(Some(operation));
        let is_done = try_open(&fs).is_ok_and(|store| {
            let imported = run(&store);
            imported.findings.is_empty() && store.close().is_ok()
        });
        fs.cut_power_at(None);
        fs.crash(&mut Chance::new(operation));
        let store = open(&fs);
        let again = run(&store);
        assert_eq!(names(&again), [""; 0], "operation {operation}: {again:?}");
        let mut original = Vec::new();
        let session = store.session(key.as_str()).unwrap();
        write_original(&session, None, &mut original).unwrap();
        assert!(original == *source, "operation {operation}: not the same bytes");
        assert_eq!(shown(&store, &key), expected, "operation {operation}");
        assert_ne!(session.row().unwrap().state, SessionState::Closed);
        let third = run(&store);
        assert_eq!((only(&third).1, third.sessions[0].records), (State::Unchanged, 0), "operation {operation}");
        store.close().unwrap();
        if is_done {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 5, "{cuts}");
}

#[test]
fn of_a_new_source() {
    check("x.jsonl", &[&fixture("pi/v3-all-entry-types.jsonl")], State::New);
}

#[test]
fn of_one_that_grew() {
    let whole = fixture("pi/v3-all-entry-types.jsonl");
    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    // In the middle of a line: what was read of it is replaced.
    let torn = [&lines[..4].concat()[..], &lines[4][..30]].concat();
    check("x.jsonl", &[&torn, &whole], State::Grown);
    check("x.jsonl", &[&lines[..9].concat(), &whole], State::Grown);
}

#[test]
fn of_one_whose_first_line_changed() {
    let metadata = |last: u64, title: &str| {
        format!(
            "{{\"_type\": \"metadata\", \"key\": \"a:b\", \"created_at\": \"2026-11-22T00:51:01\", \
             \"metadata\": {{\"title\": \"{title}\", \"_last_summary\": {{\"text\": \"{last}\"}}}}, \"last_archived\": {last}}}\n"
        )
    };
    let message = |number: u64| format!("{{\"role\": \"user\", \"content\": \"{number}\"}}\n");
    let version = |messages: u64, last: u64, title: &str| {
        let messages: String = (0..messages).map(message).collect();
        metadata(last, title) + &messages
    };
    // Back to what it was once, too.
    let versions = [version(3, 0, "a"), version(5, 2, "b"), version(6, 2, "b"), version(7, 0, "a")];
    for count in 2..=versions.len() {
        let versions: Vec<_> = versions[..count].iter().map(String::as_bytes).collect();
        check("x.jsonl", &versions, State::Grown);
    }
}

/// Imports `before`, then `after`, of which all but so many of the last records is there: the next import goes on.
#[track_caller]
fn check_cut_off(before: &[u8], after: &[u8], lost: usize) {
    let bench = Bench::new();
    let options = ImportOptions::new().from(sesslog::import::System::Jsonl).record_bytes_max(8 << 20);
    let path = bench.write("a.jsonl", before);
    bench.import(&options);
    fs::write(&path, after).unwrap();
    assert_eq!(only(&bench.import(&options)).1, State::Grown);
    let other = tempfile::tempdir().unwrap();
    let store = Store::open(other.path().join("store")).unwrap();
    let session = bench.store.session("jsonl:a").unwrap();
    let records: Vec<_> = session.records().unwrap().map(|item| item.unwrap()).collect();
    for item in &records[..records.len() - lost] {
        let Item::Record(record) = item else { panic!("{item:?}") };
        let new = NewRecord::json(record.body())
            .unwrap()
            .kind(record.kind().to_owned())
            .unwrap()
            .id(record.id().unwrap())
            .unwrap();
        store.session("jsonl:a").unwrap().append(new.at(record.ts())).unwrap();
    }
    let again = import(&store, std::slice::from_ref(&path), &options, &Progress::default());
    assert_eq!((only(&again).1, again.sessions[0].generation), (State::Grown, 1), "{lost}");
    assert_eq!(again.sessions[0].records, u64::try_from(lost).unwrap(), "what is there is not written again");
    let mut original = Vec::new();
    write_original(&store.session("jsonl:a").unwrap(), None, &mut original).unwrap();
    assert!(original == after, "{lost}: not the same bytes");
    let third = import(&store, &[path], &options, &Progress::default());
    assert_eq!((only(&third).1, third.sessions[0].records), (State::Unchanged, 0), "{lost}");
}

#[test]
fn of_a_long_line_in_the_middle_of_its_parts() {
    let before = b"{\"role\":\"user\"}\n";
    let after = [&before[..], &vec![b'x'; 14 << 20], b"\n{\"role\":\"user\"}\n"].concat();
    // Three parts, a line, the end.
    for lost in 1..=4 {
        check_cut_off(before, &after, lost);
    }
}

#[test]
fn of_one_whose_first_line_changed_and_kept_its_size() {
    let bench = Bench::new();
    let version = |last: u64| {
        format!(
            "{{\"_type\": \"metadata\", \"key\": \"a:b\", \"created_at\": \"2026-11-22T00:51:01\", \"last_archived\": {last}}}\n\
             {{\"role\": \"user\", \"content\": \"1\"}}\n"
        )
    };
    for last in [0, 1, 0, 10, 1, 0] {
        bench.write("x.jsonl", version(last).as_bytes());
        bench.import(&ImportOptions::new());
        assert_eq!(bench.original("a:b"), version(last).as_bytes(), "{last}");
        assert_eq!(only(&bench.import(&ImportOptions::new())), ("a:b".to_owned(), State::Unchanged), "{last}");
    }
}

#[test]
fn of_one_that_was_rewritten() {
    let whole = fixture("jsonl/chat.jsonl");
    let end = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    check("x.jsonl", &[&whole, &whole[end..]], State::NextGeneration);
}
