//! What a name and a value tell: whether something called this is a secret, and whether a text looks like one.

use std::collections::BTreeMap;

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
pub(super) fn names_secret(name: &str) -> bool {
    const ALONE: [&str; 15] = [
        "pass",
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
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    let value = value.trim_end_matches(['.', ':']);
    let is_password = names_password(name);
    let has = |test: fn(&char) -> bool| value.chars().any(|c| test(&c));
    let (letter, digit) = (has(char::is_ascii_alphabetic), has(char::is_ascii_digit));
    let other = has(|c| c.is_ascii_punctuation() && !"_-.".contains(*c));
    let (length_min, entropy_min) = if is_password { (6, 2.5) } else { (16, 3.0) };
    let kinds = letter && (digit || (is_password && other));
    let is_code = value.contains('.')
        && value.split('.').all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        && !value.split('.').any(|part| part.len() >= 20);
    value.len() >= length_min
        && value.len() <= 4096
        && kinds
        && !is_to_fill_in(value)
        && !is_place(value)
        && !is_code
        && !is_uuid(value)
        && entropy(value) >= entropy_min
}

/// Says whether a value under the name of a password is one of several words: neither a sentence nor a label of a form.
pub(super) fn is_passphrase(name: &str, value: &str) -> bool {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    names_password(name)
        && (8..=128).contains(&value.len())
        && value.contains(char::is_whitespace)
        && !value.contains(['\n', '\r'])
        && !value.ends_with(['.', '?', '!', ':', '\u{2026}'])
        && !["pass", "pwd", "redacted"].iter().any(|word| lower.contains(word))
        && !is_to_fill_in(value)
        && entropy(value) >= 2.5
}

/// Says whether a value that stands where secrets do is one: neither a word nor a number, a place, or something to be filled in.
pub(super) fn is_random(value: &str, length_min: usize) -> bool {
    value.len() >= length_min
        && value.contains(|c: char| c.is_ascii_digit())
        && value.contains(|c: char| c.is_ascii_alphabetic())
        && !value.contains(char::is_whitespace)
        && !is_to_fill_in(value)
        && !is_place(value)
        && !is_uuid(value)
        && entropy(value) >= 2.8
}

/// Says whether what stands under `Cookie` has a value that is a secret.
pub(super) fn is_cookie(value: &str) -> bool {
    let values = value.split(';').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    // Words may follow.
    values.into_iter().any(|value| value.split_whitespace().next().is_some_and(|value| is_random(value, 8)))
}

/// Returns what stands behind the scheme under `Authorization`, if it is a secret.
pub(super) fn credential(value: &str) -> Option<&str> {
    let value = value.trim();
    let (scheme, credential) = value.split_once(char::is_whitespace).unwrap_or(("", value));
    is_credential(scheme, credential.trim_start()).then(|| credential.trim_start())
}

/// Says whether what stands behind a scheme under `Authorization` is a secret.
pub(super) fn is_credential(scheme: &str, value: &str) -> bool {
    let is_basic = scheme.trim().eq_ignore_ascii_case("basic")
        && value.len() >= 8
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    is_basic || is_random(value, 12)
}

/// Says whether a thing of this name is known by heart, so that it may be short.
pub(super) fn names_password(name: &str) -> bool {
    words(name).iter().any(|word| word.starts_with("pass") || word == "pwd")
}

/// Says whether a thing of this name holds a header that opens a door.
pub(super) fn names_authorization(name: &str) -> bool {
    words(name).iter().any(|word| word == "authorization")
}

/// Says whether a thing of this name holds cookies.
pub(super) fn names_cookie(name: &str) -> bool {
    words(name).iter().any(|word| word == "cookie" || word == "cookies")
}

fn is_place(value: &str) -> bool {
    value.contains("://") || value.starts_with(['/', '~', '.'])
}

/// Says whether a value stands for one that somebody is to put there.
pub(super) fn is_to_fill_in(value: &str) -> bool {
    ["${", "{{", "***", "...", "xxxx", "XXXX", "[redacted"].iter().any(|it| value.contains(it))
        || value.starts_with(['$', '<', '%', '{'])
}

/// What tells one thing from others is called a token, too.
fn is_uuid(value: &str) -> bool {
    let lengths = value.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Bits a character, by how often each occurs.
pub(super) fn entropy(text: &str) -> f64 {
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
