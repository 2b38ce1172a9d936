//! A session as Markdown: a heading for each message, tool calls and results as code.
//!
//! What is said is Markdown as a rule and stays as it is, but for lines that would pass for this file's own headings and for
//! HTML, which is shown as text.

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

/// What is said: Markdown, without HTML and without headings as high as ours. What stands in fences is left alone.
fn prose(text: &str) -> String {
    let text = visible(text);
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<&str> = None;
    for part in text.split_inclusive('\n') {
        let begin = part.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| begin.starts_with(marker));
        match (fence, marker) {
            (None, Some(_)) => fence = marker,
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, None) => {
                let part = part.replace('<', "&lt;");
                // Our messages are headings of the second level.
                if begin.starts_with("# ") || begin.starts_with("## ") {
                    out.push_str("##");
                    out.push_str(part.trim_start());
                } else {
                    out.push_str(&part);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_can_neither_close_what_is_around_it_nor_pass_for_it() {
        assert_eq!(prose("# User\n<b>&\n```\n<i>\n"), "### User\n&lt;b>&\n```\n<i>\n\n```");
        assert_eq!(fenced("", "a\n````\nb"), "`````\na\n````\nb\n`````\n");
        assert_eq!(code("`x`\ny"), "`` `x` y ``");
        assert_eq!(line("a\n# b <c>"), "a \\# b &lt;c>");
    }
}
