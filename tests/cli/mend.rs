//! `verify`, `rebuild-index`, `repair`: what each says, what it changes, and what the next one says then.

use std::fs;

use serde_json::{Value, json};
use sesslog::SessionKey;

use super::{Bench, names};

fn defects(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["defect"].as_str().unwrap()).collect()
}

#[test]
fn a_sound_store_is_sound() {
    let bench = Bench::with_records("k", 3);
    let run = bench.run(&["verify", "--deep", "--json"]).expect(0);
    let summary = run.summary();
    assert_eq!(names(&summary), ["bytes", "findings", "records", "sessions", "status", "type"]);
    assert_eq!(
        (&summary["sessions"], &summary["records"], &summary["status"]),
        (&json!(1), &json!(3), &json!("sound"))
    );
    let run = bench.run(&["verify"]).expect(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", "sound: 1 session, 3 records, 0 findings\n"));
    bench.run(&["rebuild-index", "--dry-run"]).expect(0);
    assert_eq!(bench.run(&["repair", "k"]).expect(0).stdout, "k generation 1: nothing to repair, 3 records\n");
}

#[test]
fn damage_is_found_named_and_repaired() {
    let bench = Bench::with_records("k", 5);
    bench.damage("k", 2);
    let before = bench.content();
    let run = bench.run(&["verify", "--json"]).expect(3);
    let findings = run.of_type("finding");
    assert_eq!(
        names(&findings[0]),
        ["bytes", "defect", "from_seq", "generation", "key", "mend", "offset", "path", "seq", "to_seq", "type"]
    );
    assert_eq!(defects(&findings), ["checksum"]);
    assert_eq!((&findings[0]["key"], &findings[0]["seq"]), (&json!("k"), &json!(2)));
    assert_eq!(run.summary()["status"], "damaged");
    assert_eq!(bench.run(&["verify"]).expect(3).stdout.lines().count(), 1);
    assert_eq!(bench.run(&["rebuild-index", "--dry-run", "--json"]).expect(3).of_type("finding").len(), 1);
    assert_eq!(bench.run(&["rebuild-index", "--json"]).expect(3).of_type("finding").len(), 1);
    let plan = bench.run(&["repair", "k", "--dry-run", "--json"]).expect(3);
    assert_eq!(plan.of_type("gap").len(), 1);
    assert!(bench.content() == before, "none of these may touch damage");

    let run = bench.run(&["repair", "k", "--json"]).expect(3);
    let summary = run.summary();
    assert_eq!((&summary["lost"], &summary["records_kept"]), (&json!([[2, 2]]), &json!(4)));
    let quarantine = summary["quarantine"].as_str().unwrap();
    assert!(fs::read(quarantine).unwrap() == before[0].1, "the original is not in quarantine");
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "{\"n\":1}\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n");
    assert_eq!(bench.feed(&["append", "k"], b"6\n").expect(0).stdout, "k 6\n");
    bench.run(&["verify", "--deep"]).expect(0);
    bench.run(&["repair", "k"]).expect(0);
}

#[test]
fn a_repair_that_keeps_every_record_is_done() {
    let bench = Bench::of_fixture("duplicated-record");
    let text = bench.run(&["repair", "telegram:duplicated-record"]).expect(0).stdout;
    assert!(text.contains("\n8 records kept\n1 records set aside\noriginal kept in "), "{text}");
    bench.run(&["verify", "telegram:duplicated-record"]).expect(0);
    // Nothing is known to be lost with a file of zeros, and nothing is known to be kept.
    let bench = Bench::of_fixture("all-zero-file");
    bench.run(&["repair", "telegram:all-zero-file"]).expect(3);
    bench.run(&["verify", "telegram:all-zero-file"]).expect(0);
}

#[test]
fn a_torn_tail_heals() {
    let bench = Bench::of_fixture("torn-half");
    let key = "telegram:torn-half";
    let before = bench.content();
    let run = bench.run(&["verify", key, "--json"]).expect(4);
    let findings = run.of_type("finding");
    assert_eq!(defects(&findings), ["torn"]);
    assert_eq!(run.summary()["status"], "heals");
    bench.run(&["repair", key]).expect(0);
    let bench = Bench::of_fixture("torn-half");
    bench.run(&["rebuild-index", "--dry-run"]).expect(4);
    assert!(bench.content()[0].1 == before[0].1, "a dry run cut");
    let run = bench.run(&["rebuild-index", "--json"]).expect(0);
    assert_eq!(defects(&run.of_type("finding")), ["torn-cut"]);
    assert_eq!((&run.summary()["torn"], &run.summary()["status"]), (&json!(1), &json!("done")));
    let offset = usize::try_from(findings[0]["offset"].as_u64().unwrap()).unwrap();
    let cut = &before[0].1[offset..];
    assert!(bench.content().iter().any(|(path, bytes)| path.parent().unwrap().ends_with("quarantine") && bytes == cut));
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_torn_tail_may_be_left() {
    let bench = Bench::of_fixture("torn-half");
    let before = bench.content();
    let run = bench.run(&["rebuild-index", "--no-truncate", "--json"]).expect(0);
    assert_eq!(defects(&run.of_type("finding")), ["torn"]);
    assert!(bench.content() == before, "the tail was cut");
    bench.run(&["verify"]).expect(4);
}

#[test]
fn the_registry_can_be_folded_again() {
    let bench = Bench::with_records("k", 3);
    let registry = bench.store().join("registry.jsonl");
    let good = fs::read(&registry).unwrap();
    for bad in [None, Some(&b"{\"not\":\"a registry\"}\n"[..]), Some(b"\0\0\0\0")] {
        let found = match bad {
            None => {
                fs::remove_file(&registry).unwrap();
                "registry-missing"
            }
            Some(bytes) => {
                fs::write(&registry, bytes).unwrap();
                "registry-unusable"
            }
        };
        let run = bench.run(&["verify", "--json"]).expect(4);
        assert_eq!(defects(&run.of_type("finding")), [found]);
        bench.run(&["verify", "k"]).expect(0);
        assert_eq!(bench.run(&["show", "k"]).expect(0).stdout.lines().count(), 3);
        assert_eq!(bench.run(&["list"]).expect(0).stdout.lines().count(), 1);
        bench.run(&["rebuild-index", "--dry-run"]).expect(4);
        assert!(fs::read(&registry).ok().as_deref() == bad, "looking must not write");
        bench.run(&["rebuild-index"]).expect(0);
        assert_eq!(fs::read(&registry).unwrap(), good);
    }
}

#[test]
fn a_lost_transcript_is_told_until_the_loss_is_accepted() {
    let bench = Bench::with_records("k", 3);
    bench.feed(&["append", "other"], b"1\n").expect(0);
    fs::remove_file(bench.transcript("k", 1)).unwrap();
    for args in
        [&["verify", "--json"][..], &["verify", "k", "--json"], &["rebuild-index", "--json"], &["verify", "--json"]]
    {
        assert_eq!(defects(&bench.run(args).expect(3).of_type("finding")), ["row-without-file"], "{args:?}");
    }
    bench.run(&["verify", "other"]).expect(0);
    bench.run(&["rebuild-index", "--accept-loss", "--dry-run"]).expect(4);
    bench.run(&["rebuild-index", "--accept-loss"]).expect(0);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn lost_records_are_told_until_the_loss_is_accepted() {
    let bench = Bench::with_records("k", 3);
    let path = bench.transcript("k", 1);
    let text = fs::read_to_string(&path).unwrap();
    let kept: usize = text.split_inclusive('\n').take(3).map(str::len).sum();
    fs::write(&path, &text[..kept]).unwrap();
    for args in [&["verify", "--json"][..], &["rebuild-index", "--json"], &["verify", "--json"]] {
        assert_eq!(defects(&bench.run(args).expect(3).of_type("finding")), ["lost"], "{args:?}");
    }
    bench.feed(&["append", "k"], b"1\n").expect(3);
    bench.run(&["rebuild-index", "--accept-loss"]).expect(0);
    assert_eq!(bench.feed(&["append", "k"], b"1\n").expect(0).stdout, "k 3\n");
}

#[test]
fn verify_judges_the_keys_named_and_names_those_missing() {
    let bench = Bench::with_records("good", 2);
    bench.feed(&["append", "bad"], b"1\n").expect(0);
    let (path, mut bytes) = bench.content().into_iter().find(|(path, _)| *path == bench.transcript("bad", 1)).unwrap();
    let at = bytes.len() - 30;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    bench.run(&["verify", "good"]).expect(0);
    let run = bench.run(&["verify", "good", "nobody", "--json"]).expect(6);
    assert_eq!((&run.summary()["sessions"], run.of_type("error").len()), (&json!(1), 1));
    let run = bench.run(&["verify", "nobody", "bad", "--json"]).expect(3);
    assert_eq!((run.of_type("finding").len(), run.of_type("error").len()), (1, 1));
    bench.run(&["verify", "nobody", "no one"]).expect(6);
}

#[test]
fn busy_sessions_are_5_to_writers_and_counted_by_a_rebuild() {
    let bench = Bench::with_records("k", 2);
    let lock_name = format!("{}.lock", SessionKey::new("k").unwrap().file_stem());
    let lock = fs::File::create(bench.store().join("locks").join(lock_name)).unwrap();
    lock.lock().unwrap();
    let run = bench.feed(&["append", "k"], b"1\n").expect(5);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("hint: wait for it with --wait SECONDS"), "{}", run.stderr);
    bench.feed(&["append", "other"], b"1\n").expect(0);
    bench.run(&["repair", "k"]).expect(5);
    assert_eq!(bench.run(&["rebuild-index", "--json"]).expect(0).summary()["busy"], 1);
    bench.run(&["verify"]).expect(0);
    // The waiting one goes on as soon as the lock is free.
    let mut waiting = bench.start(&["append", "k", "--wait", "600"]);
    waiting.send("{\"n\":3}\n");
    drop(lock);
    assert_eq!(waiting.line(), "k 3\n");
    assert!(waiting.end().success());
}
