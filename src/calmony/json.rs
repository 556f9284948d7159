//! JSON as the provider sends it: what is used is looked at, everything else is skipped unread.
//!
//! A tree of the whole document would fail on half a surrogate pair, a stray byte or a number out of range in a field
//! that nobody asks for. Here a value is the text it stands in until somebody asks what it says; skipping goes through
//! a nest of any depth without recursion. Not here: which fields there are, and what they mean.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A document that is JSON; a byte that is no UTF-8 has become U+FFFD.
pub struct Document<'a>(Cow<'a, str>);

impl<'a> Document<'a> {
    /// The document, or `None` where it is not JSON. What was signed is the bytes: verify before reading.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        Json::parse(&text)?;
        Some(Self(text))
    }

    /// As [`Document::read`], to keep.
    pub fn into_owned(self) -> Document<'static> {
        Document(Cow::Owned(self.0.into_owned()))
    }

    /// Its value.
    pub fn root(&self) -> Json<'_> {
        Json(self.0.trim_ascii())
    }
}

/// A value, as the text it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    const NULL: Self = Self("null");

    fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str::<&RawValue>(text).ok().map(|raw| Self(raw.get()))
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is null. So reads a field that is absent.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The values under these names, in their order; null where there is none, or this is no object. Where a name
    /// stands twice the last counts.
    pub fn fields<const N: usize>(self, names: [&str; N]) -> [Self; N] {
        let mut object = serde_json::Deserializer::from_str(self.0);
        let found = self.is_object().then(|| object.deserialize_map(Fields(names)).ok()).flatten();
        found.unwrap_or([Self::NULL; N])
    }

    /// The text, where it is one. Half a surrogate pair becomes U+FFFD.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if !inner.contains('\\') {
            return Some(inner.into());
        }
        let Unescaped(mut bytes) = serde_json::from_str(self.0).ok()?;
        // UTF-8 has no such bytes: serde_json writes half a pair like this.
        for at in 0..bytes.len().saturating_sub(2) {
            if bytes[at] == 0xED && bytes[at + 1] >= 0xA0 {
                bytes[at..at + 3].copy_from_slice("\u{FFFD}".as_bytes());
            }
        }
        String::from_utf8(bytes).ok().map(Cow::Owned)
    }

    /// The number, where it is a whole one that an `i64` holds: `1.0`, `1e3` and `"100"` are none.
    pub fn whole_number(self) -> Option<i64> {
        serde_json::from_str(self.0).ok()
    }
}

/// Picks the values under these names out of an object.
struct Fields<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = [Json<'de>; N];

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [Json::NULL; N];
        while let Some(at) = map.next_key_seed(Position(&self.0))? {
            match at {
                Some(at) => found[at] = Json(map.next_value::<&RawValue>()?.get()),
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(found)
    }
}

/// Where a key stands among these names. Read as bytes, so that a key that is no text is only one more unknown key.
struct Position<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Position<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Position<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: de::Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| name.as_bytes() == key))
    }
}

/// What a text says, its escapes resolved, surrogates taken as they come.
struct Unescaped(Vec<u8>);

impl<'de> Deserialize<'de> for Unescaped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Unescaped;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Unescaped(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_costs_nothing() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let rubbish: [&[u8]; 8] = [
            br#""\ud83d""#,
            br#"{"\udc00":{"\ud800":1}}"#,
            b"\"\xA3\"",
            b"1e999",
            b"-123456789012345678901234567890",
            deep.as_bytes(),
            br#""\u0000""#,
            br#"{"a":1,"a":2}"#,
        ];
        for rubbish in rubbish {
            let document =
                [br#" {"x":"#, rubbish, br#","id":"pi_1","\ud83d":0,"y":"#, rubbish, b"} "].concat();
            let document = Document::read(&document).expect("JSON");
            let [id, none, x] = document.root().fields(["id", "none", "x"]);
            assert_eq!((id.text().as_deref(), none.is_null(), x.is_null()), (Some("pi_1"), true, false));
        }
    }

    #[test]
    fn documents_that_are_no_json_are_refused() {
        for wrong in
            ["", "nope", "{", r#"{"a":1} 2"#, r#"{"a":}"#, "{'a':1}", "\"a\nb\"", r#""\x""#, "\u{FEFF}{}"]
        {
            assert!(Document::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn texts_are_read_as_text() {
        let text = |json: &[u8]| {
            let document = Document::read(json).expect("JSON");
            document.root().text().map(Cow::into_owned)
        };
        for (json, expected) in [
            (br#""plain""#.as_slice(), "plain"),
            (br#""""#, ""),
            (br#""\"\\\u00e9\ud83d\ude00""#, "\"\\é😀"),
            (br#""a\ud83db\udc00""#, "a\u{FFFD}b\u{FFFD}"),
            (br#""\u0000""#, "\0"),
            (b"\"\xA35\"", "\u{FFFD}5"),
        ] {
            assert_eq!(text(json).as_deref(), Some(expected));
        }
        for json in ["1", "null", "[\"a\"]", "{}"] {
            assert_eq!(text(json.as_bytes()), None);
        }
    }

    #[test]
    fn numbers_are_whole_or_none() {
        for (json, expected) in [
            ("25000", Some(25_000)),
            ("-1", Some(-1)),
            ("1.0", None),
            ("1e3", None),
            ("1e999", None),
            ("9223372036854775808", None),
            ("\"1\"", None),
            ("null", None),
        ] {
            assert_eq!(Json(json).whole_number(), expected, "{json}");
        }
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        let document = Document::read(br#"{"a":1,"\u0061":2}"#).expect("JSON");
        let [a] = document.root().fields(["a"]);
        assert_eq!(a.whole_number(), Some(2));
    }
}
