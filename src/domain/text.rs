//! Texts that people write, as types that can't hold a bad one. Lengths count Unicode scalar values.

mod card_number;

use std::borrow::Cow;

use diesel::{deserialize::FromSqlRow, expression::AsExpression};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use card_number::holds_card_number;

/// A short text that is no prose: an actor's name, a bank reference. 1 to `MAX` characters on one line that show
/// something, none of them a control character or one that turns the direction of writing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[serde(transparent)]
pub struct Label<const MAX: usize>(String);

/// Prose on one line: a description, a title. As [`FreeText`], without line breaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[serde(transparent)]
pub struct OneLine<const MAX: usize>(String);

/// Prose, on several lines if need be: a reason, a note. As [`Label`], line breaks allowed, and never holding a card's
/// number, so that no card data can come to rest here (docs/operations/README.md, "Security").
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
        check(text, MAX, Lines::One)?;
        Ok(Self(text.to_owned()))
    }
}

impl<const MAX: usize> OneLine<MAX> {
    /// The text, or why it is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_prose(text, MAX, Lines::One)?;
        Ok(Self(text.to_owned()))
    }
}

impl<const MAX: usize> FreeText<MAX> {
    /// The text, or why it is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_prose(text, MAX, Lines::Many)?;
        Ok(Self(text.to_owned()))
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

/// How many lines a text may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Many,
}

fn check(text: &str, max_chars: usize, lines: Lines) -> Result<(), String> {
    // A text of n bytes has at most n characters, so most need no count.
    let fits = !text.is_empty() && (text.len() <= max_chars || text.chars().count() <= max_chars);
    if !fits {
        return Err(format!("must be 1 to {max_chars} characters long"));
    }
    let is_break = |c| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}');
    if lines == Lines::One && text.chars().any(is_break) {
        return Err("must be on one line".into());
    }
    if text.chars().any(|c| c.is_control() && !is_break(c)) {
        return Err("must not hold control characters".into());
    }
    if text.chars().any(turns_direction) {
        return Err("must not hold characters that turn the direction of writing".into());
    }
    text.chars().any(shows).then_some(()).ok_or_else(|| "must show something".into())
}

fn check_prose(text: &str, max_chars: usize, lines: Lines) -> Result<(), String> {
    check(text, max_chars, lines)?;
    match holds_card_number(text) {
        true => Err("must not hold a card number".into()),
        false => Ok(()),
    }
}

/// Embeddings, overrides and isolates: they make a text read otherwise than it is written ("005" for "500"). The marks
/// (U+200E, U+200F, U+061C) do no more than a letter of their script would, and belong to ordinary Hebrew and Arabic.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether a reader sees something: no blank, nothing that only joins or marks what stands beside it, and none of the
/// letters that are drawn as nothing.
fn shows(c: char) -> bool {
    use GeneralCategoryGroup::{Letter, Mark, Number, Other, Punctuation, Separator, Symbol};
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    match c.general_category_group() {
        Letter | Symbol => !matches!(c, '\u{115F}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}'),
        Number | Punctuation => true,
        Mark | Separator | Other => false,
    }
}

macro_rules! text_by_people {
    ($([$($generics:tt)*] $type:ty;)*) => { $(
        impl<$($generics)*> $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A text that was accepted when it was stored: what is refused today must not make old rows unreadable.
            pub(crate) fn stored(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )* };
}
text_by_people! {
    [const MAX: usize] Label<MAX>;
    [const MAX: usize] OneLine<MAX>;
    [const MAX: usize] FreeText<MAX>;
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
wire_text!([const MAX: usize] OneLine<MAX>, json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX }));
wire_text!([const MAX: usize] FreeText<MAX>, json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX }));
wire_text!([] IdempotencyKey, json_schema!({ "type": "string", "pattern": "^[!-~]{1,64}$" }));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert!(OneLine::<3>::parse("ééé").is_ok());
        assert!(OneLine::<3>::parse("éééé").is_err());
        assert!(Label::<3>::parse("").is_err());
    }

    #[test]
    fn card_numbers_are_refused_in_prose_and_kept_in_references() {
        let number = "card 4242 4242 4242 4242!";
        assert!(OneLine::<500>::parse(number).is_err());
        assert!(FreeText::<500>::parse(number).is_err());
        assert!(Label::<200>::parse(number).is_ok());
    }

    #[test]
    fn control_characters_are_refused() {
        for text in ["a\0b", "a\tb", "a\u{1b}b", "a\u{85}b", "a\u{7f}b"] {
            assert!(Label::<9>::parse(text).is_err(), "{text:?}");
            assert!(OneLine::<9>::parse(text).is_err(), "{text:?}");
            assert!(FreeText::<9>::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_reasons_and_notes_have_lines() {
        for text in ["a\nb", "a\r\nb", "a\u{2028}b"] {
            assert!(Label::<9>::parse(text).is_err(), "{text:?}");
            assert!(OneLine::<9>::parse(text).is_err(), "{text:?}");
            assert!(FreeText::<9>::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn texts_that_show_nothing_are_refused() {
        let nothing = [
            " ",
            " \u{A0}\u{3000}",
            "\u{200B}",
            "\u{FEFF}\u{2060}",
            "\u{AD}",
            "\u{3164}",
            "\u{2800}",
            "\u{200D}\u{FE0F}",
        ];
        for text in nothing {
            assert!(Label::<9>::parse(text).is_err(), "{text:?}");
            assert!(OneLine::<9>::parse(text).is_err(), "{text:?}");
            assert!(FreeText::<9>::parse(text).is_err(), "{text:?}");
        }
        assert!(FreeText::<9>::parse("\n\n").is_err());
    }

    #[test]
    fn what_turns_the_direction_is_refused_and_other_scripts_are_not() {
        for turn in ('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}') {
            assert!(OneLine::<50>::parse(&format!("Deposit {turn}005£")).is_err(), "{turn:?}");
            assert!(Label::<50>::parse(&format!("Deposit {turn}005£")).is_err(), "{turn:?}");
        }
        for text in [
            "إيجار شهر يوليو",
            "פיקדון\u{200F}!",
            "Ré\u{301} & Søn",
            "👩‍👩‍👧 ❤️ 🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "क्\u{200D}ष",
            "£",
            "…",
        ] {
            assert!(OneLine::<50>::parse(text).is_ok(), "{text}");
            assert!(Label::<50>::parse(text).is_ok(), "{text}");
        }
    }
}
