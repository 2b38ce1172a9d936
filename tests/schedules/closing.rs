//! Closing and dropping a store beside appends; the keeper, which lets go of the idle and saves the registry meanwhile.

use std::time::Duration;

use sesslog::Durability::{Buffered, Sync};
use sesslog::Error;

use crate::explore::explore;
use crate::ledger::{Call, ROOT, options};
use crate::world::{World, below, succeeds};

/// Accepted, or refused because the store is closed.
fn or_closed(result: Result<(), Error>) {
    match result {
        Ok(()) | Err(Error::Closed) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// Whatever was accepted is durable once the close and the append have returned; nobody holds a lock any more.
#[test]
fn a_close_leaves_nothing_accepted_unflushed() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let (one, two) = (store.session("one").unwrap(), store.session("two").unwrap());
        if below(2) == 0 {
            world.ledger.append(&one, "first", 1, Buffered).unwrap();
        }
        let (other, closing) = (world.clone(), store.clone());
        let (by_store, whole) = (world.clone(), store.clone());
        world.run(vec![
            world.append(&one, "a", 2, 1, Buffered, or_closed),
            world.append(&one, "b", 2, 1, Buffered, or_closed),
            world.append(&two, "c", 2, 1, Buffered, or_closed),
            Box::new(move || {
                // It may look before the close, or find the store closed.
                by_store.flush_all(|| whole.flush()).map_or_else(|error| or_closed(Err(error)), drop);
            }),
            Box::new(move || other.close(&closing)),
        ]);
        let accepted = world.ledger.calls();
        // Accepted is durable now, whatever the receipt said: the close covers it. None may be lost or left behind.
        let promised: Vec<_> = accepted.iter().map(Call::as_flushed).collect();
        world.ledger.judge(&world.fs, &promised, &mut sesslog::sim::Chance::new(below(u64::MAX)));
        world.judge();
        assert!(matches!(world.ledger.append(&one, "late", 1, Sync), Err(Error::Closed)));
        let next = world.open();
        for key in ["one", "two"] {
            world.ledger.append(&next.session(key).unwrap(), "next", 1, Sync).unwrap();
        }
        world.close(&next);
        world.judge();
    });
}

/// Two who close at once: the second may return first, but an append that was accepted is flushed by the first.
#[test]
fn closing_twice_at_once_is_closing() {
    explore(|| {
        let world = World::new();
        let store = world.open();
        let one = store.session("one").unwrap();
        let close = || {
            let closing = store.clone();
            Box::new(move || assert!(closing.close().unwrap().failures.is_empty())) as Box<dyn FnOnce() + Send>
        };
        world.run(vec![
            world.append(&one, "a", 2, 1, Buffered, or_closed),
            world.append(&one, "b", 1, 1, Sync, or_closed),
            close(),
            close(),
        ]);
        let promised: Vec<_> = world.ledger.calls().iter().map(Call::as_flushed).collect();
        world.ledger.judge(&world.fs, &promised, &mut sesslog::sim::Chance::new(below(u64::MAX)));
        world.judge();
    });
}

/// The keeper lets go of sessions and saves the registry as often as its timer rings, beside appends, flushes and saves of
/// others; then the registry says what the transcripts say.
#[test]
fn the_keeper_is_in_nobodys_way() {
    explore(|| {
        let world = World::new();
        sesslog::sync::set_rings(12);
        let store = options(&world.fs)
            .idle_release(Duration::from_millis(below(12)))
            .registry_save_delay(Duration::from_millis(below(4)))
            .open_writers_max(usize::try_from(below(2)).unwrap() + 1)
            .open(ROOT)
            .unwrap();
        let (one, two) = (store.session("one").unwrap(), store.session("two").unwrap());
        let (by_store, whole) = (world.clone(), store.clone());
        world.run(vec![
            world.append(&one, "a", 3, 1, Buffered, succeeds),
            world.append(&one, "b", 2, 1, Sync, succeeds),
            world.append(&two, "c", 3, 1, Sync, succeeds),
            Box::new(move || {
                assert!(by_store.flush_all(|| whole.flush()).unwrap().failures.is_empty());
            }),
        ]);
        world.judge();
        world.close(&store);
        assert!(world.ledger.calls().iter().all(Call::is_durable));
        rows_agree(&world, &["one", "two"]);
        world.judge();
    });
}

/// What is folded while the keeper saves is no part of that save: the next one has it. Nobody folds these sessions again.
#[test]
fn what_is_folded_during_a_save_is_saved_next() {
    explore(|| {
        let world = World::new();
        sesslog::sync::set_rings(8);
        let store = options(&world.fs).registry_save_delay(Duration::ZERO).open(ROOT).unwrap();
        let keys = ["one", "two"];
        let tasks = keys.map(|key| {
            let session = store.session(key).unwrap();
            let (append, world) = (world.append(&session, "a", 2, 1, Sync, succeeds), world.clone());
            Box::new(move || {
                append();
                world.release(&session).unwrap();
            }) as Box<dyn FnOnce() + Send>
        });
        world.run(tasks.into());
        world.close(&store);
        rows_agree(&world, &keys);
        world.judge();
    });
}

/// The last handle is dropped by a thread that appends, the keeper at work.
#[test]
fn the_last_drop_closes() {
    explore(|| {
        let world = World::new();
        sesslog::sync::set_rings(4);
        let store = options(&world.fs)
            .idle_release(Duration::from_millis(4))
            .registry_save_delay(Duration::ZERO)
            .open(ROOT)
            .unwrap();
        let (one, two) = (store.session("one").unwrap(), store.session("two").unwrap());
        let tasks = vec![
            world.append(&one, "a", 2, 1, Buffered, succeeds),
            world.append(&one, "b", 1, 1, Buffered, succeeds),
            world.append(&two, "c", 2, 1, Buffered, succeeds),
        ];
        drop((one, two, store));
        world.run(tasks);
        let promised: Vec<_> = world.ledger.calls().iter().map(Call::as_flushed).collect();
        world.ledger.judge(&world.fs, &promised, &mut sesslog::sim::Chance::new(below(u64::MAX)));
        rows_agree(&world, &["one", "two"]);
    });
}

/// The registry on disk says of each session what its transcript says.
pub fn rows_agree(world: &World, keys: &[&str]) {
    let store = options(&world.fs).open_read_only(ROOT).unwrap();
    let registry = world.fs.files().into_iter().find(|(path, _)| path.ends_with("registry.jsonl")).unwrap().1;
    let registry = String::from_utf8(registry).unwrap();
    for key in keys {
        let row = store.session(key).unwrap().row().unwrap();
        let line = registry.lines().find(|line| line.contains(&format!("\"{key}\""))).unwrap();
        let expected = format!("\"last_seq\":{}", row.last_seq);
        assert!(line.contains(&expected), "{line} does not say {expected}");
    }
}
