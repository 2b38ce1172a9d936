//! `quarantine`: what recoveries and repairs kept, looked at, taken back without losing anything, dropped.

use std::fs;

use serde_json::json;

use super::Bench;

fn repaired() -> (Bench, Vec<u8>, String) {
    let bench = Bench::with_records("k", 5);
    bench.damage("k", 2);
    let original = fs::read(bench.transcript("k", 1)).unwrap();
    bench.run(&["repair", "k"]).expect(3);
    let name = bench.run(&["quarantine", "list", "--json"]).expect(0).of_type("quarantined")[0]["name"].clone();
    (bench, original, name.as_str().unwrap().to_owned())
}

#[test]
fn an_original_is_listed_shown_and_taken_back() {
    let (bench, original, name) = repaired();
    let replaced = fs::read(bench.transcript("k", 1)).unwrap();
    let line = bench.run(&["quarantine", "list", "--json"]).expect(0).of_type("quarantined").remove(0);
    assert_eq!((&line["key"], &line["generation"], &line["kind"]), (&json!("k"), &json!(1), &json!("original")));
    assert_eq!(line["bytes"], json!(original.len()));
    let text = bench.run(&["quarantine", "list"]).expect(0).stdout;
    assert!(text.starts_with(&format!("k  1  original  {}  ", original.len())) && text.ends_with(&format!("{name}\n")));
    assert_eq!(bench.run(&["quarantine", "show", &name]).expect(0).stdout.as_bytes(), original);
    let pieces = bench.run(&["quarantine", "show", &name, "--json"]).expect(0).of_type("piece");
    let hex: String = pieces.iter().map(|piece| piece["hex"].as_str().unwrap()).collect();
    let bytes =
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    assert!(bytes.eq(original.iter().copied()), "{hex}");

    bench.run(&["quarantine", "restore", &name]).expect(0);
    assert!(fs::read(bench.transcript("k", 1)).unwrap() == original, "not as it was");
    let kept = bench.run(&["quarantine", "list", "--json"]).expect(0).of_type("quarantined");
    assert_eq!((kept.len(), &kept[0]["kind"]), (1, &json!("repaired")));
    let path = bench.store().join("quarantine").join(kept[0]["name"].as_str().unwrap());
    assert!(fs::read(path).unwrap() == replaced, "a byte is gone");
    bench.run(&["verify"]).expect(3);
    bench.feed(&["append", "k"], b"1\n").expect(3);
    bench.run(&["repair", "k"]).expect(3);
    bench.run(&["verify"]).expect(0);
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "{\"n\":1}\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n");
}

#[test]
fn what_would_lose_something_is_refused() {
    let (bench, _, name) = repaired();
    bench.feed(&["append", "k"], b"6\n").expect(0);
    let before = bench.content();
    let run = bench.run(&["quarantine", "restore", &name]).expect(1);
    assert!(run.stderr.contains("the session went on: record 6 is not in the original"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: to look at what it holds"), "{}", run.stderr);
    bench.run(&["quarantine", "restore", "nothing"]).expect(6);
    bench.run(&["quarantine", "show", "../registry.jsonl"]).expect(6);
    bench.run(&["quarantine", "drop", "../registry.jsonl"]).expect(6);
    assert!(bench.content() == before, "a refusal changed something");
    fs::remove_file(bench.transcript("k", 1)).unwrap();
    let run = bench.run(&["quarantine", "restore", &name]).expect(1);
    assert!(run.stderr.contains("no transcript any more"), "{}", run.stderr);
    // Torn bytes were never acknowledged.
    let bench = Bench::of_fixture("torn-half");
    bench.run(&["rebuild-index"]).expect(0);
    let kept = bench.run(&["quarantine", "list", "--json"]).expect(0).of_type("quarantined").remove(0);
    assert_eq!((&kept["kind"], &kept["key"]), (&json!("torn"), &json!("telegram:torn-half")));
    let run = bench.run(&["quarantine", "restore", kept["name"].as_str().unwrap()]).expect(1);
    assert!(run.stderr.contains("never acknowledged"), "{}", run.stderr);
}

#[test]
fn a_drop_is_for_good_and_says_so_before() {
    let (bench, original, name) = repaired();
    let plan = bench.run(&["quarantine", "drop", &name, "--dry-run"]).expect(0);
    assert_eq!(plan.stdout, format!("{name}: would be dropped, {} bytes\n", original.len()));
    bench.run(&["quarantine", "drop", "--older-than", "1h"]).expect(0);
    assert_eq!(bench.run(&["quarantine", "list"]).expect(0).stdout.lines().count(), 1);
    bench.run(&["quarantine", "drop"]).expect(2);
    let run = bench.run(&["quarantine", "drop", &name, "nothing", "--json"]).expect(6);
    assert_eq!((&run.of_type("quarantined")[0]["dropped"], &run.summary()["files"]), (&json!(true), &json!(1)));
    assert_eq!(bench.run(&["quarantine", "list"]).expect(0).stdout, "");
    let (bench, ..) = repaired();
    bench.run(&["quarantine", "drop", "--older-than", "0s"]).expect(0);
    assert_eq!(bench.run(&["quarantine", "list"]).expect(0).stdout, "");
    bench.run(&["verify"]).expect(0);
}
