//! Goal: what users and programs see of `sessctl`: exit status, standard output and error, JSON lines, signals, closed pipes.
//! Method: every test runs the real binary on a store of its own, made by the binary or taken from `fixtures/v1`, and
//! compares what comes out of the process; bytes of transcripts are changed only to damage them.

#![cfg(feature = "cli")]

#[path = "cli/append.rs"]
mod append;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/forget.rs"]
mod forget;
#[path = "cli/grep.rs"]
mod grep;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/look.rs"]
mod look;
#[path = "cli/marks.rs"]
mod marks;
#[path = "cli/mend.rs"]
mod mend;
#[path = "cli/packaging.rs"]
mod packaging;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/quarantine.rs"]
mod quarantine;
#[path = "cli/resumable.rs"]
mod resumable;
#[path = "cli/stats.rs"]
mod stats;
#[path = "cli/trash.rs"]
mod trash;
#[path = "cli/view.rs"]
mod view;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sesslog::SessionKey;
use tempfile::TempDir;

/// Held while a process is started: until it has become another program it holds a copy of every pipe of this one.
static STARTING: Mutex<()> = Mutex::new(());

fn spawn(command: &mut Command) -> Child {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Closes the reading end of a pipe, for good: from now on a write to it fails.
fn close<Pipe>(reader: Pipe) {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    drop(reader);
}

/// A store of a test, and the command line to look at it.
struct Bench {
    folder: TempDir,
}

/// What came out of a process.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// The lines of `--json`; every one must be an object with a type, the last a summary and the only one.
    fn objects(&self) -> Vec<Value> {
        let objects: Vec<Value> =
            self.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
        let is_summary = |object: &&Value| object["type"] == "summary";
        assert_eq!(objects.iter().filter(is_summary).count(), 1, "{self:?}");
        assert!(objects.iter().all(|object| object["type"].is_string()), "{self:?}");
        assert!(is_summary(&objects.last().expect("a summary")), "{self:?}");
        objects
    }

    fn of_type(&self, name: &str) -> Vec<Value> {
        self.objects().into_iter().filter(|object| object["type"] == name).collect()
    }

    fn summary(&self) -> Value {
        self.objects().pop().unwrap()
    }

    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// A running `sessctl` whose standard input is open.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A copy of a case of `fixtures/v1`.
    fn of_fixture(case: &str) -> Self {
        let bench = Self::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1").join(case);
        copy_folder(&from, &bench.store());
        bench
    }

    /// A store with records 1 to `count` of `key`, each in a commit of its own; record n is `{"n":n}`.
    fn with_records(key: &str, count: usize) -> Self {
        let bench = Self::new();
        let mut running = bench.start(&["append", key]);
        for n in 1..=count {
            running.send(&format!("{{\"n\":{n}}}\n"));
            assert_eq!(running.line(), format!("{key} {n}\n"));
        }
        assert!(running.end().success());
        bench
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessctl"));
        for name in ["SESSLOG_STORE", "XDG_DATA_HOME", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.arg("--store").arg(self.store()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        finish(spawn(&mut self.command(args)))
    }

    /// Runs with a file as standard input, so that all of it is there at once.
    fn feed(&self, args: &[&str], input: &[u8]) -> Run {
        let path = self.folder.path().join("input");
        fs::write(&path, input).unwrap();
        finish(spawn(self.command(args).stdin(fs::File::open(path).unwrap())))
    }

    fn start(&self, args: &[&str]) -> Running {
        let mut child = spawn(self.command(args).stdin(Stdio::piped()).stderr(Stdio::inherit()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdin, stdout }
    }

    fn transcript(&self, key: &str, generation: u64) -> PathBuf {
        self.store().join("transcripts").join(SessionKey::new(key).unwrap().file_name(generation))
    }

    /// Flips a bit inside the body of the record with this seq.
    fn damage(&self, key: &str, seq: usize) {
        let path = self.transcript(key, 1);
        let mut bytes = fs::read(&path).unwrap();
        let start: usize = bytes.split_inclusive(|byte| *byte == b'\n').take(seq).map(<[u8]>::len).sum();
        let body = bytes[start..].windows(8).position(|window| window == b"\"body\":{").unwrap();
        bytes[start + body + 9] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Every file of the store but locks and the registry, with its bytes.
    fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for folder in ["transcripts", "quarantine"] {
            let Ok(entries) = fs::read_dir(self.store().join(folder)) else { continue };
            found
                .extend(entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())));
        }
        found.sort();
        found
    }
}

impl Running {
    fn send(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for a line of output; empty at its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Closes standard input and waits.
    fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().unwrap()
    }

    /// Waits with standard input open, and returns the rest of the output.
    fn wait(mut self) -> Run {
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut stdout).unwrap();
        Run { code: self.child.wait().unwrap().code(), stdout, stderr: String::new() }
    }
}

fn finish(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file and folder under a folder, with its bytes.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.push((entry.path(), Vec::new()));
            found.extend(everything(&entry.path()));
        } else {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}
