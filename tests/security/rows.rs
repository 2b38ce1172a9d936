//! The registry is a cache: a row that is forged, copied or absurd changes no history and no path. What a row may do is say
//! that more was durable than its file holds; then nothing is written until somebody accepts the loss.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sesslog::{Error, RegistryState, Store};

use crate::{Outside, bodies_of, filled, forge, is_empty, numbered_bodies, sessctl, transcript};

fn rows(store: &Path) -> Vec<String> {
    fs::read_to_string(store.join("registry.jsonl")).unwrap().lines().map(ToOwned::to_owned).collect()
}

/// The body of a row as text, with one field replaced by some text; the order of the fields is the row's own.
fn body_with(row: &str, field: &str, value: &str) -> String {
    let parsed: Value = serde_json::from_str(row).unwrap();
    let old = &parsed["body"][field];
    let start = row.find(r#""body":"#).unwrap() + 7;
    let body = &row[start..row.len() - 18];
    let (from, to) = (format!(r#""{field}":{old}"#), format!(r#""{field}":{value}"#));
    assert!(body.contains(&from), "{body} has no {from}");
    body.replace(&from, &to)
}

#[test]
fn an_absurd_row_is_never_believed_over_its_transcript() {
    let max = u64::MAX.to_string();
    let stories: Vec<(&str, String)> = ["length_bytes", "last_seq", "records", "durable_seq"]
        .into_iter()
        .flat_map(|field| {
            ["-1", "0", "1e3", "1.5", "null", "\"7\"", "[]", "99999999999999999999", max.as_str()]
                .map(|value| (field, value.to_owned()))
        })
        .chain([
            ("last_crc", "\"00000000\"".to_owned()),
            ("last_crc", "\"zzzzzzzz\"".to_owned()),
            ("id", "\"00000000000000000000000000000000\"".to_owned()),
            ("state", "\"closed\"".to_owned()),
            ("state", "\"ajar\"".to_owned()),
            ("created", "\"yesterday\"".to_owned()),
            ("updated", "\"9999-99-99T99:99:99.999Z\"".to_owned()),
            ("parent", r#"{"key":"../x","generation":1,"seq":18446744073709551615}"#.to_owned()),
        ])
        .collect();
    for (field, value) in stories {
        let story = format!("{field} is {value}");
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        filled(&store, "k", 3);
        let good = rows(&store);
        let before = fs::read(transcript(&store, "k", 1)).unwrap();
        fs::write(store.join("registry.jsonl"), forge::row(0, &body_with(&good[0], field, &value))).unwrap();
        assert_eq!(bodies_of(&store, "k"), numbered_bodies(1..=3), "{story}");
        let opened = Store::open(&store).unwrap();
        let session = opened.session("k").unwrap();
        let receipt = session.append(crate::common::numbered(4)).unwrap_or_else(|error| panic!("{story}: {error}"));
        assert_eq!((receipt.generation, receipt.seq), (1, 4), "{story}");
        drop((session, opened));
        assert_eq!(bodies_of(&store, "k"), numbered_bodies(1..=4), "{story}");
        assert!(fs::read(transcript(&store, "k", 1)).unwrap().starts_with(&before), "{story}");
        sessctl(&store, &["verify", "k"]);
        sessctl(&store, &["rebuild-index", "--accept-loss"]).expect(0);
        sessctl(&store, &["verify"]).expect(0);
        let folded: Value = serde_json::from_str(&rows(&store)[0]).unwrap();
        assert_eq!(folded["body"]["last_seq"], json!(4), "{story}");
    }
}

#[test]
fn a_row_that_anchors_in_a_long_line_is_not_believed_for_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let opened = Store::open(&store).unwrap();
    // Longer than what is read whole to check an anchor.
    opened.session("k").unwrap().append(sesslog::NewRecord::new(&"x".repeat(200_000)).unwrap()).unwrap();
    opened.close().unwrap();
    let good = rows(&store);
    fs::write(store.join("registry.jsonl"), forge::row(0, &body_with(&good[0], "last_seq", "7"))).unwrap();
    let opened = Store::open(&store).unwrap();
    assert_eq!(opened.registry_state(), RegistryState::Sound);
    assert_eq!(opened.session("k").unwrap().append(crate::common::numbered(2)).unwrap().seq, 2);
    opened.close().unwrap();
    sessctl(&store, &["verify"]).expect(0);
}

#[test]
fn a_row_that_says_more_was_durable_is_a_witness_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    filled(&store, "k", 3);
    let before = fs::read(transcript(&store, "k", 1)).unwrap();
    fs::write(store.join("registry.jsonl"), forge::row(0, &body_with(&rows(&store)[0], "durable_seq", "9"))).unwrap();
    let error = Store::open(&store).unwrap().session("k").unwrap().append(crate::common::numbered(4)).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert_eq!(fs::read(transcript(&store, "k", 1)).unwrap(), before);
    // Of a generation that is not there it is the same; the one that is there can be read by its number.
    let witness = rows(&store).remove(0);
    let absent = forge::row(0, &body_with(&witness, "generation", &u64::MAX.to_string()));
    fs::write(store.join("registry.jsonl"), format!("{absent}{witness}\n")).unwrap();
    let error = Store::open(&store).unwrap().session("k").unwrap().append(crate::common::numbered(4)).unwrap_err();
    assert!(matches!(error, Error::TranscriptLost { generation: u64::MAX, .. }), "{error:?}");
    assert_eq!(sessctl(&store, &["show", "--generation", "1", "k"]).expect(3).stdout.lines().count(), 3);
    fs::write(store.join("registry.jsonl"), format!("{witness}\n")).unwrap();
    // Forged or not: the records are read, and who knows better says so.
    assert_eq!(sessctl(&store, &["show", "k"]).expect(3).stdout.lines().count(), 3);
    sessctl(&store, &["rebuild-index", "--accept-loss"]);
    Store::open(&store).unwrap().session("k").unwrap().append(crate::common::numbered(4)).unwrap();
    assert_eq!(bodies_of(&store, "k"), numbered_bodies(1..=4));
}

#[test]
fn a_row_leads_nowhere_and_to_no_other_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for (key, count) in [("a", 2), ("b", 5)] {
        filled(&store, key, count);
    }
    let good = rows(&store);
    let outside = Outside::new(&fs::read(transcript(&store, "a", 1)).unwrap());
    let beside = outside.path.parent().unwrap();
    let text = |path: &Path| serde_json::to_string(path.to_str().unwrap()).unwrap();
    let keys = [
        text(&outside.path),
        "\"../../../precious\"".to_owned(),
        text(beside),
        "\"..\"".to_owned(),
        "\"a.1.jsonl\"".to_owned(),
        "\"\"".to_owned(),
        format!("\"{}\"", "x".repeat(513)),
    ];
    let mut planted = String::new();
    for (key, index) in keys.iter().zip(0..) {
        planted.push_str(&forge::row(index, &body_with(&good[0], "key", key)));
    }
    // And each row under the other's key.
    planted.push_str(&forge::row(7, &body_with(&good[0], "key", "\"b\"")));
    planted.push_str(&forge::row(8, &body_with(&good[1], "key", "\"a\"")));
    fs::write(store.join("registry.jsonl"), planted).unwrap();
    for args in [
        &["list"][..],
        &["verify"],
        &["show", "a"],
        &["rebuild-index", "--dry-run"],
        &["rebuild-index", "--accept-loss"],
    ] {
        sessctl(&store, args);
        outside.is_untouched(&args.join(" "));
    }
    assert_eq!(bodies_of(&store, "a"), numbered_bodies(1..=2));
    assert_eq!(bodies_of(&store, "b"), numbered_bodies(1..=5));
    assert_eq!(rows(&store), good, "a rebuild folds what the transcripts say");
    let elsewhere = tempfile::tempdir().unwrap();
    is_empty(elsewhere.path(), "rows");
    // Appends take the copied rows as what they are, too: rows of other headers.
    fs::write(store.join("registry.jsonl"), forge::row(0, &body_with(&good[1], "key", "\"a\""))).unwrap();
    let opened = Store::open(&store).unwrap();
    assert_eq!(opened.session("a").unwrap().append(crate::common::numbered(3)).unwrap().seq, 3);
    assert_eq!(opened.session("b").unwrap().append(crate::common::numbered(6)).unwrap().seq, 6);
}
