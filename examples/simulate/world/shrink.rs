//! Making a program that breaks a promise as small as it gets.

use super::program::Program;
use super::run_program;

/// Runs at most.
const TRIES: usize = 3000;

/// Takes away whatever the broken promise does not need.
pub(super) fn shrink(program: &Program, crashes: u64) -> Program {
    // A smaller program meets its crashes in another order: it gets some more of them.
    let breaks = |program: &Program| run_program(program, crashes, false).is_err();
    let mut smallest = program.clone();
    let mut tries = 0;
    'smaller: loop {
        for candidate in candidates(&smallest) {
            tries += 1;
            if tries > TRIES {
                return smallest;
            }
            if breaks(&candidate) {
                smallest = candidate;
                continue 'smaller;
            }
        }
        return smallest;
    }
}

fn candidates(program: &Program) -> Vec<Program> {
    let mut all = Vec::new();
    for at in 0..program.lives.len() {
        if program.lives.len() > 1 {
            let mut smaller = program.clone();
            smaller.lives.remove(at);
            all.push(smaller);
        }
    }
    for (at, life) in program.lives.iter().enumerate() {
        for life in life.smaller() {
            let mut smaller = program.clone();
            smaller.lives[at] = life;
            all.push(smaller);
        }
    }
    all
}
