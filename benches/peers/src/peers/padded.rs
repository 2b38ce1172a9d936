//! A file for each session with room laid ahead: most appends change no metadata, which spares the file system's journal.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

use crate::body::Body;
use crate::peers::{Peer, sync_folder};

/// Laid ahead at a time.
const ROOM_BYTES: usize = 64 * 1024;

struct Padded {
    files: Vec<Mutex<Tail>>,
}

struct Tail {
    file: File,
    /// End of the content, and of the file.
    end: u64,
    length: u64,
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let open = |n| {
        let file = File::create(folder.join(format!("{n}.jsonl"))).expect("a file");
        file.sync_all().expect("a sync");
        Mutex::new(Tail { file, end: 0, length: 0 })
    };
    let files = (0..sessions).map(open).collect();
    sync_folder(folder);
    Box::new(Padded { files })
}

impl Peer for Padded {
    fn append(&self, session: usize, body: &'static Body) {
        let mut tail = self.files[session].lock().expect("nobody panicked");
        let end = tail.end + body.line.len() as u64;
        if end <= tail.length {
            tail.file.write_all_at(&body.line, tail.end).expect("a write");
        } else {
            let mut bytes = body.line.clone();
            bytes.resize(body.line.len() + ROOM_BYTES, b'\t');
            tail.file.write_all_at(&bytes, tail.end).expect("a write");
            tail.length = tail.end + bytes.len() as u64;
        }
        tail.file.sync_data().expect("a sync");
        tail.end = end;
    }
}
