//! `payment.onStatusChange`: every change of a payment's status, as it happens, in order, from any point on.
//!
//! The journal is what is followed. A follower keeps its place in it and reads on from there, one small batch at a
//! time, whenever there is news; so it can begin anywhere, be as slow as it likes, and miss nothing.

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use futures_util::{FutureExt, Stream, stream};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use tokio::sync::watch;

use super::{Payment, payment_id, read_own};
use crate::{
    domain::{AgencyId, PaymentId},
    error::Error,
    ledger::{
        ChangesAfter, Ledger, Tx, TxFuture,
        rows::{ChangeRow, ShownPayment},
    },
    rpc::procedure::Call,
};

/// Changes read at once: what one follower holds in memory at most.
const BATCH: i64 = 32;
/// How long a follower waits where the database is too busy to be read.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Follows the agency's payments, or one of them: every change of a status, creation included. Without `since` it
/// begins with what happens from now on; of one payment the row as it stands comes first. Needs a WebSocket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "OnStatusChangeInput")]
pub struct Input {
    /// Only of this payment.
    payment_id: Option<String>,
    /// Goes on after the change with this `sequence`, without a gap; 0 is from the beginning.
    since: Option<Since>,
}

/// A change of a payment's status.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    /// Its number: 1, 2, 3, … over all payments of the agency.
    sequence: i64,
    /// The payment as it stands, but with the status that this change led to: what only came with a later change (a
    /// link, a reason, a time, a reference) is left out.
    payment: Payment,
}

/// A place in the journal. JavaScript's whole numbers end at 2^53 - 1.
#[derive(Clone, Copy, Debug)]
struct Since(i64);

impl Since {
    const MAX: i64 = (1 << 53) - 1;
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer)?
            .as_i64()
            .filter(|since| (0..=Self::MAX).contains(since))
            .map(Self)
            .ok_or_else(|| de::Error::custom("must be a whole number from 0"))
    }
}

impl JsonSchema for Since {
    fn schema_name() -> Cow<'static, str> {
        "Since".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": Self::MAX })
    }
}

/// See [`Input`].
pub async fn run(
    call: Call,
    input: Input,
) -> Result<impl Stream<Item = Result<StatusChange, Error>> + Send + 'static, Error> {
    let payment = input.payment_id.as_deref().map(payment_id).transpose()?;
    let since = input.since.map(|since| since.0);
    let ledger = call.app.ledger.clone();
    let agency = call.caller.agency_id;
    // Before looking: news of what comes in between would be missed.
    let news = call.app.news.follow(agency);
    let begin = async move |tx: &mut Tx| {
        if let Some(payment) = payment {
            read_own(tx, &call, payment).await?;
        }
        match (payment, since) {
            (_, Some(since)) => Ok(Place::After { sequence: since, past: Vec::new() }),
            (Some(payment), None) => Ok(Place::AsItStands(payment)),
            (None, None) => {
                // In this order: what gets its number in between is past either way.
                let past = tx.unsealed_entries(agency).await?;
                let last = tx.last_sequences(&[agency]).await?;
                Ok(Place::After { sequence: last.first().map_or(0, |(_, last)| *last), past })
            }
        }
    };
    let place = ledger.read(move |tx| async move { begin(tx).await }.boxed()).await?;
    let follower = Follower { ledger, news, agency, payment, place, read: VecDeque::new() };
    Ok(stream::try_unfold(follower, async |mut follower| {
        let change = follower.next().await?;
        Ok(change.map(|change| (change, follower)))
    }))
}

/// Where a follower is.
enum Place {
    /// It has yet to be told how this payment stands.
    AsItStands(PaymentId),
    /// It knows everything up to a number.
    After {
        /// That number.
        sequence: i64,
        /// Entries that had no number yet when it began, and are none of its news.
        past: Vec<i64>,
    },
}

/// One subscription's way through the journal.
struct Follower {
    ledger: Ledger,
    news: watch::Receiver<i64>,
    agency: AgencyId,
    payment: Option<PaymentId>,
    place: Place,
    read: VecDeque<(ChangeRow, ShownPayment)>,
}

impl Follower {
    /// The next change, once there is one; `None` where the server has gone.
    async fn next(&mut self) -> Result<Option<StatusChange>, Error> {
        loop {
            // Before reading, so that what gets its number right after is news.
            self.news.borrow_and_update();
            let found = match &self.place {
                Place::AsItStands(payment) => self.as_it_stands(*payment).await?,
                Place::After { .. } => self.following().await?,
            };
            if found.is_some() {
                return Ok(found);
            }
            if self.news.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// How the payment stands, under the number of the change that made it so, once that has one.
    async fn as_it_stands(&mut self, payment: PaymentId) -> Result<Option<StatusChange>, Error> {
        let latest = self.look(move |tx| async move { tx.latest_change(payment).await }.boxed()).await?;
        let Some((ChangeRow { sequence: Some(sequence), .. }, row)) = latest else {
            return Ok(None);
        };
        self.place = Place::After { sequence, past: Vec::new() };
        Ok(Some(StatusChange { sequence, payment: row.into() }))
    }

    /// The next change after the follower's place, if it has a number already.
    async fn following(&mut self) -> Result<Option<StatusChange>, Error> {
        loop {
            while let Some((change, row)) = self.read.pop_front() {
                let Place::After { sequence: place, past } = &mut self.place else { return Ok(None) };
                // Only rows with a number are read.
                let Some(sequence) = change.sequence else { continue };
                *place = sequence;
                match past.iter().position(|entry| *entry == change.entry) {
                    Some(known) => _ = past.swap_remove(known),
                    None => {
                        return Ok(Some(StatusChange { sequence, payment: Payment::upon(&change, row) }));
                    }
                }
            }
            let Place::After { sequence, .. } = self.place else { return Ok(None) };
            let after = ChangesAfter { agency: self.agency, payment: self.payment, sequence, limit: BATCH };
            let read = self.look(move |tx| {
                let after = after.clone();
                async move { tx.changes_after(&after).await }.boxed()
            });
            self.read = read.await?.into();
            if self.read.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Reads, however long the database may be too busy for it.
    async fn look<T: Send + 'static>(
        &self,
        look: impl for<'t> Fn(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        loop {
            match self.ledger.read(look.clone()).await {
                Err(Error::Busy { .. }) => tokio::time::sleep(BUSY_PAUSE).await,
                out => return out,
            }
        }
    }
}
