//! What stands above a transcript: whose it is, how much it is, and the strip of its turns and events.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::export::html::SCRIPT;
use crate::export::html::strip::{self, Bar, Tick, TurnRow};
use crate::export::message::Usage;
use crate::export::shown::{Weight, at, between, counted, number, visible};
use crate::export::survey::{Event, Survey};
use crate::export::taken::Source;
use crate::store::Session;

const STYLE: &str = include_str!("page.css");
/// Models named above a transcript.
const MODELS_MAX: usize = 5;

/// Everything up to the first record.
#[derive(Template)]
#[template(path = "head.html")]
pub(super) struct Head {
    style: &'static str,
    style_hash: String,
    script_hash: String,
    title: String,
    key: String,
    generation: u64,
    state: &'static str,
    only_active: bool,
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    bars: Vec<Bar>,
    ticks: Vec<Tick>,
    rows: Vec<TurnRow>,
    strip_label: String,
    first: String,
    last: String,
    scale: &'static str,
    events_label: String,
    turns_label: String,
}

impl Head {
    pub(super) fn of(source: &mut Source, session: &Session, survey: &Survey, is_running: bool) -> Self {
        let key = session.key().as_str();
        let row = survey.row.as_ref();
        let title = row.and_then(|row| row.title.as_deref()).unwrap_or(key);
        // A live writer holds the session; a turn that is open runs.
        let is_running = is_running && row.is_some_and(|row| row.status.turn.is_some());
        let state = match row {
            Some(_) if is_running => "running",
            Some(row) => row.state.name(),
            None => "unreadable",
        };
        let only_active = source.is_only_active();
        // The strip is about the whole session: of an active view most of its places are not on the page.
        let events = if only_active { Vec::new() } else { events(source, survey, is_running) };
        let ticks = strip::ticks(survey, &events);
        let rows = strip::rows(&survey.turns);
        // One turn without an event is no picture.
        let is_shown = !only_active && (survey.turns.len() > 1 || !ticks.is_empty());
        let [first, last] = match survey.span {
            Some((first, last)) => [at(first), at(last)],
            None => [String::new(), String::new()],
        };
        let (turns, all_events) = (counted(length(&survey.turns), "turn"), counted(length(&events), "event"));
        let cut = |label: String, shown: usize, all: usize| {
            if shown < all { format!("{label}, the first {shown}") } else { label }
        };
        Self {
            style: STYLE,
            style_hash: hash(STYLE),
            script_hash: hash(SCRIPT),
            title: shown(source, title),
            key: shown(source, key),
            generation: survey.generation,
            state,
            only_active,
            facts: facts(source, survey),
            warnings: warnings(survey),
            bars: if is_shown { strip::bars(survey) } else { Vec::new() },
            strip_label: format!("{turns} and {all_events} from {first} to {last}"),
            first,
            last,
            scale: match tokens(survey) {
                (0, 0) => "width: time, height: messages of a turn",
                _ => "width: time, height: tokens of a turn",
            },
            events_label: cut(all_events, ticks.len(), events.len()),
            turns_label: cut(turns, rows.len(), survey.turns.len()),
            ticks,
            rows,
        }
    }
}

/// A text as it is shown: without secrets, if they are to go, and with what hides made seen.
fn shown(source: &mut Source, text: &str) -> String {
    visible(&source.text(text)).into_owned()
}

/// What only the store knows, by time.
fn events(source: &mut Source, survey: &Survey, is_running: bool) -> Vec<Event> {
    let mut events = survey.events.clone();
    events.extend(strip::unended(&survey.turns, is_running));
    events.extend(survey.restarts.iter().zip(1..).map(|(ts, number)| Event {
        anchor: format!("s{number}"),
        seq: 0,
        ts: *ts,
        weight: Weight::Warning,
        text: "Restart: a gateway started".to_owned(),
    }));
    events.sort_by_key(|event| event.ts);
    for event in &mut events {
        event.text = shown(source, &event.text);
    }
    events
}

fn facts(source: &mut Source, survey: &Survey) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some((first, last)) = survey.span {
        facts.push(("From", at(first)));
        facts.push(("To", at(last)));
        facts.push(("Over", between(first, last)));
    }
    let messages = survey.turns.iter().map(|turn| turn.messages).fold(0_u64, u64::saturating_add);
    facts.push(("Turns", number(length(&survey.turns))));
    facts.push(("Messages", number(messages)));
    if let (input @ 1.., output) | (input, output @ 1..) = tokens(survey) {
        facts.push(("Tokens", format!("{} in, {} out", number(input), number(output))));
    }
    if let Some(row) = &survey.row {
        facts.push(("Records", number(row.records)));
    }
    let mut list = |name: &'static str, texts: Vec<&str>| {
        let texts: Vec<_> = texts.into_iter().map(|text| shown(source, text)).collect();
        if !texts.is_empty() {
            facts.push((name, texts.join(", ")));
        }
    };
    list("Model", survey.models.iter().take(MODELS_MAX).map(String::as_str).collect());
    if let Some(row) = &survey.row {
        list("Labels", row.status.labels.iter().map(String::as_str).collect());
        list("Forked from", row.parent.iter().map(|parent| parent.key.as_str()).collect());
    }
    facts
}

/// Tokens of the whole session, in and out.
fn tokens(survey: &Survey) -> (u64, u64) {
    let total =
        |count: fn(&Usage) -> u64| survey.turns.iter().map(|turn| count(&turn.usage)).fold(0_u64, u64::saturating_add);
    (total(|usage| usage.input.saturating_add(usage.cached)), total(|usage| usage.output))
}

fn warnings(survey: &Survey) -> Vec<String> {
    if survey.gaps == 0 {
        return Vec::new();
    }
    let places = counted(survey.gaps, "damaged place");
    vec![format!("{places}: what is lost there is not on this page. sessctl verify says which command mends it.")]
}

fn length<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// A source expression of a policy: the base64 of the SHA-256.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}
