//! The newest 50 of many sessions, by a process that has just started: nothing is open, nothing is known.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;
use sesslog::{Listed, Options, Store};

use crate::bench::Bench;
use crate::rows::MANY;
use crate::sides::{self, Side};
use crate::stores::{Built, IndexEntry, Shape};

const NEWEST: usize = 50;

pub(crate) fn run(bench: &mut Bench) {
    newest(bench, MANY.small_if(bench.quick));
    if bench.large {
        newest(bench, crate::rows::LARGE);
    }
}

fn newest(bench: &mut Bench, shape: Shape) {
    let built = bench.build(shape);
    let open = || Options::new().open_read_only(built.store()).expect("a store");
    // Apart: one that has listed all of them knows more, and may go another way from then on.
    let (one, other) = (open(), open());
    let connection = built.connect();
    let mut sides = vec![
        Side::new("sesslog, store just opened for reading", || listed(&built, || Ok(open()))),
        Side::timed("sesslog, store just opened", || {
            let (store, taken) = sides::timed(|| listed(&built, || Store::open(built.store())));
            // Its close saves the registry, which is not what is asked here.
            drop(store);
            taken
        }),
        Side::new("sesslog, again by a store that is open", || listed_by(&one)),
        Side::new("sesslog, by a store that has listed all of them", || listed_by(&other)),
        Side::new("sesslog, all of them", || other.sessions().expect("a listing")),
        Side::new("SQLite, index on the time, just opened", || selected(&built.connect())),
        Side::new("SQLite, connection that is open", || selected(&connection)),
        Side::new("JSON index of all sessions, parsed", || parsed(&built.json())),
    ];
    let note = "Sessions of a few short records; the registry is whole and up to date.";
    let title = format!("The newest {NEWEST} of {} sessions", shape.sessions);
    let rounds = bench.repeats(if shape.sessions > 200_000 { 5 } else { 15 });
    let table = sides::table(&title, note, &mut sides, rounds);
    drop(sides);
    bench.show(table);
}

fn listed(built: &Built, open: impl Fn() -> Result<Store, sesslog::Error>) -> (Store, Vec<Listed>) {
    let store = open().expect("a store");
    let rows = listed_by(&store);
    assert_eq!(rows.len(), NEWEST.min(built.shape.sessions));
    (store, rows)
}

fn listed_by(store: &Store) -> Vec<Listed> {
    store.recent(NEWEST).expect("a listing")
}

fn selected(connection: &Connection) -> Vec<(String, i64, i64, String)> {
    let text = format!("SELECT key, updated, records, title FROM sessions ORDER BY updated DESC LIMIT {NEWEST}");
    let mut statement = connection.prepare(&text).expect("a statement");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    statement.query_map([], row).and_then(Iterator::collect).expect("rows")
}

fn parsed(path: &Path) -> Vec<(String, IndexEntry)> {
    let bytes = std::fs::read(path).expect("a file");
    let index: HashMap<String, IndexEntry> = serde_json::from_slice(&bytes).expect("an index");
    let mut entries: Vec<_> = index.into_iter().collect();
    // Sorts no more than is asked for.
    let newest = |(_, entry): &(String, IndexEntry)| Reverse(entry.updated_at);
    if entries.len() > NEWEST {
        entries.select_nth_unstable_by_key(NEWEST, newest);
        entries.truncate(NEWEST);
    }
    entries.sort_by_key(newest);
    entries
}
