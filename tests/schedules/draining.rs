//! A drain beside turns that end, that are given up, and that are being begun; somebody pulls the plug meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sesslog::sim::{Chance, SimFs};
use sesslog::{Error, NewRecord, Outcome, SessionState, Store, Turn};
use shuttle::thread;

use crate::explore::explore;
use crate::ledger::{ROOT, open, options};
use crate::world::below;

/// What a gateway knows of its turns, outside of the store.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(&'static str, Known)>>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Open,
    Finishing,
    Finished,
}

impl Diary {
    fn note(&self, key: &'static str, known: Known) {
        let mut diary = self.0.lock().unwrap();
        diary.retain(|(noted, _)| *noted != key);
        diary.push((key, known));
    }

    fn copy(&self) -> Vec<(&'static str, Known)> {
        self.0.lock().unwrap().clone()
    }
}

fn record() -> Vec<NewRecord> {
    vec![NewRecord::new("body").unwrap()]
}

fn finish(diary: &Diary, key: &'static str, turn: &Turn, outcome: Outcome) {
    diary.note(key, Known::Finishing);
    turn.finish(outcome, record()).unwrap();
    diary.note(key, Known::Finished);
}

/// Cuts the power of a copy, and holds what is left against what was known before.
fn judge(disk: &SimFs, known: &[(&'static str, Known)]) {
    disk.crash(&mut Chance::new(below(u64::MAX)));
    let store = options(disk).open_read_only(ROOT).unwrap();
    for (key, known) in known {
        let row = store.session(key).unwrap().row().unwrap();
        match known {
            Known::Open => assert!(row.status.turn.is_some(), "{key} is open, the row says {row:?}"),
            Known::Finishing => {}
            Known::Finished => assert_eq!(row.state, SessionState::Open, "{key} is finished"),
        }
    }
}

fn run(rings: u32) {
    sesslog::sync::set_rings(rings);
    let fs = SimFs::new();
    let store: Store = open(&fs);
    let diary = Diary::default();
    let mut threads = Vec::new();
    for (key, outcome) in [("one", Outcome::Success), ("two", Outcome::Failed)] {
        let turn = store.session(key).unwrap().begin_turn(record()).unwrap();
        diary.note(key, Known::Open);
        let diary = diary.clone();
        threads.push(thread::spawn(move || finish(&diary, key, &turn, outcome)));
    }
    let given_up = store.session("given up").unwrap().begin_turn(Vec::new()).unwrap();
    diary.note("given up", Known::Open);
    threads.push(thread::spawn(move || drop(given_up)));
    let (late, notes) = (store.session("late").unwrap(), diary.clone());
    threads.push(thread::spawn(move || match late.begin_turn(record()) {
        Ok(turn) => {
            notes.note("late", Known::Open);
            finish(&notes, "late", &turn, Outcome::Partial);
        }
        Err(Error::Draining) => {}
        Err(other) => panic!("{other:?}"),
    }));
    let (notes, disk) = (diary.clone(), fs.clone());
    threads.push(thread::spawn(move || {
        for _ in 0..below(60) {
            disk.operations();
        }
        // First the disk: what the diary says then, it said of this disk or a later one.
        let before = notes.copy();
        let copy = disk.fork();
        let after = notes.copy();
        let steady: Vec<_> = before.into_iter().filter(|noted| after.contains(noted)).collect();
        judge(&copy, &steady);
    }));
    let drained = store.drain(Duration::from_secs(1), "stop", &[]).unwrap();
    assert!(drained.failed.is_empty() && drained.flushed.failures.is_empty(), "{drained:?}");
    if rings == 0 {
        // It had all the time: whoever finished is no more pending now.
        assert_eq!(drained.interrupted.iter().map(|key| key.as_str()).collect::<Vec<_>>(), given_up_if_seen(&drained));
        for key in &drained.finished {
            assert_eq!(store.session(key.as_str()).unwrap().row().unwrap().state, SessionState::Open, "{key}");
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(store.close().unwrap().failures.is_empty());
    judge(&fs, &diary.copy());
}

/// A turn that was given up before the drain looked is none of its sessions.
fn given_up_if_seen(drained: &sesslog::Drained) -> Vec<&str> {
    if drained.interrupted.is_empty() { Vec::new() } else { vec!["given up"] }
}

#[test]
fn a_drain_with_time_leaves_nobody_pending() {
    explore(|| run(0));
}

#[test]
fn a_drain_without_time_marks_those_that_run() {
    explore(|| run(2));
}
