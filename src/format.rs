#![doc = include_str!("format.md")]

/// The format this crate reads and writes; a header with another number is a typed error, never damage.
pub const FORMAT_VERSION: u32 = 1;

/// The end of every line before its newline: `,"crc":"` + 8 hex digits + `"}`. The checksum covers everything before it.
pub const FRAME_TAIL_BYTES: usize = CRC_LABEL.len() + CRC_HEX_BYTES + 2;
/// What stands before the checksum's digits.
pub const CRC_LABEL: &[u8] = b",\"crc\":\"";
/// A checksum as text: lower-case hexadecimal digits.
pub const CRC_HEX_BYTES: usize = 8;
/// What a storage device writes whole or not at all; the unit of the torn-or-damaged rule.
pub const SECTOR_BYTES: u64 = 512;
/// Size of a commit; a larger batch is written as several, so that each proves the one before. One record may be larger.
pub const COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// Default limit for one record, its frame included ([`Options::record_bytes_max`](crate::Options::record_bytes_max)).
pub const RECORD_BYTES_MAX_DEFAULT: usize = 64 * 1024 * 1024;
/// Longest key in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest kind.
pub const KIND_BYTES_MAX: usize = 64;
/// Longest idempotency id in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 128;
/// Deepest nesting of arrays and objects in a body.
pub const NESTING_MAX: usize = 128;
/// Length of `2026-11-22T08:15:30.123Z`.
pub const TIMESTAMP_BYTES: usize = 24;
/// Longest frame before its body, with every byte of the id escaped as `\u00xx`.
pub const HEAD_BYTES_MAX: usize = 2048;

/// Folder of the transcripts.
pub const TRANSCRIPTS_DIR: &str = "transcripts";
/// Folder of cut and replaced bytes.
pub const QUARANTINE_DIR: &str = "quarantine";
/// Folder of deleted transcripts.
pub const TRASH_DIR: &str = "trash";
/// In it: space that is given up when a full disk takes no deletion.
pub const RESERVE_FILE: &str = ".reserve";
/// Folder of the writers' locks.
pub const LOCKS_DIR: &str = "locks";
/// The index.
pub const REGISTRY_FILE: &str = "registry.jsonl";
/// What happened since the index was saved, where that is large.
pub const CHANGES_FILE: &str = "registry.changes.jsonl";
/// Extension of a transcript, with the dot.
pub const TRANSCRIPT_SUFFIX: &str = ".jsonl";
/// Extension of a temp file, with the dot; its name also begins with a dot.
pub const TEMP_SUFFIX: &str = ".tmp";

/// Kind of line 0.
pub const KIND_HEADER: &str = "header";
/// Kind of the store's own records.
pub const KIND_MARK: &str = "mark";
/// Kind of a record when the caller names none.
pub const KIND_DEFAULT: &str = "message";
/// Kind of a registry row.
pub const KIND_ROW: &str = "session";
/// Kinds of lines beside rows in the changes: a session that is written to, the folder's new time, the proof.
pub const KIND_TOUCHED: &str = "touched";
/// See [`KIND_TOUCHED`].
pub const KIND_FOLDER: &str = "folder";
/// See [`KIND_TOUCHED`].
pub const KIND_PROOF: &str = "proof";
/// Records of these kinds do not count as activity.
pub const KIND_META_PREFIX: &str = "meta.";

const _: () = assert!(FRAME_TAIL_BYTES == 18);
// The fixed parts, three numbers of 20 digits, kind and an id whose every byte takes six.
const _: () = assert!(HEAD_BYTES_MAX > 120 + 3 * 20 + KIND_BYTES_MAX + 6 * ID_BYTES_MAX);

/// Says whether `byte` may stand after the last newline without being content: a tab or a NUL.
#[must_use]
pub const fn is_padding(byte: u8) -> bool {
    byte == b'\t' || byte == 0
}

/// Returns a count of bytes as offsets are counted.
pub(crate) fn to_u64(count: usize) -> u64 {
    // `usize` has at most 64 bits on every platform of Rust.
    u64::try_from(count).unwrap_or(u64::MAX)
}
