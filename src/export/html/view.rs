//! A message as the page shows it: texts in pieces that a browser lays out one by one, folds with a line that tells what is in
//! them.

use crate::export::json::{Object, pretty};
use crate::export::message::{Image, Message, Part, Role};
use crate::export::shown::{number, visible};

/// A text longer than that is laid out in pieces.
const CHUNK_BYTES: usize = 16 * 1024;
/// Folds with more stay folded in print.
const LONG_BYTES: usize = 20_000;
const PREVIEW_CHARS: usize = 160;
/// The largest image that a page holds, in bytes of base64, and what all of them may come to.
const IMAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
const IMAGES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a browser shows as an image and nothing else.
const IMAGE_TYPES: [&str; 6] = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"];

/// A piece of a message without a fold of its own.
#[derive(Debug)]
pub(super) enum Piece {
    Prose(Vec<String>),
    Code(Vec<String>),
    Image { media_type: String, base64: String },
    Remark(String),
}

/// What a message consists of.
#[derive(Debug)]
pub(super) enum Block {
    Plain(Vec<Piece>),
    Fold(Fold),
}

/// What is not seen before somebody opens it.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) class: &'static str,
    pub(super) title: String,
    pub(super) preview: String,
    pub(super) pieces: Vec<Piece>,
    pub(super) is_long: bool,
}

/// Makes blocks of messages and keeps account of the images.
#[derive(Debug, Default)]
pub(super) struct Viewer {
    images_bytes: usize,
}

impl Viewer {
    pub(super) fn blocks(&mut self, message: &Message) -> Vec<Block> {
        message.parts.iter().map(|part| self.block(part, message.role)).collect()
    }

    fn block(&mut self, part: &Part, role: Role) -> Block {
        match part {
            Part::Text(text) if role == Role::System && text.len() > PREVIEW_CHARS * 4 => {
                Block::Fold(fold("instructions", "Instructions".to_owned(), text, prose(text)))
            }
            Part::Text(text) => Block::Plain(prose(text)),
            Part::Thinking(text) => Block::Fold(fold("thinking", "Thinking".to_owned(), text, prose(text))),
            Part::ToolCall { name, arguments, .. } => {
                let title = if name.is_empty() { "tool".to_owned() } else { visible(name).into_owned() };
                Block::Fold(fold("call", title, &gist(arguments), vec![Piece::Code(chunks(&pretty(arguments)))]))
            }
            Part::ToolResult { is_error, content, .. } => {
                let (class, title) = if *is_error { ("failed", "Failed") } else { ("result", "Result") };
                let first = content.iter().find_map(|part| match part {
                    Part::Text(text) | Part::Json(text) => Some(&**text),
                    _ => None,
                });
                let pieces = content.iter().flat_map(|part| self.result_pieces(part)).collect();
                let mut fold = fold(class, title.to_owned(), first.unwrap_or_default(), pieces);
                fold.is_long = content
                    .iter()
                    .any(|part| matches!(part, Part::Text(text) | Part::Json(text) if text.len() > LONG_BYTES));
                Block::Fold(fold)
            }
            Part::Image(image) => Block::Plain(vec![self.image(image)]),
            Part::Json(json) => {
                Block::Fold(fold("json", "JSON".to_owned(), json, vec![Piece::Code(chunks(&pretty(json)))]))
            }
        }
    }

    fn result_pieces(&mut self, part: &Part) -> Vec<Piece> {
        match part {
            Part::Text(text) | Part::Json(text) => vec![Piece::Code(chunks(&pretty(text)))],
            Part::Image(image) => vec![self.image(image)],
            other => vec![Piece::Code(chunks(&format!("{other:?}")))],
        }
    }

    fn image(&mut self, image: &Image) -> Piece {
        let (media_type, base64) = match image {
            Image::Url(url) => {
                let start: String = url.chars().take(500).collect();
                return Piece::Remark(format!("Image elsewhere, not loaded: {}", visible(&start)));
            }
            Image::Inline { media_type, base64 } => (media_type, base64),
        };
        let is_base64 = base64.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        let total = self.images_bytes.saturating_add(base64.len());
        if !IMAGE_TYPES.contains(&&**media_type) || !is_base64 {
            let start: String = media_type.chars().take(100).collect();
            return Piece::Remark(format!(
                "Image of a type that is not shown: {}, {} bytes",
                visible(&start),
                number(length(base64))
            ));
        }
        if base64.len() > IMAGE_BYTES_MAX || total > IMAGES_BYTES_MAX {
            return Piece::Remark(format!(
                "Image too large for this page: {media_type}, {} bytes of base64",
                number(length(base64))
            ));
        }
        self.images_bytes = total;
        Piece::Image { media_type: media_type.clone(), base64: base64.clone() }
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn fold(class: &'static str, title: String, text: &str, pieces: Vec<Piece>) -> Fold {
    Fold { class, title, preview: preview(text), pieces, is_long: is_long(text) }
}

pub(super) fn is_long(text: &str) -> bool {
    text.len() > LONG_BYTES
}

/// The first words of a text, on one line.
pub(super) fn preview(text: &str) -> String {
    let start: String = text.chars().take(PREVIEW_CHARS * 4).collect();
    let words = visible(&start).split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= PREVIEW_CHARS {
        return words;
    }
    words.chars().take(PREVIEW_CHARS).chain(['\u{2026}']).collect()
}

/// What a call is about: of an object the first text in it, as a rule the command or the path.
fn gist(arguments: &str) -> String {
    let object = Object::read(arguments);
    let text = object.and_then(|it| it.first_text().map(std::borrow::Cow::into_owned));
    text.unwrap_or_else(|| if arguments == "{}" { String::new() } else { arguments.to_owned() })
}

/// Takes a text apart into what is said and what stands between code fences.
fn prose(text: &str) -> Vec<Piece> {
    let (mut pieces, mut said, mut code) = (Vec::new(), String::new(), None::<(&str, String)>);
    for line in text.split_inclusive('\n') {
        let begin = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| begin.starts_with(marker));
        code = match (code, marker) {
            (None, Some(marker)) => {
                push_prose(&mut pieces, &said);
                said.clear();
                Some((marker, String::new()))
            }
            (Some((open, body)), Some(marker)) if open == marker && begin.trim_end() == marker => {
                pieces.push(Piece::Code(chunks(body.trim_end_matches('\n'))));
                None
            }
            (Some((open, mut body)), _) => {
                body.push_str(line);
                Some((open, body))
            }
            (None, None) => {
                said.push_str(line);
                None
            }
        };
    }
    push_prose(&mut pieces, &said);
    if let Some((_, body)) = code {
        pieces.push(Piece::Code(chunks(&body)));
    }
    pieces
}

fn push_prose(pieces: &mut Vec<Piece>, text: &str) {
    let text = text.trim_matches('\n');
    if !text.is_empty() {
        pieces.push(Piece::Prose(chunks(text)));
    }
}

/// Cuts a text at line ends, or in the middle of lines that are too long. Each piece is a block of its own, so the line end at
/// the cut is left out.
pub(super) fn chunks(text: &str) -> Vec<String> {
    let text = visible(text);
    let mut rest = &*text;
    let mut chunks = Vec::new();
    while rest.len() > CHUNK_BYTES {
        let mut end = CHUNK_BYTES;
        while !rest.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let (head, _) = rest.split_at(end);
        let (chunk, behind) = match head.rfind('\n') {
            Some(line_end) => (line_end, line_end.saturating_add(1)),
            None => (end, end),
        };
        chunks.push(rest.get(..chunk).unwrap_or_default().to_owned());
        rest = rest.get(behind..).unwrap_or_default();
    }
    chunks.push(rest.to_owned());
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_long_text_is_lost_in_its_pieces() {
        let lines = "line of a text\n".repeat(10_000);
        assert_eq!(chunks(&lines).join("\n"), lines);
        let wide = "\u{1f600}".repeat(20_000);
        assert_eq!(chunks(&wide).concat(), wide);
        assert!(chunks(&wide).iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
        assert_eq!(chunks(""), [""]);
    }

    #[test]
    fn fences_are_code_also_when_nobody_closes_them() {
        let pieces = prose("a\n```rust\nlet x;\n```\nb\n~~~\n```\n");
        let texts: Vec<_> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Prose(text) => ("prose", text.concat()),
                Piece::Code(text) => ("code", text.concat()),
                _ => panic!("{piece:?}"),
            })
            .collect();
        let expected = [("prose", "a"), ("code", "let x;"), ("prose", "b"), ("code", "```\n")];
        assert_eq!(texts, expected.map(|(kind, text)| (kind, text.to_owned())));
    }
}
