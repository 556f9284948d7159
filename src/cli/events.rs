//! `quittance events …`: the webhook inbox. What came, what was concluded and why; and another try for what was
//! parked or given up.

use clap::Subcommand;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::command::{Outcome, open_existing, print, story};
use crate::{
    config::DatabaseArgs,
    domain::{EventId, Timestamp, Verdict},
    inbox,
    ledger::tables::EventRow,
};

#[derive(Subcommand)]
pub enum EventsCommand {
    /// List events, newest first
    List {
        /// Only these: applied, stale, ignored, parked, dead or quarantined
        #[arg(long, value_parser = verdict)]
        verdict: Option<Verdict>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        limit: i64,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Show one event
    Show {
        /// The event's id
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Make a parked or dead event due now; a running server takes it up
    Replay {
        /// The event's id
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let known = Verdict::ALL.iter().copied().find(|verdict| verdict.as_str() == text);
    known.ok_or_else(|| "must be applied, stale, ignored, parked, dead or quarantined".into())
}

/// Runs an `events` command.
pub async fn run(command: EventsCommand) -> Outcome {
    match command {
        EventsCommand::List { verdict, limit, database } => {
            let ledger = open_existing(&database).await?;
            let look = ledger.read(move |tx| async move { tx.event_page(verdict, limit).await }.boxed());
            let rows = look.await.map_err(story)?;
            let json = json!({ "events": rows.iter().map(described).collect::<Vec<_>>() });
            print(json, || rows.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
        EventsCommand::Show { id, database } => {
            let row = find(&id, &database).await?;
            let described = described(&row);
            print(described.clone(), || format!("{described:#}"));
        }
        EventsCommand::Replay { id, database } => {
            let absent = || format!("there is no event {id}");
            let event = EventId::parse(&id).ok_or_else(absent)?;
            let ledger = open_existing(&database).await?;
            let replayed = inbox::replay(&ledger, event).await.map_err(story)?.ok_or_else(absent)?;
            let row = replayed.map_err(|why| format!("{id} {why}"))?;
            print(described(&row), || format!("{id} is due now"));
        }
    }
    Ok(())
}

async fn find(id: &str, database: &DatabaseArgs) -> Result<EventRow, String> {
    let absent = || format!("there is no event {id}");
    let event = EventId::parse(id).ok_or_else(absent)?;
    let ledger = open_existing(database).await?;
    let found = ledger.read(move |tx| async move { tx.event(&event).await }.boxed()).await;
    found.map_err(story)?.ok_or_else(absent)
}

fn described(row: &EventRow) -> Value {
    json!({
        "eventId": row.event_id,
        "type": row.event_type,
        "verdict": row.verdict,
        "reason": row.reason,
        "paymentId": row.payment_id,
        "objectId": row.object_id,
        "paymentIntentId": row.intent_id,
        "checkoutSessionId": row.session_id,
        "amountPence": row.amount_pence,
        "currency": row.currency,
        "paymentStatus": row.payment_status,
        "refundedPence": row.refunded_pence,
        "tries": row.tries,
        "failures": row.failures,
        "reusedAt": row.reused_at,
        "dueAt": row.due_at,
        "createdAt": row.event_created_at,
        "receivedAt": row.received_at,
        "concludedAt": row.concluded_at,
    })
}

fn line(row: &EventRow) -> String {
    let payment = row.payment_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let due = row.due_at.map(|at: Timestamp| format!(", due {at}")).unwrap_or_default();
    let reason = row.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "{}  {}  {}  {}{reason}{due}  payment {payment}",
        row.received_at, row.event_id, row.event_type, row.verdict
    )
}
