//! Params as JSON that has one reading.
//!
//! A name that stands twice in an object is refused: which of the two was meant can't be told, and a proxy may have
//! taken the other. `serde_json::Value` would take the last, and has names of its own with which an object could
//! pass for something else. Not here: which fields a procedure knows (`input`).

use std::fmt;

use jsonrpsee::types::Params;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::error::Error;

/// The input object, from its four spellings: itself; absent, `null` or `[]`, which are `{}`; and `[ {…} ]`.
pub(super) fn object(params: &Params<'_>) -> Result<Map<String, Value>, Error> {
    match parsed(params)? {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Map::new()),
        Value::Array(mut items) if items.len() <= 1 => match items.pop() {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(Error::invalid("", "params must be an object")),
        },
        _ => Err(Error::invalid("", "params must be an object")),
    }
}

/// Params, whatever their form; absent ones are `null`.
fn parsed(params: &Params<'_>) -> Result<Value, Error> {
    let sent = params.as_str().unwrap_or("null");
    serde_json::from_str::<Unambiguous>(sent).map(|params| params.0).map_err(|error| {
        let told = error.to_string();
        // serde_json adds the place; in the params it is of no use to anybody.
        let twice = told.strip_prefix(TWICE).and_then(|rest| rest.split_once('`'));
        match twice {
            Some((name, _)) => Error::invalid(name.chars().take(64).collect::<String>(), "stands twice"),
            None => Error::invalid("", "params nest too deeply or hold a broken string"),
        }
    })
}

/// How a name that stands twice is told.
const TWICE: &str = "twice: `";

/// Any JSON value without a name that stands twice.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson).map(Self)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unambiguous(value))) = fields.next_entry::<String, _>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom(format_args!("{TWICE}{name}`")));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_one_reading_is_read_as_it_stands() {
        for text in [
            "null",
            "[]",
            r#"{"a":[1,-1,1.5,1e3,18446744073709551615,true,"\u00e9\n"],"b":{"a":{}}}"#,
            r#"{"$serde_json::private::RawValue":"{}"}"#,
        ] {
            let read = parsed(&Params::new(Some(text))).unwrap();
            let keeps_marker = text.contains("private");
            assert!(keeps_marker || read == serde_json::from_str::<Value>(text).unwrap(), "{text}");
            assert_eq!(serde_json::from_str::<Unambiguous>(&read.to_string()).unwrap().0, read);
        }
        let marker = parsed(&Params::new(Some(r#"{"$serde_json::private::RawValue":"{}"}"#))).unwrap();
        assert_eq!(marker.as_object().unwrap().len(), 1);
        assert_eq!(parsed(&Params::new(None)).unwrap(), json!(null));
    }

    #[test]
    fn what_has_two_is_refused_by_name() {
        for (text, path) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"[{"b":{"x":1,"y":2,"x":3}}]"#, "x"),
            (r#"{"a":1,"\u0061":2}"#, "a"),
        ] {
            let error = parsed(&Params::new(Some(text))).unwrap_err();
            assert_eq!(error.to_string(), format!("{path}: stands twice"));
        }
        let deep = "[".repeat(500) + &"]".repeat(500);
        assert!(parsed(&Params::new(Some(&deep))).is_err());
    }
}
