//! What a gateway routes by, and the names of its files.
//!
//! A key is any UTF-8 of 1 to 512 bytes. No byte of it reaches a path unchanged unless it is one of `a-z 0-9 . -`, and
//! every name ends in 32 hex digits of the key's SHA-256: two keys that differ by case, or only behind the 40th byte, have
//! two files on a file system that folds case, and no key can leave the folder.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::format::{KEY_BYTES_MAX, TRANSCRIPT_SUFFIX};

const SLUG_BYTES_MAX: usize = 40;
const HASH_HEX_BYTES: usize = 32;

/// A session key: any UTF-8 of 1 to 512 bytes. Cheap to clone.
///
/// Keys that begin with `~` are the store's own (`~store`); they can be read, but not appended to.
///
/// ```
/// let key = sesslog::SessionKey::new("telegram:8281248569")?;
/// assert_eq!(key.file_name(1), "telegram_8281248569~ff0fb19818c76e4f24a0fa2678753e93.1.jsonl");
/// # Ok::<(), sesslog::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(Arc<str>);

/// Why a text is not a session key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No text at all.
    #[error("session key is empty")]
    Empty,
    /// Over the limit.
    #[error("session key is {length_bytes} bytes long, the limit is {limit_bytes}")]
    TooLong {
        /// Bytes of UTF-8 given.
        length_bytes: usize,
        /// Bytes of UTF-8 allowed.
        limit_bytes: usize,
    },
    /// The store's own name space.
    #[error("session keys that begin with `~` are the store's own")]
    Reserved,
}

impl SessionKey {
    /// Takes a key as it is; nothing is trimmed or normalised.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when it is empty or longer than 512 bytes.
    pub fn new(key: impl AsRef<str>) -> Result<Self, KeyError> {
        let key = key.as_ref();
        match key.len() {
            0 => Err(KeyError::Empty),
            length_bytes if length_bytes > KEY_BYTES_MAX => {
                Err(KeyError::TooLong { length_bytes, limit_bytes: KEY_BYTES_MAX })
            }
            _ => Ok(Self(key.into())),
        }
    }

    /// Returns the key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether the key is the store's own.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('~')
    }

    /// Returns `<slug>~<hash>`, the part that all files of this key share.
    pub fn file_stem(&self) -> String {
        let mut stem = slug(&self.0);
        stem.push('~');
        let digest = Sha256::digest(self.0.as_bytes());
        for byte in digest.iter().take(HASH_HEX_BYTES / 2) {
            // Writing to a `String` can not fail.
            write!(stem, "{byte:02x}").ok();
        }
        stem
    }

    /// Returns the name of the transcript of one generation.
    pub fn file_name(&self, generation: u64) -> String {
        format!("{}.{generation}{TRANSCRIPT_SUFFIX}", self.file_stem())
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for SessionKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

/// Lower-cases the key and turns every run outside `a-z 0-9 . -` into one `_`, at most 40 bytes.
fn slug(key: &str) -> String {
    let mut slug = String::with_capacity(SLUG_BYTES_MAX);
    for c in key.to_lowercase().chars() {
        let plain = c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        if !plain && slug.ends_with('_') {
            continue;
        }
        if slug.len() == SLUG_BYTES_MAX {
            break;
        }
        slug.push(if plain { c } else { '_' });
    }
    slug
}

/// The parts of a transcript's file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TranscriptName {
    /// `<slug>~<hash>`.
    pub(crate) stem: String,
    /// 1, 2, 3 ...
    pub(crate) generation: u64,
}

impl fmt::Display for TranscriptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{TRANSCRIPT_SUFFIX}", self.stem, self.generation)
    }
}

impl TranscriptName {
    /// Reads a file name from its right end; `None` when it is not a transcript's.
    ///
    /// The slug may hold anything that a slug can hold, dots and hyphens included, so only the end is fixed.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (stem, generation) = name.strip_suffix(TRANSCRIPT_SUFFIX)?.rsplit_once('.')?;
        let (_, hash) = stem.rsplit_once('~')?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hash.len() != HASH_HEX_BYTES || !hash.bytes().all(hex) {
            return None;
        }
        let canonical = !generation.starts_with('0') && generation.bytes().all(|b| b.is_ascii_digit());
        let generation = generation.parse().ok().filter(|_| canonical)?;
        Some(Self { stem: stem.to_owned(), generation })
    }
}

/// The parts of the name of a deleted transcript: `<slug>~<hash>.<generation>.<milliseconds since 1970>.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrashName {
    pub(crate) transcript: TranscriptName,
    /// When it was deleted, or a little later where the name was taken.
    pub(crate) deleted_ms: i64,
}

impl fmt::Display for TrashName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TranscriptName { stem, generation } = &self.transcript;
        write!(f, "{stem}.{generation}.{}{TRANSCRIPT_SUFFIX}", self.deleted_ms)
    }
}

impl TrashName {
    /// Reads a file name; `None` when it is not one of the trash.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (rest, deleted_ms) = name.strip_suffix(TRANSCRIPT_SUFFIX)?.rsplit_once('.')?;
        let transcript = TranscriptName::parse(&format!("{rest}{TRANSCRIPT_SUFFIX}"))?;
        let found = Self { transcript, deleted_ms: deleted_ms.parse().ok()? };
        (found.to_string() == name).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SessionKey {
        SessionKey::new(text).unwrap()
    }

    #[test]
    fn hostile_keys_stay_inside_the_folder_and_apart() {
        let emoji = "\u{1f600}".repeat(128);
        let keys =
            ["../../etc/passwd", "CON", "con", "a/b", "A", "a", "a\\b", "\0", ".", "..", "~store", emoji.as_str()];
        let mut stems: Vec<_> = keys.iter().map(|k| key(k).file_stem()).collect();
        for stem in &stems {
            assert!(stem.len() <= SLUG_BYTES_MAX + 1 + HASH_HEX_BYTES, "{stem}");
            assert!(
                stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._~-".contains(&b)),
                "{stem}"
            );
        }
        stems.sort();
        stems.dedup();
        assert_eq!(stems.len(), keys.len());
    }

    #[test]
    fn slug_collapses_runs_and_is_cut() {
        assert_eq!(slug("Telegram: 82"), "telegram_82");
        assert_eq!(slug("../../etc/passwd"), ".._.._etc_passwd");
        assert_eq!(slug(&"x".repeat(50)), "x".repeat(40));
        assert_eq!(slug("\u{c4}\u{d6}"), "_");
    }

    #[test]
    fn a_name_is_read_from_its_right_end() {
        let name = key("a.1.jsonl").file_name(12);
        assert_eq!(
            TranscriptName::parse(&name).unwrap(),
            TranscriptName { stem: key("a.1.jsonl").file_stem(), generation: 12 }
        );
        let stem = key("k").file_stem();
        for bad in [
            format!("{stem}.0.jsonl"),
            format!("{stem}.01.jsonl"),
            format!("{stem}.jsonl"),
            format!("{stem}.1.jsonl.bak"),
        ] {
            assert_eq!(TranscriptName::parse(&bad), None, "{bad}");
        }
        assert_eq!(TranscriptName::parse(".x.tmp"), None);
    }

    #[test]
    fn bounds_of_a_key() {
        assert_eq!(SessionKey::new(""), Err(KeyError::Empty));
        assert!(SessionKey::new("x".repeat(512)).is_ok());
        assert!(matches!(SessionKey::new("x".repeat(513)), Err(KeyError::TooLong { length_bytes: 513, .. })));
    }
}
