//! `payment.onStatusChange`: every change of a payment's status, as it happens, in order, from any point on.
//!
//! The audit log is what is followed. A follower keeps its place in it and reads on from there, one small batch at a
//! time, whenever there is more; so it can begin anywhere, be as slow as it likes, and miss nothing.

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use futures_util::{FutureExt, Stream, stream};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use tokio::sync::watch;

use super::{
    Payment,
    own_payment::{payment_id, read_own},
};
use crate::{
    domain::{AgencyId, PaymentId},
    error::Error,
    ledger::{
        ChangesAfter, Ledger, Tx, TxFuture,
        tables::{ChangeRow, ShownPayment},
    },
    rpc::procedure::{Call, Example},
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
    /// Goes on after the change with this `sequence`, without a gap; 0 is from the beginning. Beyond the newest change it
    /// is `INVALID_PARAMS` with `latest`.
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

/// A place in the change feed. JavaScript's whole numbers end at 2^53 - 1.
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
    // Before looking: what comes in between would be missed.
    let changes = call.app.change_feed.follow(agency);
    let begin = async move |tx: &mut Tx| {
        if let Some(payment) = payment {
            read_own(tx, &call, payment).await?;
        }
        match (payment, since) {
            (_, Some(since)) => {
                let latest = last_sequence(tx, agency).await?;
                if since > latest {
                    return Err(Error::beyond_the_feed("since", latest));
                }
                Ok(FeedPosition::After { sequence: since, past: Vec::new() })
            }
            (Some(payment), None) => Ok(FeedPosition::AsItStands(payment)),
            (None, None) => {
                // In this order: what gets its number in between is past either way.
                let past = tx.unnumbered_entries(agency).await?;
                Ok(FeedPosition::After { sequence: last_sequence(tx, agency).await?, past })
            }
        }
    };
    let position = ledger.read(move |tx| async move { begin(tx).await }.boxed()).await?;
    let follower = Follower { ledger, changes, agency, payment, position, read: VecDeque::new() };
    Ok(stream::try_unfold(follower, async |mut follower| {
        let change = follower.next().await?;
        Ok(change.map(|change| (change, follower)))
    }))
}

/// The number of the agency's newest numbered change; 0 where there is none.
async fn last_sequence(tx: &mut Tx, agency: AgencyId) -> Result<i64, Error> {
    let last = tx.last_sequences(&[agency]).await?;
    Ok(last.first().map_or(0, |(_, last)| *last))
}

/// Where a follower is.
enum FeedPosition {
    /// It has yet to be told how this payment stands.
    AsItStands(PaymentId),
    /// It knows everything up to a number.
    After {
        /// That number.
        sequence: i64,
        /// Entries that had no number yet when it began, and are past for it.
        past: Vec<i64>,
    },
}

/// One subscription's way through the change feed.
struct Follower {
    ledger: Ledger,
    changes: watch::Receiver<i64>,
    agency: AgencyId,
    payment: Option<PaymentId>,
    position: FeedPosition,
    read: VecDeque<(ChangeRow, ShownPayment)>,
}

impl Follower {
    /// The next change, once there is one; `None` where the server has gone.
    async fn next(&mut self) -> Result<Option<StatusChange>, Error> {
        loop {
            // Before reading, so that what gets its number right after is noticed.
            self.changes.borrow_and_update();
            let found = match &self.position {
                FeedPosition::AsItStands(payment) => self.as_it_stands(*payment).await?,
                FeedPosition::After { .. } => self.following().await?,
            };
            if found.is_some() {
                return Ok(found);
            }
            if self.changes.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// How the payment stands, under the number of the change that made it so, once that has one.
    async fn as_it_stands(&mut self, payment: PaymentId) -> Result<Option<StatusChange>, Error> {
        let agency = self.agency;
        let latest =
            self.look(move |tx| async move { tx.latest_change(agency, payment).await }.boxed()).await?;
        let Some((ChangeRow { sequence: Some(sequence), .. }, row)) = latest else {
            return Ok(None);
        };
        self.position = FeedPosition::After { sequence, past: Vec::new() };
        Ok(Some(StatusChange { sequence, payment: row.into() }))
    }

    /// The next change after the follower's place, if it has a number already.
    async fn following(&mut self) -> Result<Option<StatusChange>, Error> {
        loop {
            while let Some((change, row)) = self.read.pop_front() {
                let FeedPosition::After { sequence: known_up_to, past } = &mut self.position else {
                    return Ok(None);
                };
                // Only rows with a number are read.
                let Some(sequence) = change.sequence else { continue };
                *known_up_to = sequence;
                match past.iter().position(|entry| *entry == change.entry) {
                    Some(known) => _ = past.swap_remove(known),
                    None => {
                        return Ok(Some(StatusChange { sequence, payment: Payment::upon(&change, row) }));
                    }
                }
            }
            let FeedPosition::After { sequence, .. } = self.position else { return Ok(None) };
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

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "how one payment goes on",
    r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9"
    }"#,
    "5188146770730811",
)
.telling(
    r#"{
        "sequence": 5,
        "payment": {
            "id": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
            "status": "refunded",
            "paymentType": "holding_deposit",
            "method": "card",
            "methodForced": false,
            "amountPence": 25000,
            "currency": "GBP",
            "description": "Holding deposit, 12 Orchard Row",
            "tenancyId": "tenancy-77",
            "todoId": "todo-1201",
            "customPaymentTaskId": null,
            "checkoutUrl": null,
            "checkoutExpiresAt": null,
            "paymentIntentId": null,
            "manuallyPaid": true,
            "manualPaymentReference": "BACS 1201",
            "paidAt": "2026-11-28T13:07:31.242Z",
            "failureReason": null,
            "refundedPence": 0,
            "refundedAt": "2026-11-28T13:07:31.255Z",
            "openAnomalies": 0,
            "createdBy": "Arthur Agent",
            "createdAt": "2026-11-28T13:07:31.171Z",
            "updatedAt": "2026-11-28T13:07:31.255Z"
        }
    }"#,
)];
