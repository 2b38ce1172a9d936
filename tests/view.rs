//! The active view: what a model gets, the last messages, and an undo, against a fold of the whole transcript.

#![cfg(feature = "sim")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;

use sesslog::sim::{Chance, SimFs};
use sesslog::{Context, Error, Item, Mark, NewRecord, Options, Session, Store};

fn store() -> (SimFs, Store) {
    let fs = SimFs::new();
    let store = Options::new().file_system(std::sync::Arc::new(fs.clone())).open("/store").unwrap();
    (fs, store)
}

fn say(session: &Session, text: &str) -> u64 {
    session.append(NewRecord::new(text).unwrap()).unwrap().seq
}

fn note(session: &Session, text: &str) {
    session.append(NewRecord::new(text).unwrap().kind("meta.usage").unwrap()).unwrap();
}

fn texts(items: &[Item]) -> Vec<String> {
    let text = |item: &Item| match item {
        Item::Record(record) => record.parse().unwrap(),
        other => panic!("{other:?}"),
    };
    items.iter().map(text).collect()
}

fn summary(context: &Context) -> Option<&str> {
    context.summary.as_ref().map(sesslog::Summary::json)
}

#[test]
fn a_summary_stands_for_what_is_before_it() {
    let (_fs, store) = store();
    let session = store.session("k").unwrap();
    for text in ["a", "b", "c"] {
        say(&session, text);
    }
    note(&session, "tokens");
    session
        .compact(&serde_json::value::RawValue::from_string(r#"{"z": 1, "a":[2.50]}"#.to_owned()).unwrap(), 3)
        .unwrap();
    say(&session, "d");
    let context = session.context().unwrap();
    assert_eq!(texts(&context.items), ["c", "d"]);
    // Byte for byte: neither the order of keys nor the spelling of a number is ours to change.
    assert_eq!(summary(&context), Some(r#"{"z": 1, "a":[2.50]}"#));
    assert_eq!((context.summary.unwrap().keep_from, context.head.seq, context.clamped.len()), (3, 6, 0));
    assert_eq!(texts(&session.history(3).unwrap()), ["b", "c", "d"]);
    assert_eq!(session.head().unwrap(), context.head);
}

#[test]
fn an_undo_is_a_mark_and_keeps_the_summary_that_it_does_not_touch() {
    let (_fs, store) = store();
    let session = store.session("k").unwrap();
    for text in ["a", "b", "c", "d"] {
        say(&session, text);
    }
    session.compact("up to b", 3).unwrap();
    say(&session, "e");
    let undone = session.undo(2).unwrap().unwrap();
    assert_eq!((undone.from_seq, undone.seq), (4, 7));
    let context = session.context().unwrap();
    assert_eq!((texts(&context.items), summary(&context)), (vec!["c".to_owned()], Some("\"up to b\"")));
    // One that reaches into what was summed up takes the summary back.
    session.undo(2).unwrap();
    let context = session.context().unwrap();
    assert_eq!((texts(&context.items), summary(&context)), (vec!["a".to_owned()], None));
    assert_eq!(texts(&session.history(9).unwrap()), ["a"]);
    assert_eq!(session.records().unwrap().count(), 9, "the records stay");
}

#[test]
fn beyond_the_history_is_refused_and_named() {
    let (fs, store) = store();
    let session = store.session("k").unwrap();
    assert!(matches!(session.undo(1), Err(Error::SessionNotFound { .. })));
    assert!(matches!(session.context(), Err(Error::SessionNotFound { .. })));
    say(&session, "a");
    say(&session, "b");
    let before = fs.files();
    let refused = session.undo(3).unwrap_err();
    assert!(matches!(refused, Error::TooFewRecords { asked: 3, records: 2, first_seq: Some(1), .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "session \"k\" generation 1 has 2 of the 3 records to undo; the first is record 1");
    for seq in [4, u64::MAX] {
        for refused in [session.compact("s", seq).unwrap_err(), session.rewind(seq - 1).unwrap_err()] {
            assert!(matches!(refused, Error::BeyondHistory { last_seq: 2, .. }), "{refused:?}");
        }
    }
    assert_eq!(session.undo(0).unwrap(), None);
    assert_eq!(fs.files(), before, "nothing was written");
    session.compact("all of it", 3).unwrap();
    assert!(session.context().unwrap().items.is_empty());
}

/// A mark of somebody who counted wrong, as it may stand in a transcript: nothing is left out for it, and it is reported.
#[test]
fn a_number_that_can_not_be_hides_nothing() {
    for (mark, field, given, used) in [
        (r#"{"mark":"compacted","summary":"s","keep_from":1000}"#, "keep_from", 1000, 1),
        (r#"{"mark":"compacted","summary":"s","keep_from":4}"#, "keep_from", 4, 1),
        (r#"{"mark":"compacted","summary":"s","keep_from":0}"#, "keep_from", 0, 1),
        (r#"{"mark":"rewound","to_seq":3}"#, "to_seq", 3, 2),
        (r#"{"mark":"rewound","to_seq":18446744073709551615}"#, "to_seq", u64::MAX, 2),
    ] {
        let (fs, store) = store();
        let session = store.session("k").unwrap();
        say(&session, "a");
        say(&session, "b");
        store.close().unwrap();
        let (path, mut bytes) =
            fs.files().into_iter().find(|(path, _)| path.to_string_lossy().ends_with(".1.jsonl")).unwrap();
        let crc = |line: &[u8], seed: u32| {
            let mut hasher = crc32fast::Hasher::new_with_initial(seed);
            hasher.update(line);
            hasher.finalize()
        };
        let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let seed = crc(&lines[0][..lines[0].len() - 19], 0);
        let prev = crc(&lines[2][..lines[2].len() - 19], seed);
        let line = format!(
            r#"{{"seq":3,"durable":2,"prev":"{prev:08x}","ts":"2026-11-22T08:15:00.000Z","kind":"mark","body":{mark}"#
        );
        let end = format!(",\"crc\":\"{:08x}\"}}\n", crc(line.as_bytes(), seed));
        bytes.extend(line.into_bytes().into_iter().chain(end.into_bytes()));
        fs.tamper(&path, &bytes);
        let (_, store) = (store, Options::new().file_system(std::sync::Arc::new(fs)).open("/store").unwrap());
        let session = store.session("k").unwrap();
        say(&session, "c");
        let context = session.context().unwrap();
        assert_eq!(texts(&context.items), ["a", "b", "c"], "{mark}");
        let [clamped] = &context.clamped[..] else { panic!("{mark}: {:?}", context.clamped) };
        assert_eq!((clamped.seq, clamped.field, clamped.given, clamped.used), (3, field, given, used));
    }
}

/// What the loaders of four systems give of their own files (tests/views.py), from the same histories in our store.
#[test]
fn the_view_is_what_the_loaders_of_other_systems_give() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/views");
    let mut cases = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let case: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (_fs, store) = store();
        let session = store.session("k").unwrap();
        for (entry, seq) in case["records"].as_array().unwrap().iter().zip(1..) {
            let mark = &entry["mark"];
            match mark["mark"].as_str() {
                None => {
                    let kind = entry["kind"].as_str().unwrap_or("message").to_owned();
                    let record = NewRecord::json(&entry["body"].to_string()).unwrap().kind(kind).unwrap();
                    assert_eq!(session.append(record).unwrap().seq, seq);
                }
                Some("compacted") => {
                    session.compact(&mark["summary"], mark["keep_from"].as_u64().unwrap()).map(drop).unwrap();
                }
                Some("rewound") => drop(session.rewind(mark["to_seq"].as_u64().unwrap()).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        let context = session.context().unwrap();
        let given: serde_json::Value =
            context.summary.map_or(serde_json::Value::Null, |summary| summary.parse().unwrap());
        assert_eq!(given, case["summary"], "{}", path.display());
        let view: Vec<_> = case["view"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap() + 1).collect();
        assert_eq!(seqs(&context.items), view, "{}", path.display());
        cases += 1;
    }
    assert!(cases >= 70, "{cases}");
}

#[test]
fn a_reset_leaves_nothing_to_see() {
    let (_fs, store) = store();
    let session = store.session("k").unwrap();
    say(&session, "a");
    session.reset("new").unwrap();
    let context = session.context().unwrap();
    assert!(context.items.is_empty() && session.history(9).unwrap().is_empty());
    assert_eq!(texts(&session.context_of(1).unwrap().items), ["a"]);
    assert!(matches!(session.undo(1), Err(Error::SessionClosed { .. })));
    say(&session, "b");
    assert_eq!(texts(&session.context().unwrap().items), ["b"]);
}

#[test]
fn a_summary_of_any_size_is_seen() {
    let (_fs, store) = store();
    let session = store.session("k").unwrap();
    say(&session, "a");
    let long = "s".repeat(2_000_000);
    session.compact(&long, 2).unwrap();
    say(&session, "b");
    let context = session.context().unwrap();
    assert_eq!(context.summary.unwrap().parse::<String>().unwrap(), long);
    assert_eq!(texts(&context.items), ["b"]);
}

/// What the marks of a forward read come to, by the rules' own words: one predecessor for each record.
fn expected(session: &Session) -> (Option<u64>, Vec<u64>, Vec<u64>) {
    let records: BTreeMap<u64, _> = session
        .records()
        .unwrap()
        .map(|item| if let Item::Record(record) = item.unwrap() { (record.seq(), record) } else { panic!() })
        .collect();
    let mut path = Vec::new();
    let mut at = records.keys().next_back().copied().unwrap_or(0);
    while at > 0 {
        path.push(at);
        at = match records[&at].as_mark() {
            Some(Mark::Rewound { to_seq }) => to_seq,
            _ => at - 1,
        };
    }
    let compaction = path.iter().find_map(|seq| match records[seq].as_mark() {
        Some(Mark::Compacted { keep_from }) => Some((*seq, keep_from)),
        _ => None,
    });
    let is_shown = |seq: &&u64| !records[seq].is_mark() && !records[seq].kind().starts_with("meta.");
    let mut shown: Vec<u64> = path.iter().filter(is_shown).copied().collect();
    shown.reverse();
    let keep_from = compaction.map_or(0, |(_, keep_from)| keep_from);
    let kept = shown.iter().copied().filter(|seq| *seq >= keep_from).collect();
    (compaction.map(|(seq, _)| seq), kept, shown)
}

fn seqs(items: &[Item]) -> Vec<u64> {
    items.iter().map(|item| if let Item::Record(record) = item { record.seq() } else { panic!("{item:?}") }).collect()
}

/// Long enough for blocks, jumps near and far, and undos across summaries.
#[test]
fn reading_back_gives_what_a_fold_of_everything_gives() {
    for seed in 0..6 {
        let mut chance = Chance::new(seed);
        let (_fs, store) = store();
        let session = store.session("k").unwrap();
        for step in 0..40 {
            match chance.below(8) {
                0 => drop(session.undo(1 + chance.below(4))),
                1 if chance.below(3) == 0 => drop(session.undo(1 + chance.below(400))),
                2 => drop(session.compact(&step, 1 + chance.below(session.head().map_or(1, |head| head.seq)))),
                3 => note(&session, "n"),
                _ => {
                    let count = if chance.below(10) == 0 { 300 } else { 1 + chance.below(5) };
                    let batch = (0..count).map(|at| NewRecord::new(&(step, at)).unwrap()).collect();
                    session.append_batch(batch).unwrap();
                }
            }
            let Ok(context) = session.context() else { continue };
            let (compaction, kept, shown) = expected(&session);
            assert_eq!(context.summary.map(|summary| summary.seq), compaction, "seed {seed}, step {step}");
            assert_eq!(seqs(&context.items), kept, "seed {seed}, step {step}");
            let last = 1 + usize::try_from(chance.below(20)).unwrap();
            let history = seqs(&session.history(last).unwrap());
            assert_eq!(history, shown[shown.len().saturating_sub(last)..], "seed {seed}, step {step}");
        }
        store.close().unwrap();
    }
}

/// Whether the record that the view goes on behind is in the block that was read or far before it, nothing is left out.
#[test]
fn a_rewind_near_or_far_shows_all_that_is_before() {
    let (_fs, store) = store();
    for (number, (records, to_seq)) in
        [(1000, 743), (290, 33), (1000, 1), (1000, 999), (5000, 4000)].into_iter().enumerate()
    {
        let session = store.session(format!("k{number}")).unwrap();
        session.append_batch((1..=records).map(|at| NewRecord::new(&at).unwrap()).collect()).unwrap();
        session.rewind(to_seq).unwrap();
        assert_eq!(seqs(&session.context().unwrap().items), (1..=to_seq).collect::<Vec<_>>());
    }
}

/// Damage that a search jumps over is shown all the same.
#[test]
fn a_rewind_over_damage_hides_no_gap() {
    for bad in [1..=20, 997..=1000] {
        let (fs, store) = store();
        let session = store.session("k").unwrap();
        session.append_batch((1..=1500).map(|at| NewRecord::new(&at).unwrap()).collect()).unwrap();
        let to_seq = if bad.contains(&1) { 10 } else { 1000 };
        session.rewind(to_seq).unwrap();
        store.close().unwrap();
        let (path, mut bytes) =
            fs.files().into_iter().find(|(path, _)| path.to_string_lossy().ends_with(".1.jsonl")).unwrap();
        let mut at = 0;
        let starts: Vec<usize> =
            bytes.split_inclusive(|byte| *byte == b'\n').map(|line| (at, at += line.len()).0).collect();
        for seq in bad.clone() {
            bytes[starts[usize::try_from(seq).unwrap()] + 30] ^= 1;
        }
        fs.tamper(&path, &bytes);
        let store = Options::new().file_system(std::sync::Arc::new(fs)).open_read_only("/store").unwrap();
        let context = store.session("k").unwrap().context().unwrap();
        let lost: Vec<_> =
            context.items.iter().filter_map(|item| if let Item::Gap(gap) = item { gap.lost } else { None }).collect();
        assert!(lost.iter().any(|(from, to)| from <= bad.start() && to >= bad.start()), "{bad:?}: {lost:?}");
    }
}
