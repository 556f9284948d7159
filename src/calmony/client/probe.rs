//! A harmless read, for `quittance doctor`: is the provider there, does it take our key, what time is it there?

use chrono::DateTime;
use reqwest::{StatusCode, header};

use super::{CallFault, Client, error_of};
use crate::{calmony::json::Document, domain::Timestamp};

/// A session that nobody has: asking for it changes nothing anywhere.
const NOBODYS_SESSION: &str = "cs_quittance_doctor";

/// What the provider answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The status; 404 is what is hoped for.
    pub status: StatusCode,
    /// Whether it speaks as Calmony Pay does: a JSON object, its errors in an `error` object.
    pub speaks: bool,
    /// The provider's clock: its `Date` header.
    pub date: Option<Timestamp>,
}

impl Client {
    /// Asks for a session that does not exist, whatever the breaker thinks. An error is no answer at all.
    pub async fn probe(&self) -> Result<Probe, CallFault> {
        let request = self.http.get(self.at(&["checkout", "sessions", NOBODYS_SESSION])?);
        let (status, headers, body) = self.exchange(request).await?;
        let speaks = Document::read(&body).is_some_and(|said| error_of(&said).is_object());
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        Ok(Probe { status, speaks, date: date.map(|date| date.to_utc().into()) })
    }
}
