//! Every small program, every moment of its last step, everything that a crash then may leave; and of the smallest programs
//! the same again for every moment of the recovery.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sesslog::sim::{Chance, SimFs};
use sesslog::{Durability, Outcome, Store};

use super::forget::Forget;
use super::model::Model;
use super::program::{Body, Step, What};
use super::turns::{Change, Turns};
use super::{STORE, Tally, UNPADDED, World};

const SESSIONS: usize = 2;
/// Each program runs as a small store's quiet sessions are, and with a log beside the registry and padding that is laid by every
/// commit that has none left, over a sector's end.
const WAYS: [((u32, u64), u64); 2] = [(UNPADDED, u64::MAX), ((0, 700), 0)];

/// What a program is made of: two sessions, two processes.
fn alphabet() -> Vec<Step> {
    let append = |process, key, bodies: &[usize], durability| {
        let bodies = bodies.iter().map(|length| Body::Letters(*length)).collect();
        Step { process, key, what: What::Append { bodies, durability } }
    };
    let on_first = |what| Step { process: 0, key: 0, what };
    vec![
        append(0, 0, &[20], Durability::Sync),
        // Over a sector's end.
        append(0, 0, &[600], Durability::Buffered),
        append(0, 0, &[300, 20], Durability::Sync),
        append(0, 1, &[20], Durability::Sync),
        append(1, 0, &[20], Durability::Sync),
        on_first(What::Flush),
        on_first(What::Release),
        on_first(What::FlushStore),
        on_first(What::Close),
        on_first(What::Rebuild),
        on_first(What::Change(Change::Begin(vec![Body::Letters(20)]))),
        on_first(What::Change(Change::Finish(Outcome::Success, vec![Body::Letters(20)]))),
        on_first(What::Change(Change::Pending)),
        on_first(What::Change(Change::Reset)),
        on_first(What::Retry),
        on_first(What::Undo(1)),
        on_first(What::Forget(Forget::Delete { purge: false })),
        on_first(What::Forget(Forget::Restore)),
        on_first(What::Forget(Forget::Fork)),
    ]
}

/// Goes through all programs of up to `steps` steps, and through the crashes of the recovery of those of up to
/// `recovery_steps`.
pub fn run(steps: u32, recovery_steps: u32, jobs: usize) -> Result<Tally, String> {
    let alphabet = alphabet();
    let base = alphabet.len();
    let programs: Vec<Vec<usize>> = (1..=steps)
        .flat_map(|length| (0..base.pow(length)).map(move |number| (length, number)))
        .map(|(length, number)| (0..length).map(|at| number / base.pow(at) % base).collect())
        .collect();
    let all = Search { alphabet, recovery_steps, judged: Mutex::default(), tally: Mutex::default() };
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for way in WAYS {
                        if let Err(story) = all.program(program, way) {
                            broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(story);
                        }
                    }
                    if broken.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                        return;
                    }
                }
            });
        }
    });
    match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(story) => Err(story),
        None => Ok(all.tally.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

struct Search {
    alphabet: Vec<Step>,
    recovery_steps: u32,
    /// Image and model together: what was judged once is not judged again.
    judged: Mutex<HashSet<u64>>,
    tally: Mutex<Tally>,
}

impl Search {
    fn program(&self, program: &[usize], (padding, log_from): ((u32, u64), u64)) -> Result<(), String> {
        let steps: Vec<_> = program.iter().map(|at| self.alphabet[*at].clone()).collect();
        let story = |broken: String| {
            let lines: Vec<_> = steps
                .iter()
                .map(|step| format!("  process {} key {} {:?}", step.process, step.key, step.what))
                .collect();
            format!("padding {padding:?}\n{}\n{broken}", lines.join("\n"))
        };
        let mut world = World { models: vec![Model::default(); SESSIONS], padding, log_from, ..World::new() };
        let mut stores: [Option<Store>; 2] = [world.options().open(STORE).ok(), None];
        let Some((last, first)) = steps.split_last() else { return Ok(()) };
        let mut turns = Turns::new();
        let mut run = |world: &mut World, step: &Step| {
            let store = &mut stores[step.process];
            if store.is_none() {
                *store = world.options().open(STORE).ok();
            }
            world.step(store, &mut turns, step)
        };
        for step in first {
            run(&mut world, step).map_err(story)?;
        }
        // Crashes of the steps before are those of the shorter programs.
        let before = world.fork();
        world.fs.record();
        run(&mut world, last).map_err(story)?;
        // A log has many moments of its own, all of them in a recovery, too.
        let recovery_steps = if log_from == 0 { self.recovery_steps.min(1) } else { self.recovery_steps };
        let recover = u32::try_from(steps.len()).unwrap_or(u32::MAX) <= recovery_steps;
        for moment in moments(&world, &before) {
            self.crashes(&moment, recover).map_err(story)?;
        }
        Ok(())
    }

    /// Everything that a crash at this moment may leave.
    fn crashes(&self, moment: &World, recover: bool) -> Result<(), String> {
        let mut chance = Chance::every();
        loop {
            let mut crashed = moment.fork();
            crashed.fs.crash_any(&mut chance, is_spared);
            if self.is_new(&crashed) {
                let mut tally = Tally { crashes: 1, ..Tally::default() };
                tally.states.insert(crashed.fs.hash());
                crashed.look()?;
                if recover {
                    self.recovery(&crashed)?;
                }
                crashed.go_on(false, &mut tally)?;
                self.tally.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
            }
            if !chance.next_path() {
                return Ok(());
            }
        }
    }

    /// Every moment of the recovery of what a crash left.
    fn recovery(&self, crashed: &World) -> Result<(), String> {
        let mut world = crashed.fork();
        let before = world.fork();
        world.fs.record();
        world.go_on(false, &mut Tally::default())?;
        for moment in moments(&world, &before) {
            self.crashes(&moment, false)?;
        }
        Ok(())
    }

    fn is_new(&self, world: &World) -> bool {
        let mut hasher = DefaultHasher::new();
        (world.fs.hash(), &world.models, &world.forks).hash(&mut hasher);
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).insert(hasher.finish())
    }
}

/// What is left of a lock says nothing, and a log proves nothing once the machine was started anew; the random programs lose both
/// in every way.
fn is_spared(path: &Path) -> bool {
    // The temp file that becomes the log, too.
    path.starts_with(Path::new(STORE).join("locks")) || path.to_string_lossy().contains("registry.changes.jsonl")
}

/// The disk before every operation since the recording began, with what was promised then; and as it is now.
fn moments(world: &World, before: &World) -> Vec<World> {
    let mut unfinished = World { fs: SimFs::new(), ..world.clone() };
    for fork in unfinished.forks.iter_mut().skip(before.forks.len()) {
        fork.leave_open();
    }
    for (model, before) in unfinished.models.iter_mut().zip(&before.models) {
        if model.deletions != before.deletions {
            // To the trash, back from it, or for good.
            *model = before.clone();
            model.leave_open(true);
            continue;
        }
        model.marks.clone_from(&before.marks);
        if model.generation != before.generation {
            *model = Model { reset_in_doubt: true, ..before.clone() };
            continue;
        }
        model.status.extend(before.status.iter().cloned());
        for (at, submitted) in model.submitted.iter_mut().enumerate() {
            let known = before.submitted.get(at);
            submitted.promised = known.is_some_and(|known| known.promised);
            submitted.seq = known.and_then(|known| known.seq);
        }
    }
    let mut all: Vec<_> = world.fs.take_recorded().into_iter().map(|fs| World { fs, ..unfinished.clone() }).collect();
    all.push(world.clone());
    all
}
