//! A first look at a whole session: what is in the view and what was left, which turns there were, and what only the store
//! knows of them. An export that comes second can then be written while the session is read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::error::Error;
use crate::export::message::{Lane, Message, Role};
use crate::export::shown::{Weight, gap_text, mark_text};
use crate::export::turns::{Turn, Turns};
use crate::mark::Mark;
use crate::record::{Record, is_activity};
use crate::registry::Row;
use crate::store::{ReadOptions, Session, Store};
use crate::timestamp::Timestamp;
use crate::transcript::reader::Item;

/// What a record is to the active view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A model is shown it, or would be but for its kind.
    Active,
    /// A summary stands for it.
    SummedUp,
    /// It was undone, or is on a branch that was left.
    Left,
}

/// What only the store knows of a session, and where it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) anchor: String,
    /// The record that says so, or the one before damage.
    pub(crate) seq: u64,
    pub(crate) ts: Timestamp,
    pub(crate) weight: Weight,
    pub(crate) text: String,
}

/// What is to be known before the first record is written.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) generation: u64,
    /// `None` where the header is bad.
    pub(crate) row: Option<Row>,
    /// The last record seen; later ones are not part of the export.
    pub(crate) last_seq: u64,
    /// Time of the first and the last message, else record: what an import notes of a source has the time of its file.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
    pub(crate) turns: Vec<Turn>,
    /// Starts of a gateway within that time, from the store's own session.
    pub(crate) restarts: Vec<Timestamp>,
    pub(crate) gaps: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) models: BTreeSet<String>,
    /// Events of a system that say what an item has said.
    echoes: HashSet<u64>,
    /// Seqs of the active path, as ranges that are in order and apart.
    path: Vec<(u64, u64)>,
    /// The summary that stands for what is before: its mark and the first record kept.
    pub(crate) summary: SummedUp,
}

/// Names of models that are remembered.
const MODELS_MAX: usize = 50;

impl Event {
    /// What a mark tells; titles and labels are in the header of every format.
    fn of(record: &Record, mark: &Mark) -> Option<Self> {
        if matches!(mark, Mark::Title { .. } | Mark::Labels { .. }) {
            return None;
        }
        let (text, weight) = mark_text(mark, record.body())?;
        Some(Self { anchor: format!("r{}", record.seq()), seq: record.seq(), ts: record.ts(), weight, text })
    }
}

fn widen(span: Option<(Timestamp, Timestamp)>, ts: Timestamp) -> (Timestamp, Timestamp) {
    span.map_or((ts, ts), |(first, last)| (first.min(ts), last.max(ts)))
}

/// What a record says of the path that leads to it.
struct Step {
    seq: u64,
    rewound: Option<u64>,
    keep_from: Option<u64>,
}

impl Survey {
    /// Reads a generation once.
    pub(crate) fn of(store: &Store, session: &Session, generation: u64) -> Result<Self, Error> {
        let (mut steps, mut turns, mut span, mut gaps) = (Vec::new(), Turns::default(), None::<(_, _)>, 0_u64);
        let (mut said, mut echoes) = (HashMap::<u64, u64>::new(), Vec::new());
        let (mut events, mut models, mut before) = (Vec::new(), BTreeSet::new(), (0, None));
        let mut all = None;
        for item in session.read(&ReadOptions::new().generation(generation))? {
            let record = match item? {
                Item::Record(record) => record,
                Item::Gap(gap) => {
                    gaps = gaps.saturating_add(1);
                    let (seq, ts) = (before.0, before.1.unwrap_or_else(|| Timestamp::from_unix_ms(0)));
                    let text = format!("Damage: {}", gap_text(&gap));
                    events.push(Event { anchor: format!("g{gaps}"), seq, ts, weight: Weight::Loss, text });
                    continue;
                }
            };
            before = (record.seq(), Some(record.ts()));
            let mark = record.as_mark();
            steps.push(Step::of(&record, mark.as_ref()));
            all = Some(widen(all, record.ts()));
            if is_activity(record.kind()) {
                span = Some(widen(span, record.ts()));
            }
            if let Some(mark) = mark {
                turns.mark(record.seq(), record.ts(), &mark);
                events.extend(Event::of(&record, &mark));
                continue;
            }
            let message = Message::read(record.body());
            turns.message(record.seq(), record.ts(), &message);
            if models.len() < MODELS_MAX {
                models.extend(message.model.clone());
            }
            if message.role == Role::Note {
                continue;
            }
            let hash = hash_of(&message);
            if message.lane == Lane::Second {
                echoes.push((record.seq(), hash));
            } else {
                let count = said.entry(hash).or_default();
                *count = count.saturating_add(1);
            }
        }
        let span = span.or(all);
        // As many events are hidden as there are items that say the same, whichever came first.
        echoes.retain(|(_, hash)| {
            let count = said.get_mut(hash).filter(|count| **count > 0);
            count.map(|count| *count = count.saturating_sub(1)).is_some()
        });
        // A bad session of the store's own stops no other one: then nobody knows of restarts.
        let restarts = span.and_then(|(first, last)| restarts(store, session, first, last).ok()).unwrap_or_default();
        let (path, summary) = path_of(&steps);
        Ok(Self {
            generation,
            row: session.row_of(Some(generation)).ok(),
            last_seq: steps.last().map_or(0, |step| step.seq),
            span,
            turns: turns.finish(),
            restarts,
            gaps,
            events,
            models,
            echoes: echoes.into_iter().map(|(seq, _)| seq).collect(),
            path,
            summary,
        })
    }

    /// Says what a record is to the active view.
    pub(crate) fn standing(&self, seq: u64) -> Standing {
        let behind = self.path.partition_point(|(_, last)| *last < seq);
        if self.path.get(behind).is_none_or(|(first, _)| *first > seq) {
            return Standing::Left;
        }
        match self.summary {
            Some((_, keep_from)) if seq < keep_from => Standing::SummedUp,
            _ => Standing::Active,
        }
    }

    /// Says whether an item has said what this event says.
    pub(crate) fn is_echo(&self, seq: u64) -> bool {
        self.echoes.contains(&seq)
    }
}

impl Step {
    fn of(record: &Record, mark: Option<&Mark>) -> Self {
        let seq = record.seq();
        // Numbers that can not be leave nothing out, as in the view itself.
        let rewound = match mark {
            Some(Mark::Rewound { to_seq }) if *to_seq < seq => Some(*to_seq),
            _ => None,
        };
        let keep_from = match mark {
            Some(Mark::Compacted { keep_from }) if (1..=seq).contains(keep_from) => Some(*keep_from),
            Some(Mark::Compacted { .. }) => Some(1),
            _ => None,
        };
        Self { seq, rewound, keep_from }
    }
}

/// The mark of a summary and the first record that it does not stand for.
type SummedUp = Option<(u64, u64)>;

/// Walks back from the end, as the view does.
fn path_of(steps: &[Step]) -> (Vec<(u64, u64)>, SummedUp) {
    let (mut path, mut summary, mut limit) = (Vec::<(u64, u64)>::new(), None, u64::MAX);
    let mut is_joined = false;
    for step in steps.iter().rev() {
        if step.seq > limit {
            is_joined = false;
            continue;
        }
        match path.last_mut() {
            Some((first, _)) if is_joined => *first = step.seq,
            _ => path.push((step.seq, step.seq)),
        }
        is_joined = true;
        summary = summary.or_else(|| step.keep_from.map(|keep_from| (step.seq, keep_from)));
        if let Some(to_seq) = step.rewound {
            limit = to_seq;
        }
    }
    path.reverse();
    (path, summary)
}

fn hash_of(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.role.hash(&mut hasher);
    let is_thought = |part: &super::message::Part| matches!(part, super::message::Part::Thinking(_));
    for part in &message.parts {
        if let super::message::Part::Thinking(text) | super::message::Part::Text(text) = part {
            (is_thought(part), text.trim()).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Reads when a gateway started within some time.
fn restarts(store: &Store, session: &Session, first: Timestamp, last: Timestamp) -> Result<Vec<Timestamp>, Error> {
    const OWN: &str = "~store";
    if session.key().as_str() == OWN {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let own = store.session(OWN)?;
    for item in own.records()? {
        let Item::Record(record) = item? else { continue };
        if record.as_mark() == Some(Mark::Started) && (first..=last).contains(&record.ts()) {
            found.push(record.ts());
        }
    }
    found.sort_unstable();
    Ok(found)
}
