//! One line: the crate reads it as a record when, and only when, the oracle does, and would write the same bytes.
//!
//! The first byte of the input says whether the rest is a line, a line whose checksum is put right, or a body to append.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sesslog::{NewRecord, Record};
use sesslog_fuzz::disk::Disk;
use sesslog_fuzz::forge::{self, KEY, Mend};
use sesslog_fuzz::look;

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 8 {
        7 => append(rest),
        mode => line(rest, mode),
    }
});

/// A line behind a sound header.
fn line(rest: &[u8], mode: u8) {
    if rest.contains(&b'\n') {
        return;
    }
    let mut bytes = Vec::new();
    let seed = forge::push_header(&mut bytes, KEY);
    let start = bytes.len();
    bytes.extend_from_slice(rest);
    let terminated = mode & 4 == 0;
    if terminated {
        bytes.push(b'\n');
    }
    forge::mend(&mut bytes, [Mend::Nothing, Mend::Checksums, Mend::Links, Mend::Links][usize::from(mode & 3)]);
    let disk = Disk::new();
    disk.put(forge::TRANSCRIPT, &bytes);
    let seen = look::everyway(&disk).expect("its header is sound");
    let line = &bytes[start..start + rest.len()];
    // What is no text, or has an id that is none, has no form that could be given to a caller.
    let frame = forge::parse(line, seed).filter(|frame| {
        let is_id = |id: &str| serde_json::from_str::<String>(id).is_ok();
        std::str::from_utf8(line).is_ok() && frame.id_json.is_none_or(is_id)
    });
    let given: Vec<_> = seen.records().collect();
    match (frame, &given[..]) {
        (Some(frame), [record]) => same(&frame, record, line),
        // A record of the header's seq is none; one without a newline must be the next, and a whole object.
        (Some(frame), []) => assert!(frame.seq == 0 || !terminated, "not given: {frame:?}, {:?}", seen.items),
        (None, []) => {}
        (frame, records) => panic!("{frame:?} was read as {records:?}"),
    }
}

/// A record that is given is what the line holds, and would be written the same way.
fn same(frame: &forge::Frame<'_>, record: &Record, line: &[u8]) {
    assert_eq!(record.line().as_bytes(), line);
    assert_eq!((record.seq(), record.durable(), record.kind()), (frame.seq, frame.durable, frame.kind));
    assert_eq!((record.ts().as_str(), record.prev().to_string().as_str()), (frame.ts, frame.prev));
    assert_eq!((record.body().as_bytes(), record.crc().0), (frame.body, frame.crc));
    let id = frame.id_json.map(|id| serde_json::from_str::<String>(id).expect("checked before"));
    assert_eq!(record.id(), id.as_deref());
    let id_json = frame.id_json.map(|id| format!(",\"id\":{id}")).unwrap_or_default();
    let again = format!(
        "{{\"seq\":{},\"durable\":{},\"prev\":\"{}\",\"ts\":\"{}\",\"kind\":\"{}\"{id_json},\"body\":{},\"crc\":\"{}\"}}",
        record.seq(),
        record.durable(),
        record.prev(),
        record.ts(),
        record.kind(),
        record.body(),
        record.crc()
    );
    assert_eq!(again.as_bytes(), line, "another spelling");
}

/// A body, and in front of its first NUL an id: what is accepted comes back, byte for byte.
fn append(rest: &[u8]) {
    let (id, body) = match rest.iter().position(|byte| *byte == 0) {
        Some(at) => (std::str::from_utf8(&rest[..at]).ok(), &rest[at + 1..]),
        None => (None, rest),
    };
    let Ok(record) = NewRecord::json_bytes(body) else {
        let json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() && std::str::from_utf8(body).is_ok();
        // What serde_json takes is refused only when it is nested too deep.
        assert!(!json || body.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 128, "refused");
        return;
    };
    let record = match id.map(|id| record.clone().id(id)) {
        Some(Ok(with_id)) => with_id,
        _ => record,
    };
    let disk = Disk::new();
    let store = disk.open();
    store.session(KEY).expect("a key").append(record.clone()).expect("appended");
    assert!(store.close().expect("closed").failures.is_empty());
    look::assert_sound(&disk, "after an append");
    let seen = look::everyway(&disk).expect("ours");
    let given: Vec<_> = seen.records().collect();
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].body(), record.body());
    assert_eq!(given[0].id().is_some(), id.is_some_and(|id| (1..=128).contains(&id.len())));
    let line = given[0].line();
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok(), "{line}");
    assert!(!line.bytes().any(|byte| byte < 0x20), "a control character in a line");
    let bytes = disk.get(forge::TRANSCRIPT).expect("the transcript");
    let lines: Vec<_> = forge::lines(&bytes).map(|(range, _)| &bytes[range]).collect();
    let seed = forge::parse(lines[0], 0).expect("the oracle reads a header of the crate").crc;
    let frame = forge::parse(lines[1], seed).expect("the oracle reads a record of the crate");
    same(&frame, given[0], lines[1]);
}
