//! A session as Markdown: a heading for each message, tool calls and results as code.
//!
//! What is said is Markdown as a rule and stays as it is, but for lines that would pass for this file's own headings, and for
//! HTML, pictures and links, which are shown as text: a viewer would fetch a picture from wherever a transcript says.

use std::fmt::Write as _;
use std::io::Write;

use crate::export::ExportError;
use crate::export::json::pretty;
use crate::export::message::{Image, Message, Part, Role};
use crate::export::shown::{gap_text, mark_text, visible};
use crate::export::survey::Standing;
use crate::export::taken::{Source, Step, Taken};
use crate::key::SessionKey;

pub(super) fn write(source: &mut Source, key: &SessionKey, out: &mut dyn Write) -> Result<(), ExportError> {
    let row = source.survey.as_ref().and_then(|survey| survey.row.clone());
    let title = row.as_ref().and_then(|row| row.title.clone()).unwrap_or_else(|| key.as_str().to_owned());
    let (title, key) = (source.text(&title), source.text(key.as_str()));
    writeln!(out, "# {}\n", line(&title))?;
    writeln!(out, "- Key: {}", code(&key))?;
    if let Some(survey) = &source.survey {
        writeln!(out, "- Generation: {}", survey.generation)?;
        if let Some((first, last)) = survey.span {
            writeln!(out, "- Time: {first} to {last}")?;
        }
    }
    if let Some(row) = row {
        writeln!(out, "- State: {}", row.state.name())?;
        writeln!(out, "- Records: {}", row.records)?;
    }
    while let Some(step) = source.step()? {
        let text = match step {
            Step::Record(taken) => record(source, &taken),
            Step::Gap(gap) => format!("\n> **Damage:** {}\n", gap_text(&gap)),
            Step::Summary { json, .. } => {
                let mut text = String::from("\n## Summary\n");
                for message in Message::read_summary(&json) {
                    parts(&message.parts, &mut text);
                }
                text
            }
        };
        out.write_all(text.as_bytes())?;
    }
    if let Some(tail) = source.tail() {
        writeln!(out, "\n> **Unfinished:** {} bytes behind the last record", tail.bytes)?;
    }
    Ok(())
}

fn record(source: &Source, taken: &Taken) -> String {
    if let Some(mark) = &taken.mark {
        return mark_text(mark, taken.body())
            .map_or_else(String::new, |(text, _)| format!("\n> {} ({})\n", line(&text), taken.ts()));
    }
    if source.survey.as_ref().is_some_and(|survey| survey.is_echo(taken.seq())) {
        return String::new();
    }
    let message = taken.message();
    let mut text = String::new();
    let left = if taken.standing == Standing::Left { ", not in the active view" } else { "" };
    if message.role == Role::Note {
        let label = message.label.as_deref().unwrap_or("record");
        let note =
            if message.parts.iter().any(|part| matches!(part, Part::Text(_))) { message.text() } else { String::new() };
        write!(text, "\n> {} {} ({}{left})\n", line(label), line(&note), taken.ts()).ok();
        if taken.is_activity() {
            parts(&message.parts, &mut text);
        }
        return text;
    }
    write!(text, "\n## {} ({}{left})\n", heading(message.role), taken.ts()).ok();
    parts(&message.parts, &mut text);
    text
}

fn heading(role: Role) -> &'static str {
    match role {
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
        Role::System => "System",
        Role::Summary => "Summary",
        Role::Note => "Note",
    }
}

fn parts(parts: &[Part], out: &mut String) {
    // Writing to a `String` can not fail.
    for part in parts {
        match part {
            Part::Text(text) => write!(out, "\n{}\n", prose(text)).ok(),
            Part::Thinking(text) => {
                write!(out, "\n<details><summary>Thinking</summary>\n\n{}\n\n</details>\n", prose(text)).ok()
            }
            Part::ToolCall { name, arguments, .. } => {
                write!(out, "\nCalls {}:\n\n{}", code(name), fenced("json", &pretty(arguments))).ok()
            }
            Part::ToolResult { is_error, content, .. } => {
                let what = if *is_error { "Error" } else { "Result" };
                write!(out, "\n{what}:\n").ok();
                for part in content {
                    match part {
                        Part::Text(text) => write!(out, "\n{}", fenced("", text)).ok(),
                        other => {
                            self::parts(std::slice::from_ref(other), out);
                            None
                        }
                    };
                }
                None
            }
            Part::Image(Image::Inline { media_type, base64 }) => {
                write!(out, "\n*Image, {}, {} bytes of base64*\n", line(media_type), base64.len()).ok()
            }
            Part::Image(Image::Url(url)) => write!(out, "\n*Image at* {}\n", code(url)).ok(),
            Part::Json(json) => write!(out, "\n{}", fenced("json", &pretty(json))).ok(),
        };
    }
}

/// A text on one line, in which nothing is markup.
fn line(text: &str) -> String {
    let text = visible(text);
    let mut out = String::new();
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// A text on one line as code.
fn code(text: &str) -> String {
    let text = visible(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let fence = "`".repeat(longest_run(&text).saturating_add(1));
    let pad = if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn fenced(language: &str, text: &str) -> String {
    let text = visible(text);
    let fence = "`".repeat(longest_run(&text).saturating_add(1).max(3));
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// What is said: Markdown, without HTML, pictures and links, and without headings as high as ours. What stands in fences is left
/// alone.
fn prose(text: &str) -> String {
    let text = visible(text);
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<&str> = None;
    let mut has_spans = true;
    for part in text.split_inclusive('\n') {
        let begin = part.trim_start();
        // Deeper ones are code by their indent, or end with the list that they are in.
        let indented = part.trim_start_matches(' ');
        let is_margin = part.len().saturating_sub(indented.len()) < 4;
        let marker = Some(indented).filter(|_| is_margin).and_then(fence_of);
        match (fence, marker) {
            (None, Some(_)) => {
                // In a list it would end with the list: at the margin it ends where we say.
                fence = marker;
                out.push_str(indented);
                continue;
            }
            (Some(open), Some(marker)) if closes(open, marker, begin) => fence = None,
            (None, None) => {
                // A span of code may reach over lines up to a blank one.
                has_spans |= begin.is_empty();
                // Our messages are headings of the second level.
                if begin.starts_with("# ") || begin.starts_with("## ") {
                    out.push_str("##");
                    has_spans &= said(begin, has_spans, &mut out);
                } else if is_underline(begin) {
                    out.push_str(part.get(..part.len().saturating_sub(begin.len())).unwrap_or_default());
                    out.push('\\');
                    out.push_str(begin);
                } else {
                    has_spans &= said(part, has_spans, &mut out);
                }
                continue;
            }
            _ => {}
        }
        out.push_str(part);
    }
    // What a text leaves open must not take in what follows.
    if let Some(fence) = fence {
        out.push('\n');
        out.push_str(fence);
    }
    out
}

/// Returns the fence that a line begins with, as long as it is.
fn fence_of(line: &str) -> Option<&str> {
    let c = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let fence = line.get(..line.len().saturating_sub(line.trim_start_matches(c).len()))?;
    // Behind backticks that are closed on their line they are a span.
    let is_span = c == '`' && line.get(fence.len()..).is_some_and(|behind| behind.contains('`'));
    (fence.len() >= 3 && !is_span).then_some(fence)
}

fn closes(open: &str, marker: &str, line: &str) -> bool {
    marker.starts_with(open) && line.trim_end() == marker
}

/// Says whether a line makes a heading of the one before it.
fn is_underline(line: &str) -> bool {
    let line = line.trim_end();
    !line.is_empty() && (line.bytes().all(|byte| byte == b'=') || line.bytes().all(|byte| byte == b'-'))
}

/// Writes a line without HTML, pictures and links; spans of code keep theirs, where they are spans for any reader. Returns
/// whether the next line may have such spans.
fn said(line: &str, has_spans: bool, out: &mut String) -> bool {
    let next_run = |from: usize| {
        let bytes = line.as_bytes();
        let start = from.saturating_add(memchr::memchr(b'`', bytes.get(from..)?)?);
        let length = bytes.get(start..)?.iter().take_while(|byte| **byte == b'`').count();
        Some((start, start.saturating_add(length)))
    };
    let mut copied = 0;
    let mut is_sure = has_spans;
    while is_sure {
        let Some((start, end)) = next_run(copied) else { break };
        let before = line.get(copied..start).unwrap_or_default();
        // The span ends at the next run, if that is as long.
        let close = next_run(end).filter(|(from, to)| to.saturating_sub(*from) == end.saturating_sub(start));
        let span = close.and_then(|(_, to)| line.get(start..to).map(|span| (span, to)));
        match span {
            // A cell of a table ends a span.
            Some((span, to)) if !before.ends_with('\\') && !span.contains('|') => {
                escaped(before, out);
                out.push_str(&span.replace('<', "&lt;"));
                copied = to;
            }
            _ => is_sure = false,
        }
    }
    escaped(line.get(copied..).unwrap_or_default(), out);
    is_sure
}

fn escaped(text: &str, out: &mut String) {
    let mut before = ['\n'; 2];
    for (at, c) in text.char_indices() {
        let next = text.get(at.saturating_add(c.len_utf8())..).and_then(|rest| rest.chars().next());
        match (c, next) {
            ('<', _) => out.push_str("&lt;"),
            // An escape before it would only be escaped itself, so what follows is a character by number.
            ('[', _) if before[1] == '!' => out.push_str("&#91;"),
            (']', Some('(' | '[' | ':')) => out.push_str("&#93;"),
            (c, _) => out.push(c),
        }
        before = [before[1], c];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_can_neither_close_what_is_around_it_nor_pass_for_it() {
        assert_eq!(prose("# User\n<b>&\n```\n<i>\n"), "### User\n&lt;b>&\n```\n<i>\n\n```");
        assert_eq!(prose("````\n```\n![a](b)\n````\n![a](b)"), "````\n```\n![a](b)\n````\n!&#91;a&#93;(b)");
        assert_eq!(prose("```\n``` x\n# y\n"), "```\n``` x\n# y\n\n```");
        assert_eq!(prose("User\n===\nb\n  --\n- c\n"), "User\n\\===\nb\n  \\--\n- c\n");
        assert_eq!(fenced("", "a\n````\nb"), "`````\na\n````\nb\n`````\n");
        assert_eq!(code("`x`\ny"), "`` `x` y ``");
        assert_eq!(line("a\n# b <c>"), "a \\# b &lt;c>");
    }

    #[test]
    fn pictures_and_links_are_text_but_in_spans_of_code() {
        assert_eq!(prose("![x](y) \\![x](y)"), "!&#91;x&#93;(y) \\!&#91;x&#93;(y)");
        assert_eq!(prose("[a](b) [c][d] [e]"), "[a&#93;(b) [c&#93;[d] [e]");
        assert_eq!(prose("[e]: http://x"), "[e&#93;: http://x");
        assert_eq!(prose("`a[0](b)` `[a](b)"), "`a[0](b)` `[a&#93;(b)");
        assert_eq!(prose("`\n` [a](b) `\n\n`[a](b)`"), "`\n` [a&#93;(b) `\n\n`[a](b)`");
        assert_eq!(prose("|`|[a](b)|`|"), "|`|[a&#93;(b)|`|");
        assert_eq!(prose("- ```\n  ```\n    ```\n"), "- ```\n```\n    ```\n\n```");
        assert_eq!(prose("    ```\n[a](b)"), "    ```\n[a&#93;(b)");
        assert_eq!(prose("\\`![a](b)`"), "\\`!&#91;a&#93;(b)`");
    }
}
