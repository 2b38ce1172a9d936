//! Turns, marks, drain and resume: each rule of theirs, with the time given by the test, and each also with the registry gone.

use std::time::Duration;

use sesslog::resume::{NewReason, ResumePolicy, Route, RoutePolicy};
use sesslog::{Error, NewRecord, Outcome, SessionState, Store, Timestamp};

const KEY: &str = "telegram:1";

fn record(text: &str) -> NewRecord {
    NewRecord::new(text).unwrap()
}

fn later(then: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(then.unix_ms() + seconds * 1000)
}

/// A store that is dropped as a killed process leaves it: no seal, no registry, no word.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Store {
        Store::open(self.folder.path()).unwrap()
    }

    /// Opens the store with the registry as it is, and once more without it.
    fn each(&self, check: impl Fn(&Store)) {
        check(&self.open());
        std::fs::remove_file(self.folder.path().join("registry.jsonl")).unwrap();
        check(&self.open());
    }

    fn with_session() -> Self {
        let world = Self::new();
        world.open().session(KEY).unwrap().append(record("hi")).unwrap();
        world
    }
}

fn state(store: &Store) -> SessionState {
    store.session(KEY).unwrap().row().unwrap().state
}

#[test]
fn a_turn_that_did_not_end_is_interrupted_and_one_that_did_is_not() {
    let world = World::new();
    {
        let store = world.open();
        let session = store.session(KEY).unwrap();
        let turn = session.begin_turn(vec![record("question")]).unwrap();
        assert_eq!((turn.seq(), turn.receipts().len(), turn.receipts()[0].seq), (1, 1, 2));
        turn.append(record("thinking")).unwrap();
        assert!(format!("{turn:?}").len() < 2000, "no buffers, no rows: {turn:?}");
        let receipts = turn.finish(Outcome::Success, vec![record("answer")]).unwrap();
        assert_eq!((receipts.len(), receipts[0].seq), (1, 4));
        assert!(matches!(turn.append(record("late")), Err(Error::TurnOver { turn: 1, .. })));
        assert!(matches!(turn.finish(Outcome::Success, vec![]), Err(Error::TurnOver { .. })));
    }
    world.each(|store| assert_eq!(state(store), SessionState::Open));
    {
        let store = world.open();
        // Behind the seal of the commit before.
        let turn = store.session(KEY).unwrap().begin_turn(vec![]).unwrap();
        let second = store.session(KEY).unwrap().begin_turn(vec![]);
        assert!(matches!(second, Err(Error::TurnRunning { turn: 7, .. })), "{second:?}");
        assert!(store.session(KEY).unwrap().is_running().unwrap());
        assert!(matches!(store.session(KEY).unwrap().release(), Err(Error::TurnRunning { .. })), "it keeps its lock");
        drop(turn);
        assert!(!store.session(KEY).unwrap().is_running().unwrap());
    }
    world.each(|store| {
        let row = store.session(KEY).unwrap().row().unwrap();
        assert_eq!((row.state, row.status.turn.unwrap().seq), (SessionState::Interrupted, 7));
    });
    let store = world.open();
    let turn = store.session(KEY).unwrap().begin_turn(vec![record("again")]).unwrap();
    turn.finish(Outcome::Success, vec![]).unwrap();
    assert_eq!(state(&store), SessionState::Open);
}

#[test]
fn marking_an_unknown_key_or_a_suspended_session_changes_nothing() {
    let world = World::with_session();
    let store = world.open();
    let unknown = store.session("nobody").unwrap();
    assert!(unknown.mark_resume_pending("x").unwrap_err().is_not_found());
    assert!(unknown.suspend("x").unwrap_err().is_not_found() && unknown.reset("x").unwrap_err().is_not_found());
    assert!(unknown.row().unwrap_err().is_not_found(), "nothing was made");
    let session = store.session(KEY).unwrap();
    assert!(session.suspend("loops").unwrap());
    assert!(!session.suspend("again").unwrap());
    let before = session.row().unwrap();
    for refused in [
        session.mark_resume_pending("x"),
        session.note_resume_attempt().map(drop),
        session.begin_turn(vec![]).map(drop),
    ] {
        assert!(matches!(&refused, Err(Error::Suspended { reason, .. }) if reason == "loops"), "{refused:?}");
    }
    assert_eq!(session.row().unwrap(), before);
    // What a person writes is kept all the same.
    session.append(record("still here")).unwrap();
    store.close().unwrap();
    world.each(|store| assert_eq!(state(store), SessionState::Suspended));
    let session = world.open().session(KEY).unwrap();
    assert!(session.lift_suspension().unwrap() && !session.lift_suspension().unwrap());
    session.mark_resume_pending("now").unwrap();
    assert_eq!(session.row().unwrap().state, SessionState::Pending);
    assert!(session.suspend("wins").unwrap());
    assert_eq!(session.row().unwrap().state, SessionState::Suspended);
}

#[test]
fn clearing_resets_everything_and_says_when_there_was_nothing() {
    let world = World::with_session();
    let session = world.open().session(KEY).unwrap();
    assert!(!session.clear_resume_pending().unwrap());
    let before = session.row().unwrap().last_seq;
    session.mark_resume_pending("restart").unwrap();
    let pending = session.row().unwrap().status.pending.unwrap();
    assert_eq!(pending.reason, "restart");
    assert!(session.clear_resume_pending().unwrap() && !session.clear_resume_pending().unwrap());
    let row = session.row().unwrap();
    assert_eq!((row.status.pending, row.state, row.last_seq), (None, SessionState::Open, before + 2));
}

#[test]
fn only_success_clears_the_mark_and_the_count_of_tries() {
    for outcome in [Outcome::Interrupted, Outcome::Failed, Outcome::Partial, Outcome::Error, Outcome::Success] {
        let world = World::with_session();
        {
            let store = world.open();
            let session = store.session(KEY).unwrap();
            session.mark_resume_pending("restart").unwrap();
            assert_eq!((session.note_resume_attempt().unwrap(), session.note_resume_attempt().unwrap()), (1, 2));
            let turn = session.begin_turn(vec![]).unwrap();
            turn.finish(outcome, vec![record("end")]).unwrap();
        }
        world.each(|store| {
            let status = store.session(KEY).unwrap().row().unwrap().status;
            let cleared = (status.pending.is_none(), status.resume_attempts);
            assert_eq!(cleared, if outcome == Outcome::Success { (true, 0) } else { (false, 2) }, "{outcome:?}");
        });
    }
}

#[test]
fn a_reset_closes_the_generation_and_the_turn_in_it() {
    let world = World::new();
    let store = world.open();
    let session = store.session(KEY).unwrap();
    let turn = session.begin_turn(vec![record("one")]).unwrap();
    session.set_title("first").unwrap();
    session.set_labels(&["keep", "home"]).unwrap();
    assert!(session.reset("new topic").unwrap() && !session.reset("again").unwrap());
    assert!(matches!(session.set_title("x"), Err(Error::SessionClosed { generation: 1, .. })));
    assert!(matches!(turn.append(record("late")), Err(Error::TurnOver { .. })));
    assert_eq!(session.append(record("two")).unwrap().generation, 2);
    assert!(matches!(turn.finish(Outcome::Success, vec![record("late")]), Err(Error::TurnOver { .. })));
    drop((turn, session));
    store.close().unwrap();
    world.each(|store| {
        let session = store.session(KEY).unwrap();
        let old = session.row_of(Some(1)).unwrap();
        assert_eq!((old.state, old.title.as_deref()), (SessionState::Closed, Some("first")));
        assert_eq!(old.status.labels, ["keep", "home"]);
        let new = session.row().unwrap();
        assert_eq!((new.generation, new.state, new.title), (2, SessionState::Open, None));
    });
}

#[test]
fn a_clean_drain_leaves_no_mark() {
    let world = World::new();
    let store = world.open();
    let turns: Vec<_> =
        (0..4).map(|n| store.session(format!("s{n}")).unwrap().begin_turn(vec![record("go")]).unwrap()).collect();
    let drained = std::thread::scope(|scope| {
        let draining = scope.spawn(|| store.drain(Duration::from_secs(30), "restart", &[]).unwrap());
        while !turns.iter().all(|turn| turn.session().row().unwrap().status.pending.is_some()) {
            std::thread::yield_now();
        }
        assert!(matches!(store.session("late").unwrap().begin_turn(vec![]), Err(Error::Draining)));
        for (turn, outcome) in turns.iter().zip([Outcome::Success, Outcome::Failed, Outcome::Partial, Outcome::Error]) {
            turn.finish(outcome, vec![record("done")]).unwrap();
        }
        draining.join().unwrap()
    });
    assert_eq!((drained.finished.len(), drained.interrupted.len(), drained.failed.len()), (4, 0, 0), "{drained:?}");
    drop(turns);
    store.close().unwrap();
    world.each(|store| {
        for n in 0..4 {
            let status = store.session(format!("s{n}")).unwrap().row().unwrap().status;
            assert!(status.pending.is_none() && status.turn.is_none(), "{n}: {status:?}");
        }
    });
}

#[test]
fn a_turn_that_a_drain_interrupts_is_to_be_resumed() {
    let world = World::new();
    let store = world.open();
    let turn = store.session(KEY).unwrap().begin_turn(vec![record("go")]).unwrap();
    let drained = std::thread::scope(|scope| {
        let draining = scope.spawn(|| store.drain(Duration::from_secs(30), "restart", &[]).unwrap());
        while turn.session().row().unwrap().status.pending.is_none() {
            std::thread::yield_now();
        }
        turn.finish(Outcome::Interrupted, vec![record("stopped half way")]).unwrap();
        draining.join().unwrap()
    });
    assert_eq!((drained.finished.len(), drained.interrupted.len()), (0, 1), "{drained:?}");
    drop(turn);
    store.close().unwrap();
    world.each(|store| {
        let status = store.session(KEY).unwrap().row().unwrap().status;
        assert_eq!((status.turn, status.pending.unwrap().reason.as_str()), (None, "restart"));
    });
}

#[test]
fn a_drain_that_times_out_marks_only_the_sessions_still_running() {
    let world = World::new();
    {
        let store = world.open();
        let quick = store.session("quick").unwrap().begin_turn(vec![]).unwrap();
        let slow = store.session("slow").unwrap().begin_turn(vec![]).unwrap();
        let given_up = store.session("given up").unwrap().begin_turn(vec![]).unwrap();
        let before = store.session("before").unwrap();
        before.append(record("hi")).unwrap();
        before.mark_resume_pending("long ago").unwrap();
        let old = before.begin_turn(vec![]).unwrap();
        let other = store.session("other").unwrap();
        other.append(record("no turns")).unwrap();
        let done = store.session("done").unwrap();
        done.append(record("no turns")).unwrap();
        let keys = [other.key().clone(), done.key().clone(), store.session("nobody").unwrap().key().clone()];
        let drained = std::thread::scope(|scope| {
            let draining = scope.spawn(|| store.drain(Duration::from_secs(2), "restart", &keys).unwrap());
            while slow.session().row().unwrap().status.pending.is_none() || done.row().unwrap().status.pending.is_none()
            {
                std::thread::yield_now();
            }
            quick.finish(Outcome::Failed, vec![]).unwrap();
            old.finish(Outcome::Failed, vec![]).unwrap();
            done.clear_resume_pending().unwrap();
            drop(given_up);
            // At once, not when the drain ends.
            assert!(quick.session().row().unwrap().status.pending.is_none());
            draining.join().unwrap()
        });
        let names = |keys: &[sesslog::SessionKey]| keys.iter().map(|key| key.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&drained.finished), ["before", "done", "quick"]);
        assert_eq!(names(&drained.interrupted), ["given up", "other", "slow"]);
        assert_eq!(drained.failed.len(), 1, "{drained:?}");
        assert!(drained.failed[0].1.is_not_found());
        store.close().unwrap();
    }
    world.each(|store| {
        let status = |key: &str| store.session(key).unwrap().row().unwrap().status;
        for key in ["given up", "other", "slow"] {
            assert_eq!(status(key).pending.unwrap().reason, "restart", "{key}");
        }
        assert!(status("quick").is_idle() && status("done").is_idle());
        // Rule 4: it was pending before the drain, and a failed turn does not change that.
        assert_eq!(status("before").pending.unwrap().reason, "long ago");
    });
}

#[test]
fn candidates_are_interrupted_or_pending_fresh_and_not_suspended() {
    let world = World::new();
    let now;
    {
        let store = world.open();
        for key in ["pending", "interrupted", "suspended", "closed", "plain", "tired"] {
            store.session(key).unwrap().append(record("hi")).unwrap();
        }
        for key in ["pending", "suspended", "closed", "tired"] {
            store.session(key).unwrap().mark_resume_pending("restart").unwrap();
        }
        drop(store.session("interrupted").unwrap().begin_turn(vec![record("go")]).unwrap());
        store.session("suspended").unwrap().suspend("no").unwrap();
        store.session("closed").unwrap().reset("no").unwrap();
        assert_eq!((0..3).map(|_| store.session("tired").unwrap().note_resume_attempt().unwrap()).sum::<u64>(), 6);
        now = store.session("interrupted").unwrap().row().unwrap().updated;
        store.close().unwrap();
    }
    let keys = |rows: &[sesslog::Row]| {
        let mut keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        keys.sort();
        keys
    };
    let policy = ResumePolicy::new();
    world.each(|store| {
        let found = store.resume_candidates(later(now, 10), &policy.clone().attempts_max(9)).unwrap();
        assert_eq!(keys(&found.offered), ["interrupted", "pending", "tired"]);
        let old = store.resume_candidates(later(now, 4000), &policy).unwrap();
        assert_eq!((keys(&old.offered).len(), keys(&old.stale).len()), (0, 3));
        assert_eq!(
            keys(
                &store
                    .resume_candidates(later(now, 4000), &policy.clone().fresh_for(-1).attempts_max(0))
                    .unwrap()
                    .offered
            )
            .len(),
            3
        );
    });
    let store = world.open();
    let running = store.session("interrupted").unwrap().begin_turn(vec![]).unwrap();
    let found = store.resume_candidates(later(now, 10), &policy).unwrap();
    assert_eq!((keys(&found.offered), keys(&found.suspended)), (vec!["pending".to_owned()], vec!["tired".to_owned()]));
    drop(running);
    store.close().unwrap();
    world.each(|store| assert_eq!(store.session("tired").unwrap().row().unwrap().state, SessionState::Suspended));
    // Whoever lifts it wants it tried again.
    let store = world.open();
    store.session("tired").unwrap().lift_suspension().unwrap();
    assert!(keys(&store.resume_candidates(later(now, 10), &policy).unwrap().offered).contains(&"tired".to_owned()));
}

/// Somebody who folds the session's row, or asks as we do whether it is run, is not running it: what they hide from a start is
/// offered by none until the next.
#[test]
fn a_lock_that_is_held_for_a_moment_hides_nothing_from_a_start() {
    for (text, milliseconds) in
        [(r#"{"pid":1,"host":"h","since":"2026-11-22T04:00:00.000Z","brief":true}"#, 150), ("", 10)]
    {
        let world = World::with_session();
        {
            let store = world.open();
            drop(store.session(KEY).unwrap().begin_turn(vec![]).unwrap());
            store.close().unwrap();
        }
        let stem = world.open().session(KEY).unwrap().path(None).unwrap();
        let stem = stem.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        let path = world.folder.path().join("locks").join(stem + ".lock");
        std::fs::write(&path, text).unwrap();
        let held = std::fs::File::open(&path).unwrap();
        held.lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(milliseconds));
                drop(held);
            });
            let found = world.open().resume_candidates(Timestamp::now(), &ResumePolicy::new()).unwrap();
            assert_eq!((found.offered.len(), found.failed.len()), (1, 0), "{text}");
        });
    }
}

/// The gateway before this one is still draining: what it finishes after this one has listed it is not offered.
#[test]
fn a_turn_that_ends_while_a_start_looks_is_not_offered() {
    let world = World::new();
    let before = world.open();
    let turn = before.session(KEY).unwrap().begin_turn(vec![]).unwrap();
    let name = turn.session().path(None).unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let path = world.folder.path().join("locks").join(name.split('.').next().unwrap().to_owned() + ".lock");
    // As if it held the lock only to look: the start waits for it.
    std::fs::write(&path, r#"{"pid":1,"host":"h","since":"2026-11-22T04:00:00.000Z","brief":true}"#).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            turn.finish(Outcome::Success, vec![]).unwrap();
            drop(turn);
            before.close().unwrap();
        });
        let found = world.open().resume_candidates(Timestamp::now(), &ResumePolicy::new()).unwrap();
        assert_eq!((found.offered.len(), found.failed.len()), (0, 0));
    });
}

#[test]
fn freshness_has_a_boundary_that_is_fresh() {
    let policy = ResumePolicy::new();
    let then = Timestamp::from_unix_ms(1_800_000_000_000);
    assert!(policy.is_fresh(then, later(then, 3600)));
    assert!(!policy.is_fresh(then, Timestamp::from_unix_ms(then.unix_ms() + 3_600_001)));
    assert!(policy.is_fresh(then, later(then, -86_400)), "the clock was turned back");
    assert!(policy.is_fresh(Timestamp::from_unix_ms(0), then), "an unknown time");
    assert!(ResumePolicy::new().fresh_for(0).is_fresh(then, later(then, 1_000_000)));
}

#[test]
fn the_breaker_holds_back_and_keeps_the_marks() {
    let world = World::with_session();
    world.open().session(KEY).unwrap().mark_resume_pending("restart").unwrap();
    let policy = ResumePolicy::new().breaker(3, Duration::from_secs(60)).fresh_for(0);
    let then = Timestamp::from_unix_ms(1_900_000_000_000);
    let start = |seconds| {
        let store = world.open();
        let found = store.resume_candidates(later(then, seconds), &policy).unwrap();
        // Asking twice is one start.
        let again = store.resume_candidates(later(then, seconds), &policy).unwrap();
        assert_eq!(found.offered.len(), again.offered.len());
        (found.offered.len(), found.held_back.len())
    };
    assert_eq!((start(0), start(20), start(40)), ((1, 0), (1, 0), (0, 1)));
    assert_eq!(state(&world.open()), SessionState::Pending);
    std::fs::remove_file(world.folder.path().join("registry.jsonl")).unwrap();
    assert_eq!((start(50), start(111)), ((0, 1), (1, 0)));
}

#[test]
fn after_an_unclean_stop_recent_sessions_are_marked() {
    let world = World::with_session();
    let window = Duration::from_secs(600);
    let now = world.open().session(KEY).unwrap().row().unwrap().updated;
    {
        let store = world.open();
        assert!(store.mark_recent(window, now).unwrap().marked.is_empty(), "the first start is no unclean one");
        store.close().unwrap();
        let store = world.open();
        assert!(store.mark_recent(window, now).unwrap().marked.is_empty(), "closed");
        // No drop: a killed process has none.
        std::mem::forget(store);
    }
    let store = world.open();
    assert!(store.mark_recent(window, later(now, 700)).unwrap().marked.is_empty(), "too long ago");
    std::mem::forget(store);
    let store = world.open();
    let marked = store.mark_recent(window, later(now, 600)).unwrap().marked;
    assert_eq!(marked.iter().map(ToString::to_string).collect::<Vec<_>>(), [KEY]);
    assert_eq!(store.resume_candidates(later(now, 600), &ResumePolicy::new()).unwrap().offered.len(), 1);
    assert!(!store.sessions().unwrap().is_empty());
}

#[test]
fn starts_dated_far_ahead_by_a_wrong_clock_do_not_count_for_ever() {
    let now = Timestamp::from_unix_ms(1_800_000_000_000);
    let policy = ResumePolicy::new();
    assert!(!policy.is_broken(&[later(now, 86_400); 9], now));
    assert!(policy.is_broken(&[later(now, 60); 5], now), "turned back a little");
}

#[test]
fn a_long_turn_of_a_pending_session_is_as_fresh_as_what_it_did_last() {
    let world = World::with_session();
    let store = world.open();
    let session = store.session(KEY).unwrap();
    session.mark_resume_pending("restart").unwrap();
    let marked = session.row().unwrap().status.pending.unwrap().since;
    let turn = session.begin_turn(vec![]).unwrap();
    turn.append(record("after two hours").at(later(marked, 7200))).unwrap();
    drop(turn);
    let offered =
        |seconds| store.resume_candidates(later(marked, seconds), &ResumePolicy::new()).unwrap().offered.len();
    assert_eq!((offered(7200 + 3600), offered(7200 + 3601)), (1, 0));
}

#[test]
fn a_session_that_can_not_be_looked_at_keeps_no_other_from_being_offered() {
    let world = World::new();
    let store = world.open();
    for key in ["busy", "damaged", "sound", "unreadable"] {
        store.session(key).unwrap().begin_turn(vec![record("go")]).unwrap();
    }
    let path = |key: &str| store.session(key).unwrap().path(None).unwrap();
    let (damaged, now) = (path("damaged"), store.session("sound").unwrap().row().unwrap().updated);
    store.session("damaged").unwrap().append_batch(vec![record("a"), record("b")]).unwrap();
    let lock = |key: &str| store.session(key).unwrap().key().file_stem() + ".lock";
    let unreadable = world.folder.path().join("locks").join(lock("unreadable"));
    store.close().unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let at = bytes.len() - 400;
    bytes[at] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    std::fs::create_dir(unreadable).unwrap();
    let other = world.open();
    let busy = other.session("busy").unwrap().begin_turn(vec![]).unwrap();
    std::fs::remove_file(world.folder.path().join("registry.jsonl")).unwrap();
    let store = world.open();
    let found = store.resume_candidates(now, &ResumePolicy::new()).unwrap();
    let keys = |rows: &[sesslog::Row]| rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
    assert_eq!((keys(&found.offered), keys(&found.running)), (vec!["sound".to_owned()], vec!["busy".to_owned()]));
    let failed: Vec<_> = found.failed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(failed, ["damaged", "unreadable"]);
    drop(busy);
    std::mem::forget(store);
    let recent = world.open().mark_recent(Duration::from_secs(600), now).unwrap();
    assert_eq!(recent.marked.iter().map(sesslog::SessionKey::as_str).collect::<Vec<_>>(), ["sound"]);
    assert_eq!(recent.failed.len(), 2, "{recent:?}");
}

#[test]
fn a_message_is_routed_by_what_there_is() {
    let world = World::with_session();
    let store = world.open();
    let session = store.session(KEY).unwrap();
    let now = session.row().unwrap().updated;
    let policy = RoutePolicy::new();
    assert_eq!(store.session("new").unwrap().route(now, &policy).unwrap(), Route::First);
    assert_eq!(session.route(later(now, 1_000_000), &policy).unwrap(), Route::Same);
    session.mark_resume_pending("restart").unwrap();
    let since = session.row().unwrap().status.pending.unwrap().since;
    assert_eq!(session.route(later(since, 3600), &policy).unwrap(), Route::Resume);
    assert!(session.row().unwrap().status.pending.is_some(), "the mark is kept");
    assert_eq!(session.route(later(since, 3601), &policy).unwrap(), Route::New(NewReason::Stale));
    assert_eq!(session.append(record("anew")).unwrap().generation, 2);
    session.suspend("no").unwrap();
    assert_eq!(session.route(now, &policy).unwrap(), Route::New(NewReason::Suspended));
    assert_eq!(session.route(now, &policy).unwrap(), Route::New(NewReason::Closed));
    assert_eq!(session.append(record("anew")).unwrap().generation, 3);
    drop(session.begin_turn(vec![]).unwrap());
    let row = session.row().unwrap();
    assert_eq!(policy.route(Some(&row), later(row.updated, 3600)), Route::Resume);
    assert_eq!(policy.route(Some(&row), later(row.updated, 3601)), Route::Same, "an old turn takes nothing away");
    session.begin_turn(vec![]).unwrap().finish(Outcome::Success, vec![]).unwrap();
    let idle = RoutePolicy::new().idle(Duration::from_secs(60));
    let updated = session.row().unwrap().updated;
    assert_eq!(idle.route(Some(&session.row().unwrap()), later(updated, 60)), Route::Same);
    assert_eq!(idle.route(Some(&session.row().unwrap()), later(updated, 61)), Route::New(NewReason::Idle));
    // Every day at four.
    let daily = RoutePolicy::new().daily(Duration::from_secs(4 * 3600));
    let mut row = session.row().unwrap();
    row.updated = "2026-11-22T03:59:59.999Z".parse::<Timestamp>().unwrap();
    assert_eq!(
        daily.route(Some(&row), "2026-11-22T04:00:00.000Z".parse::<Timestamp>().unwrap()),
        Route::New(NewReason::Daily)
    );
    row.updated = "2026-11-22T04:00:00.000Z".parse::<Timestamp>().unwrap();
    assert_eq!(daily.route(Some(&row), "2026-11-23T03:59:59.999Z".parse::<Timestamp>().unwrap()), Route::Same);
}

#[test]
fn text_that_no_mark_holds_is_refused() {
    let world = World::with_session();
    let session = world.open().session(KEY).unwrap();
    let before = session.row().unwrap();
    let long = "x".repeat(4097);
    let many = vec!["x"; 65];
    for refused in [
        session.mark_resume_pending(&long),
        session.suspend(&long).map(drop),
        session.reset(&long).map(drop),
        session.set_title(&long),
        session.set_labels(&many),
        session.set_labels(&[&long[..129]]),
    ] {
        assert!(matches!(refused, Err(Error::MarkTooLong { .. })), "{refused:?}");
    }
    let deep = |levels| (0..levels).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
    assert!(matches!(session.compact(&deep(200), 1), Err(Error::Record(_))));
    assert_eq!(session.row().unwrap(), before);
    session.compact(&deep(100), 1).unwrap();
    assert!(matches!(world.open().session("~store").unwrap().suspend("x"), Err(Error::Key(_))));
}
