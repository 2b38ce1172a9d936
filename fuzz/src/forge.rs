//! The format once more, from its description: frames made and read without the crate.
//!
//! Slow and simple on purpose. [`mend`] is what gets a fuzzer past the checksums: a mutated line whose digits are put right
//! reaches what is behind them.

use std::ops::Range;

/// The key of the transcript under test, and where its file is.
pub const KEY: &str = "fuzz:1";
/// SHA-256 of the key, by `sha256sum`.
pub const TRANSCRIPT: &str = "/store/transcripts/fuzz_1~88f24a39e5364fe1d8a8d35132da2307.1.jsonl";
/// A second session, which nothing is done to.
pub const OTHER_KEY: &str = "fuzz:2";
/// Its file.
pub const OTHER_TRANSCRIPT: &str = "/store/transcripts/fuzz_2~4c50c3f6b35dd27448daac8a25d49da0.1.jsonl";

/// `,"crc":"` + 8 digits + `"}`.
const TAIL_BYTES: usize = 18;
const LABEL: &[u8] = b",\"crc\":\"";
const PREV_LABEL: &[u8] = b",\"prev\":\"";
const TS_FORM: &[u8] = b"0000-00-00T00:00:00.000Z";

/// A frame as it stands in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Position.
    pub seq: u64,
    /// Claim.
    pub durable: u64,
    /// Link, as text.
    pub prev: &'a str,
    /// Time, as text.
    pub ts: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// The id as a JSON string, quotes included.
    pub id_json: Option<&'a str>,
    /// Not looked at.
    pub body: &'a [u8],
    /// Checksum.
    pub crc: u32,
}

/// CRC-32 of `bytes`, continued from `seed`.
pub fn crc(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Appends a line with its newline, and returns its checksum.
pub fn push(
    out: &mut Vec<u8>,
    seed: u32,
    place: (u64, u64, u32),
    kind: &str,
    id_json: Option<&str>,
    body: &str,
) -> u32 {
    let (seq, durable, prev) = place;
    let id = id_json.map(|id| format!(",\"id\":{id}")).unwrap_or_default();
    let ts = format!("2026-11-22T08:15:{:02}.{:03}Z", seq % 60, seq % 1000);
    let covered = format!(
        "{{\"seq\":{seq},\"durable\":{durable},\"prev\":\"{prev:08x}\",\"ts\":\"{ts}\",\"kind\":\"{kind}\"{id},\"body\":{body}"
    );
    let crc = crc(seed, covered.as_bytes());
    out.extend_from_slice(format!("{covered},\"crc\":\"{crc:08x}\"}}\n").as_bytes());
    crc
}

/// Appends the header of a session and returns its checksum, the seed of all other lines.
pub fn push_header(out: &mut Vec<u8>, key: &str) -> u32 {
    let id = "3f9c0a6e5b1d47f2880d6c4e91a7b253";
    let body = format!("{{\"format\":1,\"key\":\"{key}\",\"generation\":1,\"id\":\"{id}\",\"parent\":null}}");
    push(out, 0, (0, 0, 0), "header", None, &body)
}

/// Reads a line without its newline; `None` unless it is a frame of the field table with the right checksum.
pub fn parse(line: &[u8], seed: u32) -> Option<Frame<'_>> {
    let (covered, tail) = line.split_at_checked(line.len().checked_sub(TAIL_BYTES)?)?;
    let crc = crc(seed, covered);
    if tail != format!(",\"crc\":\"{crc:08x}\"}}").as_bytes() {
        return None;
    }
    let rest = covered.strip_prefix(b"{\"seq\":")?;
    let (seq, rest) = decimal(rest)?;
    let (durable, rest) = decimal(rest.strip_prefix(b",\"durable\":")?)?;
    let (prev, rest) = rest.strip_prefix(PREV_LABEL)?.split_at_checked(8)?;
    let (ts, rest) = rest.strip_prefix(b"\",\"ts\":\"")?.split_at_checked(TS_FORM.len())?;
    let rest = rest.strip_prefix(b"\",\"kind\":\"")?;
    let (kind, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == b'"')?)?;
    let rest = rest.strip_prefix(b"\"")?;
    let (id_json, rest) = match rest.strip_prefix(b",\"id\":") {
        Some(rest) => {
            let (id, rest) = rest.split_at_checked(string_bytes(rest)?)?;
            (Some(std::str::from_utf8(id).ok()?), rest)
        }
        None => (None, rest),
    };
    let body = rest.strip_prefix(b",\"body\":")?;
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let has_form = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    let is_kind = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let sound = prev.iter().all(is_hex)
        && ts.iter().zip(TS_FORM).all(has_form)
        && (1..=64).contains(&kind.len())
        && kind.iter().all(is_kind)
        && !body.is_empty()
        && (durable < seq || (durable, seq) == (0, 0));
    let text = |bytes| std::str::from_utf8(bytes).ok();
    sound.then_some(Frame { seq, durable, prev: text(prev)?, ts: text(ts)?, kind: text(kind)?, id_json, body, crc })
}

fn decimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at_checked(count)?;
    let text = std::str::from_utf8(digits).ok()?;
    let value: u64 = text.parse().ok()?;
    (value.to_string() == text).then_some((value, rest))
}

/// How long the JSON string is that `bytes` begins with, as far as its quotes and backslashes say.
fn string_bytes(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match (at, *byte) {
            (0, b'"') => {}
            (0, _) => return None,
            _ if escaped => escaped = false,
            (_, b'\\') => escaped = true,
            (_, b'"') => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The lines of a file with their ranges; the last may lack its newline, which is never in the range.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, bool)> {
    let mut at = 0;
    bytes.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let terminated = line.ends_with(b"\n");
        let range = at..at + line.len() - usize::from(terminated);
        at += line.len();
        (range, terminated)
    })
}

/// What a transcript holds from its start on, without a doubt: whole lines, each the next.
#[derive(Debug, Clone, Default)]
pub struct Prefix {
    /// The header's checksum; `None` without a sound header with its newline.
    pub seed: Option<u32>,
    /// The lines of the records, newline not included.
    pub records: Vec<Range<usize>>,
    /// Where it ends.
    pub end: usize,
    /// The seq expected there.
    pub seq: u64,
}

/// Reads the longest prefix without gap marks behind the header that [`push_header`] makes; any other is nothing's.
pub fn prefix(bytes: &[u8]) -> Prefix {
    let (mut found, mut header) = (Prefix::default(), Vec::new());
    push_header(&mut header, KEY);
    if !bytes.starts_with(&header) {
        return found;
    }
    let mut link = 0;
    for (range, terminated) in lines(bytes) {
        let frame = parse(&bytes[range.clone()], found.seed.unwrap_or(0));
        let Some(frame) = frame.filter(|frame| terminated && frame.seq == found.seq) else { break };
        if frame.prev != format!("{link:08x}") {
            break;
        }
        if found.seed.is_none() {
            found.seed = Some(frame.crc);
        } else {
            found.records.push(range.clone());
        }
        link = frame.crc;
        found.end = range.end + 1;
        let Some(next) = found.seq.checked_add(1) else { break };
        found.seq = next;
    }
    found
}

/// How far [`mend`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// Not at all.
    Nothing,
    /// Checksums only.
    Checksums,
    /// Links first, then checksums.
    Links,
}

/// Puts right, in place, the checksums (and links) of all lines that end as a frame does.
pub fn mend(bytes: &mut [u8], how: Mend) {
    if how == Mend::Nothing {
        return;
    }
    let ranges: Vec<_> = lines(bytes).map(|(range, _)| range).collect();
    let (mut seed, mut link) = (0, 0_u32);
    for (range, number) in ranges.into_iter().zip(0..) {
        let line = &mut bytes[range];
        let Some(covered) = line.len().checked_sub(TAIL_BYTES) else { continue };
        if !line[covered..].starts_with(LABEL) || !line.ends_with(b"\"}") {
            continue;
        }
        if how == Mend::Links
            && let Some(at) = line.windows(PREV_LABEL.len()).take(90).position(|window| window == PREV_LABEL)
            && let Some(digits) = line[..covered].get_mut(at + PREV_LABEL.len()..at + PREV_LABEL.len() + 8)
        {
            digits.copy_from_slice(format!("{link:08x}").as_bytes());
        }
        link = crc(seed, &line[..covered]);
        line[covered + LABEL.len()..covered + LABEL.len() + 8].copy_from_slice(format!("{link:08x}").as_bytes());
        if number == 0 {
            seed = link;
        }
    }
}
