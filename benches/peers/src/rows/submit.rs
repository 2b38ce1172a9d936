//! One thread that has several records on their way, as an async gateway has, beside one that waits for each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use sesslog::{NewRecord, Options, Pending};

use crate::bench::{Bench, Scratch, settle};
use crate::body::body;
use crate::peers;
use crate::peers::sqlite_group::{SqliteGroup, Ticket};
use crate::report::{Table, figure, percent, seconds, times};
use crate::slices::Length;
use crate::stats::{Latencies, Spread};

/// Sessions that the thread serves where it serves several.
const SESSIONS: usize = 64;
const OUTSTANDING: [usize; 3] = [1, 16, 128];

/// One way to append.
struct Flow<'a> {
    name: String,
    /// Records on their way at most.
    outstanding: usize,
    submit: Box<dyn Fn(usize) -> Submitted + 'a>,
}

/// A record on its way.
enum Submitted {
    /// There already: who submitted it waited.
    Arrived,
    Ticket(Arc<Ticket>),
    Ours(Pending),
}

impl Submitted {
    fn wait(self) {
        match self {
            Self::Arrived => {}
            Self::Ticket(ticket) => ticket.wait(),
            Self::Ours(pending) => assert!(pending.wait().expect("an append").iter().all(|receipt| receipt.durable)),
        }
    }
}

pub(crate) fn run(bench: &mut Bench) {
    let scratch = Scratch::new(bench.folder.join("submit"));
    let folder = |name: &str| {
        let folder = scratch.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        folder
    };
    let by_name = |name: &str| peers::ALL.iter().find(|entry| entry.name == name).expect("a peer of that name").open;
    let blocking = [peers::SESSLOG, peers::PLAIN, peers::SQLITE].map(|name| (name, by_name(name)(&folder(name), 1)));
    let store = Options::new().open(folder("submitted")).expect("a store");
    let sessions: Vec<_> = (0..SESSIONS).map(|n| store.session(format!("session {n}")).expect("a session")).collect();
    for session in &sessions {
        session.append(NewRecord::json(&body(0).json).expect("a record")).expect("an append");
    }
    let group = SqliteGroup::open(&folder("group"), SESSIONS);

    let mut flows = Vec::new();
    for (name, peer) in &blocking {
        let submit = |n| {
            peer.append(0, body(n));
            Submitted::Arrived
        };
        flows.push(Flow { name: format!("{name}, waits for each"), outstanding: 1, submit: Box::new(submit) });
    }
    for (of, what) in [(1, "1 session"), (SESSIONS, "64 sessions")] {
        for outstanding in OUTSTANDING {
            let sessions = &sessions;
            let append = move |n: usize| sessions[n % of].submit(NewRecord::json(&body(n).json).expect("a record"));
            flows.push(Flow {
                name: format!("sesslog submit, {what}, {outstanding} on their way"),
                outstanding,
                submit: Box::new(move |n| Submitted::Ours(append(n))),
            });
            let group = &group;
            flows.push(Flow {
                name: format!("{}, {what}, {outstanding} on their way", peers::SQLITE_GROUP),
                outstanding,
                submit: Box::new(move |n| Submitted::Ticket(group.submit(n % of, body(n)))),
            });
        }
    }
    settle(scratch.path());
    let table = measure(bench, &flows);
    drop(flows);
    bench.show(table);
}

fn measure(bench: &Bench, flows: &[Flow<'_>]) -> Table {
    let mut taken: Vec<_> = flows.iter().map(|_| (Vec::new(), Latencies::default())).collect();
    let rounds = bench.rounds();
    for _ in 0..rounds {
        for (flow, (rates, latencies)) in flows.iter().zip(&mut taken) {
            rates.push(slice(flow, bench.length, latencies));
        }
    }
    let note = format!(
        "One thread submits; when so many records are on their way it waits for the oldest. Median of {rounds} slices of \
         {:.0} ms each, all in turn; latencies from the submission until the thread knows.",
        bench.length.measured.as_secs_f64() * 1e3
    );
    let mut table = Table::new(
        "One thread that submits",
        note,
        &["what", "appends/s", "IQR", "to sesslog that waits", "p50", "p99"],
    );
    let rates: Vec<_> = taken.iter().map(|(rates, _)| Spread::of(rates.iter().copied())).collect();
    for ((flow, (_, latencies)), rate) in flows.iter().zip(&mut taken).zip(&rates) {
        let mut cells = vec![
            flow.name.clone(),
            figure(rate.median),
            percent(rate.relative()),
            times(rate.median / rates[0].median),
        ];
        cells.extend(latencies.percentiles([50.0, 99.0]).map(seconds));
        table.line(cells);
    }
    table
}

/// Returns the rate of what arrived within the measured time.
fn slice(flow: &Flow<'_>, length: Length, latencies: &mut Latencies) -> f64 {
    let started = Instant::now();
    let (from, until) = (started + length.warm, started + length.warm + length.measured);
    let mut pending = VecDeque::new();
    let mut arrived = 0_u32;
    for n in 0.. {
        let now = Instant::now();
        if now < until {
            pending.push_back((now, (flow.submit)(n)));
            if pending.len() < flow.outstanding {
                continue;
            }
        }
        let Some((begun, oldest)) = pending.pop_front() else { break };
        oldest.wait();
        let ended = Instant::now();
        if (from..until).contains(&ended) {
            arrived += 1;
            latencies.note(ended - begun);
        }
    }
    f64::from(arrived) / length.measured.as_secs_f64()
}
