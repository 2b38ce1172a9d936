//! Signals, kills, closed pipes, full disks, colours, and following a live session.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use super::{Bench, Running, close, finish, spawn};

impl Running {
    fn object(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

#[test]
fn a_killed_append_keeps_what_it_acknowledged() {
    for acknowledged_at_least in [1, 20, 300] {
        let bench = Bench::new();
        let mut running = bench.start(&["append", "k"]);
        let mut stdin = running.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || {
            let mut n = 1;
            // Until nobody reads any more.
            while stdin.write_all(format!("{{\"n\":{n},\"text\":\"{n:0200}\"}}\n").as_bytes()).is_ok() {
                n += 1;
            }
        });
        for n in 1..=acknowledged_at_least {
            assert_eq!(running.line(), format!("k {n}\n"));
        }
        running.child.kill().unwrap();
        let rest: Vec<String> = running.stdout.lines().map(Result::unwrap).collect();
        running.child.wait().unwrap();
        feeder.join().unwrap();
        // The last line may be cut.
        let acknowledged = acknowledged_at_least + rest.len().saturating_sub(1);
        bench.run(&["rebuild-index"]).expect(0);
        bench.run(&["verify", "--deep"]).expect(0);
        let shown = bench.run(&["show", "k"]).expect(0);
        let count = shown.stdout.lines().count();
        assert!(count >= acknowledged, "{count} kept, {acknowledged} acknowledged");
        for (line, n) in shown.stdout.lines().zip(1..) {
            assert_eq!(line, format!("{{\"n\":{n},\"text\":\"{n:0200}\"}}"));
        }
        let next = bench.feed(&["append", "k"], b"1\n").expect(0).stdout;
        assert_ne!(next, "");
    }
}

#[test]
fn sigterm_ends_an_append_properly() {
    for (args, durable) in [(&["append", "k", "--json"][..], true), (&["append", "k", "--json", "--buffered"], false)] {
        for signal in [Signal::TERM, Signal::INT] {
            let bench = Bench::new();
            let mut running = bench.start(args);
            for n in 1..=3 {
                running.send(&format!("{n}\n"));
                let ack = running.object();
                assert_eq!((ack["seq"].as_u64(), ack["durable"].as_bool()), (Some(n), Some(durable)));
            }
            // It is blocked in a read of an open standard input.
            running.signal(signal);
            let run = running.wait().expect(0);
            assert_eq!(run.summary()["records"], 3);
            assert_eq!(run.summary()["durable"], true);
            bench.run(&["verify"]).expect(0);
            assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "1\n2\n3\n");
        }
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let bench = Bench::with_records("k", 3);
    bench.damage("k", 2);
    for args in [
        &["list"][..],
        &["show", "k"],
        &["--json", "show", "k"],
        &["tail", "k"],
        &["tail", "-f", "k"],
        &["info", "k"],
        &["path", "k"],
        &["label", "k"],
        &["context", "k"],
        &["context", "k", "--json"],
        &["undo", "k", "--dry-run"],
        &["delete", "k", "--dry-run"],
        &["prune", "--keep-newest", "1", "--dry-run", "--json"],
        &["trash", "list", "--json"],
        &["resumable", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["rebuild-index", "--json", "--dry-run"],
        &["repair", "k", "--dry-run"],
        &["show", "nobody", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        close(reader);
        let run = finish(spawn(bench.command(args).stdout(writer)));
        if args.contains(&"nobody") {
            // There was an error all the same, and still someone to tell it to.
            assert_eq!(run.code, Some(6), "{args:?}: {run:?}");
            continue;
        }
        let talk: String = run.stderr.lines().filter(|line| !line.starts_with("gap: ")).collect();
        assert_eq!((run.code, talk.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_closed_pipe_ends_an_append_and_keeps_what_was_appended() {
    let bench = Bench::new();
    let (reader, writer) = std::io::pipe().unwrap();
    close(reader);
    let mut child = spawn(bench.command(&["append", "k"]).stdin(Stdio::piped()).stdout(writer));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"1\n").unwrap();
    // Standard input stays open: it is the pipe that ends it.
    let status = child.wait().unwrap();
    drop(stdin);
    // Quietly, but not as if all that was given had been appended.
    assert_eq!(status.code(), Some(1), "{status}");
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "1\n");
    bench.run(&["verify"]).expect(0);
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_can_not_be_written_is_an_error() {
    let bench = Bench::with_records("k", 1);
    for args in [&["show", "k"][..], &["show", "k", "--json"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let run = finish(spawn(bench.command(args).stdout(full))).expect(1);
        assert!(run.stderr.starts_with("error: can not write to standard output\ncaused by: "), "{}", run.stderr);
    }
}

#[test]
fn colours_are_for_those_who_want_them() {
    let bench = Bench::new();
    let run = |names: &[&str]| {
        let mut command = bench.command(&["list"]);
        for name in names {
            command.env(name, "1");
        }
        finish(spawn(&mut command)).expect(6).stderr
    };
    assert!(run(&["CLICOLOR_FORCE"]).starts_with("\u{1b}[1;31merror:\u{1b}[0m "));
    assert!(run(&[]).starts_with("error: "));
    assert!(run(&["CLICOLOR_FORCE", "NO_COLOR"]).starts_with("error: "));
}

#[test]
fn a_follower_sees_each_record_once() {
    let bench = Bench::with_records("k", 5);
    let mut follower = bench.start(&["tail", "k", "-f", "-n", "2"]);
    assert_eq!(follower.line(), "{\"n\":4}\n");
    assert_eq!(follower.line(), "{\"n\":5}\n");
    let mut writer = bench.start(&["append", "k"]);
    for n in 6..=20 {
        writer.send(&format!("{{\"n\":{n}}}\n"));
        assert_eq!(writer.line(), format!("k {n}\n"));
        assert_eq!(follower.line(), format!("{{\"n\":{n}}}\n"));
    }
    assert!(writer.end().success());
    follower.signal(Signal::TERM);
    let run = follower.wait().expect(0);
    assert_eq!(run.stdout, "");
}

#[test]
fn a_follower_goes_on_after_a_repair() {
    let bench = Bench::with_records("k", 3);
    let mut follower = bench.start(&["tail", "k", "-f", "--json"]);
    for n in 1..=3 {
        assert_eq!(follower.object()["seq"], n);
    }
    bench.damage("k", 2);
    bench.run(&["repair", "k"]).expect(3);
    bench.feed(&["append", "k"], b"{\"n\":4}\n").expect(0);
    let mut object = follower.object();
    // It may have seen the damage before the repair.
    while object["type"] == "gap" {
        object = follower.object();
    }
    assert_eq!((&object["seq"], &object["body"]["n"]), (&4.into(), &4.into()));
    follower.signal(Signal::INT);
    let run = follower.wait();
    assert_eq!(run.summary()["records"], 4);
}

#[test]
fn a_follower_goes_on_after_a_reset() {
    let bench = Bench::of_fixture("two-generations");
    let key = "telegram:two-generations";
    let later = bench.transcript(key, 2);
    let aside = bench.folder.path().join("later");
    fs::rename(&later, &aside).unwrap();
    let first = bench.run(&["show", key]).expect(0).stdout;
    let mut follower = bench.start(&["tail", key, "-f", "-n", "100"]);
    for line in first.lines() {
        assert_eq!(follower.line().trim_end(), line);
    }
    fs::rename(&aside, &later).unwrap();
    let second = bench.run(&["show", key]).expect(0).stdout;
    assert_ne!(first, second);
    for line in second.lines() {
        assert_eq!(follower.line().trim_end(), line);
    }
    follower.signal(Signal::TERM);
    assert_eq!(follower.wait().expect(0).stdout, "");
}

#[test]
fn a_follower_ends_with_its_pipe() {
    let bench = Bench::with_records("k", 1);
    let mut child = spawn(&mut bench.command(&["tail", "k", "-f"]));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"n\":1}\n");
    close(stdout);
    bench.feed(&["append", "k"], b"2\n").expect(0);
    let run = child.wait_with_output().unwrap();
    assert_eq!((run.status.code(), run.stderr.as_slice()), (Some(0), &b""[..]));
}
