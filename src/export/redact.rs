//! Replaces what looks like a key, a token or a password. A help, no guarantee: what has no known shape and no telling name
//! stays.

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex::{Regex, RegexSet};

use crate::export::json::{quoted, string};

/// Strings from this length on that are base64 throughout are images or ciphertext.
const BASE64_BYTES_MIN: usize = 512;

/// A kind of secret: its name, its shape, and the group of the match that is the secret itself.
type Shape = (&'static str, &'static str, usize);

/// Shapes that tell by themselves, the most telling first: of matches that overlap the first in the list wins.
const SHAPES: [Shape; 28] = [
    (
        "private key",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(?:[A-Za-z0-9+/=\s\\:,.\x22'-]{40,}?-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|(?:\s|\\+[nr])*[A-Za-z0-9+/=]{40,}[A-Za-z0-9+/=\s\\]*)",
        0,
    ),
    ("JWT", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", 0),
    (IN_URL, r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@'\x22\\]*:([^\s/@'\x22\\]+)@", 1),
    ("Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{16,}", 0),
    ("OpenRouter key", r"\bsk-or-[A-Za-z0-9_-]{16,}", 0),
    ("Stripe key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}", 0),
    ("OpenAI key", r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{20,})", 0),
    ("AWS key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", 0),
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})", 0),
    ("GitLab token", r"\bgl(?:pat|ptt|dt|rt|cbt)-[A-Za-z0-9_-]{20,}", 0),
    ("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{20,}", 0),
    ("Slack webhook", r"hooks\.slack\.com/services/([A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]{16,})", 1),
    ("Google key", r"\bAIza[A-Za-z0-9_-]{35}|\bya29\.[A-Za-z0-9_-]{20,}|\bGOCSPX-[A-Za-z0-9_-]{20,}", 0),
    ("Telegram bot token", r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b", 0),
    ("Discord bot token", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}", 0),
    ("Discord webhook", r"discord(?:app)?\.com/api/webhooks/[0-9]+/([A-Za-z0-9_-]{40,})", 1),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}\b", 0),
    ("PyPI token", r"\bpypi-[A-Za-z0-9_-]{40,}", 0),
    ("crates.io token", r"\bcio[A-Za-z0-9]{32}\b", 0),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}", 0),
    ("SendGrid key", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", 0),
    ("Groq key", r"\bgsk_[A-Za-z0-9]{30,}", 0),
    ("xAI key", r"\bxai-[A-Za-z0-9]{40,}", 0),
    ("Perplexity key", r"\bpplx-[A-Za-z0-9]{30,}", 0),
    ("DigitalOcean token", r"\bdo[opr]_v1_[a-f0-9]{64}", 0),
    (HEADER, r"(?i)\bauthorization[\x22'\\]*\s*[:=]\s*[\x22'\\]*basic\s+([A-Za-z0-9+/]{8,}={0,2})", 1),
    (BEARER, r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{16,}=*)", 1),
    // What it is called tells; whether the value is one is looked at afterwards.
    (
        ASSIGNED,
        r"(?i)([A-Za-z0-9_.-]{0,40}(?:secret|passw|passphrase|pwd|token|key|credential)[A-Za-z0-9_.-]{0,30})(?:\\*[\x22'])?(?:\s*(?::=|=>|[:=])\s*|\s+)(?:\\*[\x22'`])?([^\s\x22'`\\,;&<>{}()\[\]|]{8,})",
        2,
    ),
];

const ASSIGNED: &str = "assigned secret";
const HEADER: &str = "Authorization header";
const BEARER: &str = "bearer token";
const IN_URL: &str = "password in a URL";

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
        let (mut out, mut copied, mut at) = (String::new(), 0, 0);
        let mut name: Option<Cow<'a, str>> = None;
        while let Some((start, end)) = next_string(text, at) {
            at = end;
            let Some(token) = text.get(start..end) else { break };
            let Some(value) = string(token) else { continue };
            let behind = text.get(end..).unwrap_or_default().trim_start();
            if behind.starts_with(':') {
                if let Cow::Owned(new) = self.text(&value) {
                    out.push_str(text.get(copied..start).unwrap_or_default());
                    out.push_str(&quoted(&new));
                    copied = end;
                }
                name = Some(value);
                continue;
            }
            // A name is that of the value right behind it.
            let named = name.take().filter(|_| is_value(text.get(..start).unwrap_or_default()));
            if let Cow::Owned(new) = self.value(named.as_deref(), &value) {
                out.push_str(text.get(copied..start).unwrap_or_default());
                out.push_str(&quoted(&new));
                copied = end;
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Cow::Owned(out)
    }

    fn value<'v>(&mut self, name: Option<&str>, value: &'v str) -> Cow<'v, str> {
        if name.is_some_and(|name| names_secret(name) && is_secret(name, value) && !value.contains(char::is_whitespace))
        {
            return Cow::Owned(self.replacement(ASSIGNED));
        }
        self.text(value)
    }

    /// Replaces secrets in a plain text.
    pub(crate) fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        if is_base64(text) || text.starts_with("data:image/") {
            return Cow::Borrowed(text);
        }
        let mut found: Vec<(usize, usize, &'static str)> = Vec::new();
        for index in &self.any.matches(text) {
            let Some((name, shape, group)) = self.shapes.get(index) else { continue };
            for captures in shape.captures_iter(text) {
                let Some(secret) = captures.get(*group) else { continue };
                let called = captures.get(1).map_or("", |it| it.as_str());
                let is_one = match *name {
                    ASSIGNED => names_secret(called) && is_secret(called, secret.as_str()) && is_assigned(&captures),
                    // Words may follow the word, too.
                    BEARER => secret.as_str().contains(|c: char| c.is_ascii_digit()) && entropy(secret.as_str()) >= 3.0,
                    IN_URL => !is_to_fill_in(secret.as_str()),
                    _ => true,
                };
                if !is_one {
                    continue;
                }
                if !found.iter().any(|(start, end, _)| secret.start() < *end && *start < secret.end()) {
                    found.push((secret.start(), secret.end(), name));
                }
            }
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable();
        let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
        for (start, end, name) in found {
            out.push_str(text.get(copied..start).unwrap_or_default());
            out.push_str(&self.replacement(name));
            copied = end;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Cow::Owned(out)
    }

    fn replacement(&mut self, name: &'static str) -> String {
        let count = self.counts.entry(name).or_default();
        *count = count.saturating_add(1);
        format!("[redacted: {name}]")
    }
}

/// A value after mere white space counts behind an option of a command only: `--token abc`.
fn is_assigned(captures: &regex::Captures<'_>) -> bool {
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

fn is_value(before: &str) -> bool {
    before.trim_end().ends_with(':')
}

fn is_base64(text: &str) -> bool {
    text.len() >= BASE64_BYTES_MIN && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}

/// The words of a name: `apiKey`, `API_KEY`, `api-key` are `api`, `key`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || (was_lower && c.is_ascii_uppercase()) {
            words.push(String::new());
        }
        was_lower = c.is_ascii_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Says whether a thing of this name is a secret.
fn names_secret(name: &str) -> bool {
    const ALONE: [&str; 14] = [
        "secret",
        "secrets",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "token",
        "apikey",
        "secretkey",
        "accesskey",
        "privatekey",
        "authtoken",
        "credential",
        "credentials",
    ];
    const OF_KEYS: [&str; 9] =
        ["api", "access", "secret", "private", "auth", "signing", "encryption", "account", "master"];
    let words = words(name);
    // `key` alone names what a thing is found by.
    let pairs = words.iter().zip(words.iter().skip(1));
    words.iter().any(|word| ALONE.contains(&&**word))
        || pairs.into_iter().any(|(first, second)| second == "key" && OF_KEYS.contains(&&**first))
}

/// Says whether a value under such a name looks like one: neither a word, a number, a place nor something to be filled in.
fn is_secret(name: &str, value: &str) -> bool {
    let value = value.trim_end_matches(['.', ':']);
    let is_password = words(name).iter().any(|word| word.starts_with("pass") || word == "pwd");
    let has = |test: fn(&char) -> bool| value.chars().any(|c| test(&c));
    let (letter, digit) = (has(char::is_ascii_alphabetic), has(char::is_ascii_digit));
    let other = has(|c| c.is_ascii_punctuation() && !"_-.".contains(*c));
    let (length_min, entropy_min) = if is_password { (8, 2.5) } else { (16, 3.0) };
    let kinds = letter && (digit || (is_password && other));
    let is_place = value.contains("://") || value.starts_with(['/', '~', '.']);
    let is_code = value.contains('.')
        && value.split('.').all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        && !value.split('.').any(|part| part.len() >= 20);
    value.len() >= length_min
        && value.len() <= 4096
        && kinds
        && !is_to_fill_in(value)
        && !is_place
        && !is_code
        && !is_uuid(value)
        && entropy(value) >= entropy_min
}

/// Says whether a value stands for one that somebody is to put there.
fn is_to_fill_in(value: &str) -> bool {
    ["${", "{{", "***", "...", "xxxx", "XXXX", "[redacted"].iter().any(|it| value.contains(it))
        || value.starts_with(['$', '<', '%', '{'])
}

/// What tells one thing from others is called a token, too.
fn is_uuid(value: &str) -> bool {
    let lengths = value.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Bits a character, by how often each occurs.
fn entropy(text: &str) -> f64 {
    let mut counts = BTreeMap::<u8, u32>::new();
    for byte in text.bytes() {
        let count = counts.entry(byte).or_default();
        *count = count.saturating_add(1);
    }
    let total = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    counts.values().map(|count| f64::from(*count) / total).map(|share| -share * share.log2()).sum()
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
    fn a_name_is_that_of_the_value_right_behind_it() {
        for text in [r#"{"token":{"a":"9fK2mQ8sLw0pZx7RtY"}}"#, r#"{"token":7,"b":["9fK2mQ8sLw0pZx7RtY"]}"#] {
            assert_eq!(redacted(text).0, text);
        }
    }

    #[test]
    fn names_are_read_by_their_words() {
        for name in
            ["apiKey", "API_KEY", "x-api-key", "DB_PASSWORD", "client_secret", "authToken", "AWS_SECRET_ACCESS_KEY"]
        {
            assert!(names_secret(name), "{name}");
        }
        for name in ["tokenizer", "max_tokens", "key", "keyword", "foreign_key", "monkey", "sessionKey", "session_key"]
        {
            assert!(!names_secret(name), "{name}");
        }
    }
}
