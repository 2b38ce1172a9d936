//! What happens in a world, as data: made from a seed, printed, and made smaller when it breaks a promise.

use std::fmt;

use sesslog::sim::{Chance, SimFault, SimOp};
use sesslog::{Durability, Outcome};

use super::forget::Forget;
use super::turns::Change;
use super::{KEYS, UNPADDED};

pub const OPS: [SimOp; 11] = [
    SimOp::Open,
    SimOp::Create,
    SimOp::Read,
    SimOp::Write,
    SimOp::SetLen,
    SimOp::Sync,
    SimOp::SyncDir,
    SimOp::Rename,
    SimOp::HardLink,
    SimOp::Remove,
    SimOp::ReadDir,
];
pub const FAULTS: [SimFault; 5] =
    [SimFault::Eio, SimFault::EioDrop, SimFault::Enospc, SimFault::Edquot, SimFault::Eintr];

/// Some lives, each ended by a crash.
#[derive(Debug, Clone)]
pub struct Program {
    pub lives: Vec<Life>,
}

/// What happens until the power goes.
#[derive(Debug, Clone)]
pub struct Life {
    /// Of each process the number of sessions that it holds open at most.
    pub writers_max: Vec<usize>,
    /// After how many commits transcripts are padded ahead, and by how many bytes at most.
    pub padding: (u32, u64),
    /// From which size of the registry on there is a log beside it.
    pub log_from: u64,
    /// The power goes after so many operations of the disk, wherever the program is.
    pub power: Option<u64>,
    /// Operations that fail: which of its kind, 0 for every one.
    pub faults: Vec<(SimOp, u64, SimFault)>,
    pub steps: Vec<Step>,
    /// The processes die at the end, without a word.
    pub dies: bool,
    /// Only the processes end, at the latest where the power would have gone: the next life finds the page cache.
    pub power_stays: bool,
    /// Decides what the crashes leave and what is done with it.
    pub seed: u64,
}

/// What one process does with one session.
#[derive(Debug, Clone)]
pub struct Step {
    pub process: usize,
    pub key: usize,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Append {
        bodies: Vec<Body>,
        durability: Durability,
    },
    Flush,
    Release,
    Reopen,
    /// Flush everything and save the registry.
    FlushStore,
    Rebuild,
    /// A reader beside the writers verifies.
    Look,
    /// The process reads what it wrote.
    Read,
    /// Of a session that is sound.
    Repair,
    /// Close the store and open it again.
    Close,
    Clock {
        by_ms: i64,
    },
    Change(Change),
    /// Append the last batch that had ids once more.
    Retry,
    /// Take records out of the view.
    Undo(u64),
    /// Sum up all but so many of the last lines.
    Compact(u64),
    Forget(Forget),
}

/// The shape of a record's body.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// So many letters.
    Letters(usize),
    /// A forgery: the session's last line, a whole sound frame, inside the body and ended by a sector's end.
    Echo,
    /// A forgery: the text of a frame's end, with the checksum that is right there, ended by a sector's end.
    Forged,
}

impl Program {
    pub fn from_seed(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let lives = 1 + chance.below(3);
        Self { lives: (0..lives).map(|_| Life::random(&mut chance)).collect() }
    }
}

impl Life {
    fn random(chance: &mut Chance) -> Self {
        // Most of what processes can be killed in the middle of is the making of sessions.
        let power_stays = chance.one_in(2);
        let power = (!chance.one_in(4)).then(|| chance.below(if power_stays { 60 } else { 120 }));
        let mut faults = Vec::new();
        if chance.one_in(3) {
            faults.push(fault(chance));
            if chance.one_in(2) {
                faults.push(fault(chance));
            }
        }
        let processes = 1 + chance.below(2);
        let writers_max = (0..processes).map(|_| 1 + size(chance.below(3))).collect();
        let padding = pick(chance, &[UNPADDED, UNPADDED, (0, 700), (0, 5000), (2, 1500), (1, 40_000)]);
        let log_from = pick(chance, &[u64::MAX, 0, 0, 1000]);
        let mut steps: Vec<_> = (0..chance.below(14)).map(|_| Step::random(chance, processes)).collect();
        if chance.one_in(3) {
            // What the life left in doubt must be in no row, when the crash then shows what was on the disk.
            steps.push(Step { process: size(chance.below(processes)), key: 0, what: What::Rebuild });
        }
        Self {
            writers_max,
            padding,
            log_from,
            power,
            faults,
            steps,
            dies: chance.one_in(2),
            power_stays,
            seed: chance.next_u64(),
        }
    }

    /// One change smaller, in as many ways as there are.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut life = self.clone();
            change(&mut life);
            all.push(life);
        };
        if self.steps.len() > 2 {
            add(&|life| drop(life.steps.drain(..life.steps.len() / 2)));
            add(&|life| life.steps.truncate(life.steps.len() / 2));
        }
        for at in 0..self.steps.len() {
            add(&|life| {
                life.steps.remove(at);
            });
        }
        for at in 0..self.faults.len() {
            add(&|life| {
                life.faults.remove(at);
            });
        }
        if self.writers_max.len() > 1 {
            add(&|life| life.writers_max.truncate(1));
        }
        if self.writers_max.iter().any(|max| *max < KEYS.len()) {
            add(&|life| life.writers_max.iter_mut().for_each(|max| *max = KEYS.len()));
        }
        if self.padding != UNPADDED {
            add(&|life| life.padding = UNPADDED);
        }
        if self.log_from != u64::MAX {
            add(&|life| life.log_from = u64::MAX);
        }
        if self.power_stays {
            add(&|life| life.power_stays = false);
        }
        if self.power.is_some() {
            add(&|life| life.power = None);
        }
        for (at, step) in self.steps.iter().enumerate() {
            let What::Append { bodies, .. } = &step.what else { continue };
            if bodies.len() > 1 {
                add(&|life| {
                    if let What::Append { bodies, .. } = &mut life.steps[at].what {
                        bodies.pop();
                    }
                });
            }
            if bodies.iter().any(|body| !matches!(body, Body::Letters(20))) {
                add(&|life| {
                    if let What::Append { bodies, .. } = &mut life.steps[at].what {
                        bodies.fill(Body::Letters(20));
                    }
                });
            }
        }
        all
    }
}

/// A fault: often one of the commit path, of the rare operations one that is met.
pub fn fault(chance: &mut Chance) -> (SimOp, u64, SimFault) {
    let op = match chance.below(6) {
        0 => SimOp::Sync,
        1 => SimOp::Write,
        _ => pick(chance, &OPS),
    };
    let rare = matches!(op, SimOp::SetLen | SimOp::HardLink | SimOp::Rename | SimOp::Remove | SimOp::SyncDir);
    let number = if chance.one_in(12) { 0 } else { 1 + chance.below(if rare { 3 } else { 12 }) };
    (op, number, pick(chance, &FAULTS))
}

impl Step {
    fn random(chance: &mut Chance, processes: u64) -> Self {
        let (process, key) = (size(chance.below(processes)), size(chance.below(KEYS.len() as u64)));
        let what = match chance.below(42) {
            0..=12 => {
                let count = if chance.one_in(2) { 1 } else { 1 + chance.below(5) };
                let durability = if chance.one_in(3) { Durability::Buffered } else { Durability::Sync };
                What::Append { bodies: (0..count).map(|_| Body::random(chance)).collect(), durability }
            }
            13 | 14 => What::Flush,
            15 | 16 => What::Release,
            17 => What::Reopen,
            18 => What::FlushStore,
            19 => What::Rebuild,
            20 => What::Look,
            21 => pick(chance, &[What::Read, What::Read, What::Repair]),
            22 => What::Clock { by_ms: if chance.one_in(2) { -86_400_000 } else { 3_600_000 } },
            23..=32 => What::Change(Change::random(chance)),
            33..=35 => What::Retry,
            36 => What::Undo(1 + chance.below(4)),
            37 => What::Compact(chance.below(6)),
            38..=40 => What::Forget(Forget::random(chance)),
            _ => What::Close,
        };
        Self { process, key, what }
    }
}

impl Change {
    fn random(chance: &mut Chance) -> Self {
        let outcomes = [
            Outcome::Success,
            Outcome::Success,
            Outcome::Failed,
            Outcome::Partial,
            Outcome::Interrupted,
            Outcome::Error,
        ];
        let bodies = |chance: &mut Chance| (0..chance.below(3)).map(|_| Body::random(chance)).collect();
        match chance.below(16) {
            0..=4 => Self::Begin(bodies(chance)),
            5..=7 => Self::Finish(pick(chance, &outcomes), bodies(chance)),
            8 => Self::Abandon,
            9 | 10 => Self::Pending,
            11 => Self::Clear,
            12 => pick(chance, &[Self::Suspend, Self::Lift, Self::Lift]),
            13 => Self::Attempt,
            14 => Self::Reset,
            _ => Self::Drain,
        }
    }
}

impl Forget {
    fn random(chance: &mut Chance) -> Self {
        let purge = chance.one_in(3);
        match chance.below(6) {
            0 | 1 => Self::Delete { purge },
            2 | 3 => Self::Restore,
            4 => Self::Prune { keep: size(chance.below(3)), purge },
            _ => Self::Fork,
        }
    }
}

impl Body {
    pub fn random(chance: &mut Chance) -> Self {
        match chance.below(7) {
            0 => Self::Letters(size(chance.below(2000))),
            1 => Self::Letters(size(chance.below(600))),
            // Often of one length, so that what was taken back and what follows it can line up.
            2 | 3 => Self::Letters(20),
            4 => pick(chance, &[Self::Echo, Self::Forged]),
            _ => Self::Letters(size(chance.below(60))),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, life) in self.lives.iter().enumerate() {
            writeln!(
                f,
                "life {number}: open sessions at most {:?}, padding {:?}, log from {}, faults {:?}, power {:?}, {} at the end",
                life.writers_max,
                life.padding,
                life.log_from,
                life.faults,
                life.power,
                match (life.power_stays, life.dies) {
                    (true, _) => "killed without a crash",
                    (false, true) => "killed",
                    (false, false) => "dropped",
                }
            )?;
            for step in &life.steps {
                writeln!(f, "  process {} {:?} {:?}", step.process, KEYS[step.key], step.what)?;
            }
        }
        Ok(())
    }
}

pub fn pick<T: Clone>(chance: &mut Chance, all: &[T]) -> T {
    all[size(chance.below(all.len() as u64))].clone()
}

pub fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
