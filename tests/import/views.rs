//! What a model is shown of an imported session, against what the system's own loader gives (`fixtures/views`, `tests/views.py`).

use serde_json::Value;
use sesslog::Item;

use super::*;

/// The cases of a system: name, source and what the loader gives of it.
fn cases(system: &str) -> Vec<(String, Vec<u8>, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/views");
    let mut cases = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(&format!("{system}-")) {
            let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let lines = case["source"].as_array().unwrap();
            let source = lines.iter().flat_map(|line| [line.as_str().unwrap(), "\n"]).collect::<String>();
            cases.push((name, source.into_bytes(), case));
        }
    }
    cases
}

/// What is shown: the summary, and the bodies.
fn shown(bench: &Bench, key: &str) -> (Value, Vec<Value>) {
    let context = bench.store.session(key).unwrap().context().unwrap();
    assert!(context.clamped.is_empty(), "{context:?}");
    let summary = context.summary.map_or(Value::Null, |summary| summary.parse().unwrap());
    let bodies = context.items.iter().map(|item| match item {
        Item::Record(record) => record.parse().unwrap(),
        other => panic!("{other:?}"),
    });
    (summary, bodies.collect())
}

#[track_caller]
fn check(system: sesslog::import::System, case_count: usize) {
    let cases = cases(system.name());
    assert!(cases.len() >= case_count, "{}", cases.len());
    for (name, source, case) in cases {
        let records = case["records"].as_array().unwrap();
        let view = case["view"].as_array().unwrap();
        let bodies: Vec<Value> =
            view.iter().map(|at| records[usize::try_from(at.as_u64().unwrap()).unwrap()]["body"].clone()).collect();
        let expected = (case["summary"].clone(), bodies);
        let options = ImportOptions::new().from(system);
        let bench = Bench::new();
        let path = bench.write("source.jsonl", &source);
        let (key, _) = only(&bench.import(&options));
        assert_eq!(shown(&bench, &key), expected, "{name}");
        assert_eq!(bench.original(&key), source, "{name}");
        // Line by line as it grows, which comes to the same.
        let bench = Bench::new();
        let ends = source.iter().zip(1..).filter(|(byte, _)| **byte == b'\n').map(|(_, end)| end);
        for end in ends {
            fs::write(bench.sources().join(path.file_name().unwrap()), &source[..end]).unwrap();
            bench.import(&options);
        }
        let (key, state) = only(&bench.import(&options));
        assert_eq!((shown(&bench, &key), state), (expected, State::Unchanged), "{name} line by line");
        assert_eq!(bench.original(&key), source, "{name} line by line");
        assert_eq!(bench.store.session(key.as_str()).unwrap().generation().unwrap(), 1, "{name}");
    }
}

#[test]
fn pi() {
    check(sesslog::import::System::Pi, 20);
}

#[test]
fn codex() {
    check(sesslog::import::System::Codex, 15);
}

#[test]
fn openclaw() {
    check(sesslog::import::System::Openclaw, 8);
}

#[test]
fn nanobot() {
    check(sesslog::import::System::Nanobot, 20);
}
