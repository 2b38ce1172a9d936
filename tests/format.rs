//! Promise: the bytes of format 1 never change their meaning.
//!
//! Every store in `fixtures/v1`, written by an independent program from the specification alone, is read by this crate and
//! compared with the JSON beside it: records, gaps, tails, findings, rows, and whether an append is taken or refused.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sesslog::{
    Error, FindingKind, Item, NewRecord, Options, Progress, ReadOptions, RebuildOptions, Severity, Store, TailState,
    VerifyOptions,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1")
}

/// A copy of a case's store, and what a reader must find in it.
fn cases() -> Vec<(String, tempfile::TempDir, Value)> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let expected = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        common::copy_folder(&path, copy.path());
        // Git keeps no empty folders.
        fs::create_dir_all(copy.path().join("transcripts")).unwrap();
        cases.push((path.file_name().unwrap().to_string_lossy().into_owned(), copy, expected));
    }
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(cases.len() >= 80, "only {} cases found", cases.len());
    cases
}

fn read_only(folder: &tempfile::TempDir) -> Store {
    Options::new().open_read_only(folder.path()).unwrap()
}

fn item_json(item: &Item) -> Value {
    match item {
        Item::Record(record) => json!({
            "seq": record.seq(), "ts": record.ts().as_str(), "kind": record.kind(), "id": record.id(),
            "crc": record.crc().to_string(), "body": record.body(),
        }),
        Item::Gap(gap) => json!({"gap": {
            "offset": gap.offset, "bytes": gap.bytes, "defect": gap.defect.name(),
            "from_seq": gap.lost.map(|lost| lost.0), "to_seq": gap.lost.map(|lost| lost.1),
        }}),
        other => panic!("an unknown item: {other:?}"),
    }
}

fn sessions(expected: &Value) -> impl Iterator<Item = (&str, u64, &Value)> {
    expected["sessions"].as_array().unwrap().iter().map(|session| {
        let generation = session["generation"].as_u64().unwrap();
        // This one's file is named for another key than its header holds.
        let misfiled = session["verdict"] == json!("misfiled");
        let key = if misfiled { "telegram:some-one-else" } else { session["key"].as_str().unwrap() };
        (key, generation, session)
    })
}

#[test]
fn a_reader_finds_what_the_writer_put_there() {
    for (case, folder, expected) in cases() {
        let store = read_only(&folder);
        for (key, generation, session) in sessions(&expected) {
            let read = store.session(key).unwrap().read(&ReadOptions::new().generation(generation));
            match session["verdict"].as_str().unwrap() {
                "unsupported" => assert!(matches!(read, Err(Error::UnsupportedFormat { format: 2, .. })), "{case}"),
                "misfiled" => assert!(matches!(read, Err(Error::Misfiled { .. })), "{case}"),
                _ => {
                    let mut records = read.unwrap();
                    let items: Vec<_> = records.by_ref().map(|item| item_json(&item.unwrap())).collect();
                    let wanted = session["items"].as_array().unwrap();
                    for (found, wanted) in items.iter().zip(wanted) {
                        assert_eq!(found, wanted, "{case} {key}");
                    }
                    assert_eq!(items.len(), wanted.len(), "{case} {key}");
                    let tail = records.tail().unwrap();
                    let state = match tail.state {
                        TailState::Clean => "clean",
                        TailState::Padding => "padding",
                        TailState::Unterminated => "unterminated",
                        TailState::Torn { .. } => "torn",
                        other => panic!("{other:?}"),
                    };
                    let found = json!({"state": state, "offset": tail.offset, "bytes": tail.bytes});
                    assert_eq!(found, session["tail"], "{case} {key}");
                }
            }
        }
    }
}

#[test]
fn a_backward_reader_finds_the_same_in_reverse() {
    for (case, folder, expected) in cases() {
        let store = read_only(&folder);
        for (key, _, session) in newest(&expected) {
            if session["tail"].is_null() {
                continue;
            }
            let mut items: Vec<_> =
                store.session(&key).unwrap().backward().unwrap().map(|item| item_json(&item.unwrap())).collect();
            items.reverse();
            assert_eq!(Value::Array(items), session["items"], "{case} {key}");
        }
    }
}

/// Only the newest generation of each key.
fn newest(expected: &Value) -> Vec<(String, u64, Value)> {
    let mut newest: std::collections::BTreeMap<String, (u64, Value)> = std::collections::BTreeMap::new();
    for (key, generation, session) in sessions(expected) {
        let entry = newest.entry(key.to_owned()).or_insert((generation, session.clone()));
        if entry.0 <= generation {
            *entry = (generation, session.clone());
        }
    }
    newest.into_iter().map(|(key, (generation, session))| (key, generation, session)).collect()
}

#[test]
fn verify_names_every_defect_and_writes_nothing() {
    for (case, folder, expected) in cases() {
        let before = common::contents(folder.path());
        let report = read_only(&folder).verify(&VerifyOptions::new().deep(true), &Progress::default()).unwrap();
        let is_registry = |kind: &FindingKind| matches!(kind, FindingKind::RegistryMissing);
        let of_transcripts = || report.findings.iter().filter(|finding| !is_registry(&finding.kind));
        let found: Vec<_> = of_transcripts()
            .map(|finding| {
                json!({
                    "generation": finding.generation, "offset": finding.offset, "bytes": finding.bytes,
                    "seq": finding.seq, "defect": finding.kind.name(),
                })
            })
            .collect();
        let mut wanted = expected["findings"].clone();
        for finding in wanted.as_array_mut().unwrap() {
            // Where the header is unreadable only the file's name is known, not its key.
            finding.as_object_mut().unwrap().remove("key");
        }
        assert_eq!(Value::Array(found), wanted, "{case}");
        let exit = match of_transcripts().map(|finding| finding.kind.severity()).max() {
            None => 0,
            Some(Severity::Heals) => 4,
            Some(Severity::Failed) => 1,
            Some(Severity::Damage) => 3,
            Some(other) => panic!("{other:?}"),
        };
        assert_eq!(exit, expected["exit"], "{case}");
        assert_eq!(common::contents(folder.path()), before, "{case}: verify changed something");
    }
}

#[test]
fn a_rebuild_folds_the_same_rows() {
    for (case, folder, expected) in cases() {
        let store = Store::open(folder.path()).unwrap();
        store.rebuild_index(RebuildOptions::new(), &Progress::default()).unwrap();
        let registry = fs::read_to_string(folder.path().join("registry.jsonl")).unwrap();
        // A status stands in a row since there are marks that make one; the fixtures are older.
        let status = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["body"].get("status").map(|status| format!(",\"status\":{status}"))
        };
        let rows: Vec<_> = registry.lines().map(|line| line.replace(&status(line).unwrap_or_default(), "")).collect();
        for (key, generation, session) in sessions(&expected) {
            let Some(row) = session["row"].as_str() else { continue };
            let row = format!(",\"body\":{row},\"crc\":\"");
            assert!(rows.iter().any(|line| line.contains(&row)), "{case} {key} {generation}: {row}\n{registry}");
        }
        let golden = self::folder().join(&case).join("registry.jsonl");
        if case.starts_with("registry-good") {
            assert_eq!(registry, fs::read_to_string(golden).unwrap(), "{case}");
        }
    }
}

#[test]
fn an_append_is_taken_or_refused_without_a_change() {
    for (case, folder, expected) in cases() {
        let before = common::contents(&folder.path().join("transcripts"));
        let store = Store::open(folder.path()).unwrap();
        for (key, generation, session) in newest(&expected) {
            let appended = store.session(&key).unwrap().append(NewRecord::json(r#""appended""#).unwrap());
            if session["appendable"] != json!(true) {
                assert!(appended.is_err(), "{case} {key}: {appended:?}");
                assert_eq!(
                    common::contents(&folder.path().join("transcripts")),
                    before,
                    "{case}: a refused append changed something"
                );
                continue;
            }
            let receipt = appended.unwrap_or_else(|error| panic!("{case} {key}: {error}"));
            let kept: Vec<_> = session["items"].as_array().unwrap().iter().map(|item| item["body"].clone()).collect();
            let read = store.session(&key).unwrap().read(&ReadOptions::new().generation(generation)).unwrap();
            let found: Vec<_> = read
                .map(|item| match item.unwrap() {
                    Item::Record(record) => json!(record.body()),
                    gap => panic!("{case} {key}: {gap:?}"),
                })
                .collect();
            assert_eq!(found[..kept.len()], kept, "{case} {key}");
            if receipt.generation == generation {
                assert_eq!(found.last(), Some(&json!(r#""appended""#)), "{case} {key}");
            }
        }
        drop(store);
        let report = read_only(&folder).verify(&VerifyOptions::new(), &Progress::default()).unwrap();
        if expected["exit"] == json!(0) || expected["exit"] == json!(4) {
            assert!(report.findings.is_empty(), "{case}: {:?}", report.findings);
        }
    }
}

#[test]
fn a_repair_keeps_every_sound_record_and_leaves_a_sound_session() {
    for (case, folder, expected) in cases() {
        let store = Store::open(folder.path()).unwrap();
        for (key, generation, session) in sessions(&expected) {
            if session["verdict"] != json!("damaged") {
                continue;
            }
            let key = sesslog::SessionKey::new(key).unwrap();
            let original = fs::read(folder.path().join(session["file"].as_str().unwrap())).unwrap();
            let repaired = store.repair(&key, Some(generation), false).unwrap();
            let aside = folder.path().join("quarantine").join(repaired.quarantine.unwrap());
            assert_eq!(fs::read(aside).unwrap(), original, "{case}: the original is kept");
            let fields = |item: &Value| json!([item["seq"], item["ts"], item["kind"], item["id"], item["body"]]);
            let read: Vec<_> = store
                .session(key.as_str())
                .unwrap()
                .read(&ReadOptions::new().generation(generation))
                .unwrap()
                .map(|item| item_json(&item.unwrap()))
                .collect();
            for wanted in session["items"].as_array().unwrap().iter().filter(|item| item["gap"].is_null()) {
                assert!(read.iter().any(|item| fields(item) == fields(wanted)), "{case}: {wanted} is gone");
            }
            assert!(read.iter().all(|item| item["gap"].is_null()), "{case}");
            store.session(key.as_str()).unwrap().append(NewRecord::json("1").unwrap()).unwrap();
        }
        store.close().unwrap();
        if expected["sessions"].as_array().unwrap().iter().all(|session| session["verdict"] == json!("damaged")) {
            let report = read_only(&folder).verify(&VerifyOptions::new(), &Progress::default()).unwrap();
            assert!(report.findings.is_empty(), "{case}: {:?}", report.findings);
        }
    }
}

#[test]
fn no_fixture_was_changed() {
    let manifest: Value = serde_json::from_slice(&fs::read(folder().join("MANIFEST.json")).unwrap()).unwrap();
    let listed: Vec<_> = manifest.as_object().unwrap().keys().map(|path| folder().join(path)).collect();
    for (path, bytes) in common::contents(&folder()) {
        if path.ends_with("MANIFEST.json") {
            continue;
        }
        let name = path.strip_prefix(folder()).unwrap().to_str().unwrap();
        let wanted = &manifest[name];
        assert_eq!(wanted["length"], json!(bytes.len()), "{name}");
        assert_eq!(wanted["crc32"], json!(format!("{:08x}", crc32fast::hash(&bytes))), "{name}");
        assert!(listed.contains(&path), "{name}");
    }
}
