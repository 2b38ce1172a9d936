//! `sessctl tail`

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sesslog::{Defect, Item, ReadOptions, Session, SessionKey};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::{locate, start_of_last};
use crate::outcome::{Failure, Outcome};
use crate::render::{Origin, Output, Printed};

const POLL: Duration = Duration::from_millis(100);

/// Waits, and says whether standard output is a pipe that its reader has closed meanwhile.
fn is_closed_after(wait: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = std::io::stdout();
    // Asking for nothing still tells of an end.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    let is_over = poll(&mut watched, Some(&wait)).is_ok_and(|count| count > 0);
    is_over && watched.iter().any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Print the last records of a session, and follow it
///
/// Prints bodies as JSON lines. With --follow it goes on with each record that is appended, also in the next generation after a
/// reset and in the new file after a repair, until it is interrupted. It may show records that are not durable yet.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Number of records to begin with
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    count: usize,
    /// Wait for more records and print them
    #[arg(short, long)]
    follow: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Printed::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Printed) -> Result<Outcome, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    if args.follow {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Failure::Signals)?;
        }
    }
    let session = global.open_read_only()?.session(args.key.as_str())?;
    let (generation, path) = locate(&session, None)?;
    let mut follower = Follower {
        next_seq: start_of_last(&session, Some(generation), args.count)?,
        look: Look::at(&path)?,
        session,
        generation,
        gaps: HashSet::new(),
        outcome: Outcome::Done,
    };
    follower.read_on(output, summary)?;
    // Two records within one tick of the file system's clock may look like one change: every change is read for twice.
    let mut read_again = true;
    while args.follow && !stop.load(Ordering::Relaxed) {
        output.flush()?;
        if is_closed_after(POLL) {
            // Nobody reads what would come.
            break;
        }
        let (newest, path) = locate(&follower.session, None)?;
        if newest > follower.generation {
            follower.finish_generation(newest, output, summary)?;
            read_again = true;
            continue;
        }
        let look = Look::at(&path)?;
        let changed = look != follower.look;
        if changed || read_again {
            if look.identity != follower.look.identity {
                // A repaired transcript: the same records in another file, whose gaps are marks.
                follower.gaps.clear();
            }
            follower.look = look;
            follower.read_on(output, summary)?;
        }
        read_again = changed;
    }
    Ok(follower.outcome)
}

/// How far a session was printed.
#[derive(Debug)]
struct Follower {
    session: Session,
    generation: u64,
    next_seq: u64,
    /// The transcript before it was last read.
    look: Look,
    /// Damage that was printed: a read that begins behind it may meet it again.
    gaps: HashSet<(u64, Defect)>,
    outcome: Outcome,
}

/// What changes whenever a transcript does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    identity: (u64, u64),
    length_bytes: u64,
    modified: (i64, i64),
}

impl Look {
    fn at(path: &Path) -> Result<Self, Failure> {
        let metadata =
            std::fs::symlink_metadata(path).map_err(|source| Failure::Look { path: path.to_owned(), source })?;
        Ok(Self {
            identity: (metadata.dev(), metadata.ino()),
            length_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl Follower {
    /// Prints what was appended to the generation since the last read.
    fn read_on(&mut self, output: &mut Output, summary: &mut Printed) -> Result<(), Failure> {
        let key = self.session.key().clone();
        let origin = Origin { key: &key, generation: self.generation };
        let options = ReadOptions::new().generation(self.generation).from_seq(self.next_seq);
        for item in self.session.read(&options)? {
            let item = item?;
            let is_wanted = match &item {
                Item::Record(record) => {
                    self.next_seq = record.seq().saturating_add(1);
                    !record.is_mark()
                }
                Item::Gap(gap) => self.gaps.insert((gap.offset, gap.defect)),
                _ => false,
            };
            if is_wanted {
                self.outcome.worsen(summary.item(origin, &item, false, output)?);
            }
        }
        Ok(())
    }

    /// Prints the rest of this generation, which is closed since a newer one exists, and of those up to the newest.
    fn finish_generation(&mut self, newest: u64, output: &mut Output, summary: &mut Printed) -> Result<(), Failure> {
        self.read_on(output, summary)?;
        while self.generation < newest {
            self.generation = self.generation.saturating_add(1);
            self.next_seq = 0;
            self.gaps.clear();
            self.look = Look::at(&self.session.path(Some(self.generation))?)?;
            self.read_on(output, summary)?;
        }
        Ok(())
    }
}
