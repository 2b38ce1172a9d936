//! A file for each session, written to by hand.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use crate::body::Body;
use crate::peers::{Peer, sync_folder};

struct Plain {
    files: Vec<Mutex<File>>,
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let open = |n| {
        let file = File::create(folder.join(format!("{n}.jsonl"))).expect("a file");
        file.sync_all().expect("a sync");
        Mutex::new(file)
    };
    let files = (0..sessions).map(open).collect();
    sync_folder(folder);
    Box::new(Plain { files })
}

impl Peer for Plain {
    fn append(&self, session: usize, body: &'static Body) {
        let mut file = self.files[session].lock().expect("nobody panicked");
        file.write_all(&body.line).expect("a write");
        file.sync_data().expect("a sync");
    }
}
