//! What holds for a session as its source ends, and what is known of it beside the source: told to the store when it changes.

use crate::import::known::Known;
use crate::import::shape::{Change, Keep, Place};

/// Returns the name of a change behind so many entries, and what tells it from others of that name.
pub(crate) fn fact(change: &Change, entries: usize) -> (&'static str, String) {
    match change {
        Change::Title(title) => ("title", title.clone()),
        Change::Labels(labels) => ("labels", labels.join("\n")),
        Change::Suspended(reason) => ("suspended", reason.clone()),
        Change::Released => ("suspended", "\0".to_owned()),
        Change::ResumePending(reason) => ("resume_pending", reason.clone()),
        Change::ResumeCleared => ("resume_pending", "\0".to_owned()),
        Change::Compacted { summary, keep_from } => {
            let first = match keep_from {
                Keep::From(index) => *index,
                Keep::Nothing => entries,
            };
            ("compacted", format!("{first} {summary}"))
        }
        Change::Rewound(Place::Start) => ("rewound", "start".to_owned()),
        Change::Rewound(Place::Entry(index)) => ("rewound", index.to_string()),
        Change::Registry(name, entry) => (name, entry.clone()),
    }
}

/// Returns those of the facts that the store was not told last, with their ids; `entries` is how many the source has. What held at
/// the last import and does no more is taken back.
pub(crate) fn news(mut facts: Vec<Change>, known: Option<&Known>, entries: usize) -> Vec<(String, Change)> {
    // What a source says itself goes before what is known beside it.
    let mut named = Vec::new();
    facts.retain(|change| {
        let name = fact(change, entries).0;
        let is_first = !named.contains(&name);
        named.push(name);
        is_first
    });
    let held = [
        ("title", Change::Title(String::new())),
        ("compacted", Change::Compacted { summary: "null".to_owned(), keep_from: Keep::From(0) }),
        ("labels", Change::Labels(Vec::new())),
        ("suspended", Change::Released),
        ("resume_pending", Change::ResumeCleared),
    ];
    for (name, taken_back) in held {
        let is_known = known.is_some_and(|known| known.newest_fact(name).is_some());
        if is_known && !facts.iter().any(|change| fact(change, entries).0 == name) {
            // A session is not to be resumed as long as it is suspended: what is over is said first.
            facts.insert(0, taken_back);
        }
    }
    let news = facts.into_iter().filter_map(|change| {
        let (name, content) = fact(&change, entries);
        let id = id_of(name, &content);
        let newest = known.and_then(|known| known.newest_fact(name));
        if newest.is_some_and(|newest| is_of(newest, &id)) {
            return None;
        }
        // It was so before, and otherwise in between.
        let before = known.filter(|known| known.seq(&id).is_some());
        Some((before.map_or_else(|| id.clone(), |known| format!("{id}:{}", known.end_seq())), change))
    });
    news.collect()
}

/// Says whether the store was told last what holds beside a source.
pub(crate) fn are_told(beside: &[Change], known: &Known) -> bool {
    let is_newest = |change: &Change| {
        let (name, content) = fact(change, 0);
        known.newest_fact(name).is_some_and(|newest| is_of(newest, &id_of(name, &content)))
    };
    let states = [Change::Labels(Vec::new()), Change::Released, Change::ResumeCleared].map(|change| {
        let name = fact(&change, 0).0;
        known.newest_fact(name).is_none() || is_newest(&change) || beside.iter().any(|held| fact(held, 0).0 == name)
    });
    beside.iter().all(is_newest) && states == [true; 3]
}

fn id_of(name: &str, content: &str) -> String {
    format!("import:{name}:{:08x}", crc32fast::hash(content.as_bytes()))
}

/// Says whether an id is that of a fact, told for the first time or again.
fn is_of(id: &str, fact: &str) -> bool {
    id.strip_prefix(fact).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}
