//! What a session's marks come to does not depend on the registry: it is removed between any two steps.

use sesslog::resume::ResumePolicy;
use sesslog::{NewRecord, Outcome, Store, Timestamp};

const KEY: &str = "telegram:1";

fn record(text: &str) -> NewRecord {
    NewRecord::new(text).unwrap()
}

/// What somebody who asks is told of a session.
fn told(store: &Store) -> String {
    let row = store.session(KEY).unwrap().row().unwrap();
    let reason = |flag: &Option<sesslog::Flag>| flag.as_ref().map(|flag| flag.reason.clone());
    let status = &row.status;
    let now = Timestamp::from_unix_ms(row.updated.unix_ms() + 1000);
    let offered: Vec<_> =
        store.resume_candidates(now, &ResumePolicy::new()).unwrap().offered.into_iter().map(|row| row.key).collect();
    format!(
        "{} {:?} {:?} turn {:?} pending {:?} suspended {:?} tries {} {:?} offered {offered:?}",
        row.generation,
        row.state,
        row.title,
        status.turn.is_some(),
        reason(&status.pending),
        reason(&status.suspended),
        status.resume_attempts,
        status.labels,
    )
}

#[test]
fn without_the_registry_between_any_two_steps_the_answers_are_the_same() {
    type Step = fn(&sesslog::Session);
    let steps: [Step; 18] = [
        |session| drop(session.append(record("hi")).unwrap()),
        |session| drop(session.begin_turn(vec![record("go")]).unwrap()),
        |session| session.mark_resume_pending("one").unwrap(),
        |session| assert_eq!(session.note_resume_attempt().unwrap(), 1),
        |session| drop(session.begin_turn(vec![]).unwrap().finish(Outcome::Failed, vec![record("no")]).unwrap()),
        |session| session.set_title("title").unwrap(),
        |session| session.set_labels(&["a", "b"]).unwrap(),
        |session| assert!(session.suspend("two").unwrap()),
        |session| assert!(session.mark_resume_pending("refused").is_err()),
        |session| assert!(session.lift_suspension().unwrap()),
        |session| assert_eq!(session.note_resume_attempt().unwrap(), 1),
        |session| drop(session.begin_turn(vec![]).unwrap().finish(Outcome::Success, vec![record("yes")]).unwrap()),
        |session| session.mark_resume_pending("three").unwrap(),
        |session| assert!(session.clear_resume_pending().unwrap()),
        |session| drop(session.compact("summary", 2).unwrap()),
        |session| assert!(session.reset("four").unwrap()),
        |session| drop(session.append_batch(vec![record("anew"), record("and on")]).unwrap()),
        |session| drop(session.begin_turn(vec![]).unwrap()),
    ];
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (number, step) in steps.iter().enumerate() {
        let answers = [(&with, false), (&without, true)].map(|(folder, removes)| {
            step(&Store::open(folder.path()).unwrap().session(KEY).unwrap());
            if removes {
                std::fs::remove_file(folder.path().join("registry.jsonl")).unwrap();
            }
            told(&Store::open(folder.path()).unwrap())
        });
        assert_eq!(answers[0], answers[1], "after step {number}");
    }
}
