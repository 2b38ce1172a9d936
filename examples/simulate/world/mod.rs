//! Programs on a simulated disk, crashed and judged by a model that knows only what was submitted and acknowledged.
//!
//! `program` says what happens, made from a seed; `live` lets it happen; `judge` opens what several crashes of the same moment
//! left, compares, goes on, crashes again in the middle of recovery; `rot` breaks the disk's word and repairs; `model` is the
//! memory that all of it is held against. `exhaustive` goes through every small program instead, and every crash of it.

pub mod exhaustive;
pub mod forget;
mod judge;
mod live;
mod model;
pub mod program;
mod rot;
mod shrink;
pub mod turns;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sesslog::sim::{Chance, SimFault, SimFs, SimOp};
use sesslog::{NewRecord, Options};

use forget::Fork;
use model::Model;
use program::Program;

pub const KEYS: [&str; 3] = ["telegram:1", "A", "a"];
const STORE: &str = "/store";
const UNPADDED: (u32, u64) = (0, 0);
/// For each crash that is recovered, so many are only looked at: by a reader, by verify, against what was promised.
const LOOKS: u64 = 3;

/// What a run came to.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Crashes judged.
    pub crashes: u64,
    /// Hashes of what they left.
    pub states: HashSet<u64>,
    /// Faults met, by operation and kind.
    pub faults: BTreeMap<(SimOp, SimFault), u64>,
    /// Acknowledged records looked for.
    pub acked: u64,
    /// Torn tails that recovery cut.
    pub torn: u64,
    /// Times that the disk broke its word, and a repair mended it.
    pub rotten: u64,
    pub repaired: u64,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.acked += other.acked;
        self.torn += other.torn;
        self.rotten += other.rotten;
        self.repaired += other.repaired;
        self.states.extend(other.states);
        for (pair, count) in other.faults {
            *self.faults.entry(pair).or_default() += count;
        }
    }

    fn meet(&mut self, fs: &SimFs) {
        for pair in fs.take_met() {
            *self.faults.entry(pair).or_default() += 1;
        }
    }
}

/// A disk with what was promised about it.
#[derive(Debug, Clone)]
struct World {
    fs: SimFs,
    models: Vec<Model>,
    forks: Vec<Fork>,
    /// Of each session the last batch that had ids, to be tried again.
    last: Vec<Vec<(String, NewRecord)>>,
    next_body: u64,
    /// When and how far transcripts are padded ahead.
    padding: (u32, u64),
    /// From which size of the registry on there is a log beside it.
    log_from: u64,
    /// What happened, in words, if anyone wants to know.
    story: Option<Vec<String>>,
}

impl World {
    fn new() -> Self {
        let (models, last) = (vec![Model::default(); KEYS.len()], vec![Vec::new(); KEYS.len()]);
        Self {
            fs: SimFs::new(),
            models,
            forks: Vec::new(),
            last,
            next_body: 0,
            padding: UNPADDED,
            log_from: u64::MAX,
            story: None,
        }
    }

    fn options(&self) -> Options {
        // Nothing happens by the clock: what runs is what the program says.
        let never = Duration::MAX;
        let (after_commits, bytes_max) = self.padding;
        let options = Options::new().file_system(Arc::new(self.fs.clone())).idle_release(never);
        options.registry_save_delay(never).padding(after_commits, bytes_max).registry_log_from(self.log_from)
    }

    /// The same on a disk of its own.
    fn fork(&self) -> Self {
        Self { fs: self.fs.fork(), ..self.clone() }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.extend(self.fs.take_told().into_iter().map(|operation| format!("      {operation}")));
            story.push(line());
        }
    }
}

/// Runs the world of a seed, `crashes` crashes a moment. The error is, with `shrink`, the smallest program found that breaks a
/// promise, and its story.
pub fn run(seed: u64, crashes: u64, shrink: bool) -> Result<Tally, String> {
    let program = Program::from_seed(seed);
    run_program(&program, crashes, false).map_err(|broken| {
        let smallest = if shrink { shrink::shrink(&program, crashes) } else { program.clone() };
        let story = run_program(&smallest, crashes, true).err().unwrap_or_else(|| "not seen again".to_owned());
        format!("seed {seed}: {broken}\nmade smaller:\n{smallest}{story}")
    })
}

fn run_program(program: &Program, crashes: u64, tell: bool) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut world = World::new();
    if tell {
        world.fs.tell();
        world.story = Some(Vec::new());
    }
    for (number, life) in program.lives.iter().enumerate() {
        world.tell(|| format!("life {number}"));
        let story = |world: &World, broken: String| {
            let story = world.story.as_ref().map(|story| format!("{}\n", story.join("\n"))).unwrap_or_default();
            format!("{story}in life {number}: {broken}")
        };
        world.live(life, &mut tally).map_err(|broken| story(&world, broken))?;
        if life.power_stays && number + 1 < program.lives.len() {
            world.tell(|| "the processes are gone".to_owned());
            world.fs.kill();
            world.models.iter_mut().for_each(|model| model.failed = true);
            continue;
        }
        let mut survivor = None;
        for crash in 0..crashes {
            let mut chance = Chance::new(life.seed.wrapping_add(crash));
            let mut crashed = world.fork();
            crashed.tell(|| format!("crash {crash}"));
            crashed.fs.crash(&mut chance);
            tally.crashes += 1;
            tally.states.insert(crashed.fs.hash());
            crashed.judge(&mut chance, &mut tally).map_err(|broken| story(&crashed, broken))?;
            survivor = Some(crashed);
            for look in 0..LOOKS {
                let mut chance = Chance::new(life.seed.wrapping_add(crash).wrapping_mul(LOOKS).wrapping_add(look));
                let mut crashed = world.fork();
                crashed.tell(|| format!("crash {crash}, look {look}"));
                crashed.fs.crash(&mut chance);
                tally.crashes += 1;
                if tally.states.insert(crashed.fs.hash()) {
                    crashed.look().map_err(|broken| story(&crashed, broken))?;
                }
            }
        }
        world = survivor.unwrap_or(world);
    }
    Ok(tally)
}
