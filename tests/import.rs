//! Moving in: nothing of a source is lost, whatever its state, and the source comes back byte for byte. A second import adds
//! nothing. The view is that of the system's own loader.

#![cfg(feature = "import")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "import/claude_code.rs"]
mod claude_code;
#[path = "import/codex.rs"]
mod codex;
#[cfg(feature = "sim")]
#[path = "import/crash.rs"]
mod crash;
#[path = "import/damage.rs"]
mod damage;
#[cfg(feature = "import-sqlite")]
#[path = "import/database.rs"]
mod database;
#[path = "import/hermes.rs"]
mod hermes;
#[path = "import/openclaw.rs"]
mod openclaw;
#[cfg(feature = "import-sqlite")]
#[path = "import/openclaw_database.rs"]
mod openclaw_database;
#[path = "import/sources.rs"]
mod sources;
#[path = "import/views.rs"]
mod views;

use std::fs;
use std::path::{Path, PathBuf};

use sesslog::import::{ImportOptions, Imported, State, import, write_original};
use sesslog::{Item, Progress, Store};
use tempfile::TempDir;

/// A folder of sources and a store beside it.
struct Bench {
    folder: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sources")).unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn sources(&self) -> PathBuf {
        self.folder.path().join("sources")
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.sources().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, options: &ImportOptions) -> Imported {
        import(&self.store, &[self.sources()], options, &Progress::default())
    }

    fn original(&self, key: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write_original(&self.store.session(key).unwrap(), None, &mut out).unwrap();
        out
    }

    /// The bodies of the active view.
    fn view(&self, key: &str) -> Vec<String> {
        let context = self.store.session(key).unwrap().context().unwrap();
        context.items.iter().map(body).collect()
    }
}

fn body(item: &Item) -> String {
    let Item::Record(record) = item else { panic!("{item:?}") };
    record.body().to_owned()
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/histories").join(name)).unwrap()
}

fn names(imported: &Imported) -> Vec<&'static str> {
    imported.findings.iter().map(|finding| finding.kind.name()).collect()
}

/// The one session of an import, with its state.
#[track_caller]
fn only(imported: &Imported) -> (String, State) {
    assert_eq!(imported.sessions.len(), 1, "{imported:?}");
    (imported.sessions[0].key.to_string(), imported.sessions[0].state)
}

#[test]
fn a_source_that_grows_is_gone_on_with() {
    let bench = Bench::new();
    let whole = fixture("jsonl/chat.jsonl");
    // Cut at every byte, then whole: the torn line is replaced by the whole one.
    for cut in 0..whole.len() {
        let name = format!("cut-{cut}.jsonl");
        let path = bench.write(&name, &whole[..cut]);
        let options = ImportOptions::new().from(sesslog::import::System::Jsonl);
        let import = || import(&bench.store, std::slice::from_ref(&path), &options, &Progress::default());
        let (key, state) = only(&import());
        assert_eq!(state, State::New);
        assert_eq!(bench.original(&key), &whole[..cut], "{cut}");
        fs::write(&path, &whole).unwrap();
        assert_eq!(only(&import()).1, State::Grown, "{cut}");
        assert_eq!(bench.original(&key), whole, "{cut}");
        assert_eq!(bench.view(&key).join("\n") + "\n", String::from_utf8(whole.clone()).unwrap(), "{cut}");
        let again = import();
        assert_eq!((only(&again).1, again.sessions[0].records), (State::Unchanged, 0));
    }
}

#[test]
fn a_last_line_that_goes_on_is_shown_once() {
    let [a, b, c] = ["1", "2", "3"].map(|text| format!("{{\"role\":\"user\",\"content\":\"{text}\"}}"));
    for before in ["", "{\"role\":\"user\",\"content\":\"0\"}\n"] {
        for (torn, whole, shown) in [
            (a.clone(), format!("{a} \n"), vec![&a]),
            (a.clone(), format!("{a}\r\n{b}\r\n"), vec![&a, &b]),
            (a.clone(), format!("{a}{b}\n{c}\n"), vec![&a, &b, &c]),
            (format!("{a}{b}"), format!("{a}{b}{c}\n"), vec![&a, &b, &c]),
        ] {
            let bench = Bench::new();
            let path = bench.write("a.jsonl", format!("{before}{torn}").as_bytes());
            bench.import(&ImportOptions::new());
            fs::write(&path, format!("{before}{whole}")).unwrap();
            assert_eq!(only(&bench.import(&ImportOptions::new())).1, State::Grown, "{whole}");
            let expected: Vec<_> = before.lines().chain(shown.iter().map(|body| body.as_str())).collect();
            assert_eq!(bench.view("jsonl:a"), expected, "{before}{whole}");
            assert_eq!(bench.original("jsonl:a"), fs::read(&path).unwrap());
            assert_eq!(only(&bench.import(&ImportOptions::new())).1, State::Unchanged);
        }
    }
}

#[test]
fn a_source_that_was_rewritten_is_the_next_generation() {
    let bench = Bench::new();
    let path =
        bench.write("a.jsonl", b"{\"role\":\"user\",\"content\":\"1\"}\n{\"role\":\"user\",\"content\":\"2\"}\n");
    bench.import(&ImportOptions::new());
    fs::write(&path, b"{\"role\":\"user\",\"content\":\"2\"}\n").unwrap();
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(only(&imported), ("jsonl:a".to_owned(), State::NextGeneration));
    let session = bench.store.session("jsonl:a").unwrap();
    assert_eq!((session.generation().unwrap(), bench.view("jsonl:a").len()), (2, 1));
    assert_eq!(bench.original("jsonl:a"), fs::read(&path).unwrap());
    let mut first = Vec::new();
    write_original(&session, Some(1), &mut first).unwrap();
    assert_eq!(first.len(), 60);
    assert_eq!(only(&bench.import(&ImportOptions::new())).1, State::Unchanged);
}

#[test]
fn what_was_not_imported_is_not_touched() {
    let bench = Bench::new();
    bench.write("a.jsonl", b"{\"role\":\"user\"}\n");
    let session = bench.store.session("jsonl:a").unwrap();
    session.append(sesslog::NewRecord::new("own").unwrap()).unwrap();
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), ["key-taken"]);
    assert_eq!(session.records().unwrap().count(), 1);
    let imported = bench.import(&ImportOptions::new().key_prefix("old:"));
    assert_eq!(only(&imported).0, "old:a");
}
