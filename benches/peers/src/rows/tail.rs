//! The last 20 records of one very long transcript.

use rusqlite::Connection;
use sesslog::{Options, Store};

use crate::bench::Bench;
use crate::sides::{self, Side};
use crate::stores::{Shape, key};

const RECORDS: usize = 20;

pub(crate) fn run(bench: &mut Bench) {
    let shape = Shape::of_bytes(1, bench.gib);
    let built = bench.build(shape);
    let store = Options::new().open_read_only(built.store()).expect("a store");
    let connection = built.connect();
    let mut sides = [
        Side::new("sesslog, store that is open", || read(&store)),
        Side::new("sesslog, store just opened", || {
            read(&Options::new().open_read_only(built.store()).expect("a store"));
        }),
        Side::new("SQLite, connection that is open", || select(&connection)),
        Side::new("SQLite, just opened", || select(&built.connect())),
    ];
    let title = format!("The last {RECORDS} of {} records, {:.2} GiB", shape.records, gib(built.bytes()));
    let table = sides::table(&title, "One session.", &mut sides, bench.repeats(31));
    drop(sides);
    bench.show(table);
}

fn read(store: &Store) {
    assert_eq!(store.session(key(0)).and_then(|session| session.last(RECORDS)).expect("records").len(), RECORDS);
}

fn select(connection: &Connection) {
    let text = "SELECT seq, ts, body FROM records WHERE session = 0 ORDER BY seq DESC LIMIT 20";
    let mut statement = connection.prepare_cached(text).expect("a statement");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let rows: Vec<(i64, i64, String)> = statement.query_map([], row).and_then(Iterator::collect).expect("rows");
    assert_eq!(rows.len(), RECORDS);
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1_u32 << 30)
}
