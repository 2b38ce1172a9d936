//! Bodies as JSON text that is looked at one level at a time.
//!
//! A body may hold what a tree of values can not: lone surrogate escapes, numbers beyond a double, keys in an order, any
//! depth up to the limit. So nothing is parsed before somebody asks for it, and what nobody understands is still there as it
//! was written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Longer texts are shown as they are: white space would multiply them.
const PRETTY_BYTES_MAX: usize = 64 * 1024;
/// Deeper levels are not moved to the right any more.
const INDENT_MAX: usize = 16;

/// The fields of an object, in order; the values are not looked at yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads the text's first level; `None` if it is no object.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    fields.push((string(name.get()).unwrap_or_default(), value));
                }
                Ok(Object { fields })
            }
        }
        if !text.trim_start().starts_with('{') {
            return None;
        }
        serde_json::Deserializer::from_str(text).deserialize_map(Fields).ok()
    }

    /// Returns a field's text as JSON; of several with one name the last, as readers have it.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value.get())
    }

    /// [`raw`](Self::raw), but for `null`.
    pub(crate) fn some(&self, name: &str) -> Option<&'a str> {
        self.raw(name).filter(|text| *text != "null")
    }

    /// Returns a field that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        string(self.raw(name)?)
    }

    /// Returns a field that is a string and not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<Cow<'a, str>> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Returns the first field that is a string and not empty.
    pub(crate) fn first_text(&self) -> Option<Cow<'a, str>> {
        self.fields.iter().filter_map(|(_, value)| string(value.get())).find(|text| !text.is_empty())
    }

    /// Returns a field that is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        Self::read(self.raw(name)?)
    }

    /// Returns the elements of a field that is an array; none if it is not.
    pub(crate) fn array(&self, name: &str) -> Vec<&'a str> {
        self.raw(name).and_then(array).unwrap_or_default()
    }

    /// Returns a field that is a number without sign or fraction.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.raw(name)?.parse().ok()
    }

    /// Says whether a field is `true`.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    /// Spells the object again with one field's text replaced, the others byte for byte.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let mut out = String::from("{");
        for (field, old) in &self.fields {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&quoted(field));
            out.push(':');
            out.push_str(if field == name { value } else { old.get() });
        }
        out.push('}');
        out
    }
}

/// Reads the elements of an array; `None` if the text is none.
pub(crate) fn array(text: &str) -> Option<Vec<&str>> {
    struct Elements;
    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<&'de str>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element::<&'de RawValue>()? {
                elements.push(element.get());
            }
            Ok(elements)
        }
    }
    if !text.trim_start().starts_with('[') {
        return None;
    }
    serde_json::Deserializer::from_str(text).deserialize_seq(Elements).ok()
}

/// Reads a string; a lone surrogate escape, which no text can hold, becomes U+FFFD.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let read = |text: &str| serde_json::from_str::<String>(text).ok();
    read(text).or_else(|| read(&without_lone_surrogates(text))).map(Cow::Owned)
}

/// Spells a text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Replaces the escapes of surrogates that are not one of a pair.
fn without_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let unit = surrogate(escape);
        let next = escape.get(6..).and_then(surrogate);
        let (taken, kept) = match (unit, next) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, true),
            (Some(_), _) => (6, false),
            (None, _) => (2, true),
        };
        let (taken, behind) = escape.split_at_checked(taken).unwrap_or((escape, ""));
        out.push_str(if kept { taken } else { "\u{fffd}" });
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn surrogate(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok().filter(|unit| (0xd800..=0xdfff).contains(unit))
}

/// Lays a JSON text out on lines, strings and numbers as they are. A very long one stays as it is.
pub(crate) fn pretty(text: &str) -> Cow<'_, str> {
    if text.len() > PRETTY_BYTES_MAX || !text.starts_with(['{', '[']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut characters = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(INDENT_MAX)));
    };
    while let Some(c) = characters.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth = depth.saturating_add(1);
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_text_can_hold_is_replaced_and_the_rest_is_kept() {
        for (json, text) in [
            (r#""a\ud800b""#, "a\u{fffd}b"),
            (r#""\ud83d\ude00 \\ud800 \udc00""#, "\u{1f600} \\ud800 \u{fffd}"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\"\/\n""#, "\"/\n"),
            (r#""""#, ""),
        ] {
            assert_eq!(string(json).as_deref(), Some(text), "{json}");
        }
        assert_eq!(string("7"), None);
    }

    #[test]
    fn one_level_is_read_at_a_time() {
        let object = Object::read(r#"{"z":1e999,"a":[1,{"b":"\ud800"}],"a2":null,"a":["last"]}"#).unwrap();
        assert_eq!(object.raw("z"), Some("1e999"));
        assert_eq!(object.array("a"), [r#""last""#]);
        assert_eq!((object.some("a2"), object.raw("none")), (None, None));
        assert_eq!(object.with("z", "2"), r#"{"z":2,"a":[1,{"b":"\ud800"}],"a2":null,"a":["last"]}"#);
        assert!(Object::read("[]").is_none() && Object::read("{").is_none());
    }

    #[test]
    fn laid_out_json_is_the_same_json() {
        let text = r#"{"a":[1,2,{}],"b":"x\",{[:","c":[],"d":{ "e" : null }}"#;
        let laid_out = pretty(text);
        assert!(laid_out.lines().count() > 5);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&laid_out), value(text));
        let deep = "[".repeat(128) + &"]".repeat(128);
        assert!(pretty(&deep).len() < 128 * 2 * 2 * (INDENT_MAX + 2));
    }
}
