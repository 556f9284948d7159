//! `quittance agency …` and `quittance token …`: administration, beside a running server or without one.

use std::time::Duration;

use clap::Subcommand;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::command::{Outcome, open, open_existing, print, story};
use crate::{
    auth::Tokens,
    config::DatabaseArgs,
    domain::{AgencyId, Label, Pence, Role, Timestamp, TokenId},
    ledger::{
        Ledger,
        tables::{AgencyRow, TokenRow},
    },
};

/// The card limit of a new agency: £2,000. docs/money.md, "Card limit".
const DEFAULT_CARD_LIMIT_PENCE: i64 = 200_000;

#[derive(Subcommand)]
pub enum AgencyCommand {
    /// Add an agency
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Issue a token; it is shown once
    Issue {
        /// The agency's id
        #[arg(long)]
        agency: String,
        /// What it may do
        #[arg(long, value_parser = role)]
        role: Role,
        /// The name under which the audit log knows whoever carries it
        #[arg(long)]
        actor: String,
        /// How long it counts, as 8s, 15m or 90d; for ever unless said
        #[arg(long, value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Revoke a token; it stops counting within seconds
    Revoke {
        /// The token's id
        id: String,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List all tokens, without their secrets
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

fn role(text: &str) -> Result<Role, String> {
    let known = Role::ALL.iter().copied().find(|role| role.as_str() == text);
    known.ok_or_else(|| "must be admin, agent or viewer".into())
}

/// Runs an `agency` command.
pub async fn agency(command: AgencyCommand) -> Outcome {
    let AgencyCommand::Create { name, database } = command;
    let ledger = open(&database).await?;
    let id = create_agency(&ledger, &name).await?;
    print(json!({ "agencyId": id, "name": name }), || format!("agency {id} ({name})"));
    Ok(())
}

/// Adds an agency with the default card limit.
pub async fn create_agency(ledger: &Ledger, name: &str) -> Result<AgencyId, String> {
    let id = AgencyId::new();
    let row = AgencyRow {
        id,
        name: Label::parse(name).map_err(|why| format!("the name {why}"))?,
        max_card_payment_pence: Pence::new(DEFAULT_CARD_LIMIT_PENCE),
        created_at: id.made_at(),
    };
    ledger.write(move |tx| async move { tx.insert_agency(&row).await }.boxed()).await.map_err(story)?;
    Ok(id)
}

/// Runs a `token` command.
pub async fn token(command: TokenCommand) -> Outcome {
    match command {
        TokenCommand::Issue { agency, role, actor, expires, database } => {
            let ledger = open_existing(&database).await?;
            let agency_id = existing_agency(&ledger, &agency).await?;
            let actor = Label::parse(&actor).map_err(|why| format!("--actor {why}"))?;
            let expires_at = expires.map(|lifetime| Timestamp::now().plus(lifetime));
            let tokens = Tokens::new(ledger);
            let (id, token) = tokens.issue(agency_id, role, actor, expires_at).await.map_err(story)?;
            let json = json!({ "tokenId": id, "token": token.reveal(), "expiresAt": expires_at });
            print(json, || format!("{}\n(id {id}; shown once: keep it now)", token.reveal()));
        }
        TokenCommand::Revoke { id, database } => {
            let ledger = open_existing(&database).await?;
            let token = TokenId::parse(&id).ok_or_else(|| format!("{id} is no token's id"))?;
            Tokens::new(ledger).revoke(token, None).await.map_err(story)?;
            print(json!({ "tokenId": token }), || format!("revoked {token}"));
        }
        TokenCommand::List { database } => {
            let ledger = open_existing(&database).await?;
            let look = ledger.read(|tx| async move { tx.tokens().await }.boxed());
            let rows = look.await.map_err(story)?;
            let json = json!({ "tokens": rows.iter().map(described).collect::<Vec<_>>() });
            print(json, || rows.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
    }
    Ok(())
}

async fn existing_agency(ledger: &Ledger, sent: &str) -> Result<AgencyId, String> {
    let absent = || format!("there is no agency {sent}");
    let id = AgencyId::parse(sent).ok_or_else(absent)?;
    let found = ledger.read(move |tx| async move { tx.agency(id).await }.boxed()).await.map_err(story)?;
    found.map(|agency| agency.id).ok_or_else(absent)
}

fn described(row: &TokenRow) -> Value {
    let TokenRow { id, agency_id, role, actor, sha256: _, created_at, expires_at, revoked_at } = row;
    json!({
        "tokenId": id,
        "agencyId": agency_id,
        "role": role,
        "actor": actor,
        "createdAt": created_at,
        "expiresAt": expires_at,
        "revokedAt": revoked_at,
    })
}

fn line(row: &TokenRow) -> String {
    let state = match (row.revoked_at, row.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= Timestamp::now() => format!("expired {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "for ever".to_owned(),
    };
    format!("{}  agency {}  {:5}  {}  {state}", row.id, row.agency_id, row.role, row.actor.as_str())
}
