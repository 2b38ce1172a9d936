//! Goal: what somebody else put into the store's folder, into a key or into a record never makes the store write, cut, chmod or
//! remove anything outside of it, believe what is not so, hang, or hold more memory than its work needs.
//! Method: real files. Something hostile is put in one place, the whole life of a session goes over it, and then both are
//! compared: what was acknowledged, and every byte, mode and time of what is outside.

#![cfg(feature = "cli")]

mod common;

#[path = "security/bulk.rs"]
mod bulk;
#[path = "security/forged.rs"]
mod forged;
#[path = "security/links.rs"]
mod links;
#[path = "security/live.rs"]
mod live;
#[path = "security/modes.rs"]
mod modes;
#[path = "security/names.rs"]
mod names;
#[path = "security/rows.rs"]
mod rows;
#[path = "security/terminal.rs"]
mod terminal;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sesslog::{SessionKey, Store};
use tempfile::TempDir;

/// A file that is no business of the store.
struct Outside {
    _folder: TempDir,
    path: PathBuf,
    before: (Vec<u8>, u32, i64, i64, u64),
}

impl Outside {
    fn new(content: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = Self::look(&path);
        Self { _folder: folder, path, before }
    }

    fn look(path: &Path) -> (Vec<u8>, u32, i64, i64, u64) {
        let metadata = fs::symlink_metadata(path).unwrap();
        (fs::read(path).unwrap(), metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
    }

    #[track_caller]
    fn is_untouched(&self, story: &str) {
        assert!(Self::look(&self.path) == self.before, "{story}: what is outside was changed");
    }
}

/// A folder outside of the store; nothing may be made in it.
#[track_caller]
fn is_empty(folder: &Path, story: &str) {
    let found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(found.is_empty(), "{story}: {found:?} was made outside");
}

fn transcript(store: &Path, key: &str, generation: u64) -> PathBuf {
    store.join("transcripts").join(SessionKey::new(key).unwrap().file_name(generation))
}

fn lock_file(store: &Path, key: &str) -> PathBuf {
    store.join("locks").join(format!("{}.lock", SessionKey::new(key).unwrap().file_stem()))
}

/// A store with some records of a key, closed.
fn filled(store: &Path, key: &str, count: u64) {
    let opened = Store::open(store).unwrap();
    let session = opened.session(key).unwrap();
    for number in 1..=count {
        session.append(common::numbered(number)).unwrap();
    }
    opened.close().unwrap();
}

fn bodies_of(store: &Path, key: &str) -> Vec<String> {
    common::bodies(&Store::open(store).unwrap().session(key).unwrap())
}

fn numbered_bodies(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| common::numbered(number).body().to_owned()).collect()
}

fn fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// What a process came to.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        let shown = |text: &str| text.chars().take(2000).collect::<String>();
        assert_eq!(self.code, Some(code), "{}\n{}", shown(&self.stdout), shown(&self.stderr));
        self
    }
}

/// What a shell sets before it becomes `sessctl`: `ulimit`, `umask`.
fn sessctl_after(setting: &str, store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{setting}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_sessctl")]);
    command.arg("--store").arg(store).args(args).stdin(Stdio::null());
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn sessctl(store: &Path, args: &[&str]) -> Run {
    // A hang shows as the status of `timeout`, not as a test that never ends.
    let mut command = Command::new("timeout");
    command.arg("300").arg(env!("CARGO_BIN_EXE_sessctl")).arg("--store").arg(store).args(args).stdin(Stdio::null());
    run(&mut command)
}

fn sessctl_with_input(store: &Path, args: &[&str], input: &[u8]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    fs::write(&path, input).unwrap();
    // Not a hang, but a signal: what never ends uses up its processor time.
    run(sessctl_after("ulimit -t 240", store, args).stdin(fs::File::open(path).unwrap()))
}

/// Makes lines as only a writer should: whoever can read a transcript can compute its checksums.
mod forge {
    use std::fmt::Write as _;

    pub(crate) fn crc(seed: u32, covered: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(seed);
        hasher.update(covered);
        hasher.finalize()
    }

    /// A whole line with its newline; `place` is seq, durable and prev.
    pub(crate) fn line(seed: u32, place: (u64, u64, u32), kind: &str, body: &str) -> String {
        let mut line = head(place, kind);
        line.push_str(body);
        let crc = crc(seed, line.as_bytes());
        writeln!(line, r#","crc":"{crc:08x}"}}"#).unwrap();
        line
    }

    /// Everything before the body.
    pub(crate) fn head((seq, durable, prev): (u64, u64, u32), kind: &str) -> String {
        format!(
            r#"{{"seq":{seq},"durable":{durable},"prev":"{prev:08x}","ts":"2026-11-22T08:15:30.123Z","kind":"{kind}","body":"#
        )
    }

    /// A header as anyone may spell it.
    pub(crate) fn header(key: &str, generation: u64) -> String {
        let key = serde_json::to_string(key).unwrap();
        let body = format!(
            r#"{{"format":1,"key":{key},"generation":{generation},"id":"3f9c0a6e5b1d47f2880d6c4e91a7b253","parent":null}}"#
        );
        line(0, (0, 0, 0), "header", &body)
    }

    /// The checksum that a line carries.
    pub(crate) fn stored(line: &str) -> u32 {
        let line = line.trim_end_matches('\n');
        u32::from_str_radix(&line[line.len() - 10..line.len() - 2], 16).unwrap()
    }

    /// A transcript of a header and `bodies`, each record proven by the next; returns it with seed and last checksum.
    pub(crate) fn transcript(key: &str, bodies: &[&str]) -> (String, u32, u32) {
        let mut text = header(key, 1);
        let seed = stored(&text);
        let mut prev = seed;
        for (body, seq) in bodies.iter().zip(1..) {
            let line = line(seed, (seq, seq - 1, prev), "message", body);
            prev = stored(&line);
            text.push_str(&line);
        }
        (text, seed, prev)
    }

    /// A registry row with this text as body.
    pub(crate) fn row(index: u64, body: &str) -> String {
        line(0, (index, 0, 0), "session", body)
    }
}
