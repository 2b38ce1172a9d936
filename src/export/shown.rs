//! How times, numbers, marks and damage are spelled for people, and what makes hidden characters seen.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::damage::Gap;
use crate::export::turns::between_ms;
use crate::mark::{Mark, Outcome};
use crate::timestamp::Timestamp;

/// Shows what would not be seen or would reorder a line: control characters and the marks that override direction. Marks of
/// direction that languages need stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(16));
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\u{0}'..='\u{1f}' if is_hidden(c) => {
                // The pictures of control characters stand in their order.
                out.push(char::from_u32(u32::from(c).saturating_add(0x2400)).unwrap_or('\u{fffd}'));
            }
            '\u{7f}' => out.push('\u{2421}'),
            c if is_hidden(c) => {
                // Writing to a `String` can not fail.
                write!(out, "[U+{:04X}]", u32::from(c)).ok();
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// Spells how long something took.
pub(crate) fn lasting(ms: u64) -> String {
    let (seconds, minutes, hours, days) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..10_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        10_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => format!("{minutes} min {} s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Spells how long it was from one time to another.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    lasting(between_ms(from, to))
}

/// Spells a time without its milliseconds.
pub(crate) fn at(ts: Timestamp) -> String {
    let text = ts.as_str();
    format!("{} {}", text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default())
}

/// Spells a number with a thin gap between thousands.
pub(crate) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Spells a number of things.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(count), if count == 1 { "" } else { "s" })
}

/// Says what damage is.
pub(crate) fn gap_text(gap: &Gap) -> String {
    let mut text = format!("{} at byte {} (record {})", gap.defect, gap.offset, gap.expected_seq);
    if gap.bytes > 0 {
        write!(text, ", {} bytes", gap.bytes).ok();
    }
    if let Some(lost) = gap.lost {
        write!(text, ", {} lost", range(lost)).ok();
    }
    text
}

fn range((from, to): (u64, u64)) -> String {
    if from == to { format!("record {from}") } else { format!("records {from} to {to}") }
}

/// What an event of the store is to whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It belongs to the life of a session.
    Plain,
    /// Something was interrupted, held back or mended.
    Warning,
    /// Something is lost.
    Loss,
}

impl Weight {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Warning => "warning",
            Self::Loss => "loss",
        }
    }
}

/// Says what a mark tells; `None` for those that say nothing to a person. Begins and ends of turns are shown with the turns.
pub(crate) fn mark_text(mark: &Mark, body: &str) -> Option<(String, Weight)> {
    let because =
        |what: &str, reason: &str| if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") };
    Some(match mark {
        Mark::Gap { from_seq, to_seq } => (format!("Repaired: {} lost", range((*from_seq, *to_seq))), Weight::Loss),
        Mark::Recovered { bytes, quarantine, .. } => {
            (format!("Torn tail cut: {bytes} bytes, kept in quarantine/{quarantine}"), Weight::Warning)
        }
        Mark::Reset { reason } => (because("Reset", reason), Weight::Plain),
        Mark::Title { title } => (because("Title", title), Weight::Plain),
        Mark::Labels { labels } => (because("Labels", &labels.join(", ")), Weight::Plain),
        Mark::ResumePending { reason } => (because("To be resumed", reason), Weight::Warning),
        Mark::ResumeCleared => ("Not to be resumed any more".to_owned(), Weight::Plain),
        Mark::ResumeAttempted => ("Resumed".to_owned(), Weight::Warning),
        Mark::Suspended { reason } => (because("Suspended", reason), Weight::Warning),
        Mark::Released => ("Suspension lifted".to_owned(), Weight::Plain),
        Mark::Compacted { keep_from } => {
            (format!("Compacted: a summary stands for what is before record {keep_from}"), Weight::Plain)
        }
        Mark::Rewound { to_seq } => (format!("Undone: the view goes on behind record {to_seq}"), Weight::Plain),
        Mark::TurnEnded { outcome, .. } if *outcome != Outcome::Success => {
            (format!("Turn ended: {}", outcome_text(*outcome)), Weight::Warning)
        }
        Mark::Started => ("Gateway started".to_owned(), Weight::Warning),
        Mark::Stopped => ("Gateway stopped".to_owned(), Weight::Plain),
        Mark::ResumesFound { sessions } => (format!("{sessions} to resume"), Weight::Plain),
        Mark::Sealed | Mark::TurnStarted | Mark::TurnEnded { .. } => return None,
        _ => (format!("Mark: {}", body.chars().take(200).collect::<String>()), Weight::Plain),
    })
}

/// Says how a turn ended.
pub(crate) fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Interrupted => "interrupted",
        Outcome::Failed => "failed",
        Outcome::Partial => "partial",
        Outcome::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_seen_and_what_languages_need_stays() {
        assert_eq!(
            visible("a\u{202e}b\u{2028}\u{0}\u{1b}\u{7f}\r\u{9b}"),
            "a[U+202E]b[U+2028]\u{2400}\u{241b}\u{2421}\u{240d}[U+009B]"
        );
        assert_eq!(visible("a\u{200f}\u{200d}\n\tb"), "a\u{200f}\u{200d}\n\tb");
    }

    #[test]
    fn times_and_numbers_are_short() {
        let texts = [0, 999, 1500, 59_999, 61_000, 3_700_000, 90_000_000].map(lasting);
        assert_eq!(texts, ["0 ms", "999 ms", "1.5 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
