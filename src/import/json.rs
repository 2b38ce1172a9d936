//! JSON of a source as far as an import understands it: the fields of an object, without a tree of its values.
//!
//! What other programs accept is accepted: of a name that occurs twice the last value counts, and half of a surrogate pair is a
//! replacement character.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The field that holds most of an entry, where there is one.
const INNER: &str = "message";

/// The fields of an object, their values as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a str)>,
    /// The field that was read in the same pass, instead of as a text.
    inner: Option<Box<Object<'a>>>,
}

impl<'a> Object<'a> {
    /// Reads a text; `None` if it is no object.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Reads an entry of a history: with the fields of its `message`, which then has no text, in one pass over it.
    pub(crate) fn entry(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().map(|Outer(object)| object).or_else(|| Self::parse(text))
    }

    /// Returns a value as JSON text.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    /// Returns the names and values in their order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields.iter().map(|(name, value)| (&**name, *value))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some() || name == INNER && self.inner.is_some()
    }

    /// Returns a string.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.raw(name).and_then(string)
    }

    pub(crate) fn object(&self, name: &str) -> Option<Object<'a>> {
        match &self.inner {
            Some(inner) if name == INNER => Some(Object::clone(inner)),
            _ => self.raw(name).and_then(Object::parse),
        }
    }

    /// Returns the elements of an array as JSON texts.
    pub(crate) fn array(&self, name: &str) -> Option<Vec<&'a str>> {
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.raw(name)?).ok()?;
        Some(elements.into_iter().map(RawValue::get).collect())
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields { has_inner: false })
    }
}

/// An object, and one inside it.
struct Outer<'a>(Object<'a>);

impl<'de> Deserialize<'de> for Outer<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields { has_inner: true }).map(Self)
    }
}

struct Fields {
    has_inner: bool,
}

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object::default();
        while let Some(name) = map.next_key::<&RawValue>()? {
            let name = string(name.get()).unwrap_or_default();
            if self.has_inner && name == INNER {
                object.inner = Some(Box::new(map.next_value()?));
            } else {
                object.fields.push((name, map.next_value::<&RawValue>()?.get()));
            }
        }
        Ok(object)
    }
}

/// Reads a JSON string; `None` if the text is none.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let read = |text: &str| serde_json::from_str::<String>(text).ok().map(Cow::Owned);
    read(text).or_else(|| read(&without_halves(text)))
}

/// Takes the white space between the tokens of a valid JSON text away.
pub(crate) fn compact(text: &str) -> String {
    let (mut in_string, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        let is_quote = *c == '"' && !is_escaped;
        is_escaped = in_string && *c == '\\' && !is_escaped;
        in_string ^= is_quote;
        in_string || !matches!(c, ' ' | '\t' | '\r' | '\n')
    };
    text.chars().filter(is_kept).collect()
}

/// Replaces every escape of half a surrogate pair in valid JSON by that of U+FFFD.
fn without_halves(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let long = escape.get(..6).filter(|escape| escape.starts_with("\\u"));
        let code = |escape: Option<&str>| {
            let digits = escape?.strip_prefix("\\u")?.get(..4)?;
            u32::from_str_radix(digits, 16).ok()
        };
        let is_pair = matches!((code(long), code(escape.get(6..))), (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)));
        let (given, taken) = match code(long) {
            Some(0xd800..=0xdfff) if is_pair => (escape.get(..12).unwrap_or(escape), 12),
            Some(0xd800..=0xdfff) => ("\\ufffd", 6),
            Some(_) => (long.unwrap_or_default(), 6),
            None => (escape.get(..2).unwrap_or(escape), 2),
        };
        out.push_str(given);
        rest = escape.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_readers_take_is_taken() {
        let text = r#"{"a":1,"b":{"c":[1,"x"]},"a":"\ud83d\ude00\ud800!","\u0063":true,"t":"plain","\ud800":0}"#;
        let object = Object::parse(text).unwrap();
        assert_eq!(object.text("a").as_deref(), Some("\u{1f600}\u{fffd}!"));
        assert_eq!(object.raw("b"), Some(r#"{"c":[1,"x"]}"#));
        assert_eq!(object.object("b").unwrap().array("c").unwrap(), ["1", "\"x\""]);
        assert!(object.is_true("c") && object.has("t") && !object.has("z"));
        assert_eq!(object.integer("a"), None);
        for bad in ["[1]", "7", "\"x\"", "{", "null"] {
            assert!(Object::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_entry_is_read_with_its_message() {
        for text in
            [r#"{"message":{"a":"x"},"b":1}"#, r#"{"b":1,"message":"x"}"#, r#"{"message":{"a":1},"message":{"a":"x"}}"#]
        {
            let (entry, plain) = (Object::entry(text).unwrap(), Object::parse(text).unwrap());
            let inner =
                |object: &Object<'_>| object.object("message").and_then(|inner| inner.text("a").map(String::from));
            assert_eq!(
                (inner(&entry), entry.has("message"), entry.raw("b")),
                (inner(&plain), true, plain.raw("b")),
                "{text}"
            );
        }
    }

    #[test]
    fn white_space_in_strings_stays() {
        let text = "{\n  \"a b\": [1, 2],\t\"c\\\\\" : \"d \\\" e\" ,\"\\\"\":\" \"}";
        assert_eq!(compact(text), r#"{"a b":[1,2],"c\\":"d \" e","\"":" "}"#);
    }

    #[test]
    fn only_halves_are_replaced() {
        for (given, expected) in [
            (r#""\udc00\ud800\ud800\udc00""#, "\u{fffd}\u{fffd}\u{10000}"),
            (r#""\\ud800 \n""#, "\\ud800 \n"),
            (r#""\ud800""#, "\u{fffd}"),
            (r#""\ud800\n""#, "\u{fffd}\n"),
        ] {
            assert_eq!(string(given).as_deref(), Some(expected), "{given}");
        }
    }
}
