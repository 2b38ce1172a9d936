//! What is in the trash: `trash restore` and `trash empty`, and what neither of them can do.

use std::fs;

use serde_json::{Value, json};
use sesslog::SessionKey;

use super::forget::of;
use super::{Bench, everything, names};

#[test]
fn a_restore_says_what_it_can_not_take_back() {
    let bench = Bench::with_two_generations();
    bench.run(&["delete", "k"]).expect(0);
    bench.feed(&["append", "k"], b"\"other\"\n").expect(0);
    // What began anew is not replaced, nor followed while it is open.
    let hint = "to have the deleted one instead, delete that first: sessctl delete --generation 1 k";
    for dry in [&[][..], &["--dry-run"]] {
        for generation in ["1", "2"] {
            let args = [&["trash", "restore", "k", "--generation", generation], dry].concat();
            bench.fails(&args, 1, "session \"k\" exists, its newest generation is 1", hint);
        }
        let run = bench.run(&[&["trash", "restore", "k", "--json"], dry].concat()).expect(1);
        assert_eq!((&run.summary()["transcripts"], &run.summary()["failed"]), (&json!(0), &json!(2)));
    }
    bench.run(&["reset", "k"]).expect(0);
    for (dry, restored) in [(&["--dry-run"][..], false), (&[], true)] {
        // Generation 2 comes back although the other one does not.
        let run = bench.run(&[&["trash", "restore", "k", "--json"], dry].concat()).expect(1);
        assert_eq!((&run.summary()["transcripts"], &run.summary()["failed"]), (&json!(1), &json!(1)));
        let lines = run.of_type("trash");
        assert_eq!((&lines[0]["generation"], &lines[0]["restored"]), (&json!(2), &json!(restored)));
    }
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "\"anew\"\n");
    assert_eq!(bench.run(&["show", "k", "--generation", "1"]).expect(0).stdout, "\"other\"\n");

    // Now the trash has two of generation 1.
    bench.run(&["delete", "k"]).expect(0);
    let names = bench.trashed();
    assert_eq!(names.len(), 3);
    let before = bench.content();
    let hint = format!("name the one wanted: sessctl trash restore {}", names[0]);
    let error = format!("the trash has several transcripts of \"k\" generation 1: {}, {}", names[0], names[1]);
    for dry in [&[][..], &["--dry-run"]] {
        bench.fails(&[&["trash", "restore", "k"], dry].concat(), 1, &error, &hint);
        for (what, asked) in
            [("nobody", None), ("", None), ("k.1.jsonl", None), ("../registry.jsonl", None), ("k", Some("3"))]
        {
            let generation = asked.map_or_else(Vec::new, |number| vec!["--generation", number]);
            let args = [&["trash", "restore", what], dry, &generation].concat();
            bench.fails(&args, 6, "in the trash", "sessctl trash list");
        }
    }
    assert!(bench.content() == before && bench.trashed() == names, "a refusal changed something");
    bench.run(&["trash", "restore", "k", "--generation", "2"]).expect(0);
    bench.run(&["trash", "restore", &names[0]]).expect(0);
    assert_eq!(bench.run(&["show", "k", "--generation", "1"]).expect(0).stdout, "{\"n\":1}\n{\"n\":2}\n");
    bench.fails(&["trash", "restore", &names[0]], 6, &names[0], "sessctl trash list");

    // Somebody begins the key at this moment.
    bench.run(&["delete", "k"]).expect(0);
    let lock = bench.store().join("locks").join(format!("{}.lock", SessionKey::new("k").unwrap().file_stem()));
    let held = fs::File::create(lock).unwrap();
    held.lock().unwrap();
    let run = bench.run(&["trash", "restore", "k", "--generation", "2", "--json"]).expect(5);
    assert_eq!(run.summary()["status"], "busy");
    drop(held);
    bench.run(&["trash", "restore", "k", "--generation", "2"]).expect(0);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn generations_have_no_hole() {
    let bench = Bench::with_two_generations();
    bench.run(&["reset", "k"]).expect(0);
    bench.feed(&["append", "k"], b"3\n").expect(0);
    let before = bench.content();
    let hint = "delete the oldest first, or all of them: sessctl delete k";
    for dry in [&[][..], &["--dry-run"]] {
        let args = [&["delete", "k", "--generation", "2"], dry].concat();
        bench.fails(&args, 1, "session \"k\" generation 2 stands between others", hint);
    }
    assert!(bench.content() == before, "a refusal changed something");
    bench.run(&["delete", "k", "--generation", "1"]).expect(0);
    bench.run(&["delete", "k", "--generation", "2"]).expect(0);
    // Each right before the oldest.
    for dry in [&["--dry-run"][..], &[]] {
        let run = bench.run(&[&["trash", "restore", "k", "--json"], dry].concat()).expect(0);
        let generations: Vec<_> = run.of_type("trash").iter().map(|line| line["generation"].clone()).collect();
        assert_eq!(generations, [2, 1]);
    }
    assert!(bench.content().iter().filter(|file| before.contains(file)).count() >= 4, "not as it was");
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_damaged_header_is_deleted_and_not_lost() {
    let bench = Bench::with_two_generations();
    let path = bench.transcript("k", 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, &bytes).unwrap();
    bench.run(&["delete", "k"]).expect(0);
    bench.run(&["verify"]).expect(0);
    let lines = bench.run(&["trash", "list", "--json"]).expect(0).of_type("trash");
    assert_eq!((&lines[0]["key"], &lines[1]["key"]), (&Value::Null, &json!("k")));
    assert!(bench.run(&["trash", "list"]).expect(0).stdout.starts_with("-  1  "));
    for (dry, code) in [(&["--dry-run"][..], 3), (&[], 3)] {
        let run = bench.run(&[&["trash", "restore", "k"], dry].concat()).expect(code);
        assert!(run.stdout.starts_with("k generation 2: "), "{}", run.stdout);
        assert!(
            run.stderr.contains("hint: move the file back to transcripts/ without the time in its name"),
            "{run:?}"
        );
    }
    // As the hint says.
    let name = bench.trashed().remove(0);
    fs::rename(bench.store().join("trash").join(name), &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    bench.run(&["repair", "k", "--generation", "1"]).expect(0);
    assert_eq!(bench.run(&["show", "k", "--generation", "1"]).expect(0).stdout, "{\"n\":1}\n{\"n\":2}\n");
    bench.run(&["verify"]).expect(0);
}

#[test]
fn an_emptied_trash_leaves_no_loss_behind() {
    let bench = Bench::with_two_generations();
    let stale = fs::read(bench.registry()).unwrap();
    bench.run(&["delete", "k"]).expect(0);
    let names_there = bench.trashed();
    let before = everything(&bench.store());
    let bytes: usize = of(&before, &bench.store().join("trash"), "k").iter().map(Vec::len).sum();
    let plan = bench.run(&["trash", "empty", "--dry-run"]).expect(0);
    let line = |will: &str, at: usize| format!("k generation {}: {will}removed, {}\n", at + 1, names_there[at]);
    assert_eq!(plan.stdout, line("would be ", 0) + &line("would be ", 1));
    assert_eq!(plan.stderr, format!("2 transcripts would be removed, {bytes} bytes\n"));
    let plan = bench.run(&["trash", "empty", "--dry-run", "--json"]).expect(0);
    // Nothing is of that age.
    let young = bench.run(&["trash", "empty", "--older-than", "1h"]).expect(0);
    assert_eq!((young.stdout.as_str(), young.stderr.as_str()), ("", "0 transcripts removed, 0 bytes\n"));
    assert!(everything(&bench.store()) == before, "a dry run wrote something");
    // An hour ago.
    let (name, time) = names_there[0].strip_suffix(".jsonl").unwrap().rsplit_once('.').unwrap();
    let older = format!("{name}.{}.jsonl", time.parse::<u64>().unwrap() - 3_600_000);
    fs::rename(bench.store().join("trash").join(&names_there[0]), bench.store().join("trash").join(&older)).unwrap();
    let text = bench.run(&["trash", "empty", "--older-than", "30m"]).expect(0).stdout;
    assert_eq!(text, format!("k generation 1: removed, {older}\n"));
    let done = bench.run(&["trash", "empty", "--json"]).expect(0);
    for (run, removed) in [(&plan, false), (&done, true)] {
        assert!(run.of_type("trash").iter().all(|line| line["removed"] == removed), "{run:?}");
        assert_eq!((&run.summary()["dry_run"], names(&run.summary()).len()), (&json!(!removed), 5));
    }
    assert_eq!(bench.run(&["trash", "list"]).expect(0).stdout, "");
    fs::write(bench.registry(), stale).unwrap();
    bench.run(&["verify"]).expect(0);
}
