//! Values as people's tools write them: tidied first, then parsed, and refused under the variable's name.
//!
//! Not here: which settings there are.

use std::{convert::Infallible, ffi::OsStr, path::Path, str::FromStr, time::Duration};

use clap::{
    Arg, Command,
    builder::{PossibleValue, TypedValueParser},
    error::ErrorKind,
};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// The longest duration that can be set.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A value as it was meant: without the byte order mark, white space and line ends that editors, `echo` and files of
/// variables leave around it. Quotes, which some tools keep, and line breaks within are refused: no value of ours has
/// them, and what is read with them is another one.
pub(super) fn tidy(value: &str) -> Result<&str, &'static str> {
    let value = value.trim_matches(|at_end: char| at_end.is_whitespace() || at_end == '\u{feff}');
    if value.contains(['\n', '\r']) {
        return Err("has a line break inside: write it on one line");
    }
    match value.contains(QUOTES) && value.split(',').map(str::trim).any(is_quoted) {
        true => Err("is in quotes: leave them out"),
        false => Ok(value),
    }
}

const QUOTES: [char; 8] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}'];

fn is_quoted(value: &str) -> bool {
    value.starts_with(QUOTES) || value.ends_with(QUOTES)
}

/// Parses a value that has been through [`tidy`]. Whatever is wrong is said under the variable's name.
#[derive(Clone)]
pub struct Tidied<P>(pub P);

impl<P: TypedValueParser> TypedValueParser for Tidied<P> {
    type Value = P::Value;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<P::Value, clap::Error> {
        let tidied = value.to_str().ok_or("is not UTF-8").and_then(tidy);
        let tidied = tidied.map_err(|why| {
            // Never the value: it may be a secret.
            clap::Error::raw(ErrorKind::ValueValidation, format!("{} {why}\n", name_of(arg))).with_cmd(cmd)
        })?;
        self.0.parse_ref(cmd, arg, OsStr::new(tidied))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

/// How a type reads a text.
type Read<T> = fn(&str) -> Result<T, <T as FromStr>::Err>;

/// The parser of a setting that is read from its text.
pub fn tidied<T>() -> Tidied<Read<T>>
where
    T: FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    Tidied(T::from_str)
}

/// A value that no message shows.
pub fn secret_text(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

fn name_of(arg: Option<&Arg>) -> String {
    let variable = arg.and_then(Arg::get_env).map(|name| name.to_string_lossy().into_owned());
    variable.or_else(|| arg.map(ToString::to_string)).unwrap_or_else(|| "a value".into())
}

/// A secret that lies in a file.
pub(super) fn from_file(path: &Path) -> Result<SecretString, String> {
    let text = SecretString::from(std::fs::read_to_string(path).map_err(|error| error.to_string())?);
    Ok(tidy(text.expose_secret()).map_err(|why| format!("its content {why}"))?.into())
}

/// Origins separated by commas.
pub(super) fn origins(text: &str) -> Result<Vec<HeaderValue>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(origin).collect()
}

/// `*` is refused: with a token in the page, whoever serves the page should be named.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    let origin = url.origin().ascii_serialization();
    match (url.scheme(), origin == text.trim_end_matches('/')) {
        ("http" | "https", true) => HeaderValue::from_str(&origin).map_err(|error| error.to_string()),
        _ => Err("must be an origin such as https://app.example.com".into()),
    }
}

/// At most a day: nobody means longer, and a sum with it stays far from where clocks end.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 75s or 2m"))?;
    (duration <= DURATION_MAX).then_some(duration).ok_or_else(|| "must be at most 1d".into())
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|duration| {
        (!duration.is_zero()).then_some(duration).ok_or_else(|| "must be longer than nothing".into())
    })
}

pub(super) fn time_scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "must be a number")?;
    (scale.is_finite() && scale > 0.0 && scale <= 1_000.0)
        .then_some(scale)
        .ok_or_else(|| "must be above 0 and at most 1000".into())
}
