//! Bearer tokens: what they look like, how they are issued, who carries one.
//!
//! A token in clear ([`PlainToken`]) and its hash are different types: the first is shown once and can't reach the
//! database, the second is all that is stored. Not here: what a role may do; each procedure says that of itself.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use moka::future::Cache;
use sha2::Digest;

use crate::{
    domain::{AgencyId, CALMONY_PAY, JANITOR, Label, Role, Timestamp, TokenId},
    error::Error,
    ledger::{Ledger, sql_types::Sha256, tables::TokenRow},
};

/// Actors that no token may carry: the audit log uses them for what nobody asked for.
const OURS: [&str; 2] = [CALMONY_PAY, JANITOR];
/// What every token begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "qt_";
/// How long an answer about a token is believed. A revocation on another instance counts within this time.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// Tokens remembered at once; each takes about 300 bytes.
const REMEMBERED: u64 = 10_000;

/// A token in clear: 256 random bits behind a prefix.
pub struct PlainToken(String);

impl PlainToken {
    fn generate() -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())))
    }

    /// The text, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlainToken(..)")
    }
}

/// Whoever is asking: one actor of one agency, in one role.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The agency whose rows they see. Never taken from params.
    pub agency_id: AgencyId,
    /// The token they carry.
    pub token_id: TokenId,
    /// What they may do.
    pub role: Role,
    /// Their name in the audit log.
    pub actor: Arc<str>,
    expires_at: Option<Timestamp>,
}

impl Caller {
    /// Whether the token has run out. Asked at each call: a WebSocket may outlive its token.
    pub fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Timestamp::now())
    }
}

/// Looks tokens up, and remembers them for a moment.
#[derive(Clone)]
pub struct Tokens {
    ledger: Ledger,
    known: Cache<Sha256, Caller>,
}

impl Tokens {
    /// Looks tokens up in this ledger.
    pub fn new(ledger: Ledger) -> Self {
        let known = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_live(BELIEVED_FOR)
            .support_invalidation_closures()
            .build();
        Self { ledger, known }
    }

    /// The caller behind a token; `None` where it is malformed, unknown, revoked or expired.
    pub async fn look_up(&self, token: &str) -> Result<Option<Caller>, Error> {
        if !token.starts_with(PREFIX) || token.len() > 128 {
            return Ok(None);
        }
        let sha256 = hash(token);
        if let Some(caller) = self.known.get(&sha256).await {
            return Ok(Some(caller).filter(|caller| !caller.has_expired()));
        }
        let row = self.ledger.read(move |tx| async move { tx.token_by_hash(sha256).await }.boxed()).await?;
        let Some(row) = row.filter(|row| row.revoked_at.is_none()) else { return Ok(None) };
        let caller = Caller {
            agency_id: row.agency_id,
            token_id: row.id,
            role: row.role,
            actor: row.actor.as_str().into(),
            expires_at: row.expires_at,
        };
        self.known.insert(sha256, caller.clone()).await;
        Ok(Some(caller).filter(|caller| !caller.has_expired()))
    }

    /// Issues a token.
    pub async fn issue(
        &self,
        agency_id: AgencyId,
        role: Role,
        actor: Label<200>,
        expires_at: Option<Timestamp>,
    ) -> Result<(TokenId, PlainToken), Error> {
        if OURS.contains(&actor.as_str()) {
            return Err(Error::invalid("actor", "is a name the server uses for itself"));
        }
        let token = PlainToken::generate();
        let id = TokenId::new();
        let row = TokenRow {
            id,
            agency_id,
            role,
            actor,
            sha256: hash(&token.0),
            created_at: id.made_at(),
            expires_at,
            revoked_at: None,
        };
        self.ledger.write(move |tx| async move { tx.insert_token(&row).await }.boxed()).await?;
        Ok((id, token))
    }

    /// Revokes a token of an agency, or of any for an operator. Counts here at once, and on other instances
    /// within seconds.
    pub async fn revoke(&self, id: TokenId, agency: Option<AgencyId>) -> Result<(), Error> {
        let now = Timestamp::now();
        let revoke = self.ledger.write(move |tx| {
            async move {
                let token = tx.lock_token(id).await?;
                let token = token.filter(|token| agency.is_none_or(|agency| token.agency_id == agency));
                let Some(token) = token else { return Ok(false) };
                // A second time keeps the first.
                let revoked_at = token.revoked_at.or(Some(now));
                tx.update_token(&token, &TokenRow { revoked_at, ..token.clone() }).await?;
                Ok(true)
            }
            .boxed()
        });
        if !revoke.await? {
            return Err(Error::not_found("token", id));
        }
        // Fails only where the cache was built without support for it.
        let _ = self.known.invalidate_entries_if(move |_, caller| caller.token_id == id);
        Ok(())
    }
}

fn hash(token: &str) -> Sha256 {
    Sha256(sha2::Sha256::digest(token.as_bytes()).into())
}
