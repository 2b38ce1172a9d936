//! Opening one session of few and of many, to read its end and to append to it.

use std::cell::Cell;
use std::time::Duration;

use rusqlite::Connection;
use sesslog::{NewRecord, Options, Store};

use crate::bench::Bench;
use crate::body::body;
use crate::rows::{FEW, LARGE, MIDDLE};
use crate::sides::{self, Side, timed};
use crate::stores::{Shape, key};

const RECORDS: usize = 20;

pub(crate) fn run(bench: &mut Bench) {
    let mut shapes = vec![FEW, MIDDLE.small_if(bench.quick)];
    shapes.extend(bench.large.then_some(LARGE));
    for shape in shapes {
        one_of(bench, shape);
    }
}

fn one_of(bench: &mut Bench, shape: Shape) {
    let built = bench.build(shape);
    let (reader, store) = (
        Options::new().open_read_only(built.store()).expect("a store"),
        // A session that was opened before is let go before it is opened again.
        Options::new().idle_release(Duration::MAX).open(built.store()).expect("a store"),
    );
    let connection = built.connect();
    let turn = Cell::new(0);
    // Another session each time, all over the store.
    let next = || {
        turn.set(turn.get() + 1);
        turn.get() * 7_919 % shape.sessions
    };
    let closes = Cell::new(Duration::ZERO);
    let mut sides = vec![
        Side::new("sesslog, read its last 20", || read(&reader, next())),
        Side::new("sesslog, the same, store just opened for reading", || {
            read(&Options::new().open_read_only(built.store()).expect("a store"), next());
        }),
        Side::new("SQLite, read its last 20", || select(&connection, next())),
        Side::new("SQLite, the same, just opened", || select(&built.connect(), next())),
        Side::timed("sesslog, first append to it", || {
            let session = store.session(key(next())).expect("a session");
            let taken = timed(|| append(&session)).1;
            session.release().expect("a release");
            taken
        }),
        Side::timed("sesslog, the same, store just opened", || {
            let number = next();
            let open = || {
                let store = Store::open(built.store()).expect("a store");
                append(&store.session(key(number)).expect("a session"));
                store
            };
            let (store, taken) = timed(open);
            closes.set(timed(|| store.close().expect("a close")).1);
            taken
        }),
        Side::timed("sesslog, the close after it", || closes.get()),
        Side::new("SQLite, append to it", || insert(&connection, next())),
        Side::new("SQLite, the same, just opened", || insert(&built.connect(), next())),
    ];
    let note = "Durable appends; opened means that this process has not touched the session before, or not since it let it go.";
    let title = format!("One session of {}", shape.sessions);
    let rounds = bench.repeats(if shape.sessions > 200_000 { 5 } else { 15 });
    let table = sides::table(&title, note, &mut sides, rounds);
    drop(sides);
    bench.show(table);
    drop((reader, store, connection));
    drop(built);
}

fn read(store: &Store, number: usize) {
    let items = store.session(key(number)).and_then(|session| session.last(RECORDS)).expect("records");
    assert!(!items.is_empty());
}

fn append(session: &sesslog::Session) {
    let record = NewRecord::json(&body(0).json).expect("a record");
    assert!(session.append(record).expect("an append").durable);
}

fn select(connection: &Connection, number: usize) {
    let text =
        "SELECT body FROM records WHERE session = (SELECT id FROM sessions WHERE key = ?) ORDER BY seq DESC LIMIT 20";
    let mut statement = connection.prepare_cached(text).expect("a statement");
    let bodies: Vec<String> =
        statement.query_map([key(number)], |row| row.get(0)).and_then(Iterator::collect).expect("rows");
    assert!(!bodies.is_empty());
}

fn insert(connection: &Connection, number: usize) {
    // The table of the sessions is brought up to date with it, as sesslog's registry is.
    let text = "
        INSERT INTO records(session, seq, body, ts)
            SELECT session, max(seq) + 1, ?2, ?3 FROM records WHERE session = (SELECT id FROM sessions WHERE key = ?1)";
    let update = "UPDATE sessions SET updated = ?2, records = records + 1 WHERE key = ?1";
    connection.execute_batch("BEGIN").expect("a transaction");
    let now = 1_800_000_000_000_i64;
    connection
        .prepare_cached(text)
        .and_then(|mut insert| insert.execute((key(number), &body(0).json, now)))
        .expect("a row");
    connection.prepare_cached(update).and_then(|mut update| update.execute((key(number), now))).expect("a row");
    connection.execute_batch("COMMIT").expect("a commit");
}
