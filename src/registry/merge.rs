//! A large registry written anew where little changed: what did not is copied as bytes, never read as rows.
//!
//! The outcome is byte for byte what saving all rows would give; memory is bounded by the rows that changed.

use std::io;

use crate::format::to_u64;
use crate::frame::{self, Content, Crc, Place};
use crate::fs::{FsFile, read_from, write_all};
use crate::key::SessionKey;
use crate::registry::base::Base;
use crate::registry::{ROW_BYTES_MAX, Rows};

/// Copied at once: some rows, whatever their length.
const PIECE_BYTES: usize = 2 * ROW_BYTES_MAX;

/// A registry on its way to its file.
struct Merge<'a> {
    base: &'a Base,
    out: &'a dyn FsFile,
    /// What is not in the file yet.
    pending: Vec<u8>,
    in_file_bytes: u64,
    /// The next line's number.
    lines: u64,
}

/// Writes to an empty file what `base` becomes when the rows of `keys`, which are in order, are those in `rows`.
///
/// # Errors
///
/// Of kind `InvalidData` when `base` is no registry after all.
pub(crate) fn merge<'a>(
    base: &Base,
    keys: impl IntoIterator<Item = &'a SessionKey>,
    rows: &Rows,
    out: &dyn FsFile,
) -> io::Result<()> {
    let mut merge = Merge { base, out, pending: Vec::new(), in_file_bytes: 0, lines: 0 };
    let mut at = 0;
    for key in keys {
        let from = base.seek(key, at)?;
        merge.copy(at, from)?;
        at = base.rows_at(from, key)?.1;
        for row in rows.of(key) {
            row.encode(&mut merge.pending, merge.lines);
            merge.lines = merge.lines.saturating_add(1);
        }
    }
    merge.copy(at, base.length_bytes())?;
    merge.write()
}

impl Merge<'_> {
    /// Copies the lines between two offsets.
    fn copy(&mut self, mut at: u64, end: u64) -> io::Result<()> {
        while at < end {
            let wanted = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let piece = read_from(self.base.file(), at, wanted)?;
            let newline = memchr::memrchr(b'\n', &piece).ok_or(io::ErrorKind::InvalidData)?;
            let lines = piece.get(..=newline).unwrap_or_default();
            self.take(lines)?;
            at = at.saturating_add(to_u64(lines.len()));
            if self.pending.len() >= PIECE_BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Takes over lines, with new numbers where there are more or fewer before them than there were.
    fn take(&mut self, lines: &[u8]) -> io::Result<()> {
        let first = frame::decode_head(lines).map_err(|_| io::ErrorKind::InvalidData)?;
        if first.seq == self.lines {
            self.pending.extend_from_slice(lines);
            self.lines = self.lines.saturating_add(to_u64(memchr::memchr_iter(b'\n', lines).count()));
            return Ok(());
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.renumber(line.strip_suffix(b"\n").unwrap_or(line)).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(())
    }

    fn renumber(&mut self, line: &[u8]) -> Option<()> {
        // With a new number comes a new checksum, which must not vouch for what the old one did not.
        let (head, _) = frame::decode(line, Crc::ZERO).ok()?;
        let content = Content { ts: head.ts, kind: head.kind, id_json: head.id_json, body: head.body(line) };
        let place = Place { seq: self.lines, durable: head.durable, prev: head.prev };
        frame::encode(&mut self.pending, Crc::ZERO, place, &content);
        self.lines = self.lines.saturating_add(1);
        Some(())
    }

    fn write(&mut self) -> io::Result<()> {
        write_all(self.out, &self.pending, self.in_file_bytes)?;
        self.in_file_bytes = self.in_file_bytes.saturating_add(to_u64(self.pending.len()));
        self.pending.clear();
        Ok(())
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fs::{Fs as _, OpenMode, OsFs, read_all};
    use crate::header::Header;
    use crate::registry::Row;
    use crate::timestamp::Timestamp;

    fn key_of(number: u64) -> SessionKey {
        SessionKey::new(format!("key {number:04}")).unwrap()
    }

    fn row_of(number: u64, generation: u64, title_bytes: u64) -> Row {
        let now = Timestamp::from_unix_ms(0);
        let header = Header::encode(&mut Vec::new(), &OsFs, &key_of(number), generation, None, now).unwrap();
        Row { title: Some("t".repeat(usize::try_from(title_bytes).unwrap())), ..Row::born(&header) }
    }

    /// Some numbers that look like any.
    fn any(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    #[test]
    fn the_bytes_are_those_of_a_whole_save() {
        let folder = tempfile::tempdir().unwrap();
        let (path, merged) = (folder.path().join("registry.jsonl"), folder.path().join("merged"));
        let mut seed = 7;
        for round in 0..24_u64 {
            let count = [0, 1, 40, 700][usize::try_from(round % 4).unwrap()];
            let mut rows = Rows::default();
            for number in 0..count {
                for generation in 1..=1 + u64::from(any(&mut seed).is_multiple_of(7)) {
                    rows.put(row_of(2 * number, generation, any(&mut seed) % 2_000));
                }
            }
            rows.save(&OsFs, &path, 0o600, 2).unwrap();
            let base = Base::open(&OsFs, &path).unwrap();
            let mut known = BTreeSet::new();
            let mut changed = Rows::default();
            for _ in 0..any(&mut seed) % [2, 30, 900][usize::try_from(round % 3).unwrap()] {
                // Some that there are, some new ones; of some all rows go.
                let number = any(&mut seed) % (2 * count + 3);
                let key = key_of(number);
                known.insert(key.clone());
                for rows in [&mut rows, &mut changed] {
                    for row in rows.of(&key).cloned().collect::<Vec<_>>() {
                        rows.remove(&key, row.generation, &row.id);
                    }
                }
                for generation in 1..=any(&mut seed) % 3 {
                    let row = row_of(number, generation, any(&mut seed) % 9_000);
                    rows.put(row.clone());
                    changed.put(row);
                }
            }
            let out = OsFs.open(&merged, OpenMode::Create { mode: 0o600 }).unwrap();
            out.set_len(0).unwrap();
            merge(&base, &known, &changed, &*out).unwrap();
            assert_eq!(read_all(&*out, u64::MAX).unwrap(), rows.encode(1), "round {round}");
        }
    }

    #[test]
    fn a_line_that_rotted_is_not_given_a_new_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.jsonl");
        let mut rows = Rows::default();
        (1..9).for_each(|number| rows.put(row_of(number, 1, 50)));
        let mut bytes = rows.encode(1);
        let at = bytes.len() - 300;
        bytes[at] ^= 1;
        let rotted = OsFs.open(&path, OpenMode::Create { mode: 0o600 }).unwrap();
        write_all(&*rotted, &bytes, 0).unwrap();
        let (base, mut changed) = (Base::open(&OsFs, &path).unwrap(), Rows::default());
        changed.put(row_of(0, 1, 1));
        let out = OsFs.open(&folder.path().join("out"), OpenMode::Create { mode: 0o600 }).unwrap();
        let failed = merge(&base, [&key_of(0)], &changed, &*out).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::InvalidData);
    }
}
