//! Bodies that look like frames. The worst caller knows everything: the transcript's seed, its own place and time, and the
//! checksums that would be right. However the file is cut, no reader and no recovery takes the inside of a body for a record.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sesslog::{Item, NewRecord, ReadOptions, Session, Store, Timestamp};

use crate::common::faulty::FaultyFs;
use crate::{forge, transcript};

const TS: &str = "2026-11-22T08:15:30.123Z";

fn record(body: &str) -> NewRecord {
    NewRecord::json(body).unwrap().at(TS.parse::<Timestamp>().unwrap())
}

/// Hostile bodies for the record at `place` of a transcript with this seed; `earlier` is a sound line of it.
fn hostile(seed: u32, place: (u64, u64, u32), earlier: &str) -> Vec<String> {
    let earlier = earlier.trim_end_matches('\n');
    let quoted = serde_json::to_string(earlier).unwrap();
    let next = forge::line(seed, (place.0 + 1, place.0, 0xdead_beef), "message", r#"{"forged":true}"#);
    let next = next.trim_end_matches('\n');
    let mark = forge::line(seed, (place.0, place.1, place.2), "mark", r#"{"mark":"reset","reason":"forged"}"#);
    let head = forge::head(place, "message");
    // Ends a frame with the right checksum in the middle of an object, of an array, and behind a nested object.
    let ended = |before: &str, after: &str| {
        let crc = forge::crc(seed, format!("{head}{before}").as_bytes());
        format!(r#"{before},"crc":"{crc:08x}"}}{after}"#)
    };
    vec![
        earlier.to_owned(),
        next.to_owned(),
        mark.trim_end_matches('\n').to_owned(),
        format!("[{earlier},{earlier},{next}]"),
        format!(r#"{{"text":{quoted},"again":{quoted}}}"#),
        serde_json::to_string(&format!("\n{earlier}\n{next}\n")).unwrap(),
        ended(r#"{"a":1"#, ""),
        ended(r#"{"a":{"b":1"#, "}"),
        ended(r#"[{"a":1"#, "]"),
        r#"{"a":1,"crc":"00000000"}"#.to_owned(),
        format!(r#"{{"crc":"{seed:08x}","x":{{"y":[{{"z":0,"crc":"{:08x}"}}]}}}}"#, place.2),
        r#"{"seq":1,"durable":18446744073709551615,"prev":"00000000"}"#.to_owned(),
        format!(r#"{{"kind":"mark","body":{{"mark":"gap","from_seq":1,"to_seq":{}}}}}"#, u64::MAX),
        // White space that is padding elsewhere, and what the file's own padding looks like when it is written out.
        format!("[1,{}2]", " ".repeat(1500)),
        format!("\"{}\"", r"\t".repeat(600)),
        format!("\"{}\"", r"\u0000".repeat(300)),
        format!("{{\"a\":1{}}}", r#","crc":"00000000""#.repeat(60)),
    ]
}

fn shown(session: &Session) -> Vec<String> {
    session.records().unwrap().filter_map(|item| crate::common::body(&item.unwrap())).collect()
}

fn shown_backward(session: &Session) -> Vec<String> {
    let items = session.backward().unwrap();
    let mut backward: Vec<_> = items.filter_map(|item| crate::common::body(&item.unwrap())).collect();
    backward.reverse();
    backward
}

/// Every way to read a session gives the same bodies.
fn assert_read(store: &Path, key: &str, expected: &[&str], story: &str) {
    let opened = sesslog::Options::new().open_read_only(store).unwrap();
    let session = opened.session(key).unwrap();
    assert_eq!(shown(&session), expected, "{story}");
    assert_eq!(shown_backward(&session), expected, "{story}, backward");
    let last: Vec<_> = session.last(1).unwrap().iter().filter_map(crate::common::body).collect();
    assert_eq!(last, expected[expected.len().saturating_sub(1)..], "{story}, last");
    for seq in 1..=3_u64 {
        let from: Vec<_> = session
            .read(&ReadOptions::new().from_seq(seq))
            .unwrap()
            .filter_map(|item| match item.unwrap() {
                Item::Record(record) => Some(record.seq()),
                _ => None,
            })
            .collect();
        assert!(from.iter().all(|found| *found >= seq) && from.len() <= expected.len() + 1, "{story}, from {seq}");
    }
}

#[test]
fn hostile_bodies_are_kept_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let session = store.session("k").unwrap();
    session.append(record("1")).unwrap();
    let mut expected = vec!["1".to_owned()];
    for _ in 0..3 {
        let text = fs::read_to_string(transcript(folder.path(), "k", 1)).unwrap();
        // Behind the records of a session that is written to in bursts stands padding.
        let lines: Vec<&str> = text.trim_end_matches('\t').lines().collect();
        let seed = forge::stored(lines[0]);
        let seq = u64::try_from(lines.len()).unwrap();
        for body in hostile(seed, (seq, seq - 1, forge::stored(lines[lines.len() - 1])), lines[1]) {
            session.append(record(&body)).unwrap();
            expected.push(body);
        }
    }
    store.close().unwrap();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    assert_read(folder.path(), "k", &expected, "all of them");
    let store = Store::open(folder.path()).unwrap();
    let report = store.verify(&sesslog::VerifyOptions::new().deep(true), &sesslog::Progress::default()).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[test]
fn a_tail_cut_at_every_byte_of_a_hostile_body_is_never_misread() {
    let (base, seed, prev) = forge::transcript("k", &["1", "2"]);
    let place = (3, 2, prev);
    let bodies = hostile(seed, place, base.lines().nth(2).unwrap());
    // They wait for the disk most of the time.
    std::thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| cut_everywhere(&base, &forge::line(seed, place, "message", body), body));
        }
    });
}

fn cut_everywhere(base: &str, line: &str, body: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("transcripts")).unwrap();
    let path = transcript(folder.path(), "k", 1);
    // The end, and padding in the place of all that is missing: a file system that had the length on disk already.
    for (cut, padding) in (0..=line.len()).flat_map(|cut| [(cut, 0), (cut, line.len() - cut)]) {
        let story = format!("{body} cut at {cut}, {padding} bytes of padding");
        let zeros = "\0".repeat(padding);
        fs::write(&path, format!("{base}{}{zeros}", &line[..cut])).unwrap();
        let whole = cut + 1 >= line.len();
        let expected: &[&str] = if whole { &["1", "2", body] } else { &["1", "2"] };
        let options = sesslog::Options::new().file_system(Arc::new(FaultyFs::default()));
        let session = options.open_read_only(folder.path()).unwrap().session("k").unwrap();
        assert_eq!(shown(&session), expected, "{story}");
        assert_eq!(shown_backward(&session), expected, "{story}, backward");
        // A part of the cuts is recovered, too: each costs some syncs.
        if cut % 61 == 0 || cut + 22 > line.len() {
            recover(folder.path(), expected, &story);
            let torn = fs::read_dir(folder.path().join("quarantine")).unwrap().count();
            assert_eq!(torn, usize::from(!whole && cut > 0), "{story}");
            fs::remove_dir_all(folder.path().join("quarantine")).unwrap();
        }
    }
}

/// Opens for writing, appends, and looks at everything.
fn recover(folder: &Path, expected: &[&str], story: &str) {
    let store = Store::open(folder).unwrap();
    let session = store.session("k").unwrap();
    session.append(record("\"behind\"")).unwrap_or_else(|error| panic!("{story}: {error}"));
    let behind: Vec<_> = expected.iter().copied().chain(["\"behind\""]).collect();
    assert_eq!(shown(&session), behind, "{story}");
    assert_eq!(session.generation().unwrap(), 1, "{story}: a forged reset is none");
    store.close().unwrap();
    fs::remove_file(folder.join("registry.jsonl")).unwrap();
}

#[test]
fn a_repair_takes_nothing_out_of_a_body() {
    let (base, seed, prev) = forge::transcript("k", &["1", "2"]);
    let second = base.lines().nth(2).unwrap();
    let place = (3, 2, prev);
    for body in hostile(seed, place, second) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("transcripts")).unwrap();
        let line = forge::line(seed, place, "message", &body);
        let behind = forge::line(seed, (4, 3, forge::stored(&line)), "message", "4");
        // One bit of what stands before the body: the record is lost, and its body must not speak in its place.
        let damaged = line.replacen("\"durable\":2", "\"durable\":3", 1);
        fs::write(transcript(folder.path(), "k", 1), format!("{base}{damaged}{behind}")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let repaired = store.repair(&sesslog::SessionKey::new("k").unwrap(), None, false).unwrap();
        assert_eq!((repaired.lost, repaired.records_kept, repaired.records_set_aside), (vec![(3, 3)], 3, 0), "{body}");
        assert_eq!(shown(&store.session("k").unwrap()), ["1", "2", "4"], "{body}");
        // Nor with the header gone, when the seed has to be found among the lines.
        let bad = base.replacen("\"generation\":1", "\"generation\":2", 1);
        fs::write(transcript(folder.path(), "k", 1), format!("{bad}{line}{behind}")).unwrap();
        assert_eq!(shown(&store.session("k").unwrap()), ["gap", "1", "2", &body, "4"], "{body}");
    }
}
