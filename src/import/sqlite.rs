//! Databases of `SQLite`, read from a private copy: the engine writes beside a database even to read it, and a source is only read.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use tempfile::TempDir;

use crate::fs::{Fs as _, OpenMode, OsFs, PathError, write_all};
use crate::import::finding::FindingKind;
use crate::import::lines::{SourceFile, failed};

/// What a database may have beside it that belongs to its content: commits that are not in it yet, or pages to be put back.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];
/// How often a copy is tried while somebody writes.
const COPIES_MAX: usize = 3;
const COPY_BYTES: usize = 1 << 20;
/// Where the engine has its locks in a file.
const LOCK_FIRST_BYTE: u64 = 0x4000_0002;
const LOCK_BYTES: u64 = 510;

/// A copy of a database, which is removed with this.
#[derive(Debug)]
pub(crate) struct Database {
    copy: PathBuf,
    _folder: TempDir,
}

/// An object in the columns' names.
type Line = Vec<u8>;

impl Database {
    /// Copies a database as it is now.
    pub(crate) fn open(path: &Path) -> Result<Self, FindingKind> {
        for _ in 0..COPIES_MAX {
            let folder =
                tempfile::Builder::new().prefix("sesslog-").tempdir().map_err(failed("create", Path::new("sesslog-")));
            let folder = folder.map_err(FindingKind::Unreadable)?;
            let copy = folder.path().join("db");
            if copy_all(path, &copy)? {
                return Ok(Self { copy, _folder: folder });
            }
        }
        Err(FindingKind::Database { reason: "it was written to while it was copied".to_owned() })
    }

    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // What a hostile schema could have run by a read.
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}

/// Says whether a connection has a table, and not a view or a virtual one, of this name.
pub(crate) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = ?1 AND type = 'table' AND rootpage > 0";
    connection.query_row(sql, [name], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}

/// Reads the rows that `select` finds, `ORDER BY` the expression `order`, which must be unique. Where one can not be read, goes on
/// from the end backwards; says then why that is not all of them.
pub(crate) fn rows(
    connection: &Connection,
    select: &str,
    order: &str,
    value: &str,
) -> (Vec<Line>, Option<rusqlite::Error>) {
    let mut lines = Vec::new();
    let forward = read(connection, &format!("{select} ORDER BY {order}"), value, |line| lines.push(line));
    let Err(error) = forward else { return (lines, None) };
    let mut behind = Vec::new();
    read(connection, &format!("{select} ORDER BY {order} DESC"), value, |line| behind.push(line)).ok();
    // Where both ends can be read to the same row, it was the order that failed.
    behind.truncate(behind.iter().take_while(|line| Some(*line) != lines.last()).count());
    behind.reverse();
    lines.append(&mut behind);
    (lines, Some(error))
}

fn read(connection: &Connection, sql: &str, value: &str, mut take: impl FnMut(Line)) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = if statement.parameter_count() > 0 { statement.query([value])? } else { statement.query([])? };
    while let Some(row) = rows.next()? {
        take(object(&names, row)?);
    }
    Ok(())
}

/// Writes a row as a JSON object of its columns in their order. Text stays text; bytes, and text that is none, are an object
/// with `base64`.
fn object(names: &[String], row: &Row<'_>) -> rusqlite::Result<Line> {
    use base64::Engine as _;
    let base64 = |bytes: &[u8]| serde_json::json!({"base64": base64::prelude::BASE64_STANDARD.encode(bytes)});
    let mut line = String::from("{");
    for (at, name) in names.iter().enumerate() {
        let value = match row.get_ref(at)? {
            ValueRef::Null => serde_json::Value::Null,
            ValueRef::Integer(number) => number.into(),
            // What JSON has no number for.
            ValueRef::Real(number) if !number.is_finite() => number.to_string().into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Text(text) => std::str::from_utf8(text).map_or_else(|_| base64(text), Into::into),
            ValueRef::Blob(bytes) => base64(bytes),
        };
        let (comma, name) = (if at > 0 { "," } else { "" }, serde_json::Value::from(name.as_str()));
        line.extend([comma, &name.to_string(), ":", &value.to_string()]);
    }
    line.push('}');
    Ok(line.into_bytes())
}

/// Copies what a database is made of; `false` if somebody wrote meanwhile.
fn copy_all(path: &Path, copy: &Path) -> Result<bool, FindingKind> {
    let mut sources = Vec::new();
    for part in PARTS {
        match SourceFile::open(&with_part(path, part)) {
            Ok(source) => sources.push((source, with_part(copy, part))),
            Err(error) if !part.is_empty() && error.source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(FindingKind::Unreadable(error)),
        }
    }
    if is_locked(path) {
        return Err(FindingKind::Database { reason: "it is locked: another process is writing to it".to_owned() });
    }
    for (source, to) in &sources {
        copy_one(source, to).map_err(FindingKind::Unreadable)?;
    }
    let count = PARTS.iter().filter(|part| with_part(path, part).exists()).count();
    let mut is_same = count == sources.len();
    for (source, _) in &sources {
        is_same &= !source.has_changed().map_err(FindingKind::Unreadable)?;
    }
    Ok(is_same)
}

fn with_part(path: &Path, part: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(part);
    name.into()
}

fn copy_one(source: &SourceFile, to: &Path) -> Result<(), PathError> {
    let file = OsFs.open(to, OpenMode::CreateNew { mode: 0o600 }).map_err(failed("create", to))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0_u64;
    loop {
        let count = source.read_at(&mut buffer, at)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        write_all(&*file, bytes, at).map_err(failed("write", to))?;
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Says whether another process holds the lock under which pages are written in place.
fn is_locked(path: &Path) -> bool {
    use rustix::fs::{Mode, OFlags};
    use rustix::process::{Flock, FlockType, fcntl_getlk};
    let lock = Flock { start: LOCK_FIRST_BYTE, length: LOCK_BYTES, ..Flock::from(FlockType::ReadLock) };
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    file.is_ok_and(|file| fcntl_getlk(&file, &lock).is_ok_and(|held| held.is_some()))
}
