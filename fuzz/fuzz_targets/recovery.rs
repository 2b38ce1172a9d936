//! A sound store, changed by what the input says, is opened for writing, judged, opened again, repaired.
//!
//! Either an append is refused as damage and no byte changes, or it succeeds and everything is sound: then every record before
//! the place where the file was cut is there, what was cut is in quarantine, and nothing that was promised is among it. A repair
//! of what is damaged keeps every record that could be read. The first byte of the input chooses the store, the second what
//! is put right afterwards; the others are changes of three bytes and their arguments.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sesslog::{Error, FindingKind, NewRecord, Progress, RebuildOptions, Record, SessionKey, Store};
use sesslog_fuzz::disk::{Disk, REGISTRY};
use sesslog_fuzz::forge::{self, KEY, Mend};
use sesslog_fuzz::look;

/// A store before anything happened to it.
struct Base {
    transcript: Vec<u8>,
    /// What the registry promises; it has no row where it is `None`.
    witness: Option<u64>,
}

impl Base {
    /// Eight records in commits of one to four, with or without a seal, a long line, and a row that knows all or some of it.
    fn new(choice: u8) -> Self {
        let mut transcript = Vec::new();
        let seed = forge::push_header(&mut transcript, KEY);
        let (mut link, mut durable) = (seed, 0);
        let commit = u64::from(choice & 3) + 1;
        let last = 8;
        for seq in 1..=last {
            let body = match seq {
                3 if choice & 4 != 0 => format!("\"{}\"", "x".repeat(1300)),
                5 => r#"{"forged":{"seq":6,"durable":5,"prev":"00000000"},"crc":"00000000"}"#.to_owned(),
                _ => format!("{{\"n\":{seq}}}"),
            };
            link = forge::push(
                &mut transcript,
                seed,
                (seq, durable, link),
                "message",
                (seq == 2).then_some("\"i\""),
                &body,
            );
            if seq % commit == 0 {
                durable = seq;
            }
        }
        if choice & 8 != 0 {
            forge::push(&mut transcript, seed, (last + 1, last, link), "mark", None, r#"{"mark":"sealed"}"#);
        }
        let witness = match choice >> 4 & 3 {
            0 => None,
            1 => Some(last),
            _ => Some(commit),
        };
        Self { transcript, witness }
    }

    /// Where the record ends that a row knows to be durable.
    fn anchor(&self, witness: u64) -> usize {
        let number = usize::try_from(witness).expect("small") - 1;
        forge::prefix(&self.transcript).records[number].end + 1
    }

    /// Puts it on a disk, with the row that an honest writer would have left when `witness` was durable.
    fn disk(&self) -> Disk {
        let disk = Disk::new();
        if let Some(witness) = self.witness {
            disk.put(forge::TRANSCRIPT, &self.transcript[..self.anchor(witness)]);
            let options = RebuildOptions::new().jobs(1);
            disk.open().rebuild_index(options, &Progress::default()).expect("a disk in memory has no errors");
        }
        disk.put(forge::TRANSCRIPT, &self.transcript);
        disk
    }
}

/// Bytes of the input, zeros when they are used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    /// A place in something of `length` bytes: 0 to `length`.
    fn place(&mut self, length: usize) -> usize {
        let wide = usize::from(self.byte()) << 8 | usize::from(self.byte());
        wide % (length + 1)
    }
}

/// One change of the file.
fn change(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let kind = input.byte() % 14;
    let at = input.place(bytes.len());
    let lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let numbered = |number: u8| usize::from(number) % lines.len().max(1);
    match kind {
        0 => bytes.truncate(at),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (input.byte() & 7)),
        2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = input.byte()),
        3 | 4 => {
            // A sector that never reached the disk, or was blanked later.
            let (blank, start) = (if kind == 3 { 0 } else { b'\t' }, at / 512 * 512);
            bytes.iter_mut().skip(start).take(512).for_each(|byte| *byte = blank);
        }
        5 => bytes.iter_mut().skip(at).take(usize::from(input.byte())).for_each(|byte| *byte = 0),
        6 => bytes.resize(bytes.len() + usize::from(input.byte()) * 8, if at.is_multiple_of(2) { b'\t' } else { 0 }),
        7 => {
            let count = usize::from(input.byte() % 32);
            bytes.extend((0..count).map(|_| input.byte()));
        }
        8 => drop(bytes.splice(at..at, [input.byte()])),
        9 | 10 if !lines.is_empty() => {
            // A line stands twice, or somewhere else.
            let (from, to) = (numbered(input.byte()), numbered(input.byte()));
            let mut lines = lines.clone();
            let line = if kind == 9 { lines[from].clone() } else { lines.remove(from) };
            lines.insert(to.min(lines.len()), line);
            *bytes = lines.concat();
        }
        11 if !lines.is_empty() => {
            let mut lines = lines.clone();
            lines.remove(numbered(input.byte()));
            *bytes = lines.concat();
        }
        12 => drop(bytes.drain(at..(at + usize::from(input.byte())).min(bytes.len()))),
        13 => {
            let token: &[u8] = match input.byte() % 5 {
                0 => b"18446744073709551615",
                1 => b",\"id\":\"x\"",
                2 => b"\n",
                3 => br#"{"mark":"gap","from_seq":4,"to_seq":6}"#,
                _ => b"\"kind\":\"mark\"",
            };
            let end = (at + token.len()).min(bytes.len());
            bytes.splice(at..end, token.iter().copied());
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (base, mode) = (Base::new(input.byte()), input.byte());
    let disk = base.disk();
    let mut bytes = base.transcript.clone();
    while !input.0.is_empty() && bytes.len() < 1 << 16 {
        change(&mut bytes, &mut input);
    }
    // Forged lines have right checksums: then nothing is known of what was promised, but the rest holds.
    let how =
        if mode & 0xe0 == 0xe0 { if mode & 1 == 0 { Mend::Checksums } else { Mend::Links } } else { Mend::Nothing };
    forge::mend(&mut bytes, how);
    disk.put(forge::TRANSCRIPT, &bytes);
    let witness = base
        .witness
        .filter(|_| bytes.starts_with(&base.transcript[..forge::prefix(&base.transcript).records[0].start]));
    let seen = look::everyway(&disk);
    if seen.as_ref().is_some_and(|seen| seen.records().any(|record| record.seq() > u64::MAX - 8)) {
        // Only forged; what follows has no seq left, and an append says so.
        return;
    }

    let store = disk.open();
    let appended = store.session(KEY).expect("a key").append(NewRecord::json("\"new\"").expect("a body"));
    match appended {
        Ok(receipt) => {
            assert!(receipt.durable);
            close(&store);
            let seen = seen.expect("an append to what can not be read");
            if !seen.is_undamaged() {
                covered(&disk, &bytes, &seen, base.witness.map_or(0, |witness| base.anchor(witness)));
                return;
            }
            recovered(&disk, &bytes, &seen, witness.filter(|_| how == Mend::Nothing), &base);
        }
        Err(error) => {
            assert!(error.is_damage() || matches!(error, Error::UnsupportedFormat { .. }), "{error:?}");
            assert!(!seen.as_ref().is_some_and(look::Seen::is_undamaged), "{error:?} but nothing is wrong: {seen:?}");
            unchanged(&disk, &bytes);
            close(&store);
            unchanged(&disk, &bytes);
            disk.open().rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).expect("rebuilt");
            unchanged(&disk, &bytes);
            if let Some(seen) = seen {
                repaired(&disk, &bytes, &seen);
            }
        }
    }
});

fn close(store: &Store) {
    let closed = store.close().expect("closed");
    assert!(closed.failures.is_empty() && closed.registry.is_none(), "{closed:?}");
}

fn unchanged(disk: &Disk, bytes: &[u8]) {
    assert!(disk.get(forge::TRANSCRIPT).is_some_and(|now| now == bytes), "a refused append changed the transcript");
    assert!(disk.quarantine().is_empty(), "nothing was cut, and yet something is in quarantine");
}

/// An append reads only what the row does not cover: what is damaged before that is found by reading, and by `verify`.
fn covered(disk: &Disk, before: &[u8], seen: &look::Seen, anchor: usize) {
    let covered = |offset: u64| offset < u64::try_from(anchor).expect("small");
    // Damage makes the rest look wrong to whoever reads from the start.
    assert!(seen.gaps().next().is_some_and(|gap| covered(gap.offset)), "an append to a damaged file: {seen:?}");
    let after = disk.get(forge::TRANSCRIPT).expect("the transcript");
    assert!(after.starts_with(&before[..anchor]), "what the row covers was changed");
    let now = look::everyway(disk).expect("readable");
    assert!(now.gaps().next().is_some(), "damage vanished: {seen:?}");
    keeps(disk, seen.records());
    repaired(disk, &after, &now);
}

/// The append was taken: what is in the file, what was cut, and that it is so for good.
fn recovered(disk: &Disk, before: &[u8], seen: &look::Seen, witness: Option<u64>, base: &Base) {
    look::assert_sound(disk, "after an append");
    let after = disk.get(forge::TRANSCRIPT).expect("the transcript");
    let cut = usize::try_from(seen.tail.offset).expect("small");
    assert!(after.starts_with(&before[..cut]), "what was kept is not what was there");
    let rest = &before[cut..];
    if rest.iter().any(|byte| !matches!(byte, 0 | b'\t')) {
        assert!(disk.quarantine().iter().any(|kept| kept == rest), "what was cut is not in quarantine");
    }
    keeps(disk, seen.records());
    promised(before, rest, seen.records().last().map_or(0, Record::seq));
    if let Some(witness) = witness {
        // The row said that these were durable.
        for range in forge::prefix(&base.transcript).records.into_iter().take(usize::try_from(witness).expect("small"))
        {
            let line = &base.transcript[range];
            assert!(seen.records().any(|record| record.line().as_bytes() == line), "a promised record was cut");
        }
    }
    let registry = disk.get(REGISTRY);
    disk.open().rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).expect("rebuilt");
    assert!(disk.get(REGISTRY) == registry, "closing leaves another registry than a rebuild");
    again(disk);
}

/// A line behind the cut that claims that the record expected there was durable proves a promise.
fn promised(before: &[u8], rest: &[u8], last_seq: u64) {
    let Some(seed) = forge::prefix(before).seed else { return };
    for (range, terminated) in forge::lines(rest).skip(1) {
        let claim = forge::parse(&rest[range], seed).filter(|frame| terminated && frame.seq > last_seq + 1);
        assert!(claim.is_none_or(|frame| frame.durable <= last_seq), "a promised record was cut");
    }
}

/// Every one of `records` is there, whatever its link, claim and checksum are now.
fn keeps<'a>(disk: &Disk, records: impl Iterator<Item = &'a Record>) {
    let now = look::read(&disk.look()).expect("readable");
    let fields = |record: &Record| {
        (record.seq(), record.ts(), record.kind().to_owned(), record.id().map(str::to_owned), record.body().to_owned())
    };
    let kept: Vec<_> = now.records().map(fields).collect();
    for record in records {
        assert!(kept.contains(&fields(record)), "gone: {record:?}");
    }
}

/// Another append, in a new life: nothing is left to recover.
fn again(disk: &Disk) {
    let quarantine = disk.quarantine().len();
    let before = disk.get(forge::TRANSCRIPT).expect("the transcript");
    let store = disk.open();
    store.session(KEY).expect("a key").append(NewRecord::json("\"again\"").expect("a body")).expect("appended");
    close(&store);
    assert!(disk.get(forge::TRANSCRIPT).expect("the transcript").starts_with(&before), "recovered twice");
    assert_eq!(disk.quarantine().len(), quarantine, "recovered twice");
    look::assert_sound(disk, "after a second append");
}

/// Damage is repaired once, and is gone.
fn repaired(disk: &Disk, before: &[u8], seen: &look::Seen) {
    let key = SessionKey::new(KEY).expect("a key");
    let (store, files) = (disk.open(), disk.files());
    let plan = store.repair(&key, None, true).expect("a plan");
    assert!(disk.files() == files, "a dry run changed something");
    let done = store.repair(&key, None, false).expect("repaired");
    assert_eq!((plan.records_kept, &plan.lost, &plan.gaps), (done.records_kept, &done.lost, &done.gaps));
    assert!(
        disk.quarantine().iter().any(|kept| kept == before),
        "the original is not in quarantine: {done:?}\n{seen:?}"
    );
    keeps(disk, seen.records());
    let left = look::of_transcripts(look::verify(&disk.look(), true));
    assert!(left.iter().all(|finding| matches!(finding.kind, FindingKind::NotJson)), "after a repair: {left:?}");
    assert!(look::everyway(disk).is_some_and(|seen| seen.is_undamaged()), "damage is left");
    close(&store);
    again(disk);
}
