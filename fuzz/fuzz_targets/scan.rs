//! Any bytes as a transcript: reading never panics, needs little memory, changes nothing, and all ways of reading agree.
//!
//! The first byte of the input says what the harness does to the rest: see [`Mode`].

#![no_main]

use libfuzzer_sys::fuzz_target;
use sesslog_fuzz::disk::Disk;
use sesslog_fuzz::forge::{self, Mend};
use sesslog_fuzz::{look, memory};

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// What a reader may need beside the file: a few windows, and copies of the items that are compared here.
const MEMORY_MAX: usize = 24 * 1024 * 1024;

/// How the file is made of an input.
struct Mode {
    /// A sound header stands before the rest; without it the rest has to bring its own.
    header: bool,
    mend: Mend,
    /// One 0xff byte stands for so many bytes that the line is checked in pieces, not held.
    long: bool,
}

impl From<u8> for Mode {
    fn from(byte: u8) -> Self {
        let mend = [Mend::Nothing, Mend::Checksums, Mend::Links, Mend::Links][usize::from(byte & 3)];
        Self { header: byte & 4 == 0, mend, long: byte & 0x78 == 0x78 }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    let mode = Mode::from(*mode);
    let mut bytes = Vec::new();
    if mode.header {
        forge::push_header(&mut bytes, forge::KEY);
    }
    match rest.iter().position(|byte| *byte == 0xff).filter(|_| mode.long) {
        Some(at) => {
            bytes.extend_from_slice(&rest[..at]);
            bytes.resize(bytes.len() + 1100 * 1024, b'x');
            bytes.extend_from_slice(&rest[at + 1..]);
        }
        None => bytes.extend_from_slice(rest),
    }
    forge::mend(&mut bytes, mode.mend);
    let disk = Disk::new();
    disk.put(forge::TRANSCRIPT, &bytes);
    let (_, peak) = memory::peak(|| look::everyway(&disk));
    assert!(peak < MEMORY_MAX, "{peak} bytes of memory for a file of {}", bytes.len());
});
