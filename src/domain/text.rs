//! Texts that people write, as types that can't hold a bad one. Lengths count Unicode scalar values.

use std::borrow::Cow;

use diesel::{deserialize::FromSqlRow, expression::AsExpression};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// A short text that is no prose: an actor's name, a bank reference. 1 to `MAX` characters, none of them a
/// control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[serde(transparent)]
pub struct Label<const MAX: usize>(String);

/// Prose by people: descriptions, titles, reasons, notes. As [`Label`], line breaks and tabs allowed, and never
/// holding what looks like a card number, so that no card data can come to rest here (README, "Security").
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[serde(transparent)]
pub struct FreeText<const MAX: usize>(String);

/// The key that makes a create safe to repeat: 1 to 64 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl<const MAX: usize> Label<MAX> {
    /// The text, or why it is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        within(text, MAX)?;
        if text.chars().any(char::is_control) {
            return Err("must not hold control characters".into());
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> FreeText<MAX> {
    /// The text, or why it is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        within(text, MAX)?;
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err("must not hold control characters".into());
        }
        if holds_card_number(text) {
            return Err("must not hold a card number".into());
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IdempotencyKey {
    /// The key, or why it is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned())).ok_or_else(|| "must be 1 to 64 visible ASCII characters".into())
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn within(text: &str, max_chars: usize) -> Result<(), String> {
    // A text of n bytes has at most n characters, so most need no count.
    let fits = !text.is_empty() && (text.len() <= max_chars || text.chars().count() <= max_chars);
    fits.then_some(()).ok_or_else(|| format!("must be 1 to {max_chars} characters long"))
}

/// Whether the text holds 13 to 19 digits (spaces and dashes between them ignored) that begin with 2 to 6 and pass
/// Luhn's check: the form of a payment card's number (ISO/IEC 7812). Tried from every group of digits to every later
/// one, so that a number beside another is still found.
fn holds_card_number(text: &str) -> bool {
    // Most texts have too few digits in them.
    if text.bytes().filter(u8::is_ascii_digit).count() < 13 {
        return false;
    }
    let between = |c: char| c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let mut groups: Vec<Vec<u32>> = vec![Vec::new()];
    for c in text.chars().chain(std::iter::once('.')) {
        match (c.to_digit(10), groups.last_mut()) {
            (Some(digit), Some(group)) => group.push(digit),
            (None, _) if between(c) => groups.push(Vec::new()),
            _ => {
                if any_card_number(&groups) {
                    return true;
                }
                groups = vec![Vec::new()];
            }
        }
    }
    false
}

fn any_card_number(groups: &[Vec<u32>]) -> bool {
    (0..groups.len()).any(|first| {
        let mut digits = Vec::new();
        groups[first..].iter().any(|group| {
            digits.extend_from_slice(group);
            // Past the longest number nothing further can be one.
            digits.len() <= 19 && !group.is_empty() && is_card_number(&digits)
        })
    })
}

fn is_card_number(digits: &[u32]) -> bool {
    let luhn = |(i, &digit): (usize, &u32)| match (i % 2, digit * 2) {
        (0, _) => digit,
        (_, doubled) if doubled > 9 => doubled - 9,
        (_, doubled) => doubled,
    };
    (13..=19).contains(&digits.len())
        && (2..=6).contains(&digits[0])
        && digits.iter().rev().enumerate().map(luhn).sum::<u32>() % 10 == 0
}

macro_rules! wire_text {
    ([$($generics:tt)*] $type:ty, $schema:expr) => {
        impl<'de, $($generics)*> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&Cow::<str>::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl<$($generics)*> JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}
wire_text!([const MAX: usize] Label<MAX>, json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX }));
wire_text!([const MAX: usize] FreeText<MAX>, json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX }));
wire_text!([] IdempotencyKey, json_schema!({ "type": "string", "pattern": "^[!-~]{1,64}$" }));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert!(FreeText::<3>::parse("ééé").is_ok());
        assert!(FreeText::<3>::parse("éééé").is_err());
        assert!(Label::<3>::parse("").is_err());
    }

    #[test]
    fn card_numbers_are_refused_in_prose_and_kept_in_references() {
        for number in
            ["4242424242424242", "4111 1111 1111 1111", "5555-5555-5555-4444", "card 4242 4242 4242 4242!"]
        {
            assert!(FreeText::<500>::parse(number).is_err(), "{number}");
            assert!(Label::<200>::parse(number).is_ok(), "{number}");
        }
        for harmless in
            ["4242424242424241", "Flat 12, 0207 946 0000", "1234567890123", "ref 9999999999999995"]
        {
            assert!(FreeText::<500>::parse(harmless).is_ok(), "{harmless}");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(FreeText::<9>::parse("a\nb").is_ok());
        assert!(FreeText::<9>::parse("a\0b").is_err());
        assert!(Label::<9>::parse("a\nb").is_err());
    }
}
