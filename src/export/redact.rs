//! Replaces what looks like a key, a token or a password. A help, no guarantee: what has no known shape and no telling name
//! stays.

mod names;
mod shapes;

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex::{Captures, Regex, RegexSet};
use serde::de::IgnoredAny;

use crate::export::json::{quoted, string};
use names::{
    credential, entropy, is_cookie, is_credential, is_passphrase, is_random, is_secret, is_to_fill_in,
    names_authorization, names_cookie, names_password, names_secret,
};
use shapes::{
    ASSIGNED, ATLASSIAN, BEARER, COOKIE, HEADER, IN_COMMAND, IN_ELEMENT, IN_PAIR, IN_URL, MAILGUN, SHAPES, SIGNATURE,
    USER_IN_URL,
};

/// Strings from this length on that are base64 throughout are images or ciphertext.
const BASE64_BYTES_MIN: usize = 512;
/// Shorter ones are no pictures.
const PICTURE_BYTES_MIN: usize = 64;
/// So many strings of JSON inside of each other are looked into.
const JSON_DEPTH_MAX: usize = 4;
/// Longer texts are no names of settings.
const NAME_BYTES_MAX: usize = 128;

/// An object or array around a string.
#[derive(Debug, Clone, Copy, Default)]
struct Level<'n> {
    /// The nearest name that tells of secrets.
    telling: Option<&'n str>,
    /// The pair `{"name": ..., "value": ...}`: what tells of secrets, or where a value is whose name is not read yet.
    called: Option<&'n str>,
    value: Option<(usize, usize)>,
}

/// Replaces secrets and counts them.
#[derive(Debug)]
pub(crate) struct Redactor {
    any: RegexSet,
    shapes: Vec<(&'static str, Regex, usize)>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Redactor {
    /// Prepares the shapes; fails only if one of them is no expression, which a test rules out.
    pub(crate) fn new() -> Result<Self, Box<regex::Error>> {
        let any = RegexSet::new(SHAPES.iter().map(|(_, shape, _)| shape))?;
        let mut shapes = Vec::new();
        for (name, shape, group) in SHAPES {
            shapes.push((name, Regex::new(shape)?, group));
        }
        Ok(Self { any, shapes, counts: BTreeMap::new() })
    }

    /// Replaces secrets in a JSON text: inside of its strings, and strings whose names say what they are. All else stays byte
    /// for byte.
    pub(crate) fn json<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        self.json_within(text, 0)
    }

    fn json_within<'a>(&mut self, text: &'a str, depth: usize) -> Cow<'a, str> {
        let mut edits: Vec<(usize, usize, String)> = Vec::new();
        // Names as they are spelled: those that tell of secrets need no escapes.
        let mut levels = vec![Level::default()];
        let (mut at, mut name) = (0, None::<&str>);
        while let Some((start, end)) = next_string(text, at) {
            for byte in text.get(at..start).unwrap_or_default().bytes() {
                match byte {
                    b'{' | b'[' => {
                        let around = levels.last().and_then(|level| level.telling);
                        let telling = name.take().filter(|name| is_telling(name)).or(around);
                        levels.push(Level { telling, ..Level::default() });
                    }
                    b'}' | b']' => drop(levels.pop()),
                    b',' => name = None,
                    _ => {}
                }
            }
            at = end;
            let Some(token) = text.get(start..end) else { break };
            let Some(value) = string(token) else { continue };
            let spelled = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
            if text.get(end..).unwrap_or_default().trim_start().starts_with(':') {
                if let Cow::Owned(new) = self.text(&value) {
                    edits.push((start, end, quoted(&new)));
                }
                name = Some(spelled);
                continue;
            }
            let own = name.take();
            let mut level = levels.pop().unwrap_or_default();
            let is_pairs_value = own == Some("value");
            let named = match own {
                Some(own) if is_telling(own) => Some((own, true)),
                Some("value") if level.called.is_some() => level.called.map(|called| (called, true)),
                // What tells a secret from others is none.
                Some("name" | "id" | "type") => None,
                _ => level.telling.map(|around| (around, false)),
            };
            let new = self.value(named, &value, depth);
            if let Cow::Owned(new) = new {
                edits.push((start, end, quoted(&new)));
            } else if is_pairs_value && level.called.is_none() {
                level.value = Some((start, end));
            } else if matches!(own, Some("name" | "key")) && is_telling(spelled) {
                level.called = Some(spelled);
                if let Some((start, end)) = level.value.take() {
                    let before = text.get(start..end).and_then(string).unwrap_or_default();
                    if let Cow::Owned(new) = self.value(Some((spelled, true)), &before, depth) {
                        edits.push((start, end, quoted(&new)));
                    }
                }
            }
            levels.push(level);
        }
        edits.sort_unstable();
        replaced(text, edits)
    }

    /// Replaces a string under a name that tells of secrets, if there is one, right before it (`true`) or further out.
    fn value<'v>(&mut self, named: Option<(&str, bool)>, value: &'v str, depth: usize) -> Cow<'v, str> {
        if let Some((name, is_own)) = named {
            let is_word = !value.contains(char::is_whitespace);
            if names_secret(name) && ((is_word && is_secret(name, value)) || (is_own && is_passphrase(name, value))) {
                return Cow::Owned(self.replacement(ASSIGNED));
            }
            if names_cookie(name) && is_cookie(value) {
                return Cow::Owned(self.replacement(COOKIE));
            }
        }
        // Arguments of tools are JSON in a string.
        if depth < JSON_DEPTH_MAX
            && value.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<IgnoredAny>(value).is_ok()
        {
            return self.json_within(value, depth.saturating_add(1));
        }
        let new = self.text(value);
        if let (Cow::Borrowed(_), Some((name, _))) = (&new, named)
            && names_authorization(name)
            && let Some(credential) = credential(value)
        {
            let new = self.replacement(HEADER);
            return Cow::Owned(value.replace(credential, &new));
        }
        new
    }

    /// Replaces secrets in a plain text.
    pub(crate) fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let from = picture_bytes(text);
        let Some(searched) = text.get(from..).filter(|text| !is_base64(text)) else { return Cow::Borrowed(text) };
        // By where they begin: what is found does not overlap.
        let mut found: BTreeMap<usize, (usize, &'static str)> = BTreeMap::new();
        for index in &self.any.matches(searched) {
            let Some((name, shape, group)) = self.shapes.get(index) else { continue };
            for captures in shape.captures_iter(searched) {
                let Some(secret) = captures.get(*group).filter(|_| is_one(name, &captures, *group)) else { continue };
                let (start, end) = (secret.start().saturating_add(from), secret.end().saturating_add(from));
                let before = found.range(..end).next_back();
                if before.is_none_or(|(_, (end, _))| *end <= start) {
                    found.insert(start, (end, name));
                }
            }
        }
        let edits = found.into_iter().map(|(start, (end, name))| (start, end, self.replacement(name))).collect();
        replaced(text, edits)
    }

    fn replacement(&mut self, name: &'static str) -> String {
        let count = self.counts.entry(name).or_default();
        *count = count.saturating_add(1);
        format!("[redacted: {name}]")
    }
}

/// Says whether what has a shape is a secret.
fn is_one(name: &str, captures: &Captures<'_>, group: usize) -> bool {
    let of = |group| captures.get(group).map_or("", |it| it.as_str());
    let (called, secret) = (of(1), of(group));
    match name {
        ASSIGNED => names_secret(called) && is_secret(called, secret) && is_assigned(captures),
        IN_PAIR => names_secret(called) && is_secret(called, secret),
        IN_ELEMENT => {
            let secret = secret.trim();
            let is_word = !secret.contains(char::is_whitespace);
            names_secret(called)
                && ((is_word && is_secret(called, secret))
                    || is_passphrase(called, secret)
                    // Words like these are what a form shows, or a type.
                    || (names_password(called) && is_word && is_random(secret, 4)))
        }
        // Words may follow the word, too.
        BEARER => secret.contains(|c: char| c.is_ascii_digit()) && entropy(secret) >= 3.0,
        HEADER => is_credential(called, secret),
        COOKIE => is_cookie(secret),
        ATLASSIAN | MAILGUN | SIGNATURE => is_random(secret, 20),
        IN_URL => !is_to_fill_in(secret) && secret != OF_NO_MEANING,
        IN_COMMAND => !is_to_fill_in(secret),
        USER_IN_URL => !is_to_fill_in(secret) && (of(2) == OF_NO_MEANING || is_random(secret, 20)),
        _ => true,
    }
}

/// What stands where a password would, behind a user that is a token.
const OF_NO_MEANING: &str = "x-oauth-basic";

fn is_telling(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && !name.contains(char::is_whitespace)
        && (names_secret(name) || names_authorization(name) || names_cookie(name))
}

/// Puts other texts where these places are, which are in order and do not overlap.
fn replaced(text: &str, edits: Vec<(usize, usize, String)>) -> Cow<'_, str> {
    if edits.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for (start, end, new) in edits {
        out.push_str(text.get(copied..start).unwrap_or_default());
        out.push_str(&new);
        copied = end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Returns how long a picture is that a text begins with: the base64 alone, not what follows.
fn picture_bytes(text: &str) -> usize {
    let Some((head, data)) = text.split_once(";base64,").filter(|(head, _)| is_picture(head)) else { return 0 };
    let bytes = data.bytes().take_while(|byte| is_base64_byte(*byte)).count();
    // A short one may be the begin of something else.
    if bytes < PICTURE_BYTES_MIN { 0 } else { head.len().saturating_add(";base64,".len()).saturating_add(bytes) }
}

fn is_picture(head: &str) -> bool {
    head.len() <= NAME_BYTES_MAX && head.starts_with("data:image/") && !head.contains(char::is_whitespace)
}

/// A value after mere white space counts behind an option of a command only: `--token abc`.
fn is_assigned(captures: &Captures<'_>) -> bool {
    let (Some(all), Some(name), Some(value)) = (captures.get(0), captures.get(1), captures.get(2)) else {
        return false;
    };
    let between = all.as_str().get(name.len()..value.start().saturating_sub(all.start())).unwrap_or_default();
    between.contains([':', '=']) || name.as_str().starts_with("--")
}

/// Finds the next string of a JSON text: where it begins and where it ends, quotes included.
fn next_string(text: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let start = from.saturating_add(memchr::memchr(b'"', bytes.get(from..)?)?);
    let mut at = start.saturating_add(1);
    loop {
        at = at.saturating_add(memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?);
        if bytes.get(at) == Some(&b'"') {
            return Some((start, at.saturating_add(1)));
        }
        at = at.saturating_add(2);
    }
}

fn is_base64(text: &str) -> bool {
    text.len() >= BASE64_BYTES_MIN && text.bytes().all(is_base64_byte)
}

fn is_base64_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> (String, Vec<&'static str>) {
        let mut redactor = Redactor::new().unwrap();
        let new = redactor.json(text).into_owned();
        (new, redactor.counts.keys().copied().collect())
    }

    #[test]
    fn only_the_secret_is_replaced_and_the_rest_is_kept_byte_for_byte() {
        let (new, kinds) = redacted(r#"{ "a" : "x\/y", "apiKey":"9fK2mQ8sLw0pZx7RtY","n":1e400,"u":"\ud800" }"#);
        assert_eq!(new, r#"{ "a" : "x\/y", "apiKey":"[redacted: assigned secret]","n":1e400,"u":"\ud800" }"#);
        assert_eq!(kinds, ["assigned secret"]);
    }

    #[test]
    fn a_name_is_that_of_the_value_right_behind_it_and_of_what_is_inside() {
        for text in [
            r#"{"token":7,"b":["9fK2mQ8sLw0pZx7RtY"]}"#,
            r#"{"token":{"a":1},"b":"9fK2mQ8sLw0pZx7RtY"}"#,
            r#"{"token":{"id":"9fK2mQ8sLw0pZx7RtY"}}"#,
            r#"[{"name":"API_KEY"},{"value":"9fK2mQ8sLw0pZx7RtY"}]"#,
        ] {
            assert_eq!(redacted(text).0, text);
        }
        for text in [
            r#"{"token":{"a":[{"b":"9fK2mQ8sLw0pZx7RtY"}]}}"#,
            r#"{"name":"API_KEY","value":"9fK2mQ8sLw0pZx7RtY"}"#,
            r#"{"value":"9fK2mQ8sLw0pZx7RtY","n":[{}],"key":"API_KEY"}"#,
        ] {
            assert_eq!(redacted(text).0, text.replace("9fK2mQ8sLw0pZx7RtY", "[redacted: assigned secret]"));
        }
    }

    #[test]
    fn of_shapes_that_overlap_the_first_wins_and_all_that_do_not_are_replaced() {
        let text = "TOKEN=sk-ant-api03-9fK2mQ8sLw0pZx7RtY ".repeat(3);
        let mut redactor = Redactor::new().unwrap();
        assert_eq!(redactor.text(&text), "TOKEN=[redacted: Anthropic key] ".repeat(3));
        assert_eq!(redactor.counts["Anthropic key"], 3);
    }
}
