//! Each append writes the session's whole file again, as gateways do that keep a session as one value.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::body::{Body, body};
use crate::peers::{Peer, sync_folder};

/// Records of a session that are kept: gateways bound the history, or nothing else would be written any more.
const HISTORY: usize = 200;

struct Rewrite {
    sessions: Vec<Mutex<Session>>,
}

struct Session {
    path: PathBuf,
    temp: PathBuf,
    lines: VecDeque<&'static [u8]>,
}

impl Session {
    fn save(&self) {
        let text: Vec<u8> = self.lines.iter().copied().flatten().copied().collect();
        let mut file = File::create(&self.temp).expect("a file");
        file.write_all(&text).expect("a write");
        file.sync_all().expect("a sync");
        // Without a sync of the folder, which those gateways leave out, too.
        std::fs::rename(&self.temp, &self.path).expect("a rename");
    }
}

pub(crate) fn open(folder: &Path, sessions: usize) -> Box<dyn Peer> {
    let open = |n| {
        let lines = (0..HISTORY).map(|n| body(n).line.as_slice()).collect();
        let (path, temp) = (folder.join(format!("{n}.jsonl")), folder.join(format!("{n}.tmp")));
        Mutex::new(Session { path, temp, lines })
    };
    let sessions = (0..sessions).map(open).collect();
    sync_folder(folder);
    Box::new(Rewrite { sessions })
}

impl Peer for Rewrite {
    fn append(&self, session: usize, body: &'static Body) {
        let mut session = self.sessions[session].lock().expect("nobody panicked");
        session.lines.pop_front();
        session.lines.push_back(&body.line);
        session.save();
    }
}
