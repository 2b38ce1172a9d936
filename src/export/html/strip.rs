//! The strip above a transcript: a bar for each turn, a line for each event, and both as lists for whoever does not look.
//!
//! Widths follow the logarithm of times: pauses of days and answers of seconds stand beside each other.

use std::fmt::Write as _;

use crate::export::shown::{Weight, at, between, counted, lasting, number, outcome_text};
use crate::export::survey::{Event, Standing, Survey};
use crate::export::turns::{Ending, Turn, between_ms};
use crate::timestamp::Timestamp;

/// More turns share bars.
const BARS_MAX: usize = 250;
/// More turns are only in the transcript: a table of all of them would be larger than what it is about.
const ROWS_MAX: usize = 5000;
/// More events are only in the transcript.
const TICKS_MAX: usize = 1000;
const WIDTH: f64 = 1000.0;
/// Where bars stand, and how high they may be.
const GROUND: f64 = 60.0;
const HEIGHT: f64 = 52.0;

#[derive(Debug)]
pub(super) struct Bar {
    pub(super) turn: usize,
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) title: String,
}

#[derive(Debug)]
pub(super) struct Tick {
    pub(super) anchor: String,
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) title: String,
    pub(super) at: String,
}

#[derive(Debug)]
pub(super) struct TurnRow {
    pub(super) turn: usize,
    pub(super) began: String,
    pub(super) lasted: String,
    pub(super) pause: String,
    pub(super) messages: u64,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) ended: &'static str,
}

/// Turns that share a bar, and where that is.
struct Slot<'a> {
    first: usize,
    turns: &'a [Turn],
    x: f64,
    width: f64,
}

impl Slot<'_> {
    fn start(&self) -> Option<Timestamp> {
        self.turns.first().map(|turn| turn.start)
    }

    fn end(&self) -> Option<Timestamp> {
        self.turns.iter().map(|turn| turn.end).max()
    }

    fn weight(&self) -> u64 {
        self.turns.iter().map(effort).max().unwrap_or(0)
    }
}

/// How much a turn was: its tokens, or its messages where nobody counted those.
fn effort(turn: &Turn) -> u64 {
    let tokens = turn.usage.input.saturating_add(turn.usage.output).saturating_add(turn.usage.cached);
    if tokens > 0 { tokens } else { turn.messages }
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// How wide a time is before all of them are made to fit.
fn extent(ms: u64) -> f64 {
    (float(ms) / 1000.0).ln_1p()
}

fn slots(turns: &[Turn]) -> Vec<Slot<'_>> {
    let in_one = turns.len().div_ceil(BARS_MAX).max(1);
    let (mut slots, mut x, mut before) = (Vec::<Slot<'_>>::new(), 0.0, None::<Timestamp>);
    for (index, turns) in turns.chunks(in_one).enumerate() {
        let mut slot = Slot { first: index.saturating_mul(in_one), turns, x, width: 0.0 };
        let (Some(start), Some(end)) = (slot.start(), slot.end()) else { continue };
        if let Some(before) = before {
            slot.x += 0.3 + extent(between_ms(before, start)) * 0.4;
        }
        slot.width = 1.5 + extent(between_ms(start, end));
        x = slot.x + slot.width;
        before = Some(end);
        slots.push(slot);
    }
    let scale = if x > 0.0 { WIDTH / x } else { 1.0 };
    for slot in &mut slots {
        slot.x *= scale;
        slot.width = (slot.width * scale).max(1.0);
    }
    slots
}

pub(super) fn bars(survey: &Survey) -> Vec<Bar> {
    let slots = slots(&survey.turns);
    let most = float(slots.iter().map(Slot::weight).max().unwrap_or(1).max(1));
    let bar = |slot: &Slot<'_>| {
        let height = 6.0 + (HEIGHT - 6.0) * (float(slot.weight()) / most).sqrt();
        let broken = slot.turns.iter().any(is_broken);
        let left = slot.turns.iter().all(|turn| survey.standing(turn.first_seq) == Standing::Left);
        let (first, last) = (slot.first.saturating_add(1), slot.first.saturating_add(slot.turns.len()));
        let name = if first == last { format!("Turn {first}") } else { format!("Turns {first} to {last}") };
        let time = slot.start().zip(slot.end()).map(|(start, end)| format!("{}, {}", at(start), between(start, end)));
        Bar {
            turn: first,
            class: if broken {
                "bar broken"
            } else if left {
                "bar left"
            } else {
                "bar"
            },
            x: format!("{:.2}", slot.x),
            y: format!("{:.2}", GROUND - height),
            width: format!("{:.2}", slot.width),
            height: format!("{height:.2}"),
            title: format!("{name}: {}", time.unwrap_or_default()),
        }
    };
    slots.iter().map(bar).collect()
}

/// Says whether a turn did not end as it should.
fn is_broken(turn: &Turn) -> bool {
    !matches!(turn.ending, Ending::Unmarked | Ending::Ended(crate::mark::Outcome::Success))
}

/// Places events; their texts are already fit to be shown.
pub(super) fn ticks(survey: &Survey, events: &[Event]) -> Vec<Tick> {
    let slots = slots(&survey.turns);
    let place = |event: &Event| {
        let by_seq = slots.partition_point(|slot| slot.turns.first().is_some_and(|turn| turn.first_seq <= event.seq));
        // A restart has no seq in this session: its time places it.
        let by_time = slots.partition_point(|slot| slot.start().is_some_and(|start| start <= event.ts));
        let index = if event.seq > 0 { by_seq } else { by_time };
        let Some(slot) = index.checked_sub(1).and_then(|index| slots.get(index)) else { return 0.0 };
        let (Some(start), Some(end)) = (slot.start(), slot.end()) else { return slot.x };
        let part = |from: Timestamp, to: Timestamp| {
            let whole = float(between_ms(from, to));
            if whole > 0.0 { (float(between_ms(from, event.ts)) / whole).min(1.0) } else { 1.0 }
        };
        if event.ts <= end {
            return slot.x + slot.width * part(start, end);
        }
        let behind = slot.x + slot.width;
        match slots.get(index).and_then(|next| next.start().map(|start| (next.x, start))) {
            Some((x, start)) => behind + (x - behind) * part(end, start),
            None => behind,
        }
    };
    let tick = |event: &Event| Tick {
        anchor: event.anchor.clone(),
        class: event.weight.name(),
        x: format!("{:.2}", place(event).clamp(0.0, WIDTH - 2.5)),
        title: event.text.clone(),
        at: at(event.ts),
    };
    events.iter().take(TICKS_MAX).map(tick).collect()
}

pub(super) fn rows(turns: &[Turn]) -> Vec<TurnRow> {
    let mut before = None::<Timestamp>;
    let mut rows = Vec::new();
    for (turn, index) in turns.iter().take(ROWS_MAX).zip(1..) {
        let pause = before.map(|before| between(before, turn.start)).unwrap_or_default();
        before = Some(turn.end);
        let count = |count: u64| if count > 0 { number(count) } else { String::new() };
        rows.push(TurnRow {
            turn: index,
            began: at(turn.start),
            lasted: lasting(turn.lasted_ms()),
            pause,
            messages: turn.messages,
            input: count(turn.usage.input.saturating_add(turn.usage.cached)),
            output: count(turn.usage.output),
            ended: ending(turn),
        });
    }
    rows
}

fn ending(turn: &Turn) -> &'static str {
    match turn.ending {
        Ending::Unmarked => "",
        Ending::Open => "did not end",
        Ending::Ended(outcome) => outcome_text(outcome),
    }
}

/// What stands in the heading of a turn.
pub(super) fn facts(turn: &Turn, before: Option<&Turn>) -> Vec<String> {
    let mut facts = vec![at(turn.start), format!("lasted {}", lasting(turn.lasted_ms()))];
    if let Some(before) = before {
        let pause_ms = between_ms(before.end, turn.start);
        if pause_ms >= 1000 {
            facts.push(format!("after a pause of {}", lasting(pause_ms)));
        }
    }
    let usage = turn.usage;
    if usage != crate::export::message::Usage::default() {
        let mut tokens = format!("{} in, {} out", counted(usage.input, "token"), number(usage.output));
        if usage.cached > 0 {
            // Writing to a `String` can not fail.
            write!(tokens, ", {} cached", number(usage.cached)).ok();
        }
        facts.push(tokens);
    }
    if is_broken(turn) {
        facts.push(ending(turn).to_owned());
    }
    facts
}

/// Turns that did not end, as events.
pub(super) fn unended(turns: &[Turn], is_running: bool) -> Vec<Event> {
    let open = turns.iter().zip(1_usize..).filter(|(turn, _)| turn.ending == Ending::Open);
    open.map(|(turn, index)| Event {
        anchor: format!("i{index}"),
        seq: turn.first_seq,
        ts: turn.end,
        weight: Weight::Warning,
        text: if is_running && index == turns.len() {
            "The turn is running".to_owned()
        } else {
            "The turn did not end: interrupted".to_owned()
        },
    })
    .collect()
}
