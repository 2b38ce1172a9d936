//! What a recorder and a subscriber of the process are told.

#![cfg(all(feature = "metrics", feature = "tracing"))]

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::faulty::{FaultyFs, Op};
use common::numbered;
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use sesslog::{Error, Options, Store};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};

/// Every value that a metric was given, in order.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

struct Cell(Recorder, String);

impl Cell {
    fn push(&self, value: f64) {
        self.0.0.lock().unwrap().entry(self.1.clone()).or_default().push(value);
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.push(f64::from(u32::try_from(value).unwrap()));
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.push(value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, value: f64) {
        self.push(value);
    }
}

impl Recorder {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        Arc::new(Cell(self.clone(), key.name().to_owned()))
    }

    fn of(&self, name: &str) -> Vec<f64> {
        self.0.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    fn sum(&self, name: &str) -> f64 {
        self.of(name).iter().sum()
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

/// The names of spans, and events with their fields.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        use std::fmt::Write as _;
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Heard {
    fn note(&self, level: tracing::Level, name: &str, record: impl FnOnce(&mut Fields)) {
        let mut fields = Fields(format!("{level} {name}"));
        record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn has(&self, parts: &[&str]) -> bool {
        self.0.lock().unwrap().iter().any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let metadata = attributes.metadata();
        self.note(*metadata.level(), metadata.name(), |fields| attributes.record(fields));
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        self.note(*event.metadata().level(), "event", |fields| event.record(fields));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Runs something with both.
fn told(run: impl FnOnce()) -> (Recorder, Heard) {
    let (recorder, heard) = (Recorder::default(), Heard::default());
    tracing::subscriber::with_default(heard.clone(), || metrics::with_local_recorder(&recorder, run));
    (recorder, heard)
}

#[test]
fn commits_are_counted_and_timed() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, heard) = told(|| {
        let store = Store::open(folder.path()).unwrap();
        let session = store.session("k").unwrap();
        session.append(numbered(0)).unwrap();
        session.append_batch((1..4).map(numbered).collect()).unwrap();
        session.append_with(numbered(4), sesslog::Durability::Buffered).unwrap();
    });
    assert_eq!(recorder.of("sesslog_commit_records")[..3], [1.0, 3.0, 1.0]);
    assert!((recorder.sum("sesslog_records_total") - recorder.sum("sesslog_commit_records")).abs() < 0.5);
    assert!(recorder.sum("sesslog_commit_bytes") > 500.0);
    assert!(recorder.of("sesslog_fsync_seconds").len() >= 2);
    assert!(recorder.of("sesslog_fsync_seconds").iter().all(|seconds| *seconds > 0.0));
    assert!(heard.has(&["DEBUG commit", "key=k", "generation=1"]) && heard.has(&["DEBUG open", "key=k"]));
    assert!(!heard.has(&["filling"]), "what stands in a record is told");
}

#[test]
fn a_slow_fsync_is_told_with_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FaultyFs::default();
    let (recorder, heard) = told(|| {
        let store = Options::new().file_system(Arc::new(fs.clone())).open(folder.path()).unwrap();
        let session = store.session("k").unwrap();
        session.append(numbered(0)).unwrap();
        fs.slow(Op::SyncData, Duration::from_millis(1100));
        session.append(numbered(1)).unwrap();
    });
    assert!(heard.has(&["WARN", "an fdatasync took long", "key=\"k\"", "seconds=1."]), "{:?}", heard.0.lock().unwrap());
    assert!(recorder.of("sesslog_fsync_seconds").iter().any(|seconds| *seconds > 1.0));
}

#[test]
fn what_goes_wrong_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for key in ["torn", "damaged", "replaced"] {
        store.session(key).unwrap().append_batch((0..3).map(numbered).collect()).unwrap();
    }
    let paths = ["torn", "damaged", "replaced"].map(|key| store.session(key).unwrap().path(None).unwrap());
    store.close().unwrap();
    // With the row an append looks at the end only.
    fs::remove_file(folder.path().join("registry.jsonl")).unwrap();
    let mut bytes = fs::read(&paths[0]).unwrap();
    bytes.extend_from_slice(b"{\"seq\":");
    fs::write(&paths[0], &bytes).unwrap();
    let mut bytes = fs::read(&paths[1]).unwrap();
    bytes[300] ^= 1;
    fs::write(&paths[1], &bytes).unwrap();
    let (recorder, heard) = told(|| {
        let store = Store::open(folder.path()).unwrap();
        store.session("torn").unwrap().append(numbered(3)).unwrap();
        let refused = store.session("damaged").unwrap().append(numbered(3));
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
        let session = store.session("replaced").unwrap();
        session.append(numbered(3)).unwrap();
        fs::remove_file(&paths[2]).unwrap();
        assert!(matches!(session.append(numbered(4)), Err(Error::Poisoned { .. })));
    });
    for (metric, told) in [
        ("sesslog_torn_total", "a torn tail was cut"),
        ("sesslog_damaged_total", "damage refused"),
        ("sesslog_poisoned_total", "a writer is poisoned"),
    ] {
        assert!((recorder.sum(metric) - 1.0).abs() < 0.1, "{metric}");
        assert!(heard.has(&[told]), "{told}");
    }
}

#[test]
fn the_queue_is_gauged() {
    let folder = tempfile::tempdir().unwrap();
    let (recorder, _) = told(|| {
        let store = Store::open(folder.path()).unwrap();
        store.session("k").unwrap().submit(numbered(0)).wait().unwrap();
    });
    assert!(recorder.of("sesslog_queue_bytes")[0] > 0.0);
}
