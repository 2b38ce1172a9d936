//! The calls as futures, with no runtime but what stands here: a thread that parks, and a race of two.

mod common;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use common::bodies;
use sesslog::{Error, NewRecord, Outcome, SessionState, Store, Submitted};

/// Unparks the thread that waits, and counts.
struct Unpark {
    thread: Thread,
    wakes: AtomicUsize,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// Runs a future to its end, and says how often it was polled.
fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    let unpark = Arc::new(Unpark { thread: std::thread::current(), wakes: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    for polls in 1.. {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return (output, polls),
            Poll::Pending => {
                while unpark.wakes.swap(0, Ordering::Relaxed) == 0 {
                    std::thread::park();
                }
            }
        }
    }
    unreachable!("it counts for ever")
}

/// Polls both, and gives what is ready first, as the `select` of a runtime does.
async fn race<A: Future + Unpin, B: Future + Unpin>(mut a: A, mut b: B) -> Result<A::Output, B::Output> {
    poll_fn(|context| {
        if let Poll::Ready(output) = Pin::new(&mut a).poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut b).poll(context).map(Err)
    })
    .await
}

fn record(text: &str) -> NewRecord {
    NewRecord::new(text).unwrap()
}

fn world() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn a_conversation_without_a_runtime() {
    fn check<T: Send + Sync + Unpin + 'static>(_: &T) {}
    let (_folder, store) = world();
    let session = store.session("a").unwrap();
    let work = async {
        let turn = session.begin_turn_async(vec![record("question")]).await?;
        let receipt = turn.submit(record("thinking")).await?;
        assert!(receipt[0].durable && receipt[0].seq == 3);
        turn.finish_async(Outcome::Success, vec![record("answer")]).await?;
        session.submit_batch(vec![record("one"), record("two")]).await?;
        session.submit(record("three")).await
    };
    let (last, polls) = block_on(work);
    assert_eq!(last.unwrap()[0].seq, 8);
    assert!(polls <= 6, "one wake a call: {polls}");
    assert_eq!(bodies(&session).len(), 6);
    assert_eq!(session.row().unwrap().state, SessionState::Open);
    check(&session.submit(record("unseen")));
    check(&store.drain_async(Duration::ZERO, "", vec![]));
}

#[test]
fn errors_are_those_of_the_call() {
    let (_folder, store) = world();
    let session = store.session("a").unwrap();
    let turn = session.begin_turn(vec![]).unwrap();
    assert!(matches!(block_on(session.begin_turn_async(vec![])).0, Err(Error::TurnRunning { .. })));
    turn.finish(Outcome::Success, vec![]).unwrap();
    assert!(matches!(block_on(turn.finish_async(Outcome::Success, vec![])).0, Err(Error::TurnOver { .. })));
    let long = "x".repeat(4097);
    assert!(matches!(block_on(store.drain_async(Duration::ZERO, long, vec![])).0, Err(Error::MarkTooLong { .. })));
    store.close().unwrap();
    assert!(matches!(block_on(session.submit(record("late"))).0, Err(Error::Closed)));
}

#[test]
fn the_one_that_loses_a_race_goes_on() {
    let (_folder, store) = world();
    let session = store.session("a").unwrap();
    let turn = session.begin_turn(vec![]).unwrap();
    // The drain waits for the turn, which nobody finishes.
    let drain = store.drain_async(Duration::from_secs(600), "restart", vec![]);
    let append = turn.submit(record("beside the drain"));
    let (won, _) = block_on(race(append, drain));
    assert!(matches!(won, Ok(Ok(receipts)) if receipts[0].durable));
    // Nobody listens to the drain any more. It was made all the same.
    while session.row().unwrap().status.pending.is_none() {
        std::thread::yield_now();
    }
    assert!(matches!(block_on(session.begin_turn_async(vec![])).0, Err(Error::Draining)));
    turn.finish(Outcome::Failed, vec![]).unwrap();
    assert!(session.row().unwrap().status.is_idle());
}

#[test]
fn a_turn_that_nobody_waits_for_is_given_up() {
    let (_folder, store) = world();
    let session = store.session("a").unwrap();
    drop(session.begin_turn_async(vec![record("question")]));
    while session.row().is_err() || session.is_running().unwrap() {
        std::thread::yield_now();
    }
    let row = session.row().unwrap();
    assert_eq!((row.state, bodies(&session).len()), (SessionState::Interrupted, 1));
    block_on(session.begin_turn_async(vec![])).0.unwrap();
}

#[test]
fn whoever_asked_last_is_woken() {
    let (_folder, store) = world();
    let turn = store.session("a").unwrap().begin_turn(vec![]).unwrap();
    let mut drain: Submitted<_> = store.drain_async(Duration::from_secs(600), "restart", vec![]);
    let first = Arc::new(Unpark { thread: std::thread::current(), wakes: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&first));
    assert!(Pin::new(&mut drain).poll(&mut Context::from_waker(&waker)).is_pending());
    // It moves to another task of another thread.
    let (polled, has_polled) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let watched = poll_fn(|context| {
            let poll = Pin::new(&mut drain).poll(context);
            polled.send(()).ok();
            poll
        });
        block_on(watched).0
    });
    has_polled.recv().unwrap();
    while turn.session().row().unwrap().status.pending.is_none() {
        std::thread::yield_now();
    }
    turn.finish(Outcome::Success, vec![]).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().finished.len(), 1);
    assert_eq!(first.wakes.load(Ordering::Relaxed), 0);
}

#[test]
fn many_at_once_share_commits_and_are_all_there() {
    let (_folder, store) = world();
    let session = store.session("a").unwrap();
    let mut submitted: Vec<_> = (0..64).map(|number| session.submit(common::numbered(number))).collect();
    let mut seqs: Vec<_> = Vec::new();
    let all = poll_fn(|context| {
        submitted.retain_mut(|one| match Pin::new(one).poll(context) {
            Poll::Ready(receipt) => {
                seqs.push(receipt.unwrap()[0].seq);
                false
            }
            Poll::Pending => true,
        });
        if submitted.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    });
    block_on(all);
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=64).collect::<Vec<_>>());
    assert_eq!(bodies(&session).len(), 64);
}

#[test]
fn what_one_thread_submits_is_written_in_that_order() {
    let (folder, store) = world();
    let sessions: Vec<_> = ["a", "b", "c"].map(|key| store.session(key).unwrap()).into();
    let submitted: Vec<_> = (0..300)
        .map(|number| sessions[usize::try_from(number % 3).unwrap()].submit(common::numbered(number)))
        .collect();
    // Nobody holds the store any more but what is on its way.
    drop((sessions, store));
    for (number, pending) in (0..).zip(submitted) {
        let receipts = pending.wait().unwrap();
        assert_eq!((receipts.len(), receipts[0].seq, receipts[0].durable), (1, 1 + number / 3, true));
    }
    let store = Store::open(folder.path()).unwrap();
    for (key, first) in [("a", 0), ("b", 1), ("c", 2)] {
        let expected: Vec<_> = (0..100).map(|at| common::numbered(first + 3 * at).body().to_owned()).collect();
        assert_eq!(bodies(&store.session(key).unwrap()), expected);
    }
}

#[test]
fn too_much_at_once_is_refused_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = sesslog::Options::new().queue_bytes_max(3000).open(folder.path()).unwrap();
    let session = store.session("a").unwrap();
    let large = NewRecord::new(&"x".repeat(5000)).unwrap();
    // Alone it is taken, whatever its size.
    session.submit(large.clone()).wait().unwrap();
    let refused = loop {
        let (first, second) = (session.submit(large.clone()), session.submit(large.clone()));
        let (first, second) = (first.wait(), second.wait());
        first.unwrap();
        if let Err(refused) = second {
            break refused;
        }
    };
    assert!(matches!(refused, Error::QueueFull { limit_bytes: 3000, .. }) && refused.to_string().contains("await"));
    session.submit(large).wait().unwrap();
}

#[test]
fn submitted_and_appended_share_commits() {
    let (_folder, store) = world();
    let session = store.session("a").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let session = &session;
            scope.spawn(move || {
                for number in 0..50 {
                    if thread % 2 == 0 {
                        session.append(common::numbered(number)).unwrap();
                    } else {
                        session.submit(common::numbered(number)).wait().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(bodies(&session).len(), 200);
}
